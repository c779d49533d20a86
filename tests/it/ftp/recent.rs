//! What a partner finds of its recent uploads, wherever they are by now, and what it cannot take back (PRODUCT 5.9).

use waybill::domain::receipt::Status;
use waybill::store::{receipt, renaming};
use waybill::transfer::held;

use crate::kit::{Appliance, Beside, PARTNER, id_of, sha256};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_stored_under_another_name_is_found_by_its_own_and_deleting_it_only_hides_it() {
    let appliance = Appliance::new();
    appliance.configure(&["local_file_scheme=in-%Filename%"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD /Receive", 250).await;
    client.store("a.edi", b"the bytes").await;
    assert_eq!(client.expect("SIZE a.edi", 213).await.text, "213 9\r\n");
    client.expect("MFMT 20240102030405 a.edi", 213).await;
    assert_eq!(client.expect("MDTM a.edi", 213).await.text, "213 20240102030405\r\n");
    let line = client.expect("MLST a.edi", 250).await.text;
    assert!(line.contains("size=9;") && line.contains("modify=20240102030405"), "{line}");
    assert!(client.list("MLSD").await.contains("modify=20240102030405"));
    assert_eq!(client.list("NLST").await, "a.edi\r\n");
    assert_eq!(client.fetch("RETR a.edi").await.unwrap(), b"the bytes");
    assert!(client.expect("XSHA256 a.edi", 250).await.text.to_lowercase().contains(&sha256(b"the bytes")));

    client.expect("DELE a.edi", 250).await;
    let stored = appliance.place(PARTNER, "Receive").join("in-a.edi");
    assert_eq!(std::fs::read(&stored).unwrap(), b"the bytes", "what was received is not recalled");
    assert_eq!(running.receipts(1).await[0]["status"], "in_receive");
    assert_eq!(client.list("NLST").await, "");
    for line in ["SIZE a.edi", "SIZE in-a.edi", "DELE a.edi", "RNFR a.edi", "RNFR in-a.edi"] {
        assert_eq!(client.send(line).await.code, 550, "{line}");
    }
    assert_eq!(client.fetch("RETR in-a.edi").await.unwrap_err().code, 550);
    // A new upload of that name is seen again.
    client.store("a.edi", b"more").await;
    assert_eq!(client.list("NLST").await, "a.edi\r\n");
    assert_eq!(client.fetch("RETR a.edi").await.unwrap(), b"more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_does_not_follow_a_file_that_another_program_put_in_its_place() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD /Receive", 250).await;
    client.store("a.edi", b"the bytes").await;
    let folder = appliance.place(PARTNER, "Receive");
    let theirs = folder.with_file_name("theirs");
    std::fs::write(&theirs, b"not these").unwrap();
    std::fs::rename(&theirs, folder.join("a.edi")).unwrap();
    client.expect("RNFR a.edi", 350).await;
    client.expect("RNTO b.edi", 250).await;
    assert_eq!(std::fs::read(folder.join("b.edi")).unwrap(), b"not these");
    assert_eq!(running.receipts(1).await[0]["path"], "/Receive/a.edi");
    // A copy of the very bytes, as where a data folder was copied from elsewhere, is followed.
    client.store("c.edi", b"the same").await;
    std::fs::write(&theirs, b"the same").unwrap();
    std::fs::rename(&theirs, folder.join("c.edi")).unwrap();
    client.expect("RNFR c.edi", 350).await;
    client.expect("RNTO d.edi", 250).await;
    assert_eq!(running.receipts(2).await[1]["path"], "/Receive/d.edi");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_keep_both_a_name_means_what_was_uploaded_under_it_last() {
    let appliance = Appliance::new();
    appliance.configure(&["overwrite=keep_both"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD /Receive", 250).await;
    client.store("a.edi", b"one").await;
    client.store("a.edi", b"second").await;
    assert_eq!(client.expect("SIZE a.edi", 213).await.text, "213 6\r\n");
    assert_eq!(client.list("NLST").await, "a.edi\r\n");
    client.expect("RNFR a.edi", 350).await;
    client.expect("RNTO b.edi", 250).await;
    let folder = appliance.place(PARTNER, "Receive");
    assert_eq!(std::fs::read(folder.join("a.edi")).unwrap(), b"one");
    assert_eq!(std::fs::read(folder.join("b.edi")).unwrap(), b"second");
    let receipts = running.receipts(2).await;
    assert_eq!(receipts[1]["path"], "/Receive/b.edi");
    let beside = Beside::of(&appliance).await;
    let renamings = renaming::names(&beside.depot.db, &id_of(&receipts[1])).await.unwrap();
    let names: Vec<_> = renamings.iter().map(|one| (one.from.as_str(), one.to.as_str())).collect();
    assert_eq!(names, [("/Receive/a.edi", "/Receive/b.edi")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_does_not_bring_an_earlier_upload_of_its_name_back() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD /Receive", 250).await;
    let Beside { depot, snapshot } = Beside::of(&appliance).await;
    let pass_along = async |count: usize| {
        let id = id_of(&running.receipts(count).await[count - 1]);
        held::hold(&depot, &snapshot, &id).await.unwrap();
        receipt::set_status(&depot.db, &id, Status::PassedAlong).await.unwrap();
        held::leave(&depot, &snapshot, std::slice::from_ref(&id)).await.unwrap();
        held::release(&depot, &snapshot, &id).await.unwrap();
    };
    for (before, is_elsewhere) in [(0, false), (2, true)] {
        client.store("a.edi", b"first").await;
        pass_along(before + 1).await;
        client.store("a.edi", b"the second").await;
        if is_elsewhere {
            pass_along(before + 2).await;
        }
        assert_eq!(client.expect("SIZE a.edi", 213).await.text, "213 10\r\n");
        client.expect("DELE a.edi", 250).await;
        assert_eq!(client.list("NLST").await, "", "{is_elsewhere}");
        for line in ["SIZE a.edi", "MDTM a.edi", "DELE a.edi"] {
            assert_eq!(client.send(line).await.code, 550, "{line}, {is_elsewhere}");
        }
        assert_eq!(client.fetch("RETR a.edi").await.unwrap_err().code, 550);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_keep_both_a_deleted_name_is_gone_and_both_files_stay() {
    let appliance = Appliance::new();
    appliance.configure(&["overwrite=keep_both"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD /Receive", 250).await;
    client.store("a.edi", b"one").await;
    client.store("a.edi", b"second").await;
    client.expect("DELE a.edi", 250).await;
    assert_eq!(client.list("NLST").await, "");
    assert_eq!(client.send("SIZE a.edi").await.code, 550);
    let mut stored: Vec<_> = std::fs::read_dir(appliance.place(PARTNER, "Receive")).unwrap().collect();
    stored.retain(|entry| entry.as_ref().unwrap().file_type().unwrap().is_file());
    assert_eq!(stored.len(), 2);
    client.store("a.edi", b"the third").await;
    assert_eq!(client.expect("SIZE a.edi", 213).await.text, "213 9\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_over_keeps_its_name_and_is_found_after_it_was_passed_along() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD /Receive", 250).await;
    client.store("a.edi", b"the bytes").await;
    let id = id_of(&running.receipts(1).await[0]);
    let Beside { depot, snapshot } = Beside::of(&appliance).await;
    held::hold(&depot, &snapshot, &id).await.unwrap();
    let taken = held::take_over(&depot, &snapshot, std::slice::from_ref(&id)).await.unwrap();
    assert_eq!(taken[0].client_path, "/Receive/a.edi");
    let refusal = client.expect("RNFR a.edi", 550).await;
    assert!(refusal.text.contains(&format!("already taken over as receipt {id}")), "{}", refusal.text);

    receipt::set_status(&depot.db, &id, Status::PassedAlong).await.unwrap();
    held::leave(&depot, &snapshot, std::slice::from_ref(&id)).await.unwrap();
    held::release(&depot, &snapshot, &id).await.unwrap();
    assert!(!appliance.place(PARTNER, "Receive").join("a.edi").exists());
    assert_eq!(client.expect("SIZE a.edi", 213).await.text, "213 9\r\n");
    client.expect("MFMT 20240102030405 a.edi", 213).await;
    assert_eq!(client.expect("MDTM a.edi", 213).await.text, "213 20240102030405\r\n");
    assert_eq!(client.list("NLST").await, "a.edi\r\n");
    assert_eq!(client.fetch("RETR a.edi").await.unwrap(), b"the bytes");
    assert!(client.expect("XMD5 a.edi", 250).await.text.len() > 36);
    client.expect("RNFR a.edi", 550).await;
    client.expect("DELE a.edi", 250).await;
    assert_eq!(client.send("SIZE a.edi").await.code, 550);
    assert_eq!(client.list("NLST").await, "");
    // Nobody can ask for it any more: its bytes are freed.
    held::free_ended(&depot, &snapshot).await.unwrap();
    assert!(held::open_held(&depot, &id).await.is_err());
    assert_eq!(appliance.receipts(PARTNER)[0]["status"], "passed_along");
}

#[tokio::test(flavor = "multi_thread")]
async fn held_bytes_outlive_replacing_renaming_and_deleting() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD /Receive", 250).await;
    for name in ["replaced", "renamed", "deleted", "under"] {
        client.store(name, name.as_bytes()).await;
    }
    let beside = Beside::of(&appliance).await;
    let receipts = running.receipts(4).await;
    for receipt in &receipts {
        held::hold(&beside.depot, &beside.snapshot, &id_of(receipt)).await.unwrap();
    }
    client.store("replaced", b"a newer version").await;
    client.expect("RNFR renamed", 350).await;
    client.expect("RNTO under", 250).await;
    client.expect("DELE deleted", 250).await;
    for receipt in &receipts {
        let name = receipt["name"].as_str().unwrap();
        let held = beside.held(&id_of(receipt)).await;
        assert_eq!(held.as_deref(), Some(name.as_bytes()), "{name}");
    }
    assert_eq!(client.fetch("NLST /Receive/.waybill").await.unwrap_err().code, 450);
    for receipt in &receipts {
        let id = id_of(receipt);
        for _ in 0..2 {
            held::release(&beside.depot, &beside.snapshot, &id).await.unwrap();
        }
        assert!(beside.held(&id).await.is_none(), "{receipt}");
    }
    assert_eq!(client.fetch("RETR under").await.unwrap(), b"renamed");
    assert_eq!(waybill::store::held::usage(&beside.depot.db).await.unwrap(), (0, 0));
}
