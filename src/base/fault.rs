//! Fault points of the commit path, for the crash tests. Without the feature `faults` a point compiles to nothing.
//!
//! `WAYBILL_FAULT=after_commit:kill:3` kills the process when that point is reached for the third time;
//! `sync_part:eio:1` makes that step fail once, `write_part:short:1` makes every write accept a third of its bytes.

use super::words::words;

words! {
    /// A named step that tests can break.
    pub enum Point {
        /// The part was made.
        PartMade = "part_made";
        /// Bytes are being written to the part.
        WritePart = "write_part";
        /// The part is synced.
        SyncPart = "sync_part";
        /// The part is synced; nothing is recorded yet.
        PartSynced = "part_synced";
        /// The journal has a receipt; it is not synced yet.
        SyncJournal = "sync_journal";
        /// Receipt and event are committed; the part is in staging.
        Committed = "committed";
        /// A delivery needs the bytes: they are held; the part is in staging.
        Held = "held";
        /// The part has its final name; the folder is not synced yet.
        Renamed = "renamed";
        /// The folder is synced.
        SyncFolder = "sync_folder";
        /// The folder is synced; 226 is not sent yet.
        FolderSynced = "folder_synced";
        /// Recovery has begun.
        Recovering = "recovering";
        /// A collected file is recorded; nothing else is done yet.
        Collected = "collected";
        /// Its copy is complete and synced, without a name.
        SentCopied = "sent_copied";
        /// Its copy has its name; that is not recorded yet.
        SentNamed = "sent_named";
        /// It is removed; that is neither synced nor recorded yet.
        SentRemoved = "sent_removed";
        /// A file to be passed along is staged and synced; nothing is recorded yet.
        PassStaged = "pass_staged";
        /// That is recorded.
        PassRecorded = "pass_recorded";
        /// It has its name; the folder is not synced yet.
        PassNamed = "pass_named";
        /// The folder is synced; nothing is recorded yet.
        PassSynced = "pass_synced";
        /// The target, a folder or any other, has the file; nothing is recorded yet.
        PassTried = "pass_tried";
        /// The delivery is recorded; the file is still in Receive.
        PassEnded = "pass_ended";
        /// The file has left Receive.
        PassLeft = "pass_left";
        /// A program has ended; nothing is recorded yet.
        ProgramEnded = "program_ended";
    }
}

impl Point {
    /// Every point of a collected file.
    pub const SENDING: [Self; 4] = [Self::Collected, Self::SentCopied, Self::SentNamed, Self::SentRemoved];

    /// Every point of passing a file along.
    pub const PASSING: [Self; 7] = [
        Self::PassStaged,
        Self::PassRecorded,
        Self::PassNamed,
        Self::PassSynced,
        Self::PassTried,
        Self::PassEnded,
        Self::PassLeft,
    ];

    /// Every point of an upload.
    pub const RECEIVING: [Self; 10] = [
        Self::PartMade,
        Self::WritePart,
        Self::SyncPart,
        Self::PartSynced,
        Self::SyncJournal,
        Self::Committed,
        Self::Renamed,
        Self::SyncFolder,
        Self::FolderSynced,
        Self::Recovering,
    ];
}

/// Passes a point: nothing happens, unless a test has set it to fail or to kill.
#[cfg(not(feature = "faults"))]
#[inline]
pub const fn pass(_: Point) -> std::io::Result<()> {
    Ok(())
}

/// How many of `count` bytes a write at that point accepts: all of them, unless a test wants short writes.
#[cfg(not(feature = "faults"))]
#[inline]
pub const fn taken(_: Point, count: usize) -> usize {
    count
}

#[cfg(feature = "faults")]
pub use armed::{pass, taken};

#[cfg(feature = "faults")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::Point;

    struct Armed {
        point: String,
        what: String,
        at: u32,
    }

    /// Writes that accept less than they were given.
    const SHORT: &str = "short";

    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    static PASSED: AtomicU32 = AtomicU32::new(0);

    fn armed() -> Option<&'static Armed> {
        let read = || {
            let text = std::env::var("WAYBILL_FAULT").ok()?;
            let mut parts = text.split(':').map(str::to_owned);
            let (point, what) = (parts.next()?, parts.next()?);
            Some(Armed { point, what, at: parts.next()?.parse().ok()? })
        };
        ARMED.get_or_init(read).as_ref()
    }

    /// A third of the bytes, at least one, if the environment says so.
    pub fn taken(point: Point, count: usize) -> usize {
        match armed().filter(|armed| armed.point == point.name() && armed.what == SHORT) {
            Some(_) => count.min(count / 3 + 1),
            None => count,
        }
    }

    /// Passes a point: kills the process or fails if the environment says so.
    pub fn pass(point: Point) -> std::io::Result<()> {
        let Some(armed) = armed().filter(|armed| armed.point == point.name() && armed.what != SHORT) else {
            return Ok(());
        };
        if PASSED.fetch_add(1, Ordering::SeqCst) + 1 != armed.at {
            return Ok(());
        }
        match armed.what.as_str() {
            "eio" => Err(rustix::io::Errno::IO.into()),
            "enospc" => Err(rustix::io::Errno::NOSPC.into()),
            _ => {
                let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
                std::process::abort()
            }
        }
    }
}
