//! A kill at each step after a download: whatever the settings want with the file is done once, after the restart.

use waybill::base::fault::Point;

use crate::kit::{Appliance, PARTNER};

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_step_a_collected_file_is_copied_once_and_then_removed() {
    for point in Point::SENDING {
        let what = format!("killed at {}", point.name());
        let appliance = Appliance::new();
        let wanted = ["remove_file_after_send=on", "save_to_sent_folder=on", "sent_folder_scheme=none"];
        appliance.say(&[&["connector", "set", PARTNER], &wanted[..]].concat());
        let mut running = appliance.start_with_fault(Some(&format!("{}:kill:1", point.name()))).await;
        let mut client = running.partner().await;
        let path = appliance.place(PARTNER, "Send").join("a.edi");
        std::fs::write(&path, b"collected").expect("Send is there");
        // Its 226 may or may not come before the kill.
        if let Ok(mut data) = client.begin("RETR /Send/a.edi").await {
            let mut bytes = Vec::new();
            let _ = tokio::io::AsyncReadExt::read_to_end(&mut data, &mut bytes).await;
            assert_eq!(bytes, b"collected", "{what}");
        }
        running.ended().await;
        let sent = appliance.place(PARTNER, "Sent");
        if path.exists() {
            assert_ne!(point, Point::SentRemoved, "{what}");
        } else {
            assert_eq!(std::fs::read(sent.join("a.edi")).expect("a copy"), b"collected", "{what}: removed uncopied");
        }
        // Finished before anybody can connect.
        let running = appliance.start().await;
        assert!(!path.exists(), "{what}: it is still there");
        let names: Vec<_> =
            std::fs::read_dir(&sent).expect("Sent is there").map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["a.edi"], "{what}: not copied once");
        assert_eq!(std::fs::read(sent.join("a.edi")).expect("a copy"), b"collected", "{what}");
        let events = appliance.say(&["events", "--json", "--kind", "after_send"]);
        assert_eq!(events.lines().count(), 1, "{what}: collected once");
        running.partner().await.expect("DELE /Send/a.edi", 250).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_does_not_get_to_the_disk_is_told_once_as_failing_storage() {
    let appliance = Appliance::new();
    appliance.configure(&["remove_file_after_send=on"]);
    let running = appliance.start_with_fault(Some(&format!("{}:eio:1", Point::SyncFolder.name()))).await;
    let path = appliance.place(PARTNER, "Send").join("a.edi");
    std::fs::write(&path, b"collected").expect("Send is there");
    running.partner().await.fetch("RETR /Send/a.edi").await.expect("it is fetched");
    let told = running
        .until("it is told", async |_| {
            let told = appliance.say(&["events", "--kind", "storage_failing"]);
            (!told.is_empty()).then_some(told)
        })
        .await;
    assert!(told.lines().count() == 1 && told.contains("uploads are refused until a test write succeeds"), "{told}");
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_did_not_get_to_the_disk_is_brought_there_by_the_next_try() {
    let appliance = Appliance::new();
    appliance.configure(&["remove_file_after_send=on"]);
    let fault = format!("{}:eio:1", Point::SyncFolder.name());
    let mut running = appliance.start_with_fault(Some(&fault)).await;
    let path = appliance.place(PARTNER, "Send").join("a.edi");
    std::fs::write(&path, b"collected").expect("Send is there");
    running.partner().await.fetch("RETR /Send/a.edi").await.expect("it is fetched");
    let told = async |count: usize, running: &crate::kit::Running<'_>| {
        running
            .until("it is told", async |_| {
                let told = appliance.say(&["events", "--kind", "storage_failing"]);
                (told.lines().count() == count).then_some(())
            })
            .await;
    };
    told(1, &running).await;
    running.terminate();
    running.ended().await;
    // The next try is at the start. That it syncs the folder is seen by its failing.
    let running = appliance.start_with_fault(Some(&fault)).await;
    told(2, &running).await;
    assert!(!path.exists());
}
