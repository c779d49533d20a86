//! What is done by hand to a received file: its bytes are read, or it is taken out of Receive.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

use super::depot::{Depot, TransferError, Whose};
use super::held::{Found, open_held};
use super::send::is_file_of;
use crate::base::id::ReceiptId;
use crate::base::path::Name;
use crate::domain::place::Folder;
use crate::domain::receipt::Status;
use crate::store::live::Snapshot;
use crate::store::receipt::Receipt;
use crate::workspace::download::Source;
use crate::workspace::folder::OpenFolder;
use crate::workspace::held;
use crate::workspace::removal::remove_file;

/// The bytes of a receipt: stored, or else held.
///
/// # Errors
/// [`TransferError::NotFound`]: Waybill does not have them any longer.
pub async fn open(depot: &Depot, snapshot: &Snapshot, receipt: &Receipt) -> Result<Source, TransferError> {
    match Found::of(depot, snapshot, &receipt.id).await {
        Ok(found) => {
            if let Ok(source) = Source::open(found.workspace.folder(Folder::Receive), &found.names)
                && is_file_of(&found.receipt, &source.version(), source.born())
            {
                return Ok(source);
            }
        }
        // Its connector is gone; its bytes may be held all the same.
        Err(TransferError::NotFound) => {}
        Err(error) => return Err(error),
    }
    open_held(depot, &receipt.id).await
}

/// An administrator takes a file out of Receive. Only one that is there and waits for no delivery: one on its way to
/// another connector must be stopped first.
///
/// # Errors
/// [`TransferError::Busy`]: it waits to be passed along. [`TransferError::NotFound`]: it is no longer in Receive, or
/// another file has its name.
pub async fn remove(depot: &Depot, snapshot: &Snapshot, id: &ReceiptId) -> Result<Receipt, TransferError> {
    let found = Found::of(depot, snapshot, id).await?;
    let folder = found.workspace.folder(Folder::Receive);
    let _ways = folder.ways_stay().await;
    let turn = folder.naming(&found.names).await;
    depot.recorder.flush().await?;
    // Renamed, passed along or replaced while we waited for the turn.
    let now = Found::of(depot, snapshot, id).await?;
    match now.receipt.status {
        Status::InReceive if now.names == found.names && now.is_under_its_name() => {}
        Status::Waiting => return Err(TransferError::Busy),
        _ => return Err(TransferError::NotFound),
    }
    let key = now.receipt.connector_key();
    let parent = take_out(depot, folder, (&key, &now.names), &turn).await?;
    let lasts = folder.sync_folder(depot.workspaces.syncer(), parent).await;
    depot.synced(Whose { connector: &now.receipt.connector, session: "" }, folder, lasts).await?;
    Ok(now.receipt)
}

/// Removes the file under these names in Receive, and updates its receipt. Bytes that a receipt owns are synced first;
/// the receipt's update is written when this returns, so that no crash leaves it in Receive for good. `_turn` is the
/// caller's turn at the names. Returns the folder it was in, which is not synced.
pub async fn take_out(
    depot: &Depot,
    folder: &OpenFolder,
    (connector_key, names): (&str, &[Name]),
    _turn: &OwnedMutexGuard<()>,
) -> Result<Arc<OwnedFd>, TransferError> {
    let secured = held::secure(folder, depot.workspaces.syncer()).await;
    depot.synced(Whose { connector: connector_key, session: "" }, folder, secured).await?;
    let (parent, name) = folder.jail().parent(names)?;
    remove_file(&*parent, name)?;
    let path = Folder::Receive.path(names).to_string();
    depot.recorder.moved(connector_key, &path, Status::Removed).await;
    // If it cannot be written yet, it will be.
    let _ = depot.recorder.flush().await;
    Ok(parent)
}
