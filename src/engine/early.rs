//! Clients that connect and do the handshake before their transfer command (RFC 4217 section 12.2 leaves that open):
//! they send the command only once TLS is established, so that waiting for the command first would wait for ever.
//!
//! Always: the handshake begins with the command or with the client's first byte, whichever is first. In the second
//! case the direction is unknown, so no ticket is sent. Each session has one such connection, which ends with it.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::server::TlsStream;
use tokio_util::task::AbortOnDropHandle;

use super::data::{DataError, Passive};
use super::metered::Metered;
use super::tls::{Reads, SessionTls};

/// A passive port where the client may be early.
#[derive(Debug)]
pub struct Early {
    /// The first client from another address.
    wrong: Arc<OnceLock<IpAddr>>,
    command: oneshot::Sender<()>,
    arrival: AbortOnDropHandle<io::Result<Come>>,
}

/// How far a client has come when its command arrives.
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
        let arrival = tokio::spawn(async move {
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
        Self { wrong, command, arrival: AbortOnDropHandle::new(arrival) }
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
