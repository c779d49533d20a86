//! Uploads: whole, resumed, overwritten, under temporary names, and the receipts they leave.

use tokio::io::AsyncWriteExt;

use crate::kit::{Appliance, Client, PARTNER, PASSWORD, sha256};

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_on_disk_and_receipted_when_226_comes() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    let bytes = vec![7; 1_000_000];
    client.store("/Receive/po.edi", &bytes).await;
    assert_eq!(std::fs::read(appliance.place(PARTNER, "Receive").join("po.edi")).unwrap(), bytes);
    let receipt = running.receipts(1).await.remove(0);
    assert_eq!(receipt["path"], "/Receive/po.edi");
    assert_eq!(receipt["name"], "po.edi");
    assert_eq!(receipt["size_bytes"], 1_000_000);
    assert_eq!(receipt["sha256"], sha256(&bytes));
    assert_eq!(receipt["remote_address"], "127.0.0.1");
    assert_eq!((&receipt["ending"], &receipt["proof"]), (&"closed".into(), &"C".into()));
    assert_eq!((&receipt["status"], &receipt["type"]), (&"in_receive".into(), &"I".into()));
    let events = appliance.say(&["events", "--kind", "after_receive", "--json"]);
    assert_eq!(events.lines().count(), 1);
    assert!(events.contains(receipt["id"].as_str().unwrap()), "{events}");

    client.store("/Receive/empty.edi", b"").await;
    assert_eq!(running.receipts(2).await[1]["sha256"], sha256(b""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_upload_is_unfinished_and_goes_on_where_it_stopped() {
    let appliance = Appliance::new();
    appliance.add("globex", &[]);
    let running = appliance.start().await;
    let bytes: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut client = running.partner().await;
    let mut data = client.begin("STOR /Receive/big.edi").await.unwrap();
    data.write_all(&bytes[..500_000]).await.unwrap();
    data.flush().await.unwrap();
    // What has not come to the server when the client is gone is not kept.
    running
        .until("some of it has arrived", async |_| {
            let status = client.expect("STAT", 211).await.text;
            (status.contains("bytes so far") && !status.contains(": 0 bytes")).then_some(())
        })
        .await;
    // The whole client goes away: neither end of file nor ABOR means that the file is complete.
    drop(client);
    data.shutdown().await.unwrap();
    drop(data);

    let mut client = running.partner().await;
    let size = running
        .until("the broken upload has ended", async |running| {
            let mut client = running.partner().await;
            let reply = client.send("SIZE /Receive/big.edi").await;
            let retr = client.fetch("RETR /Receive/big.edi").await;
            (reply.code == 213 && retr.is_err()).then(|| reply.text[4..].trim().parse::<usize>().unwrap())
        })
        .await;
    assert!(size <= 500_000, "{size}");
    assert!(!appliance.place(PARTNER, "Receive").join("big.edi").exists());
    assert!(appliance.receipts(PARTNER).is_empty());
    let mut other = Client::login(running.ftp(), "globex", PASSWORD).await;
    assert_eq!(other.list("LIST /Receive").await, "");

    // How many bytes TYPE A would send of it nobody has counted.
    client.expect("TYPE A", 200).await;
    client.expect("SIZE /Receive/big.edi", 550).await;
    client.expect("TYPE I", 200).await;
    client.expect("REST 900000", 350).await;
    assert_eq!(client.put("STOR /Receive/big.edi", b"").await.code, 554);
    client.expect(&format!("REST {size}"), 350).await;
    client.store("/Receive/big.edi", &bytes[size..]).await;
    let receipts = running.receipts(1).await;
    assert_eq!((&receipts[0]["sha256"], &receipts[0]["resumed_from"]), (&sha256(&bytes).into(), &size.into()));
    assert_eq!(std::fs::read(appliance.place(PARTNER, "Receive").join("big.edi")).unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_upload_leaves_no_receipt_and_the_session_goes_on() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    let mut data = client.begin("STOR /Receive/a.edi").await.unwrap();
    data.write_all(&vec![1; 50_000]).await.unwrap();
    client.expect("NOOP", 200).await;
    client.expect("ABOR", 426).await;
    assert_eq!(client.reply().await.code, 226);
    drop(data);
    client.expect("NOOP", 200).await;
    assert!(appliance.receipts(PARTNER).is_empty());
    // A new STOR discards what was left.
    client.store("/Receive/a.edi", b"whole").await;
    assert_eq!(client.fetch("RETR /Receive/a.edi").await.unwrap(), b"whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overwrite_rule_decides_about_a_second_file_of_a_name() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD Receive", 250).await;
    client.store("a.edi", b"first").await;
    client.store("a.edi", b"second").await;
    // That the older one is marked follows its successor's 226 with the next commit.
    running
        .until("the first receipt is marked as replaced", async |running| {
            let receipts = running.receipts(2).await;
            let statuses: Vec<_> = receipts.iter().map(|receipt| receipt["status"].clone()).collect();
            (statuses == ["replaced", "in_receive"]).then_some(())
        })
        .await;

    // In force from the next command on, in a session that was there before.
    appliance.say(&["connector", "set", PARTNER, "overwrite=refuse"]);
    assert_eq!(client.put("STOR a.edi", b"third").await.code, 553);
    assert_eq!(client.fetch("RETR a.edi").await.unwrap(), b"second");

    appliance.say(&["connector", "set", PARTNER, "overwrite=keep_both"]);
    client.store("a.edi", b"fourth").await;
    let folder = appliance.place(PARTNER, "Receive");
    assert_eq!(std::fs::read(folder.join("a.edi")).unwrap(), b"second");
    assert_eq!(std::fs::read(folder.join("a-1.edi")).unwrap(), b"fourth");
}

#[tokio::test(flavor = "multi_thread")]
async fn appending_makes_a_new_version_with_its_own_receipt() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD Receive", 250).await;
    client.store("a.edi", b"one ").await;
    assert_eq!(client.put("APPE a.edi", b"two").await.code, 226);
    let receipts = running.receipts(2).await;
    assert_eq!(receipts[1]["sha256"], sha256(b"one two"));
    assert_eq!(client.put("APPE a.edi", b"").await.code, 226);
    assert_eq!(appliance.receipts(PARTNER).len(), 2, "no new byte, no new receipt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_name_has_no_receipt_until_it_is_renamed() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD Receive", 250).await;
    client.store("a.edi.filepart", b"content").await;
    assert!(appliance.receipts(PARTNER).is_empty());
    client.expect("RNFR a.edi.filepart", 350).await;
    client.expect("RNTO a.edi.part", 250).await;
    assert!(appliance.receipts(PARTNER).is_empty());
    client.expect("RNFR a.edi.part", 350).await;
    client.expect("RNTO a.edi", 250).await;
    let receipts = running.receipts(1).await;
    assert_eq!((&receipts[0]["path"], &receipts[0]["sha256"]), (&"/Receive/a.edi".into(), &sha256(b"content").into()));
    client.expect("RNFR a.edi", 350).await;
    client.expect("RNTO a.edi.tmp", 250).await;
    client.expect("RNFR a.edi.tmp", 350).await;
    client.expect("RNTO b.edi", 250).await;
    assert_eq!(appliance.receipts(PARTNER).len(), 1, "a file that has its receipt gets no second one");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_decides_which_names_are_taken() {
    let appliance = Appliance::new();
    appliance.set(&["allowed_files_filter=*.edi,*.x12,-secret*"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD Receive", 250).await;
    client.store("A.EDI", b"1").await;
    client.store("b.x12.filepart", b"1").await;
    assert_eq!(client.put("STOR a.zip", b"1").await.code, 553);
    assert_eq!(client.put("STOR secret.edi", b"1").await.code, 553);
    assert_eq!(client.put("APPE a.zip", b"1").await.code, 550);
    client.expect("RNFR A.EDI", 350).await;
    client.expect("RNTO a.zip", 553).await;
    client.expect("RNFR b.x12.filepart", 350).await;
    client.expect("RNTO b.x12", 250).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sessions_upload_at_once_and_each_file_has_one_receipt() {
    const SESSIONS: usize = 16;
    const FILES: usize = 8;
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let address = running.ftp();
    let sessions = (0..SESSIONS).map(|session| {
        tokio::spawn(async move {
            let mut client = Client::login(address, PARTNER, PASSWORD).await;
            for file in 0..FILES {
                let bytes = vec![u8::try_from(session * FILES + file).unwrap(); 1_000 + 37 * file];
                client.store(&format!("/Receive/{session}-{file}.edi"), &bytes).await;
            }
        })
    });
    for session in sessions.collect::<Vec<_>>() {
        session.await.unwrap();
    }
    let mut paths: Vec<_> = running
        .receipts(SESSIONS * FILES)
        .await
        .iter()
        .map(|receipt| receipt["path"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(paths.len(), SESSIONS * FILES);
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), SESSIONS * FILES);
}
