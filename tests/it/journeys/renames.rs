//! Renames that are broken off, or race with others: a receipt is of the file that lies under its name.

use std::fs::DirEntry;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use waybill::base::fault::Point;

use crate::kit::{Appliance, Client, PARTNER, PASSWORD, Running, sha256};

/// Every file that lies in Receive has one receipt, with its digest, and every receipt of a file there has one. That a file
/// has taken another's place is written within milliseconds of its 226, for which nobody waits.
async fn check(appliance: &Appliance, what: &str) {
    for _ in 0..100 {
        if receipts(appliance) == files(appliance) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(receipts(appliance), files(appliance), "{what}");
}

/// Path and digest of every file that lies in Receive and in the folders there.
fn files(appliance: &Appliance) -> Vec<(String, String)> {
    let entries = |folder: &Path| std::fs::read_dir(folder).expect("it is there").flatten().collect::<Vec<_>>();
    let is_folder = |entry: &DirEntry| entry.path().is_dir() && entry.file_name() != ".waybill";
    let receive = appliance.place(PARTNER, "Receive");
    let mut all = entries(&receive);
    all.extend(
        all.iter().filter(|entry| is_folder(entry)).flat_map(|entry| entries(&entry.path())).collect::<Vec<_>>(),
    );
    let file = |entry: DirEntry| {
        let below = entry.path().strip_prefix(&receive).expect("it lies there").to_string_lossy().into_owned();
        let is_one = entry.path().is_file() && below != "up.tmp";
        is_one.then(|| (format!("/Receive/{below}"), sha256(&std::fs::read(entry.path()).expect("it is read"))))
    };
    let mut files: Vec<_> = all.into_iter().filter_map(file).collect();
    files.sort();
    files
}

/// The same of every receipt of a file there.
fn receipts(appliance: &Appliance) -> Vec<(String, String)> {
    let receipts = appliance.receipts(PARTNER);
    let text = |receipt: &Value, key: &str| receipt[key].as_str().unwrap_or_default().to_owned();
    let mut receipts: Vec<_> = receipts
        .iter()
        .filter(|receipt| receipt["status"] == "in_receive")
        .map(|receipt| (text(receipt, "path"), text(receipt, "sha256")))
        .collect();
    receipts.sort();
    receipts
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_a_rename_the_receipt_follows_the_file() {
    let appliance = Appliance::new();
    let mut running = appliance.start().await;
    let mut client = running.partner().await;
    for name in ["a.edi", "b.edi", "c.edi"] {
        client.store(&format!("/Receive/{name}"), name.as_bytes()).await;
    }
    running.terminate();
    running.ended().await;
    for (at, (from, to)) in [("a.edi", "new.edi"), ("b.edi", "c.edi"), ("new.edi", "new.edi.tmp")].iter().enumerate() {
        let mut running = appliance.start_with_fault(Some(&format!("{}:kill:1", Point::Renamed.name()))).await;
        let mut client = running.partner().await;
        client.expect(&format!("RNFR /Receive/{from}"), 350).await;
        assert!(client.try_send(&format!("RNTO /Receive/{to}")).await.is_err(), "it was killed");
        running.ended().await;
        let running = appliance.start().await;
        if at < 2 {
            check(&appliance, &format!("{from} is {to}")).await;
        } else {
            // It has its receipt already and gets no second one.
            let mut client = running.partner().await;
            client.expect(&format!("RNFR /Receive/{to}"), 350).await;
            client.expect("RNTO /Receive/last.edi", 250).await;
            check(&appliance, "under a temporary name and back").await;
            assert_eq!(appliance.receipts(PARTNER).len(), 3);
        }
        running.kill();
    }
}

/// Uploads under a temporary name that all share, renamed to a name of its own.
async fn temporaries(running: &Running<'_>, who: usize) {
    let mut client = Client::login(running.ftp(), PARTNER, PASSWORD).await;
    for n in 0..20 {
        client.put("STOR /Receive/up.tmp", format!("{who} {n} {}", "x".repeat(who * 7)).as_bytes()).await;
        if client.send("RNFR /Receive/up.tmp").await.code == 350 {
            client.send(&format!("RNTO /Receive/{who}-{n}.edi")).await;
        }
    }
}

/// Uploads of one name beside renames of it.
async fn names(running: &Running<'_>, who: usize) {
    let mut client = Client::login(running.ftp(), PARTNER, PASSWORD).await;
    for n in 0..20 {
        if who.is_multiple_of(2) {
            client.put("STOR /Receive/x.edi", format!("{who} {n} {}", "y".repeat(n)).as_bytes()).await;
        } else if client.send("RNFR /Receive/x.edi").await.code == 350 {
            client.send(&format!("RNTO /Receive/y{who}-{n}.edi")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn renames_that_race_with_each_other_and_with_uploads_mix_nothing_up() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    tokio::join!(temporaries(&running, 0), temporaries(&running, 1), temporaries(&running, 2));
    check(&appliance, "one temporary name").await;
    tokio::join!(names(&running, 0), names(&running, 1), names(&running, 2), names(&running, 3));
    check(&appliance, "one name").await;
}

/// Uploads into a folder that has one of two names, each of them deleted again or renamed at times.
async fn into_folder(running: &Running<'_>, who: usize) {
    let mut client = Client::login(running.ftp(), PARTNER, PASSWORD).await;
    for n in 0..40 {
        let name = format!("{who}-{n}.edi");
        for folder in ["one", "two"] {
            let path = format!("/Receive/{folder}/{name}");
            client.put(&format!("STOR {path}"), format!("{folder} {name}").as_bytes()).await;
            match n % 3 {
                0 => drop(client.send(&format!("DELE {path}")).await),
                1 if client.send(&format!("RNFR {path}")).await.code == 350 => {
                    client.send(&format!("RNTO /Receive/{folder}/{who}-{n}.now")).await;
                }
                _ => {}
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_follow_a_folder_that_is_renamed_beside_uploads_into_it() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("MKD /Receive/one", 257).await;
    let renaming = async {
        for n in 0..120 {
            let (from, to) = if n % 2 == 0 { ("one", "two") } else { ("two", "one") };
            client.expect(&format!("RNFR /Receive/{from}"), 350).await;
            client.expect(&format!("RNTO /Receive/{to}"), 250).await;
        }
    };
    tokio::join!(renaming, into_folder(&running, 0), into_folder(&running, 1), into_folder(&running, 2));
    check(&appliance, "in a folder").await;
    assert!(!files(&appliance).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_that_would_replace_what_must_stay_is_refused_with_the_rule() {
    let appliance = Appliance::new();
    appliance.configure(&["overwrite=refuse"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.store("/Receive/a.edi", b"a").await;
    client.store("/Receive/b.edi", b"b").await;
    client.expect("RNFR /Receive/a.edi", 350).await;
    client.expect("RNTO /Receive/b.edi", 553).await;
    check(&appliance, "refused").await;
    let refusals = running.until("it is explained", async |running| {
        let refusals = running.refusals().await;
        (!refusals.is_empty()).then_some(refusals)
    });
    assert!(format!("{:?}", refusals.await[0]).contains("/Receive/b.edi is there already"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_away_at_start_loses_no_receipt() {
    let appliance = Appliance::new();
    let mut running = appliance.start_with_fault(Some(&format!("{}:kill:1", Point::Committed.name()))).await;
    let mut client = running.partner().await;
    let mut data = client.begin("STOR /Receive/a.edi").await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut data, b"the bytes").await.unwrap();
    drop(data);
    running.ended().await;
    let folder = appliance.place(PARTNER, "Receive");
    let away = folder.with_file_name("away");
    std::fs::rename(&folder, &away).unwrap();
    appliance.start().await.kill();
    assert_eq!(appliance.receipts(PARTNER)[0]["status"], "in_receive", "nothing is known of it");
    let told = appliance.say(&["events", "--kind", "storage_failing"]);
    assert!(told.contains("its Receive folder is not the one that /Receive/a.edi was received in"), "{told}");
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::rename(&away, &folder).unwrap();
    let running = appliance.start().await;
    check(&appliance, "the disk is back").await;
    assert_eq!(running.receipts(1).await[0]["path"], "/Receive/a.edi");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_a_folders_rename_the_receipts_below_follow() {
    let appliance = Appliance::new();
    let mut running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("MKD /Receive/old", 257).await;
    client.store("/Receive/old/a.edi", b"the bytes").await;
    running.terminate();
    running.ended().await;
    let mut running = appliance.start_with_fault(Some(&format!("{}:kill:1", Point::Renamed.name()))).await;
    let mut client = running.partner().await;
    client.expect("RNFR /Receive/old", 350).await;
    assert!(client.try_send("RNTO /Receive/new").await.is_err(), "it was killed");
    running.ended().await;
    let running = appliance.start().await;
    assert_eq!(running.receipts(1).await[0]["path"], "/Receive/new/a.edi");
    assert_eq!(running.partner().await.fetch("RETR /Receive/new/a.edi").await.unwrap(), b"the bytes");
}
