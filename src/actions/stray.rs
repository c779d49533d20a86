//! Processes that a program left behind. A group of processes ends by its number, but whoever calls `setsid` has left it.
//! Waybill therefore has orphans given to itself (`PR_SET_CHILD_SUBREAPER`), and each run is marked: the last entry of its
//! `PATH` is a place in its scratch folder that does not exist, and every descendant inherits it.
//!
//! Always: a run is noted before another thread can take its process for an orphan.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};

use rustix::event::{Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpgrp, getpid, pidfd_open, pidfd_send_signal, set_child_subreaper, waitpid,
};

/// The place within a scratch folder that marks a run.
const PLACE: &str = ".run";
/// How often it is looked for more: each round ends a generation, and who starts anew faster than that is told of.
const ROUNDS_MAX: usize = 200;
/// Between two rounds, 5 ms; what was killed needs a moment to be gone.
const ROUND: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// The mark of each run under way and its first process.
static RUNNING: Mutex<Option<HashMap<String, Pid>>> = Mutex::new(None);

/// The mark of the run in that scratch folder.
pub fn mark(folder: &Path) -> String {
    folder.join(PLACE).to_string_lossy().into_owned()
}

/// Starts the first process of a run.
pub fn spawn(command: &mut Command, mark: &str) -> io::Result<Child> {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if running.is_none() {
        set_child_subreaper(Some(getpid()))?;
    }
    let child = command.spawn()?;
    running.get_or_insert_default().insert(mark.to_owned(), Pid::from_child(&child));
    Ok(child)
}

/// The first process of a run has ended and was waited for: whatever it has left ends too.
pub fn end(mark: &str) {
    for _ in 0..ROUNDS_MAX {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let others = running.get_or_insert_default();
        others.remove(mark);
        if end_orphans(others) == 0 {
            return;
        }
        drop(running);
        rest();
    }
    tracing::error!(run = mark, "A program starts processes faster than they can be ended");
}

/// Ends the orphans that were given to this process, but those of other runs. How many there were.
fn end_orphans(running: &HashMap<String, Pid>) -> usize {
    let (own, group) = (getpid(), getpgrp());
    let mut found = 0;
    for pid in processes() {
        let Some(stat) = Stat::of(pid) else { continue };
        // A run's processes are never in the group of this one, so that no other child is mistaken for one.
        let is_orphan = stat.parent == own && stat.group != Some(group) && running.values().all(|first| *first != pid);
        if !is_orphan {
            continue;
        }
        if stat.is_dead {
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
            continue;
        }
        let is_left = match environment(pid) {
            // Not to be looked at, so not to be killed either.
            None => false,
            // Whoever has emptied it belongs to a run that is over, or might as well.
            Some(environment) if environment.is_empty() => true,
            Some(environment) => {
                let is_one = |place: &str| entries(&environment).any(|entry| entry == place.as_bytes());
                // Orphans of others, where this is the first process of a container, have no mark at all.
                let is_marked = entries(&environment).any(|entry| entry.ends_with(b"/.run"));
                is_marked && !running.keys().any(|mark| is_one(mark))
            }
        };
        if is_left {
            found += 1;
            kill(pid, |_| true);
        }
    }
    found
}

/// At start: ends what runs of an earlier process have left, by the place of their scratch folders. Gives how many there
/// were.
pub fn end_left(scratch: &Path) -> usize {
    let place = format!("{}/", scratch.display());
    let mut ended = 0;
    for _ in 0..ROUNDS_MAX {
        let left: Vec<_> = processes().filter(|pid| *pid != getpid() && has_mark(*pid, &place)).collect();
        if left.is_empty() {
            return ended;
        }
        ended = ended.max(left.len());
        for pid in left {
            kill(pid, |pid| has_mark(pid, &place));
        }
        rest();
    }
    tracing::error!("Programs that an earlier process has left could not be ended");
    ended
}

fn rest() {
    let _ = poll(&mut [], Some(&ROUND));
}

/// Kills a process that `still` is the one that was meant: its number may be another's by now.
fn kill(pid: Pid, still: impl Fn(Pid) -> bool) {
    if let Ok(process) = pidfd_open(pid, PidfdFlags::empty())
        && still(pid)
    {
        let _ = pidfd_send_signal(process, Signal::KILL);
    }
}

/// Every process that can be seen.
fn processes() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

/// Whether the `PATH` that a process began with leads to that place.
fn has_mark(pid: Pid, place: &str) -> bool {
    environment(pid).is_some_and(|found| entries(&found).any(|entry| entry.starts_with(place.as_bytes())))
}

/// What a process began with; nothing where it may not be seen.
fn environment(pid: Pid) -> Option<Vec<u8>> {
    std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).ok()
}

/// The entries of its `PATH`.
fn entries(environment: &[u8]) -> impl Iterator<Item = &[u8]> {
    let path = environment.split(|byte| *byte == 0).find_map(|one| one.strip_prefix(b"PATH="));
    path.unwrap_or_default().split(|byte| *byte == b':')
}

/// What the kernel tells of a process.
struct Stat {
    is_dead: bool,
    parent: Pid,
    group: Option<Pid>,
}

impl Stat {
    fn of(pid: Pid) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        // The name before it is in brackets and may hold anything.
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?;
        let mut number = || Some(Pid::from_raw(fields.next()?.parse().ok()?));
        Some(Self { is_dead: matches!(state, "Z" | "X"), parent: number()??, group: number()? })
    }
}
