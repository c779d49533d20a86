//! The hot loops: plain arguments, counts and limits. They run in the async task, without a hop per chunk.

mod buffers;
mod line_ends;
mod receiving;
mod sending;

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

pub use self::buffers::{BUFFER_BYTES, Buffers};
pub use self::line_ends::{ToCrLf, ToLf};
pub use self::receiving::{Received, Sink, receive};
pub use self::sending::{Sent, Span, close, send, send_bytes, send_turned};
use super::abort::Abort;
use super::ends::Ends;
use super::presence::Place;
use super::socket::{Socket, Waiting};
use crate::domain::authorise::No;
use crate::domain::receipt::Ending;

/// How often within the stall timeout the kernel is asked whether a slow client has taken something.
const LOOKS: u32 = 4;

/// A data connection that bytes come from.
pub trait Inbound: AsyncRead + AsyncWrite + Unpin + Send {
    /// How it ended: after end of file (`None`) or an error.
    fn ending(&self, error: Option<&io::Error>) -> Ending;

    /// Whether it uses TLS: an orderly end is then the client's own word, which no kernel sends for a killed client.
    fn is_by_tls(&self) -> bool;

    /// Whether an end that TLS did not sign is tolerated (PRODUCT 5.3).
    fn ends_tolerantly(&self) -> bool;

    /// The rule that refused the bytes, if it ended as [`Ending::Refused`].
    fn refusal(&self) -> Option<No> {
        None
    }

    /// Ready when the next bytes may be read: until then the server, not the partner, causes the wait.
    fn poll_allowed(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

/// A data connection that bytes go to.
pub trait Outbound: AsyncWrite + Unpin + Send {
    /// The socket itself, if bytes go out unchanged.
    fn plain(&mut self) -> Option<&mut Socket>;

    /// Says who waits for the socket from now on.
    fn wait(&mut self, who: Waiting) -> io::Result<()>;
}

/// What watches a transfer.
#[derive(Debug)]
pub struct Watch<'a> {
    /// Shows its progress.
    pub place: &'a Place,
    /// ABOR, and the end of the session.
    pub abort: &'a Abort,
    /// How long the partner may move no byte.
    pub stall: Duration,
    /// The sending data connection, if the kernel can be asked about it.
    pub ends: Option<Ends>,
}

impl Watch<'_> {
    /// Runs `moving`, which sends bytes; returns how the transfer has ended if it is broken off meanwhile or stalls.
    pub async fn over<T>(&self, moving: impl Future<Output = T>) -> Result<T, Ending> {
        self.abort.before(self.in_time(moving)).await?.ok_or(Ending::Stalled)
    }

    /// `None` once no byte has moved for too long. A client that reads slowly takes bytes from the kernel long before
    /// the kernel has room for more.
    async fn in_time<T>(&self, moving: impl Future<Output = T>) -> Option<T> {
        let mut moving = std::pin::pin!(moving);
        let (mut moved_at, mut left) = (Instant::now(), None);
        loop {
            if let Ok(moved) = tokio::time::timeout(self.stall / LOOKS, &mut moving).await {
                return Some(moved);
            }
            let now = self.ends.and_then(Ends::unacknowledged);
            if now != left {
                (moved_at, left) = (Instant::now(), now);
            } else if moved_at.elapsed() >= self.stall {
                return None;
            }
        }
    }
}

/// On a fast network these loops never wait, and tokio's own budget (128 steps) would be 32 MiB. Yielding makes the
/// runtime poll the sockets, so that another session's command is heard at once.
async fn give_way() {
    tokio::task::yield_now().await;
}
