//! What every handler can reach: the database, the live configuration, the password gate and the clock.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::attention::Found;
use super::https::Clear;
use super::live::STREAMS_MAX;
use super::notes::Notes;
use super::pages::flows::Week;
use super::pages::receive::ZIPS_MAX;
use super::pages::test_connection::Trials;
use super::second_factor::Enrolling;
use super::setup_code::SetupCode;
use crate::access::admission::Admission;
use crate::access::automation::Keeper;
use crate::access::backup::Backups;
use crate::access::certificate::Certificates;
use crate::access::connecting::Connecting;
use crate::access::gate::Gate;
use crate::access::passive::Ports;
use crate::access::programs::Programs;
use crate::access::restart::Restart;
use crate::access::secrets::Secrets;
use crate::base::app_log::AppLog;
use crate::base::clock::Clock;
use crate::base::id::IdSource;
use crate::store::Db;
use crate::store::commit::Recorder;
use crate::store::live::Live;
use crate::transfer::depot::Depot;
use crate::transfer::presence::Presence;

/// The parts of the web interface.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Moves files.
    pub depot: Depot,
    /// The database.
    pub db: Db,
    /// The configuration in force.
    pub live: Live,
    /// Records events.
    pub recorder: Recorder,
    /// The password gate, shared with FTP.
    pub gate: Gate,
    /// Session counts of FTP.
    pub admission: Admission,
    /// Secrets that must be readable.
    pub secrets: Secrets,
    /// Certificates to present.
    pub certificates: Certificates,
    /// Makes and reads backups.
    pub backups: Backups,
    /// The leased passive ports.
    pub ports: Ports,
    /// Who is connected over FTP.
    pub presence: Presence,
    /// The clock.
    pub clock: Clock,
    /// Makes new ids.
    pub ids: IdSource,
    /// The one-time code of the first run.
    pub setup_code: SetupCode,
    /// The last lines of the log.
    pub app_log: AppLog,
    /// The programs for Command connectors.
    pub programs: Programs,
    /// Makes the appliance begin anew.
    pub restart: Restart,
    /// Whether it may be read in clear there.
    pub clear: Clear,
}

/// The state of the web interface; cheap to clone.
#[derive(Clone, Debug)]
pub struct WebState {
    parts: Arc<Parts>,
    /// Keys the tokens of forms before sign-in; new at each start.
    pub(super) visit_key: [u8; 32],
    /// Notes and secrets that the next page shows once.
    pub(super) notes: Notes,
    /// What needed attention a moment ago.
    pub(super) attention: Arc<tokio::sync::Mutex<Found>>,
    /// The counts of the previous days, and which day today is.
    pub(super) week: Arc<tokio::sync::Mutex<Week>>,
    /// Keys of second factors waiting for a first code.
    pub(super) enrolling: Enrolling,
    /// The last results of *Test connection*.
    pub(super) trials: Trials,
    /// Permits for further streams of live updates.
    pub(super) streams: Arc<Semaphore>,
    /// Permits for further zips.
    pub(super) zips: Arc<Semaphore>,
}

impl WebState {
    /// A state that remembers nobody.
    pub fn new(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
            visit_key: rand::random(),
            notes: Notes::default(),
            attention: Arc::default(),
            week: Arc::default(),
            enrolling: Enrolling::default(),
            trials: Trials::default(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            zips: Arc::new(Semaphore::new(ZIPS_MAX)),
        }
    }
}

impl WebState {
    /// Saves connectors.
    pub fn connecting(&self) -> Connecting<'_> {
        Connecting { db: &self.db, programs: &self.programs }
    }

    /// Saves actions and event targets.
    pub fn keeper(&self) -> Keeper<'_> {
        Keeper { db: &self.db, secrets: &self.secrets, programs: &self.programs }
    }
}

impl std::ops::Deref for WebState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// The browser's address, put into each request by [`super::serve`].
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    address: SocketAddr,
    tls: bool,
}

/// Cancelled when the server stops, put into each request by [`super::serve`]: it ends streams of live updates.
#[derive(Clone, Debug, Default)]
pub struct Closing(pub CancellationToken);

impl Peer {
    /// A browser that came in clear.
    pub(super) const fn in_clear(address: SocketAddr) -> Self {
        Self { address, tls: false }
    }

    /// The same browser, once TLS is established.
    pub(super) const fn by_tls(self) -> Self {
        Self { tls: true, ..self }
    }

    /// Whether a request came over TLS.
    pub(super) fn is_secured(extensions: &axum::http::Extensions) -> bool {
        extensions.get::<Self>().is_some_and(|peer| peer.tls)
    }

    /// The address of a request; loopback without a connection, as in tests.
    pub(super) fn of(extensions: &axum::http::Extensions) -> IpAddr {
        extensions.get::<Self>().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.address.ip().to_canonical())
    }
}
