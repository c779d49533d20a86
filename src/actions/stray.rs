//! Processes left behind by a program. A process group can be ended by its number, but a process that calls `setsid`
//! has left it. Waybill therefore becomes the parent of orphans (`PR_SET_CHILD_SUBREAPER`), and marks each run: the
//! last entry of its `PATH` is a nonexistent place in its scratch folder, which every descendant inherits. A
//! descendant's working directory identifies it, too: most stay in that folder, whatever they do to their environment.
//!
//! Always: a run is registered before another thread can take its process for an orphan.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Mutex;

use crate::base::lock::lock;

use rustix::event::{Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpgrp, getpid, pidfd_open, pidfd_send_signal, set_child_subreaper, waitpid,
};

/// The place within a scratch folder that marks a run.
const PLACE: &str = ".run";
/// How often to look for more: each round ends a generation, and a process that forks faster than that is reported.
const ROUNDS_MAX: usize = 200;
/// Between two rounds, 5 ms; killed processes need a moment to be gone.
const ROUND: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// The mark of each run in progress and its first process.
static RUNNING: Mutex<Option<HashMap<String, Pid>>> = Mutex::new(None);

/// The mark of the run in that scratch folder.
pub fn mark(folder: &Path) -> String {
    folder.join(PLACE).to_string_lossy().into_owned()
}

/// Starts the first process of a run.
pub fn spawn(command: &mut Command, mark: &str) -> io::Result<Child> {
    let mut running = lock(&RUNNING);
    if running.is_none() {
        set_child_subreaper(Some(getpid()))?;
    }
    let child = command.spawn()?;
    running.get_or_insert_default().insert(mark.to_owned(), Pid::from_child(&child));
    Ok(child)
}

/// The first process of a run has ended and was waited for: ends everything it has left.
pub fn end(mark: &str) {
    let own = folder_of(mark);
    for _ in 0..ROUNDS_MAX {
        let mut running = lock(&RUNNING);
        let others = running.get_or_insert_default();
        others.remove(mark);
        if end_orphans(own.as_deref(), others) == 0 {
            return;
        }
        drop(running);
        rest();
    }
    tracing::error!(run = mark, "A program starts processes faster than they can be ended");
}

/// The scratch folder of a run, as the kernel spells it.
fn folder_of(mark: &str) -> Option<PathBuf> {
    Path::new(mark).parent()?.canonicalize().ok()
}

/// Ends the orphans given to this process, except those of other runs. Returns how many there were.
fn end_orphans(own: Option<&Path>, running: &HashMap<String, Pid>) -> usize {
    let (this, group) = (getpid(), getpgrp());
    let folders: Vec<_> = running.keys().filter_map(|mark| folder_of(mark)).collect();
    let mut found = 0;
    for pid in processes() {
        let Some(stat) = Stat::of(pid) else { continue };
        // A run's processes are never in this process's group, so no other child is mistaken for one.
        let is_orphan = stat.parent == this && stat.group != Some(group) && running.values().all(|first| *first != pid);
        if !is_orphan {
            continue;
        }
        if stat.is_dead {
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
            continue;
        }
        let Some(seen) = Seen::of(pid) else { continue };
        let is_left = match seen.whose(own, (running, &folders)) {
            Whose::Ended => true,
            // A process in the middle of an exec has no environment for a moment, and might be anybody's.
            Whose::Unknown => running.is_empty(),
            Whose::NoRun | Whose::Running => false,
        };
        if is_left {
            found += 1;
            kill(pid, |_| true);
        }
    }
    found
}

/// The run of an orphan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// The one that has ended.
    Ended,
    /// None.
    NoRun,
    /// One in progress.
    Running,
    /// Unknown: it has changed its environment and left its folder.
    Unknown,
}

/// What identifies the run of a process.
struct Seen {
    /// Its initial environment.
    environment: Vec<u8>,
    /// Its working directory.
    place: PathBuf,
    /// Whether all orphans of this process come from runs: it is not the first in a container, which gets everybody's.
    only_runs: bool,
}

impl Seen {
    /// None if it may not be inspected: then it may not be killed either.
    fn of(pid: Pid) -> Option<Self> {
        Some(Self { environment: environment(pid)?, place: place(pid)?, only_runs: getpid() != Pid::INIT })
    }

    /// By its mark, otherwise by its working directory: in the scratch folder of the run that has ended, or of one in
    /// progress.
    fn whose(&self, own: Option<&Path>, (running, folders): (&HashMap<String, Pid>, &[PathBuf])) -> Whose {
        let is_one = |mark: &str| entries(&self.environment).any(|entry| entry == mark.as_bytes());
        if running.keys().any(|mark| is_one(mark)) {
            return Whose::Running;
        }
        if entries(&self.environment).any(|entry| entry.ends_with(b"/.run")) {
            return Whose::Ended;
        }
        if folders.iter().any(|folder| self.place.starts_with(folder)) {
            return Whose::Running;
        }
        if own.is_some_and(|folder| self.place.starts_with(folder)) {
            return Whose::Ended;
        }
        if self.only_runs || self.environment.is_empty() { Whose::Unknown } else { Whose::NoRun }
    }
}

/// At start: ends what runs of an earlier process have left, recognised by the place of their scratch folders: it is in
/// their `PATH`, or they are in it without a terminal. Returns how many there were.
pub fn end_left(scratch: &Path) -> usize {
    let mark = format!("{}/", scratch.display());
    let folder = scratch.canonicalize().ok();
    let is_there = |pid: Pid| {
        let Some(folder) = &folder else { return false };
        // Somebody looking around there by hand has a terminal.
        let is_run = Stat::of(pid).is_some_and(|stat| !stat.has_terminal && !stat.is_dead);
        is_run && place(pid).is_some_and(|place| place != *folder && place.starts_with(folder))
    };
    let is_left = |pid: Pid| has_mark(pid, &mark) || is_there(pid);
    let mut ended = 0;
    for _ in 0..ROUNDS_MAX {
        let left: Vec<_> = processes().filter(|pid| *pid != getpid() && is_left(*pid)).collect();
        if left.is_empty() {
            return ended;
        }
        ended = ended.max(left.len());
        for pid in left {
            kill(pid, is_left);
        }
        rest();
    }
    tracing::error!("Programs that an earlier process has left could not be ended");
    ended
}

fn rest() {
    let _ = poll(&mut [], Some(&ROUND));
}

/// Kills a process if `still` confirms that it is the one meant: its number may have been reused.
fn kill(pid: Pid, still: impl Fn(Pid) -> bool) {
    if let Ok(process) = pidfd_open(pid, PidfdFlags::empty())
        && still(pid)
    {
        let _ = pidfd_send_signal(process, Signal::KILL);
    }
}

/// Every visible process.
fn processes() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

/// Whether the initial `PATH` of a process contains that place.
fn has_mark(pid: Pid, place: &str) -> bool {
    environment(pid).is_some_and(|found| entries(&found).any(|entry| entry.starts_with(place.as_bytes())))
}

/// The initial environment of a process; none if it is not visible.
fn environment(pid: Pid) -> Option<Vec<u8>> {
    std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).ok()
}

/// The working directory of a process; none if it is not visible.
fn place(pid: Pid) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero())).ok()
}

/// The entries of its `PATH`.
fn entries(environment: &[u8]) -> impl Iterator<Item = &[u8]> {
    let path = environment.split(|byte| *byte == 0).find_map(|one| one.strip_prefix(b"PATH="));
    path.unwrap_or_default().split(|byte| *byte == b':')
}

/// What the kernel says about a process.
struct Stat {
    is_dead: bool,
    parent: Pid,
    group: Option<Pid>,
    has_terminal: bool,
}

impl Stat {
    fn of(pid: Pid) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        // The name before it is in brackets and may contain anything.
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?;
        let mut number = || -> Option<i32> { fields.next()?.parse().ok() };
        let (parent, group, _session, terminal) = (number()?, number()?, number()?, number()?);
        Some(Self {
            is_dead: matches!(state, "Z" | "X"),
            parent: Pid::from_raw(parent)?,
            group: Pid::from_raw(group),
            has_terminal: terminal != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orphan_is_known_by_its_mark_else_by_its_place_and_else_by_nobody() {
        let running = HashMap::from([("/s/two/.run".to_owned(), getpid())]);
        let folders = [PathBuf::from("/s/two")];
        let whose = |environment: &str, place: &str, only_runs: bool| {
            let (environment, place) = (environment.as_bytes().to_vec(), PathBuf::from(place));
            let seen = Seen { environment, place, only_runs };
            seen.whose(Some(Path::new("/s/one")), (&running, &folders))
        };
        assert_eq!(whose("PATH=/bin:/s/two/.run\0", "/s/one", true), Whose::Running);
        assert_eq!(whose("A=b\0PATH=/bin:/s/one/.run\0", "/s/two", true), Whose::Ended);
        // One of the other run that is in the middle of an exec.
        assert_eq!(whose("", "/s/two/deep", true), Whose::Running);
        assert_eq!(whose("", "/s/one/deep", true), Whose::Ended);
        assert_eq!(whose("PATH=/bin\0", "/s/one", false), Whose::Ended);
        assert_eq!(whose("PATH=/bin\0", "/s/one more", true), Whose::Unknown);
        assert_eq!(whose("PATH=/bin\0", "/", false), Whose::NoRun);
        assert_eq!(whose("", "/", false), Whose::Unknown);
    }
}
