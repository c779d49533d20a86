//! TLS on control and data connections. Every control connection has its own configuration with its own store of
//! sessions, so that a data connection that resumes proves to be from the same client (RFC 4217 section 10).

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::server::{ResolvesServerCert, ServerConfig, StoresServerSessions};
use rustls::{
    ConfigBuilder, HandshakeKind, ProtocolVersion, ServerConnection, SupportedProtocolVersion, WantsVerifier,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::metered::{Metered, ReadAhead};
use crate::base::lock::lock;

use crate::access::certificate::{self, Asking, Certificates, ForHost, Served, Shown};
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

/// What every session's TLS begins with; rebuilt when profile or certificates change.
#[derive(Debug)]
pub(super) struct Base {
    builder: ConfigBuilder<ServerConfig, WantsVerifier>,
    served: Arc<Served>,
    /// Whether clients are asked for a certificate.
    asks: bool,
    tickets: usize,
}

impl Base {
    fn new(snapshot: &Snapshot, certificates: &Certificates) -> Result<Self, rustls::Error> {
        let profile = &snapshot.profile;
        let mut versions: Vec<&'static SupportedProtocolVersion> = Vec::new();
        if profile.tls_protocols.tls13 {
            versions.push(&rustls::version::TLS13);
        }
        if profile.tls_protocols.tls12 {
            versions.push(&rustls::version::TLS12);
        }
        let provider = Arc::new(crate::access::certificate::provider());
        Ok(Self {
            builder: ServerConfig::builder_with_provider(provider).with_protocol_versions(&versions)?,
            served: certificates.served(),
            // Only if a partner needs it: some clients ask their user which certificate to use.
            asks: snapshot.asks_for_certificates(),
            tickets: if snapshot.requires_session_reuse() { CONTROL_TICKETS_REQUIRED } else { CONTROL_TICKETS },
        })
    }

    /// The configuration of one control connection. It presents the certificate for the client's HOST, if it said one;
    /// a name in its handshake takes precedence.
    fn config(&self, asking: Option<&Arc<Asking>>, host: Option<&str>) -> ServerConfig {
        let builder = self.builder.clone();
        let builder = match asking {
            Some(asking) => builder.with_client_cert_verifier(Arc::<Asking>::clone(asking)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(self.presenting(host));
        config.send_tls13_tickets = self.tickets;
        // A client that offers another protocol is refused, so that it cannot be misdirected here (ALPACA).
        config.alpn_protocols = vec![b"ftp".to_vec(), b"x-filezilla-ftp".to_vec()];
        config
    }

    fn presenting(&self, host: Option<&str>) -> Arc<dyn ResolvesServerCert> {
        let served = Arc::clone(&self.served);
        match host {
            Some(host) => Arc::new(ForHost::new(served, host.to_owned())),
            None => served,
        }
    }
}

/// What is in force, shared by all sessions; each makes its own configuration of it.
#[derive(Clone, Debug, Default)]
pub struct TlsBase {
    current: Arc<ArcSwapOption<Base>>,
}

impl TlsBase {
    /// Follows configuration and certificates. An impossible one is logged, and the last one stays in force.
    pub(super) fn follow(&self, snapshot: &Snapshot, certificates: &Certificates) {
        match Base::new(snapshot, certificates) {
            Ok(base) => self.current.store(Some(Arc::new(base))),
            Err(error) => tracing::error!(%error, "TLS could not be set up; the last configuration stays in force"),
        }
    }

    /// What is in force now.
    pub(super) fn current(&self) -> Option<Arc<Base>> {
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

/// One control connection's TLS, for its data connections.
#[derive(Clone, Debug)]
pub(super) struct SessionTls {
    to_client: Arc<ServerConfig>,
    from_client: Arc<ServerConfig>,
    store: Arc<Sessions>,
}

/// A control connection behind its handshake.
pub(super) struct Accepted {
    pub session: SessionTls,
    pub secured: TlsStream<Metered>,
    /// The client's certificate.
    pub shown: Shown,
}

impl SessionTls {
    /// Does the handshake on the control connection, with its own store of sessions and its own judge of the client's
    /// certificate. `host` is what the client named before.
    pub(super) async fn accept(base: &Base, host: Option<&str>, stream: Socket) -> io::Result<Accepted> {
        let asking = base.asks.then(certificate::asking);
        let store: Arc<Sessions> = Arc::default();
        let mut control = base.config(asking.as_ref(), host);
        control.session_storage = Arc::<Sessions>::clone(&store);
        let control = Arc::new(control);
        let handshake = TlsAcceptor::from(Arc::clone(&control)).accept(Metered::new(stream, ReadAhead::No));
        let secured = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let connection = secured.get_ref().1;
        let shown = asking.map_or(Shown::Nothing, |asking| asking.shown(connection.peer_certificates()));
        // Data connections go to an address, so that many clients name nobody there: they see the same certificate.
        let presenting = base.presenting(connection.server_name().or(host));
        let session = Self::of(&control, &presenting, store);
        Ok(Accepted { session, secured, shown })
    }

    fn of(control: &ServerConfig, presenting: &Arc<dyn ResolvesServerCert>, store: Arc<Sessions>) -> Self {
        let with = |tickets: usize| {
            let mut config = control.clone();
            config.cert_resolver = Arc::clone(presenting);
            config.send_tls13_tickets = tickets;
            config.alpn_protocols = vec![b"ftp-data".to_vec(), b"ftp".to_vec(), b"x-filezilla-ftp".to_vec()];
            Arc::new(config)
        };
        Self { to_client: with(READ_TICKETS), from_client: with(0), store }
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
            self.store.has_been_resumed.store(true, Ordering::Relaxed);
            sessions.keep();
        }
        Ok(secured)
    }
}

impl SessionTls {
    /// Whether a client whose data connection by this version did not resume had done so before. In TLS 1.3 clients
    /// spend a ticket each time (RFC 8446 appendix C.4), and some keep but one.
    pub(super) fn has_spent(&self, connection: &ServerConnection) -> bool {
        connection.protocol_version() == Some(ProtocolVersion::TLSv1_3)
            && self.store.has_been_resumed.load(Ordering::Relaxed)
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
        (Some(Error::InvalidCertificate(_)), _) => {
            "the client does not have the key of the certificate that it presented"
        }
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
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
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
    has_been_resumed: AtomicBool,
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
