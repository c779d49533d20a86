//! Puts received files into a partner's Send or a Folder: complete, synced, and exactly once however often the power
//! fails.
//!
//! Order: copies in staging, synced; one commit that records them; the names; the folder synced. From the commit on, a
//! copy that is no longer in staging has its name, or had it until somebody took the file: it is never put there again.

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use super::depot::{Depot, TransferError, Whose};
use super::held::Holds;
use super::offer::{self, Owner};
use super::plan::{check_reserve, not_own};
use super::room::Room;
use crate::base::fault::{self, Point};
use crate::base::path::Name;
use crate::domain::connector::Connector;
use crate::domain::refusal::Rule;
use crate::store::StoreError;
use crate::store::delivery::{self, Placed, Placement};
use crate::store::live::Snapshot;
use crate::store::receipt::Receipt;
use crate::workspace::folder::OpenFolder;
use crate::workspace::jail::{self, Replace, STAGING};
use crate::workspace::removal::{remove_file, remove_file_if_there};
use crate::workspace::upload::{self, Part};
use crate::workspace::workspaces::Shelf;

/// A received file on its way to a target.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// The delivery it belongs to.
    pub delivery: i64,
    /// Whether it was on its way into a folder before, and may have arrived.
    pub placed: bool,
    /// The file.
    pub receipt: Receipt,
}

/// The outcome of one parcel.
pub type Outcome = (i64, Result<Placed, TransferError>);

/// Puts parcels into the target's folder, in order. With `in_order`, one that fails holds up those behind it: they have
/// no outcome then. Nor has one whose name another in the same call already has.
pub async fn put(
    depot: &Depot,
    snapshot: &Snapshot,
    target: &Connector,
    parcels: &[Parcel],
    in_order: bool,
) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let deliveries = parcels.iter().map(|parcel| parcel.delivery);
    let shelf = match depot.workspaces.shelf(&snapshot.profile, target) {
        Ok(shelf) => shelf,
        Err(error) => return all_fail(deliveries, &TransferError::Storage(error), in_order),
    };
    let ids: Vec<_> = parcels.iter().map(|parcel| parcel.receipt.id.clone()).collect();
    let mut holds = match Holds::of(depot, &ids).await {
        Ok(holds) => holds,
        Err(error) => return all_fail(deliveries, &error, in_order),
    };
    let way = Way { depot, snapshot, target, shelf: &shelf };
    let mut staged = Vec::new();
    let mut names = HashSet::new();
    for parcel in parcels {
        // Small copies never wait: this lets uploads run in between.
        tokio::task::yield_now().await;
        let prepared = way.prepare(parcel, &mut holds, &mut names).await;
        match prepared {
            Ok(Prepared::There(placed)) => outcomes.push((parcel.delivery, Ok(placed))),
            Ok(Prepared::Staged(one)) => staged.push(one),
            Ok(Prepared::NotNow) => break,
            Err(error) => {
                outcomes.push((parcel.delivery, Err(error)));
                if in_order {
                    break;
                }
            }
        }
    }
    outcomes.extend(way.name_all(staged, in_order).await);
    outcomes
}

/// A copy in staging.
struct Staged {
    part: Part,
    placement: Placement,
    name: Name,
    replace: Replace,
}

enum Prepared {
    /// It has had its name since an earlier attempt.
    There(Placed),
    Staged(Staged),
    /// Another one of the same name is on its way.
    NotNow,
}

struct Way<'a> {
    depot: &'a Depot,
    snapshot: &'a Snapshot,
    target: &'a Connector,
    shelf: &'a Shelf,
}

impl Way<'_> {
    fn folder(&self) -> &OpenFolder {
        &self.shelf.folder
    }

    fn whose(&self) -> Whose<'_> {
        Whose { connector: self.target.id.as_str(), session: "" }
    }

    /// A write or sync failed there.
    async fn failed(&self, error: io::Error) -> TransferError {
        offer::failed(self.depot, self.whose(), self.folder(), error).await
    }

    /// The place of a file that was on its way there.
    async fn settle(&self, placement: &Placement) -> Result<Option<Placed>, TransferError> {
        settle(self.depot, placement, Some((self.whose(), self.folder()))).await
    }

    /// Copies one into staging, unless it is in the folder already.
    async fn prepare(
        &self,
        parcel: &Parcel,
        holds: &mut Holds,
        names: &mut HashSet<String>,
    ) -> Result<Prepared, TransferError> {
        if parcel.placed
            && let Some(placement) = delivery::placement(&self.depot.db, parcel.delivery).await?
            && let Some(placed) = self.settle(&placement).await?
        {
            return Ok(Prepared::There(placed));
        }
        let name = self.name_of(&parcel.receipt)?;
        if !names.insert(name.as_str().to_owned()) {
            return Ok(Prepared::NotNow);
        }
        let mut chosen = vec![name];
        let replace = Room::make(self.folder(), &mut chosen, self.target.settings.overwrite)?.replace;
        let Some(name) = chosen.pop() else { return Err(TransferError::NotFound) };
        let part = self.copy(parcel, holds).await?;
        let placement = Placement {
            delivery: parcel.delivery,
            folder: self.shelf.path.to_string_lossy().into_owned(),
            staged_name: part.name().to_owned(),
            name: name.as_str().to_owned(),
            inode: part.inode()?,
            staging_inode: Some(inode_of(self.folder().staging())?),
            receipt_id: Some(parcel.receipt.id.clone()),
        };
        Ok(Prepared::Staged(Staged { part, placement, name, replace }))
    }

    /// The name it gets: the last component of the stored path, as its partner or a rename left it.
    fn name_of(&self, receipt: &Receipt) -> Result<Name, TransferError> {
        let last = receipt.stored_path.rsplit('/').next().unwrap_or_default();
        let not_storable = |why: String| TransferError::refused(Rule::NameNotStorable, why);
        let name = Name::parse(last).map_err(|error| not_storable(format!("{last:?} {error}")))?;
        if self.target.is_partner() {
            // Judged like RETR: a file that the partner may not download waits, visibly.
            let owner = Owner { snapshot: self.snapshot, connector: self.target };
            offer::fetchable(owner, &name)?;
        } else {
            not_own(std::slice::from_ref(&name))?;
        }
        Ok(name)
    }

    async fn copy(&self, parcel: &Parcel, holds: &mut Holds) -> Result<Part, TransferError> {
        let folder = self.folder();
        self.depot.writable(folder).await?;
        // What an earlier attempt left is removed first: it may be what leaves no space for this one.
        let name = format!("d{}", parcel.delivery);
        folder.remove_part(&name);
        let source = holds.open(&parcel.receipt.id)?.ok_or(TransferError::NotFound)?;
        let size = source.version().size_bytes;
        check_reserve(self.snapshot.profile.disk_reserve, folder, size)?;
        let mut part = Part::create_nameless(folder, &name)?;
        if let Err(error) = part.copy_from(source.file(), size, || true).await {
            folder.remove_part(&name);
            return Err(self.failed(error).await);
        }
        part.dress(self.target.settings.received_file_mode.bits())?;
        Ok(part)
    }

    /// Renames from staging to the final names.
    async fn name_all(&self, staged: Vec<Staged>, in_order: bool) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let staged = match self.record(staged).await {
            Ok(staged) => staged,
            Err((deliveries, error)) => return all_fail(deliveries, &error, in_order),
        };
        for one in &staged {
            let delivery = one.placement.delivery;
            tokio::task::yield_now().await;
            match self.name(one).await {
                Ok(placed) => outcomes.push((delivery, Ok(placed))),
                Err(error) => {
                    // If it were stopped now, nobody would look for the copy before the next start.
                    if let Err(error) = self.settle(&one.placement).await {
                        tracing::warn!(delivery, %error, "Could not remove a copy that has no name; it is tried again");
                    }
                    outcomes.push((delivery, Err(error)));
                    if in_order {
                        break;
                    }
                }
            }
        }
        if outcomes.iter().any(|(_, outcome)| outcome.is_ok()) {
            let folder = self.folder();
            let synced = async {
                let root = Arc::new(folder.jail().root().try_clone_to_owned()?);
                folder.sync_folder(self.depot.workspaces.syncer(), root).await?;
                fault::pass(Point::PassSynced)
            };
            if let Err(error) = synced.await {
                let _ = self.failed(io::Error::new(error.kind(), error.to_string())).await;
                // They have their names, but perhaps not durably: the next attempt checks.
                for (_, outcome) in &mut outcomes {
                    *outcome = Err(TransferError::Storage(io::Error::new(error.kind(), error.to_string())));
                }
            }
        }
        outcomes
    }

    /// Syncs the copies, and records them in the database.
    async fn record(&self, mut staged: Vec<Staged>) -> Result<Vec<Staged>, (Vec<i64>, TransferError)> {
        if staged.is_empty() {
            return Ok(staged);
        }
        let (folder, syncer) = (self.folder(), self.depot.workspaces.syncer());
        let deliveries = staged.iter().map(|one| one.placement.delivery).collect();
        let on_disk = async {
            let syncs = staged.iter_mut().map(|one| one.part.sync(syncer));
            futures_util::future::try_join_all(syncs).await?;
            // Otherwise a copy that a power cut removed from staging would pass for one that has its name.
            folder.sync_folder(syncer, Arc::clone(folder.staging())).await?;
            fault::pass(Point::PassStaged)
        };
        if let Err(error) = on_disk.await {
            let error = self.failed(error).await;
            // Nobody knows of them yet, and they may be what fills the disk.
            for one in staged {
                one.part.discard(folder);
            }
            return Err((deliveries, error));
        }
        let placements: Vec<_> = staged.iter().map(|one| one.placement.clone()).collect();
        let recorded = async {
            delivery::place(&self.depot.db, &placements).await?;
            Ok(fault::pass(Point::PassRecorded)?)
        };
        match recorded.await {
            Ok(()) => Ok(staged),
            // They may be recorded all the same: without its copy such a file would pass for one that has its name.
            Err(error) => Err((deliveries, error)),
        }
    }

    async fn name(&self, one: &Staged) -> Result<Placed, TransferError> {
        let folder = self.folder();
        let names = vec![one.name.clone()];
        let _turn = folder.naming(&names).await;
        // Waybill's own files are complete at once: the partner need not wait for one to rest.
        folder.published(one.placement.inode, self.depot.clock.now());
        let from = (folder.staging().as_fd(), one.part.name());
        jail::rename(from, (folder.jail().root(), one.name.as_str()), one.replace)?;
        fault::pass(Point::PassNamed)?;
        Ok(placed(&one.placement))
    }
}

/// All of them fail for the same reason; those that wait for their turn have no outcome.
fn all_fail(deliveries: impl IntoIterator<Item = i64>, error: &TransferError, in_order: bool) -> Vec<Outcome> {
    let again = || match error {
        TransferError::Storage(error) => io::Error::new(error.kind(), error.to_string()),
        other => io::Error::other(other.to_string()),
    };
    let most = if in_order { 1 } else { usize::MAX };
    deliveries.into_iter().take(most).map(|delivery| (delivery, Err(TransferError::Storage(again())))).collect()
}

fn placed(placement: &Placement) -> Placed {
    Placed { name: placement.name.clone(), inode: placement.inode }
}

fn inode_of(folder: &impl AsFd) -> io::Result<u64> {
    Ok(rustix::fs::fstat(folder)?.st_ino)
}

/// A file that was on its way: returns its place if it has its name; otherwise it is forgotten, to be staged anew. An
/// error can also mean that nobody can know, because the folder is another one. `place`: the folder in which it is
/// open, and whose.
async fn settle(
    depot: &Depot,
    placement: &Placement,
    place: Option<(Whose<'_>, &OpenFolder)>,
) -> Result<Option<Placed>, TransferError> {
    let folder = Path::new(&placement.folder);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |path: &Path| rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(io::Error::from);
    let staging = open(&folder.join(STAGING))?;
    match rustix::fs::statat(&staging, &*placement.staged_name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if stat.st_nlink < 2 => {
            delivery::forget_placement(&depot.db, placement.delivery).await?;
            remove_file(&staging, &placement.staged_name)?;
            return Ok(None);
        }
        // It has both names: a crash came between a link and its unlinking.
        Ok(_) | Err(rustix::io::Errno::NOENT) => {}
        Err(errno) => return Err(io::Error::from(errno).into()),
    }
    // If a disk is away, its place is empty, and everything would seem to be taken.
    if placement.staging_inode.is_some_and(|inode| inode_of(&staging).is_ok_and(|now| now != inode)) {
        return Err(io::Error::other(another_folder(&placement.folder)).into());
    }
    let lasts = depot.workspaces.syncer().folder(Arc::new(open(folder)?)).await;
    match place {
        Some((whose, folder)) => depot.synced(whose, folder, lasts).await?,
        None => lasts.map_err(TransferError::Storage)?,
    }
    remove_file_if_there(&staging, &placement.staged_name)?;
    Ok(Some(placed(placement)))
}

fn another_folder(path: &str) -> String {
    format!(
        "{path} is not the folder that the file was put into; when that is back, such as its disk, it is seen whether the file \
         arrived. To put it into this one, stop the delivery and pass the file along again"
    )
}

/// What [`recover`] found of files on their way.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Those that have their names.
    pub there: Vec<(Placement, Placed)>,
    /// The names in staging of those that could not be checked: once removed, they would pass for delivered.
    pub unsure: HashSet<String>,
}

/// At start, before anybody may connect and before anything in staging is deleted: every file on its way either has its
/// name or is staged anew.
pub async fn recover(depot: &Depot, snapshot: &Snapshot) -> Result<Recovered, StoreError> {
    let mut found = Recovered::default();
    for placement in delivery::placements(&depot.db).await? {
        match settle(depot, &placement, None).await {
            Ok(Some(placed)) => found.there.push((placement, placed)),
            Ok(None) => {}
            // Checked again when it has its turn.
            Err(error) => {
                tracing::error!(delivery = placement.delivery, %error, "Could not look after a delivery");
                found.unsure.insert(placement.staged_name);
            }
        }
    }
    // Whatever is left in a Folder's staging is a copy that nobody knows of.
    for live in snapshot.connectors.values().filter(|live| !live.connector.is_partner()) {
        if live.connector.folders().is_empty() {
            continue;
        }
        let Ok(shelf) = depot.workspaces.shelf(&snapshot.profile, &live.connector) else { continue };
        let parts = upload::parts(&shelf.folder).unwrap_or_default();
        for part in parts.iter().filter(|part| !found.unsure.contains(&part.name)) {
            shelf.folder.remove_part(&part.name);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::domain::connector::ConnectorId;
    use crate::domain::event::EventKind;
    use crate::domain::flow::Target;
    use crate::store::connector;
    use crate::store::live::Live;
    use crate::store::set_off::{self, New};
    use crate::store::setting::Change;

    struct Desk {
        data: tempfile::TempDir,
        depot: Depot,
        live: Live,
        /// Of the Folder `archive`.
        shelf: Shelf,
    }

    impl Desk {
        async fn new() -> Self {
            let data = tempfile::tempdir().unwrap();
            let depot = Depot::for_tests(data.path(), Clock::System).await;
            let change = Change { who: "test", remote: "", at: depot.clock.now(), ids: &depot.ids };
            let texts = [("type".to_owned(), "folder".to_owned())].into();
            connector::add(&depot.db, &ConnectorId::parse("archive").unwrap(), &texts, None, &change).await.unwrap();
            let live = Live::open(depot.db.clone(), Clock::System).await.unwrap();
            let snapshot = live.snapshot();
            let shelf = depot.workspaces.shelf(&snapshot.profile, &snapshot.connectors["archive"].connector).unwrap();
            Self { data, depot, live, shelf }
        }

        /// A file of a delivery that is or was in staging.
        async fn places(&self, delivery: i64, folder: &Path, is_staged: bool) -> Placement {
            let staged_name = format!("d{delivery}");
            if is_staged {
                std::fs::write(self.shelf.path.join(STAGING).join(&staged_name), "bytes").unwrap();
            }
            let (depot, at) = (&self.depot, self.depot.clock.now());
            let event = depot.event(EventKind::Test, "");
            let new = New {
                event_id: event.id.clone(),
                receipt_id: None,
                source_key: "acme".to_owned(),
                target: Target::Connector("archive".to_owned()),
                due: at,
            };
            // They are numbered from 1.
            set_off::begin(&depot.db, &event, &new).await.unwrap();
            let placement = Placement {
                delivery,
                folder: folder.to_string_lossy().into_owned(),
                staged_name,
                name: format!("{delivery}.edi"),
                inode: 7,
                staging_inode: Some(inode_of(self.shelf.folder.staging()).unwrap()),
                receipt_id: None,
            };
            delivery::place(&self.depot.db, std::slice::from_ref(&placement)).await.unwrap();
            placement
        }
    }

    #[tokio::test]
    async fn a_staged_file_that_is_not_there_has_its_name_only_in_the_folder_it_was_put_into() {
        let desk = Desk::new().await;
        let placement = desk.places(1, &desk.shelf.path, false).await;
        assert_eq!(delivery::placement(&desk.depot.db, 1).await.unwrap().as_ref(), Some(&placement));
        assert_eq!(settle(&desk.depot, &placement, None).await.unwrap(), Some(placed(&placement)));
        // The disk is away: its place is empty, and Waybill has made its folders there.
        let away = desk.data.path().join("away");
        std::fs::rename(&desk.shelf.path, &away).unwrap();
        std::fs::create_dir_all(desk.shelf.path.join(STAGING)).unwrap();
        let error = settle(&desk.depot, &placement, None).await.unwrap_err().to_string();
        assert!(error.contains("is not the folder that the file was put into"), "{error}");
        std::fs::remove_dir_all(&desk.shelf.path).unwrap();
        std::fs::rename(&away, &desk.shelf.path).unwrap();
        assert_eq!(settle(&desk.depot, &placement, None).await.unwrap(), Some(placed(&placement)));
    }

    #[tokio::test]
    async fn a_staged_file_that_has_its_name_as_well_is_delivered() {
        let desk = Desk::new().await;
        let placement = desk.places(1, &desk.shelf.path, true).await;
        let staged = desk.shelf.path.join(STAGING).join(&placement.staged_name);
        std::fs::hard_link(&staged, desk.shelf.path.join(&placement.name)).unwrap();
        assert_eq!(settle(&desk.depot, &placement, None).await.unwrap(), Some(placed(&placement)));
        assert!(!staged.exists() && desk.shelf.path.join(&placement.name).exists());
    }

    #[tokio::test]
    async fn a_start_removes_what_nobody_knows_of_and_keeps_what_could_not_be_looked_after() {
        let desk = Desk::new().await;
        let gone = desk.data.path().join("gone");
        desk.places(1, &desk.shelf.path, true).await;
        desk.places(2, &gone, true).await;
        desk.places(3, &desk.shelf.path, false).await;
        std::fs::write(desk.shelf.path.join(STAGING).join("d4"), "bytes").unwrap();
        let found = recover(&desk.depot, &desk.live.snapshot()).await.unwrap();
        assert_eq!(found.there.iter().map(|(placement, _)| placement.delivery).collect::<Vec<_>>(), [3]);
        assert_eq!(found.unsure, HashSet::from(["d2".to_owned()]));
        let left: Vec<_> = upload::parts(&desk.shelf.folder).unwrap().into_iter().map(|part| part.name).collect();
        assert_eq!(left, ["d2"], "else it would pass for one that has its name");
    }
}
