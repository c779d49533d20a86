//! STOR, STOU, APPE and resume: from bytes to receipt and event. The only way to "received" (PRODUCT 5.4).
//!
//! Always: success is returned only after the bytes are synced under their final name and, in Receive, the receipt and
//! its event are committed.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use super::came::Came;
use super::copy::{self, Inbound, Sink, ToLf, Watch};
use super::depot::{Depot, Party, TransferError};
use super::digest::Digest;
use super::plan::{Base, Plan, check_reserve};
use super::publish::{self, Whole};
use super::throttle::{Throttled, Way};
use crate::base::clock::Timestamp;
use crate::base::hex::hex;
use crate::base::id::ReceiptId;
use crate::domain::authorise::No;
use crate::domain::place::Folder;
use crate::domain::receipt::Ending;
use crate::domain::refusal::Rule;
use crate::domain::value::AsciiUploads;
use crate::workspace::folder::OpenFolder;
use crate::workspace::temporary;
use crate::workspace::upload::Part;

/// What came of an upload.
#[derive(Debug)]
pub struct Done {
    /// How the data connection ended.
    pub ending: Ending,
    /// Bytes the file has now, or the part that was kept.
    pub size_bytes: u64,
    /// The receipt, when there is one.
    pub receipt: Option<ReceiptId>,
    /// SHA-256 in hex, of a complete file.
    pub sha256: Option<String>,
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
}

/// How the control connection fares: a plain FIN counts only while it lives.
pub trait Control: Send + Sync {
    /// Whether the client still holds it; looked at anew.
    fn is_alive(&self) -> bool;
}

impl Upload {
    /// Makes the part. For a new upload this comes after the 150: a data connection that never came leaves nothing.
    /// `stop`: nobody waits for a new version of a complete file any more.
    pub async fn begin(depot: &Depot, plan: Plan, stop: &CancellationToken) -> Result<Self, TransferError> {
        let folder = plan.folder();
        let begun_at = depot.clock.now();
        let (part, digest) = match &plan.base {
            Base::Empty => {
                // A plain STOR discards what was unfinished under this name.
                if let Some(older) = folder.take_unfinished(&plan.names) {
                    folder.remove_part(&older.part);
                }
                let part = new_part(depot, &plan)?;
                (part, Digest::default())
            }
            Base::Unfinished { unfinished, offset } => {
                if !folder.take_this(&plan.names, unfinished) {
                    return Err(TransferError::Busy);
                }
                let resumed = Part::resume(folder, unfinished, *offset).await;
                let part = resumed.inspect_err(|error| {
                    // Else nobody knew of it until the next start: it could neither be resumed nor purged.
                    if error.kind() != io::ErrorKind::NotFound {
                        folder.put_back(&plan.names, unfinished.clone());
                    }
                })?;
                let digest = Digest::follow(Arc::clone(part.file()), *offset);
                (part, digest)
            }
            Base::Complete { source, offset } => {
                let mut part = new_part(depot, &plan)?;
                let stopped = stop.clone();
                if let Err(error) = part.copy_from(source.file(), *offset, move || !stopped.is_cancelled()).await {
                    part.discard(folder);
                    let aborted = stop.is_cancelled() && error.kind() == io::ErrorKind::Interrupted;
                    return Err(if aborted { TransferError::Broken(Ending::Aborted) } else { error.into() });
                }
                let digest = Digest::follow(Arc::clone(part.file()), *offset);
                (part, digest)
            }
        };
        Ok(Self { plan, part, digest, begun_at })
    }

    /// The command came earlier than the first byte could.
    pub fn begun_at(&mut self, at: Timestamp) {
        self.begun_at = at;
    }

    /// Where it begins.
    pub fn offset(&self) -> u64 {
        self.plan.base.offset()
    }

    /// Gives the upload up before a byte came: an unfinished one stays what it was.
    pub fn give_up(self, depot: &Depot) {
        let folder = Arc::clone(&self.plan.workspace);
        let folder = folder.folder(self.plan.side);
        match self.plan.base {
            Base::Unfinished { .. } => self.part.keep(folder, self.plan.names, depot.clock.now()),
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
        let workspace = Arc::clone(&self.plan.workspace);
        let entry = workspace.folder(self.plan.side).active().enter(&self.plan.names, depot.clock.now());
        let mut sink = Sink {
            part: &mut self.part,
            digest: &mut self.digest,
            syncer: depot.workspaces.syncer(),
            allowance: &self.plan.allowance,
            to_lf: turns.then(ToLf::default),
            entry: &entry,
            clock: &depot.clock,
        };
        let throttle = depot.throttles.of(party.connector().id.key(), Way::Up);
        let received = copy::receive(&mut Throttled::new(from, throttle), &mut sink, watch, &depot.buffers).await;
        // Clients that end TLS in order wait for our end before they read the reply.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, from.shutdown()).await;
        let size_bytes = self.part.size_bytes();
        match received {
            copy::Received::Ended(ending) if completes(ending, from.ends_tolerantly()) => {
                let unchanged = matches!(self.plan.base, Base::Complete { .. }) && size_bytes == offset;
                if unchanged {
                    self.part.discard(self.plan.workspace.folder(self.plan.side));
                    return Done { ending, size_bytes, receipt: None, sha256: None, result: Ok(()) };
                }
                // Not of the control connection: with PROT C its TLS says nothing about the end of the data.
                let signed = ending == Ending::Closed && from.is_by_tls();
                self.complete(depot, party, control, (ending, signed, ascii)).await
            }
            copy::Received::Ended(ending) => {
                let why = from.refusal().map_or(TransferError::Broken(ending), TransferError::Refused);
                self.broken(depot, ending, why)
            }
            copy::Received::TooLarge(no) => self.broken(depot, Ending::Refused, no.into()),
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
            return self.broken(depot, Ending::Cut, TransferError::Broken(Ending::Cut));
        }
        let size_bytes = self.part.size_bytes();
        if let Err(why) = self.plan.allowance.settle(depot, party, size_bytes).await {
            return self.broken(depot, ending, why);
        }
        let resumed_from = self.plan.base.offset();
        let whole = Whole { begun_at: self.begun_at, ending, signed, ascii, resumed_from, size_bytes, sha256 };
        let hex = hex(&sha256);
        let is_temporary = is_temporary(party, self.plan.side, self.plan.name());
        if is_temporary && let Err(error) = temporary::mark(self.part.file(), &Came::of(&whole).text()) {
            return self.failed(depot, party, error.into()).await;
        }
        match publish::publish(depot, party, &self.plan, &mut self.part, &whole).await {
            Ok(receipt) => {
                if is_temporary && let Ok(inode) = self.part.inode() {
                    self.plan.folder().temporaries().add(&self.plan.names, inode);
                }
                self.plan.allowance.arrived(size_bytes);
                Done { ending, size_bytes, receipt, sha256: Some(hex), result: Ok(()) }
            }
            Err(why @ TransferError::Storage(_)) => {
                failing(depot, party, self.plan.folder(), &why).await;
                Done { ending, size_bytes, receipt: None, sha256: None, result: Err(why) }
            }
            Err(why) => self.broken(depot, ending, why),
        }
    }

    /// Not complete: what arrived is kept under the client's name; a new version of a complete file is dropped.
    fn broken(self, depot: &Depot, ending: Ending, why: TransferError) -> Done {
        let size_bytes = self.part.size_bytes();
        let workspace = Arc::clone(&self.plan.workspace);
        let folder = workspace.folder(self.plan.side);
        let new_version = matches!(self.plan.base, Base::Complete { .. });
        // What met a limit may go on when there is room again, or when the limit is another (PRODUCT 5.6: 552).
        let is_limited = |no: &No| matches!(no.rule, Rule::FileTooLarge | Rule::Quota);
        let is_refused = matches!(&why, TransferError::Refused(no) if !is_limited(no));
        if new_version || size_bytes == 0 || is_refused {
            self.part.discard(folder);
        } else {
            self.part.keep(folder, self.plan.names, depot.clock.now());
        }
        Done { ending, size_bytes, receipt: None, sha256: None, result: Err(why) }
    }

    /// The disk did not take the last bytes. A full disk keeps a part worth keeping, where the reserve holds in spite of it
    /// and all that it had taken before gets there.
    async fn not_taken(mut self, depot: &Depot, party: &Party, error: io::Error) -> Done {
        let why = TransferError::from(error);
        let size_bytes = self.part.size_bytes();
        let workspace = Arc::clone(&self.plan.workspace);
        let folder = workspace.folder(self.plan.side);
        let reserved = || check_reserve(party.snapshot.profile.disk_reserve, folder, 0).is_ok();
        let is_worth_it = matches!(why, TransferError::NoSpace)
            && size_bytes >= KEEP_BYTES_MIN
            && !matches!(self.plan.base, Base::Complete { .. })
            && reserved();
        if !is_worth_it || self.part.sync(depot.workspaces.syncer()).await.is_err() {
            return self.failed(depot, party, why).await;
        }
        self.part.keep(folder, self.plan.names, depot.clock.now());
        Done { ending: Ending::Failed, size_bytes, receipt: None, sha256: None, result: Err(why) }
    }

    /// Writing or syncing failed on this side: the part cannot be trusted. The kernel forgets what it could not write back,
    /// even where it was for want of room.
    async fn failed(self, depot: &Depot, party: &Party, why: TransferError) -> Done {
        let size_bytes = self.part.size_bytes();
        let workspace = Arc::clone(&self.plan.workspace);
        let folder = workspace.folder(self.plan.side);
        self.part.discard(folder);
        failing(depot, party, folder, &why).await;
        Done { ending: Ending::Failed, size_bytes, receipt: None, sha256: None, result: Err(why) }
    }
}

/// Uploads are refused from now on until a probe succeeds.
async fn failing(depot: &Depot, party: &Party, folder: &OpenFolder, why: &TransferError) {
    depot.storage_failed(party.whose(), folder, why).await;
}

/// How long our end of a data connection may take to leave.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// When the disk is full, only a part of at least this size is kept (PRODUCT 5.10).
const KEEP_BYTES_MIN: u64 = 1024 * 1024;

/// PRODUCT 5.3: only an orderly end completes an upload; without TLS's own signature where that is tolerated.
fn completes(ending: Ending, tolerant: bool) -> bool {
    ending == Ending::Closed || (ending == Ending::Unsigned && tolerant)
}

fn new_part(depot: &Depot, plan: &Plan) -> Result<Part, TransferError> {
    let id = ReceiptId::new(&depot.ids);
    Ok(Part::create(plan.folder(), id.as_str(), &plan.client_path())?)
}

/// Whether a name in that folder is one that a client uses while it writes (PRODUCT section 7).
pub fn is_temporary(party: &Party, side: Folder, name: &str) -> bool {
    side == Folder::Receive && party.connector().settings.temp_receive_extensions.is_temporary(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::path::VirtualPath;
    use crate::ftp::session::StoreMode;
    use crate::transfer::plan::plan;
    use crate::transfer::upload_tests::Desk;
    use crate::workspace::folder::Unfinished;

    async fn begun(desk: &Desk, mode: StoreMode) -> Result<Upload, TransferError> {
        let path = VirtualPath::root().resolve("/Receive/a").unwrap();
        let plan = plan(&desk.depot, &desk.party, &path, mode).await?;
        Upload::begin(&desk.depot, plan, &CancellationToken::new()).await
    }

    #[tokio::test]
    async fn an_unfinished_upload_that_cannot_be_resumed_now_can_be_later() {
        let desk = Desk::new(&[]).await;
        let workspace = desk.party.workspace(&desk.depot).unwrap();
        let folder = workspace.folder(Folder::Receive);
        let names = [crate::base::path::Name::parse("a").unwrap()];
        let unfinished = Unfinished { part: "part".to_owned(), size_bytes: 7, since: desk.depot.clock.now() };
        folder.keep_unfinished(names.to_vec(), unfinished.clone());
        // Not a file that could be written, for a moment.
        rustix::fs::mkdirat(&**folder.staging(), "part", rustix::fs::Mode::RWXU).unwrap();
        begun(&desk, StoreMode::Append).await.unwrap_err();
        assert_eq!(folder.unfinished(&names), Some(unfinished));
        rustix::fs::unlinkat(&**folder.staging(), "part", rustix::fs::AtFlags::REMOVEDIR).unwrap();
        begun(&desk, StoreMode::Append).await.unwrap_err();
        assert_eq!(folder.unfinished(&names), None, "it is gone for good");
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
