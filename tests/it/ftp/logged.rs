//! Log Messages: copies of what was received, beside the records of the sessions.

use crate::kit::{Appliance, PARTNER};

#[tokio::test(flavor = "multi_thread")]
async fn each_received_file_has_a_copy_that_its_receipt_names() {
    let appliance = Appliance::new();
    appliance.configure(&["log_messages=on", "log_subfolder_scheme=yearly"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.store("/Receive/a.edi", b"first").await;
    client.store("/Receive/a.edi", b"second").await;
    // A temporary name is nothing received until it has its final one.
    client.store("/Receive/b.edi.tmp", b"third").await;
    assert_eq!(appliance.copies(PARTNER, "Log").len(), 2);
    client.expect("RNFR /Receive/b.edi.tmp", 350).await;
    client.expect("RNTO /Receive/b.edi", 250).await;
    client.expect("DELE /Receive/a.edi", 250).await;
    std::fs::write(appliance.place(PARTNER, "Receive").join("b.edi"), b"changed in place").unwrap();

    let receipts = running.receipts(3).await;
    let text = |receipt: &serde_json::Value, key: &str| receipt[key].as_str().expect("a text").to_owned();
    let mut expected: Vec<_> = receipts
        .iter()
        .zip([&b"first"[..], b"second", b"third"])
        .map(|(receipt, bytes)| {
            let year = &text(receipt, "completed_at")[..4];
            (format!("{year}/{} {}", text(receipt, "id"), text(receipt, "name")), bytes.to_vec())
        })
        .collect();
    expected.sort();
    assert_eq!(appliance.copies(PARTNER, "Log"), expected);
    assert!(!client.list("NLST /").await.contains("Log"));
    assert_eq!(client.send("CWD /Log").await.code, 550);

    appliance.configure(&["log_messages=off"]);
    client.store("/Receive/c.edi", b"not kept").await;
    appliance.set(&["log_keep_days=0"]);
    appliance.configure(&["log_messages=on"]);
    client.store("/Receive/d.edi", b"not kept either").await;
    assert_eq!(appliance.copies(PARTNER, "Log").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_cannot_be_made_is_told_and_refuses_no_upload() {
    let appliance = Appliance::new();
    appliance.configure(&["log_messages=on"]);
    let running = appliance.start().await;
    let mut client = running.partner().await;
    std::fs::write(appliance.place(PARTNER, "Log"), b"in the way").unwrap();
    client.store("/Receive/a.edi", b"all of it").await;
    let told = running.until("the missing copy is told", async |_| {
        let text = appliance.say(&["events", "--json", "--kind", "storage_failing"]);
        text.lines().find(|line| line.contains("The log has no copy of a.edi")).map(str::to_owned)
    });
    told.await;
    assert_eq!(running.receipts(1).await[0]["status"], "in_receive");
}
