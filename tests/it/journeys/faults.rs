//! Every step of the commit path is broken once: by `kill -9`, by an input/output error, by a full disk. Whatever the
//! partner was told holds after a restart.

use waybill::base::fault::Point;

use crate::kit::{Appliance, Client, PARTNER, PASSWORD, sha256};

const NAME: &str = "orders.edi";

/// What the partner was told about an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// 226.
    Safe,
    /// A refusal, with its code.
    Refused(u16),
    /// Nothing: the connection broke.
    Nothing,
}

/// One upload of `bytes`, whatever becomes of it.
pub(super) async fn upload(address: std::net::SocketAddr, name: &str, bytes: &[u8]) -> Told {
    send(address, &format!("STOR /Receive/{name}"), bytes).await
}

/// The same by that command.
pub(super) async fn send(address: std::net::SocketAddr, command: &str, bytes: &[u8]) -> Told {
    let upload = async {
        let mut client = Client::try_connect(address).await?;
        for line in [format!("USER {PARTNER}"), format!("PASS {PASSWORD}"), "TYPE I".to_owned()] {
            client.try_send(&line).await?;
        }
        let mut data = client.try_data().await?;
        let reply = client.try_send(command).await?;
        if reply.code != 150 {
            return Ok(reply.code);
        }
        // A data connection that the server has closed is no answer: that comes on the control connection.
        if tokio::io::AsyncWriteExt::write_all(&mut data, bytes).await.is_ok() {
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut data).await;
        }
        drop(data);
        client.try_reply().await.map(|reply| reply.code)
    };
    let outcome: std::io::Result<u16> = upload.await;
    match outcome {
        Ok(226) => Told::Safe,
        Ok(code) => Told::Refused(code),
        Err(_) => Told::Nothing,
    }
}

/// One version lies there. Stopped in order, so that recovery has nothing to do when a fault is set.
async fn lay_there(appliance: &Appliance, old: &[u8]) {
    let mut running = appliance.start().await;
    assert_eq!(upload(running.ftp(), NAME, old).await, Told::Safe);
    running.terminate();
    running.ended().await;
}

/// After a restart: the old version or the new one, whole; a receipt for each version that is or was there; the
/// acknowledged one in any case.
fn check(appliance: &Appliance, what: &str, told: Told, (old, new): (&[u8], &[u8])) {
    let there = std::fs::read(appliance.place(PARTNER, "Receive").join(NAME)).expect("one of the versions is there");
    assert!(there == old || there == new, "{what}: neither version is there whole");
    let receipts = appliance.receipts(PARTNER);
    let of = |bytes: &[u8]| {
        let digest = sha256(bytes);
        receipts.iter().filter(|one| one["sha256"] == digest.as_str() && one["status"] != "lost").count()
    };
    assert_eq!(of(old), 1, "{what}: the old version has its one receipt");
    if told == Told::Safe {
        assert!(there == new, "{what}: what was acknowledged is not there");
        assert_eq!(of(new), 1, "{what}: what was acknowledged has one receipt");
    }
    assert_eq!(there == new, of(new) == 1, "{what}: {told:?}: a file and its receipt belong together");
    let current = receipts.iter().filter(|one| one["status"] == "in_receive").count();
    assert_eq!(current, 1, "{what}: one receipt is of the file that lies there");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_step_a_new_version_is_whole_or_not_there() {
    for point in Point::RECEIVING {
        let appliance = Appliance::new();
        let (old, new) = (b"the old version".to_vec(), vec![7_u8; 100_000]);
        lay_there(&appliance, &old).await;
        // Recovery itself is broken off, too: first a kill that leaves it something to do.
        let at = if point == Point::Recovering { Point::Committed } else { point };
        let mut running = appliance.start_with_fault(Some(&format!("{}:kill:1", at.name()))).await;
        let told = upload(running.ftp(), NAME, &new).await;
        let what = format!("killed at {}", point.name());
        assert_eq!(told, Told::Nothing, "{what}");
        running.ended().await;
        if point == Point::Recovering {
            appliance.start_and_die(&format!("{}:kill:1", point.name())).await;
        }
        let running = appliance.start().await;
        check(&appliance, &what, told, (&old, &new));
        let again = b"and one more";
        assert_eq!(upload(running.ftp(), "later.edi", again).await, Told::Safe, "{what}: it goes on afterwards");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_journal_cannot_be_synced_a_receipt_is_committed_by_itself() {
    let appliance = Appliance::new();
    let running = appliance.start_with_fault(Some("sync_journal:eio:1")).await;
    for name in ["a.edi", "b.edi"] {
        assert_eq!(upload(running.ftp(), name, name.as_bytes()).await, Told::Safe, "{name}");
    }
    running.kill();
    let _running = appliance.start().await;
    let of = |status: &str| appliance.receipts(PARTNER).iter().filter(|one| one["status"] == status).count();
    assert_eq!((of("in_receive"), of("lost")), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_two_names_a_file_keeps_its_final_one() {
    // Where no rename leaves a taken name alone, a link and its unlinking do.
    let appliance = Appliance::new();
    let mut running = appliance.start_with_fault(Some("committed:kill:1")).await;
    assert_eq!(upload(running.ftp(), NAME, b"the bytes").await, Told::Nothing);
    running.ended().await;
    let folder = appliance.place(PARTNER, "Receive");
    let parts = || std::fs::read_dir(folder.join(".waybill")).expect("it is there").flatten().map(|entry| entry.path());
    let part = parts().find(|path| path.is_file()).expect("it is in staging");
    std::fs::hard_link(part, folder.join(NAME)).expect("it has both names");
    let _running = appliance.start().await;
    assert_eq!(parts().find(|path| path.is_file()), None);
    assert_eq!(appliance.receipts(PARTNER)[0]["status"], "in_receive");
    assert_eq!(std::fs::read(folder.join(NAME)).expect("it is there"), b"the bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_at_each_step_is_told_and_leaves_the_old_version() {
    for (point, error, code) in [
        (Point::PartMade, "eio", 451),
        (Point::WritePart, "eio", 451),
        (Point::WritePart, "enospc", 452),
        (Point::SyncPart, "eio", 451),
        (Point::PartSynced, "eio", 451),
        (Point::SyncFolder, "eio", 451),
    ] {
        let appliance = Appliance::new();
        let (old, new) = (b"the old version".to_vec(), vec![7_u8; 100_000]);
        lay_there(&appliance, &old).await;
        let what = format!("{error} at {}", point.name());
        let running = appliance.start_with_fault(Some(&format!("{}:{error}:1", point.name()))).await;
        let told = upload(running.ftp(), NAME, &new).await;
        assert_eq!(told, Told::Refused(code), "{what}");
        // The next upload finds, by a probe, that storage works again.
        assert_eq!(upload(running.ftp(), "later.edi", b"later").await, Told::Safe, "{what}: afterwards");
        drop(running);
        let running = appliance.start().await;
        let receipts = appliance.receipts(PARTNER);
        let later = receipts.iter().filter(|one| one["name"] == "later.edi").count();
        assert_eq!(later, 1, "{what}");
        let there = std::fs::read(appliance.place(PARTNER, "Receive").join(NAME)).expect("a version is there");
        assert!(there == old || (there == new && point == Point::SyncFolder), "{what}: the old version is not whole");
        drop(running);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_takes_less_than_it_is_given_gets_the_rest() {
    let appliance = Appliance::new();
    let running = appliance.start_with_fault(Some("write_part:short:1")).await;
    let bytes: Vec<u8> = (0..=250).cycle().take(1_000_003).collect();
    assert_eq!(upload(running.ftp(), NAME, &bytes).await, Told::Safe);
    assert!(std::fs::read(appliance.place(PARTNER, "Receive").join(NAME)).expect("it is there") == bytes);
    assert_eq!(running.receipts(1).await[0]["sha256"], sha256(&bytes));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_keeps_a_part_that_is_worth_it_and_an_error_is_told_once() {
    let appliance = Appliance::new();
    appliance.set(&["disk_reserve=1"]);
    let running = appliance.start_with_fault(Some("write_part:enospc:100")).await;
    assert_eq!(upload(running.ftp(), NAME, &vec![7; 60_000_000]).await, Told::Refused(452));
    let mut client = running.partner().await;
    let size = client.expect(&format!("SIZE /Receive/{NAME}"), 213).await;
    let size: usize = size.text[4..].trim().parse().expect("a number");
    assert!((1_048_576..60_000_000).contains(&size), "{size}");
    client.expect(&format!("REST {size}"), 350).await;
    client.store(&format!("/Receive/{NAME}"), &vec![7; 60_000_000 - size]).await;
    assert_eq!(running.receipts(1).await[0]["sha256"], sha256(&vec![7; 60_000_000]));
    drop(running);

    // What did not get from the kernel to the disk is forgotten after it is told once: such a part is not kept.
    let running = appliance.start_with_fault(Some("sync_part:enospc:1")).await;
    assert_eq!(upload(running.ftp(), "c.edi", &vec![7; 40_000_000]).await, Told::Refused(452));
    running.partner().await.expect("SIZE /Receive/c.edi", 550).await;
    drop(running);

    let running = appliance.start_with_fault(Some("sync_part:eio:1")).await;
    assert_eq!(upload(running.ftp(), "b.edi", b"b").await, Told::Refused(451));
    assert_eq!(upload(running.ftp(), "b.edi", b"b").await, Told::Safe);
    let told = running.until("the failure is an event", async |_| {
        let text = appliance.say(&["events", "--json", "--kind", "storage_failing"]);
        (text.lines().count() == 1).then_some(text)
    });
    assert!(told.await.contains("uploads are refused until a test write succeeds"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gets_its_final_name_is_synced_once_more_in_its_folder_only() {
    // The upload's own sync is the first of each.
    for fault in ["sync_part:eio:2", "sync_folder:eio:3"] {
        let appliance = Appliance::new();
        let running = appliance.start_with_fault(Some(fault)).await;
        assert_eq!(upload(running.ftp(), "a.tmp", b"whole").await, Told::Safe, "{fault}");
        let mut client = running.partner().await;
        client.expect("RNFR /Receive/a.tmp", 350).await;
        client.expect("RNTO /Receive/a.edi", 250).await;
        assert_eq!(running.receipts(1).await[0]["sha256"], sha256(b"whole"), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_command_finds_that_storage_fails_it_is_told_and_uploads_wait_for_a_probe() {
    for (fault, commands) in [
        ("sync_folder:eio:2", &["MKD /Receive/sub"][..]),
        ("sync_folder:eio:2", &["RNFR /Receive/a.tmp", "RNTO /Receive/a.edi"]),
        ("sync_folder:eio:2", &["RNFR /Receive/a.tmp", "RNTO /Receive/b.tmp"]),
    ] {
        let what = commands.last().expect("there is a command");
        let appliance = Appliance::new();
        let running = appliance.start_with_fault(Some(fault)).await;
        assert_eq!(upload(running.ftp(), "a.tmp", b"whole").await, Told::Safe, "{what}");
        let mut client = running.partner().await;
        for before in &commands[..commands.len() - 1] {
            client.expect(before, 350).await;
        }
        client.expect(what, 451).await;
        let told = running.until("the failure is an event", async |_| {
            let text = appliance.say(&["events", "--json", "--kind", "storage_failing"]);
            (text.lines().count() == 1).then_some(text)
        });
        assert!(told.await.contains("uploads are refused until a test write succeeds"), "{what}");
        assert_eq!(upload(running.ftp(), "b.edi", b"b").await, Told::Safe, "{what}: afterwards");
    }
}
