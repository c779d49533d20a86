//! What can be gone on with: of dead sessions, and never of what a whole file has taken the place of.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::kit::{Appliance, Client, PARTNER, Running};

/// An upload that has come so far, and whose client says nothing more.
async fn begun(running: &Running<'_>, path: &str, bytes: &[u8]) -> (Client, TcpStream) {
    let mut client = running.partner().await;
    let mut data = client.begin(&format!("STOR {path}")).await.expect("it begins");
    data.write_all(bytes).await.expect("it is taken");
    let wanted = format!(": {} bytes so far", bytes.len());
    running
        .until("all of it has arrived", async |_| client.expect("STAT", 211).await.text.contains(&wanted).then_some(()))
        .await;
    (client, data)
}

/// Until nothing is in staging any more.
async fn until_dropped(appliance: &Appliance, running: &Running<'_>) {
    let staging = appliance.place(PARTNER, "Receive").join(".waybill");
    running
        .until("nothing is left of it", async |_| {
            let mut entries = std::fs::read_dir(&staging).expect("it is there").flatten();
            (!entries.any(|entry| entry.path().is_file())).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_broken_off_before_a_whole_file_came_is_not_gone_on_with() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let dying = begun(&running, "/Receive/orders.csv", &[b'o'; 4_000]).await;
    let mut client = running.partner().await;
    client.store("/Receive/orders.csv", &[b'n'; 8_000]).await;
    drop(dying);
    until_dropped(&appliance, &running).await;
    assert_eq!(client.expect("SIZE /Receive/orders.csv", 213).await.text.trim(), "213 8000");
    assert!(client.list("LIST /Receive").await.contains(" 8000 "));

    // The same where the whole file came by a rename.
    drop(begun(&running, "/Receive/inv", &[b'o'; 3]).await);
    running
        .until("it is unfinished", async |_| {
            (client.send("SIZE /Receive/inv").await.text.trim() == "213 3").then_some(())
        })
        .await;
    client.store("/Receive/inv.tmp", b"0123456789").await;
    client.expect("RNFR /Receive/inv.tmp", 350).await;
    client.expect("RNTO /Receive/inv", 250).await;
    assert_eq!(client.expect("SIZE /Receive/inv", 213).await.text.trim(), "213 10");
    until_dropped(&appliance, &running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_finds_what_its_dead_session_has_left() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let _silent = begun(&running, "/Receive/big.bin", &vec![7; 300_000]).await;
    let mut client = running.partner().await;
    client.expect("SIZE /Receive/big.bin", 550).await;
    running
        .until("it has moved nothing for long enough", async |_| {
            (client.send("SIZE /Receive/big.bin").await.text.trim() == "213 300000").then_some(())
        })
        .await;
    assert!(client.list("MLSD /Receive").await.contains("size=300000;"));
    client.expect("REST 300000", 350).await;
    client.store("/Receive/big.bin", &[8; 5]).await;
    let whole = client.fetch("RETR /Receive/big.bin").await.unwrap();
    assert!(whole.len() == 300_005 && whole.ends_with(&[7, 8, 8, 8, 8, 8]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_the_disk_did_not_take_is_not_gone_on_with() {
    let appliance = Appliance::new();
    let running = appliance.start_with_fault(Some("sync_part:eio:1")).await;
    // Written back from 32 MiB on, and cut before anybody asks what came of that.
    drop(begun(&running, "/Receive/big.bin", &vec![7; 33 * 1024 * 1024]).await);
    running
        .until("it is told", async |_| {
            appliance.say(&["events", "--kind", "storage_failing"]).contains("storage_failing").then_some(())
        })
        .await;
    until_dropped(&appliance, &running).await;
    running.partner().await.expect("SIZE /Receive/big.bin", 550).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_broken_off_and_where_a_file_was_uploaded_follow_a_folders_rename() {
    let appliance = Appliance::new();
    appliance.configure(&["save_subfolder=on"]);
    let mut running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("MKD /Receive/up", 257).await;
    client.expect("MKD /Receive/orders", 257).await;
    client.store("/Receive/up/two.edi", b"two").await;
    client.expect("RNFR /Receive/up/two.edi", 350).await;
    client.expect("RNTO /Receive/orders/two.dat", 250).await;
    assert_eq!(running.receipts(1).await[0]["headers"]["SubFolder"], "orders");
    drop(begun(&running, "/Receive/orders/big.bin", &[7; 3]).await);
    running
        .until("it is unfinished", async |_| {
            (client.send("SIZE /Receive/orders/big.bin").await.text.trim() == "213 3").then_some(())
        })
        .await;
    client.expect("RNFR /Receive/orders", 350).await;
    client.expect("RNTO /Receive/done", 250).await;
    client.expect("SIZE /Receive/orders/big.bin", 550).await;
    assert_eq!(running.receipts(1).await[0]["headers"]["SubFolder"], "done");
    running.terminate();
    running.ended().await;
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("SIZE /Receive/done/big.bin", 213).await;
    client.expect("REST 3", 350).await;
    client.store("/Receive/done/big.bin", b" more").await;
    assert_eq!(client.fetch("RETR /Receive/done/big.bin").await.unwrap(), b"\x07\x07\x07 more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_means_what_was_renamed_to_it_and_not_what_that_has_replaced() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.store("/Receive/a.edi", b"first").await;
    client.store("/Receive/b.edi", b"later").await;
    let first = running.receipts(2).await.into_iter().find(|one| one["path"] == "/Receive/a.edi").unwrap();
    client.expect("RNFR /Receive/a.edi", 350).await;
    client.expect("RNTO /Receive/b.edi", 250).await;
    let told = client.expect("SITE RECEIPT /Receive/b.edi", 213).await.text;
    assert!(told.contains(first["id"].as_str().unwrap()), "{told}");
}
