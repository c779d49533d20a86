//! A stop that was asked for.

use tokio::io::AsyncWriteExt;

use crate::kit::{Appliance, Client, PARTNER};

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_stop_it_lets_a_transfer_finish_and_takes_no_new_session() {
    let appliance = Appliance::new();
    let mut running = appliance.start().await;
    let mut busy = running.partner().await;
    let mut idle = running.partner().await;
    let mut data = busy.begin("STOR /Receive/last.edi").await.unwrap();
    data.write_all(b"first half, ").await.unwrap();
    running.terminate();
    running
        .until("no new session is taken", async |running| match Client::try_connect(running.ftp()).await {
            Err(_) => Some(()),
            Ok(client) => (client.greeting.code == 421).then_some(()),
        })
        .await;
    assert_eq!(idle.reply().await.code, 421);
    assert!(running.is_alive());
    data.write_all(b"second half").await.unwrap();
    data.shutdown().await.unwrap();
    drop(data);
    assert_eq!(busy.reply().await.code, 226);
    assert_eq!(running.ended().await.code(), Some(0));
    assert_eq!(appliance.receipts(PARTNER)[0]["size_bytes"], 23);
    assert_eq!(
        std::fs::read(appliance.place(PARTNER, "Receive").join("last.edi")).unwrap(),
        b"first half, second half"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_server_stops_at_once_and_starts_again_with_everything() {
    let appliance = Appliance::new();
    let mut running = appliance.start().await;
    running.partner().await.store("/Receive/a.edi", b"kept").await;
    let asked = tokio::time::Instant::now();
    running.terminate();
    assert_eq!(running.ended().await.code(), Some(0));
    assert!(asked.elapsed() < std::time::Duration::from_secs(10), "{:?}", asked.elapsed());
    assert_eq!(appliance.cli(&["health"]).status.code(), Some(1));
    let running = appliance.start().await;
    assert_eq!(running.partner().await.fetch("RETR /Receive/a.edi").await.unwrap(), b"kept");
    running.receipts(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_data_folder_is_refused() {
    let appliance = Appliance::new();
    let _running = appliance.start().await;
    let second = appliance.cli(&["serve", "--web", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    assert!(!second.stderr.is_empty());
}
