//! What every transfer needs, and what can go wrong with one.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::collections::Collections;
use super::consent::Consents;
use super::copy::Buffers;
use super::lacking::Lacking;
use super::quota::Quotas;
use super::throttle::Throttles;
use crate::base::clock::{Clock, Timestamp};
use crate::base::id::{IdSource, SessionId};
use crate::base::path::VirtualPath;
use crate::domain::authorise::No;
use crate::domain::connector::Connector;
use crate::domain::event::EventKind;
use crate::domain::place::{Folder, Place};
use crate::domain::receipt::Ending;
use crate::domain::refusal::Rule;
use crate::store::Db;
use crate::store::commit::{NotRecorded, Recorder};
use crate::store::event::Event;
#[cfg(test)]
use crate::store::live::Live;
use crate::store::live::{LiveConnector, Snapshot};
use crate::workspace::folder::OpenFolder;
use crate::workspace::workspaces::{Workspace, Workspaces};

/// For how long a disk that is away is waited for; what was on it counts as gone from then on.
const AWAITED_FOR: Duration = Duration::from_hours(30 * 24);

/// The services behind every transfer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Depot {
    /// The database.
    pub db: Db,
    /// The one writer of records.
    pub recorder: Recorder,
    /// The partners' folders.
    pub workspaces: Workspaces,
    /// The time.
    pub clock: Clock,
    /// New ids.
    pub ids: IdSource,
    /// Buffers that transfers share.
    pub buffers: Buffers,
    /// Who downloads which Send file.
    pub collections: Collections,
    /// How fast each connector may be.
    pub throttles: Throttles,
    /// Who is asked before a file is sent.
    pub consents: Consents,
    /// Bytes arriving for connectors with a quota.
    pub quotas: Quotas,
    /// Whose stored names lack a part.
    pub lacking: Lacking,
}

/// Whom an event concerns.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'a> {
    /// The connector's id.
    pub connector: &'a str,
    /// The session's; empty if there is none.
    pub session: &'a str,
}

/// Failing storage (PRODUCT 5.10).
impl Depot {
    /// Whether files may be written there: after a failure a probe decides.
    pub async fn writable(&self, folder: &OpenFolder) -> Result<(), TransferError> {
        if !folder.is_failing() {
            return Ok(());
        }
        let probed = folder.probe(self.workspaces.syncer()).await;
        probed.map_err(|error| TransferError::refused(Rule::StorageFailing, error.to_string()))
    }

    /// Whether the disk that a folder is on is away: what was `noted` of it at that time is the number of its staging folder, and
    /// an empty place has another (decision 0112).
    pub fn is_away(&self, folder: &OpenFolder, noted: Option<u64>, at: Timestamp) -> bool {
        noted.is_some_and(|noted| noted != folder.staging_inode()) && self.clock.now() < at.plus(AWAITED_FOR)
    }

    /// A write or a sync could not be done: uploads are refused from now on until a probe succeeds, which is told once. Not
    /// where only room is missing.
    pub async fn storage_failed(&self, whose: Whose<'_>, folder: &OpenFolder, why: &TransferError) {
        if matches!(why, TransferError::NoSpace) || !folder.set_failing() {
            return;
        }
        let connector = whose.connector;
        let summary = format!("Storage of {connector}: {why}; uploads are refused until a test write succeeds");
        self.tell_of_storage(whose, summary).await;
    }

    /// The outcome of a sync, reported if it failed.
    pub async fn synced(
        &self,
        whose: Whose<'_>,
        folder: &OpenFolder,
        done: io::Result<()>,
    ) -> Result<(), TransferError> {
        let Err(error) = done else { return Ok(()) };
        let why = TransferError::Storage(error);
        self.storage_failed(whose, folder, &why).await;
        Err(why)
    }

    /// Records a failure of storage as an event.
    pub async fn tell_of_storage(&self, whose: Whose<'_>, summary: String) {
        tracing::error!(connector.id = whose.connector, "{summary}");
        self.recorder.event(self.storage_event(whose, summary)).await;
    }

    /// The event for a failure of storage.
    pub fn storage_event(&self, Whose { connector, session }: Whose<'_>, summary: String) -> Event {
        let event = self.event(EventKind::StorageFailing, summary).of(connector);
        Event { session_id: session.to_owned(), ..event }
    }
}

impl Depot {
    /// An event of the appliance itself, happening now.
    pub fn event(&self, kind: EventKind, summary: impl Into<String>) -> Event {
        Event::new(&self.ids, kind, self.clock.now(), summary)
    }
}

#[cfg(test)]
impl Depot {
    /// A depot over a new data folder; its writer runs until the last recorder is gone.
    pub(crate) async fn for_tests(data: &std::path::Path, clock: Clock) -> Self {
        let db = Db::open(data).await.unwrap();
        let live = Live::open(db.clone(), clock.clone()).await.unwrap();
        let (recorder, writer) = Recorder::new(db.clone());
        tokio::spawn(writer.run());
        Self {
            db,
            recorder,
            workspaces: Workspaces::new(data.to_owned()),
            ids: IdSource::random(clock.clone()),
            throttles: Throttles::new(live, clock.clone()),
            clock,
            buffers: Buffers::default(),
            collections: Collections::default(),
            consents: Consents::default(),
            quotas: Quotas::default(),
            lacking: Lacking::default(),
        }
    }
}

/// Whose transfer it is: a logged-in session, with the configuration at the time of its command.
#[derive(Clone, Debug)]
pub struct Party {
    /// The configuration at that time.
    pub snapshot: Arc<Snapshot>,
    /// The partner's connector.
    pub connector: Arc<LiveConnector>,
    /// The session.
    pub session: SessionId,
    /// The client's address.
    pub remote: IpAddr,
    /// TLS version and cipher of the control connection; empty in clear.
    pub tls: String,
    workspace: OnceLock<Arc<Workspace>>,
}

impl Party {
    /// The folders are opened when first needed. `tls` is empty in clear.
    pub fn new(
        snapshot: Arc<Snapshot>,
        connector: Arc<LiveConnector>,
        session: SessionId,
        remote: IpAddr,
        tls: String,
    ) -> Self {
        Self { snapshot, connector, session, remote, tls, workspace: OnceLock::new() }
    }

    /// The connector itself.
    pub fn connector(&self) -> &Connector {
        &self.connector.connector
    }

    /// Whom its events concern.
    pub fn whose(&self) -> Whose<'_> {
        Whose { connector: self.connector().id.as_str(), session: self.session.as_str() }
    }

    /// The event, as one of this session.
    pub fn own(&self, event: Event) -> Event {
        let (session_id, remote) = (self.session.as_str().to_owned(), self.remote.to_string());
        Event { session_id, remote, ..event.of(self.connector().id.as_str()) }
    }

    /// What the partner learns of an error at that path. Where it may not read, a file in the way is a missing folder:
    /// nothing tells which names others have there.
    pub fn as_seen(&self, path: &VirtualPath, error: TransferError) -> TransferError {
        let settings = &self.connector().settings;
        let reads = match Place::of(settings, path) {
            Place::Within(Folder::Send, _) => settings.send_read,
            Place::Within(Folder::Receive, _) => settings.receive_read,
            Place::Root | Place::Outside => true,
        };
        if !reads && matches!(error, TransferError::NotFolder) { TransferError::NotFound } else { error }
    }

    /// The partner's folders.
    pub fn workspace(&self, depot: &Depot) -> Result<Arc<Workspace>, TransferError> {
        if let Some(workspace) = self.workspace.get() {
            return Ok(Arc::clone(workspace));
        }
        let opened = depot.workspaces.get(&self.snapshot.profile, self.connector()).map_err(TransferError::Storage)?;
        Ok(Arc::clone(self.workspace.get_or_init(|| opened)))
    }
}

/// Why a transfer did not happen or complete. `engine::refusal` says what the partner hears.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// A rule said no.
    #[error("refused by {}: {}", .0.rule.name(), .0.detail)]
    Refused(No),
    /// That name does not exist.
    #[error("no such file or folder")]
    NotFound,
    /// A folder where a file is needed.
    #[error("it is a folder")]
    IsFolder,
    /// A file where a folder is needed.
    #[error("it is not a folder")]
    NotFolder,
    /// A folder moved into itself.
    #[error("a folder cannot be moved into itself")]
    WithinItself,
    /// A rename between Send and Receive.
    #[error("a rename between Send and Receive")]
    BetweenFolders,
    /// The name exists already.
    #[error("there is something of that name already")]
    Exists,
    /// The folder is not empty.
    #[error("the folder is not empty")]
    NotEmpty,
    /// Not now: it is being written, or has not rested long enough.
    #[error("the file is still being written")]
    Busy,
    /// REST beyond the end, or with TYPE A.
    #[error("cannot begin there")]
    Restart,
    /// The file changed while it was sent.
    #[error("the file changed while it was sent")]
    Changed,
    /// The data connection did not end in order.
    #[error("the data connection ended: {}", .0.label())]
    Broken(Ending),
    /// No space on the disk.
    #[error("no room")]
    NoSpace,
    /// Reading or writing failed on this side.
    #[error("storage failed: {0}")]
    Storage(io::Error),
    /// The database failed.
    #[error("could not record it: {0}")]
    NotRecorded(String),
}

impl TransferError {
    /// A rule said no.
    pub fn refused(rule: Rule, detail: impl Into<String>) -> Self {
        Self::Refused(No { rule, detail: detail.into() })
    }
}

impl From<No> for TransferError {
    fn from(no: No) -> Self {
        Self::Refused(no)
    }
}

impl From<io::Error> for TransferError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::NotFound => Self::NotFound,
            Kind::IsADirectory => Self::IsFolder,
            Kind::NotADirectory => Self::NotFolder,
            Kind::AlreadyExists => Self::Exists,
            Kind::DirectoryNotEmpty => Self::NotEmpty,
            Kind::StorageFull | Kind::QuotaExceeded => Self::NoSpace,
            _ => Self::Storage(error),
        }
    }
}

impl From<NotRecorded> for TransferError {
    fn from(NotRecorded(cause): NotRecorded) -> Self {
        Self::NotRecorded(cause)
    }
}

impl From<crate::store::StoreError> for TransferError {
    fn from(error: crate::store::StoreError) -> Self {
        Self::NotRecorded(error.to_string())
    }
}
