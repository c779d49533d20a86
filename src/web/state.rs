//! What every handler can reach: the database, the live configuration, the door and the clock.

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

/// What the web interface is built from.
#[derive(Clone, Debug)]
pub struct Parts {
    /// What files are moved with.
    pub depot: Depot,
    /// The database.
    pub db: Db,
    /// The configuration in force.
    pub live: Live,
    /// Where events go.
    pub recorder: Recorder,
    /// The password gate, shared with FTP.
    pub gate: Gate,
    /// How many are in over FTP.
    pub admission: Admission,
    /// Secrets that are used as they are.
    pub secrets: Secrets,
    /// What servers present.
    pub certificates: Certificates,
    /// Makes and reads backups.
    pub backups: Backups,
    /// Passive ports that are leased.
    pub ports: Ports,
    /// Who is connected over FTP.
    pub presence: Presence,
    /// What time it is.
    pub clock: Clock,
    /// Where new ids come from.
    pub ids: IdSource,
    /// The one-time code of the first run.
    pub setup_code: SetupCode,
    /// The last lines of the log.
    pub app_log: AppLog,
    /// What Command connectors may run.
    pub programs: Programs,
    /// Begins the appliance anew.
    pub restart: Restart,
    /// Whether it may be read in clear there.
    pub clear: Clear,
}

/// The state of the web interface; cheap to clone.
#[derive(Clone, Debug)]
pub struct WebState {
    parts: Arc<Parts>,
    /// Keys the tokens of forms that stand before sign-in; a new one at each start.
    pub(super) visit_key: [u8; 32],
    /// Lines and secrets that the next page shows once.
    pub(super) notes: Notes,
    /// What needed attention a moment ago.
    pub(super) attention: Arc<tokio::sync::Mutex<Found>>,
    /// What the days before today were like, and which day today is.
    pub(super) week: Arc<tokio::sync::Mutex<Week>>,
    /// Keys of second factors that wait for a first code.
    pub(super) enrolling: Enrolling,
    /// What came of *Test connection* last.
    pub(super) trials: Trials,
    /// Streams of live updates that may still open.
    pub(super) streams: Arc<Semaphore>,
    /// Zips that may still be made.
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
    /// What saves connectors.
    pub fn connecting(&self) -> Connecting<'_> {
        Connecting { db: &self.db, programs: &self.programs }
    }

    /// What saves actions and event targets.
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

/// Cancelled when the server stops, put into each request by [`super::serve`]: streams of live updates end by it.
#[derive(Clone, Debug, Default)]
pub struct Closing(pub CancellationToken);

impl Peer {
    /// A browser that came in clear.
    pub(super) const fn in_clear(address: SocketAddr) -> Self {
        Self { address, tls: false }
    }

    /// The same browser, once TLS stands.
    pub(super) const fn by_tls(self) -> Self {
        Self { tls: true, ..self }
    }

    /// Whether a request came by TLS.
    pub(super) fn is_secured(extensions: &axum::http::Extensions) -> bool {
        extensions.get::<Self>().is_some_and(|peer| peer.tls)
    }

    /// The address of a request; loopback where there was no connection, as in tests.
    pub(super) fn of(extensions: &axum::http::Extensions) -> IpAddr {
        extensions.get::<Self>().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.address.ip().to_canonical())
    }
}
