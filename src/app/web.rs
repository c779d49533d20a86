//! Opens the web interface and says where it is, and the one-time code while nobody administers it.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cli::ServeOptions;
use crate::engine::Engine;
use crate::store::administrator;
use crate::store::listener::{self, Listener, ListenerState, State};
use crate::web::{Parts, SetupCode, WebState, router, serve};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Begins to serve pages. In clear it listens on a loopback address only, unless that was said aloud.
pub(super) async fn start(
    options: &ServeOptions,
    engine: &Engine,
    stop: CancellationToken,
) -> Result<JoinHandle<()>, Failure> {
    let wish = options.web;
    if !wish.ip().is_loopback() && !options.web_plain {
        return Err(format!(
            "The web interface would be reachable at {wish} without encryption. Use a loopback address (--web \
             127.0.0.1:8020), or say --web-plain if something in front of it encrypts"
        )
        .into());
    }
    let listener = TcpListener::bind(wish)
        .await
        .map_err(|error| format!("The web interface could not listen on {wish}: {error}. Choose another with --web"))?;
    let address = listener.local_addr()?;
    let depot = &engine.depot;
    let setup_code = SetupCode::new();
    let parts = Parts {
        depot: depot.clone(),
        db: depot.db.clone(),
        live: engine.live.clone(),
        recorder: depot.recorder.clone(),
        gate: engine.gate.clone(),
        certificates: engine.certificates.clone(),
        presence: engine.presence.clone(),
        clock: depot.clock.clone(),
        ids: depot.ids.clone(),
        setup_code: setup_code.clone(),
        address,
        tls: false,
    };
    let app = router(WebState::new(parts));
    announce(engine, address, &setup_code).await?;
    let db = depot.db.clone();
    let state = ListenerState {
        state: State::Listening,
        address: address.to_string(),
        message: String::new(),
        since: depot.clock.now(),
        followed_version: engine.live.snapshot().version,
    };
    listener::put(&db, Listener::Web, &state).await?;
    Ok(tokio::spawn(async move {
        serve(listener, None, app, stop).await;
        let stopped = ListenerState { state: State::Stopped, address: String::new(), ..state };
        if let Err(error) = listener::put(&db, Listener::Web, &stopped).await {
            tracing::error!(%error, "Could not write the listener state");
        }
    }))
}

/// Tells where the pages are, on standard output: it is the one thing a newcomer looks for.
async fn announce(engine: &Engine, address: SocketAddr, setup_code: &SetupCode) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut out = std::io::stdout();
    writeln!(out, "Web interface: http://{address}/")?;
    if administrator::count(&engine.depot.db).await? == 0 {
        writeln!(
            out,
            "Set-up code:   {} (for the first administrator, valid until this process ends)",
            setup_code.printed()
        )?;
    }
    out.flush()?;
    Ok(())
}
