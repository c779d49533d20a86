//! What is found under the name a file is about to get, and what *Overwrite* does about it.

use std::fmt::Display;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::FileType;

use super::depot::TransferError;
use crate::base::path::Name;
use crate::base::sync::Syncer;
use crate::domain::refusal::Rule;
use crate::domain::scheme;
use crate::domain::value::Overwrite;
use crate::workspace::folder::OpenFolder;
use crate::workspace::held;
use crate::workspace::jail::{self, Replace};

/// Numbers tried for *keep both*.
const NUMBERS_MAX: u32 = 10_000;

/// What is found under the name a file is about to get, and has the turn for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Whether it may replace another file.
    pub(super) replace: Replace,
    /// Whether another file has it.
    is_taken: bool,
}

impl Room {
    /// Applies *Overwrite* to the stored name, whose turn the caller has: the name may change (*keep both*).
    pub(super) fn make(
        folder: &OpenFolder,
        names: &mut Vec<Name>,
        overwrite: Overwrite,
    ) -> Result<Self, TransferError> {
        let is_taken = there(folder, names)?;
        let free = Self { replace: Replace::No, is_taken: false };
        match overwrite {
            Overwrite::Replace => Ok(Self { replace: Replace::Yes, is_taken }),
            _ if !is_taken => Ok(free),
            Overwrite::Refuse => Err(taken(text(names))),
            Overwrite::KeepBoth => number(folder, names).map(|()| free),
        }
    }

    /// Gives the file the name; returns whether it replaced another one. Only in that case are holds synced first
    /// (decision 0012): with a free name nothing can be lost.
    pub(super) async fn give(
        self,
        folder: &OpenFolder,
        syncer: &Syncer,
        from: (BorrowedFd<'_>, &str),
        to: (BorrowedFd<'_>, &str),
    ) -> io::Result<bool> {
        if !self.is_taken {
            match jail::rename(from, to, Replace::No) {
                // No other upload or rename came in between, but other programs do not wait for their turn.
                Err(error) if self.replace == Replace::Yes && error.kind() == io::ErrorKind::AlreadyExists => {}
                given => return given.map(|()| false),
            }
        }
        held::secure(folder, syncer).await?;
        jail::rename(from, to, self.replace)?;
        Ok(true)
    }
}

/// Whether there is a file; an error if there is something else.
pub(super) fn there(folder: &OpenFolder, names: &[Name]) -> Result<bool, TransferError> {
    match folder.jail().stat(names) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => Ok(true),
        Ok(_) => {
            let last = names.last().map_or("", Name::as_str);
            Err(TransferError::refused(Rule::NameNotStorable, format!("{last} is taken by something else")))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The name is another file's, which stays.
pub(super) fn taken(name: impl Display) -> TransferError {
    TransferError::refused(Rule::FileExists, format!("{name} is there already"))
}

/// `name-1.ext`, `name-2.ext`…: the first free one.
fn number(folder: &OpenFolder, names: &mut Vec<Name>) -> Result<(), TransferError> {
    let Some(base) = names.pop() else { return Err(TransferError::NotFound) };
    for n in 1..NUMBERS_MAX {
        names.push(scheme::numbered(&base, n));
        if folder.jail().stat(names).is_err() {
            return Ok(());
        }
        names.pop();
    }
    Err(TransferError::refused(Rule::FileExists, format!("{NUMBERS_MAX} files called {base} are there already")))
}

fn text(names: &[Name]) -> String {
    names.iter().map(Name::as_str).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_another_program_puts_under_a_free_name_is_replaced_only_once_what_is_held_is_on_disk() {
        let root = tempfile::tempdir().unwrap();
        let folder = OpenFolder::open(root.path()).unwrap();
        let file = |name: &str| root.path().join(name);
        std::fs::write(file("new"), "new").unwrap();
        std::fs::write(file("theirs"), "theirs").unwrap();
        let syncer = Syncer::default();
        let give = async |replace| {
            let to = (folder.jail().root(), "theirs");
            Room { replace, is_taken: false }.give(&folder, &syncer, (folder.jail().root(), "new"), to).await
        };
        let refused = give(Replace::No).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        // A folder of held bytes that cannot be synced.
        std::fs::write(file(".waybill/held"), "").unwrap();
        give(Replace::Yes).await.unwrap_err();
        assert_eq!(std::fs::read(file("theirs")).unwrap(), b"theirs");
        std::fs::remove_file(file(".waybill/held")).unwrap();
        assert!(give(Replace::Yes).await.unwrap());
        assert_eq!(std::fs::read(file("theirs")).unwrap(), b"new");
    }
}
