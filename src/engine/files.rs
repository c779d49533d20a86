//! Commands on single files and folders: SIZE, MDTM, MLST, MFMT, AVBL, DELE, MKD, RMD. Every path goes through
//! `domain::authorise` first.

use std::io;

use rustix::fs::{AtFlags, Mode, Timespec, Timestamps};

use super::Engine;
use super::listing::{entry_from, entry_of_unfinished, fixed};
use crate::base::clock::Timestamp;
use crate::base::id::ReceiptId;
use crate::base::path::{Name, VirtualPath};
use crate::domain::authorise::{Granted, Operation, Reach, authorise, is_known};
use crate::domain::place::Folder;
use crate::domain::receipt::{Proof, Status};
use crate::domain::refusal::Rule;
use crate::ftp::listing::{Entry, Kind, Rights};
use crate::store::receipt::{self, Receipt};
use crate::transfer::came::is_uploaded;
use crate::transfer::collect::{self, Deletable};
use crate::transfer::depot::{Party, TransferError};
use crate::transfer::plan::not_own;
use crate::transfer::quota;
use crate::transfer::receive::is_temporary;
use crate::transfer::received;
use crate::transfer::send::{self, Located, RECENT_FOR, locate, recent};
use crate::workspace::download::{Source, Version};
use crate::workspace::folder::{OpenFolder, Unfinished};
use crate::workspace::removal::remove_file;

/// Files up to this size are read to count what TYPE A would send.
const COUNTED_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The mode of folders made by partners.
const FOLDER_MODE: Mode = Mode::from_bits_truncate(0o750);

/// A path within one of the two folders.
pub struct Target {
    /// Which.
    pub folder: Folder,
    /// The names below it; never empty.
    pub names: Vec<Name>,
    /// How far the permission reaches.
    pub reach: Reach,
}

/// The path, if the partner may do that there. The two folders themselves are not targets.
pub fn target(party: &Party, operation: Operation, path: &VirtualPath) -> Result<Target, TransferError> {
    match authorise(&party.snapshot.profile, party.connector(), operation, path)? {
        Granted::Within { folder, names, reach } if !names.is_empty() => Ok(Target { folder, names, reach }),
        Granted::Root | Granted::Within { .. } => Err(TransferError::IsFolder),
    }
}

/// `CWD`: the path by its real name.
pub fn enter(engine: &Engine, party: &Party, path: &VirtualPath) -> Result<VirtualPath, TransferError> {
    match authorise(&party.snapshot.profile, party.connector(), Operation::Enter, path)? {
        Granted::Root => Ok(VirtualPath::root()),
        Granted::Within { folder, names, .. } => {
            party.workspace(&engine.depot)?.folder(folder).jail().folder(&names)?;
            Ok(folder.path(&names))
        }
    }
}

/// The upload that the partner may continue under that name.
fn resumable(engine: &Engine, folder: &OpenFolder, names: &[Name]) -> Option<Unfinished> {
    folder.resumable(names, engine.depot.clock.now())
}

/// What `SIZE` is asked about.
enum Asked {
    /// An incomplete upload: its present size.
    Unfinished(u64),
    /// A file that the partner collected and that is now gone.
    Collected(u64),
    File(Box<Located>),
}

async fn asked(engine: &Engine, party: &Party, path: &VirtualPath) -> Result<Asked, TransferError> {
    let target = target(party, Operation::Look, path)?;
    let workspace = party.workspace(&engine.depot)?;
    if let Some(unfinished) = resumable(engine, workspace.folder(target.folder), &target.names) {
        return Ok(Asked::Unfinished(unfinished.size_bytes));
    }
    own_only(engine, party, &target).await?;
    let located = match locate(&engine.depot, party, target.folder, &target.names).await {
        Err(TransferError::NotFound) if target.folder == Folder::Send => {
            return Ok(Asked::Collected(remembered(engine, party, &target).await?.0));
        }
        located => located?,
    };
    known(engine, party, &target, &located)?;
    Ok(Asked::File(Box::new(located)))
}

/// `SIZE`: for a complete file it confirms the receipt.
pub async fn size(engine: &Engine, party: &Party, path: &VirtualPath) -> Result<u64, TransferError> {
    match asked(engine, party, path).await? {
        Asked::Unfinished(size_bytes) | Asked::Collected(size_bytes) => Ok(size_bytes),
        Asked::File(located) => {
            confirm(engine, &located).await;
            Ok(located.source.version().size_bytes)
        }
    }
}

/// `SIZE` in TYPE A: the file to read for the size that would be sent, if that is cheap enough.
pub async fn countable(engine: &Engine, party: &Party, path: &VirtualPath) -> Result<Source, TransferError> {
    let detail = match asked(engine, party, path).await? {
        Asked::File(located) if located.source.version().size_bytes <= COUNTED_BYTES_MAX => return Ok(located.source),
        Asked::File(_) => "SIZE in TYPE A of a large file",
        Asked::Unfinished(_) => "SIZE in TYPE A of an unfinished upload",
        Asked::Collected(_) => "SIZE in TYPE A of a collected file",
    };
    Err(TransferError::refused(Rule::TypeNotSupported, detail))
}

/// Size and time of a file that the partner collected and that is now gone.
async fn remembered(engine: &Engine, party: &Party, target: &Target) -> Result<(u64, Timestamp), TransferError> {
    collect::remembered(&engine.depot, party, &target.names).await?.ok_or(TransferError::NotFound)
}

/// The client asked for size or digest of its upload: proof A.
pub async fn confirm(engine: &Engine, located: &Located) {
    let version = located.source.version();
    if let Some(receipt) = &located.receipt
        && receipt.proof != Proof::A
        && receipt.size_bytes == version.size_bytes
        && let Err(error) = receipt::set_proof(&engine.depot.db, &receipt.id, Proof::A).await
    {
        tracing::warn!(%error, "Could not record that a client confirmed its upload");
    }
}

/// A file hidden from listings is hidden from other questions, too; except a partner's own recent upload.
fn known(engine: &Engine, party: &Party, target: &Target, located: &Located) -> Result<(), TransferError> {
    if located.receipt.is_none() {
        shown(engine, party, target)?;
    }
    send::settled(&engine.depot, party, target.folder, &located.source.version())
}

/// A file that the Allowed Files Filter forbids counts as missing, neither to be looked at nor to be renamed, unless
/// the partner uploaded it under a temporary name.
pub(super) fn shown(engine: &Engine, party: &Party, target: &Target) -> Result<(), TransferError> {
    let (profile, connector) = (&party.snapshot.profile, party.connector());
    let name = target.names.last().map_or("", Name::as_str);
    let workspace = party.workspace(&engine.depot)?;
    let shown = is_known(profile, connector, target.folder, name)
        || is_uploaded(workspace.folder(target.folder), &target.names);
    if shown { Ok(()) } else { Err(TransferError::NotFound) }
}

/// Without Read a partner sees only what it uploaded recently, or is still uploading.
pub(super) async fn own_only(engine: &Engine, party: &Party, target: &Target) -> Result<(), TransferError> {
    if target.reach == Reach::All {
        return Ok(());
    }
    let own = target.folder == Folder::Receive
        && (is_own_temporary(engine, party, target)? || recent(&engine.depot, party, &target.names).await?.is_some());
    if own {
        return Ok(());
    }
    // It may be what the database could not be told of yet.
    engine.depot.recorder.catch_up().await?;
    Err(TransferError::NotFound)
}

/// A partner's upload under a temporary name has no receipt that tells whose it is; but it has the same owner as
/// everything that Waybill makes in that place, which another program's files seldom have. A missing file belongs to
/// nobody else.
fn is_own_temporary(engine: &Engine, party: &Party, target: &Target) -> Result<bool, TransferError> {
    if !is_temporary(party, target.folder, target.names.last().map_or("", Name::as_str)) {
        return Ok(false);
    }
    let workspace = party.workspace(&engine.depot)?;
    let folder = workspace.folder(target.folder);
    let own = rustix::fs::fstat(folder.staging()).map_err(io::Error::from)?.st_uid;
    Ok(folder.jail().stat(&target.names).map_or(true, |stat| stat.st_uid == own))
}

/// `MDTM`.
pub async fn modified(engine: &Engine, party: &Party, path: &VirtualPath) -> Result<Timestamp, TransferError> {
    let target = target(party, Operation::Look, path)?;
    let workspace = party.workspace(&engine.depot)?;
    if let Some(unfinished) = resumable(engine, workspace.folder(target.folder), &target.names) {
        return Ok(unfinished.since);
    }
    own_only(engine, party, &target).await?;
    match locate(&engine.depot, party, target.folder, &target.names).await {
        Ok(located) => {
            known(engine, party, &target, &located)?;
            Ok(located.source.version().modified)
        }
        Err(TransferError::IsFolder) => {
            let stat = workspace.folder(target.folder).jail().stat(&target.names)?;
            Ok(Version::of(&stat).modified)
        }
        Err(TransferError::NotFound) if target.folder == Folder::Send => {
            Ok(remembered(engine, party, &target).await?.1)
        }
        Err(error) => Err(error),
    }
}

/// `MDTM` with a time: if a file has that literal name, its time is returned, otherwise the time is set.
pub async fn modified_or_touch(
    engine: &Engine,
    party: &Party,
    whole: Option<&VirtualPath>,
    (path, to): (&VirtualPath, Timestamp),
) -> Result<Timestamp, TransferError> {
    if let Some(whole) = whole
        && let Ok(at) = modified(engine, party, whole).await
    {
        return Ok(at);
    }
    touch(engine, party, path, to).await?;
    Ok(to)
}

/// `MFMT` and its relatives.
pub async fn touch(engine: &Engine, party: &Party, path: &VirtualPath, to: Timestamp) -> Result<(), TransferError> {
    let target = target(party, Operation::Touch, path)?;
    own_only(engine, party, &target).await?;
    let located = locate(&engine.depot, party, target.folder, &target.names).await?;
    if located.receipt.is_none() {
        shown(engine, party, &target)?;
    }
    let version = located.source.version();
    let was_settled = send::settled(&engine.depot, party, target.folder, &version).is_ok();
    let at = Timespec { tv_sec: to.seconds(), tv_nsec: 0 };
    let times = Timestamps { last_access: at, last_modification: at };
    rustix::fs::futimens(&**located.source.file(), &times).map_err(io::Error::from)?;
    if target.folder == Folder::Send && was_settled {
        // Its ctime is new, but Waybill knows that it is as complete as before.
        let workspace = party.workspace(&engine.depot)?;
        workspace.folder(target.folder).published(version.inode, engine.depot.clock.now());
    }
    Ok(())
}

/// `MLST`, and LIST of a single file.
pub async fn entry(engine: &Engine, party: &Party, path: &VirtualPath) -> Result<Entry, TransferError> {
    let granted = authorise(&party.snapshot.profile, party.connector(), Operation::Look, path)?;
    let workspace = party.workspace(&engine.depot)?;
    let (folder, names, reach) = match granted {
        Granted::Within { folder, names, reach } => (folder, names, reach),
        Granted::Root => {
            let stat = rustix::fs::fstat(workspace.folder(Folder::Send).jail().root()).map_err(io::Error::from)?;
            let entry = entry_from(party, Folder::Send, ("/".to_owned(), Kind::Folder), &Version::of(&stat));
            return Ok(Entry { rights: Rights::ENTER.and(Rights::LIST), ..entry });
        }
    };
    let open = workspace.folder(folder);
    let name = names.last().map_or(folder.name(), Name::as_str).to_owned();
    if let Some(unfinished) = resumable(engine, open, &names) {
        return Ok(entry_of_unfinished(name, unfinished));
    }
    if open.jail().folder(&names).is_ok() {
        let version = Version::of(&open.jail().stat(&names)?);
        let entry = entry_from(party, folder, (name, Kind::Folder), &version);
        return Ok(if names.is_empty() { fixed(entry) } else { entry });
    }
    let target = Target { folder, names, reach };
    own_only(engine, party, &target).await?;
    let located = locate(&engine.depot, party, folder, &target.names).await?;
    known(engine, party, &target, &located)?;
    Ok(entry_from(party, folder, (name, Kind::File), &located.source.version()))
}

/// `AVBL`: what the quota or the disk leaves.
pub async fn available(engine: &Engine, party: &Party, path: &VirtualPath) -> Result<u64, TransferError> {
    let (folder, names) = match authorise(&party.snapshot.profile, party.connector(), Operation::Enter, path)? {
        Granted::Within { folder, names, .. } => (folder, names),
        // A partner stands here after its login: the question is what it may upload.
        Granted::Root => (Folder::Receive, Vec::new()),
    };
    let workspace = party.workspace(&engine.depot)?;
    workspace.folder(folder).jail().folder(&names)?;
    let (free, total) = workspace.folder(folder).room().map_err(TransferError::Storage)?;
    let left = free.saturating_sub(party.snapshot.profile.disk_reserve.bytes(total));
    let of_quota = quota::left(&engine.depot, party, folder).await?;
    Ok(of_quota.map_or(left, |of_quota| left.min(of_quota)))
}

/// `DELE`: drops an unfinished upload, or removes a file and updates its receipt. A partner's recent upload that has
/// another name on disk is only removed from its view.
pub async fn delete(engine: &Engine, party: &Party, path: &VirtualPath) -> Result<(), TransferError> {
    let target = target(party, Operation::Delete, path)?;
    let workspace = party.workspace(&engine.depot)?;
    let folder = workspace.folder(target.folder);
    folder.active().end_dead(&target.names, engine.depot.clock.now()).await;
    if let Some(unfinished) = folder.take_unfinished(&target.names) {
        folder.remove_part(&unfinished.part);
        return Ok(());
    }
    if target.folder == Folder::Send {
        return delete_sent(engine, party, &target).await;
    }
    own_only(engine, party, &target).await?;
    let _ways = folder.ways_stay().await;
    let located = locate(&engine.depot, party, target.folder, &target.names).await?;
    match &located.receipt {
        None => shown(engine, party, &target)?,
        // By now it is the administrator's, under a name that is not the partner's (PRODUCT 5.9).
        Some(receipt) if receipt.stored_path != receipt.client_path || receipt.status == Status::PassedAlong => {
            return hide(engine, receipt, None).await;
        }
        // What it had uploaded under that name before does not come into view again.
        Some(receipt) => hide(engine, receipt, Some(&receipt.id)).await?,
    }
    let turn = folder.naming(&located.names).await;
    engine.depot.recorder.flush().await?;
    received::take_out(&engine.depot, folder, (party.connector().id.key(), &located.names), &turn).await.map(drop)
}

async fn hide(engine: &Engine, receipt: &Receipt, but: Option<&ReceiptId>) -> Result<(), TransferError> {
    let since = engine.depot.clock.now().minus(RECENT_FOR);
    let name = (&*receipt.connector_key(), &*receipt.client_path);
    Ok(receipt::hide(&engine.depot.db, name, since, but).await?)
}

/// `DELE` in Send: with Write any file, otherwise one that the partner has completely collected (PRODUCT section 2).
async fn delete_sent(engine: &Engine, party: &Party, target: &Target) -> Result<(), TransferError> {
    collect::decided(&engine.depot, party, &target.names).await;
    let workspace = party.workspace(&engine.depot)?;
    let folder = workspace.folder(Folder::Send);
    let _turn = folder.naming(&target.names).await;
    let source = match Source::open(folder, &target.names) {
        // Gone already, by its own command or by Remove File After Send: the client has what it wants.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return remembered(engine, party, target).await.map(drop);
        }
        source => source?,
    };
    let version = source.version();
    match collect::deletable(&engine.depot, party, &target.names, &version).await? {
        Deletable::NotYet => return Err(TransferError::Busy),
        Deletable::No if target.reach == Reach::OwnUploads => {
            let detail = "Send is not writable for this partner, and it has not collected this file in the last day";
            return Err(TransferError::refused(Rule::NoWrite, detail));
        }
        Deletable::No => shown(engine, party, target)?,
        Deletable::Collected => {}
    }
    let (parent, name) = folder.jail().parent(&target.names)?;
    remove_file(&parent, name)?;
    Ok(collect::deleted(&engine.depot, party, &target.names, &version).await?)
}

/// `MKD`: made, and on disk before the reply.
pub async fn make_folder(engine: &Engine, party: &Party, path: &VirtualPath) -> Result<(), TransferError> {
    let target = target(party, Operation::MakeFolder, path)?;
    let workspace = party.workspace(&engine.depot)?;
    let folder = workspace.folder(target.folder);
    not_own(&target.names)?;
    let (parent, name) = folder.jail().parent(&target.names)?;
    rustix::fs::mkdirat(&parent, name, FOLDER_MODE).map_err(io::Error::from)?;
    let synced = folder.sync_folder(engine.depot.workspaces.syncer(), parent).await;
    engine.depot.synced(party.whose(), folder, synced).await
}

/// `RMD`: only an empty folder.
pub fn remove_folder(engine: &Engine, party: &Party, path: &VirtualPath) -> Result<(), TransferError> {
    let target = target(party, Operation::RemoveFolder, path)?;
    let workspace = party.workspace(&engine.depot)?;
    let folder = workspace.folder(target.folder);
    folder.jail().folder(&target.names)?;
    let (parent, name) = folder.jail().parent(&target.names)?;
    Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR).map_err(io::Error::from)?)
}

/// `SITE RECEIPT`: the receipt of the partner's latest upload of that name.
pub async fn receipt_lines(engine: &Engine, party: &Party, path: &VirtualPath) -> Result<Vec<String>, TransferError> {
    let target = target(party, Operation::Look, path)?;
    let path = target.folder.path(&target.names).to_string();
    let key = party.connector().id.key();
    let since = Timestamp::from_us(0);
    engine.depot.recorder.catch_up().await?;
    let receipt = receipt::latest_of_path(&engine.depot.db, key, &path, since).await?;
    let receipt = receipt.ok_or(TransferError::NotFound)?;
    Ok(vec![
        format!("id={}", receipt.id),
        format!("name={}", receipt.name),
        format!("size={}", receipt.size_bytes),
        format!("sha256={}", receipt.sha256),
        format!("completed={}", receipt.completed_at),
    ])
}
