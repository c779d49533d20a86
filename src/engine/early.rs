//! Clients that connect and do the handshake before their transfer command (RFC 4217 section 12.2 leaves that open):
//! they send the command only once TLS is established, so that waiting for the command first would wait for ever.
//!
//! Always: the handshake begins with the command or with the client's first byte, whichever is first. In the second
//! case the direction is unknown, so no ticket is sent. Each session has one such connection, which ends with it.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::server::TlsStream;
use tokio_util::task::AbortOnDropHandle;

use super::data::{DataError, Passive};
use super::metered::Metered;
use super::tls::{Reads, SessionTls};
use crate::base::lock::lock;

/// A passive port where the client may be early.
#[derive(Debug)]
pub struct Early {
    /// The first client from another address.
    wrong: Arc<OnceLock<IpAddr>>,
    command: oneshot::Sender<()>,
    /// Behind it the port is closed.
    _port: Port,
    arrival: AbortOnDropHandle<io::Result<Come>>,
}

/// What waits at the port, and has it open.
type Waiting = Pin<Box<dyn Future<Output = io::Result<Come>> + Send>>;

/// The port of what waits in a task. Dropped, it is free at once: the task itself ends only when its turn comes.
struct Port(Arc<Mutex<Option<Waiting>>>);

impl Drop for Port {
    fn drop(&mut self) {
        *lock(&self.0) = None;
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port").finish_non_exhaustive()
    }
}

/// How far a client has come by the time of its command.
#[derive(Debug)]
pub(super) enum Come {
    /// It is connected but silent.
    Silent(TcpStream),
    /// It has begun the handshake.
    Speaking(AbortOnDropHandle<io::Result<TlsStream<Metered>>>),
}

impl Early {
    /// Waits from now on. `timeout`: for a handshake.
    pub(super) fn wait(passive: Passive, peer: IpAddr, session: SessionTls, timeout: Duration) -> Self {
        let wrong: Arc<OnceLock<IpAddr>> = Arc::default();
        let (command, commanded) = oneshot::channel();
        let others = Arc::clone(&wrong);
        let waiting: Waiting = Box::pin(async move {
            let stream = passive.accept(peer, &others).await?;
            let mut first = [0];
            tokio::select! {
                biased;
                // If no command can come, the session is over, and nobody uses this result.
                _ = commanded => Ok(Come::Silent(stream)),
                spoken = stream.peek(&mut first) => {
                    spoken?;
                    let shaking = async move { session.accept_data(stream, Reads::Unknown, timeout).await };
                    Ok(Come::Speaking(AbortOnDropHandle::new(tokio::spawn(shaking))))
                }
            }
        });
        let port = Port(Arc::new(Mutex::new(Some(waiting))));
        let shared = Arc::clone(&port.0);
        let arrival = tokio::spawn(poll_fn(move |cx| match &mut *lock(&shared) {
            Some(waiting) => waiting.as_mut().poll(cx),
            None => Poll::Ready(Err(io::ErrorKind::Interrupted.into())),
        }));
        Self { wrong, command, _port: port, arrival: AbortOnDropHandle::new(arrival) }
    }

    /// The command is here: returns the client as soon as it is connected.
    pub(super) async fn come(self, timeout: Duration) -> Result<Come, DataError> {
        // It may have stopped waiting.
        let _ = self.command.send(());
        match tokio::time::timeout(timeout, self.arrival).await {
            Ok(Ok(come)) => Ok(come?),
            Ok(Err(ended)) => Err(io::Error::other(ended).into()),
            Err(_) => Err(self.wrong.get().map_or(DataError::TimedOut, |other| DataError::WrongPeer(*other))),
        }
    }
}
