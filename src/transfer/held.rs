//! What a receipt owns until its deliveries have ended (PRODUCT 5.8, decision 0137): its bytes, whatever happens to the
//! name.
//! Deliveries read them by receipt id, never by path.
//!
//! The order makes every crash harmless: first the row, then the bytes; on release first the bytes, then the row. If a
//! crash left bytes unheld, [`recover`] holds them again before anybody can touch the name.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::AtFlags;

use super::depot::{Depot, TransferError};
use super::send::{RECENT_FOR, is_file_of, received_names, stored_names};
use crate::base::id::ReceiptId;
use crate::base::path::Name;
use crate::domain::place::Folder;
use crate::domain::receipt::Status;
use crate::store::live::Snapshot;
use crate::store::receipt::Receipt;
use crate::store::{StoreError, held as rows, receipt};
use crate::workspace::download::{Source, Version};
use crate::workspace::held::{self, HeldFolder};
use crate::workspace::removal::remove_file;
use crate::workspace::workspaces::Workspace;

/// Receipts freed together, whose names nobody else may touch meanwhile.
const FREED_TOGETHER_MAX: usize = 100;

/// The receipt owns its bytes from now on, until [`release`]. The commit of an upload with deliveries does the same in
/// its own statement (`store::group`).
pub async fn hold(depot: &Depot, snapshot: &Snapshot, id: &ReceiptId) -> Result<(), TransferError> {
    let found = Found::of(depot, snapshot, id).await?;
    let _turn = found.workspace.folder(Folder::Receive).naming(&found.names).await;
    found.own(depot).await
}

/// The same for a caller that has the turn at the file's name.
pub async fn hold_in_turn(depot: &Depot, snapshot: &Snapshot, receipt: &Receipt) -> Result<(), TransferError> {
    Found::of_receipt(depot, snapshot, receipt.clone())?.own(depot).await
}

/// The receipt's bytes, whatever happened to the file's name.
pub async fn open_held(depot: &Depot, id: &ReceiptId) -> Result<Source, TransferError> {
    open_recorded(depot, id).await?.ok_or(TransferError::NotFound)
}

/// The same; `None` if nothing is held for it.
pub(super) async fn open_recorded(depot: &Depot, id: &ReceiptId) -> Result<Option<Source>, TransferError> {
    Holds::of(depot, std::slice::from_ref(id)).await?.open(id)
}

/// The bytes that several receipts own, looked up at once.
#[derive(Debug)]
pub(super) struct Holds {
    folder_of: HashMap<ReceiptId, String>,
    open: HashMap<String, HeldFolder>,
}

impl Holds {
    /// For these receipts.
    pub async fn of(depot: &Depot, ids: &[ReceiptId]) -> Result<Self, TransferError> {
        let holds = rows::some(&depot.db, ids).await?;
        let folder_of = holds.into_iter().map(|hold| (hold.receipt, hold.folder)).collect();
        Ok(Self { folder_of, open: HashMap::new() })
    }

    /// The bytes of one; `None` if nothing is held for it.
    pub fn open(&mut self, id: &ReceiptId) -> Result<Option<Source>, TransferError> {
        let Some(folder) = self.folder_of.get(id) else { return Ok(None) };
        let opened = match self.open.entry(folder.clone()) {
            Entry::Occupied(open) => open.get().open(id.as_str()),
            Entry::Vacant(new) => HeldFolder::at(Path::new(folder)).and_then(|held| new.insert(held).open(id.as_str())),
        };
        match opened {
            Ok(source) => Ok(Some(source)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(TransferError::Storage(error)),
        }
    }
}

/// Their deliveries begin: from now on their partners cannot rename them (PRODUCT 5.9). Returns the receipts with their
/// present names, without those that no longer exist; those with a temporary name are not taken over.
pub async fn take_over(depot: &Depot, snapshot: &Snapshot, ids: &[ReceiptId]) -> Result<Vec<Receipt>, TransferError> {
    // A file may have lost its name, or its folder: its bytes are held all the same.
    let found = Found::all_of(depot, snapshot, ids).await?;
    // A rename in progress ends first.
    let _turns = turns(&found).await;
    Ok(receipt::take_over(&depot.db, ids).await?)
}

/// Until dropped, nobody else renames them or holds their bytes.
async fn turns(found: &[Found]) -> Vec<tokio::sync::OwnedMutexGuard<()>> {
    // Always in the same order, so that no two callers deadlock.
    let mut found: Vec<_> = found.iter().collect();
    found.sort_by(|a, b| (&a.path, &a.names).cmp(&(&b.path, &b.names)));
    found.dedup_by(|a, b| (&a.path, &a.names) == (&b.path, &b.names));
    let mut turns = Vec::with_capacity(found.len());
    for one in found {
        turns.push(one.workspace.folder(Folder::Receive).naming(&one.names).await);
    }
    turns
}

/// The last target has them: the files of those passed along leave Receive, unless other files have their names by now;
/// other receipts are not touched. Their bytes stay held at least as long as their partners may still ask for them
/// (PRODUCT 5.9). One that cannot leave now does not hold up others; the last such failure is returned.
pub async fn leave(depot: &Depot, snapshot: &Snapshot, ids: &[ReceiptId]) -> Result<(), TransferError> {
    let mut of_folder: BTreeMap<String, (Arc<Workspace>, Vec<ReceiptId>)> = BTreeMap::new();
    let found = Found::all_of(depot, snapshot, ids).await?;
    for found in found.into_iter().filter(|found| found.receipt.status == Status::PassedAlong) {
        of_folder.entry(found.path).or_insert_with(|| (found.workspace, Vec::new())).1.push(found.receipt.id);
    }
    let mut ended = Ok(());
    for (workspace, ids) in of_folder.into_values() {
        let folder = workspace.folder(Folder::Receive);
        // Whoever was renaming a folder above them has recorded that, and nobody does so meanwhile.
        let _ways = folder.ways_stay().await;
        if let Err(error) = held::secure(folder, depot.workspaces.syncer()).await {
            ended = Err(TransferError::Storage(error));
            continue;
        }
        for found in Found::all_of(depot, snapshot, &ids).await? {
            if let Err(error) = found.leave().await {
                ended = Err(error);
            }
        }
    }
    ended
}

/// The last delivery has ended: the bytes are freed at once, or when the partner can no longer ask for them.
pub async fn release(depot: &Depot, snapshot: &Snapshot, id: &ReceiptId) -> Result<(), TransferError> {
    rows::end(&depot.db, id).await?;
    let Some(hold) = rows::one(&depot.db, id).await? else { return Ok(()) };
    Ok(free_due(depot, snapshot, &[hold]).await?)
}

/// Frees everything due by now.
pub async fn free_ended(depot: &Depot, snapshot: &Snapshot) -> Result<(), StoreError> {
    let mut after = String::new();
    loop {
        let ended = rows::ended(&depot.db, &after).await?;
        let Some(last) = ended.last() else { return Ok(()) };
        last.receipt.as_str().clone_into(&mut after);
        for some in ended.chunks(FREED_TOGETHER_MAX) {
            if let Err(error) = free_due(depot, snapshot, some).await {
                tracing::warn!(%error, "Could not free held bytes; it is tried again");
            }
        }
    }
}

/// Frees those of `holds` that are due. One that cannot be freed now does not hold up others; the last such failure is
/// returned.
async fn free_due(depot: &Depot, snapshot: &Snapshot, holds: &[rows::Hold]) -> Result<(), StoreError> {
    let ids: Vec<_> = holds.iter().map(|hold| hold.receipt.clone()).collect();
    let unreadable = |error: TransferError| StoreError::Unreadable(format!("what left Receive: {error}"));
    let mut ended = leave(depot, snapshot, &ids).await.map_err(unreadable);
    let found = Found::all_of(depot, snapshot, &ids).await.map_err(unreadable)?;
    // *Pass along again* may come meanwhile: it holds them anew, before or after this.
    let _turns = turns(&found).await;
    let holds = rows::some(&depot.db, &ids).await?;
    let found: HashMap<_, _> = found.iter().map(|found| (&found.receipt.id, found)).collect();
    let mut freed = Vec::new();
    for hold in holds.iter().filter(|hold| hold.ended) {
        match free_if_due(depot, hold, found.get(&hold.receipt).copied()).await {
            Ok(true) => freed.push(hold.receipt.clone()),
            Ok(false) => {}
            Err(error) => ended = Err(error),
        }
    }
    rows::forget(&depot.db, &freed).await?;
    ended
}

/// Whether its bytes are freed.
async fn free_if_due(depot: &Depot, hold: &rows::Hold, found: Option<&Found>) -> Result<bool, StoreError> {
    let failed = |source| StoreError::Folder { path: Path::new(&hold.folder).to_owned(), source };
    // A file that stays in Receive needs no hold. One passed along must leave first, and may still be asked for.
    if let Some(found) = found.filter(|found| found.receipt.status == Status::PassedAlong) {
        let asked_for = !found.receipt.hidden && depot.clock.now() < found.receipt.completed_at.plus(RECENT_FOR);
        if asked_for || found.is_away(depot, hold).await? || found.lies_there().map_err(failed)? {
            return Ok(false);
        }
    }
    match HeldFolder::at(Path::new(&hold.folder)) {
        Ok(folder) => folder.free(hold.receipt.as_str()).map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    Ok(true)
}

/// At start, before anything else: restores missing holds. Returns how many receipts have lost their bytes.
pub async fn recover(depot: &Depot, snapshot: &Snapshot) -> Result<u64, StoreError> {
    let mut lost = 0;
    for hold in rows::all(&depot.db).await?.into_iter().filter(|hold| !hold.ended) {
        let id = &hold.receipt;
        let is_held = HeldFolder::at(Path::new(&hold.folder)).is_ok_and(|held| held.has(id.as_str()));
        if is_held {
            continue;
        }
        let held = async {
            let held = Found::of(depot, snapshot, id).await?.hold().await?;
            held.sync(depot.workspaces.syncer()).await.map_err(TransferError::Storage)
        };
        if let Err(error) = held.await {
            tracing::error!(receipt.id = id.as_str(), %error, "The bytes that a delivery needs are not there any more");
            lost += 1;
        }
    }
    // Also those that somebody behind a Folder is still waiting for.
    for some in rows::passed_along(&depot.db).await?.chunks(FREED_TOGETHER_MAX) {
        if let Err(error) = leave(depot, snapshot, some).await {
            tracing::error!(%error, "A file that was passed along could not leave Receive");
        }
    }
    Ok(lost)
}

/// A receipt, and the place of its file.
pub(super) struct Found {
    pub(super) receipt: Receipt,
    pub(super) workspace: Arc<Workspace>,
    /// The Receive folder.
    path: String,
    pub(super) names: Vec<Name>,
    /// Its present place if its final name is still to come: a temporary name of its partner's.
    temporary: Option<Vec<Name>>,
}

impl Found {
    pub(super) async fn of(depot: &Depot, snapshot: &Snapshot, id: &ReceiptId) -> Result<Self, TransferError> {
        let receipt = receipt::find(&depot.db, id).await?.ok_or(TransferError::NotFound)?;
        Self::of_receipt(depot, snapshot, receipt)
    }

    /// Those that exist and have a place.
    async fn all_of(depot: &Depot, snapshot: &Snapshot, ids: &[ReceiptId]) -> Result<Vec<Self>, TransferError> {
        let receipts = receipt::all_of(&depot.db, ids).await?;
        Ok(receipts.into_iter().filter_map(|receipt| Self::of_receipt(depot, snapshot, receipt).ok()).collect())
    }

    fn of_receipt(depot: &Depot, snapshot: &Snapshot, receipt: Receipt) -> Result<Self, TransferError> {
        let live = snapshot.connector(&receipt.connector).ok_or(TransferError::NotFound)?;
        let names = stored_names(&live.connector, &receipt).ok_or(TransferError::NotFound)?;
        let path = depot.workspaces.receive_path(&snapshot.profile, &live.connector);
        let workspace = depot.workspaces.get(&snapshot.profile, &live.connector).map_err(TransferError::Storage)?;
        let temporary = receipt.staged_name.starts_with('/').then_some(&receipt.staged_name);
        let temporary = temporary.and_then(|path| received_names(&live.connector, path));
        Ok(Self { receipt, workspace, path, names, temporary })
    }

    /// Removes the file's name from Receive, if it is still the receipt's. What is held is on disk already.
    async fn leave(&self) -> Result<(), TransferError> {
        let folder = self.workspace.folder(Folder::Receive);
        let _turn = folder.naming(&self.names).await;
        if self.lies_there()? {
            let (parent, name) = folder.jail().parent(&self.names)?;
            remove_file(&parent, name)?;
        }
        Ok(())
    }

    /// Whether the file under the stored name is still the receipt's, judged by what is held. As long as the file
    /// itself is held, by a link, its inode cannot be reused. Once nothing is held, no file there is the receipt's: it
    /// left before its bytes were freed.
    fn lies_there(&self) -> io::Result<bool> {
        let folder = self.workspace.folder(Folder::Receive);
        let Some(held) = HeldFolder::existing(folder)? else { return Ok(false) };
        let Some(held) = held.version(self.receipt.id.as_str())? else { return Ok(false) };
        let (jail, is_linked) = (folder.jail(), held.inode == self.receipt.inode);
        let born = if is_linked { None } else { jail.born(&self.names) };
        Ok(jail.stat(&self.names).is_ok_and(|stat| is_file_of(&self.receipt, &Version::of(&stat), born)))
    }

    /// Whether the disk is away that its file and what is held of it are on.
    async fn is_away(&self, depot: &Depot, hold: &rows::Hold) -> Result<bool, StoreError> {
        if hold.folder != self.path {
            return Ok(false);
        }
        let noted = receipt::staging_inode(&depot.db, &self.receipt.id).await?;
        Ok(depot.is_away(self.workspace.folder(Folder::Receive), noted, self.receipt.completed_at))
    }

    /// The same of what may not be held: its file may have been taken, and its inode be another's by now.
    pub(super) fn is_under_its_name(&self) -> bool {
        self.is_under(&self.names)
    }

    fn is_under(&self, names: &[Name]) -> bool {
        let jail = self.workspace.folder(Folder::Receive).jail();
        jail.stat(names).is_ok_and(|stat| is_file_of(&self.receipt, &Version::of(&stat), jail.born(names)))
    }

    /// The receipt owns its bytes from now on.
    async fn own(&self, depot: &Depot) -> Result<(), TransferError> {
        let before = rows::one(&depot.db, &self.receipt.id).await?;
        rows::record(&depot.db, &self.receipt, &self.path).await?;
        let held = match self.hold().await {
            Ok(held) => held,
            Err(error) => {
                // Another delivery may need what was already held.
                rows::take_back(&depot.db, &self.receipt.id, before.as_ref()).await?;
                return Err(error.into());
            }
        };
        held.sync(depot.workspaces.syncer()).await.map_err(TransferError::Storage)
    }

    /// Holds the file under the stored name, or still in staging.
    async fn hold(&self) -> io::Result<HeldFolder> {
        let folder = self.workspace.folder(Folder::Receive);
        let held = HeldFolder::of(folder)?;
        let id = self.receipt.id.as_str();
        let staging = (folder.staging().as_fd(), self.receipt.staged_name.as_str());
        let staged = self.temporary.is_none()
            && rustix::fs::statat(staging.0, staging.1, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|stat| stat.st_ino == self.receipt.inode);
        let named =
            [Some(&self.names), self.temporary.as_ref()].into_iter().flatten().find(|names| self.is_under(names));
        if staged {
            held.hold(staging, id).await?;
        } else if let Some(names) = named {
            let (parent, name) = folder.jail().parent(names)?;
            held.hold((parent.as_fd(), name), id).await?;
        } else if !held.has(id) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::domain::event::EventKind;
    use crate::domain::flow::Target;
    use crate::store::event;
    use crate::store::set_off::{self, New};
    use crate::transfer::recovery;
    use crate::transfer::upload_tests::Desk;

    /// A partner with a received file, and that file's receipt.
    async fn received() -> (Desk, ReceiptId) {
        let desk = Desk::new(&[]).await;
        desk.store("a.edi", 9).await.unwrap();
        desk.depot.recorder.flush().await.unwrap();
        let receipt = receipt::latest_stored_at(&desk.depot.db, "acme", "/Receive/a.edi").await.unwrap().unwrap();
        (desk, receipt.id)
    }

    /// The partner no longer sees that file.
    async fn hide(depot: &Depot) {
        receipt::hide(&depot.db, ("acme", "/Receive/a.edi"), Timestamp::from_us(0), None).await.unwrap();
    }

    #[tokio::test]
    async fn what_cannot_be_held_once_more_stays_held_for_those_who_need_it() {
        let (desk, id) = received().await;
        let (depot, snapshot) = (&desk.depot, &desk.party.snapshot);
        let staging = desk.path("Receive").join(".waybill");
        let fails = async || {
            // For a moment the folder of held bytes cannot be opened.
            let _ = std::fs::rename(staging.join("held"), staging.join("away"));
            std::fs::write(staging.join("held"), "").unwrap();
            hold(depot, snapshot, &id).await.unwrap_err();
            std::fs::remove_file(staging.join("held")).unwrap();
            let _ = std::fs::rename(staging.join("away"), staging.join("held"));
            rows::one(&depot.db, &id).await.unwrap().map(|hold| hold.ended)
        };
        assert_eq!(fails().await, None, "it is not held");
        hold(depot, snapshot, &id).await.unwrap();
        assert_eq!(fails().await, Some(false), "a delivery waits for it");
        rows::end(&depot.db, &id).await.unwrap();
        assert_eq!(fails().await, Some(true), "none does");
    }

    #[tokio::test]
    async fn bytes_that_are_gone_at_start_though_a_delivery_needs_them_are_an_event() {
        let (desk, id) = received().await;
        let (depot, snapshot) = (&desk.depot, &desk.party.snapshot);
        hold(depot, snapshot, &id).await.unwrap();
        let event = depot.event(EventKind::Test, "");
        let (event_id, receipt_id) = (event.id.clone(), Some(id.clone()));
        let (source_key, target) = ("acme".to_owned(), Target::Connector("archive".to_owned()));
        let new = New { event_id, receipt_id, source_key, target, due: depot.clock.now() };
        set_off::begin(&depot.db, &event, &new).await.unwrap();
        let told = async || {
            recovery::recover(depot, snapshot).await.unwrap();
            let kind = Some(EventKind::StorageFailing);
            let found = event::oldest_first(&depot.db, kind, Timestamp::default(), None, 9).await.unwrap();
            found.into_iter().map(|event| event.summary).collect::<Vec<_>>()
        };
        assert!(told().await.is_empty());
        std::fs::remove_file(desk.path("Receive").join("a.edi")).unwrap();
        std::fs::remove_dir_all(desk.path("Receive").join(".waybill/held")).unwrap();
        let told = told().await;
        assert!(told.len() == 1 && told[0].contains("The bytes of 1 received file that"), "{told:?}");
    }

    #[tokio::test]
    async fn nothing_leaves_receive_for_a_receipt_whose_bytes_are_freed() {
        let (desk, id) = received().await;
        let (depot, snapshot) = (&desk.depot, &desk.party.snapshot);
        hold(depot, snapshot, &id).await.unwrap();
        receipt::set_status(&depot.db, &id, Status::PassedAlong).await.unwrap();
        rows::end(&depot.db, &id).await.unwrap();
        // The row could not be forgotten, and the next file of that name has the same inode.
        HeldFolder::at(&desk.path("Receive")).unwrap().free(id.as_str()).unwrap();
        leave(depot, snapshot, std::slice::from_ref(&id)).await.unwrap();
        recover(depot, snapshot).await.unwrap();
        assert!(desk.path("Receive").join("a.edi").exists());
        // Nobody asks for it by its old name any longer.
        hide(depot).await;
        free_ended(depot, snapshot).await.unwrap();
        assert!(desk.path("Receive").join("a.edi").exists());
        assert_eq!(rows::one(&depot.db, &id).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_was_passed_along_while_its_disk_was_away_leaves_receive_once_that_is_back() {
        let (desk, id) = received().await;
        let (depot, snapshot) = (&desk.depot, &desk.party.snapshot);
        hold(depot, snapshot, &id).await.unwrap();
        receipt::set_status(&depot.db, &id, Status::PassedAlong).await.unwrap();
        rows::end(&depot.db, &id).await.unwrap();
        // Nobody asks for it any more.
        hide(depot).await;
        let (there, away) = (desk.path("Receive"), desk.path("away"));
        std::fs::rename(&there, &away).unwrap();
        std::fs::create_dir(&there).unwrap();
        free_ended(depot, snapshot).await.unwrap();
        std::fs::remove_dir_all(&there).unwrap();
        std::fs::rename(&away, &there).unwrap();
        free_ended(depot, snapshot).await.unwrap();
        assert!(!there.join("a.edi").exists());
        assert_eq!(rows::one(&depot.db, &id).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_held_leaves_receive_however_the_clock_was_set() {
        let (desk, id) = received().await;
        let (depot, snapshot) = (&desk.depot, &desk.party.snapshot);
        hold(depot, snapshot, &id).await.unwrap();
        receipt::set_status(&depot.db, &id, Status::PassedAlong).await.unwrap();
        let mut found = Found::of(depot, snapshot, &id).await.unwrap();
        found.receipt.completed_at = found.receipt.completed_at.minus(RECENT_FOR);
        assert!(found.lies_there().unwrap(), "its inode is in use");
        found.leave().await.unwrap();
        assert!(!desk.path("Receive").join("a.edi").exists());
    }

    #[tokio::test]
    async fn what_is_passed_along_again_is_not_freed_by_who_saw_it_end() {
        let (desk, id) = received().await;
        let (depot, snapshot) = (&desk.depot, &desk.party.snapshot);
        hold(depot, snapshot, &id).await.unwrap();
        rows::end(&depot.db, &id).await.unwrap();
        let seen = rows::ended(&depot.db, "").await.unwrap();
        hold(depot, snapshot, &id).await.unwrap();
        free_due(depot, snapshot, &seen).await.unwrap();
        assert!(open_held(depot, &id).await.is_ok());
        release(depot, snapshot, &id).await.unwrap();
        assert!(open_held(depot, &id).await.is_err());
    }
}
