//! What follows a download from Send, in this order: download record, copy in Sent, removal (PRODUCT section 8). Each
//! step can be repeated after a crash: the table of collected files holds those still to be done.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use super::collections::Counted;
use super::depot::{Depot, Party, TransferError, Whose};
use crate::base::clock::Timestamp;
use crate::base::fault::{self, Point};
use crate::base::human;
use crate::base::id::TransferId;
use crate::base::path::{Name, VirtualPath};
use crate::domain::connector::Connector;
use crate::domain::event::EventKind;
use crate::domain::place::{Folder, Place};
use crate::domain::scheme::numbered;
use crate::domain::{copies, profile::Profile};
use crate::store::collected::{self, Collected, Collection, FileInSend, SentCopy};
use crate::store::event::{Event, EventFile};
use crate::store::live::Snapshot;
use crate::store::{StoreError, commit::NotRecorded};
use crate::workspace::copies::CopiesFolder;
use crate::workspace::download::{Source, Version};
use crate::workspace::folder::OpenFolder;
use crate::workspace::removal::remove_file;
use crate::workspace::workspaces::Workspace;

/// How long a partner may delete what it collected (PRODUCT section 2).
pub const DELETABLE_FOR: Duration = Duration::from_hours(24);
/// How long a collected file that is gone still answers SIZE, MDTM and a second DELE.
pub const REMEMBERED_FOR: Duration = Duration::from_mins(15);
/// How long a DELE waits for the acknowledgement of the preceding download.
const DECIDED_WITHIN: Duration = Duration::from_secs(5);
/// How long a download counts for a later one that continues it.
pub const COVERED_FOR: Duration = Duration::from_hours(30 * 24);
/// Numbers tried if a name is taken in Sent.
const NUMBERS_MAX: u32 = 100_000;

/// Why a step failed; it is retried later.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("{0}")]
    Disk(#[from] io::Error),
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Its Send is not the folder it was collected from.
    #[error("its disk is away")]
    Away,
    /// The folder's storage fails, which was told by then.
    #[error("{0}")]
    Failing(TransferError),
}

/// A download from Send whose bytes have all been handed to the network.
#[derive(Debug)]
pub struct Collecting {
    party: Party,
    file: FileInSend,
    source: Source,
    of: InSend,
    from: u64,
    to: u64,
    undecided: Counted,
}

/// What [`Collecting`] is made of.
#[derive(Debug)]
pub struct Fetched {
    /// Where the file is.
    pub of: InSend,
    /// The open file.
    pub source: Source,
    /// The first byte asked for.
    pub from: u64,
    /// The byte after the last.
    pub to: u64,
}

/// A file of Send while it is downloaded.
#[derive(Debug)]
pub struct InSend {
    /// Its names below Send.
    pub names: Vec<Name>,
    /// The inode of that Send's staging folder.
    pub staging_inode: u64,
    /// Keeps the file from being removed.
    pub reading: Counted,
}

impl Collecting {
    /// From now on a DELE of the file waits until this is decided.
    pub fn new(depot: &Depot, party: &Party, fetched: Fetched) -> Self {
        let Fetched { of, source, from, to } = fetched;
        let file = file_in_send(party.connector(), &of.names, &source.version());
        let undecided = depot.collections.undecided(&file.connector_key, &file.path);
        Self { party: party.clone(), file, source, of, from, to, undecided }
    }

    /// It was broken off after `moved` bytes: a later RETR may continue there.
    pub async fn broken(self, depot: &Depot, moved: u64) {
        let to = self.from.saturating_add(moved).min(self.to);
        if let Err(error) = self.cover(depot, to).await {
            tracing::warn!(%error, "Could not record how far a download came");
        }
    }

    /// Whether the bytes before this download's were downloaded, too.
    async fn goes_on(&self, depot: &Depot) -> Result<bool, StoreError> {
        Ok(self.from == 0
            || collected::one(&depot.db, &self.file).await?.is_some_and(|known| known.covered_to >= self.from))
    }

    async fn cover(&self, depot: &Depot, to: u64) -> Result<(), StoreError> {
        if to > 0 && self.goes_on(depot).await? {
            collected::cover(&depot.db, &self.file, to, depot.clock.now()).await?;
        }
        Ok(())
    }

    /// Whether every byte was acknowledged is known now: records it, and does what the settings demand.
    pub async fn decide(self, depot: &Depot, acknowledged: bool, transfer: &TransferId) {
        let partly = !acknowledged || self.to < self.file.id.size_bytes;
        match self.goes_on(depot).await {
            Ok(true) if !partly => {}
            Ok(_) => return self.broken(depot, u64::MAX).await,
            Err(error) => {
                tracing::error!(%error, "Could not see whether {} was collected", self.file.path);
                return;
            }
        }
        let (collection, event) = self.record(depot, transfer);
        let Self { party, file, source, of: InSend { names, reading, .. }, undecided, .. } = self;
        let settings = &party.connector().settings;
        if !settings.save_to_sent_folder && !settings.remove_file_after_send {
            let path = file.path.clone();
            let then = move |recorded: Result<(), NotRecorded>| {
                // Whoever waits for them finds it recorded.
                drop((undecided, reading));
                if let Err(error) = recorded.and_then(|()| passed()) {
                    not_recorded(&error, &path);
                }
            };
            if let Err(error) = depot.recorder.collect_then(collection, event, then).await {
                not_recorded(&error, &file.path);
            }
            return;
        }
        if let Err(error) = depot.recorder.collect(collection, event).await.and_then(|()| passed()) {
            return not_recorded(&error, &file.path);
        }
        let work = Work { depot, profile: &party.snapshot.profile, connector: party.connector(), file: &file };
        let copied = work.copy(&names, Some(source)).await;
        // DELE need not wait any longer; removal waits for others who are downloading the file.
        drop((undecided, reading));
        work.tell(copied).await;
        if work.is_removal_due().await && depot.collections.unread(&file.connector_key, file.id.inode).await {
            let removed = work.remove(&names).await;
            work.tell(removed).await;
        }
    }

    /// What is to be recorded.
    fn record(&self, depot: &Depot, transfer: &TransferId) -> (Collection, Event) {
        let connector = self.party.connector();
        let settings = &connector.settings;
        let at = depot.clock.now();
        let copy = settings.save_to_sent_folder.then(|| SentCopy {
            id: transfer.as_str().to_owned(),
            folder: copies::folder(settings.sent_folder_scheme, at, &self.party.snapshot.appliance.time_zone),
            name: String::new(),
        });
        let size = human::size(self.file.id.size_bytes);
        let summary = format!("{} collected {}, {size}", connector.id, self.file.path);
        let event = self.party.own(Event::new(&depot.ids, EventKind::AfterSend, at, summary));
        let file = EventFile { path: self.file.path.clone(), size_bytes: self.file.id.size_bytes };
        let event = Event { file: Some(file), ..event };
        let remove = settings.remove_file_after_send;
        let staging_inode = Some(self.of.staging_inode);
        (Collection { file: self.file.clone(), at, copy, remove, staging_inode }, event)
    }
}

/// It is recorded.
fn passed() -> Result<(), NotRecorded> {
    fault::pass(Point::Collected).map_err(|error| NotRecorded(error.to_string()))
}

fn not_recorded(error: &NotRecorded, path: &str) {
    tracing::error!(%error, "Could not record that {path} was collected; it is kept");
}

/// The file of those names below Send, in that version.
pub(super) fn file_in_send(connector: &Connector, names: &[Name], version: &Version) -> FileInSend {
    FileInSend {
        connector_key: connector.id.key().to_owned(),
        path: Folder::Send.path(names).to_string(),
        id: version.id(),
    }
}

/// One collected file and the context of its steps.
struct Work<'a> {
    depot: &'a Depot,
    profile: &'a Profile,
    connector: &'a Connector,
    file: &'a FileInSend,
}

impl Work<'_> {
    fn workspace(&self) -> io::Result<Arc<Workspace>> {
        self.depot.workspaces.get(self.profile, self.connector)
    }

    /// What is still to be done, as of now: another session may have done it. In the place of a disk that is away every file
    /// would seem to have gone (decision 0112).
    async fn known(&self, folder: &OpenFolder) -> Result<Option<Collected>, StepError> {
        let known = collected::one(&self.depot.db, self.file).await?;
        let is_away = |one: &Collected| self.depot.is_away(folder, one.staging_inode, one.seen_at);
        if known.as_ref().is_some_and(is_away) { Err(StepError::Away) } else { Ok(known) }
    }

    fn is_it(&self, version: &Version) -> bool {
        version.id() == self.file.id
    }

    /// Makes the copy in Sent, if one is wanted.
    async fn copy(&self, names: &[Name], source: Option<Source>) -> Result<(), StepError> {
        let workspace = self.workspace()?;
        let folder = workspace.folder(Folder::Send);
        let _turn = folder.naming(names).await;
        let Some(Collected { copy: Some(copy), remove, .. }) = self.known(folder).await? else { return Ok(()) };
        let path = self.depot.workspaces.copies_parent(self.profile, self.connector, copies::SENT)?;
        let aside = format!(".waybill-{}", copy.id);
        let sent = CopiesFolder::open(&path, copies::SENT, &copy.folder)?;
        // A named copy is complete; one without a name is begun afresh, whatever is there.
        if copy.name.is_empty() {
            let source = match source {
                Some(source) => source,
                None => match Source::open(folder, names) {
                    Ok(source) if self.is_it(&source.version()) => source,
                    Ok(_) => return self.cannot_copy("it was replaced").await,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        return self.cannot_copy("it is gone").await;
                    }
                    Err(error) => return Err(error.into()),
                },
            };
            let from: Option<(Arc<OwnedFd>, String)> = remove
                .then(|| folder.jail().parent(names).ok().map(|(parent, name)| (parent, name.to_owned())))
                .flatten();
            let (of, making) = (source.clone(), aside.clone());
            let sent = CopiesFolder::open(&path, copies::SENT, &copy.folder)?;
            let make =
                move || sent.make(&making, &source, from.as_ref().map(|(folder, name)| (&**folder, name.as_str())));
            let copied = tokio::task::spawn_blocking(make).await.map_err(io::Error::other)?;
            // That is no trouble of a disk, and looking again would not bring back what the partner has.
            if copied.is_err() && matches!(of.is_unchanged(), Ok(false)) {
                return self.cannot_copy("it was changed since").await;
            }
            copied?;
            // A link changes the file's ctime; Waybill knows that the file is complete.
            folder.published(of.version().inode, self.depot.clock.now());
            fault::pass(Point::SentCopied)?;
        } else if !sent.has(&aside) {
            // It had its name when the crash came.
            return Ok(collected::end_copy(&self.depot.db, self.file, true).await?);
        }
        self.name(&sent, &aside, names).await
    }

    async fn name(&self, sent: &CopiesFolder, aside: &str, names: &[Name]) -> Result<(), StepError> {
        let Some(base) = names.last() else { return Ok(()) };
        for n in 0..NUMBERS_MAX {
            let name = if n == 0 { base.clone() } else { numbered(base, n) };
            if sent.has(name.as_str()) {
                continue;
            }
            collected::name_copy(&self.depot.db, self.file, name.as_str()).await?;
            if sent.name(aside, name.as_str())? {
                fault::pass(Point::SentNamed)?;
                return Ok(collected::end_copy(&self.depot.db, self.file, true).await?);
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists).into())
    }

    async fn cannot_copy(&self, why: &str) -> Result<(), StepError> {
        tracing::warn!(connector.id = self.connector.id.as_str(), "No copy of {} in Sent: {why}", self.file.path);
        Ok(collected::end_copy(&self.depot.db, self.file, false).await?)
    }

    /// Whether the file is due for removal and its copy exists; [`Self::remove`] reports what keeps that from being
    /// known.
    async fn is_removal_due(&self) -> bool {
        let known = collected::one(&self.depot.db, self.file).await;
        known.map_or(true, |known| known.is_some_and(|one| one.is_removal_due()))
    }

    /// Removes the file, which nobody is downloading any longer, if that is wanted and its copy exists.
    async fn remove(&self, names: &[Name]) -> Result<(), StepError> {
        let workspace = self.workspace()?;
        let folder = workspace.folder(Folder::Send);
        let _turn = folder.naming(names).await;
        if !self.known(folder).await?.is_some_and(|one| one.is_removal_due()) {
            return Ok(());
        }
        // If its folder is gone, the file is gone with it.
        if let Ok((parent, name)) = folder.jail().parent(names) {
            // Another version of that name was not collected: it stays.
            if folder.jail().stat(names).is_ok_and(|stat| self.is_it(&Version::of(&stat))) {
                remove_file(&*parent, name)?;
                fault::pass(Point::SentRemoved)?;
            }
            // Only this makes the removal by an earlier attempt permanent.
            let lasts = folder.sync_folder(self.depot.workspaces.syncer(), parent).await;
            self.depot.synced(self.whose(), folder, lasts).await.map_err(StepError::Failing)?;
        }
        Ok(collected::gone(&self.depot.db, self.file, self.depot.clock.now()).await?)
    }

    fn whose(&self) -> Whose<'_> {
        Whose { connector: self.connector.id.as_str(), session: "" }
    }

    async fn tell(&self, step: Result<(), StepError>) {
        let (path, connector) = (&self.file.path, self.connector.id.as_str());
        match step {
            Ok(()) => {}
            Err(StepError::Away) => {
                tracing::warn!(
                    connector.id = connector,
                    "{path} was collected from another folder than Send is now, such as where its disk is away: it is \
                     looked for again"
                );
            }
            Err(StepError::Failing(why)) => {
                tracing::warn!(
                    connector.id = connector,
                    "{path} was collected and removed, perhaps not for good: {why}"
                );
            }
            Err(error) => {
                let summary = format!("Storage of {connector}: {path} was collected and is kept: {error}");
                self.depot.tell_of_storage(self.whose(), summary).await;
            }
        }
    }
}

/// Does the remaining steps: at start, before anybody may connect, and from time to time.
pub async fn finish_pending(depot: &Depot, snapshot: &Snapshot) -> Result<(), StoreError> {
    for one in collected::pending(&depot.db).await? {
        let file = &one.file;
        let names = VirtualPath::root().resolve(&file.path).ok().zip(snapshot.connectors.get(&file.connector_key));
        let found = names.and_then(|(path, live)| match Place::of(&live.connector.settings, &path) {
            Place::Within(Folder::Send, names) if !names.is_empty() => Some((names, &live.connector)),
            _ => None,
        });
        let Some((names, connector)) = found else {
            // The connector was removed: nobody can look for its files any longer.
            collected::end_copy(&depot.db, file, false).await?;
            collected::gone(&depot.db, file, depot.clock.now()).await?;
            continue;
        };
        let work = Work { depot, profile: &snapshot.profile, connector, file };
        let mut done = work.copy(&names, None).await;
        // Whoever fetches it may take hours, and others wait behind this one: it is tried again.
        if done.is_ok() && !depot.collections.is_read(&file.connector_key, file.id.inode) {
            done = work.remove(&names).await;
        }
        work.tell(done).await;
    }
    Ok(())
}

/// Waits until it is known whether downloads of that file count as collected.
pub async fn decided(depot: &Depot, party: &Party, names: &[Name]) {
    let path = Folder::Send.path(names).to_string();
    depot.collections.decided(party.connector().id.key(), &path, DECIDED_WITHIN).await;
}

/// Whether a partner may delete a file in Send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletable {
    /// It was completely collected within [`DELETABLE_FOR`].
    Collected,
    /// It was not.
    No,
    /// It was, but its copy in Sent is not made yet.
    NotYet,
}

/// Whether this version of the file may be deleted because the partner collected it.
pub async fn deletable(depot: &Depot, party: &Party, names: &[Name], of: &Version) -> Result<Deletable, StoreError> {
    let known = collected::one(&depot.db, &file_in_send(party.connector(), names, of)).await?;
    let since = depot.clock.now().minus(DELETABLE_FOR);
    Ok(match known {
        Some(Collected { copy: Some(_), .. }) => Deletable::NotYet,
        Some(Collected { collected_at: Some(at), .. }) if at >= since => Deletable::Collected,
        _ => Deletable::No,
    })
}

/// The size and time of a file that the partner collected and that was removed within [`REMEMBERED_FOR`].
pub async fn remembered(depot: &Depot, party: &Party, names: &[Name]) -> Result<Option<(u64, Timestamp)>, StoreError> {
    if !party.connector().settings.delete_collected {
        return Ok(None);
    }
    let path = Folder::Send.path(names).to_string();
    let since = depot.clock.now().minus(REMEMBERED_FOR);
    let gone = collected::lately_gone(&depot.db, party.connector().id.key(), &path, since).await?;
    Ok(gone.map(|gone| (gone.id.size_bytes, gone.id.modified)))
}

/// The partner deleted that file.
pub async fn deleted(depot: &Depot, party: &Party, names: &[Name], of: &Version) -> Result<(), StoreError> {
    collected::gone(&depot.db, &file_in_send(party.connector(), names, of), depot.clock.now()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::domain::connector::ConnectorId;
    use crate::store::connector;
    use crate::store::live::Live;
    use crate::store::setting::Change;
    use crate::transfer::upload_tests::Desk;

    #[tokio::test]
    async fn what_is_to_be_done_with_a_file_waits_for_its_disk() {
        let desk = Desk::new(&[("save_to_sent_folder", "on"), ("remove_file_after_send", "on")]).await;
        let (depot, party) = (&desk.depot, &desk.party);
        let (send, away) = (desk.path("Send"), desk.path("away"));
        let names = [Name::parse("a.edi").unwrap()];
        let workspace = party.workspace(depot).unwrap();
        std::fs::write(send.join("a.edi"), "bytes").unwrap();
        let source = Source::open(workspace.folder(Folder::Send), &names).unwrap();
        let reading = depot.collections.reading("acme", source.version().inode);
        let staging_inode = workspace.folder(Folder::Send).staging_inode();
        let of = InSend { names: names.to_vec(), staging_inode, reading };
        let fetched = Fetched { of, source, from: 0, to: 5 };
        let collecting = Collecting::new(depot, party, fetched);
        let (collection, event) = collecting.record(depot, &TransferId::new(&depot.ids));
        depot.recorder.collect(collection, event).await.unwrap();
        drop((collecting, workspace));
        // As where the disk is away: a missing folder is made anew.
        std::fs::rename(&send, &away).unwrap();
        finish_pending(depot, &party.snapshot).await.unwrap();
        std::fs::remove_dir_all(&send).unwrap();
        std::fs::rename(&away, &send).unwrap();
        assert!(send.join("a.edi").exists());
        finish_pending(depot, &party.snapshot).await.unwrap();
        assert!(!send.join("a.edi").exists());
        let copies = desk.path("Sent");
        assert!(walk(&copies).ends_with("a.edi"), "{copies:?}");
    }

    #[tokio::test]
    async fn a_file_that_is_changed_before_its_copy_is_no_trouble_of_a_disk() {
        let desk = Desk::new(&[("save_to_sent_folder", "on"), ("remove_file_after_send", "on")]).await;
        let (depot, party) = (&desk.depot, &desk.party);
        let names = [Name::parse("a.edi").unwrap()];
        let path = desk.path("Send").join("a.edi");
        let workspace = party.workspace(depot).unwrap();
        for bytes in ["short", "as many bytes", "one byte more than"] {
            std::fs::write(&path, "as many bytes").unwrap();
            let source = Source::open(workspace.folder(Folder::Send), &names).unwrap();
            std::fs::write(&path, bytes).unwrap();
            std::fs::File::open(&path).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
            let reading = depot.collections.reading("acme", source.version().inode);
            let staging_inode = workspace.folder(Folder::Send).staging_inode();
            let of = InSend { names: names.to_vec(), staging_inode, reading };
            let collecting = Collecting::new(depot, party, Fetched { of, source, from: 0, to: 13 });
            collecting.decide(depot, true, &TransferId::new(&depot.ids)).await;
            assert_eq!(std::fs::read_to_string(&path).unwrap(), bytes, "what was not collected stays");
        }
        assert!(collected::pending(&depot.db).await.unwrap().is_empty());
        let kind = Some(EventKind::StorageFailing);
        let told = crate::store::event::oldest_first(&depot.db, kind, Timestamp::default(), None, 9).await.unwrap();
        assert_eq!(told, []);
        let left = desk.path("Sent");
        let dated = std::fs::read_dir(&left).unwrap().next().unwrap().unwrap().path();
        assert_eq!(std::fs::read_dir(dated).unwrap().count(), 0, "nothing is left in Sent");
    }

    /// The one file below a folder.
    fn walk(folder: &std::path::Path) -> std::path::PathBuf {
        let mut path = folder.to_owned();
        while path.is_dir() {
            path = std::fs::read_dir(&path).unwrap().next().unwrap().unwrap().path();
        }
        path
    }

    #[tokio::test]
    async fn a_file_that_is_being_fetched_holds_up_no_other() {
        let data = tempfile::tempdir().unwrap();
        let depot = Depot::for_tests(data.path(), Clock::System).await;
        let change = Change { who: "test", remote: "", at: depot.clock.now(), ids: &depot.ids };
        connector::add(&depot.db, &ConnectorId::parse("acme").unwrap(), &[].into(), None, &change).await.unwrap();
        let snapshot = Live::open(depot.db.clone(), Clock::System).await.unwrap().snapshot();
        let acme = &snapshot.connectors["acme"].connector;
        let workspace = depot.workspaces.get(&snapshot.profile, acme).unwrap();
        let send = workspace.folder(Folder::Send);
        let mut files = Vec::new();
        for name in ["slow.edi", "whole.edi"] {
            let path = depot.workspaces.shelf(&snapshot.profile, acme).unwrap().path.join(name);
            std::fs::write(path, "bytes").unwrap();
            let names = [Name::parse(name).unwrap()];
            let file = file_in_send(acme, &names, &Version::of(&send.jail().stat(&names).unwrap()));
            let at = depot.clock.now();
            let event = Event::new(&depot.ids, EventKind::AfterSend, at, "");
            let collection = Collection { file: file.clone(), at, copy: None, remove: true, staging_inode: None };
            depot.recorder.collect(collection, event).await.unwrap();
            files.push(file);
        }
        let reading = depot.collections.reading("acme", files[0].id.inode);
        let within = Duration::from_secs(10);
        tokio::time::timeout(within, finish_pending(&depot, &snapshot)).await.unwrap().unwrap();
        let is_there = |name: &str| send.jail().stat(&[Name::parse(name).unwrap()]).is_ok();
        assert!(is_there("slow.edi") && !is_there("whole.edi"));
        drop(reading);
        finish_pending(&depot, &snapshot).await.unwrap();
        assert!(!is_there("slow.edi"));
    }
}
