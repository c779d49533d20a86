//! Receives clients from the listener: whom a balancer speaks for, whether there is room, then the session itself. A
//! connection for which there is no room hears why and is closed.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::Engine;
use super::control::{Arrival, Control};
use super::listener::Stop;
use super::proxy::{self, ProxyError};
use crate::access::admission::Limits;
use crate::base::id::RefusalId;
use crate::domain::refusal::Rule;
use crate::ftp::reply::{Code, Reply};
use crate::store::live::Snapshot;
use crate::store::refusal::Refusal;

/// Connections of balancers whose PROXY header has not arrived yet.
const HEADERS_MAX: usize = 1_024;
/// How long a refused connection may take to hear why.
const TURNED_AWAY_WITHIN: Duration = Duration::from_secs(1);

const TOO_MANY: &str = "Too many connections; please try again later.";

/// Receives connections; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Reception {
    engine: Engine,
    stop: Stop,
    sessions: TaskTracker,
    headers: Arc<Semaphore>,
}

impl Reception {
    /// Sessions are tracked by `sessions`.
    pub(super) fn new(engine: Engine, stop: Stop, sessions: TaskTracker) -> Self {
        Self { engine, stop, sessions, headers: Arc::new(Semaphore::new(HEADERS_MAX)) }
    }

    /// Never waits for the client. `implicit`: TLS begins with the first byte, as the client's door was opened for; the
    /// profile may wish for another that could not be opened yet.
    pub(super) fn receive(&self, stream: TcpStream, from: SocketAddr, implicit: bool) {
        let snapshot = self.engine.live.snapshot();
        let remote = from.ip().to_canonical();
        if !snapshot.is_balancer(remote) {
            return self.admit(stream, remote, (implicit, &snapshot));
        }
        let Ok(permit) = Arc::clone(&self.headers).try_acquire_owned() else {
            let said = (&*format!("421 {TOO_MANY}"), "too many PROXY headers are awaited");
            self.refuse(Rule::TooManyNotLoggedIn, remote, said);
            self.sessions.spawn(turn_away(stream));
            return;
        };
        let this = self.clone();
        self.sessions.spawn(async move {
            let read = this.announced(stream, remote).await;
            drop(permit);
            if let Some((stream, client)) = read {
                this.admit(stream, client, (implicit, &this.engine.live.snapshot()));
            }
        });
    }

    /// The client that a balancer speaks for.
    async fn announced(&self, mut stream: TcpStream, balancer: IpAddr) -> Option<(TcpStream, IpAddr)> {
        match proxy::read(&mut stream).await {
            Ok(client) => Some((stream, client.unwrap_or(balancer))),
            // Only a health check.
            Err(ProxyError::Gone) => None,
            Err(error) => {
                self.refuse(Rule::ProxyHeader, balancer, ("", &error.to_string()));
                None
            }
        }
    }

    fn admit(&self, stream: TcpStream, remote: IpAddr, (implicit, snapshot): (bool, &Snapshot)) {
        let limits = Limits::of(&snapshot.profile);
        match self.engine.admission.enter(remote, &limits) {
            Ok(slot) => {
                match Control::new(self.engine.clone(), Arrival { stream, remote, slot, implicit }, self.stop.clone()) {
                    Ok(control) => drop(self.sessions.spawn(control.serve())),
                    Err(error) => tracing::debug!(%error, "A connection was gone before it began"),
                }
            }
            Err(rule) => {
                self.refuse(rule, remote, (&format!("421 {TOO_MANY}"), ""));
                self.sessions.spawn(turn_away(stream));
            }
        }
    }

    fn refuse(&self, rule: Rule, remote: IpAddr, (reply, detail): (&str, &str)) {
        let depot = &self.engine.depot;
        let now = depot.clock.now();
        depot.recorder.refusal(Refusal {
            id: RefusalId::new(&depot.ids),
            rule,
            connector: String::new(),
            remote: remote.to_string(),
            command: String::new(),
            reply: reply.to_owned(),
            detail: detail.to_owned(),
            transcript: String::new(),
            session_id: String::new(),
            first_at: now,
            last_at: now,
            times: 1,
            folder: String::new(),
        });
    }
}

/// Continues after a failed accept: mostly out of file handles, and a pause lets some come back.
pub(super) async fn not_accepted(error: &io::Error) {
    tracing::warn!(%error, "Could not accept a connection");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

async fn turn_away(mut stream: TcpStream) {
    let wire = Reply::new(Code::ClosingControl, TOO_MANY).to_wire(|text| text.as_bytes().to_vec());
    let _ = tokio::time::timeout(TURNED_AWAY_WITHIN, stream.write_all(&wire)).await;
}
