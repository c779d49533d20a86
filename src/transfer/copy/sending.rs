//! The sending loops.

use std::future::poll_fn;
use std::io;
use std::os::fd::BorrowedFd;

use tokio::io::AsyncWriteExt;

use super::buffers::BUFFER_BYTES;
use super::line_ends::ToCrLf;
use super::{Outbound, Watch, give_way};
use crate::domain::receipt::Ending;
use crate::transfer::socket::Socket;
use crate::workspace::download::Source;

/// Bytes moved at a time when encrypted: the records of a piece must fit into TLS's own buffer before it writes.
const ENCRYPTED_BYTES: usize = 256 * 1024;

/// How the sending loop ended.
#[derive(Debug)]
pub enum Sent {
    /// Every byte was handed to the network.
    All,
    /// The data connection ended before that.
    Ended(Ending),
    /// The file ended early: it was truncated while it was sent.
    Short,
    /// Reading failed.
    Failed(io::Error),
}

/// Bytes `from..to` of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub from: u64,
    /// The byte after the last.
    pub to: u64,
}

/// Sends part of a file unchanged.
pub async fn send(source: &Source, span: Span, to: &mut impl Outbound, watch: &Watch<'_>, buffer: &mut [u8]) -> Sent {
    let mut at = span.from;
    while at < span.to {
        let rest = Span { from: at, to: span.to };
        let moving = async {
            if let Some(socket) = to.plain() {
                sendfile(source, rest, socket).await
            } else {
                write_chunk(source, rest, to, buffer).await
            }
        };
        match watch.over(moving).await {
            Err(ending) => return Sent::Ended(ending),
            Ok(Err(Trouble::Reading(error))) => return Sent::Failed(error),
            Ok(Err(Trouble::Writing)) => return Sent::Ended(Ending::Cut),
            Ok(Ok(0)) => return Sent::Short,
            Ok(Ok(count)) => {
                at += count as u64;
                watch.place.moved(count as u64);
            }
        }
        if at < span.to {
            between_pieces().await;
        }
    }
    Sent::All
}

/// Yields to other tasks, and to whoever waits for this core: the system would leave it to a copy for a millisecond or
/// more (decision 0115).
async fn between_pieces() {
    give_way().await;
    std::thread::yield_now();
}

enum Trouble {
    Reading(io::Error),
    Writing,
}

async fn sendfile(source: &Source, span: Span, socket: &mut Socket) -> Result<usize, Trouble> {
    let want = usize::try_from(span.to - span.from).unwrap_or(usize::MAX).min(BUFFER_BYTES);
    let send = |to: BorrowedFd<'_>| {
        let mut offset = span.from;
        Ok(rustix::fs::sendfile(to, &**source.file(), Some(&mut offset), want)?)
    };
    poll_fn(|cx| socket.poll_write_by(cx, send)).await.map_err(|error| {
        let of_file = error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
        if of_file { Trouble::Reading(error) } else { Trouble::Writing }
    })
}

async fn write_chunk(source: &Source, span: Span, to: &mut impl Outbound, buffer: &mut [u8]) -> Result<usize, Trouble> {
    let want = usize::try_from(span.to - span.from).unwrap_or(usize::MAX).min(ENCRYPTED_BYTES).min(buffer.len());
    let count = source.read_at(&mut buffer[..want], span.from).map_err(Trouble::Reading)?;
    to.write_all(&buffer[..count]).await.map_err(|_| Trouble::Writing)?;
    Ok(count)
}

/// Sends part of a file with its line ends converted.
pub async fn send_turned(
    source: &Source,
    span: Span,
    turn: &mut ToCrLf,
    to: &mut impl Outbound,
    (watch, buffer): (&Watch<'_>, &mut [u8]),
) -> Sent {
    let mut turned = Vec::with_capacity(buffer.len() + buffer.len() / 16);
    let mut at = span.from;
    while at < span.to {
        let want = usize::try_from(span.to - at).unwrap_or(usize::MAX).min(buffer.len());
        let count = match source.read_at(&mut buffer[..want], at) {
            Ok(0) => return Sent::Short,
            Ok(count) => count,
            Err(error) => return Sent::Failed(error),
        };
        turn.turn(&buffer[..count], &mut turned);
        match send_bytes(&turned, to, watch).await {
            Sent::All => at += count as u64,
            other => return other,
        }
        if at < span.to {
            between_pieces().await;
        }
    }
    Sent::All
}

/// Sends bytes from memory, under the same watch: listings, and files whose line ends are converted.
pub async fn send_bytes(bytes: &[u8], to: &mut impl Outbound, watch: &Watch<'_>) -> Sent {
    match watch.over(to.write_all(bytes)).await {
        Err(ending) => Sent::Ended(ending),
        Ok(Err(_)) => Sent::Ended(Ending::Cut),
        Ok(Ok(())) => {
            watch.place.moved(bytes.len() as u64);
            Sent::All
        }
    }
}

/// Closes the data connection in order; returns how it ended.
pub async fn close(to: &mut impl Outbound, watch: &Watch<'_>) -> Ending {
    match watch.over(to.shutdown()).await {
        Ok(Ok(())) => Ending::Closed,
        Ok(Err(_)) => Ending::Cut,
        Err(ending) => ending,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{IpAddr, Ipv4Addr};
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::task::{Context, Poll};
    use std::time::Duration;

    use tokio::io::AsyncWrite;

    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::{IdSource, SessionId};
    use crate::transfer::abort::Abort;
    use crate::transfer::presence::Presence;
    use crate::transfer::socket::Waiting;

    /// A kind of client, by what it has read.
    enum Reader {
        /// Everything at once: its socket never makes anybody wait.
        Fast(u64),
        /// Nothing more, so that TLS cannot send its end.
        Full,
    }

    impl Reader {
        fn poll(&mut self, bytes: usize) -> Poll<io::Result<usize>> {
            let Self::Fast(read) = self else { return Poll::Pending };
            *read += bytes as u64;
            Poll::Ready(Ok(bytes))
        }
    }

    impl AsyncWrite for Reader {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.poll(bytes.len())
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.poll(0).map_ok(|_| ())
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.poll(0).map_ok(|_| ())
        }
    }

    impl Outbound for Reader {
        fn plain(&mut self) -> Option<&mut Socket> {
            None
        }

        fn wait(&mut self, _: Waiting) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn others_get_their_turn_after_each_piece_of_a_download() {
        const PIECES: u64 = 8;
        let mut file = tempfile::tempfile().unwrap();
        let lines = b"a line.\n".repeat(BUFFER_BYTES / 8);
        (0..PIECES).for_each(|_| file.write_all(&lines).unwrap());
        let source = Source::shared(Arc::new(file.into())).unwrap();
        let span = Span { from: 0, to: source.version().size_bytes };
        let ids = IdSource::random(Clock::System);
        let remote = IpAddr::from(Ipv4Addr::LOCALHOST);
        let place = Presence::default().enter(SessionId::new(&ids), (remote, remote), Clock::System.now());
        let abort = Abort::default();
        let watch = Watch { place: &place, abort: &abort, stall: Duration::from_mins(1), ends: None };
        let turns = Arc::new(AtomicU64::new(0));
        let counting = Arc::clone(&turns);
        let other = tokio::spawn(async move {
            loop {
                counting.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
        let (mut buffer, mut to) = (vec![0; BUFFER_BYTES], Reader::Fast(0));
        assert!(matches!(send(&source, span, &mut to, &watch, &mut buffer).await, Sent::All));
        let as_it_is = turns.swap(0, Ordering::Relaxed);
        assert!(as_it_is >= PIECES - 1, "{as_it_is} turns");
        let mut turn = ToCrLf::default();
        let sent = send_turned(&source, span, &mut turn, &mut to, (&watch, &mut buffer)).await;
        assert!(matches!(sent, Sent::All));
        let turned = turns.load(Ordering::Relaxed);
        assert!(turned >= PIECES - 1, "{turned} turns");
        let all = span.to + span.to * 9 / 8;
        assert!(matches!(to, Reader::Fast(read) if read == all));
        other.abort();
    }

    #[tokio::test]
    async fn a_close_that_does_not_come_about_is_a_stall_and_can_be_broken_off() {
        let ids = IdSource::random(Clock::System);
        let remote = IpAddr::from(Ipv4Addr::LOCALHOST);
        let place = Presence::default().enter(SessionId::new(&ids), (remote, remote), Clock::System.now());
        let abort = Abort::default();
        let watch = |stall| Watch { place: &place, abort: &abort, stall, ends: None };
        let (short, long) = (watch(Duration::from_millis(20)), watch(Duration::from_mins(5)));
        assert_eq!(close(&mut Reader::Fast(0), &long).await, Ending::Closed);
        assert_eq!(close(&mut Reader::Full, &short).await, Ending::Stalled);
        let aborting = async {
            tokio::task::yield_now().await;
            abort.ask();
        };
        let mut full = Reader::Full;
        let (ending, ()) = tokio::join!(close(&mut full, &long), aborting);
        assert_eq!(ending, Ending::Aborted);
    }
}
