//! The hot loops: plain arguments, counts and limits. They run on the async task, without a hop per chunk.

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

/// How often the kernel is asked, in the time that nothing may move, whether a slow client has taken something.
const LOOKS: u32 = 4;

/// A data connection that bytes come from.
pub trait Inbound: AsyncRead + AsyncWrite + Unpin + Send {
    /// How it ended: after end of file (`None`) or an error.
    fn ending(&self, error: Option<&io::Error>) -> Ending;

    /// Whether it is by TLS: an orderly end is then the client's own word, and no kernel says it for a killed client.
    fn is_by_tls(&self) -> bool;

    /// Whether an end that TLS did not sign is tolerated (PRODUCT 5.3).
    fn ends_tolerantly(&self) -> bool;

    /// The rule by which what came was not taken, when it ended as [`Ending::Refused`].
    fn refusal(&self) -> Option<No> {
        None
    }

    /// Ready when the next bytes may be read: until then it is this server that waits, not the partner.
    fn poll_allowed(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

/// A data connection that bytes go to.
pub trait Outbound: AsyncWrite + Unpin + Send {
    /// The socket itself, when bytes go out as they are.
    fn plain(&mut self) -> Option<&mut Socket>;

    /// Says who waits for the socket from now on.
    fn wait(&mut self, who: Waiting) -> io::Result<()>;
}

/// What a transfer is watched by.
#[derive(Debug)]
pub struct Watch<'a> {
    /// Who sees its progress.
    pub place: &'a Place,
    /// By ABOR, and by the end of the session.
    pub abort: &'a Abort,
    /// How long no byte may move through the partner's doing.
    pub stall: Duration,
    /// The data connection that bytes are sent by, where the kernel may be asked about it.
    pub ends: Option<Ends>,
}

impl Watch<'_> {
    /// Has bytes sent; how the transfer has ended, if it is broken off meanwhile or stalls.
    pub async fn over<T>(&self, moving: impl Future<Output = T>) -> Result<T, Ending> {
        tokio::select! {
            biased;
            ending = self.abort.broken() => Err(ending),
            moved = self.in_time(moving) => moved.ok_or(Ending::Stalled),
        }
    }

    /// `None` once no byte has moved for too long. A client that reads slowly takes bytes from the kernel long before that has
    /// room for more.
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

/// A fast network never lets these loops wait, and tokio's own budget (128 steps) would be 32 MiB. Yielding is what has the
/// sockets looked at again, so that another session's command is heard at once.
async fn give_way() {
    tokio::task::yield_now().await;
}
