//! A stop that was asked for.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use waybill::base::id::ReceiptId;
use waybill::store::{Db, delivery_page};

use super::actions;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_runs_long_is_ended_by_a_stop_at_once_and_what_it_is_for_is_done_again() {
    let appliance = Appliance::new();
    appliance.configure(&["settle_s=0"]);
    // Without this it would be given up by an attempt that counts.
    appliance.say(&["settings", "set", "delivery_retries=0"]);
    let began = appliance.data().join("began.txt");
    appliance.program("slow", &format!("echo $$ >> '{0}'; [ $(wc -l < '{0}') -gt 1 ] || sleep 50", began.display()));
    actions::add(&appliance, &[("program", "slow")]).await;
    let mut running = appliance.start().await;
    running.partner().await.store("/Receive/a.edi", b"the bytes").await;
    let runs = || std::fs::read_to_string(&began).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    running.until("it runs", async |_| (runs().len() == 1).then_some(())).await;
    let asked = tokio::time::Instant::now();
    running.terminate();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(running.is_alive(), "it may end by itself");
    running.terminate();
    assert_eq!(running.ended().await.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    let command = std::fs::read_to_string(format!("/proc/{}/cmdline", runs()[0])).unwrap_or_default();
    assert!(!command.contains("slow"), "it has not outlived Waybill");
    let running = appliance.start().await;
    running.until("it is done again", async |_| (runs().len() == 2).then_some(())).await;
    let db = Db::open(&appliance.data()).await.unwrap();
    let id = ReceiptId::parse(appliance.receipts(PARTNER)[0]["id"].as_str().unwrap()).unwrap();
    let tries = running.until("both are recorded", async |_| {
        let delivery = delivery_page::of_receipt(&db, &id).await.unwrap().remove(0);
        let tries = delivery_page::tries(&db, delivery.id).await.unwrap();
        (tries.len() == 2).then_some(tries)
    });
    let tries = tries.await;
    assert_eq!((tries[0].number, tries[0].answer.as_str()), (2, "Exit status 0"));
    assert!(tries[1].answer.contains("was stopped before the end of it was known"), "{tries:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_behind_its_output_keeps_it_from_nothing() {
    let appliance = Appliance::new();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_waybill"));
    command.args(["serve", "--web", "127.0.0.1:0", "--data"]).arg(appliance.data()).stdin(Stdio::null());
    let mut child = command.stdout(full()).stderr(full()).spawn().unwrap();
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    let mut answers = false;
    while !answers && child.try_wait().unwrap().is_none() && tokio::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
        answers = appliance.cli(&["health"]).status.success();
    }
    let ended = child.try_wait().unwrap();
    let _ = child.kill();
    let _ = child.wait();
    assert!(answers, "it ended: {ended:?}");
}
