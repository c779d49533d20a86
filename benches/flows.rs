//! Small files passed along: `TMPDIR=/dev/shm cargo bench --bench flows`. The same uploads by a partner whose files stay
//! and by one whose files are passed along to a folder, in turn: how many a second each, what passing along costs the
//! uploads, and how many a second arrive. It fails when a file is missing, or came twice.

#[path = "../tests/it/kit/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests need more of it than this")]
mod kit;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use kit::{Appliance, Client, PASSWORD};

const ROUNDS: usize = 5;
const SESSIONS: usize = 8;
/// Files of each session in a round.
const FILES: usize = 250;
const SIZE: usize = 4 * 1024;
/// How long the last file may take to arrive.
const WITHIN: Duration = Duration::from_mins(1);

/// Uploads by all sessions at once; gives files a second.
async fn upload(server: SocketAddr, partner: &'static str, round: usize) -> f64 {
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(Client::login(server, partner, PASSWORD).await);
    }
    let begun = Instant::now();
    let mut uploading = JoinSet::new();
    for (session, mut client) in sessions.into_iter().enumerate() {
        uploading.spawn(async move {
            let bytes = vec![b'x'; SIZE];
            for n in 0..FILES {
                client.store(&format!("/Receive/{round}-{session}-{n}"), &bytes).await;
            }
        });
    }
    while let Some(done) = uploading.join_next().await {
        done.expect("every file is received");
    }
    per_second(begun.elapsed())
}

fn per_second(took: Duration) -> f64 {
    let files = f64::from(u32::try_from(SESSIONS * FILES).unwrap_or(u32::MAX));
    files / took.as_secs_f64()
}

fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| entry.path().is_file()).count()
}

fn middle(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

#[tokio::main]
async fn main() {
    // `cargo test --all-targets` starts it too; the load is for `cargo bench`.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let appliance = Appliance::new();
    appliance.add("stays", &["settle_s=0"]);
    appliance.add("passes", &["settle_s=0"]);
    appliance.say(&["connector", "add", "archive", "type=folder"]);
    appliance.say(&["flow", "connect", "passes", "archive"]);
    let archive = appliance.data().join("partners/archive");
    let running = appliance.start().await;
    let (mut stay, mut pass, mut arrive) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        stay.push(upload(running.ftp(), "stays", round).await);
        let begun = Instant::now();
        pass.push(upload(running.ftp(), "passes", round).await);
        while count(&archive) < round * SESSIONS * FILES {
            assert!(begun.elapsed() < WITHIN, "{} of {} arrived", count(&archive), round * SESSIONS * FILES);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        arrive.push(per_second(begun.elapsed()));
        // Those of the round before have left by now, or do so in a moment.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(count(&archive), ROUNDS * SESSIONS * FILES, "a file is missing, or came twice");
    assert_eq!(count(&appliance.place("passes", "Receive")), 0, "a file that was passed along did not leave");
    let (stay, pass, arrive) = (middle(stay), middle(pass), middle(arrive));
    println!("{SIZE} bytes, {SESSIONS} sessions, the middle of {ROUNDS} rounds, files a second:");
    println!("  uploaded, staying         {stay:.0}");
    println!("  uploaded, passed along    {pass:.0}  ({:.2} of those that stay)", pass / stay);
    println!("  arrived in the folder     {arrive:.0}");
}
