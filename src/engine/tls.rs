//! TLS on control and data connections. Every control connection has its own configuration with its own store of
//! sessions, so that a data connection that resumes proves to be from the same client (RFC 4217 section 10).

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::server::{ServerConfig, StoresServerSessions};
use rustls::{HandshakeKind, ServerConnection, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::metered::{Metered, ReadAhead};
use crate::base::lock::lock;

use crate::access::certificate::{self, Certificates};
use crate::store::live::Snapshot;
use crate::transfer::socket::Socket;

/// The limit of a handshake on the control connection.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// Tickets on the control connection: some clients spend one for each data connection, and uploads never give any.
/// Without a ticket they do a full handshake.
const CONTROL_TICKETS: usize = 8;
/// The same if that may refuse a data connection: hundreds in a row need one each. They cost 60 KiB of memory per
/// session, and 20 KiB on the wire.
const CONTROL_TICKETS_REQUIRED: usize = 250;
/// Tickets on a data connection that the client reads.
const READ_TICKETS: usize = 2;
/// Bytes encrypted before they are written: many records go out in one call.
const DATA_BUFFER_BYTES: usize = 512 * 1024;
/// Sessions of data connections that are kept; the oldest are dropped.
const DATA_SESSIONS_MAX: usize = 64;
/// Sessions of the control connection that are kept.
const CONTROL_SESSIONS_MAX: usize = 256;

/// The initial configuration of control connections; rebuilt when profile or certificates change.
fn base(snapshot: &Snapshot, certificates: &Certificates) -> Result<Arc<ServerConfig>, rustls::Error> {
    let profile = &snapshot.profile;
    let mut versions: Vec<&'static SupportedProtocolVersion> = Vec::new();
    if profile.tls_protocols.tls13 {
        versions.push(&rustls::version::TLS13);
    }
    if profile.tls_protocols.tls12 {
        versions.push(&rustls::version::TLS12);
    }
    let provider = Arc::new(crate::access::certificate::provider());
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&versions)?;
    // Only if a partner needs it: some clients ask their user which certificate to use.
    let builder = if snapshot.asks_for_certificates() {
        builder.with_client_cert_verifier(certificate::asking())
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_cert_resolver(certificates.served());
    config.send_tls13_tickets =
        if snapshot.requires_session_reuse() { CONTROL_TICKETS_REQUIRED } else { CONTROL_TICKETS };
    // A client that offers another protocol is refused, so that it cannot be misdirected here (ALPACA).
    config.alpn_protocols = vec![b"ftp".to_vec(), b"x-filezilla-ftp".to_vec()];
    Ok(Arc::new(config))
}

/// The configuration in force, shared by all sessions; each makes its own copy.
#[derive(Clone, Debug, Default)]
pub struct TlsBase {
    current: Arc<ArcSwapOption<ServerConfig>>,
}

impl TlsBase {
    /// Follows configuration and certificates. An impossible one is logged, and the last one stays in force.
    pub(super) fn follow(&self, snapshot: &Snapshot, certificates: &Certificates) {
        match base(snapshot, certificates) {
            Ok(config) => self.current.store(Some(config)),
            Err(error) => tracing::error!(%error, "TLS could not be set up; the last configuration stays in force"),
        }
    }

    /// The configuration now.
    pub(super) fn current(&self) -> Option<Arc<ServerConfig>> {
        self.current.load_full()
    }
}

/// The direction of a data connection: it decides whether the client will read tickets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// A download or listing.
    Client,
    /// An upload: a client that closes without reading tickets resets the connection and loses its tail.
    Server,
    /// The client does the handshake before its command: it could be an upload.
    Unknown,
}

/// One control connection's TLS.
#[derive(Clone, Debug)]
pub(super) struct SessionTls {
    control: Arc<ServerConfig>,
    to_client: Arc<ServerConfig>,
    from_client: Arc<ServerConfig>,
    store: Arc<Sessions>,
}

impl SessionTls {
    /// Its own copies of the configuration, with one store of sessions.
    pub(super) fn new(base: &ServerConfig) -> Self {
        let store: Arc<Sessions> = Arc::default();
        let with = |tickets: usize, data: bool| {
            let mut config = base.clone();
            config.send_tls13_tickets = tickets;
            config.session_storage = Arc::<Sessions>::clone(&store);
            if data {
                config.alpn_protocols = vec![b"ftp-data".to_vec(), b"ftp".to_vec(), b"x-filezilla-ftp".to_vec()];
            }
            Arc::new(config)
        };
        let (to_client, from_client) = (with(READ_TICKETS, true), with(0, true));
        Self { control: with(base.send_tls13_tickets, false), to_client, from_client, store }
    }

    /// Does the handshake on the control connection.
    pub(super) async fn accept(&self, stream: Socket) -> io::Result<TlsStream<Metered>> {
        let handshake = TlsAcceptor::from(Arc::clone(&self.control)).accept(Metered::new(stream, ReadAhead::No));
        tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Does the handshake on a data connection.
    pub(super) async fn accept_data(
        &self,
        stream: TcpStream,
        reads: Reads,
        timeout: Duration,
    ) -> io::Result<TlsStream<Metered>> {
        let config = match reads {
            Reads::Client => &self.to_client,
            Reads::Server | Reads::Unknown => &self.from_client,
        };
        let sessions = Arc::new(OfDataConnection { known: Arc::clone(&self.store), made: Mutex::default() });
        let mut config = ServerConfig::clone(config);
        config.session_storage = Arc::<OfDataConnection>::clone(&sessions);
        let ahead = if reads == Reads::Client { ReadAhead::No } else { ReadAhead::Yes };
        let handshake =
            TlsAcceptor::from(Arc::new(config)).accept_with(Metered::new(stream.into(), ahead), |connection| {
                connection.set_buffer_limit(Some(DATA_BUFFER_BYTES));
            });
        let secured =
            tokio::time::timeout(timeout, handshake).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if is_resumed(secured.get_ref().1) {
            sessions.keep();
        }
        Ok(secured)
    }
}

/// Why a handshake failed, in words for the administrator.
pub(super) fn explain(error: &io::Error) -> String {
    use rustls::{AlertDescription, Error, InvalidMessage};
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let words = match (inner, error.kind()) {
        (Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)), _) => {
            "the client spoke in clear, or another protocol, where TLS was to begin"
        }
        (Some(Error::PeerIncompatible(_)), _) => "client and server have no TLS version or cipher in common",
        (
            Some(Error::AlertReceived(
                AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateExpired,
            )),
            _,
        ) => "the client does not trust the certificate",
        (Some(Error::AlertReceived(AlertDescription::ProtocolVersion)), _) => "the client wants another version of TLS",
        (Some(Error::NoApplicationProtocol), _) => "the client offered another protocol than FTP",
        (None, io::ErrorKind::TimedOut) => "it was not done in time",
        (None, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
            "the client closed the connection in the middle of it"
        }
        _ => return error.to_string(),
    };
    format!("{words} ({error})")
}

/// `TLS 1.3, TLS13_AES_256_GCM_SHA384`.
pub(super) fn describe(connection: &ServerConnection) -> String {
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        _ => "TLS 1.2",
    };
    let cipher = connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())).unwrap_or_default();
    format!("{version}, {cipher}")
}

/// Whether a data connection resumed a session of its own control connection.
pub(super) fn is_resumed(connection: &ServerConnection) -> bool {
    connection.handshake_kind() == Some(HandshakeKind::Resumed)
}

/// Sessions of one control connection and its data connections. `take` does not remove: clients resume the same session
/// for each of their data connections. 0-RTT is off, so a replay gains nothing.
#[derive(Debug, Default)]
struct Sessions {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    sessions: HashMap<Vec<u8>, Vec<u8>>,
    control: VecDeque<Vec<u8>>,
    data: VecDeque<Vec<u8>>,
}

impl Sessions {
    fn keep(&self, key: Vec<u8>, value: Vec<u8>, of_data: bool) -> bool {
        let mut kept = lock(&self.kept);
        let Kept { sessions, control, data } = &mut *kept;
        let (ring, max) = if of_data { (data, DATA_SESSIONS_MAX) } else { (control, CONTROL_SESSIONS_MAX) };
        if ring.len() >= max
            && let Some(oldest) = ring.pop_front()
        {
            sessions.remove(&oldest);
        }
        ring.push_back(key.clone());
        sessions.insert(key, value);
        true
    }

    fn find(&self, key: &[u8]) -> Option<Vec<u8>> {
        lock(&self.kept).sessions.get(key).cloned()
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.keep(key, value, false)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.find(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.find(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// The same store, as used by one data connection. A session it makes is kept only if it resumed one itself: otherwise
/// a stranger whose full handshake was refused could resume that session, and pass for the client.
#[derive(Debug)]
struct OfDataConnection {
    known: Arc<Sessions>,
    made: Mutex<Vec<(Vec<u8>, Vec<u8>)>>,
}

impl OfDataConnection {
    fn keep(&self) {
        for (key, value) in lock(&self.made).drain(..) {
            self.known.keep(key, value, true);
        }
    }
}

impl StoresServerSessions for OfDataConnection {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        lock(&self.made).push((key, value));
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.known.find(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.known.find(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_connections_sessions_outlive_those_of_data_connections() {
        let store: Arc<Sessions> = Arc::default();
        store.put(b"control".to_vec(), b"secret".to_vec());
        let other = OfDataConnection { known: Arc::clone(&store), made: Mutex::default() };
        other.put(b"full handshake".to_vec(), Vec::new());
        drop(other);
        for n in 0..200_u32 {
            let data = OfDataConnection { known: Arc::clone(&store), made: Mutex::default() };
            data.put(n.to_be_bytes().to_vec(), Vec::new());
            assert_eq!(store.get(&n.to_be_bytes()), None, "not before it is known to have resumed");
            data.keep();
        }
        assert_eq!(store.take(b"control"), Some(b"secret".to_vec()));
        assert_eq!(store.take(b"control"), Some(b"secret".to_vec()));
        assert_eq!(store.get(b"full handshake"), None);
        assert_eq!(store.get(&0_u32.to_be_bytes()), None);
        assert!(store.get(&199_u32.to_be_bytes()).is_some());
    }
}
