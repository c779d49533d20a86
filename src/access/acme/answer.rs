//! Answers the authority when it verifies that a host name leads here: only while an order runs, and nothing else.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use instant_acme::KeyAuthorization;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use crate::access::certificate::{KeyDer, provider, signer};
use crate::domain::value::AcmeChallenge;

/// The path of HTTP-01 requests (RFC 8555, section 8.3).
const WELL_KNOWN: &str = "/.well-known/acme-challenge/";
/// The protocol that TLS-ALPN-01 asks for in its handshake (RFC 8737, section 3).
const ALPN: &[u8] = b"acme-tls/1";
/// How long a request may take.
const WITHIN: Duration = Duration::from_secs(10);
/// Connections at a time: authorities check from a handful of places.
const CONNECTIONS_MAX: usize = 64;

/// The answers.
#[derive(Debug)]
pub(super) enum Answers {
    /// By token.
    Http(HashMap<String, Bytes>),
    /// By host name.
    Tls(HashMap<String, Arc<CertifiedKey>>),
}

impl Answers {
    pub fn new(challenge: AcmeChallenge) -> Self {
        match challenge {
            AcmeChallenge::Http01 => Self::Http(HashMap::new()),
            AcmeChallenge::TlsAlpn01 => Self::Tls(HashMap::new()),
        }
    }

    /// Adds the answer for one host name.
    pub fn add(&mut self, host: &str, token: &str, key: &KeyAuthorization) -> Result<(), String> {
        match self {
            Self::Http(answers) => {
                answers.insert(token.to_owned(), Bytes::copy_from_slice(key.as_str().as_bytes()));
            }
            Self::Tls(answers) => {
                let certificate = certificate(host, key.digest().as_ref()).map_err(|error| error.to_string())?;
                answers.insert(host.to_ascii_lowercase(), Arc::new(certificate));
            }
        }
        Ok(())
    }

    /// Answers at `at` until the returned handle is dropped.
    pub async fn give(self, at: SocketAddr) -> Result<AbortOnDropHandle<()>, String> {
        let listener = TcpListener::bind(at).await.map_err(|error| {
            format!(
                "The authority can't be answered on {at}: {error}. Free that port, allow it to this program, or have \
                 another led on to it"
            )
        })?;
        Ok(AbortOnDropHandle::new(match self {
            Self::Http(answers) => {
                let answers = Arc::new(answers);
                tokio::spawn(listen(listener, move |stream| over_http(stream, Arc::clone(&answers))))
            }
            Self::Tls(answers) => {
                let acceptor = acceptor(answers).map_err(|error| error.to_string())?;
                tokio::spawn(listen(listener, move |stream| over_tls(stream, acceptor.clone())))
            }
        }))
    }
}

/// Accepts connections, a bounded number at a time.
async fn listen<F: Future<Output = ()> + Send + 'static>(listener: TcpListener, answer: impl Fn(TcpStream) -> F) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut running = tokio::task::JoinSet::new();
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        while running.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let answering = answer(stream);
                running.spawn(async move {
                    // Slow connections are dropped.
                    drop(tokio::time::timeout(WITHIN, answering).await);
                    drop(place);
                });
            }
            // Most likely out of file handles: that passes.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn over_http(stream: TcpStream, answers: Arc<HashMap<String, Bytes>>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = request.uri().path().strip_prefix(WELL_KNOWN).and_then(|token| answers.get(token).cloned());
        async move { Ok::<_, Infallible>(response(answer)) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(WITHIN).keep_alive(false);
    // An error means that the client went away.
    drop(server.serve_connection(TokioIo::new(stream), service).await);
}

fn response(answer: Option<Bytes>) -> Response<Full<Bytes>> {
    let (status, body) = match answer {
        Some(answer) => (StatusCode::OK, answer),
        None => (StatusCode::NOT_FOUND, Bytes::new()),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
}

async fn over_tls(stream: TcpStream, acceptor: TlsAcceptor) {
    // The handshake is all that matters (RFC 8737, section 3).
    drop(acceptor.accept(stream).await);
}

fn acceptor(answers: HashMap<String, Arc<CertifiedKey>>) -> Result<TlsAcceptor, rustls::Error> {
    let config = ServerConfig::builder_with_provider(Arc::new(provider())).with_safe_default_protocol_versions()?;
    let mut config = config.with_no_client_auth().with_cert_resolver(Arc::new(ByName(answers)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

struct ByName(HashMap<String, Arc<CertifiedKey>>);

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ByName").field(&self.0.keys()).finish()
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // A handshake that does not ask for the protocol must not see the certificate (RFC 8737, section 4).
        hello.alpn()?.find(|protocol| *protocol == ALPN)?;
        self.0.get(&hello.server_name()?.to_ascii_lowercase()).cloned()
    }
}

/// A certificate that contains only the answer (RFC 8737, section 3).
fn certificate(host: &str, digest: &[u8]) -> Result<CertifiedKey, Box<dyn std::error::Error>> {
    let mut params = CertificateParams::new(vec![host.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let pair = KeyPair::generate()?;
    let certificate = params.self_signed(&pair)?;
    let key = signer(&KeyDer::new(pair.serialize_der())).ok_or("its key can't be used")?;
    // Its extension is critical, and unknown to certificate checks: rustls must not look into it.
    Ok(CertifiedKey::new(vec![certificate.into()], key))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn free() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    async fn ask(at: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn only_the_token_is_answered_and_only_while_the_order_runs() {
        let at = free().await;
        let answers = HashMap::from([("token".to_owned(), Bytes::from_static(b"token.thumbprint"))]);
        let answering = Answers::Http(answers).give(at).await.unwrap();
        for (path, status, body) in [
            ("/.well-known/acme-challenge/token", "200 OK", "token.thumbprint"),
            ("/.well-known/acme-challenge/other", "404 Not Found", ""),
            ("/.well-known/acme-challenge/../token", "404 Not Found", ""),
            ("/", "404 Not Found", ""),
        ] {
            let answer = ask(at, &format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n")).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.ends_with(&format!("\r\n\r\n{body}")));
        }
        let taken = Answers::Http(HashMap::new()).give(at).await.unwrap_err();
        assert!(taken.starts_with(&format!("The authority can't be answered on {at}: ")), "{taken}");
        drop(answering);
        let mut gone = false;
        for _ in 0..100 {
            gone = TcpStream::connect(at).await.is_err();
            if gone {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(gone, "nobody listens any more");
    }
}
