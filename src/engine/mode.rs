//! The transmission modes of a data connection (RFC 959 section 3.4): S, the bytes as they are, and Z, one zlib stream
//! per transfer (draft-preston-ftpext-deflate). It knows nothing of what the bytes mean.
//! Always: a zlib stream that ends early or late is an error; one that inflates excessively is refused; no call works
//! longer than one chunk takes.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::stream::DataStream;
use crate::domain::authorise::No;
use crate::domain::receipt::Ending;
use crate::domain::refusal::Rule;
use crate::transfer::copy::{Inbound, Outbound};
use crate::transfer::ends::Ends;
use crate::transfer::socket::{Socket, Waiting};

/// Input may inflate to this many times its size: real files seldom reach 100.
const RATIO_MAX: u64 = 250;
/// Below this many bytes the ratio does not matter. The upload's own limit bounds its size, in any mode.
const RATIO_FREE_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes deflated or read at a time.
const CHUNK_BYTES: usize = 32 * 1024;

/// A data connection in the client's chosen mode.
#[derive(Debug)]
pub(super) enum DataConnection {
    /// MODE S.
    Stream(DataStream),
    /// MODE Z.
    Deflate(Box<Deflated>),
}

/// A data connection that carries one zlib stream.
#[derive(Debug)]
pub(super) struct Deflated {
    inner: DataStream,
    way: Way,
    /// Bytes read but not inflated, or deflated but not sent.
    held: Vec<u8>,
    /// How many of `held` are done.
    done: usize,
    /// The zlib stream has ended.
    ended: bool,
}

#[derive(Debug)]
enum Way {
    Out {
        compress: Compress,
        /// Something was deflated since the last flush.
        dirty: bool,
    },
    In {
        decompress: Decompress,
        /// The last bytes that were inflated took all the room there was: more may have come of what was read.
        full: bool,
        /// Why what came was not taken, when it was not.
        fault: Option<Fault>,
    },
}

/// What is wrong with the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It ended early.
    Cut,
    /// It is not a zlib stream, or continues after its end.
    Malformed,
    /// It inflates beyond [`RATIO_MAX`].
    Bomb,
}

impl DataConnection {
    /// For sending: deflated at this level, 0 to 9, if there is one.
    pub(super) fn sending(inner: DataStream, level: Option<u8>) -> Self {
        Self::new(inner, level, |level| Way::Out {
            compress: Compress::new(Compression::new(u32::from(level)), true),
            dirty: false,
        })
    }

    /// For receiving: inflated if there is a level.
    pub(super) fn receiving(inner: DataStream, level: Option<u8>) -> Self {
        Self::new(inner, level, |_| Way::In { decompress: Decompress::new(true), full: false, fault: None })
    }

    fn new(inner: DataStream, level: Option<u8>, way: impl FnOnce(u8) -> Way) -> Self {
        match level {
            None => Self::Stream(inner),
            Some(level) => Self::Deflate(Box::new(Deflated {
                inner,
                way: way(level),
                held: Vec::with_capacity(2 * CHUNK_BYTES),
                done: 0,
                ended: false,
            })),
        }
    }

    fn data(&mut self) -> &mut DataStream {
        match self {
            Self::Stream(stream) => stream,
            Self::Deflate(deflated) => &mut deflated.inner,
        }
    }

    /// The ends of the connection, for the kernel.
    pub(super) fn ends(&self) -> Option<Ends> {
        self.tcp().and_then(Socket::watched).and_then(Ends::of)
    }

    /// The socket at the bottom.
    pub(super) fn tcp(&self) -> Option<&Socket> {
        match self {
            Self::Stream(stream) => stream.stream.socket(),
            Self::Deflate(deflated) => deflated.inner.stream.socket(),
        }
    }
}

impl Inbound for DataConnection {
    fn ending(&self, error: Option<&io::Error>) -> Ending {
        match self {
            Self::Stream(stream) => stream.ending(error),
            Self::Deflate(deflated) => match deflated.fault() {
                Some(Fault::Cut) => Ending::Cut,
                Some(Fault::Malformed | Fault::Bomb) => Ending::Refused,
                None => deflated.inner.ending(error),
            },
        }
    }

    fn is_by_tls(&self) -> bool {
        match self {
            Self::Stream(stream) => stream.is_by_tls(),
            Self::Deflate(deflated) => deflated.inner.is_by_tls(),
        }
    }

    fn ends_tolerantly(&self) -> bool {
        match self {
            Self::Stream(stream) => stream.ends_tolerantly(),
            Self::Deflate(deflated) => deflated.inner.ends_tolerantly(),
        }
    }

    fn refusal(&self) -> Option<No> {
        let Self::Deflate(deflated) = self else { return None };
        let Way::In { decompress, .. } = &deflated.way else { return None };
        let (from, to) = (decompress.total_in(), decompress.total_out());
        match deflated.fault()? {
            Fault::Cut => None,
            Fault::Malformed => Some(No { rule: Rule::NotDeflated, detail: format!("after {to} bytes") }),
            Fault::Bomb => Some(No { rule: Rule::DeflateRatio, detail: format!("{from} bytes became {to} and more") }),
        }
    }
}

impl Outbound for DataConnection {
    fn plain(&mut self) -> Option<&mut Socket> {
        match self {
            Self::Stream(stream) => stream.plain(),
            Self::Deflate(_) => None,
        }
    }

    fn wait(&mut self, who: Waiting) -> io::Result<()> {
        self.data().wait(who)
    }
}

impl Deflated {
    fn fault(&self) -> Option<Fault> {
        match &self.way {
            Way::In { fault, .. } => *fault,
            Way::Out { .. } => None,
        }
    }

    /// Sends what is held.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.done < self.held.len() {
            let sent = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.held[self.done..]))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.done += sent;
        }
        self.held.clear();
        self.done = 0;
        Poll::Ready(Ok(()))
    }

    /// Deflates what fits; returns how much of `bytes` was taken.
    fn deflate(&mut self, bytes: &[u8], flush: FlushCompress) -> io::Result<usize> {
        let Way::Out { compress, dirty } = &mut self.way else { return Err(io::ErrorKind::Unsupported.into()) };
        let before = compress.total_in();
        let status = compress.compress_vec(bytes, &mut self.held, flush).map_err(io::Error::other)?;
        self.ended = status == Status::StreamEnd;
        *dirty |= !bytes.is_empty();
        // At most all of `bytes` is taken.
        Ok(usize::try_from(compress.total_in() - before).unwrap_or(bytes.len()))
    }

    /// Inflates into `out`; returns how many bytes that made.
    fn inflate(&mut self, out: &mut [u8]) -> Result<usize, Fault> {
        let Way::In { decompress, full, .. } = &mut self.way else { return Err(Fault::Malformed) };
        let (read, made) = (decompress.total_in(), decompress.total_out());
        let status = decompress.decompress(&self.held[self.done..], out, FlushDecompress::None);
        let status = status.map_err(|_| Fault::Malformed)?;
        self.done += usize::try_from(decompress.total_in() - read).unwrap_or(usize::MAX);
        self.ended = status == Status::StreamEnd;
        let (read, whole) = (decompress.total_in(), decompress.total_out());
        if whole > RATIO_FREE_BYTES && whole / RATIO_MAX > read {
            return Err(Fault::Bomb);
        }
        let count = usize::try_from(whole - made).unwrap_or(usize::MAX);
        *full = count == out.len();
        Ok(count)
    }

    /// Records the fault, and returns it.
    fn fail(&mut self, what: Fault) -> Poll<io::Result<()>> {
        if let Way::In { fault, .. } = &mut self.way {
            *fault = Some(what);
        }
        Poll::Ready(Err(io::ErrorKind::InvalidData.into()))
    }

    /// Reads more; `false` at the end of the connection.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        self.held.resize(CHUNK_BYTES, 0);
        self.done = 0;
        let mut buffer = ReadBuf::new(&mut self.held);
        let read = Pin::new(&mut self.inner).poll_read(cx, &mut buffer);
        let count = buffer.filled().len();
        self.held.truncate(count);
        ready!(read)?;
        Poll::Ready(Ok(count > 0))
    }

    /// Whether something may come of what was read.
    fn has_more(&self) -> bool {
        self.done < self.held.len() || matches!(self.way, Way::In { full: true, .. })
    }

    fn poll_inflated(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            while !self.ended && self.has_more() {
                match self.inflate(buf.initialize_unfilled()) {
                    Ok(0) => {}
                    Ok(count) => {
                        buf.advance(count);
                        return Poll::Ready(Ok(()));
                    }
                    Err(fault) => return self.fail(fault),
                }
            }
            if self.done < self.held.len() {
                return self.fail(Fault::Malformed);
            }
            let begun = matches!(&self.way, Way::In { decompress, .. } if decompress.total_in() > 0);
            if !ready!(self.poll_more(cx))? {
                // Not a single byte: an empty file, from a client that does not deflate nothing.
                return if self.ended || !begun { Poll::Ready(Ok(())) } else { self.fail(Fault::Cut) };
            }
        }
    }
}

/// Inflating and deflating can run long without the socket: others get their turn here.
fn poll_turn(cx: &mut Context<'_>) -> Poll<()> {
    std::pin::pin!(tokio::task::consume_budget()).poll(cx)
}

impl AsyncRead for Deflated {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(poll_turn(cx));
        self.get_mut().poll_inflated(cx, buf)
    }
}

impl AsyncWrite for Deflated {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(poll_turn(cx));
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Poll::Ready(this.deflate(&bytes[..bytes.len().min(CHUNK_BYTES)], FlushCompress::None))
    }

    /// Everything written so far becomes readable at the other end.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while matches!(this.way, Way::Out { dirty: true, .. }) {
            ready!(this.poll_drain(cx))?;
            this.deflate(&[], FlushCompress::Sync)?;
            // If all the room was used, there may be more to come.
            let whole = this.held.len() < this.held.capacity();
            if let Way::Out { dirty, .. } = &mut this.way {
                *dirty = !whole;
            }
        }
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    /// Ends the zlib stream, if we write it, and the connection.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while matches!(this.way, Way::Out { .. }) && !this.ended {
            ready!(this.poll_drain(cx))?;
            this.deflate(&[], FlushCompress::Finish)?;
        }
        if let Way::Out { .. } = this.way {
            ready!(this.poll_drain(cx))?;
        }
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}

impl AsyncRead for DataConnection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Stream(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Deflate(deflated) => Pin::new(&mut **deflated).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for DataConnection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Stream(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Deflate(deflated) => Pin::new(&mut **deflated).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Stream(stream) => Pin::new(stream).poll_flush(cx),
            Self::Deflate(deflated) => Pin::new(&mut **deflated).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Stream(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Deflate(deflated) => Pin::new(&mut **deflated).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use tokio::net::TcpStream;

    use crate::domain::value::TlsEnd;
    use crate::engine::stream::Stream;
    use flate2::write::{ZlibDecoder, ZlibEncoder};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Both ends of a connection: ours, and the client's.
    async fn pair() -> (DataStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let stream = Stream::Plain(listener.accept().await.unwrap().0.into());
        (DataStream { stream, tls_end: TlsEnd::Strict }, client)
    }

    fn deflated(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn inflated(bytes: &[u8]) -> Vec<u8> {
        let mut decoder = ZlibDecoder::new(Vec::new());
        decoder.write_all(bytes).unwrap();
        decoder.finish().unwrap()
    }

    /// What is read when the client sends `bytes` and closes; with the ending and rule.
    async fn received(bytes: Vec<u8>) -> (usize, Ending, Option<Rule>) {
        received_by(256 * 1024, bytes).await
    }

    /// The same, by reads of so many bytes.
    async fn received_by(room: usize, bytes: Vec<u8>) -> (usize, Ending, Option<Rule>) {
        let (ours, mut client) = pair().await;
        let sending = tokio::spawn(async move {
            let _ = client.write_all(&bytes).await;
        });
        let mut ours = DataConnection::receiving(ours, Some(6));
        let (mut buffer, mut count) = (vec![0; room], 0);
        let error = loop {
            match ours.read(&mut buffer).await {
                Ok(0) => break None,
                Ok(more) => count += more,
                Err(error) => break Some(error),
            }
        };
        let told = (count, ours.ending(error.as_ref()), ours.refusal().map(|no| no.rule));
        drop(ours);
        sending.await.unwrap();
        told
    }

    #[tokio::test]
    async fn what_is_sent_inflates_to_what_was_written_at_every_level() {
        let mut text: Vec<u8> = (0..300_000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect();
        text.extend(vec![0; 3_000_000]);
        for level in [0, 1, 6, 9] {
            let (ours, mut client) = pair().await;
            let expected = text.clone();
            let writing = tokio::spawn(async move {
                let mut ours = DataConnection::sending(ours, Some(level));
                ours.write_all(&expected).await.unwrap();
                ours.shutdown().await.unwrap();
            });
            let mut bytes = Vec::new();
            client.read_to_end(&mut bytes).await.unwrap();
            writing.await.unwrap();
            assert!(inflated(&bytes) == text, "level {level}");
        }
    }

    #[tokio::test]
    async fn a_flush_lets_the_client_read_what_was_written() {
        let (ours, mut client) = pair().await;
        let mut ours = DataConnection::sending(ours, Some(6));
        let mut decoder = ZlibDecoder::new(Vec::new());
        for line in ["first line", "second line"] {
            ours.write_all(line.as_bytes()).await.unwrap();
            ours.flush().await.unwrap();
            while !decoder.get_ref().ends_with(line.as_bytes()) {
                let mut buffer = [0; 100];
                let count = client.read(&mut buffer).await.unwrap();
                decoder.write_all(&buffer[..count]).unwrap();
                decoder.flush().unwrap();
            }
        }
        ours.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn one_whole_zlib_stream_is_a_file_and_nothing_else_is() {
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|number| number.wrapping_mul(number).to_be_bytes()[2]).collect();
        let good = deflated(&bytes);
        assert_eq!(received(good.clone()).await, (bytes.len(), Ending::Closed, None));
        assert_eq!(received(deflated(b"")).await, (0, Ending::Closed, None));
        assert_eq!(received(Vec::new()).await, (0, Ending::Closed, None));
        for cut in [1, good.len() / 2, good.len() - 1] {
            assert_eq!(received(good[..cut].to_vec()).await.1, Ending::Cut, "at {cut}");
        }
        let behind = [&good[..], b"x"].concat();
        assert_eq!(received(behind).await.1, Ending::Refused);
        assert_eq!(received(b"STOR is MODE S".to_vec()).await, (0, Ending::Refused, Some(Rule::NotDeflated)));
        let mut spoilt = good;
        let last = spoilt.len() - 1;
        spoilt[last] ^= 1;
        assert_eq!(received(spoilt).await.2, Some(Rule::NotDeflated), "its checksum is wrong");
    }

    /// A limit on the rate makes the reads small; the last of what came is then inflated before there is room for it.
    #[tokio::test]
    async fn a_file_is_whole_however_little_is_read_at_a_time() {
        let repetitive = b"ISA*00*~\r\n".repeat(4_000);
        let mixed: Vec<u8> = (0..40_000_u32).map(|number| number.wrapping_mul(number).to_be_bytes()[2]).collect();
        for bytes in [&repetitive[..], &repetitive[..20_000], &repetitive[..12_800], &mixed] {
            for room in [1, 7, 258, 12_800, 20_000, 32_768] {
                let came = received_by(room, deflated(bytes)).await;
                assert_eq!(came, (bytes.len(), Ending::Closed, None), "{} bytes by {room}", bytes.len());
            }
            let behind = [&deflated(bytes)[..], b"x"].concat();
            assert_eq!(received_by(12_800, behind).await.1, Ending::Refused);
            let good = deflated(bytes);
            assert_eq!(received_by(12_800, good[..good.len() - 1].to_vec()).await.1, Ending::Cut);
        }
    }

    #[tokio::test]
    async fn what_inflates_beyond_measure_is_refused_and_small_files_never_are() {
        let small = usize::try_from(RATIO_FREE_BYTES).unwrap();
        assert_eq!(received(deflated(&vec![0; small])).await, (small, Ending::Closed, None));
        let (count, ending, rule) = received(deflated(&vec![0; 4 * small])).await;
        assert!(count < small + 300_000, "{count}");
        assert_eq!((ending, rule), (Ending::Refused, Some(Rule::DeflateRatio)));
    }
}
