//! Files that are passed along: to a folder, to another partner, through a folder; refused, given up, and killed at every
//! step on the way.

use std::path::{Path, PathBuf};

use waybill::base::fault::Point;
use waybill::transfer::held;

use super::faults::{Told, upload};
use crate::kit::{Appliance, Beside, Client, PARTNER, PASSWORD, Running, id_of};

/// `acme-edi` passes along to the Folder `archive` and to the partner `globex`.
fn flowing() -> Appliance {
    let appliance = Appliance::new();
    appliance.say(&["connector", "set", PARTNER, "settle_s=0"]);
    appliance.add("globex", &[]);
    appliance.say(&["connector", "add", "archive", "type=folder"]);
    appliance.say(&["flow", "connect", PARTNER, "archive"]);
    appliance.say(&["flow", "connect", PARTNER, "globex"]);
    appliance
}

fn archive(appliance: &Appliance) -> PathBuf {
    appliance.data().join("partners/archive")
}

/// What lies in a folder, Waybill's own left out.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let file = |entry: std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        entry.path().is_file().then(|| (name, std::fs::read(entry.path()).expect("it is read")))
    };
    let mut files: Vec<_> = entries.filter_map(file).collect();
    files.sort();
    files
}

fn one(name: &str, bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    vec![(name.to_owned(), bytes.to_vec())]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_passed_along_to_a_folder_and_into_another_partners_send() {
    let appliance = flowing();
    appliance.say(&["connector", "add", "cold", "type=folder"]);
    appliance.say(&["flow", "connect", "archive", "cold"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.store("/Receive/a.edi", b"the bytes").await;
    running.until_status(&["passed_along"]).await;
    let cold = appliance.data().join("partners/cold");
    running.until("it went on from the folder", async |_| (files(&cold).len() == 1).then_some(())).await;
    for folder in [archive(&appliance), appliance.place("globex", "Send"), cold] {
        assert_eq!(files(&folder), one("a.edi", b"the bytes"), "{}", folder.display());
    }
    let receive = appliance.place(PARTNER, "Receive");
    running.until("it has left Receive", async |_| files(&receive).is_empty().then_some(())).await;
    // Its partner may still ask for it, and the next one fetches it at once: it need not rest.
    assert_eq!(client.expect("SIZE /Receive/a.edi", 213).await.text, "213 9\r\n");
    let mut globex = Client::login(running.ftp(), "globex", PASSWORD).await;
    assert_eq!(globex.fetch("RETR /Send/a.edi").await.unwrap(), b"the bytes");
    // Nobody signs in with a folder.
    let mut nobody = Client::connect(running.ftp()).await;
    nobody.expect("USER archive", 331).await;
    nobody.expect(&format!("PASS {PASSWORD}"), 530).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_arrow_tells_files_that_stay_from_those_that_had_left_receive() {
    let appliance = flowing();
    appliance.say(&["flow", "disconnect", PARTNER, "globex"]);
    appliance.say(&["connector", "set", "archive", "enabled=off"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.store("/Receive/stays.edi", b"1").await;
    client.store("/Receive/removed.edi", b"2").await;
    client.store("/Receive/replaced.edi", b"3").await;
    client.store("/Receive/replaced.edi", b"4").await;
    client.expect("DELE /Receive/removed.edi", 250).await;
    running.until_status(&["waiting", "removed", "replaced", "waiting"]).await;
    let said = appliance.say(&["flow", "disconnect", PARTNER, "archive"]);
    assert!(said.contains("any more. 2 files that waited for it stay. 2 that waited had left Receive, "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_its_partner_gives_a_temporary_name_waits_for_another() {
    let appliance = flowing();
    appliance.configure(&["settle_s=3"]);
    appliance.say(&["connector", "set", "archive", "keep_order=off"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.store("/Receive/a.edi", b"the bytes").await;
    client.expect("RNFR /Receive/a.edi", 350).await;
    client.expect("RNTO /Receive/a.edi.tmp", 250).await;
    client.store("/Receive/b.edi", b"more").await;
    let there = async |wanted: &[(String, Vec<u8>)]| {
        running.until("it is passed along", async |_| (files(&archive(&appliance)) == wanted).then_some(())).await;
    };
    there(&one("b.edi", b"more")).await;
    let globex = files(&appliance.place("globex", "Send"));
    assert!(globex.iter().all(|(name, _)| name == "b.edi"), "{globex:?}");
    client.expect("RNFR /Receive/a.edi.tmp", 350).await;
    client.expect("RNTO /Receive/c.edi", 250).await;
    there(&[one("b.edi", b"more"), one("c.edi", b"the bytes")].concat()).await;
    running.until_status(&["passed_along"; 2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_goes_while_it_has_a_temporary_name_is_passed_along_by_its_last_other_one() {
    let appliance = flowing();
    appliance.configure(&["settle_s=3", "save_subfolder=on"]);
    appliance.say(&["connector", "set", "archive", "keep_order=off"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("MKD /Receive/in", 257).await;
    for (name, bytes) in [("deleted", &b"deleted"[..]), ("replaced", b"replaced"), ("renamed-onto", b"renamed onto")] {
        client.store(&format!("/Receive/{name}.edi"), bytes).await;
        for (from, to) in
            [(format!("{name}.edi"), format!("in/{name}.tmp")), (format!("in/{name}.tmp"), format!("{name}.part"))]
        {
            client.expect(&format!("RNFR /Receive/{from}"), 350).await;
            client.expect(&format!("RNTO /Receive/{to}"), 250).await;
        }
    }
    client.expect("DELE /Receive/deleted.part", 250).await;
    client.store("/Receive/replaced.part", b"another").await;
    client.expect("RNFR /Receive/replaced.part", 350).await;
    client.expect("RNTO /Receive/renamed-onto.part", 250).await;
    let wanted =
        [one("deleted.edi", b"deleted"), one("renamed-onto.edi", b"renamed onto"), one("replaced.edi", b"replaced")];
    let there = async |_: &Running<'_>| (files(&archive(&appliance)) == wanted.concat()).then_some(());
    running.until("they are passed along all the same", there).await;
    running.until_status(&["removed", "replaced", "replaced"]).await;
    for receipt in running.receipts(3).await {
        assert_eq!(receipt["headers"]["SubFolder"], "", "{receipt}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_leave_receive_leaves_at_the_next_start_whatever_its_folder_is_called_and_whoever_still_waits() {
    let appliance = Appliance::new();
    appliance.say(&["connector", "set", PARTNER, "settle_s=0"]);
    appliance.say(&["connector", "add", "archive", "type=folder"]);
    appliance.add("globex", &[]);
    appliance.say(&["flow", "connect", PARTNER, "archive"]);
    appliance.say(&["flow", "connect", "archive", "globex"]);
    appliance.say(&["connector", "set", "globex", "enabled=off"]);
    let running = appliance.start_with_fault(Some(&format!("{}:eio:1", Point::PassEnded.name()))).await;
    let mut client = running.partner().await;
    client.expect("MKD /Receive/in", 257).await;
    client.store("/Receive/in/a.edi", b"the bytes").await;
    running.until_status(&["passed_along"]).await;
    let receive = appliance.place(PARTNER, "Receive");
    assert_eq!(files(&receive.join("in")), one("a.edi", b"the bytes"));
    client.expect("RNFR /Receive/in", 350).await;
    client.expect("RNTO /Receive/out", 250).await;
    assert_eq!(files(&receive.join("out")), one("a.edi", b"the bytes"));
    drop((client, running));
    let running = appliance.start().await;
    assert_eq!(files(&receive.join("out")), []);
    appliance.say(&["connector", "set", "globex", "enabled=on"]);
    let globex = appliance.place("globex", "Send");
    running.until("who waited has it", async |_| (files(&globex) == one("a.edi", b"the bytes")).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_passed_along_and_has_not_left_yet_is_not_renamed_by_the_name_it_is_stored_with_either() {
    let appliance = flowing();
    appliance.say(&["connector", "set", PARTNER, "local_file_scheme=%FilenameNoExt%-stored.%Ext%"]);
    appliance.say(&["flow", "disconnect", PARTNER, "globex"]);
    let running = appliance.start_with_fault(Some(&format!("{}:eio:1", Point::PassEnded.name()))).await;
    let mut client = running.partner().await;
    client.store("/Receive/a.edi", b"the bytes").await;
    running.until_status(&["passed_along"]).await;
    assert_eq!(files(&appliance.place(PARTNER, "Receive")), one("a-stored.edi", b"the bytes"));
    client.expect("RNFR /Receive/a-stored.edi", 350).await;
    client.expect("RNTO /Receive/b.edi", 550).await;
    drop((client, running));
    let _running = appliance.start().await;
    assert_eq!(files(&appliance.place(PARTNER, "Receive")), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_passed_along_to_a_folder_of_another_file_system() {
    let elsewhere = tempfile::tempdir_in("/dev/shm").expect("there is memory for it");
    let appliance = Appliance::new();
    appliance.say(&["connector", "set", PARTNER, "settle_s=0"]);
    let folder = format!("folder={}", elsewhere.path().join("archive").display());
    appliance.say(&["connector", "add", "archive", "type=folder", &folder]);
    appliance.say(&["flow", "connect", PARTNER, "archive"]);
    let running = appliance.start().await;
    running.partner().await.store("/Receive/a.edi", b"the bytes").await;
    running.until_status(&["passed_along"]).await;
    assert_eq!(files(&elsewhere.path().join("archive")), one("a.edi", b"the bytes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_target_refuses_waits_in_order_and_is_led_elsewhere_when_it_is_given_up() {
    let appliance = Appliance::new();
    appliance.say(&["connector", "set", PARTNER, "settle_s=0"]);
    appliance.add("globex", &["overwrite=refuse"]);
    appliance.say(&["connector", "add", "problems", "type=folder"]);
    appliance.say(&["settings", "set", "delivery_retries=1", "delivery_retry_first_s=1"]);
    appliance.say(&["flow", "connect", PARTNER, "globex"]);
    let send = appliance.place("globex", "Send");
    std::fs::create_dir_all(&send).unwrap();
    std::fs::write(send.join("taken"), b"there before").unwrap();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.store("/Receive/taken", b"refused").await;
    client.store("/Receive/behind", b"waits for its turn").await;
    running.until_status(&["waiting", "passed_along"]).await;
    let receive = appliance.place(PARTNER, "Receive");
    running.until("what was passed along has left Receive", async |_| (files(&receive).len() == 1).then_some(())).await;
    assert_eq!(files(&receive), one("taken", b"refused"), "it stays, visibly");
    let failed = appliance.say(&["events", "--kind", "delivery_failed"]);
    assert!(failed.contains("Gave up passing /Receive/taken of acme-edi along to globex after 2 attempts"), "{failed}");
    assert_eq!(std::fs::read(send.join("taken")).unwrap(), b"there before");
    assert_eq!(std::fs::read(send.join("behind")).unwrap(), b"waits for its turn");

    appliance.say(&["flow", "connect", PARTNER, "problems", "--error"]);
    client.store("/Receive/behind", b"refused too").await;
    running.until_status(&["waiting", "passed_along", "passed_along"]).await;
    assert_eq!(files(&appliance.data().join("partners/problems")), one("behind", b"refused too"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_keeps_its_bytes_until_somebody_decides() {
    let appliance = Appliance::new();
    appliance.say(&["connector", "set", PARTNER, "settle_s=0"]);
    appliance.add("globex", &["overwrite=refuse"]);
    appliance.say(&["settings", "set", "delivery_retries=0"]);
    appliance.say(&["flow", "connect", PARTNER, "globex"]);
    let send = appliance.place("globex", "Send");
    std::fs::create_dir_all(&send).unwrap();
    let names = ["replaced", "deleted", "staying"];
    for name in names {
        std::fs::write(send.join(name), b"there before").unwrap();
    }
    let running = appliance.start().await;
    let mut client = running.partner().await;
    for name in names {
        client.store(&format!("/Receive/{name}"), name.as_bytes()).await;
    }
    let given_up = async |count| {
        running
            .until("they are given up", async |_| {
                let told = appliance.say(&["events", "--kind", "delivery_failed", "--json"]);
                (told.lines().count() == count).then_some(())
            })
            .await;
    };
    given_up(3).await;
    let ids: Vec<_> = appliance.receipts(PARTNER).iter().map(id_of).collect();
    client.store("/Receive/replaced", b"newer").await;
    client.expect("DELE /Receive/deleted", 250).await;
    given_up(4).await;
    let Beside { depot, snapshot } = Beside::of(&appliance).await;
    held::free_ended(&depot, &snapshot).await.unwrap();
    for id in &ids {
        assert!(held::open_held(&depot, id).await.is_ok(), "{id}");
    }
    // The administrator decides that nobody is to have them.
    let said = appliance.say(&["flow", "disconnect", PARTNER, "globex"]);
    assert!(said.contains("2 files that waited for it stay. 2 that waited had left Receive"), "{said}");
    running.until_status(&["replaced", "removed", "in_receive", "in_receive"]).await;
    held::free_ended(&depot, &snapshot).await.unwrap();
    for id in &ids {
        assert!(held::open_held(&depot, id).await.is_err(), "{id}");
    }
    assert_eq!(std::fs::read(appliance.place(PARTNER, "Receive").join("staying")).unwrap(), b"staying");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_was_removed_is_made_again() {
    let appliance = Appliance::new();
    appliance.say(&["connector", "set", PARTNER, "settle_s=0"]);
    appliance.say(&["connector", "add", "archive", "type=folder"]);
    appliance.say(&["settings", "set", "delivery_retries=1", "delivery_retry_first_s=1"]);
    appliance.say(&["flow", "connect", PARTNER, "archive"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.store("/Receive/first", b"bytes").await;
    running.until_status(&["passed_along"]).await;
    std::fs::remove_dir_all(archive(&appliance)).unwrap();
    client.store("/Receive/second", b"more").await;
    running.until_status(&["passed_along", "passed_along"]).await;
    assert_eq!(files(&archive(&appliance)), one("second", b"more"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_a_disabled_connector_waits_until_it_is_enabled_and_is_never_given_up() {
    let appliance = flowing();
    // It would be given up at its first attempt, which would come at once.
    appliance.say(&["settings", "set", "delivery_retries=0"]);
    appliance.say(&["connector", "set", "archive", "enabled=off"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    let send = appliance.place("globex", "Send");
    for (name, count) in [("a.edi", 1), ("b.edi", 2)] {
        client.store(&format!("/Receive/{name}"), b"order").await;
        running.until("the other target has it", async |_| (files(&send).len() == count).then_some(())).await;
    }
    running.until_status(&["waiting", "waiting"]).await;
    assert_eq!(appliance.say(&["events", "--kind", "delivery_failed", "--json"]), "");
    appliance.say(&["connector", "set", "archive", "enabled=on"]);
    running.until_status(&["passed_along", "passed_along"]).await;
    assert_eq!(files(&archive(&appliance)).len(), 2);
    assert_eq!(files(&send).len(), 2, "what had it got it once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_arrow_stops_what_waits_and_the_file_stays() {
    let appliance = Appliance::new();
    appliance.say(&["connector", "set", PARTNER, "settle_s=3600"]);
    appliance.say(&["connector", "add", "archive", "type=folder"]);
    appliance.say(&["flow", "connect", PARTNER, "archive"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.store("/Receive/a.edi", b"the bytes").await;
    running.until_status(&["waiting"]).await;
    let said = appliance.say(&["flow", "disconnect", PARTNER, "archive"]);
    assert!(said.contains("One file that waited for it stays."), "{said}");
    running.until_status(&["in_receive"]).await;
    assert_eq!(files(&appliance.place(PARTNER, "Receive")), one("a.edi", b"the bytes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_step_a_file_is_passed_along_once() {
    for point in Point::PASSING {
        let what = format!("killed at {}", point.name());
        let appliance = flowing();
        // Whoever collects from the folder has taken the file by the time the power comes back.
        let mut running = appliance.start_with_fault(Some(&format!("{}:kill:1", point.name()))).await;
        assert_eq!(upload(running.ftp(), "a.edi", b"the bytes").await, Told::Safe, "{what}");
        running.ended().await;
        let mut taken = 0;
        for folder in [archive(&appliance), appliance.place("globex", "Send")] {
            for (name, bytes) in files(&folder) {
                assert_eq!((name.as_str(), bytes.as_slice()), ("a.edi", &b"the bytes"[..]), "{what}: it is whole");
                std::fs::remove_file(folder.join(name)).unwrap();
                taken += 1;
            }
        }
        let running = appliance.start().await;
        running.until_status(&["passed_along"]).await;
        let receive = appliance.place(PARTNER, "Receive");
        running.until(&format!("{what}: it has left"), async |_| files(&receive).is_empty().then_some(())).await;
        let there = files(&archive(&appliance)).len() + files(&appliance.place("globex", "Send")).len();
        assert_eq!(taken + there, 2, "{what}: each target got it once");
        for folder in [archive(&appliance), appliance.place("globex", "Send")] {
            assert_eq!(files(&folder.join(".waybill")), [], "{what}: nothing is left in staging");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_on_the_way_is_tried_again_and_nothing_comes_twice() {
    for point in Point::PASSING {
        let what = format!("failed at {}", point.name());
        let appliance = flowing();
        appliance.say(&["settings", "set", "delivery_retry_first_s=1"]);
        let running = appliance.start_with_fault(Some(&format!("{}:eio:1", point.name()))).await;
        assert_eq!(upload(running.ftp(), "a.edi", b"the bytes").await, Told::Safe, "{what}");
        running.until_status(&["passed_along"]).await;
        for folder in [archive(&appliance), appliance.place("globex", "Send")] {
            assert_eq!(files(&folder), one("a.edi", b"the bytes"), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_did_not_get_to_the_disk_takes_no_room_until_the_next_attempt() {
    let appliance = flowing();
    let running = appliance.start_with_fault(Some("pass_staged:enospc:1")).await;
    assert_eq!(upload(running.ftp(), "a.edi", b"the bytes").await, Told::Safe);
    let folders = [archive(&appliance), appliance.place("globex", "Send")];
    running
        .until("one target has it, and nothing is left of the attempt that failed", async |_| {
            let has_it = folders.iter().filter(|folder| !files(folder).is_empty()).count();
            let left = folders.iter().map(|folder| files(&folder.join(".waybill")).len()).sum::<usize>();
            (has_it == 1 && left == 0).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_is_received_a_file_is_passed_along_or_not_there() {
    for point in [Point::Committed, Point::Held, Point::Renamed, Point::FolderSynced] {
        let what = format!("killed at {}", point.name());
        let appliance = flowing();
        let mut running = appliance.start_with_fault(Some(&format!("{}:kill:1", point.name()))).await;
        assert_eq!(upload(running.ftp(), "a.edi", b"the bytes").await, Told::Nothing, "{what}");
        running.ended().await;
        let running = appliance.start().await;
        running.until_status(&["passed_along"]).await;
        for folder in [archive(&appliance), appliance.place("globex", "Send")] {
            assert_eq!(files(&folder), one("a.edi", b"the bytes"), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_synced_when_a_file_is_looked_for_there_is_told_as_failing_storage() {
    let appliance = Appliance::new();
    appliance.configure(&["settle_s=0"]);
    appliance.say(&["settings", "set", "delivery_retry_first_s=1"]);
    appliance.say(&["connector", "add", "archive", "type=folder"]);
    appliance.say(&["flow", "connect", PARTNER, "archive"]);
    let mut running = appliance.start_with_fault(Some(&format!("{}:kill:1", Point::PassNamed.name()))).await;
    assert_eq!(upload(running.ftp(), "a.edi", b"the bytes").await, Told::Safe);
    running.ended().await;
    // Its disk is away at the start.
    let (folder, away) = (archive(&appliance), appliance.data().join("away"));
    std::fs::rename(&folder, &away).unwrap();
    let running = appliance.start_with_fault(Some(&format!("{}:eio:1", Point::SyncFolder.name()))).await;
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::rename(&away, &folder).unwrap();
    running.until_status(&["passed_along"]).await;
    let told = appliance.say(&["events", "--kind", "storage_failing"]);
    assert!(told.contains("Storage of archive: ") && told.contains("until a test write succeeds"), "{told}");
    assert_eq!(files(&archive(&appliance)), one("a.edi", b"the bytes"));
}
