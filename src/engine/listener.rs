//! The FTP listener: bind as the profile wishes, accept, admit; rebind live. What became of the wish is the listener
//! state, in words; a port that cannot be had is never a crash.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bind_error;
use super::reception::{self, Door, Reception};
use super::{DRAIN_FOR, Engine};
use crate::domain::event::EventKind;
use crate::domain::value::FtpOverTls;
use crate::store::event::Event;
use crate::store::listener::{self, Listener, ListenerState, State};
use crate::store::live::Snapshot;

/// A wish that could not be met is tried again this often.
const RETRY_EVERY: Duration = Duration::from_secs(5);
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;

/// How the engine is asked to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// No new sessions; transfers may finish.
    pub drain: CancellationToken,
    /// Now.
    pub now: CancellationToken,
}

/// The FTP listener and its sessions.
#[derive(Debug)]
pub struct Listeners {
    engine: Engine,
    stop: Stop,
    sessions: TaskTracker,
    reception: Reception,
    /// The main listener.
    bound: Option<(SocketAddr, TcpListener)>,
    /// The Explicit listener beside an Implicit one.
    beside: Option<(SocketAddr, TcpListener)>,
    /// The wish that was answered last: the main address and the one beside it.
    answered: Option<(SocketAddr, Option<SocketAddr>)>,
    failed: bool,
}

impl Listeners {
    /// Nothing is bound yet.
    pub fn new(engine: Engine, stop: Stop) -> Self {
        let sessions = TaskTracker::new();
        let reception = Reception::new(engine.clone(), stop.clone(), sessions.clone());
        Self { engine, stop, sessions, reception, bound: None, beside: None, answered: None, failed: false }
    }

    /// Listens until stopped; returns when every session has ended.
    pub async fn run(mut self) {
        let mut changes = self.engine.live.watch();
        self.follow().await;
        loop {
            tokio::select! {
                biased;
                () = self.stop.drain.cancelled() => break,
                accepted = accept(self.bound.as_ref()) => self.receive(accepted, Door::Main).await,
                accepted = accept(self.beside.as_ref()) => self.receive(accepted, Door::Beside).await,
                _ = changes.changed() => self.follow().await,
                () = tokio::time::sleep(RETRY_EVERY), if self.failed => self.retry().await,
            }
        }
        (self.bound, self.beside) = (None, None);
        self.state(State::Stopped, String::new(), String::new()).await;
        self.sessions.close();
        if tokio::time::timeout(DRAIN_FOR, self.sessions.wait()).await.is_err() {
            self.stop.now.cancel();
            // Aborted transfers still keep and record what arrived.
            let _ = tokio::time::timeout(Duration::from_secs(5), self.sessions.wait()).await;
        }
    }

    async fn retry(&mut self) {
        self.answered = None;
        self.follow().await;
    }

    /// Brings the listener to where the profile wants it. The new port is bound first, the old one closed after.
    async fn follow(&mut self) {
        let snapshot = self.engine.live.snapshot();
        if let Err(error) = self.engine.certificates.refresh().await {
            tracing::error!(%error, "Could not read the certificates; the last ones stay in force");
        }
        self.engine.tls.follow(&snapshot, &self.engine.certificates);
        let at = |port| SocketAddr::new(snapshot.profile.listen_address.ip(), port);
        let wish = at(snapshot.profile.port.port());
        let implicit = snapshot.profile.ftp_over_tls == FtpOverTls::Implicit;
        let beside = snapshot.profile.explicit_port.filter(|_| implicit).map(|port| at(port.port()));
        if self.answered == Some((wish, beside)) {
            return self.followed(&snapshot).await;
        }
        self.answered = Some((wish, beside));
        if let Err((address, error)) = self.follow_beside(beside) {
            return self.could_not(&error, address).await;
        }
        if self.bound.as_ref().is_some_and(|(address, _)| *address == wish) {
            self.failed = false;
            let address = self.address();
            return self.state(State::Listening, address, String::new()).await;
        }
        match bind(wish) {
            Ok(listener) => {
                self.failed = false;
                self.bound = Some((wish, listener));
                let address = self.address();
                tracing::info!(listener.address = address, "FTP server listening on {address}");
                self.state(State::Listening, address, String::new()).await;
            }
            Err(error) => self.could_not(&error, wish).await,
        }
    }

    /// The Explicit listener beside an Implicit one: opened, moved or closed as the profile wishes.
    fn follow_beside(&mut self, wish: Option<SocketAddr>) -> Result<(), (SocketAddr, io::Error)> {
        match wish {
            None => self.beside = None,
            Some(address) if self.beside.as_ref().is_some_and(|(bound, _)| *bound == address) => {}
            Some(address) => {
                self.beside = Some((address, bind(address).map_err(|error| (address, error))?));
            }
        }
        Ok(())
    }

    async fn could_not(&mut self, error: &io::Error, wish: SocketAddr) {
        let first = !self.failed;
        self.failed = true;
        let message = bind_error::explain(error, wish);
        if first {
            tracing::error!(listener.address = %wish, "Could not listen: {message}");
        }
        let address = self.address();
        self.state(State::CouldNotBind, address, message).await;
    }

    fn address(&self) -> String {
        let bound = self.bound.as_ref().and_then(|(_, listener)| listener.local_addr().ok());
        bound.map(|address| address.to_string()).unwrap_or_default()
    }

    /// The wish has not changed: only the version it was followed up to.
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

    async fn receive(&self, accepted: io::Result<(TcpStream, SocketAddr)>, door: Door) {
        match accepted {
            Ok((stream, from)) => self.reception.receive(stream, from, door),
            Err(error) => reception::not_accepted(&error).await,
        }
    }
}

async fn accept(listener: Option<&(SocketAddr, TcpListener)>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some((_, listener)) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// `::` is every address, IPv4 too; where there is no IPv6 it is `0.0.0.0`.
fn bind(wish: SocketAddr) -> io::Result<TcpListener> {
    match bind_one(wish) {
        Err(error) if wish.ip().is_unspecified() && wish.is_ipv6() && no_ipv6(&error) => {
            bind_one(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), wish.port()))
        }
        other => other,
    }
}

fn no_ipv6(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
        || error.kind() == io::ErrorKind::AddrNotAvailable
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(BACKLOG).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}
