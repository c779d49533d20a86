//! STOR, STOU, APPE and resume: from bytes to receipt and event. The only way to "received" (PRODUCT 5.4).
//!
//! Always: success is returned only after the bytes are synced under their final name and, in Receive, the receipt and
//! its event are committed.

use std::io;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;

use super::abort::Abort;
use super::came::Came;
use super::copy::{self, Inbound, Sink, ToLf, Watch};
use super::depot::{Depot, Party, TransferError};
use super::digest::Digest;
use super::plan::{Base, Plan, check_reserve};
use super::publish::{self, Whole};
use super::quota;
use super::socket::CLOSE_TIMEOUT;
use super::throttle::Throttled;
use super::unfinished::{self, Full};
use crate::base::clock::Timestamp;
use crate::base::id::ReceiptId;
use crate::domain::authorise::No;
use crate::domain::place::Folder;
use crate::domain::receipt::Ending;
use crate::domain::refusal::Rule;
use crate::domain::value::AsciiUploads;
use crate::store::transfer::Direction;
use crate::workspace::active::Entry;
use crate::workspace::folder::OpenFolder;
use crate::workspace::temporary;
use crate::workspace::upload::Part;

/// The outcome of an upload.
#[derive(Debug)]
pub struct Done {
    /// How the data connection ended.
    pub ending: Ending,
    /// The receipt, when there is one.
    pub receipt: Option<ReceiptId>,
    /// Success, or why not.
    pub result: Result<(), TransferError>,
}

/// An upload whose first bytes are in place.
#[derive(Debug)]
pub struct Upload {
    plan: Plan,
    part: Part,
    digest: Digest,
    begun_at: Timestamp,
    /// Its entry among the uploads under way, made before its part.
    entry: Entry,
}

/// The state of the control connection: a plain FIN counts only while it is alive.
pub trait Control: Send + Sync {
    /// Whether the client still holds it; checked afresh.
    fn is_alive(&self) -> bool;
}

impl Upload {
    /// Makes the part. For a new upload this comes after the 150: a data connection that never came leaves nothing
    /// behind. `abort`: nobody waits any longer for a new version of a complete file.
    pub async fn begin(depot: &Depot, party: &Party, plan: Plan, abort: &Abort) -> Result<Self, TransferError> {
        let part = match &plan.base {
            Base::Unfinished { unfinished, .. } => unfinished.part.clone(),
            Base::Empty | Base::Complete { .. } => ReceiptId::new(&depot.ids).as_str().to_owned(),
        };
        let (entry, is_alone) = plan.folder().active().enter(&plan.names, &part);
        match &plan.base {
            Base::Empty => {}
            // Another began since this one was planned: what the client saw under that name is about to be replaced.
            _ if !is_alone => return Err(TransferError::Busy),
            Base::Complete { .. } => entry.lapse(),
            Base::Unfinished { .. } => {}
        }
        match Self::make(depot, &plan, &part, abort).await {
            Ok((part, digest, begun_at)) => Ok(Self { plan, part, digest, begun_at, entry }),
            Err(why) => {
                if let TransferError::Storage(_) = why {
                    depot.storage_failed(party.whose(), plan.folder(), &why).await;
                }
                Err(why)
            }
        }
    }

    async fn make(
        depot: &Depot,
        plan: &Plan,
        part: &str,
        abort: &Abort,
    ) -> Result<(Part, Digest, Timestamp), TransferError> {
        let folder = plan.folder();
        let begun_at = depot.clock.now();
        let (part, digest) = match &plan.base {
            Base::Empty => {
                // A plain STOR discards the unfinished upload of this name.
                if let Some(older) = folder.take_unfinished(&plan.names) {
                    folder.remove_part(&older.part);
                }
                (Part::create(folder, part, &plan.client_path())?, Digest::default())
            }
            Base::Unfinished { unfinished, offset } => {
                if !folder.take_this(&plan.names, unfinished) {
                    return Err(TransferError::Busy);
                }
                let resumed = Part::resume(folder, unfinished, *offset).await;
                let part = resumed.inspect_err(|error| {
                    // Otherwise nobody would know of it until the next start: it could neither be resumed nor purged.
                    if error.kind() != io::ErrorKind::NotFound {
                        folder.put_back(&plan.names, unfinished.clone());
                    }
                })?;
                let digest = Digest::follow(Arc::clone(part.file()), *offset);
                (part, digest)
            }
            Base::Complete { source, offset } => {
                let mut part = Part::create(folder, part, &plan.client_path())?;
                let stopped = abort.clone();
                if let Err(error) = part.copy_from(source.file(), *offset, move || stopped.ending().is_none()).await {
                    part.discard(folder);
                    let broken = abort.ending().filter(|_| error.kind() == io::ErrorKind::Interrupted);
                    return Err(broken.map_or_else(|| error.into(), TransferError::Broken));
                }
                let digest = Digest::follow(Arc::clone(part.file()), *offset);
                (part, digest)
            }
        };
        Ok((part, digest, begun_at))
    }

    /// The command came before the first byte could.
    pub fn begun_at(&mut self, at: Timestamp) {
        self.begun_at = at;
    }

    /// Where it begins.
    pub fn offset(&self) -> u64 {
        self.plan.base.offset()
    }

    /// Gives the upload up before a byte came: an unfinished one stays as it was.
    pub async fn give_up(self, depot: &Depot, party: &Party) {
        let workspace = Arc::clone(&self.plan.workspace);
        let folder = workspace.folder(self.plan.side);
        match self.plan.base {
            Base::Unfinished { .. } => self.keep(depot, party, folder).await,
            Base::Empty | Base::Complete { .. } => self.part.discard(folder),
        }
    }

    /// Moves the bytes, then publishes or keeps what arrived.
    pub async fn run(
        mut self,
        depot: &Depot,
        party: &Party,
        from: &mut impl Inbound,
        (watch, control, ascii): (&Watch<'_>, &dyn Control, bool),
    ) -> Done {
        let turns = ascii && party.connector().settings.ascii_uploads == AsciiUploads::ToLf;
        let offset = self.plan.base.offset();
        self.entry.moved(depot.clock.now());
        self.entry.holds(self.part.size_bytes());
        let mut sink = Sink {
            part: &mut self.part,
            digest: &mut self.digest,
            syncer: depot.workspaces.syncer(),
            allowance: &self.plan.allowance,
            to_lf: turns.then(ToLf::default),
            entry: &self.entry,
            clock: &depot.clock,
        };
        let throttle = depot.throttles.of(party.connector().id.key(), Direction::Receive);
        let received = copy::receive(&mut Throttled::new(from, throttle), &mut sink, watch, &depot.buffers).await;
        // Clients that end TLS in order wait for our end before reading the reply.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, from.shutdown()).await;
        let size_bytes = self.part.size_bytes();
        match received {
            copy::Received::Ended(ending) if completes(ending, from.ends_tolerantly()) => {
                let unchanged = matches!(self.plan.base, Base::Complete { .. }) && size_bytes == offset;
                if unchanged {
                    self.part.discard(self.plan.workspace.folder(self.plan.side));
                    return Done { ending, receipt: None, result: Ok(()) };
                }
                // Not the control connection's TLS: with PROT C it says nothing about the end of the data.
                let signed = ending == Ending::Closed && from.is_by_tls();
                self.complete(depot, party, control, (ending, signed, ascii)).await
            }
            copy::Received::Ended(ending) => {
                let why = from.refusal().map_or(TransferError::Broken(ending), TransferError::Refused);
                self.broken(depot, party, (ending, why)).await
            }
            copy::Received::TooLarge(no) => self.broken(depot, party, (Ending::Refused, no.into())).await,
            copy::Received::NotTaken(error) => self.not_taken(depot, party, error).await,
            copy::Received::Failed(error) => self.failed(depot, party, error.into()).await,
        }
    }

    async fn complete(
        mut self,
        depot: &Depot,
        party: &Party,
        control: &dyn Control,
        (ending, signed, ascii): (Ending, bool, bool),
    ) -> Done {
        if let Err(error) = self.part.sync(depot.workspaces.syncer()).await {
            return self.failed(depot, party, error.into()).await;
        }
        let digest = std::mem::take(&mut self.digest);
        let sha256 = match digest.finish().await {
            Ok(sha256) => sha256,
            Err(error) => return self.failed(depot, party, error.into()).await,
        };
        // A killed client closes both connections; its FIN must not pass for the end of a file.
        if !signed && !control.is_alive() {
            return self.broken(depot, party, (Ending::Cut, TransferError::Broken(Ending::Cut))).await;
        }
        let size_bytes = self.part.size_bytes();
        if let Err(why) = self.plan.allowance.settle(depot, party, size_bytes).await {
            return self.broken(depot, party, (ending, why)).await;
        }
        let resumed_from = self.plan.base.offset();
        let came = Came { begun_at: self.begun_at, ending, signed, ascii, resumed_from };
        let whole = Whole { came, size_bytes, sha256 };
        let is_temporary = is_temporary(party, self.plan.side, self.plan.name());
        if is_temporary && let Err(error) = temporary::mark(self.part.file(), &whole.came.text()) {
            return self.failed(depot, party, error.into()).await;
        }
        match publish::publish(depot, party, &self.plan, &mut self.part, &whole).await {
            Ok(receipt) => {
                if is_temporary && let Ok(inode) = self.part.inode() {
                    self.plan.folder().temporaries().add(&self.plan.names, inode);
                }
                self.plan.allowance.arrived(size_bytes);
                Done { ending, receipt, result: Ok(()) }
            }
            Err(why @ TransferError::Storage(_)) => {
                depot.storage_failed(party.whose(), self.plan.folder(), &why).await;
                // Its bytes are on disk: without its name it can be gone on with, instead of lying there unseen.
                let workspace = Arc::clone(&self.plan.workspace);
                let folder = workspace.folder(self.plan.side);
                if self.part.is_staged(folder) {
                    self.keep(depot, party, folder).await;
                }
                Done { ending, receipt: None, result: Err(why) }
            }
            Err(why) => self.broken(depot, party, (ending, why)).await,
        }
    }

    /// Incomplete: what arrived is kept under the client's name; a new version of a complete file is dropped.
    async fn broken(mut self, depot: &Depot, party: &Party, (ending, why): (Ending, TransferError)) -> Done {
        // A write error is reported to the open file only once: whoever continues the part would never hear of it.
        if let Err(error) = self.part.wait_for_write_back().await {
            return self.failed(depot, party, error.into()).await;
        }
        let size_bytes = self.part.size_bytes();
        let workspace = Arc::clone(&self.plan.workspace);
        let folder = workspace.folder(self.plan.side);
        // An upload that hit a limit may continue when there is space again, or the limit has changed (PRODUCT 5.6:
        // 552).
        let is_limited = |no: &No| matches!(no.rule, Rule::FileTooLarge | Rule::Quota);
        let is_refused = matches!(&why, TransferError::Refused(no) if !is_limited(no));
        if size_bytes == 0 || is_refused {
            self.part.discard(folder);
        } else {
            self.keep(depot, party, folder).await;
        }
        Done { ending, receipt: None, result: Err(why) }
    }

    /// Keeps the part for an upload that may continue it, if any may.
    async fn keep(self, depot: &Depot, party: &Party, folder: &OpenFolder) {
        let (part, names, side) = (self.part.name().to_owned(), self.plan.names.clone(), self.plan.side);
        let many = self.part.keep(folder, self.plan.names, depot.clock.now());
        let most = quota::unfinished_bytes_max(party, side);
        let large = most.map(|most| folder.bound_unfinished(most, &names)).unwrap_or_default();
        let many = many.iter().map(|one| (one, Full::Many));
        for dropped in many.chain(large.iter().map(|one| (one, Full::Large))) {
            depot.recorder.event(unfinished::dropped(depot, party.connector().id.as_str(), side, dropped)).await;
        }
        // Only now: see [`OpenFolder::supersede`].
        if self.entry.has_lapsed() {
            folder.forget(&names, &part);
        }
    }

    /// The disk did not take the last bytes. A full disk keeps a part worth keeping, if the reserve holds in spite of
    /// it and all accepted bytes reach the disk.
    async fn not_taken(mut self, depot: &Depot, party: &Party, error: io::Error) -> Done {
        let why = TransferError::from(error);
        let size_bytes = self.part.size_bytes();
        let workspace = Arc::clone(&self.plan.workspace);
        let folder = workspace.folder(self.plan.side);
        let reserved = || check_reserve(party.snapshot.profile.disk_reserve, folder, 0).is_ok();
        let is_worth_it = matches!(why, TransferError::NoSpace)
            && size_bytes >= KEEP_BYTES_MIN
            && !self.entry.has_lapsed()
            && reserved();
        if !is_worth_it || self.part.sync(depot.workspaces.syncer()).await.is_err() {
            return self.failed(depot, party, why).await;
        }
        self.keep(depot, party, folder).await;
        Done { ending: Ending::Failed, receipt: None, result: Err(why) }
    }

    /// Writing or syncing failed on this side: the part cannot be trusted. The kernel discards what it could not write
    /// back, even if only space was missing.
    async fn failed(self, depot: &Depot, party: &Party, why: TransferError) -> Done {
        let workspace = Arc::clone(&self.plan.workspace);
        let folder = workspace.folder(self.plan.side);
        self.part.discard(folder);
        depot.storage_failed(party.whose(), folder, &why).await;
        Done { ending: Ending::Failed, receipt: None, result: Err(why) }
    }
}

/// When the disk is full, only a part of at least this size is kept (PRODUCT 5.10).
const KEEP_BYTES_MIN: u64 = 1024 * 1024;

/// PRODUCT 5.3: only an orderly end completes an upload; without TLS's own signature where that is tolerated.
fn completes(ending: Ending, tolerant: bool) -> bool {
    ending == Ending::Closed || (ending == Ending::Unsigned && tolerant)
}

/// Whether a name in that folder is one that clients use while writing (PRODUCT section 7).
pub fn is_temporary(party: &Party, side: Folder, name: &str) -> bool {
    side == Folder::Receive && party.connector().settings.temp_receive_extensions.is_temporary(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::path::VirtualPath;
    use crate::domain::event::EventKind;
    use crate::ftp::session::StoreMode;
    use crate::store::event;
    use crate::transfer::plan::plan;
    use crate::transfer::upload_tests::Desk;
    use crate::workspace::folder::{UNFINISHED_MAX, Unfinished};

    async fn planned(desk: &Desk, mode: StoreMode) -> Result<Plan, TransferError> {
        plan(&desk.depot, &desk.party, &VirtualPath::root().resolve("/Receive/a").unwrap(), mode).await
    }

    async fn begun(desk: &Desk, mode: StoreMode) -> Result<Upload, TransferError> {
        let plan = planned(desk, mode).await?;
        Upload::begin(&desk.depot, &desk.party, plan, &Abort::default()).await
    }

    #[tokio::test]
    async fn an_unfinished_upload_that_cannot_be_resumed_now_can_be_later() {
        let desk = Desk::new(&[]).await;
        let workspace = desk.party.workspace(&desk.depot).unwrap();
        let folder = workspace.folder(Folder::Receive);
        let names = [crate::base::path::Name::parse("a").unwrap()];
        let unfinished = Unfinished { part: "part".to_owned(), size_bytes: 7, since: desk.depot.clock.now() };
        folder.keep_unfinished(names.to_vec(), unfinished.clone());
        // For a moment not a file that could be written.
        rustix::fs::mkdirat(&**folder.staging(), "part", rustix::fs::Mode::RWXU).unwrap();
        begun(&desk, StoreMode::Append).await.unwrap_err();
        assert_eq!(folder.unfinished(&names), Some(unfinished));
        rustix::fs::unlinkat(&**folder.staging(), "part", rustix::fs::AtFlags::REMOVEDIR).unwrap();
        begun(&desk, StoreMode::Append).await.unwrap_err();
        assert_eq!(folder.unfinished(&names), None, "it is gone for good");
    }

    #[tokio::test]
    async fn a_disk_that_takes_no_new_part_is_told_of_and_refuses_until_it_does() {
        let desk = Desk::new(&[]).await;
        let workspace = desk.party.workspace(&desk.depot).unwrap();
        let folder = workspace.folder(Folder::Receive);
        let names = [crate::base::path::Name::parse("a").unwrap()];
        let unfinished = Unfinished { part: "part".to_owned(), size_bytes: 7, since: desk.depot.clock.now() };
        folder.keep_unfinished(names.to_vec(), unfinished);
        // Opening a symbolic link fails with ELOOP, which no partner's rule explains.
        rustix::fs::symlinkat("elsewhere", &**folder.staging(), "part").unwrap();
        begun(&desk, StoreMode::Append).await.unwrap_err();
        assert!(folder.is_failing());
        begun(&desk, StoreMode::Replace).await.unwrap();
        assert!(!folder.is_failing(), "a test write succeeded");
    }

    #[tokio::test]
    async fn of_two_that_go_on_with_one_file_the_second_is_told_to_wait() {
        let desk = Desk::new(&[]).await;
        desk.party.workspace(&desk.depot).unwrap();
        std::fs::write(desk.path("Receive").join("a"), "whole").unwrap();
        let plans = [planned(&desk, StoreMode::Append).await, planned(&desk, StoreMode::Append).await];
        let mut begun = Vec::new();
        for plan in plans {
            begun.push(Upload::begin(&desk.depot, &desk.party, plan.unwrap(), &Abort::default()).await);
        }
        assert!(begun[0].is_ok() && matches!(begun[1], Err(TransferError::Busy)));
    }

    #[tokio::test]
    async fn an_unfinished_upload_that_makes_room_for_another_is_an_event_that_says_whose_it_was() {
        let desk = Desk::new(&[]).await;
        let workspace = desk.party.workspace(&desk.depot).unwrap();
        let folder = workspace.folder(Folder::Receive);
        for n in 0..UNFINISHED_MAX {
            let name = crate::base::path::Name::parse(&format!("old-{n}")).unwrap();
            let since = Timestamp::from_us(i64::try_from(n).unwrap());
            let dropped = folder.keep_unfinished(vec![name], Unfinished { part: n.to_string(), size_bytes: 7, since });
            assert_eq!(dropped, None);
        }
        for _ in 0..2 {
            let mut upload = begun(&desk, StoreMode::Replace).await.unwrap();
            upload.part.write(b"bytes").unwrap();
            upload.broken(&desk.depot, &desk.party, (Ending::Cut, TransferError::Broken(Ending::Cut))).await;
        }
        desk.depot.recorder.flush().await.unwrap();
        let kind = Some(EventKind::UnfinishedDropped);
        let told = event::oldest_first(&desk.depot.db, kind, Timestamp::default(), None, 9).await.unwrap();
        let told: Vec<_> = told.iter().map(|event| (event.connector.as_str(), event.summary.as_str())).collect();
        let summary = "Removed the unfinished upload /Receive/old-0 of acme, 7 bytes: Receive had 1000, the most that are kept, \
                       and the oldest made room for another";
        assert_eq!(told, [("acme", summary)]);
        assert_eq!(folder.all_unfinished().len(), UNFINISHED_MAX);
    }

    #[tokio::test]
    async fn what_is_broken_off_on_purpose_takes_no_more_of_the_disk_than_the_quota() {
        let desk = Desk::new(&[("quota_bytes", "1000")]).await;
        let workspace = desk.party.workspace(&desk.depot).unwrap();
        let folder = workspace.folder(Folder::Receive);
        for (name, bytes) in [("one", 600), ("two", 500), ("three", 500), ("four", 900), ("five", 100)] {
            let path = VirtualPath::root().resolve(&format!("/Receive/{name}")).unwrap();
            let plan = plan(&desk.depot, &desk.party, &path, StoreMode::Replace).await.unwrap();
            let mut upload = Upload::begin(&desk.depot, &desk.party, plan, &Abort::default()).await.unwrap();
            upload.part.write(&vec![7; bytes]).unwrap();
            upload.broken(&desk.depot, &desk.party, (Ending::Cut, TransferError::Broken(Ending::Cut))).await;
        }
        let mut left: Vec<_> =
            folder.all_unfinished().iter().map(|(names, one)| (names[0].to_string(), one.size_bytes)).collect();
        left.sort();
        assert_eq!(left, [("five".to_owned(), 100), ("four".to_owned(), 900)]);
        assert_eq!(std::fs::read_dir(desk.path("Receive").join(".waybill")).unwrap().count(), 2);
        desk.depot.recorder.flush().await.unwrap();
        let kind = Some(EventKind::UnfinishedDropped);
        let told = event::oldest_first(&desk.depot.db, kind, Timestamp::default(), None, 9).await.unwrap();
        let told: Vec<_> = told.iter().map(|event| event.summary.as_str()).collect();
        let summary = "Removed the unfinished upload /Receive/one of acme, 600 bytes: those in Receive were larger than the \
                       quota, and the oldest made room for another";
        assert_eq!((told.len(), told.first()), (3, Some(&summary)), "{told:?}");
    }

    #[tokio::test]
    async fn what_a_full_disk_left_is_kept_from_now_on_however_long_it_took() {
        let desk = Desk::new(&[]).await;
        let mut upload = begun(&desk, StoreMode::Replace).await.unwrap();
        upload.begun_at(Timestamp::default());
        upload.part.write(&vec![7; usize::try_from(KEEP_BYTES_MIN).unwrap()]).unwrap();
        let (workspace, names) = (Arc::clone(&upload.plan.workspace), upload.plan.names.clone());
        let before = desk.depot.clock.now();
        upload.not_taken(&desk.depot, &desk.party, io::ErrorKind::StorageFull.into()).await;
        assert!(workspace.folder(Folder::Receive).unfinished(&names).unwrap().since >= before);
    }
}
