//! RNFR and RNTO: within one folder. Renaming from a temporary to a final name makes a file "received"; otherwise its
//! receipt follows it.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{FileType, Stat};

use super::Engine;
use super::files::{self, Target};
use crate::base::fault::{self, Point};
use crate::base::id::ReceiptId;
use crate::base::path::{Name, VirtualPath};
use crate::base::sync::Syncer;
use crate::domain::authorise::Operation;
use crate::domain::place::{Folder, Place};
use crate::domain::receipt::Status;
use crate::domain::refusal::Rule;
use crate::domain::value::{ActionMoment, Overwrite};
use crate::store::receipt::{self, Receipt};
use crate::store::renaming::{self, NewName, Rename};
use crate::transfer::came::is_uploaded;
use crate::transfer::depot::{Party, TransferError};
use crate::transfer::held as transfer_held;
use crate::transfer::plan::not_own;
use crate::transfer::publish::publish_temporary;
use crate::transfer::receive::is_temporary;
use crate::transfer::send::{self, is_file_of, lies_at, recent, stored_names};
use crate::workspace::download::Version;
use crate::workspace::folder::{OpenFolder, Turns};
use crate::workspace::held;
use crate::workspace::jail::{self, Replace};
use crate::workspace::upload;

/// `RNFR`: such a file or folder exists, and may be renamed.
pub async fn from(engine: &Engine, party: &Party, path: &VirtualPath) -> Result<(), TransferError> {
    source(engine, party, path).await.map(drop)
}

/// The source of a rename, under its stored name.
async fn source(engine: &Engine, party: &Party, path: &VirtualPath) -> Result<(Target, FileType), TransferError> {
    let target = files::target(party, Operation::RenameFrom, path)?;
    let workspace = party.workspace(&engine.depot)?;
    let folder = workspace.folder(target.folder);
    files::own_only(engine, party, &target).await?;
    if target.folder == Folder::Receive
        && let Some(receipt) = recent(&engine.depot, party, &target.names).await?
    {
        if receipt.taken_over || receipt.status == Status::PassedAlong {
            return Err(taken_over(&receipt));
        }
        // Its own file of that name, wherever it is stored, takes precedence over another file there.
        if let Some(names) = stored_names(party.connector(), &receipt)
            && let Ok(stat) = folder.jail().stat(&names)
            && is_file_of(&receipt, &Version::of(&stat), folder.jail().born(&names))
        {
            return Ok((Target { names, ..target }, FileType::RegularFile));
        }
    }
    match folder.jail().stat(&target.names) {
        // The partner has deleted it, and no longer sees it.
        Ok(stat) if is_hidden(engine, party, &target, &stat).await? => Err(TransferError::NotFound),
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            kind @ FileType::RegularFile => files::shown(engine, party, &target).map(|()| (target, kind)),
            kind @ FileType::Directory => Ok((target, kind)),
            _ => Err(TransferError::NotFound),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let unfinished = folder.unfinished(&target.names).is_some();
            Err(if unfinished { TransferError::Busy } else { TransferError::NotFound })
        }
        Err(error) => Err(error.into()),
    }
}

async fn is_hidden(engine: &Engine, party: &Party, target: &Target, stat: &Stat) -> Result<bool, TransferError> {
    let path = target.folder.path(&target.names).to_string();
    let Version { inode, size_bytes, .. } = Version::of(stat);
    let (db, key) = (&engine.depot.db, party.connector().id.key());
    Ok(target.folder == Folder::Receive && receipt::is_hidden(db, key, &path, (inode, size_bytes)).await?)
}

/// PRODUCT 5.9: a file on its way to somebody else keeps its name.
fn taken_over(receipt: &Receipt) -> TransferError {
    TransferError::refused(Rule::AlreadyTakenOver, format!("already taken over as receipt {}", receipt.id))
}

/// `RNTO`.
pub async fn rename(engine: &Engine, party: &Party, from: &VirtualPath, to: &VirtualPath) -> Result<(), TransferError> {
    let (source, kind) = source(engine, party, from).await?;
    // The filter applies to files (PRODUCT section 6).
    let named = if kind == FileType::Directory { Operation::MakeFolder } else { Operation::RenameTo };
    // Before all else: with other permissions it would be no more possible.
    if matches!(Place::of(&party.connector().settings, to), Place::Within(folder, _) if folder != source.folder) {
        return Err(TransferError::BetweenFolders);
    }
    let target = files::target(party, named, to)?;
    not_own(&target.names)?;
    let way = Way { side: source.folder, from: &source.names, to: &target.names };
    if way.from == way.to {
        return Ok(());
    }
    if kind == FileType::Directory {
        if way.to.len() > way.from.len() && way.to.starts_with(way.from) {
            return Err(TransferError::WithinItself);
        }
        return rename_folder(engine, party, &way).await;
    }
    let workspace = party.workspace(&engine.depot)?;
    let ways = workspace.folder(way.side).ways_stay().await;
    let turns = workspace.folder(way.side).naming_both(way.from, way.to).await;
    // Whose file it is must be decided while nobody else can take the name.
    engine.depot.recorder.flush().await?;
    let known = if way.side == Folder::Receive { still_its(engine, party, &way).await? } else { None };
    let temporary = |names: &[Name]| is_temporary(party, way.side, names.last().map_or("", Name::as_str));
    // It is an upload even if its name is no longer temporary.
    let uploaded = || temporary(way.from) || is_uploaded(workspace.folder(way.side), way.from);
    if way.side == Folder::Receive && known.is_none() && !temporary(way.to) && uploaded() {
        // It takes the turns itself, after the digest.
        drop((turns, ways));
        publish_temporary(&engine.depot, party, way.from, way.to).await?;
        return Ok(());
    }
    move_file(engine, party, &way, (known, &turns)).await
}

/// A rename: names below one folder.
struct Way<'a> {
    side: Folder,
    from: &'a [Name],
    to: &'a [Name],
}

impl Way<'_> {
    /// As the partner sees them.
    fn paths(&self) -> (String, String) {
        let path = |names| self.side.path(names).to_string();
        (path(self.from), path(self.to))
    }

    /// Recorded before it is done on disk, if receipts will follow: the file's, or all below a folder.
    async fn begin(
        &self,
        engine: &Engine,
        party: &Party,
        whose: Option<(ReceiptId, NewName)>,
    ) -> Result<Rename, TransferError> {
        let (db, key) = (&engine.depot.db, party.connector().id.key());
        Ok(Rename::begin(db, (key, whose), self.paths(), engine.depot.clock.now()).await?)
    }
}

/// After a rename on disk: that of a folder or of a file with a receipt is carried over into the receipts.
async fn end(engine: &Engine, begun: Option<Rename>, renamed: Synced) -> Result<io::Result<()>, TransferError> {
    let recorder = &engine.depot.recorder;
    match (begun, &renamed) {
        (Some(begun), Ok(_)) => {
            recorder.renamed(begun).await;
            // If it cannot be written yet, it will be.
            let _ = recorder.flush().await;
        }
        (Some(begun), Err(_)) => begun.give_up(&engine.depot.db).await?,
        (None, _) => {}
    }
    Ok(renamed?)
}

/// The receipt of the file, if that is still its own: another program may have put another one there. A file being
/// passed along belongs to its receipt until it has left.
async fn still_its(engine: &Engine, party: &Party, way: &Way<'_>) -> Result<Option<Receipt>, TransferError> {
    let ((path, _), db, key) = (way.paths(), &engine.depot.db, party.connector().id.key());
    let latest = receipt::latest_stored_at(db, key, &path).await?;
    let passed_along = receipt::passed_along_from(db, key, &path).await?;
    let workspace = party.workspace(&engine.depot)?;
    let (folder, name) = workspace.folder(Folder::Receive).jail().parent(way.from)?;
    for receipt in latest.into_iter().chain(passed_along) {
        if lies_at(folder.as_fd(), name, &receipt).await.map_err(TransferError::Storage)? {
            return Ok(Some(receipt));
        }
    }
    Ok(None)
}

/// What the file's new name changes for its deliveries, none of which has begun. Its bytes are held if it sets off
/// anything.
async fn new_name(engine: &Engine, party: &Party, way: &Way<'_>, receipt: &Receipt) -> Result<NewName, TransferError> {
    if is_temporary(party, way.side, way.to.last().map_or("", Name::as_str)) {
        return Ok(NewName { is_temporary: true, sets_off: None });
    }
    let depot = &engine.depot;
    let settles_at = party.connector().settles_at(receipt.completed_at);
    // Under a temporary name it did not settle.
    let since = renaming::temporary_since(&depot.db, &receipt.id).await?;
    if since.unwrap_or_else(|| depot.clock.now()) >= settles_at {
        return Ok(NewName::default());
    }
    let (_, to) = way.paths();
    let file = (to.as_str(), receipt.size_bytes);
    let set_off = party.snapshot.set_off(ActionMoment::AfterReceive, &receipt.connector, file);
    let actions: Vec<_> = set_off.map(|action| action.id.clone()).collect();
    if !actions.is_empty() {
        transfer_held::hold_in_turn(depot, &party.snapshot, receipt).await?;
    }
    Ok(NewName { is_temporary: false, sets_off: Some((actions, settles_at)) })
}

/// `_turns` are the caller's, for both names.
async fn move_file(
    engine: &Engine,
    party: &Party,
    way: &Way<'_>,
    (known, _turns): (Option<Receipt>, &Turns),
) -> Result<(), TransferError> {
    let workspace = party.workspace(&engine.depot)?;
    let folder = workspace.folder(way.side);
    if let Some(receipt) = &known
        && receipt.taken_over
    {
        return Err(taken_over(receipt));
    }
    let replace = match folder.jail().stat(way.to).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        Ok(FileType::RegularFile) if party.connector().settings.overwrite == Overwrite::Replace => Replace::Yes,
        Ok(FileType::RegularFile) => {
            let (_, to) = way.paths();
            return Err(TransferError::refused(Rule::FileExists, format!("{to} is there already")));
        }
        Ok(FileType::Directory) => return Err(TransferError::IsFolder),
        Ok(_) => {
            let (_, to) = way.paths();
            return Err(TransferError::refused(Rule::NameNotStorable, format!("{to} is taken by something else")));
        }
        Err(_) => Replace::No,
    };
    let version = Version::of(&folder.jail().stat(way.from)?);
    let was_settled = send::settled(&engine.depot, party, way.side, &version).is_ok();
    let syncer = engine.depot.workspaces.syncer();
    engine.depot.synced(party.whose(), folder, held::secure(folder, syncer).await).await?;
    let begun = match known {
        Some(receipt) => {
            let new_name = new_name(engine, party, way, &receipt).await?;
            Some(way.begin(engine, party, Some((receipt.id, new_name))).await?)
        }
        None => None,
    };
    let follows = begun.is_some();
    let lasts = end(engine, begun, on_disk(folder, syncer, way, replace).await).await?;
    folder.temporaries().renamed(way.from, way.to);
    folder.supersede(way.to, ReceiptId::new(&engine.depot.ids).as_str());
    if was_settled {
        folder.published(version.inode, engine.depot.clock.now());
    }
    if way.side == Folder::Receive && replace == Replace::Yes && !follows {
        let (_, to) = way.paths();
        engine.depot.recorder.moved(party.connector().id.key(), &to, Status::Replaced).await;
    }
    engine.depot.synced(party.whose(), folder, lasts).await
}

async fn rename_folder(engine: &Engine, party: &Party, way: &Way<'_>) -> Result<(), TransferError> {
    let workspace = party.workspace(&engine.depot)?;
    let folder = workspace.folder(way.side);
    let _turn = folder.ways_change().await;
    engine.depot.recorder.flush().await?;
    let begun = if way.side == Folder::Receive { Some(way.begin(engine, party, None).await?) } else { None };
    let syncer = engine.depot.workspaces.syncer();
    let lasts = end(engine, begun, on_disk(folder, syncer, way, Replace::No).await).await?;
    for (names, part) in folder.folder_renamed(way.from, way.to) {
        let path = way.side.path(&names);
        if let Err(error) = upload::rename_client_path(folder, &part, &path) {
            tracing::warn!(part, %error, "After a restart this unfinished upload will be looked for where it was");
        }
    }
    folder.temporaries().folder_renamed();
    engine.depot.synced(party.whose(), folder, lasts).await
}

/// The outcome of syncing both folders; the outer error: nothing was renamed.
type Synced = io::Result<io::Result<()>>;

/// The rename itself, and the sync of both folders.
async fn on_disk(folder: &OpenFolder, syncer: &Syncer, way: &Way<'_>, replace: Replace) -> Synced {
    let (from_folder, from_name) = folder.jail().parent(way.from)?;
    let (to_folder, to_name) = folder.jail().parent(way.to)?;
    jail::rename((from_folder.as_fd(), from_name), (to_folder.as_fd(), to_name), replace)?;
    let sync = async {
        fault::pass(Point::Renamed)?;
        folder.sync_both(syncer, to_folder, from_folder).await
    };
    Ok(sync.await)
}
