//! Commands that were sent ahead keep a session from hearing nothing: what ends it comes before the next of them.

use std::time::{Duration, Instant};

use crate::kit::{Appliance, Client, PARTNER, Running};

/// Enough to keep a session at work for as long as it may.
const COMMANDS: usize = 200;
/// Bytes to be counted for each.
const COUNTED_BYTES: u64 = 32 * 1024 * 1024;

/// A partner at work on more than it can do in a minute, with a deletion at the end; and its file.
async fn busy(appliance: &Appliance, running: &Running<'_>) -> (Client, std::path::PathBuf) {
    let send = appliance.place(PARTNER, "Send");
    let large = std::fs::File::create(send.join("large.txt")).expect("Send is there");
    large.set_len(COUNTED_BYTES).expect("a file with a hole");
    let mut client = running.partner().await;
    client.store("/Receive/mine.edi", b"stays").await;
    client.expect("TYPE A", 200).await;
    let ahead = "SIZE /Send/large.txt\r\n".repeat(COMMANDS) + "DELE /Receive/mine.edi\r\n";
    client.write(ahead.as_bytes()).await;
    assert_eq!(client.reply().await.code, 213);
    (client, appliance.place(PARTNER, "Receive").join("mine.edi"))
}

/// Reads until the session is ended from the other side.
async fn sent_away(client: &mut Client) {
    let begun = Instant::now();
    while client.reply().await.code != 421 {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is served on and on");
    }
    assert!(client.try_reply().await.is_err(), "nothing follows");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_connector_is_sent_away_whatever_it_sent_ahead() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let (mut client, mine) = busy(&appliance, &running).await;
    appliance.say(&["connector", "set", PARTNER, "enabled=off"]);
    sent_away(&mut client).await;
    assert_eq!(std::fs::read(mine).unwrap(), b"stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_nothing_that_was_sent_ahead() {
    let appliance = Appliance::new();
    let mut running = appliance.start().await;
    let (mut client, mine) = busy(&appliance, &running).await;
    let asked = Instant::now();
    running.terminate();
    sent_away(&mut client).await;
    assert_eq!(running.ended().await.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    assert_eq!(std::fs::read(mine).unwrap(), b"stays");
}
