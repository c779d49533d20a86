//! Unfinished uploads of all partners: broken off on the way, or complete under a temporary name and never renamed
//! (PRODUCT section 7). Lists them for the administrator, drops one, and purges old ones.
//!
//! Never: removes a file that has a receipt, is being written, or was not uploaded by a partner.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::depot::{Depot, TransferError};
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::base::path::Name;
use crate::domain::connector::Connector;
use crate::domain::event::EventKind;
use crate::domain::place::Folder;
use crate::store::event::Event;
use crate::store::live::{LiveConnector, Snapshot};
use crate::store::{StoreError, folders, receipt};
use crate::workspace::folder::{OpenFolder, UNFINISHED_MAX, Unfinished};
use crate::workspace::removal::remove_file;
use crate::workspace::temporary::{Temporary, look};
use crate::workspace::workspaces::Workspace;

/// One unfinished upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The connector's id.
    pub connector: String,
    /// As the partner sees it: `/Receive/a`.
    pub path: String,
    /// Bytes that arrived.
    pub size_bytes: u64,
    /// When the last of them arrived.
    pub since: Timestamp,
    /// When it is removed, if nobody continues it.
    pub until: Timestamp,
    /// Whether it is complete, and only lacks a final name.
    pub whole: bool,
    /// Identifies it among the connector's.
    pub part: String,
}

/// One of a connector's.
enum Found {
    /// Broken off.
    Part(Folder, Vec<Name>, Unfinished),
    /// Complete, in Receive.
    Whole(Temporary),
}

impl Found {
    fn part(&self) -> String {
        match self {
            Self::Part(_, _, unfinished) => unfinished.part.clone(),
            Self::Whole(file) => format!("whole-{}", file.inode),
        }
    }

    fn since(&self) -> Timestamp {
        match self {
            Self::Part(_, _, unfinished) => unfinished.since,
            Self::Whole(file) => file.since,
        }
    }

    fn size_bytes(&self) -> u64 {
        match self {
            Self::Part(_, _, unfinished) => unfinished.size_bytes,
            Self::Whole(file) => file.size_bytes,
        }
    }

    fn path(&self) -> String {
        let path = match self {
            Self::Part(side, names, _) => side.path(names),
            Self::Whole(file) => Folder::Receive.path(&file.names),
        };
        path.to_string()
    }
}

/// All of them, oldest first.
pub async fn all(depot: &Depot, snapshot: &Snapshot) -> Vec<Row> {
    let keep = snapshot.profile.unfinished_keep_h.hours();
    let mut rows = Vec::new();
    for live in snapshot.partners() {
        let Some((_, found)) = of(depot, snapshot, live).await else { continue };
        rows.extend(found.into_iter().map(|one| Row {
            connector: live.connector.id.as_str().to_owned(),
            path: one.path(),
            size_bytes: one.size_bytes(),
            since: one.since(),
            until: one.since().plus(keep),
            whole: matches!(one, Found::Whole(_)),
            part: one.part(),
        }));
    }
    rows.sort_by(|a, b| (a.since, &a.part).cmp(&(b.since, &b.part)));
    rows
}

/// A connector's uploads, and its workspace. `None`: a folder that cannot be opened was reported elsewhere; the others
/// are shown and purged all the same.
async fn of(depot: &Depot, snapshot: &Snapshot, live: &Arc<LiveConnector>) -> Option<(Arc<Workspace>, Vec<Found>)> {
    let workspace = depot.workspaces.get(&snapshot.profile, &live.connector).ok()?;
    let of_side = |side| {
        let all = workspace.folder(side).all_unfinished().into_iter();
        all.map(move |(names, unfinished)| Found::Part(side, names, unfinished))
    };
    let mut found: Vec<_> = Folder::ALL.into_iter().flat_map(of_side).collect();
    match temporaries(&workspace, live).await {
        Ok(whole) => found.extend(whole.into_iter().map(Found::Whole)),
        Err(error) => {
            let id = live.connector.id.as_str();
            tracing::warn!(connector.id = id, %error, "Could not look for uploads that were never renamed");
        }
    }
    Some((workspace, found))
}

/// A partner's complete uploads under temporary names.
pub(super) async fn temporaries(workspace: &Arc<Workspace>, live: &Arc<LiveConnector>) -> io::Result<Vec<Temporary>> {
    let (workspace, live) = (Arc::clone(workspace), Arc::clone(live));
    let looking = tokio::task::spawn_blocking(move || {
        let folder = workspace.folder(Folder::Receive);
        let extensions = &live.connector.settings.temp_receive_extensions;
        folder.temporaries().all(folder.jail(), &|name| extensions.is_temporary(name))
    });
    looking.await.map_err(io::Error::other)?
}

/// Drops one; `false` if it is no longer there: continued, finished or removed meanwhile.
pub async fn discard(depot: &Depot, snapshot: &Snapshot, (connector, part): (&str, &str), who: &str) -> bool {
    let Some(live) = snapshot.partner(connector) else { return false };
    let Some((workspace, found)) = of(depot, snapshot, live).await else { return false };
    let Some(one) = found.into_iter().find(|one| one.part() == part) else { return false };
    if !remove(depot, &live.connector, &workspace, &one, Timestamp::from_us(i64::MAX)).await {
        return false;
    }
    let (path, size) = (one.path(), human::size(one.size_bytes()));
    let id = live.connector.id.as_str();
    tell(depot, id, format!("{who} removed the unfinished upload {path} of {id}, {size}")).await;
    true
}

/// Removes those older than the profile keeps them.
pub async fn purge(depot: &Depot, snapshot: &Snapshot) {
    let oldest = depot.clock.now().minus(snapshot.profile.unfinished_keep_h.hours());
    for live in snapshot.partners() {
        let Some((workspace, found)) = of(depot, snapshot, live).await else { continue };
        let mut purged = 0;
        for old in found.iter().filter(|one| one.since() < oldest) {
            purged += u64::from(remove(depot, &live.connector, &workspace, old, oldest).await);
        }
        tell_purged(depot, live.connector.id.as_str(), purged, "").await;
    }
    if let Err(error) = purge_left(depot, snapshot, oldest).await {
        tracing::warn!(%error, "Could not look for unfinished uploads in folders that are no partner's any more");
    }
}

/// The same for former folders of partners that belong to nobody now (decision 0124).
async fn purge_left(depot: &Depot, snapshot: &Snapshot, oldest: Timestamp) -> Result<(), StoreError> {
    let root = Path::new(snapshot.profile.root_directory.as_str());
    let mut left = folders::ever(&depot.db).await?;
    for (_, folder) in snapshot.connectors.values().flat_map(|live| live.connector.folders()) {
        left.remove(&root.join(folder));
    }
    let workspaces = depot.workspaces.clone();
    let looking = tokio::task::spawn_blocking(move || {
        let look = |(folder, connector): (PathBuf, String)| (workspaces.clear_left(&folder, oldest), folder, connector);
        left.into_iter().map(look).collect::<Vec<_>>()
    });
    for (purged, folder, connector) in looking.await.unwrap_or_default() {
        match purged {
            Ok(purged) => tell_purged(depot, &connector, purged, &format!(", left in {}", folder.display())).await,
            Err(error) => {
                tracing::warn!(connector.id = connector, %error, "Could not look for unfinished uploads in {}", folder.display());
            }
        }
    }
    Ok(())
}

async fn tell_purged(depot: &Depot, connector: &str, purged: u64, place: &str) {
    if purged > 0 {
        let what = human::count(purged, "unfinished upload", "unfinished uploads");
        let summary = format!("Removed {what} of {connector}{place}: older than they are kept");
        tell(depot, connector, summary).await;
    }
}

async fn tell(depot: &Depot, connector: &str, summary: String) {
    depot.recorder.event(depot.event(EventKind::UnfinishedPurged, summary).of(connector)).await;
}

/// Why an unfinished upload made room for another.
#[derive(Clone, Copy, Debug)]
pub(super) enum Full {
    /// The folder had its maximum number.
    Many,
    /// Together they were larger than the connector's quota.
    Large,
}

/// The event for one that made room for another.
pub(super) fn dropped(
    depot: &Depot,
    connector: &str,
    side: Folder,
    ((names, one), full): (&(Vec<Name>, Unfinished), Full),
) -> Event {
    let (place, bytes, folder) = (side.path(names), human::size(one.size_bytes), side.name());
    let why = match full {
        Full::Many => format!("{folder} had {UNFINISHED_MAX}, the most that are kept"),
        Full::Large => format!("those in {folder} were larger than the quota"),
    };
    let summary = format!(
        "Removed the unfinished upload {place} of {connector}, {bytes}: {why}, and the oldest made room for another"
    );
    tracing::warn!(connector.id = connector, "{summary}");
    depot.event(EventKind::UnfinishedDropped, summary).of(connector)
}

/// Removes it if it is older than that. Returns whether it was still there and is gone.
async fn remove(depot: &Depot, connector: &Connector, from: &Workspace, one: &Found, before: Timestamp) -> bool {
    match one {
        Found::Part(side, names, unfinished) => {
            let folder = from.folder(*side);
            let is_its = folder.take_this(names, unfinished);
            if is_its {
                folder.remove_part(&unfinished.part);
            }
            is_its
        }
        Found::Whole(file) => {
            let removed = remove_whole(depot, connector, from.folder(Folder::Receive), (file, before)).await;
            removed.unwrap_or_else(|error| {
                tracing::warn!(connector.id = connector.id.as_str(), %error, "Could not remove {}", one.path());
                false
            })
        }
    }
}

async fn remove_whole(
    depot: &Depot,
    connector: &Connector,
    folder: &OpenFolder,
    (file, before): (&Temporary, Timestamp),
) -> Result<bool, TransferError> {
    // Meanwhile nobody uploads or renames to that name.
    let _turn = folder.naming(&file.names).await;
    let path = Folder::Receive.path(&file.names).to_string();
    let has_receipt = receipt::latest_stored_at(&depot.db, connector.id.key(), &path).await?.is_some();
    if has_receipt || folder.active().is_running(&file.names) {
        return Ok(false);
    }
    let (parent, name) = folder.jail().parent(&file.names)?;
    let is_its = look(folder.jail(), &file.names, file.inode)?.is_some_and(|now| now.since < before);
    // Taken first: one that is just getting its final name can no longer be taken.
    if !is_its || !folder.temporaries().take(file) {
        return Ok(false);
    }
    if let Err(error) = remove_file(&parent, name) {
        folder.temporaries().add(&file.names, file.inode);
        return Err(error.into());
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::ReceiptId;
    use crate::base::path::VirtualPath;
    use crate::domain::connector::ConnectorId;
    use crate::store::live::Live;
    use crate::store::renaming::{NewName, Rename};
    use crate::store::setting::Change;
    use crate::store::{connector, event};
    use crate::transfer::publish::publish_temporary;
    use crate::transfer::upload_tests::Desk;
    use crate::workspace::upload::Part;
    use crate::workspace::workspaces::Workspaces;
    use std::time::Duration;

    fn names(name: &str) -> [Name; 1] {
        [Name::parse(name).unwrap()]
    }

    async fn listed(depot: &Depot, snapshot: &Snapshot) -> Vec<(String, bool)> {
        all(depot, snapshot).await.into_iter().map(|row| (row.path, row.whole)).collect()
    }

    #[tokio::test]
    async fn an_upload_that_is_never_renamed_is_listed_and_goes_in_time() {
        let desk = Desk::new(&[]).await;
        let (depot, party) = (&desk.depot, &desk.party);
        let snapshot = &*party.snapshot;
        for name in ["never.tmp", "renamed.tmp", "whole.edi", "discarded.tmp"] {
            desk.store(name, 9).await.unwrap();
        }
        std::fs::write(desk.path("Receive").join("theirs.tmp"), "bytes").unwrap();
        // One that was received and now has a temporary name, as after RNTO.
        publish_temporary(depot, party, &names("renamed.tmp"), &names("again.edi")).await.unwrap();
        let received = receipt::latest_stored_at(&depot.db, "acme", "/Receive/again.edi").await.unwrap().unwrap();
        std::fs::rename(desk.path("Receive").join("again.edi"), desk.path("Receive").join("again.tmp")).unwrap();
        let at = depot.clock.now();
        let way = (received.stored_path.clone(), "/Receive/again.tmp".to_owned());
        let renamed =
            Rename::begin(&depot.db, ("acme", Some((received.id, NewName::default()))), way, at).await.unwrap();
        renamed.settle(&depot.db).await.unwrap();
        let both = [("/Receive/never.tmp".to_owned(), true), ("/Receive/discarded.tmp".to_owned(), true)];
        assert_eq!(listed(depot, snapshot).await, both);
        let part = all(depot, snapshot).await.pop().unwrap().part;
        for is_there in [true, false] {
            assert_eq!(discard(depot, snapshot, ("acme", &part), "eda").await, is_there);
        }

        purge(depot, snapshot).await;
        assert_eq!(listed(depot, snapshot).await, both[..1]);
        // As after a restart, a day later.
        let clock = Clock::fixed(depot.clock.now().plus(Duration::from_hours(25)));
        let workspaces = Workspaces::new(desk.data.path().to_owned());
        let later = Depot { workspaces, clock, ..depot.clone() };
        assert_eq!(listed(&later, snapshot).await, both[..1]);
        purge(&later, snapshot).await;
        assert_eq!(listed(&later, snapshot).await, []);
        let mut left: Vec<_> =
            std::fs::read_dir(desk.path("Receive")).unwrap().flatten().map(|one| one.file_name()).collect();
        left.sort();
        assert_eq!(left, [".waybill", "again.tmp", "theirs.tmp", "whole.edi"]);
        depot.recorder.flush().await.unwrap();
        let purged = event::Filter { kind: Some(EventKind::UnfinishedPurged), ..event::Filter::default() };
        let events = event::page(&depot.db, &purged, None, 9).await.unwrap();
        assert_eq!(events[0].summary, "Removed 1 unfinished upload of acme: older than they are kept");
        assert_eq!(events.len(), 2);
    }

    #[tokio::test]
    async fn one_that_gets_its_final_name_just_now_is_not_removed() {
        let desk = Desk::new(&[]).await;
        let (depot, party) = (&desk.depot, &desk.party);
        desk.store("a.tmp", 9).await.unwrap();
        let workspace = party.workspace(depot).unwrap();
        let found = temporaries(&workspace, &party.connector).await.unwrap();
        publish_temporary(depot, party, &names("a.tmp"), &names("a")).await.unwrap();
        // Whoever looked before now finds another file of that name.
        desk.store("a.tmp", 3).await.unwrap();
        let far = Timestamp::from_us(i64::MAX);
        assert!(!remove(depot, party.connector(), &workspace, &Found::Whole(found[0].clone()), far).await);
        assert!(desk.path("Receive").join("a.tmp").exists() && desk.path("Receive").join("a").exists());
    }

    /// A client's part, named in staging.
    fn broken_off(depot: &Depot, folder: &OpenFolder, name: &str) -> String {
        let (id, path) = (ReceiptId::new(&depot.ids).to_string(), VirtualPath::root().resolve("/Receive").unwrap());
        let mut part = Part::create(folder, &id, &path.resolve(name).unwrap()).unwrap();
        part.write(b"some").unwrap();
        part.keep(folder, names(name).into(), depot.clock.now());
        id
    }

    #[tokio::test]
    async fn what_a_removed_connector_left_goes_in_time_and_is_there_when_it_is_added_again() {
        let desk = Desk::new(&[("output_folder", "elsewhere")]).await;
        let depot = &desk.depot;
        depot.workspaces.recovered();
        let id = ConnectorId::parse("acme").unwrap();
        let change = Change { who: "eda", remote: "", at: depot.clock.now(), ids: &depot.ids };
        let folder = OpenFolder::open(&desk.data.path().join("partners/elsewhere")).unwrap();
        let part = broken_off(depot, &folder, "a");
        let staging = desk.data.path().join("partners/elsewhere/.waybill");
        // Not a client's: without a client's name, or without a receipt's id.
        let nameless = ReceiptId::new(&depot.ids).to_string();
        drop(Part::create_nameless(&folder, &nameless).unwrap());
        drop(Part::create(&folder, "theirs", &VirtualPath::root().resolve("/Receive/b").unwrap()).unwrap());
        drop(folder);
        let live = Live::open(depot.db.clone(), Clock::System).await.unwrap();
        let later = Clock::fixed(depot.clock.now().plus(Duration::from_hours(25)));
        let later = Depot { clock: later, ..depot.clone() };
        let at = async |settings: Option<&[(&str, &str)]>| {
            connector::remove(&depot.db, &id, &change).await.unwrap();
            if let Some(settings) = settings {
                let texts = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
                connector::add(&depot.db, &id, &texts, None, &change).await.unwrap();
            }
            live.refresh().await.unwrap();
            let snapshot = live.snapshot();
            depot.workspaces.close_others(|key| snapshot.connectors.contains_key(key));
            snapshot
        };
        let gone = at(None).await;
        purge(depot, &gone).await;
        assert!(staging.join(&part).exists(), "it is not old yet");
        let again = at(Some(&[("output_folder", "elsewhere")])).await;
        assert_eq!(listed(depot, &again).await, [("/Receive/a".to_owned(), false)]);
        // It now belongs to a connector that has nothing to do with parts.
        let folder = at(Some(&[("type", "folder"), ("folder", "elsewhere")])).await;
        purge(&later, &folder).await;
        assert!(staging.join(&part).exists(), "the folder is somebody's");

        let gone = at(None).await;
        purge(&later, &gone).await;
        assert!(!staging.join(&part).exists());
        assert!(staging.join(&nameless).exists() && staging.join("theirs").exists());
        depot.recorder.flush().await.unwrap();
        let purged = event::Filter { kind: Some(EventKind::UnfinishedPurged), ..event::Filter::default() };
        let events = event::page(&depot.db, &purged, None, 9).await.unwrap();
        let told: Vec<_> = events.iter().map(|event| (event.connector.as_str(), event.summary.as_str())).collect();
        let summary = "Removed 1 unfinished upload of acme, left in partners/elsewhere: older than they are kept";
        assert_eq!(told, [("acme", summary)]);
    }
}
