//! Files that Waybill itself puts into a partner's Send, files waiting there, and their removal. Takes the same safe
//! steps as an upload: aside, synced, renamed, folder synced. It makes no receipt and no event, since nothing was
//! received.
//!
//! Always: a file is complete under its final name, and one given up on the way leaves nothing behind.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use rustix::fs::FileType;

use super::collect::file_in_send;
use super::depot::{Depot, TransferError, Whose};
use super::plan::{check_reserve, not_own};
use super::room::{Room, taken, there};
use crate::base::file_id::FileId;
use crate::base::id::TransferId;
use crate::base::path::{Name, VirtualPath};
use crate::domain::authorise::{self, Granted, Operation};
use crate::domain::connector::Connector;
use crate::domain::place::Folder;
use crate::domain::refusal::Rule;
use crate::domain::value::{DiskReserve, Overwrite};
use crate::store::collected::{self, Collected};
use crate::store::live::Snapshot;
use crate::workspace::download::Version;
use crate::workspace::folder::OpenFolder;
use crate::workspace::listing::{AllUnlisted, files_below, unlisted_below};
use crate::workspace::removal::remove_file;
use crate::workspace::upload::Part;
use crate::workspace::workspaces::Workspace;

/// Files listed in one Send; a page says if there are more.
pub const FILES_MAX: usize = 10_000;
/// Folders below Send that are searched.
const FOLDERS_MAX: usize = 1_000;
/// Bytes written between two checks of the disk reserve.
const LOOK_EVERY_BYTES: u64 = 64 * 1024 * 1024;

/// Whose Send it is, under the configuration of one moment.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The configuration.
    pub snapshot: &'a Snapshot,
    /// The partner's connector.
    pub connector: &'a Connector,
}

impl Owner<'_> {
    fn workspace(&self, depot: &Depot) -> Result<Arc<Workspace>, TransferError> {
        depot.workspaces.get(&self.snapshot.profile, self.connector).map_err(TransferError::Storage)
    }
}

/// A file on its way into Send.
#[derive(Debug)]
pub struct Offer {
    depot: Depot,
    workspace: Arc<Workspace>,
    /// Whose Send it is.
    connector: String,
    name: Name,
    clash: Overwrite,
    mode: u32,
    reserve: DiskReserve,
    looked_at: u64,
    /// `None` once it is published.
    part: Option<Part>,
}

/// A file now in Send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// The name it got.
    pub name: String,
    /// Its size.
    pub size_bytes: u64,
}

impl Offer {
    /// Begins one. Refused if the partner could not download it, by the engine's own rule.
    pub async fn begin(depot: &Depot, owner: Owner<'_>, name: &str, clash: Overwrite) -> Result<Self, TransferError> {
        let name = Name::parse(name)
            .map_err(|error| TransferError::refused(Rule::NameNotStorable, format!("{name:?} {error}")))?;
        let names = fetchable(owner, &name)?;
        let workspace = owner.workspace(depot)?;
        let folder = workspace.folder(Folder::Send);
        depot.writable(folder).await?;
        // Checked before the bytes are sent, and again when they have arrived.
        if there(folder, &names)? && clash == Overwrite::Refuse {
            return Err(taken(&name));
        }
        let reserve = owner.snapshot.profile.disk_reserve;
        check_reserve(reserve, folder, 0)?;
        let aside = TransferId::new(&depot.ids);
        let part = Part::create_nameless(folder, aside.as_str())?;
        let mode = owner.connector.settings.received_file_mode.bits();
        let (depot, connector) = (depot.clone(), owner.connector.id.as_str().to_owned());
        Ok(Self { depot, workspace, connector, name, clash, mode, reserve, looked_at: 0, part: Some(part) })
    }

    /// Writes the next bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), TransferError> {
        let Some(part) = &mut self.part else { return Ok(()) };
        let written = match part.write(bytes) {
            Ok(()) => part.write_back(self.depot.workspaces.syncer()).await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            let whose = Whose { connector: &self.connector, session: "" };
            return Err(failed(&self.depot, whose, self.workspace.folder(Folder::Send), error).await);
        }
        if part.size_bytes() - self.looked_at >= LOOK_EVERY_BYTES {
            self.looked_at = part.size_bytes();
            check_reserve(self.reserve, self.workspace.folder(Folder::Send), 0)?;
        }
        Ok(())
    }

    /// Gives it its name. When this returns, the file is on disk and the partner sees it.
    pub async fn finish(mut self) -> Result<Offered, TransferError> {
        let workspace = Arc::clone(&self.workspace);
        let folder = workspace.folder(Folder::Send);
        let syncer = self.depot.workspaces.syncer().clone();
        let Some(part) = &mut self.part else { return Err(TransferError::NotFound) };
        let whose = Whose { connector: &self.connector, session: "" };
        if let Err(error) = part.sync(&syncer).await {
            return Err(failed(&self.depot, whose, folder, error).await);
        }
        part.dress(self.mode)?;
        let mut names = vec![self.name.clone()];
        let _turn = folder.naming(&names).await;
        let room = Room::make(folder, &mut names, self.clash)?;
        let (parent, _) = folder.jail().parent(&names)?;
        let name = names.pop().unwrap_or_else(|| self.name.clone());
        // Waybill's own files are complete at once: the partner need not wait for one to rest.
        folder.published(part.inode()?, self.depot.clock.now());
        part.publish(folder, &parent, &name, room.replace)?;
        let size_bytes = part.size_bytes();
        self.part = None;
        let lasts = folder.sync_folder(&syncer, parent).await;
        self.depot.synced(whose, folder, lasts).await?;
        Ok(Offered { name: name.as_str().to_owned(), size_bytes })
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if let Some(part) = self.part.take() {
            part.discard(self.workspace.folder(Folder::Send));
        }
    }
}

/// A write or sync failed.
pub(super) async fn failed(depot: &Depot, whose: Whose<'_>, folder: &OpenFolder, error: io::Error) -> TransferError {
    let why = TransferError::from(error);
    depot.storage_failed(whose, folder, &why).await;
    why
}

/// The names below Send of a file called `name`, if the partner may download one of that name.
pub(super) fn fetchable(owner: Owner<'_>, name: &Name) -> Result<Vec<Name>, TransferError> {
    let path = Folder::Send.path(std::slice::from_ref(name));
    match authorise::authorise(&owner.snapshot.profile, owner.connector, Operation::Retrieve, &path)? {
        Granted::Within { names, .. } if names.len() == 1 => not_own(&names).map(|()| names),
        _ => Err(TransferError::refused(Rule::NameNotStorable, format!("{name} is one of Waybill's own names"))),
    }
}

/// Whether the partner can download a waiting file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetchable {
    /// Yes.
    Now,
    /// Not while it may still be written.
    Resting,
    /// Never: the filter forbids its name, or Send is not readable.
    Never,
}

/// A file waiting in Send.
#[derive(Clone, Debug)]
pub struct WaitingFile {
    /// Where it is below Send: `a`, `b/a`.
    pub below: String,
    /// Which version of it.
    pub version: Version,
    /// Whether the partner can download it.
    pub fetchable: Fetchable,
    /// What is known of its downloads.
    pub known: Option<Collected>,
}

/// The files waiting in one Send.
#[derive(Clone, Debug, Default)]
pub struct WaitingFiles {
    /// The files, longest waiting first.
    pub files: Vec<WaitingFile>,
    /// Whether there are more than [`FILES_MAX`].
    pub more: bool,
}

/// Every file waiting in Send, without links and Waybill's own parts.
pub async fn waiting(depot: &Depot, owner: Owner<'_>) -> Result<WaitingFiles, TransferError> {
    let found = walk(depot, owner, FILES_MAX + 1).await?;
    let mut downloads: HashMap<_, _> = collected::of_connector(&depot.db, owner.connector.id.key())
        .await?
        .into_iter()
        .map(|one| ((one.file.path.clone(), one.file.id), one))
        .collect();
    let folder = owner.workspace(depot)?;
    let (folder, now) = (folder.folder(Folder::Send), depot.clock.now());
    let settle = owner.connector.settings.send_settle_s.seconds();
    let more = found.len() > FILES_MAX;
    let mut files = Vec::with_capacity(found.len().min(FILES_MAX));
    for (names, version) in found.into_iter().take(FILES_MAX) {
        let path = Folder::Send.path(&names);
        let allowed = authorise::authorise(&owner.snapshot.profile, owner.connector, Operation::Retrieve, &path);
        let fetchable = match allowed {
            Err(_) => Fetchable::Never,
            Ok(_) if folder.is_settled(&version, settle, now) => Fetchable::Now,
            Ok(_) => Fetchable::Resting,
        };
        let known = downloads.remove(&(path.to_string(), version.id()));
        let below = names.iter().map(Name::as_str).collect::<Vec<_>>().join("/");
        files.push(WaitingFile { below, version, fetchable, known });
    }
    files.sort_by(|a, b| (a.version.changed, &a.below).cmp(&(b.version.changed, &b.below)));
    Ok(WaitingFiles { files, more })
}

/// What lies in Send and is not shown to the partner, whatever the settings say; the first `most` of it by name.
pub async fn unlisted(depot: &Depot, owner: Owner<'_>, most: usize) -> Result<AllUnlisted, TransferError> {
    let workspace = owner.workspace(depot)?;
    let looked = tokio::task::spawn_blocking(move || unlisted_below(workspace.folder(Folder::Send), FOLDERS_MAX, most));
    Ok(looked.await.map_err(|error| TransferError::Storage(io::Error::other(error)))??)
}

/// How many files are waiting, counted up to `most`.
pub async fn count(depot: &Depot, owner: Owner<'_>, most: usize) -> Result<usize, TransferError> {
    Ok(walk(depot, owner, most).await?.len())
}

async fn walk(depot: &Depot, owner: Owner<'_>, most: usize) -> Result<Vec<(Vec<Name>, Version)>, TransferError> {
    let workspace = owner.workspace(depot)?;
    let walked = tokio::task::spawn_blocking(move || walk_now(workspace.folder(Folder::Send), most));
    Ok(walked.await.map_err(|error| TransferError::Storage(io::Error::other(error)))??)
}

fn walk_now(folder: &OpenFolder, most: usize) -> io::Result<Vec<(Vec<Name>, Version)>> {
    let mut found = Vec::new();
    files_below(folder, FOLDERS_MAX, |names, version| {
        found.push((names, version));
        found.len() < most
    })?;
    Ok(found)
}

/// Removes the version of a file in Send that somebody saw; another one of that name stays. A partner already
/// downloading it gets all of it.
pub async fn remove(depot: &Depot, owner: Owner<'_>, below: &str, seen: FileId) -> Result<u64, TransferError> {
    let path = VirtualPath::root().resolve(below).map_err(|_| TransferError::NotFound)?;
    let names = path.names().to_vec();
    let workspace = owner.workspace(depot)?;
    let folder = workspace.folder(Folder::Send);
    let _turn = folder.naming(&names).await;
    let stat = folder.jail().stat(&names)?;
    let version = Version::of(&stat);
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(TransferError::NotFound);
    }
    if version.id() != seen {
        return Err(TransferError::Changed);
    }
    let file = file_in_send(owner.connector, &names, &version);
    if collected::one(&depot.db, &file).await?.is_some_and(|known| known.copy.is_some()) {
        return Err(TransferError::Busy);
    }
    let (parent, name) = folder.jail().parent(&names)?;
    remove_file(&parent, name)?;
    let lasts = folder.sync_folder(depot.workspaces.syncer(), parent).await;
    depot.synced(Whose { connector: owner.connector.id.as_str(), session: "" }, folder, lasts).await?;
    collected::gone(&depot.db, &file, depot.clock.now()).await?;
    Ok(version.size_bytes)
}
