//! The accept loop of the web interface: a cap on connections, a timer on headers, TLS if enabled, an orderly end. The
//! stock server of axum has neither cap nor timer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use rustls::server::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::crowd::{Crowd, Place};
use super::https::{Https, begins_with_tls};
use super::state::{Closing, Peer};

/// Browsers' connections at a time.
pub const CONNECTIONS_MAX: usize = 512;
/// A request's headers must arrive within this time.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
/// A TLS handshake must finish within this time.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// How long requests may continue after a stop was requested.
const DRAIN_FOR: Duration = Duration::from_secs(5);

/// Serves until `stop`, then lets requests finish for a moment.
pub async fn serve(listener: TcpListener, https: Https, app: Router, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let crowd = Crowd::default();
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accept(&listener, (&permits, &crowd)) => accepted,
        };
        let Some((stream, peer, places)) = accepted else { continue };
        let (app, tls, watcher) = (app.clone(), https.current(), graceful.watcher());
        let elsewhere = https.elsewhere();
        let marks = (Peer::in_clear(peer), Closing(stop.clone()));
        tokio::spawn(async move {
            let _places = places;
            match tls {
                None => connection(stream, (marks, app), watcher).await,
                Some(config) => secured(stream, (marks, config), (app, elsewhere), watcher).await,
            }
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(DRAIN_FOR, graceful.shutdown()).await;
}

async fn accept(
    listener: &TcpListener,
    (permits, crowd): (&Arc<Semaphore>, &Crowd),
) -> Option<(TcpStream, SocketAddr, (OwnedSemaphorePermit, Place))> {
    // A place first: connections above the cap wait in the kernel's queue.
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            let place = crowd.join(peer.ip())?;
            let _ = stream.set_nodelay(true);
            Some((stream, peer, (permit, place)))
        }
        Err(error) => {
            tracing::warn!(%error, "The web interface could not accept a connection");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

/// One port for both: a browser that comes in clear is redirected to HTTPS.
async fn secured(
    stream: TcpStream,
    (marks, config): ((Peer, Closing), Arc<ServerConfig>),
    (app, elsewhere): (Router, Router),
    watcher: Watcher,
) {
    match tokio::time::timeout(HANDSHAKE_WITHIN, begins_with_tls(&stream)).await {
        Ok(Ok(true)) => {
            let handshake = TlsAcceptor::from(config).accept(stream);
            if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_WITHIN, handshake).await {
                connection(stream, ((marks.0.by_tls(), marks.1), app), watcher).await;
            }
        }
        Ok(Ok(false)) => connection(stream, (marks, elsewhere), watcher).await,
        Ok(Err(_)) | Err(_) => {}
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ((peer, closing), app): ((Peer, Closing), Router),
    watcher: Watcher,
) {
    let service = app.map_request(move |request: Request<Incoming>| {
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(closing.clone());
        request
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(100);
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    // A browser that goes away in the middle is nothing unusual.
    let _ = watcher.watch(served.into_owned()).await;
}
