//! Uploads: whole, resumed, overwritten, under temporary names, and the receipts they leave.

use std::os::unix::fs::PermissionsExt;

use tokio::io::AsyncWriteExt;
use waybill::domain::refusal::Rule;

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
    let untold = client.expect("SIZE /Receive/big.edi", 550).await;
    assert!(untold.text.contains("TYPE I"), "{untold:?}");
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

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_with_a_file_begins_with_what_the_client_sees_under_that_name() {
    let appliance = Appliance::new();
    appliance.configure(&["local_file_scheme=%ConnectorId%-%Filename%"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD Receive", 250).await;
    client.store("a.edi", b"one ").await;
    assert_eq!(client.put("APPE a.edi", b"two").await.code, 226);
    let folder = appliance.place(PARTNER, "Receive");
    assert_eq!(std::fs::read(folder.join(format!("{PARTNER}-a.edi"))).unwrap(), b"one two");

    appliance.configure(&["local_file_scheme=%Filename%", "overwrite=keep_both"]);
    client.store("b.edi", b"the older one, longer").await;
    client.store("b.edi", b"newer").await;
    client.expect("SIZE b.edi", 213).await;
    client.expect("REST 5", 350).await;
    assert_eq!(client.put("STOR b.edi", b" and more").await.code, 226);
    assert_eq!(client.fetch("RETR b.edi").await.unwrap(), b"newer and more");
    assert_eq!(std::fs::read(folder.join("b.edi")).unwrap(), b"the older one, longer");

    // While another upload of that name is under way nobody knows what will lie there.
    let data = client.begin("STOR b.edi").await.unwrap();
    let mut other = running.partner().await;
    for line in ["REST 1", "REST 5"] {
        other.expect(line, 350).await;
        assert_eq!(other.put("STOR /Receive/b.edi", b"x").await.code, 450, "{line}");
    }
    assert_eq!(other.put("APPE /Receive/b.edi", b"x").await.code, 450);
    drop(data);
    assert_eq!(client.reply().await.code, 226);

    appliance.configure(&["overwrite=refuse"]);
    assert_eq!(client.put("APPE b.edi", b"x").await.code, 550, "before a byte is sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_drop_box_nothing_of_somebody_elses_can_be_gone_on_with() {
    let appliance = Appliance::new();
    appliance.configure(&["receive_read=off"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD Receive", 250).await;
    client.store("own.edi", b"one ").await;
    assert_eq!(client.put("APPE own.edi", b"two").await.code, 226);
    let folder = appliance.place(PARTNER, "Receive");
    std::fs::write(folder.join("theirs.edi"), b"secret").unwrap();
    for line in ["REST 3", "REST 300"] {
        client.expect(line, 350).await;
        assert_eq!(client.put("STOR theirs.edi", b"x").await.code, 550, "{line}");
    }
    assert_eq!(client.put("APPE theirs.edi", b"x").await.code, 550);
    assert_eq!(std::fs::read(folder.join("theirs.edi")).unwrap(), b"secret");
    assert_eq!(std::fs::read(folder.join("own.edi")).unwrap(), b"one two");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_writable_send_both_are_kept_and_only_files_are_replaced() {
    let appliance = Appliance::new();
    appliance.configure(&["send_write=on", "overwrite=keep_both"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD Send", 250).await;
    client.store("a.edi", b"first").await;
    client.store("a.edi", b"second").await;
    let folder = appliance.place(PARTNER, "Send");
    assert_eq!(std::fs::read(folder.join("a.edi")).unwrap(), b"first");
    assert_eq!(std::fs::read(folder.join("a-1.edi")).unwrap(), b"second");
    // What goes on with a file is that file: the next one goes on with all of it.
    for more in [" two", " three"] {
        assert_eq!(client.put("APPE a.edi", more.as_bytes()).await.code, 226);
    }
    assert_eq!(std::fs::read(folder.join("a.edi")).unwrap(), b"first two three");
    assert_eq!(std::fs::read_dir(&folder).unwrap().flatten().filter(|one| one.path().is_file()).count(), 2);
    appliance.configure(&["overwrite=replace"]);
    std::os::unix::fs::symlink("a.edi", folder.join("link")).unwrap();
    assert_eq!(client.put("STOR link", b"third").await.code, 553);
    assert!(folder.join("link").is_symlink());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_with_a_received_file_takes_its_place_also_where_both_are_kept() {
    let appliance = Appliance::new();
    appliance.configure(&["overwrite=keep_both"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD Receive", 250).await;
    client.store("a.edi", b"first").await;
    client.store("a.edi", b"second").await;
    for more in [" two", " three"] {
        assert_eq!(client.put("APPE a.edi", more.as_bytes()).await.code, 226);
    }
    client.expect("REST 6", 350).await;
    client.store("a.edi", b" last").await;
    let folder = appliance.place(PARTNER, "Receive");
    assert_eq!(std::fs::read(folder.join("a.edi")).unwrap(), b"first");
    assert_eq!(std::fs::read(folder.join("a-1.edi")).unwrap(), b"second last");
    assert_eq!(std::fs::read_dir(&folder).unwrap().flatten().filter(|one| one.path().is_file()).count(), 2);
    let receipts = running.receipts(5).await;
    let statuses: Vec<_> = receipts.iter().map(|one| one["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["in_receive", "replaced", "replaced", "replaced", "in_receive"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_uploaded_under_a_temporary_name_is_received_whatever_is_temporary_by_then() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD Receive", 250).await;
    client.expect("TYPE A", 200).await;
    client.store("a.tmp", b"content").await;
    client.expect("MFMT 19990101000000 a.tmp", 213).await;
    appliance.configure(&["temp_receive_extensions=.part"]);
    client.expect("RNFR a.tmp", 350).await;
    client.expect("RNTO b.tmp", 250).await;
    let receipt = &running.receipts(1).await[0];
    assert_eq!(receipt["path"], "/Receive/b.tmp");
    let begun_at = receipt["begun_at"].as_str().unwrap();
    assert!(!begun_at.starts_with("1999"), "{begun_at}");
    assert_eq!(receipt["type"], "A", "{receipt}");
    // What another program put there is nobody's upload.
    std::fs::write(appliance.place(PARTNER, "Receive").join("theirs"), b"content").unwrap();
    client.expect("RNFR theirs", 350).await;
    client.expect("RNTO mine", 250).await;
    assert_eq!(appliance.receipts(PARTNER).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_which_nothing_comes_any_more_is_ended_and_kept_as_unfinished() {
    let appliance = Appliance::new();
    appliance.configure(&["stall_timeout_s=1"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    let mut data = client.begin("STOR /Receive/a.edi").await.unwrap();
    data.write_all(b"the first half, ").await.unwrap();
    // The data connection stays open; nobody ends it but the server.
    let reply = client.reply().await;
    assert_eq!((reply.code, reply.text.contains("No byte moved for too long")), (426, true), "{reply:?}");
    drop(data);
    let rules = running.until("it is recorded", async |running| running.refusals().await.into_iter().next()).await;
    assert_eq!((rules.rule, rules.command.as_str()), (Rule::Stalled, "STOR /Receive/a.edi"));
    assert!(appliance.receipts(PARTNER).is_empty());
    client.expect("REST 16", 350).await;
    client.store("/Receive/a.edi", b"the second").await;
    let folder = appliance.place(PARTNER, "Receive");
    assert_eq!(std::fs::read(folder.join("a.edi")).unwrap(), b"the first half, the second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_received_file_has_the_mode_that_is_set() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    for (mode, set) in
        [(0o640, None), (0o664, Some("received_file_mode=0664")), (0o600, Some("received_file_mode=600"))]
    {
        if let Some(set) = set {
            appliance.configure(&[set]);
        }
        client.store("/Receive/a.edi", b"bytes").await;
        let file = appliance.place(PARTNER, "Receive").join("a.edi");
        let has = std::fs::metadata(file).unwrap().permissions().mode() & 0o7777;
        assert_eq!(has, mode, "{has:o}, not {mode:o}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_tells_the_folder_below_receive_where_that_is_wanted() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("MKD /Receive/in", 257).await;
    client.expect("MKD /Receive/in/2031", 257).await;
    client.store("/Receive/in/2031/a.edi", b"a").await;
    appliance.configure(&["save_subfolder=on"]);
    client.store("/Receive/in/2031/b.edi", b"b").await;
    client.store("/Receive/c.edi", b"c").await;
    let receipts = running.receipts(3).await;
    let headers: Vec<_> = receipts.iter().map(|receipt| receipt["headers"].get("SubFolder")).collect();
    assert_eq!(headers, [None, Some(&"in/2031".into()), Some(&"".into())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_turned_where_that_is_wanted_and_the_receipt_is_of_the_stored_bytes() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    let (sent, turned) = (b"one\r\ntwo\r\n\rthree", b"one\ntwo\n\rthree");
    let stored: [(&str, &str, &[u8]); 3] = [("keep", "A", sent), ("to_lf", "A", turned), ("to_lf", "I", sent)];
    for (count, (setting, data_type, bytes)) in stored.into_iter().enumerate() {
        appliance.configure(&[&format!("ascii_uploads={setting}")]);
        client.expect(&format!("TYPE {data_type}"), 200).await;
        client.store("/Receive/a.edi", sent).await;
        assert_eq!(std::fs::read(appliance.place(PARTNER, "Receive").join("a.edi")).unwrap(), bytes, "{setting}");
        let receipt = &running.receipts(count + 1).await[count];
        let told = (&receipt["size_bytes"], &receipt["sha256"], &receipt["type"]);
        assert_eq!(told, (&bytes.len().into(), &sha256(bytes).into(), &data_type.into()), "{setting}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_proposal_for_a_unique_name_is_shortened_before_its_extension() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD /Receive", 250).await;
    let proposals = [format!("{}.edi", "\u{1f4e6}".repeat(62)), format!("a.{}", "x".repeat(250)), "a.edi".to_owned()];
    for proposal in &proposals {
        let reply = client.put(&format!("STOU {proposal}"), b"bytes").await;
        assert_eq!(reply.code, 226, "{proposal}: {reply:?}");
    }
    let receipts = running.receipts(3).await;
    let names: Vec<_> = receipts.iter().map(|receipt| receipt["name"].as_str().unwrap()).collect();
    for (name, (begins, ends)) in names.into_iter().zip([("\u{1f4e6}", ".edi"), ("a.xxx", ""), ("a-", ".edi")]) {
        assert!(name.strip_prefix(begins).and_then(|rest| rest.strip_suffix(ends)).is_some(), "{name}");
    }
}
