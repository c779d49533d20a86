//! An upload that a delivery waits for, killed at each step: its bytes are held afterwards whatever becomes of the name.

use waybill::base::fault::Point;
use waybill::transfer::held;

use super::faults::{Told, upload};
use crate::kit::{Appliance, Beside, PARTNER, id_of};

/// What is received waits for longer than a test.
fn waiting() -> Appliance {
    let appliance = Appliance::new();
    appliance.say(&["connector", "set", PARTNER, "settle_s=3600"]);
    appliance.say(&["connector", "add", "archive", "type=folder"]);
    appliance.say(&["flow", "connect", PARTNER, "archive"]);
    appliance
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_step_an_upload_that_is_waited_for_is_held_or_not_there() {
    for point in [Point::Committed, Point::Held, Point::Renamed, Point::FolderSynced] {
        let appliance = waiting();
        let mut running = appliance.start_with_fault(Some(&format!("{}:kill:1", point.name()))).await;
        let what = format!("killed at {}", point.name());
        assert_eq!(upload(running.ftp(), "a.edi", b"the bytes").await, Told::Nothing, "{what}");
        running.ended().await;
        let running = appliance.start().await;
        let receipts = running.receipts(1).await;
        let (beside, id) = (Beside::of(&appliance).await, id_of(&receipts[0]));
        running.partner().await.expect("DELE /Receive/a.edi", 250).await;
        assert_eq!(beside.held(&id).await.as_deref(), Some(&b"the bytes"[..]), "{what}");
        held::release(&beside.depot, &beside.snapshot, &id).await.expect("it is freed");
        assert!(beside.held(&id).await.is_none(), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_took_out_of_receive_before_the_crash_is_still_to_be_passed_along() {
    for point in [Point::Renamed, Point::FolderSynced] {
        let appliance = waiting();
        let mut running = appliance.start_with_fault(Some(&format!("{}:kill:1", point.name()))).await;
        assert_eq!(upload(running.ftp(), "a.edi", b"the bytes").await, Told::Nothing);
        running.ended().await;
        std::fs::remove_file(appliance.place(PARTNER, "Receive").join("a.edi")).expect("it has its name");
        let running = appliance.start().await;
        running.until_status(&["waiting"]).await;
        let id = id_of(&appliance.receipts(PARTNER)[0]);
        assert_eq!(Beside::of(&appliance).await.held(&id).await.as_deref(), Some(&b"the bytes"[..]));
        assert_eq!(appliance.say(&["events", "--kind", "after_receive", "--json"]).lines().count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_again_since_it_was_refused_is_received_once() {
    for (appliance, status) in [(Appliance::new(), "in_receive"), (waiting(), "waiting")] {
        let running = appliance.start_with_fault(Some(&format!("{}:eio:1", Point::SyncFolder.name()))).await;
        assert_eq!(upload(running.ftp(), "a.edi", b"the bytes").await, Told::Refused(451));
        assert!(appliance.place(PARTNER, "Receive").join("a.edi").exists(), "only the last sync failed");
        assert_eq!(upload(running.ftp(), "a.edi", b"the bytes").await, Told::Safe);
        drop(running);
        let running = appliance.start().await;
        running.until_status(&["lost", status]).await;
        assert_eq!(appliance.say(&["events", "--kind", "after_receive", "--json"]).lines().count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_cannot_be_held_is_refused() {
    let appliance = waiting();
    let running = appliance.start_with_fault(Some("held:eio:1")).await;
    assert_eq!(upload(running.ftp(), "a.edi", b"the bytes").await, Told::Refused(451));
    assert_eq!(upload(running.ftp(), "a.edi", b"again").await, Told::Safe);
    running.until_status(&["lost", "waiting"]).await;
    let usage = waybill::store::held::usage(&Beside::of(&appliance).await.depot.db).await.expect("it is read");
    assert_eq!(usage, (1, 5), "nothing is held for the lost one");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_could_not_be_published_goes_on_with_a_receipt_of_its_own() {
    let appliance = waiting();
    appliance.set(&["disk_reserve=1"]);
    let bytes = vec![7; 2_000_000];
    let running = appliance.start_with_fault(Some("held:enospc:1")).await;
    assert_eq!(upload(running.ftp(), "a.edi", &bytes).await, Told::Refused(452));
    let mut client = running.partner().await;
    client.expect("SIZE /Receive/a.edi", 213).await;
    assert_eq!(client.put("APPE /Receive/a.edi", b"more").await.code, 226);
    running.until_status(&["lost", "waiting"]).await;
    assert_eq!(std::fs::metadata(appliance.place(PARTNER, "Receive").join("a.edi")).unwrap().len(), 2_000_004);
}
