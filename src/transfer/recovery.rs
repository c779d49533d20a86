//! Finishes what a crash left, before anybody may connect (PRODUCT 5.5). Idempotent: it may crash itself and run again.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::AtFlags;

use super::depot::{Depot, Whose};
use super::publish::take_away;
use super::send::{lies_at, received_names, stored_names};
use super::unfinished::{self, Full};
use super::{held as holds, passing};
use crate::base::fault::{self, Point};
use crate::base::human;
use crate::base::id::ReceiptId;
use crate::base::path::Name;
use crate::domain::connector::Connector;
use crate::domain::event::EventKind;
use crate::domain::place::Folder;
use crate::store::delivery::{self, Attempted, Next, Placed, Placement};
use crate::store::live::Snapshot;
use crate::store::receipt::Receipt;
use crate::store::renaming::{self, Rename};
use crate::store::{StoreError, data_folder, event, held as rows, receipt, settle};
use crate::workspace::folder::{OpenFolder, Unfinished};
use crate::workspace::held::{self, HeldFolder};
use crate::workspace::jail::{self, Replace};
use crate::workspace::removal::remove_file;
use crate::workspace::{temporary, upload};

/// What recovery found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Receipts whose files were put or found under their final names, or had them.
    pub completed: u64,
    /// Unfinished uploads that can be resumed.
    pub unfinished: u64,
    /// Receipts whose bytes are gone; the partner was never told 226.
    pub lost: u64,
}

/// Finishes every receipt on its way, and finds the unfinished uploads.
pub async fn recover(depot: &Depot, snapshot: &Snapshot) -> Result<Report, StoreError> {
    // Receipts must say where their files are before anything is looked for.
    settle_renames(depot, snapshot).await?;
    // Before a name is touched: hold the bytes that deliveries need.
    settle::end_idle_holds(&depot.db).await?;
    let unheld = holds::recover(depot, snapshot).await?;
    if unheld > 0 {
        let files = human::count(unheld, "received file", "received files");
        let summary =
            format!("The bytes of {files} that wait to be passed along are not there any more; the log tells which");
        let event = depot.event(EventKind::StorageFailing, summary);
        event::record(&depot.db, &event).await?;
    }
    let passing = passing::recover(depot, snapshot).await?;
    let delivered = finish_passing(depot, passing.there).await?;
    let mut report = Report::default();
    let mut waiting: HashMap<String, Vec<Receipt>> = HashMap::new();
    for receipt in receipt::publishing(&depot.db).await? {
        waiting.entry(receipt.connector_key()).or_default().push(receipt);
    }
    for live in snapshot.partners() {
        let connector = &live.connector;
        let receipts = waiting.remove(connector.id.key()).unwrap_or_default();
        let workspace = match depot.workspaces.get(&snapshot.profile, connector) {
            Ok(workspace) => workspace,
            Err(error) => {
                storage_failing(depot, connector.id.as_str(), &error.to_string()).await?;
                continue;
            }
        };
        let mut kept = passing.unsure.clone();
        for receipt in &receipts {
            if !finish(depot, connector, workspace.folder(Folder::Receive), receipt, &mut report).await? {
                kept.insert(receipt.staged_name.clone());
            }
        }
        for side in Folder::ALL {
            let (found, dropped) = find_unfinished(connector, side, workspace.folder(side), &kept);
            report.unfinished += found;
            for one in dropped {
                let event = unfinished::dropped(depot, connector.id.as_str(), side, (&one, Full::Many));
                event::record(&depot.db, &event).await?;
            }
        }
    }
    // Receipts of connectors removed meanwhile: nobody can look for their files any longer.
    for receipt in waiting.values().flatten() {
        mark_lost(depot, receipt, &mut report).await?;
    }
    data_folder::note(&depot.db).await?;
    if let Err(error) = holds::leave(depot, snapshot, &delivered).await {
        tracing::error!(%error, "Could not remove what was passed along from Receive; it is tried again");
    }
    if report != Report::default() {
        let summary = format!(
            "Recovery at start: {} completed, {} kept, {} lost before 226",
            human::count(report.completed, "upload", "uploads"),
            human::count(report.unfinished, "unfinished upload", "unfinished uploads"),
            report.lost
        );
        tracing::info!(report.completed, report.unfinished, report.lost, "{summary}");
        event::record(&depot.db, &depot.event(EventKind::Recovered, summary)).await?;
    }
    Ok(report)
}

/// Files that were on their way into a folder when the power failed, and have their names there.
async fn finish_passing(depot: &Depot, there: Vec<(Placement, Placed)>) -> Result<Vec<ReceiptId>, StoreError> {
    let at = depot.clock.now();
    let attempted = there.into_iter().map(|(placement, placed)| Attempted {
        delivery: placement.delivery,
        receipt_id: placement.receipt_id,
        at,
        took: Duration::ZERO,
        answer: "It lay in its place already when Waybill started".to_owned(),
        next: Next::Delivered(Some(placed)),
        letter: false,
    });
    delivery::record(&depot.db, &attempted.collect::<Vec<_>>()).await
}

/// Renames that were in progress when the appliance stopped: the disk tells what happened.
async fn settle_renames(depot: &Depot, snapshot: &Snapshot) -> Result<(), StoreError> {
    for rename in renaming::begun(&depot.db).await? {
        let done = match snapshot.connector(&rename.connector_key) {
            Some(live) => was_renamed(depot, snapshot, &live.connector, &rename).await,
            None => Ok(false),
        };
        match done {
            Ok(true) => rename.settle(&depot.db).await?,
            Ok(false) => rename.give_up(&depot.db).await?,
            Err(error) => storage_failing(depot, &rename.connector_key, &error.to_string()).await?,
        }
    }
    Ok(())
}

async fn was_renamed(depot: &Depot, snapshot: &Snapshot, connector: &Connector, rename: &Rename) -> io::Result<bool> {
    let workspace = depot.workspaces.get(&snapshot.profile, connector)?;
    let jail = workspace.folder(Folder::Receive).jail();
    let (Some(from), Some(to)) = (received_names(connector, &rename.from), received_names(connector, &rename.to))
    else {
        return Ok(false);
    };
    let receipt = match &rename.receipt_id {
        Some(id) => receipt::find(&depot.db, id).await.map_err(io::Error::other)?,
        // A folder replaces nothing, so one of the two names exists.
        None => return Ok(there(jail.stat(&from))?.is_none() && there(jail.stat(&to))?.is_some()),
    };
    match (receipt, there(jail.parent(&to))?) {
        (Some(receipt), Some((folder, name))) => lies_at(folder.as_fd(), name, &receipt).await,
        _ => Ok(false),
    }
}

/// `None`: it does not exist. Any other error says nothing about that.
fn there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `false`: nothing can be said of the receipt now, so nothing of it may be touched.
async fn finish(
    depot: &Depot,
    connector: &Connector,
    folder: &OpenFolder,
    receipt: &Receipt,
    report: &mut Report,
) -> Result<bool, StoreError> {
    let staged_in = receipt::staging_inode(&depot.db, &receipt.id).await?;
    let is_another = staged_in.is_some_and(|inode| inode != folder.staging_inode());
    let is_same_data = data_folder::is_the_same(&depot.db).await?;
    let placed = match put_in_place(depot, connector, folder, receipt, is_another || !is_same_data).await {
        Ok(false) => had_its_name(depot, folder, receipt).await,
        placed => placed,
    };
    let placed = match placed {
        Ok(true) => take_its_place(depot, connector, folder, receipt).await.map(|()| true),
        placed => placed,
    };
    match placed {
        Ok(true) => {
            receipt::published(&depot.db, receipt, &depot.ids).await?;
            report.completed += 1;
        }
        Ok(false) => {
            // If a disk is away, its place is empty, and everything would seem to be lost (decision 0112). In a copy of
            // the data folder every folder has another inode, and what is missing was really lost.
            if is_another && is_same_data {
                let what = format!("its Receive folder is not the one that {} was received in", receipt.client_path);
                storage_failing(depot, connector.id.as_str(), &what).await?;
                return Ok(false);
            }
            mark_lost(depot, receipt, report).await?;
        }
        Err(error) => {
            storage_failing(depot, connector.id.as_str(), &error.to_string()).await?;
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the receipt's bytes are under their final name now. `may_be_copied`: its folder may be a copy of the one it
/// was committed in.
async fn put_in_place(
    depot: &Depot,
    connector: &Connector,
    folder: &OpenFolder,
    receipt: &Receipt,
    may_be_copied: bool,
) -> io::Result<bool> {
    let Some(names) = stored_names(connector, receipt) else { return Ok(false) };
    let Some((parent, name)) = there(folder.jail().parent(&names))? else { return Ok(false) };
    // Before staging: a part that was renamed already is no longer there.
    let staged = if receipt.staged_name.starts_with('/') {
        match received_names(connector, &receipt.staged_name) {
            Some(names) => there(folder.jail().parent(&names))?.map(|(above, last)| (above, last.to_owned())),
            None => None,
        }
    } else {
        Some((Arc::clone(folder.staging()), receipt.staged_name.clone()))
    };
    let syncer = depot.workspaces.syncer();
    if let Some((from, staged_name)) = &staged
        && is_its(from.as_fd(), staged_name, receipt, may_be_copied).await?
    {
        held::secure(folder, syncer).await?;
        jail::rename((from.as_fd(), staged_name), (parent.as_fd(), name), Replace::Yes)?;
        // Two names of one file both stay (rename(2)): a crash may have come between a link and its unlinking.
        if is_its(from.as_fd(), staged_name, receipt, false).await? {
            remove_file(&**from, staged_name)?;
        }
    } else if !is_its(parent.as_fd(), name, receipt, may_be_copied).await? {
        return Ok(false);
    }
    if receipt.staged_name.starts_with('/') {
        temporary::unmark(folder.jail().file(&names)?)?;
    }
    fault::pass(Point::Recovering)?;
    match staged {
        Some((from, _)) => folder.sync_both(syncer, parent, from).await?,
        None => folder.sync_folder(syncer, parent).await?,
    }
    Ok(true)
}

/// Whether the receipt's file is there. In the folder in which it was committed, it still has its inode: another file
/// with the same bytes is what the partner sent again, because it got no 226.
async fn is_its(folder: BorrowedFd<'_>, name: &str, receipt: &Receipt, may_be_copied: bool) -> io::Result<bool> {
    if !may_be_copied {
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
        if there(stat.map_err(io::Error::from))?.is_none_or(|stat| stat.st_ino != receipt.inode) {
            return Ok(false);
        }
    }
    lies_at(folder, name, receipt).await
}

/// Whether a receipt whose file is neither in staging nor under its final name once had that name: its bytes are held,
/// as they always are before the file leaves staging. Somebody has taken it since, and the partner may have got its
/// 226.
async fn had_its_name(depot: &Depot, folder: &OpenFolder, receipt: &Receipt) -> io::Result<bool> {
    let Some(held) = HeldFolder::existing(folder)? else { return Ok(false) };
    let held = held.version(receipt.id.as_str())?;
    Ok(held.is_some_and(|held| held.size_bytes == receipt.size_bytes)
        && !receipt::is_followed(&depot.db, receipt).await.map_err(io::Error::other)?)
}

/// It may have been about to remove the file that it replaced under another name.
async fn take_its_place(
    depot: &Depot,
    connector: &Connector,
    folder: &OpenFolder,
    receipt: &Receipt,
) -> io::Result<()> {
    match receipt::in_place_of(&depot.db, &receipt.id).await.map_err(io::Error::other)? {
        Some(older) => take_away(depot, connector, folder, &older).await,
        None => Ok(()),
    }
}

async fn mark_lost(depot: &Depot, receipt: &Receipt, report: &mut Report) -> Result<(), StoreError> {
    rows::lost(&depot.db, &receipt.id).await?;
    report.lost += 1;
    // Somebody may have taken it out of Receive at the very moment of the crash: nothing tells.
    let what = format!(
        "{} is neither in staging nor under its name: it was lost before the partner was told 226, or taken at once",
        receipt.client_path
    );
    storage_failing(depot, &receipt.connector, &what).await
}

async fn storage_failing(depot: &Depot, connector: &str, what: &str) -> Result<(), StoreError> {
    let summary = format!("Storage of {connector}: {what}");
    tracing::error!(connector.id = connector, "{summary}");
    event::record(&depot.db, &depot.storage_event(Whose { connector, session: "" }, summary)).await
}

/// Parts without a receipt can be resumed if the client's name is known; others belong to nobody and are removed,
/// except those of `kept`. Returns how many can be resumed, and those for which there was no more room.
fn find_unfinished(
    connector: &Connector,
    side: Folder,
    folder: &OpenFolder,
    kept: &HashSet<String>,
) -> (u64, Vec<(Vec<Name>, Unfinished)>) {
    let parts = match upload::parts(folder) {
        Ok(parts) => parts,
        Err(error) => {
            tracing::error!(connector.id = connector.id.as_str(), %error, "Could not look for unfinished uploads");
            return Default::default();
        }
    };
    let (mut count, mut dropped) = (0, Vec::new());
    for part in parts.into_iter().filter(|part| !kept.contains(&part.name)) {
        match part.unfinished(connector, side) {
            Some((names, unfinished)) => match folder.keep_unfinished(names, unfinished) {
                Some(one) => dropped.push(one),
                None => count += 1,
            },
            None => folder.remove_part(&part.name),
        }
    }
    (count, dropped)
}
