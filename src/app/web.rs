//! Opens the web interface and announces its address, and the one-time code while there is no administrator.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::access::backup::Backups;
use crate::access::programs::Programs;
use crate::access::restart::Restart;
use crate::access::secrets::Secrets;
use crate::base::app_log::AppLog;
use crate::cli::ServeOptions;
use crate::engine::Engine;
use crate::store::administrator;
use crate::store::listener::{self, Listener, ListenerState, State};
use crate::web::{Clear, Https, Parts, SetupCode, WebState, router, serve};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What pages can reach beside the engine.
pub(super) struct Handed {
    /// The last lines of the log.
    pub app_log: AppLog,
    /// The programs for Command connectors.
    pub programs: Programs,
    /// Makes, reads and puts back backups.
    pub backups: Backups,
    /// Makes the appliance begin anew.
    pub restart: Restart,
}

/// Starts serving pages. In clear it listens only on a loopback address, unless explicitly allowed: whatever the
/// setting says, now or in a backup that was put back, there is a page to correct it on.
pub(super) async fn start(
    options: &ServeOptions,
    engine: &Engine,
    (stop, handed): (CancellationToken, Handed),
) -> Result<JoinHandle<()>, Failure> {
    let wish = options.web;
    let clear =
        if wish.ip().to_canonical().is_loopback() || options.web_plain { Clear::Allowed } else { Clear::Forbidden };
    let https = Https::new(engine.live.clone());
    https.apply(&engine.certificates, clear);
    if clear == Clear::Forbidden && https.current().is_none() {
        return Err(format!(
            "The web interface would be reached at {wish} without encryption. Keep it on this machine (--web \
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
        admission: engine.admission.clone(),
        secrets: Secrets::open(depot.db.clone(), &options.data).await?,
        certificates: engine.certificates.clone(),
        backups: handed.backups,
        ports: engine.ports.clone(),
        presence: engine.presence.clone(),
        clock: depot.clock.clone(),
        ids: depot.ids.clone(),
        setup_code: setup_code.clone(),
        app_log: handed.app_log,
        programs: handed.programs,
        restart: handed.restart,
        clear,
    };
    let app = router(WebState::new(parts));
    announce(engine, (scheme(&https), address), &setup_code).await?;
    let db = depot.db.clone();
    let state = ListenerState {
        state: State::Listening,
        address: address.to_string(),
        message: String::new(),
        since: depot.clock.now(),
        followed_version: engine.live.snapshot().version,
    };
    listener::put(&db, Listener::Web, &state).await?;
    let following = tokio::spawn(https.clone().follow(engine.certificates.clone(), clear));
    Ok(tokio::spawn(async move {
        serve(listener, https, app, stop).await;
        following.abort();
        let stopped = ListenerState { state: State::Stopped, address: String::new(), ..state };
        if let Err(error) = listener::put(&db, Listener::Web, &stopped).await {
            tracing::error!(%error, "Could not write the listener state");
        }
    }))
}

fn scheme(https: &Https) -> &'static str {
    if https.current().is_some() { "https" } else { "http" }
}

/// Prints the address of the pages on standard output: it is the one thing a newcomer looks for. If nobody can read it
/// there (the disk is full, the reader has gone), the appliance runs all the same.
async fn announce(
    engine: &Engine,
    (scheme, address): (&str, SocketAddr),
    setup_code: &SetupCode,
) -> Result<(), Failure> {
    let address = format!("{scheme}://{address}/");
    let is_first = administrator::count(&engine.depot.db).await? == 0;
    let code = if is_first {
        let code = setup_code.printed();
        format!("Set-up code:   {code} (for the first administrator, valid until this process ends)\n")
    } else {
        String::new()
    };
    if let Err(error) = print(&format!("Web interface: {address}\n{code}")) {
        // The code is a secret: the log never has it.
        let code = if is_first { ", nor could the set-up code: for another, start again" } else { "" };
        tracing::warn!(%error, "The web interface answers at {address}: that could not be printed{code}");
    }
    Ok(())
}

fn print(text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}
