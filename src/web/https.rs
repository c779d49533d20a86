//! HTTPS of the web interface: on or off by a setting, with certificates of the store, swapped live. Existing
//! connections keep what they began with.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use rustls::server::ServerConfig;
use tokio::net::TcpStream;

use super::layers::{authority, host_name, unknown_host};
use crate::access::certificate::{Certificates, Served, provider};
use crate::store::live::Live;

/// The first byte of a TLS connection: a handshake record (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// Whether the pages may be read in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clear {
    /// On this machine only, or with `--web-plain`.
    Allowed,
    /// Never: HTTPS stays on whatever the setting says.
    Forbidden,
}

/// The TLS configuration of new connections; cheap to clone.
#[derive(Clone, Debug)]
pub struct Https {
    current: Arc<ArcSwapOption<ServerConfig>>,
    live: Live,
}

impl Https {
    /// In clear, until the settings are applied.
    pub fn new(live: Live) -> Self {
        Self { current: Arc::default(), live }
    }

    /// TLS for a new connection; `None`: in clear.
    pub fn current(&self) -> Option<Arc<ServerConfig>> {
        self.current.load_full()
    }

    /// Applies the present settings and certificates.
    pub fn apply(&self, certificates: &Certificates, clear: Clear) {
        let wanted = self.live.snapshot().appliance.web_https;
        if !wanted && clear == Clear::Forbidden {
            tracing::warn!(
                "The web interface stays with HTTPS although web_https is off: it is reached from other machines. Turn it on \
                 (waybill settings set web_https=on), keep it on this machine (--web 127.0.0.1:8020), or say --web-plain if \
                 something in front of it encrypts"
            );
        }
        if !wanted && clear == Clear::Allowed {
            return self.current.store(None);
        }
        match configuration(certificates.served_to_browsers()) {
            Ok(config) => self.current.store(Some(Arc::new(config))),
            Err(error) => tracing::error!(%error, "HTTPS could not be set up; the last configuration stays in force"),
        }
    }

    /// Follows settings and certificates, for ever.
    pub async fn follow(self, certificates: Certificates, clear: Clear) {
        let mut changes = self.live.watch();
        while changes.changed().await.is_ok() {
            match certificates.refresh().await {
                Ok(()) => self.apply(&certificates, clear),
                Err(error) => tracing::error!(%error, "Could not read the certificates; the last ones stay in force"),
            }
        }
    }

    /// The answer to a browser that comes in clear although HTTPS is on.
    pub(super) fn elsewhere(&self) -> Router {
        Router::new().fallback(to_https).with_state(self.live.clone())
    }
}

fn configuration(served: Arc<Served>) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(served);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Whether the browser begins with TLS; an error if it is gone before its first byte.
pub(super) async fn begins_with_tls(stream: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0];
    match stream.peek(&mut first).await? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(first[0] == TLS_HANDSHAKE),
    }
}

/// The same page over HTTPS, under one of this server's names: a foreign one would lead its reader away.
async fn to_https(State(live): State<Live>, request: Request) -> Response {
    let asked = authority(&request);
    let host = host_name(&asked);
    if !asked.is_empty() && !live.snapshot().appliance.answers_to(&host) {
        return (StatusCode::MISDIRECTED_REQUEST, unknown_host(&host) + "\n").into_response();
    }
    let path = request.uri().path_and_query().map_or("/", axum::http::uri::PathAndQuery::as_str);
    match HeaderValue::from_str(&format!("https://{asked}{path}")) {
        Ok(place) if !asked.is_empty() && path.starts_with('/') => {
            (StatusCode::PERMANENT_REDIRECT, [(LOCATION, place)]).into_response()
        }
        _ => (StatusCode::BAD_REQUEST, "This is HTTPS: begin the address with https://\n").into_response(),
    }
}
