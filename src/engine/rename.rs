//! RNFR and RNTO: within one folder. From a temporary name to a final one a file becomes "received"; otherwise its
//! receipt follows it.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{FileType, Stat};

use super::Engine;
use super::files::{self, Target};
use crate::base::path::{Name, VirtualPath};
use crate::domain::authorise::Operation;
use crate::domain::place::{Folder, path_of};
use crate::domain::receipt::Status;
use crate::domain::refusal::Rule;
use crate::domain::value::Overwrite;
use crate::store::receipt::{self, Receipt};
use crate::transfer::depot::{Party, TransferError};
use crate::transfer::publish::publish_temporary;
use crate::transfer::receive::is_temporary;
use crate::transfer::send::{self, is_file_of, lies_at, recent, stored_names};
use crate::workspace::download::Version;
use crate::workspace::held;
use crate::workspace::jail::{self, Replace};

/// `RNFR`: there is such a file or folder, and it may be renamed.
pub async fn from(engine: &Engine, party: &Party, path: &VirtualPath) -> Result<(), TransferError> {
    source(engine, party, path).await.map(drop)
}

/// What is to be renamed, under the name it is stored with.
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
        // Its own name, whatever it is stored under, before another file that lies under that name.
        if let Some(names) = stored_names(party.connector(), &receipt)
            && let Ok(stat) = folder.jail().stat(&names)
            && is_file_of(&receipt, &Version::of(&stat), folder.jail().born(&names))
        {
            return Ok((Target { names, ..target }, FileType::RegularFile));
        }
    }
    match folder.jail().stat(&target.names) {
        // The partner has deleted it, and does not see it any more.
        Ok(stat) if is_hidden(engine, party, &target, &stat).await? => Err(TransferError::NotFound),
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            kind @ (FileType::RegularFile | FileType::Directory) => Ok((target, kind)),
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
    let path = path_of(target.folder, &target.names).unwrap_or_default().to_string();
    let Version { inode, size_bytes, .. } = Version::of(stat);
    let (db, key) = (&engine.depot.db, party.connector().id.key());
    Ok(target.folder == Folder::Receive && receipt::is_hidden(db, key, &path, (inode, size_bytes)).await?)
}

/// PRODUCT 5.9: what is on its way to somebody else keeps its name.
fn taken_over(receipt: &Receipt) -> TransferError {
    TransferError::refused(Rule::AlreadyTakenOver, format!("already taken over as receipt {}", receipt.id))
}

/// `RNTO`.
pub async fn rename(engine: &Engine, party: &Party, from: &VirtualPath, to: &VirtualPath) -> Result<(), TransferError> {
    let (source, kind) = source(engine, party, from).await?;
    let target = files::target(party, Operation::RenameTo, to)?;
    if source.folder != target.folder {
        return Err(TransferError::refused(Rule::OutsideFolders, "a rename between Send and Receive"));
    }
    if target.names.iter().any(|name| name.as_str() == jail::STAGING) {
        return Err(TransferError::refused(Rule::NameNotStorable, "the name is Waybill's own"));
    }
    let (from, to) = (source.names.as_slice(), target.names.as_slice());
    engine.depot.recorder.flush().await;
    if kind == FileType::Directory {
        if to.len() > from.len() && to.starts_with(from) {
            return Err(TransferError::WithinItself);
        }
        return rename_folder(engine, party, source.folder, from, to).await;
    }
    let temporary = |names: &[Name]| is_temporary(party, source.folder, names.last().map_or("", Name::as_str));
    let key = party.connector().id.key();
    let path = |names: &[Name]| path_of(source.folder, names).unwrap_or_default().to_string();
    let known = if source.folder == Folder::Receive {
        let latest = receipt::latest_stored_at(&engine.depot.db, key, &path(from)).await?;
        still_its(engine, party, from, latest).await?
    } else {
        None
    };
    if source.folder == Folder::Receive && known.is_none() && temporary(from) && !temporary(to) {
        publish_temporary(&engine.depot, party, from, to).await?;
        return Ok(());
    }
    move_file(engine, party, (source.folder, known), from, to).await
}

/// The receipt, if the file of that name is still its: another program may have put another there.
async fn still_its(
    engine: &Engine,
    party: &Party,
    names: &[Name],
    receipt: Option<Receipt>,
) -> Result<Option<Receipt>, TransferError> {
    let Some(receipt) = receipt else { return Ok(None) };
    let workspace = party.workspace(&engine.depot)?;
    let (folder, name) = workspace.folder(Folder::Receive).jail().parent(names)?;
    let is_its = lies_at(folder.as_fd(), name, &receipt).await.map_err(TransferError::Storage)?;
    Ok(is_its.then_some(receipt))
}

async fn move_file(
    engine: &Engine,
    party: &Party,
    (side, known): (Folder, Option<Receipt>),
    from: &[Name],
    to: &[Name],
) -> Result<(), TransferError> {
    if from == to {
        return Ok(());
    }
    let workspace = party.workspace(&engine.depot)?;
    let folder = workspace.folder(side);
    let db = &engine.depot.db;
    // In one order everywhere, so that two renames never wait for each other.
    let (first, second) = if from < to { (from, to) } else { (to, from) };
    let _turns = (folder.naming(first).await, folder.naming(second).await);
    if let Some(receipt) = &known
        && receipt::find(db, &receipt.id).await?.is_some_and(|receipt| receipt.taken_over)
    {
        return Err(taken_over(receipt));
    }
    let replace = if party.connector().settings.overwrite == Overwrite::Replace { Replace::Yes } else { Replace::No };
    if let Ok(stat) = folder.jail().stat(to)
        && FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile
    {
        return Err(TransferError::IsFolder);
    }
    let (from_folder, from_name) = folder.jail().parent(from)?;
    let (to_folder, to_name) = folder.jail().parent(to)?;
    let version = Version::of(&folder.jail().stat(from)?);
    let was_settled = send::settled(&engine.depot, party, side, &version).is_ok();
    let syncer = engine.depot.workspaces.syncer();
    held::secure(folder, syncer).await.map_err(TransferError::Storage)?;
    jail::rename((from_folder.as_fd(), from_name), (to_folder.as_fd(), to_name), replace)?;
    folder.temporaries().renamed(from, to);
    if was_settled {
        folder.published(version.inode, engine.depot.clock.now());
    }
    for changed in [to_folder, from_folder] {
        folder.sync_folder(syncer, Arc::new(changed)).await.map_err(TransferError::Storage)?;
    }
    if let Some(receipt) = known {
        let path = path_of(side, to).unwrap_or_default().to_string();
        let name = to.last().map_or("", Name::as_str);
        receipt::rename(db, receipt, (name, &path), engine.depot.clock.now()).await?;
    }
    Ok(())
}

async fn rename_folder(
    engine: &Engine,
    party: &Party,
    side: Folder,
    from: &[Name],
    to: &[Name],
) -> Result<(), TransferError> {
    let workspace = party.workspace(&engine.depot)?;
    let folder = workspace.folder(side);
    let (from_folder, from_name) = folder.jail().parent(from)?;
    let (to_folder, to_name) = folder.jail().parent(to)?;
    jail::rename((from_folder.as_fd(), from_name), (to_folder.as_fd(), to_name), Replace::No)?;
    folder.temporaries().folder_renamed();
    let syncer = engine.depot.workspaces.syncer();
    for changed in [to_folder, from_folder] {
        folder.sync_folder(syncer, Arc::new(changed)).await.map_err(TransferError::Storage)?;
    }
    if side == Folder::Receive {
        let path = |names: &[Name]| path_of(side, names).unwrap_or_default().to_string();
        receipt::rename_folder(&engine.depot.db, party.connector().id.key(), &path(from), &path(to)).await?;
    }
    Ok(())
}
