//! A new version of a whole file (APPE, REST and STOR) under a Local File Scheme, which gives each version its own name: the
//! older one leaves Receive when the newer lies there, and not before.

use crate::kit::{Appliance, Beside, PARTNER, id_of};

/// Each file is stored under its receipt's id.
fn appliance() -> Appliance {
    let appliance = Appliance::new();
    appliance.configure(&["local_file_scheme=%MessageId%-%Filename%"]);
    appliance
}

/// What lies in Receive under final names, whole.
fn there(appliance: &Appliance) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(appliance.place(PARTNER, "Receive")).expect("it is there");
    let files = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file());
    files.map(|path| std::fs::read(path).expect("it is read")).collect()
}

#[cfg(feature = "faults")]
/// The size and status of each receipt that was not lost, oldest first.
fn receipts(appliance: &Appliance) -> Vec<(u64, String)> {
    let all = appliance.receipts(PARTNER);
    let known = all.iter().filter(|one| one["status"] != "lost");
    let status = |one: &serde_json::Value| one["status"].as_str().expect("a status").to_owned();
    known.map(|one| (one["size_bytes"].as_u64().expect("a size"), status(one))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_under_a_name_of_its_own_replaces_the_older_one_whose_bytes_stay_held() {
    let appliance = appliance();
    appliance.say(&["connector", "set", PARTNER, "settle_s=3600", "quota_files=1"]);
    appliance.say(&["connector", "add", "archive", "type=folder"]);
    appliance.say(&["flow", "connect", PARTNER, "archive"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD /Receive", 250).await;
    client.store("a.edi", b"one").await;
    assert_eq!(client.put("APPE a.edi", b" two").await.code, 226, "it takes the place of the only file there may be");
    assert_eq!(there(&appliance), [b"one two"]);
    client.expect("REST 3", 350).await;
    client.store("a.edi", b" three").await;
    assert_eq!(there(&appliance), [b"one three"]);
    assert_eq!(client.list("NLST").await, "a.edi\r\n");
    assert_eq!(client.fetch("RETR a.edi").await.unwrap(), b"one three");
    let all = running.receipts(3).await;
    let beside = Beside::of(&appliance).await;
    for (receipt, (status, bytes)) in
        all.iter().zip([("replaced", &b"one"[..]), ("replaced", b"one two"), ("waiting", b"one three")])
    {
        assert_eq!(receipt["status"], status, "{receipt}");
        assert_eq!(beside.held(&id_of(receipt)).await.as_deref(), Some(bytes), "its delivery is still to come");
    }
}

#[cfg(feature = "faults")]
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_step_the_older_version_leaves_only_for_a_newer_one_that_is_whole() {
    use waybill::base::fault::Point;

    use super::faults::{Told, send};

    let (old, added) = (b"the old version".to_vec(), vec![7_u8; 100_000]);
    let new = [&old[..], &added].concat();
    let mut faults: Vec<_> = Point::RECEIVING.map(|point| format!("{}:kill:1", point.name())).into();
    // The second sync of the folder is that of the older one's leaving.
    faults.extend([format!("{}:kill:2", Point::SyncFolder.name()), format!("{}:eio:2", Point::SyncFolder.name())]);
    for what in faults {
        let appliance = appliance();
        let mut running = appliance.start().await;
        assert_eq!(send(running.ftp(), "STOR /Receive/a.edi", &old).await, Told::Safe);
        running.terminate();
        running.ended().await;
        let recovering = format!("{}:kill:1", Point::Recovering.name());
        let fault = if what == recovering { "committed:kill:1" } else { &what };
        let mut running = appliance.start_with_fault(Some(fault)).await;
        let told = send(running.ftp(), "APPE /Receive/a.edi", &added).await;
        assert_eq!(told, if what.contains("eio") { Told::Refused(451) } else { Told::Nothing }, "{what}");
        if told == Told::Nothing {
            running.ended().await;
        }
        drop(running);
        if what == recovering {
            appliance.start_and_die(&recovering).await;
        }
        let running = appliance.start().await;
        let size = |bytes: &[u8]| u64::try_from(bytes.len()).expect("it is small");
        let of = |bytes: &[u8], status: &str| (size(bytes), status.to_owned());
        if there(&appliance) == [old.clone()] {
            assert_eq!(receipts(&appliance), [of(&old, "in_receive")], "{what}");
        } else {
            assert!(there(&appliance) == [new.clone()], "{what}: one of the versions is there, whole");
            assert_eq!(receipts(&appliance), [of(&old, "replaced"), of(&new, "in_receive")], "{what}");
        }
        assert_eq!(send(running.ftp(), "STOR /Receive/later.edi", b"later").await, Told::Safe, "{what}: afterwards");
    }
}
