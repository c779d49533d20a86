//! The hot loops: plain arguments, counts and limits. They run on the async task, without a hop per chunk.

use std::future::poll_fn;
use std::io;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::abort::Abort;
use super::digest::Digest;
use super::presence::Place;
use super::quota::Allowance;
use super::socket::{Socket, Waiting};
use crate::base::clock::Clock;
use crate::domain::authorise::No;
use crate::domain::receipt::Ending;
use crate::workspace::active::Entry;
use crate::workspace::download::Source;
use crate::workspace::sync::Syncer;
use crate::workspace::upload::Part;

/// Bytes moved at a time: a piece, after which other tasks get their turn.
pub const BUFFER_BYTES: usize = 512 * 1024;
/// The same where they are encrypted: the records of a piece must fit into what TLS holds before it writes.
const ENCRYPTED_BYTES: usize = 256 * 1024;
/// Buffers kept for the next transfer.
const BUFFERS_KEPT: usize = 64;

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
}

/// Buffers that transfers share, so that none is held while idle.
#[derive(Clone, Debug, Default)]
pub struct Buffers {
    free: Arc<Mutex<Vec<Box<[u8]>>>>,
}

impl Buffers {
    /// A buffer of [`BUFFER_BYTES`].
    pub fn take(&self) -> Box<[u8]> {
        let kept = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice())
    }

    /// Gives it back.
    pub fn put(&self, buffer: Box<[u8]>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < BUFFERS_KEPT {
            free.push(buffer);
        }
    }
}

/// Turns CRLF into LF, across chunks (`to_lf`).
#[derive(Debug, Default)]
pub struct ToLf {
    carriage_return: bool,
}

impl ToLf {
    /// The bytes to store for `bytes`, in `out`.
    pub fn turn(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.clear();
        for byte in bytes {
            if self.carriage_return && *byte != b'\n' {
                out.push(b'\r');
            }
            self.carriage_return = *byte == b'\r';
            if !self.carriage_return {
                out.push(*byte);
            }
        }
    }

    /// What was held back at the end.
    pub fn rest(&self) -> &'static [u8] {
        if self.carriage_return { b"\r" } else { b"" }
    }
}

/// What the receiving loop writes to.
#[derive(Debug)]
pub struct Sink<'a> {
    /// The part.
    pub part: &'a mut Part,
    /// Its digest.
    pub digest: &'a mut Digest,
    /// Who syncs.
    pub syncer: &'a Syncer,
    /// How large it may become.
    pub allowance: &'a Allowance,
    /// `Some`: line ends are turned.
    pub to_lf: Option<ToLf>,
    /// Tells others of its name that it still moves.
    pub entry: &'a Entry,
    /// What time it is.
    pub clock: &'a Clock,
}

/// How the receiving loop ended.
#[derive(Debug)]
pub enum Received {
    /// The data connection ended so.
    Ended(Ending),
    /// The limit was reached.
    TooLarge(No),
    /// The disk did not take the last bytes; those before are as they were.
    NotTaken(io::Error),
    /// Bytes that the disk had taken did not get there, or cannot be read.
    Failed(io::Error),
}

/// Moves bytes from the data connection to the part until it ends.
pub async fn receive(from: &mut impl Inbound, sink: &mut Sink<'_>, watch: &Watch<'_>, buffers: &Buffers) -> Received {
    let mut buffer = buffers.take();
    let mut turned = Vec::new();
    let received = loop {
        let filled = tokio::select! {
            biased;
            filled = fill_in_time(from, &mut buffer, watch.stall) => filled,
            ending = watch.abort.broken() => break Received::Ended(ending),
            () = sink.entry.end().cancelled() => break Received::Ended(Ending::Stalled),
        };
        let Some((count, then)) = filled else { break Received::Ended(Ending::Stalled) };
        if count > 0 {
            watch.place.moved(count as u64);
            sink.entry.moved(sink.clock.now());
        }
        let stored = match &mut sink.to_lf {
            _ if count == 0 => Ok(buffer),
            Some(to_lf) => {
                to_lf.turn(&buffer[..count], &mut turned);
                store_bytes(sink, &turned).await.map(|()| buffer)
            }
            None => store_buffer(sink, buffer, count, buffers).await,
        };
        buffer = match stored {
            Ok(next) => next,
            Err(received) => return received,
        };
        sink.entry.holds(sink.part.size_bytes());
        match then {
            Then::More => {}
            Then::End => break last(from, sink).await,
            Then::Failed(error) => break Received::Ended(from.ending(Some(&error))),
        }
        // A client that ABORs while bytes still come must be heard, too.
        if let Some(ending) = watch.abort.ending() {
            break Received::Ended(ending);
        }
        if count == BUFFER_BYTES {
            give_way().await;
        }
    };
    buffers.put(buffer);
    received
}

/// What follows the bytes that were read.
enum Then {
    More,
    End,
    Failed(io::Error),
}

/// [`fill`], unless no byte comes for that long through the partner's doing: `None`.
async fn fill_in_time(from: &mut impl Inbound, buffer: &mut [u8], stall: Duration) -> Option<(usize, Then)> {
    poll_fn(|cx| from.poll_allowed(cx)).await;
    tokio::time::timeout(stall, fill(from, buffer)).await.ok()
}

/// Reads until nothing more is there at once, or the buffer is full. TLS gives one record of at most 16 KiB at a time;
/// they are written together.
async fn fill(from: &mut impl Inbound, buffer: &mut [u8]) -> (usize, Then) {
    let mut buffer = ReadBuf::new(buffer);
    poll_fn(|cx| {
        loop {
            let before = buffer.filled().len();
            match Pin::new(&mut *from).poll_read(cx, &mut buffer) {
                Poll::Pending if before == 0 => return Poll::Pending,
                Poll::Pending => return Poll::Ready((before, Then::More)),
                Poll::Ready(Err(error)) => return Poll::Ready((before, Then::Failed(error))),
                Poll::Ready(Ok(())) => match buffer.filled().len() {
                    count if count == before => return Poll::Ready((count, Then::End)),
                    count if buffer.remaining() == 0 => return Poll::Ready((count, Then::More)),
                    _ => {}
                },
            }
        }
    })
    .await
}

/// The end of the data connection: what was held back is stored, too.
async fn last(from: &impl Inbound, sink: &mut Sink<'_>) -> Received {
    let rest = sink.to_lf.as_ref().map_or(&b""[..], ToLf::rest);
    match store_bytes(sink, rest).await {
        Ok(()) => Received::Ended(from.ending(None)),
        Err(received) => received,
    }
}

/// The error is how it ended. Of bytes with which it would become too large none is written.
async fn store_bytes(sink: &mut Sink<'_>, bytes: &[u8]) -> Result<(), Received> {
    if !bytes.is_empty() {
        write(sink, bytes)?;
        let length = sink.part.size_bytes();
        sink.digest.update(bytes, length);
        sink.part.write_back(sink.syncer).await.map_err(Received::Failed)?;
    }
    Ok(())
}

/// The same for a whole buffer; gives the one to go on with.
async fn store_buffer(
    sink: &mut Sink<'_>,
    buffer: Box<[u8]>,
    count: usize,
    buffers: &Buffers,
) -> Result<Box<[u8]>, Received> {
    write(sink, &buffer[..count])?;
    let length = sink.part.size_bytes();
    let next = sink.digest.update_owned(buffer, (count, length), buffers).await.map_err(Received::Failed)?;
    sink.part.write_back(sink.syncer).await.map_err(Received::Failed)?;
    Ok(next)
}

fn write(sink: &mut Sink<'_>, bytes: &[u8]) -> Result<(), Received> {
    sink.allowance.take(sink.part.size_bytes() + bytes.len() as u64).map_err(Received::TooLarge)?;
    sink.part.write(bytes).map_err(Received::NotTaken)
}

/// How the sending loop ended.
#[derive(Debug)]
pub enum Sent {
    /// Every byte was handed to the network.
    All,
    /// The data connection ended before that.
    Ended(Ending),
    /// The file ended before that: it was cut while it was sent.
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

/// Sends part of a file as it is.
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
        let moved = tokio::select! {
            biased;
            ending = watch.abort.broken() => return Sent::Ended(ending),
            moved = tokio::time::timeout(watch.stall, moving) => moved,
        };
        match moved {
            Err(_) => return Sent::Ended(Ending::Stalled),
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

/// A fast network never lets these loops wait, and tokio's own budget (128 steps) would be 32 MiB. Yielding is what has the
/// sockets looked at again, so that another session's command is heard at once.
async fn give_way() {
    tokio::task::yield_now().await;
}

/// The same of a download, and whoever waits for this core: the system would leave it to a copy for a millisecond and more
/// (decision 0115).
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

/// Sends part of a file with its line ends turned.
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

/// Sends bytes that are in memory, under the same watch: listings, and files whose line ends are turned.
pub async fn send_bytes(bytes: &[u8], to: &mut impl Outbound, watch: &Watch<'_>) -> Sent {
    let moved = tokio::select! {
        biased;
        ending = watch.abort.broken() => return Sent::Ended(ending),
        moved = tokio::time::timeout(watch.stall, to.write_all(bytes)) => moved,
    };
    match moved {
        Err(_) => Sent::Ended(Ending::Stalled),
        Ok(Err(_)) => Sent::Ended(Ending::Cut),
        Ok(Ok(())) => {
            watch.place.moved(bytes.len() as u64);
            Sent::All
        }
    }
}

/// Closes the data connection in order: how it ended.
pub async fn close(to: &mut impl Outbound, watch: &Watch<'_>) -> Ending {
    let closed = tokio::select! {
        biased;
        ending = watch.abort.broken() => return ending,
        closed = tokio::time::timeout(watch.stall, to.shutdown()) => closed,
    };
    match closed {
        Ok(Ok(())) => Ending::Closed,
        Ok(Err(_)) => Ending::Cut,
        Err(_) => Ending::Stalled,
    }
}

/// Turns bare LF into CRLF, across chunks (TYPE A).
#[derive(Debug, Default)]
pub struct ToCrLf {
    after_carriage_return: bool,
}

impl ToCrLf {
    /// The bytes to send for `bytes`, in `out`.
    pub fn turn(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.clear();
        for byte in bytes {
            if *byte == b'\n' && !self.after_carriage_return {
                out.push(b'\r');
            }
            self.after_carriage_return = *byte == b'\r';
            out.push(*byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::{IdSource, SessionId};
    use crate::transfer::presence::Presence;
    use proptest::prelude::*;
    use std::io::Write as _;
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::atomic::{AtomicU64, Ordering};

    /// The partner has sent all of it; this server reads it late.
    struct Held {
        bytes: &'static [u8],
        until: Pin<Box<tokio::time::Sleep>>,
    }

    impl AsyncRead for Held {
        fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.get_mut().bytes).poll_read(cx, buffer)
        }
    }

    impl AsyncWrite for Held {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Inbound for Held {
        fn ending(&self, _: Option<&io::Error>) -> Ending {
            Ending::Closed
        }

        fn is_by_tls(&self) -> bool {
            false
        }

        fn ends_tolerantly(&self) -> bool {
            false
        }

        fn poll_allowed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
            self.until.as_mut().poll(cx)
        }
    }

    #[tokio::test]
    async fn what_this_server_holds_back_is_no_stall_of_the_partner() {
        let stall = Duration::from_millis(20);
        let mut held = Held { bytes: b"all", until: Box::pin(tokio::time::sleep(stall * 10)) };
        let mut buffer = [0; 8];
        let (count, _) = fill_in_time(&mut held, &mut buffer, stall).await.unwrap();
        assert_eq!(&buffer[..count], b"all");
    }

    /// A client so fast that its socket never lets anybody wait.
    #[derive(Default)]
    struct Fast(u64);

    impl AsyncWrite for Fast {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.0 += bytes.len() as u64;
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Outbound for Fast {
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
        let watch = Watch { place: &place, abort: &abort, stall: Duration::from_mins(1) };
        let turns = Arc::new(AtomicU64::new(0));
        let counting = Arc::clone(&turns);
        let other = tokio::spawn(async move {
            loop {
                counting.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
        let (mut buffer, mut to) = (vec![0; BUFFER_BYTES], Fast::default());
        assert!(matches!(send(&source, span, &mut to, &watch, &mut buffer).await, Sent::All));
        let as_it_is = turns.swap(0, Ordering::Relaxed);
        assert!(as_it_is >= PIECES - 1, "{as_it_is} turns");
        let mut turn = ToCrLf::default();
        let sent = send_turned(&source, span, &mut turn, &mut to, (&watch, &mut buffer)).await;
        assert!(matches!(sent, Sent::All));
        let turned = turns.load(Ordering::Relaxed);
        assert!(turned >= PIECES - 1, "{turned} turns");
        assert_eq!(to.0, span.to + span.to * 9 / 8);
        other.abort();
    }

    /// A client that reads nothing more, so that TLS cannot say its end.
    struct Full;

    impl AsyncWrite for Full {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl Outbound for Full {
        fn plain(&mut self) -> Option<&mut Socket> {
            None
        }

        fn wait(&mut self, _: Waiting) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_close_that_does_not_come_about_is_a_stall_and_can_be_broken_off() {
        let ids = IdSource::random(Clock::System);
        let remote = IpAddr::from(Ipv4Addr::LOCALHOST);
        let place = Presence::default().enter(SessionId::new(&ids), (remote, remote), Clock::System.now());
        let abort = Abort::default();
        let watch = |stall| Watch { place: &place, abort: &abort, stall };
        let (short, long) = (watch(Duration::from_millis(20)), watch(Duration::from_mins(5)));
        assert_eq!(close(&mut Fast::default(), &long).await, Ending::Closed);
        assert_eq!(close(&mut Full, &short).await, Ending::Stalled);
        let aborting = async {
            tokio::task::yield_now().await;
            abort.ask();
        };
        let mut full = Full;
        let (ending, ()) = tokio::join!(close(&mut full, &long), aborting);
        assert_eq!(ending, Ending::Aborted);
    }

    proptest! {
        #[test]
        fn line_ends_do_not_depend_on_how_the_bytes_were_cut(text in "[a\r\n]{0,40}", at in 0_usize..40) {
            let bytes = text.as_bytes();
            let (one, two) = bytes.split_at(at.min(bytes.len()));
            let mut out = Vec::new();
            let mut lf = ToLf::default();
            let mut turned = Vec::new();
            for chunk in [one, two] {
                lf.turn(chunk, &mut out);
                turned.extend_from_slice(&out);
            }
            turned.extend_from_slice(lf.rest());
            prop_assert_eq!(turned, text.replace("\r\n", "\n").into_bytes());

            let mut crlf = ToCrLf::default();
            let mut sent = Vec::new();
            for chunk in [one, two] {
                crlf.turn(chunk, &mut out);
                sent.extend_from_slice(&out);
            }
            prop_assert_eq!(sent, text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes());
        }
    }
}
