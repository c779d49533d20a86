//! What a partner collected from Send: deleted by it, removed, copied to Sent.

use std::path::{Path, PathBuf};

use tokio::io::AsyncReadExt;

use crate::kit::{Appliance, Client, PARTNER, Running};

const REMOVES: [&str; 1] = ["remove_file_after_send=on"];

fn give(appliance: &Appliance, name: &str, bytes: &[u8]) -> PathBuf {
    let path = appliance.place(PARTNER, "Send").join(name);
    std::fs::write(&path, bytes).expect("Send is there");
    path
}

/// The summaries of what was collected, once there are so many.
async fn collected(running: &Running<'_>, appliance: &Appliance, count: usize) -> Vec<String> {
    let what = format!("{count} files are collected");
    let found = running.until(&what, async |_| {
        let text = appliance.say(&["events", "--json", "--kind", "after_send"]);
        let events = text.lines().map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).expect("a JSON object a line");
            event["summary"].as_str().expect("a summary").to_owned()
        });
        let events: Vec<_> = events.collect();
        (events.len() == count).then_some(events)
    });
    found.await
}

async fn gone(running: &Running<'_>, path: &Path) {
    running.until("the collected file is removed", async |_| (!path.exists()).then_some(())).await;
}

fn copies(appliance: &Appliance) -> Vec<(String, Vec<u8>)> {
    appliance.copies(PARTNER, "Sent")
}

#[tokio::test(flavor = "multi_thread")]
async fn fetched_then_deleted_without_write() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("CWD /Send", 250).await;
    let path = give(&appliance, "a.edi", &[7; 12_000]);
    client.expect("DELE a.edi", 550).await;
    client.fetch("RETR a.edi").await.unwrap();
    let time = client.expect("MDTM a.edi", 213).await.text;
    client.expect("DELE a.edi", 250).await;
    assert!(!path.exists());
    assert_eq!(collected(&running, &appliance, 1).await, ["acme-edi collected /Send/a.edi, 12.0 KB"]);
    // What a client does twice, or looks at afterwards, succeeds; the file itself is gone.
    client.expect("DELE a.edi", 250).await;
    assert_eq!(client.expect("SIZE a.edi", 213).await.text, "213 12000\r\n");
    assert_eq!(client.expect("MDTM a.edi", 213).await.text, time);
    assert_eq!(client.fetch("RETR a.edi").await.unwrap_err().code, 550);
    // A new file of that name was not collected.
    give(&appliance, "a.edi", b"another");
    client.expect("DELE a.edi", 550).await;
    client.expect("DELE never.edi", 550).await;
    appliance.configure(&["delete_collected=off"]);
    client.fetch("RETR a.edi").await.unwrap();
    client.expect("DELE a.edi", 550).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_collected_may_be_deleted_after_a_restart() {
    let appliance = Appliance::new();
    let mut running = appliance.start().await;
    let path = give(&appliance, "a.edi", b"a file");
    running.partner().await.fetch("RETR /Send/a.edi").await.unwrap();
    collected(&running, &appliance, 1).await;
    running.terminate();
    running.ended().await;
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("DELE /Send/a.edi", 250).await;
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collected_file_is_copied_and_removed() {
    let appliance = Appliance::new();
    let copying = ["save_to_sent_folder=on", "sent_folder_scheme=none"];
    appliance.configure(&[&REMOVES[..], &copying[..]].concat());
    let running = appliance.start().await;
    let mut client = running.partner().await;
    for (count, bytes) in [(1, b"one"), (2, b"two")] {
        let path = give(&appliance, "a.edi", bytes);
        assert_eq!(client.fetch("RETR /Send/a.edi").await.unwrap(), bytes);
        gone(&running, &path).await;
        assert_eq!(copies(&appliance).len(), count);
        client.expect("DELE /Send/a.edi", 250).await;
    }
    let expected = [("a-1.edi".to_owned(), b"two".to_vec()), ("a.edi".to_owned(), b"one".to_vec())];
    assert_eq!(copies(&appliance), expected);
    // Sent is nothing that the partner can see.
    assert!(!client.list("NLST /").await.contains("Sent"));
    for line in ["CWD /Sent", "SIZE /Sent/a.edi", "SIZE /Send/../Sent/a.edi", "MLST /Sent"] {
        assert_eq!(client.send(line).await.code, 550, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_stays_is_copied_once_and_the_copy_stays_as_it_was() {
    let appliance = Appliance::new();
    appliance.configure(&["save_to_sent_folder=on", "sent_folder_scheme=yearly"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    let path = give(&appliance, "a.edi", b"as collected");
    for count in 1..=2 {
        client.fetch("RETR /Send/a.edi").await.unwrap();
        collected(&running, &appliance, count).await;
    }
    let copy = running.until("there is a copy", async |_| {
        // Until it is whole a copy lies there under a name of Waybill's own.
        copies(&appliance).pop().filter(|(name, _)| !name.contains(".waybill-"))
    });
    let copy = copy.await;
    assert_eq!(copy.1, b"as collected");
    assert!(copy.0.len() == "2026/a.edi".len() && copy.0.ends_with("/a.edi"), "{}", copy.0);
    std::fs::write(&path, b"overwritten in place").unwrap();
    assert_eq!(copies(&appliance), [copy]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_download_keeps_the_file_and_going_on_with_it_collects_it() {
    let appliance = Appliance::new();
    appliance.configure(&REMOVES);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    let bytes: Vec<u8> = (0..=255).cycle().take(30_000_000).collect();
    let path = give(&appliance, "a.edi", &bytes);
    // Not from the beginning: what came before was never fetched.
    client.expect("REST 29000000", 350).await;
    client.fetch("RETR /Send/a.edi").await.unwrap();
    let mut data = client.begin("RETR /Send/a.edi").await.unwrap();
    let mut first = vec![0; 1_000_000];
    data.read_exact(&mut first).await.unwrap();
    drop(data);
    assert_eq!(client.reply().await.code, 426);
    assert!(path.exists());
    client.expect("REST 1000000", 350).await;
    let rest = client.fetch("RETR /Send/a.edi").await.unwrap();
    assert!([first, rest].concat() == bytes);
    gone(&running, &path).await;
    assert_eq!(collected(&running, &appliance, 1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_closed_unread_is_not_collected() {
    let appliance = Appliance::new();
    appliance.configure(&REMOVES);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    let path = give(&appliance, "a.edi", &[1; 1_000]);
    let data = client.begin("RETR /Send/a.edi").await.unwrap();
    // The answer may be 226: all of it was handed to the network before the client broke off.
    client.reply().await;
    drop(data);
    client.expect("DELE /Send/a.edi", 550).await;
    assert!(path.exists());
    client.fetch("RETR /Send/a.edi").await.unwrap();
    gone(&running, &path).await;
    assert_eq!(collected(&running, &appliance, 1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_connection_closed_before_the_first_byte_collects_nothing() {
    let appliance = Appliance::new();
    appliance.configure(&REMOVES);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    let path = give(&appliance, "a.edi", &vec![1; 40_000]);
    drop(client.data().await);
    if client.send("RETR /Send/a.edi").await.code == 150 {
        // Either it was noticed, or all of it was handed to the network before.
        client.reply().await;
    }
    let data = client.begin("RETR /Send/a.edi").await.unwrap();
    drop(data);
    // The download's own answer, and that of ABOR.
    client.send("ABOR").await;
    client.reply().await;
    client.expect("DELE /Send/a.edi", 550).await;
    assert!(path.exists());
    client.fetch("RETR /Send/a.edi").await.unwrap();
    gone(&running, &path).await;
    assert_eq!(collected(&running, &appliance, 1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sessions_fetch_it_and_then_it_goes() {
    let appliance = Appliance::new();
    appliance.configure(&REMOVES);
    let running = appliance.start().await;
    let (mut one, mut two): (Client, Client) = (running.partner().await, running.partner().await);
    let bytes: Vec<u8> = (0..=255).cycle().take(30_000_000).collect();
    let path = give(&appliance, "a.edi", &bytes);
    let mut slow = one.begin("RETR /Send/a.edi").await.unwrap();
    assert!(two.fetch("RETR /Send/a.edi").await.unwrap() == bytes);
    collected(&running, &appliance, 1).await;
    assert!(path.exists(), "the other session still fetches it");
    let mut all = Vec::new();
    slow.read_to_end(&mut all).await.unwrap();
    drop(slow);
    assert_eq!(one.reply().await.code, 226);
    assert!(all == bytes);
    gone(&running, &path).await;
    assert_eq!(collected(&running, &appliance, 2).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_meanwhile_is_neither_sent_nor_removed() {
    let appliance = Appliance::new();
    appliance.configure(&REMOVES);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    let path = give(&appliance, "a.edi", &vec![1; 30_000_000]);
    let mut data = client.begin("RETR /Send/a.edi").await.unwrap();
    std::fs::write(&path, vec![2; 30_000_000]).unwrap();
    let mut bytes = Vec::new();
    let _ = data.read_to_end(&mut bytes).await;
    drop(data);
    assert_eq!(client.reply().await.code, 451);
    client.expect("DELE /Send/a.edi", 550).await;
    assert!(path.exists());
}
