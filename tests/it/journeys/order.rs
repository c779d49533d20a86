//! What the kernel was asked for, in which order, before the partner read 226: seen from outside, by `strace`.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::kit::{Appliance, PARTNER};

const WITHIN: Duration = Duration::from_secs(30);
const CALLS: &str = "trace=fsync,fdatasync,rename,renameat,renameat2,write,sendto,sendmsg,writev";

/// `strace` on a process; none, in words, where the machine has none or does not permit it.
async fn trace(pid: u32, log: &Path) -> Option<Child> {
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-s", "80", "-e", CALLS, "-o"]).arg(log).args(["-p", &pid.to_string()]);
    let errors = log.with_extension("errors");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&errors).expect("a file"));
    let Ok(mut strace) = command.spawn() else {
        println!("skipped: there is no strace here");
        return None;
    };
    let end = Instant::now() + WITHIN;
    loop {
        let said = std::fs::read_to_string(&errors).unwrap_or_default();
        if said.contains("attached") {
            return Some(strace);
        }
        let ended = strace.try_wait().expect("strace can be asked").is_some();
        let denied = ["Operation not permitted", "not permitted", "Permission denied"];
        if ended && denied.iter().any(|words| said.contains(words)) {
            println!("skipped: strace may not look at processes here: {said}");
            return None;
        }
        assert!(!ended && Instant::now() < end, "strace did not begin: {said}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The line of the first finished call after line `from` that `is_it`. A call that others interrupted has its names in the
/// line where it began and is done in a later one.
fn first(lines: &[&str], from: usize, what: &str, is_it: impl Fn(&str) -> bool) -> usize {
    let begun = lines.iter().enumerate().skip(from).find(|(_, line)| is_it(line));
    let (at, line) = begun.unwrap_or_else(|| panic!("no {what} after line {from} of\n{}", lines.join("\n")));
    if !line.contains("<unfinished ...>") {
        return at;
    }
    let thread = line.split_whitespace().next().unwrap_or_default();
    let resumed = |line: &&str| line.starts_with(thread) && line.contains("resumed>");
    let done = lines.iter().enumerate().skip(at + 1).find(|(_, line)| resumed(line));
    done.unwrap_or_else(|| panic!("{what} was not done")).0
}

#[tokio::test(flavor = "multi_thread")]
async fn file_receipt_and_folder_are_synced_before_226_is_written() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut client = running.partner().await;
    client.expect("NOOP", 200).await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("calls");
    let Some(mut strace) = trace(running.pid(), &log).await else { return };
    client.store("/Receive/po.edi", &vec![7; 300_000]).await;
    let text = running
        .until("strace has written the reply", async |_| {
            std::fs::read_to_string(&log).ok().filter(|text| text.contains("\"226 "))
        })
        .await;
    let _ = strace.kill();
    let _ = strace.wait();
    assert!(appliance.place(PARTNER, "Receive").join("po.edi").exists());

    let lines: Vec<_> = text.lines().collect();
    let syncs = |line: &str| line.contains("fdatasync(") || line.contains("fsync(");
    let part = first(&lines, 0, "sync of the part", |line| syncs(line) && line.contains("/Receive/.waybill/"));
    let is_receipt = |line: &str| syncs(line) && line.contains("receipts.journal");
    let receipt = first(&lines, part + 1, "sync of the journal", is_receipt);
    let renamed = first(&lines, receipt + 1, "rename", |line| line.contains("rename") && line.contains("\"po.edi\""));
    let synced = first(&lines, renamed + 1, "sync of the folder", |line| syncs(line) && line.contains("/Receive>"));
    let told = lines.iter().position(|line| line.contains("\"226 ")).expect("226 was written");
    assert!(synced < told, "226 was written before the folder was synced:\n{text}");
}
