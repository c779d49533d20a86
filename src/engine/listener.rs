//! The FTP listener: binds as the profile wishes, accepts, admits; rebinds live. The outcome is the listener state, in
//! words; an unavailable port is never a crash.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bind_error;
use super::doors::{Doors, Wish};
use super::reception::{self, Reception};
use super::{DRAIN_FOR, Engine};
use crate::domain::event::EventKind;
use crate::domain::value::FtpOverTls;
use crate::store::event::Event;
use crate::store::listener::{self, Listener, ListenerState, State};
use crate::store::live::Snapshot;

/// A wish that could not be met is retried this often.
const RETRY_EVERY: Duration = Duration::from_secs(5);

/// How long sessions may take to end in an immediate stop.
const LAST_SESSIONS_WITHIN: Duration = Duration::from_secs(5);

/// The signals that stop the engine.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// No new sessions; transfers may finish.
    pub drain: CancellationToken,
    /// Stop now.
    pub now: CancellationToken,
}

/// The FTP listener and its sessions.
#[derive(Debug)]
pub struct Listeners {
    engine: Engine,
    stop: Stop,
    sessions: TaskTracker,
    reception: Reception,
    doors: Doors,
    /// The last wish that was answered: the main door and the one beside it.
    answered: Option<(Wish, Option<Wish>)>,
    failed: bool,
}

impl Listeners {
    /// Nothing is bound yet.
    pub fn new(engine: Engine, stop: Stop) -> Self {
        let sessions = TaskTracker::new();
        let reception = Reception::new(engine.clone(), stop.clone(), sessions.clone());
        Self { engine, stop, sessions, reception, doors: Doors::default(), answered: None, failed: false }
    }

    /// Listens until stopped; returns when every session has ended.
    pub async fn run(mut self) {
        let mut changes = self.engine.live.watch();
        self.follow().await;
        loop {
            tokio::select! {
                biased;
                () = self.stop.drain.cancelled() => break,
                (accepted, implicit) = self.doors.accept() => self.receive(accepted, implicit).await,
                _ = changes.changed() => self.follow().await,
                () = tokio::time::sleep(RETRY_EVERY), if self.failed => self.retry().await,
            }
        }
        self.doors.shut();
        self.state(State::Stopped, String::new(), String::new()).await;
        self.sessions.close();
        let in_order = tokio::select! {
            () = self.sessions.wait() => true,
            () = self.stop.now.cancelled() => false,
            () = tokio::time::sleep(DRAIN_FOR) => false,
        };
        if !in_order {
            self.stop.now.cancel();
            // Aborted transfers still keep and record what arrived.
            let _ = tokio::time::timeout(LAST_SESSIONS_WITHIN, self.sessions.wait()).await;
        }
    }

    async fn retry(&mut self) {
        self.answered = None;
        self.follow().await;
    }

    /// Brings the listener to where the profile wants it. The new port is bound before the old one is closed.
    async fn follow(&mut self) {
        let snapshot = self.engine.live.snapshot();
        if let Err(error) = self.engine.certificates.refresh().await {
            tracing::error!(%error, "Could not read the certificates; the last ones stay in force");
        }
        self.engine.tls.follow(&snapshot, &self.engine.certificates);
        let at =
            |port, implicit| Wish { address: SocketAddr::new(snapshot.profile.listen_address.ip(), port), implicit };
        let implicit = snapshot.profile.ftp_over_tls == FtpOverTls::Implicit;
        let main = at(snapshot.profile.port.port(), implicit);
        let beside = snapshot.profile.explicit_port.filter(|_| implicit).map(|port| at(port.port(), false));
        if self.answered == Some((main, beside)) {
            return self.followed(&snapshot).await;
        }
        self.answered = Some((main, beside));
        let before = self.doors.address();
        match self.doors.follow(main, beside) {
            Ok(()) => {
                self.failed = false;
                let address = self.doors.address();
                if address != before {
                    tracing::info!(listener.address = address, "FTP server listening on {address}");
                }
                self.state(State::Listening, address, String::new()).await;
            }
            Err((address, error)) => self.could_not(&error, address).await,
        }
    }

    async fn could_not(&mut self, error: &io::Error, wish: SocketAddr) {
        let first = !self.failed;
        self.failed = true;
        let message = bind_error::explain(error, wish);
        if first {
            tracing::error!(listener.address = %wish, "Could not listen: {message}");
        }
        let address = self.doors.address();
        self.state(State::CouldNotBind, address, message).await;
    }

    /// The wish is unchanged: only records the version that was followed.
    async fn followed(&self, snapshot: &Snapshot) {
        let state = match listener::get(&self.engine.depot.db, Listener::Ftp).await {
            Ok(state) => ListenerState { followed_version: snapshot.version, ..state },
            Err(error) => return tracing::error!(%error, "Could not read the listener state"),
        };
        if let Err(error) = listener::put(&self.engine.depot.db, Listener::Ftp, &state).await {
            tracing::error!(%error, "Could not write the listener state");
        }
    }

    async fn state(&self, state: State, address: String, message: String) {
        let depot = &self.engine.depot;
        let now = depot.clock.now();
        let before = listener::get(&depot.db, Listener::Ftp).await.ok();
        let same = before
            .as_ref()
            .is_some_and(|before| (before.state, &before.address, &before.message) == (state, &address, &message));
        let since = before.filter(|_| same).map_or(now, |before| before.since);
        let summary = match state {
            State::Listening => format!("FTP server listening on {address}"),
            State::Stopped => "FTP server stopped".to_owned(),
            State::CouldNotBind => format!("FTP server could not listen: {message}"),
        };
        let new =
            ListenerState { state, address, message, since, followed_version: self.engine.live.snapshot().version };
        if let Err(error) = listener::put(&depot.db, Listener::Ftp, &new).await {
            tracing::error!(%error, "Could not write the listener state");
        }
        if !same {
            let kind = match state {
                State::CouldNotBind => EventKind::ListenerNotBound,
                State::Listening | State::Stopped => EventKind::ListenerChanged,
            };
            depot.recorder.event(Event::new(&depot.ids, kind, now, summary)).await;
        }
    }

    async fn receive(&self, accepted: io::Result<(TcpStream, SocketAddr)>, implicit: bool) {
        match accepted {
            Ok((stream, from)) => self.reception.receive(stream, from, implicit),
            Err(error) => reception::not_accepted(&error).await,
        }
    }
}
