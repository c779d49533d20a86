//! How large an upload may become: the largest file, and what the quota leaves beside everything in Receive and
//! everything just arriving. A connector without a quota costs nothing here.
//!
//! Always: an upload counts as arriving until its receipt is committed, and as stored from then on. Nobody counts in
//! between.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use super::depot::{Depot, Party, TransferError};
use super::gone::{self, Look};
use super::unfinished;
use crate::base::human;
use crate::base::lock::lock;
use crate::base::path::Name;
use crate::domain::authorise::No;
use crate::domain::place::Folder;
use crate::domain::refusal::Rule;
use crate::store::receipt;

/// No upload has this number.
const NOBODY: u64 = 0;

/// What is arriving for every connector with a quota. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Quotas {
    books: Arc<Mutex<HashMap<String, Arc<Book>>>>,
}

impl Quotas {
    fn book(&self, party: &Party) -> Arc<Book> {
        Arc::clone(lock(&self.books).entry(party.connector().id.key().to_owned()).or_default())
    }
}

#[cfg(test)]
impl Quotas {
    /// How many uploads of that connector are arriving, and their bytes.
    pub(super) fn arriving(&self, connector_key: &str) -> (usize, u64) {
        let books = lock(&self.books);
        let Some(tally) = books.get(connector_key).map(|book| book.tally()) else { return (0, 0) };
        (tally.arriving.len(), tally.arriving.values().map(|one| one.bytes).sum())
    }
}

/// The account of one connector.
#[derive(Debug, Default)]
struct Book {
    /// Shared by all who commit a receipt, exclusive for the one who counts.
    turn: Arc<RwLock<()>>,
    tally: Mutex<Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    lying: Usage,
    arriving: BTreeMap<u64, Arriving>,
    next: u64,
    /// Whether an upload was refused since the files were last looked for.
    was_reached: bool,
    /// The path after which that look continues.
    looked_to: String,
}

/// Files and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Usage {
    files: u64,
    bytes: u64,
}

#[derive(Debug, Default)]
struct Arriving {
    /// The place of the file that it will replace, if there is one.
    path: Option<String>,
    /// The counted size of that file, freed when this upload is complete.
    replaced: Usage,
    bytes: u64,
}

/// An upload to be counted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The folder it goes to.
    pub side: Folder,
    /// Its name there.
    pub names: &'a [Name],
    /// Whether it replaces a file of that name once complete.
    pub replaces: bool,
    /// The size it starts with.
    pub size_bytes: u64,
}

/// How large one upload may become.
#[derive(Debug, Default)]
pub struct Allowance {
    file_bytes_max: Option<u64>,
    share: Option<Share>,
}

impl Allowance {
    /// From the connector's settings and its present usage. The error means that the quota is reached.
    pub async fn of(depot: &Depot, party: &Party, wanted: Wanted<'_>) -> Result<Self, TransferError> {
        let file_bytes_max = party.connector().settings.file_bytes_max.as_ref().map(|most| most.get());
        let share = match Quota::of(party, wanted.side) {
            Some(quota) => Some(Share::of(depot, party, quota, wanted).await?),
            None => None,
        };
        Ok(Self { file_bytes_max, share })
    }

    /// Takes that many bytes in total, if they are allowed.
    pub fn take(&self, size_bytes: u64) -> Result<(), No> {
        if let Some(most) = self.file_bytes_max.filter(|most| size_bytes > *most) {
            return Err(No { rule: Rule::FileTooLarge, detail: format!("more than {} bytes", human::thousands(most)) });
        }
        self.share.as_ref().map_or(Ok(()), |share| share.take(size_bytes))
    }

    /// It is complete, and about to be committed: until then nobody counts.
    pub async fn settle(&mut self, depot: &Depot, party: &Party, size_bytes: u64) -> Result<(), TransferError> {
        match &mut self.share {
            Some(share) => share.settle(depot, party, size_bytes).await,
            None => Ok(()),
        }
    }

    /// It is stored.
    pub fn arrived(&self, size_bytes: u64) {
        if let Some(share) = &self.share {
            share.arrived(size_bytes);
        }
    }
}

/// How many bytes the connector's quota leaves in that folder; `None` if there is no quota.
pub async fn left(depot: &Depot, party: &Party, side: Folder) -> Result<Option<u64>, TransferError> {
    let Some(most) = Quota::of(party, side).and_then(|quota| quota.bytes) else { return Ok(None) };
    let book = depot.quotas.book(party);
    let _turn = book.turn.write().await;
    book.count(depot, party).await?;
    let taken = book.tally().beside(NOBODY).bytes;
    Ok(Some(most.saturating_sub(taken)))
}

/// How many bytes unfinished uploads in that folder may have together: as much again as the quota allows for complete
/// ones, so that uploads broken off on purpose take no more of the disk than those sent.
pub(super) fn unfinished_bytes_max(party: &Party, side: Folder) -> Option<u64> {
    Quota::of(party, side)?.bytes
}

#[derive(Clone, Copy, Debug)]
struct Quota {
    files: Option<u64>,
    bytes: Option<u64>,
}

impl Quota {
    /// Only Receive has a quota.
    fn of(party: &Party, side: Folder) -> Option<Self> {
        let settings = &party.connector().settings;
        let files = settings.quota_files.as_ref().map(|most| most.get());
        let bytes = settings.quota_bytes.as_ref().map(|most| most.get());
        (side == Folder::Receive && (files.is_some() || bytes.is_some())).then_some(Self { files, bytes })
    }
}

/// One upload's share of a quota; given back when dropped.
#[derive(Debug)]
struct Share {
    book: Arc<Book>,
    number: u64,
    quota: Quota,
    turn: Option<OwnedRwLockReadGuard<()>>,
}

impl Share {
    async fn of(depot: &Depot, party: &Party, quota: Quota, wanted: Wanted<'_>) -> Result<Self, TransferError> {
        let book = depot.quotas.book(party);
        let turn = book.turn.write().await;
        let path = wanted.replaces.then(|| stored_path(wanted.names));
        let number = book.enter(path);
        let share = Self { book: Arc::clone(&book), number, quota, turn: None };
        book.count(depot, party).await?;
        let was_reached = mem::take(&mut book.tally().was_reached);
        if (was_reached || share.check().is_err()) && book.look(depot, party).await {
            book.count(depot, party).await?;
        }
        share.check()?;
        share.take(wanted.size_bytes)?;
        drop(turn);
        Ok(share)
    }

    /// Whether there is room for one more file and one more byte.
    fn check(&self) -> Result<(), No> {
        let tally = self.book.tally();
        let replaced = tally.arriving.get(&self.number).map_or_else(Usage::default, |own| own.replaced);
        let beside = tally.beside(self.number);
        let reached = |most: Option<u64>, taken: u64, replaced: u64| {
            most.filter(|most| taken >= most.saturating_add(replaced)).map(|most| (taken, most))
        };
        let files = reached(self.quota.files, beside.files, replaced.files).map(|found| (found, "files"));
        let bytes = || reached(self.quota.bytes, beside.bytes, replaced.bytes).map(|found| (found, "bytes"));
        match files.or_else(bytes) {
            Some(((taken, most), what)) => Err(no(format!("{taken} {what} are in Receive, {most} are allowed"))),
            None => Ok(()),
        }
    }

    fn take(&self, size_bytes: u64) -> Result<(), No> {
        let Some(most) = self.quota.bytes else { return Ok(()) };
        let mut tally = self.book.tally();
        let beside = tally.beside(self.number).bytes;
        let Some(own) = tally.arriving.get_mut(&self.number) else { return Ok(()) };
        if beside.saturating_add(size_bytes.saturating_sub(own.replaced.bytes)) > most {
            // It ends here: others need not wait for it.
            own.bytes = 0;
            let replaced = own.replaced.bytes;
            tally.was_reached = true;
            return Err(no(format!("{beside} bytes are in Receive, {replaced} of them replaced; {most} are allowed")));
        }
        own.bytes = size_bytes;
        Ok(())
    }

    async fn settle(&mut self, depot: &Depot, party: &Party, size_bytes: u64) -> Result<(), TransferError> {
        let turn = Arc::clone(&self.book.turn);
        let replaces = self.book.tally().arriving.get(&self.number).is_some_and(|own| own.replaced.files > 0);
        self.turn = Some(if replaces {
            // The file that it replaces may have gone, or been renamed.
            let turn = turn.write_owned().await;
            self.book.count(depot, party).await?;
            turn.downgrade()
        } else {
            turn.read_owned().await
        });
        Ok(self.take(size_bytes)?)
    }

    fn arrived(&self, size_bytes: u64) {
        let mut tally = self.book.tally();
        let Some(own) = tally.arriving.remove(&self.number) else { return };
        tally.lying.files = (tally.lying.files + 1).saturating_sub(own.replaced.files);
        tally.lying.bytes = tally.lying.bytes.saturating_add(size_bytes).saturating_sub(own.replaced.bytes);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.book.tally().arriving.remove(&self.number);
    }
}

impl Book {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        lock(&self.tally)
    }

    fn enter(&self, path: Option<String>) -> u64 {
        let mut tally = self.tally();
        tally.next += 1;
        let number = tally.next;
        tally.arriving.insert(number, Arriving { path, ..Arriving::default() });
        number
    }

    /// Looks for some of the counted files; returns whether any is gone. The caller has the exclusive turn.
    async fn look(&self, depot: &Depot, party: &Party) -> bool {
        let after = mem::take(&mut self.tally().looked_to);
        let looking = async { gone::look(depot, (&party.connector, &party.workspace(depot)?), &after).await };
        match looking.await {
            Ok(Look::Done { gone, next, .. }) => {
                self.tally().looked_to = next;
                gone > 0
            }
            Ok(Look::Renaming) => {
                self.tally().looked_to = after;
                false
            }
            Err(error) => {
                tracing::warn!(connector.id = party.connector().id.key(), %error, "Could not look for received files");
                false
            }
        }
    }

    /// Counts the stored files, and those of them that uploads under way replace. The caller has the exclusive turn.
    async fn count(&self, depot: &Depot, party: &Party) -> Result<(), TransferError> {
        let key = party.connector().id.key();
        // Replaced files are marked only with the next commit.
        depot.recorder.flush().await?;
        let paths: Vec<_> = self.tally().arriving.values().filter_map(|one| one.path.clone()).collect();
        let (files, bytes) = receipt::usage(&depot.db, key).await?;
        let mut lying = Usage { files, bytes };
        let mut there = receipt::usage_at(&depot.db, key, &paths).await?;
        // Files without a receipt take up space too.
        let temporaries = unfinished::temporaries(&party.workspace(depot)?, &party.connector).await;
        for file in temporaries.map_err(TransferError::Storage)? {
            lying = Usage { files: lying.files + 1, bytes: lying.bytes.saturating_add(file.size_bytes) };
            there.insert(stored_path(&file.names), (1, file.size_bytes));
        }
        let mut tally = self.tally();
        tally.lying = lying;
        for one in tally.arriving.values_mut() {
            // Of two uploads of one name only the first replaces the stored file.
            let replaced = one.path.as_ref().and_then(|path| there.remove(path)).unwrap_or_default();
            one.replaced = Usage { files: replaced.0, bytes: replaced.1 };
        }
        Ok(())
    }
}

impl Tally {
    /// The usage apart from that upload.
    fn beside(&self, number: u64) -> Usage {
        let others = self.arriving.iter().filter(|(other, _)| **other != number).map(|(_, other)| other);
        others.fold(self.lying, |sum, other| Usage {
            files: sum.files + u64::from(other.replaced.files == 0),
            bytes: sum.bytes.saturating_add(other.bytes.saturating_sub(other.replaced.bytes)),
        })
    }
}

fn stored_path(names: &[Name]) -> String {
    Folder::Receive.path(names).to_string()
}

fn no(detail: String) -> No {
    No { rule: Rule::Quota, detail }
}
