//! `kill -9` at any moment: nothing acknowledged is lost, nothing is doubled, nothing partial is visible.
#![expect(clippy::unwrap_used, reason = "the helpers of this test fail it as its own lines do")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::kit::{Appliance, Client, PARTNER, PASSWORD, Random, Running, sha256};

/// As many uploads are begun at least.
const UPLOADS: usize = 200;
/// A machine so slow that even this is not enough fails the test.
const ROUNDS_MAX: usize = 40;
const SESSIONS: usize = 6;
const FILES_PER_SESSION: usize = 12;
/// Up to this long after the uploads began the process is killed.
const KILLED_WITHIN_MS: u64 = 1_000;
const FILE_BYTES_MAX: u64 = 200_000;

/// What was sent under each name, and whether 226 came.
#[derive(Default)]
struct Ledger {
    sent: BTreeMap<String, Vec<u8>>,
    acknowledged: Vec<String>,
}

type Shared = Arc<Mutex<Ledger>>;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_points_of_uploads_nothing_is_lost_doubled_or_half_visible() {
    let mut random = Random::seeded();
    let appliance = Appliance::new();
    appliance.add("globex", &[]);
    let ledger = Shared::default();
    let mut round = 0;
    while ledger.lock().unwrap().sent.len() < UPLOADS {
        assert!(round < ROUNDS_MAX, "too few uploads were begun in {round} rounds");
        round += 1;
        let running = appliance.start().await;
        let sessions: Vec<_> = (0..SESSIONS)
            .map(|session| {
                let (ledger, random, address) = (ledger.clone(), random.fork(), running.ftp());
                tokio::spawn(async move { upload(address, format!("{round}-{session}"), ledger, random).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(random.below(KILLED_WITHIN_MS))).await;
        running.kill();
        for session in sessions {
            // The connection broke under it: that is the point.
            let _ = session.await.unwrap();
        }
        let running = appliance.start().await;
        check(&appliance, &running, &ledger).await;
        finish_one(&running, &ledger).await;
        drop(running);
    }
    let Ledger { sent, acknowledged } = &*ledger.lock().unwrap();
    let (begun, acknowledged) = (sent.len(), acknowledged.len());
    println!("{acknowledged} of {begun} uploads were acknowledged, in {round} rounds");
    assert!(acknowledged > 0, "no upload got through: the test shows nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_its_partner_deleted_before_the_crash_is_removed() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.store("/Receive/a.edi", b"the bytes").await;
    client.expect("DELE /Receive/a.edi", 250).await;
    running.kill();
    let _running = appliance.start().await;
    assert_eq!(appliance.receipts(PARTNER)[0]["status"], "removed");
}

/// One session's uploads; an error when the server dies under it.
async fn upload(
    address: std::net::SocketAddr,
    prefix: String,
    ledger: Shared,
    mut random: Random,
) -> std::io::Result<()> {
    let mut client = Client::try_connect(address).await?;
    for line in [format!("USER {PARTNER}"), format!("PASS {PASSWORD}"), "TYPE I".to_owned()] {
        client.try_send(&line).await?;
    }
    for file in 0..FILES_PER_SESSION {
        let name = format!("{prefix}-{file}.edi");
        let length = usize::try_from(random.below(FILE_BYTES_MAX)).unwrap();
        let bytes = random.bytes(length);
        ledger.lock().unwrap().sent.insert(name.clone(), bytes.clone());
        let mut data = client.try_data().await?;
        client.try_send(&format!("STOR /Receive/{name}")).await?;
        for chunk in bytes.chunks(32 * 1024) {
            data.write_all(chunk).await?;
            tokio::time::sleep(Duration::from_millis(random.below(4))).await;
        }
        data.shutdown().await?;
        drop(data);
        if client.try_reply().await?.code == 226 {
            ledger.lock().unwrap().acknowledged.push(name);
        }
    }
    Ok(())
}

/// What must hold after every restart.
async fn check(appliance: &Appliance, running: &Running<'_>, ledger: &Shared) {
    let receipts = appliance.receipts(PARTNER);
    let folder = appliance.place(PARTNER, "Receive");
    let mut client = running.partner().await;
    let listed = client.list("NLST /Receive").await;
    let mut globex = Client::login(running.ftp(), "globex", PASSWORD).await;
    assert_eq!(globex.list("LIST /Receive").await, "", "another partner sees something");
    let ledger = ledger.lock().unwrap();

    let mut by_name: BTreeMap<&str, Vec<&serde_json::Value>> = BTreeMap::new();
    for receipt in receipts.iter().filter(|receipt| receipt["status"] != "lost") {
        by_name.entry(receipt["name"].as_str().unwrap()).or_default().push(receipt);
    }
    for name in &ledger.acknowledged {
        let found = by_name.get(name.as_str()).map_or(0, Vec::len);
        assert_eq!(found, 1, "{name} was acknowledged and has {found} receipts");
    }
    for (name, found) in &by_name {
        assert_eq!(found.len(), 1, "{name} has {} receipts", found.len());
        let sent = &ledger.sent[*name];
        assert_eq!(found[0]["sha256"], sha256(sent), "{name}");
        assert_eq!(std::fs::read(folder.join(name)).unwrap(), *sent, "{name} differs on disk");
    }
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == ".waybill" || by_name.contains_key(name.as_str()), "{name} lies there without a receipt");
    }
    for name in listed.lines() {
        let name = name.trim_start_matches("/Receive/");
        assert!(ledger.sent.contains_key(name), "{name} was never sent");
    }
    let events = appliance.say(&["events", "--kind", "after_receive", "--json"]);
    assert_eq!(events.lines().count(), by_name.len(), "one event for each receipt");
}

/// An unfinished upload goes on after the crash, and is then whole.
async fn finish_one(running: &Running<'_>, ledger: &Shared) {
    let mut client = running.partner().await;
    let candidates: Vec<_> = ledger.lock().unwrap().sent.clone().into_iter().collect();
    for (name, bytes) in candidates {
        if ledger.lock().unwrap().acknowledged.contains(&name) {
            continue;
        }
        let reply = client.send(&format!("SIZE /Receive/{name}")).await;
        let Some(size) = reply.text.get(4..).and_then(|text| text.trim().parse::<usize>().ok()) else { continue };
        if reply.code != 213 || size >= bytes.len() || size == 0 {
            continue;
        }
        client.expect(&format!("REST {size}"), 350).await;
        client.store(&format!("/Receive/{name}"), &bytes[size..]).await;
        ledger.lock().unwrap().acknowledged.push(name);
        return;
    }
}
