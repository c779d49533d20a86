//! The socket under a TLS connection: it knows where records end, acknowledges early, and reads ahead where many bytes
//! are expected.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transfer::socket::Socket;

/// How many reads of a connection are acknowledged at once.
const ACKNOWLEDGED_READS: u32 = 16;
/// The first read-ahead: a small upload fits in one piece.
const AHEAD_BYTES_MIN: usize = 16 * 1024;
/// The read-ahead once that was too small.
const AHEAD_BYTES_MAX: usize = 256 * 1024;

/// Whether to read more than TLS asks for. It asks for 4 KiB at a time, which would be four calls for each record of an
/// upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadAhead {
    /// Control connections, and data connections on which the client only reads: they hold no buffer.
    No,
    /// Uploads.
    Yes,
}

/// A socket that knows whether the bytes read end with a complete TLS record: a FIN inside one is a cut, not an end.
#[derive(Debug)]
pub(super) struct Metered {
    stream: Socket,
    header: [u8; 5],
    header_len: usize,
    body_left: usize,
    reads: u32,
    ahead: Option<Ahead>,
}

/// Bytes that were read but not requested yet.
#[derive(Debug, Default)]
struct Ahead {
    buffer: Vec<u8>,
    from: usize,
    to: usize,
}

impl Ahead {
    /// Room for the next read; it grows if the last one filled it.
    fn room(&mut self) -> &mut [u8] {
        if self.to == self.buffer.len() {
            let size = (self.buffer.len() * 4).clamp(AHEAD_BYTES_MIN, AHEAD_BYTES_MAX);
            self.buffer.resize(size, 0);
        }
        (self.from, self.to) = (0, 0);
        &mut self.buffer
    }

    /// Hands out what is there; `false` if nothing is.
    fn hand_out(&mut self, to: &mut ReadBuf<'_>) -> bool {
        let count = to.remaining().min(self.to - self.from);
        to.put_slice(&self.buffer[self.from..self.from + count]);
        self.from += count;
        count > 0
    }
}

impl Metered {
    pub(super) fn new(stream: Socket, ahead: ReadAhead) -> Self {
        let ahead = (ahead == ReadAhead::Yes).then(Ahead::default);
        Self { stream, header: [0; 5], header_len: 0, body_left: 0, reads: 0, ahead }
    }

    /// Reads from the socket, through the read-ahead.
    fn poll_bytes(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(ahead) = &mut self.ahead else { return Pin::new(&mut self.stream).poll_read(cx, buf) };
        if !ahead.hand_out(buf) {
            let mut room = ReadBuf::new(ahead.room());
            std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, &mut room))?;
            ahead.to = room.filled().len();
            ahead.hand_out(buf);
        }
        Poll::Ready(Ok(()))
    }

    /// Acknowledges the first reads at once. A client that ends its handshake, sends a small file and closes makes
    /// three small writes, and its kernel holds each back until the previous one is acknowledged (RFC 896); with our
    /// kernel's delay of 40 ms every small upload would take that long.
    fn acknowledge(&mut self) {
        if self.reads < ACKNOWLEDGED_READS {
            self.reads += 1;
            // Only a hint: without it the kernel is slower, nothing else.
            let _ = self.stream.handle().map(|socket| rustix::net::sockopt::set_tcp_quickack(socket, true));
        }
    }

    /// Whether the last byte read ended a record.
    pub(super) fn is_between_records(&self) -> bool {
        self.header_len == 0 && self.body_left == 0
    }

    /// The socket itself.
    pub(super) fn socket(&self) -> &Socket {
        &self.stream
    }

    /// The same, mutable.
    pub(super) fn socket_mut(&mut self) -> &mut Socket {
        &mut self.stream
    }

    fn meter(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.body_left > 0 {
                let step = self.body_left.min(bytes.len());
                self.body_left -= step;
                bytes = &bytes[step..];
                continue;
            }
            let step = (self.header.len() - self.header_len).min(bytes.len());
            self.header[self.header_len..self.header_len + step].copy_from_slice(&bytes[..step]);
            self.header_len += step;
            bytes = &bytes[step..];
            if self.header_len == self.header.len() {
                self.body_left = usize::from(u16::from_be_bytes([self.header[3], self.header[4]]));
                self.header_len = 0;
            }
        }
    }
}

impl AsyncRead for Metered {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = this.poll_bytes(cx, buf);
        let read = &buf.filled()[before..];
        if !read.is_empty() {
            this.meter(read);
            this.acknowledge();
        }
        polled
    }
}

impl AsyncWrite for Metered {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn a_meter_knows_where_records_end_however_they_come() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut meter = Metered::new(stream.into(), ReadAhead::No);
        let record = [23, 3, 3, 0, 4, 1, 2, 3, 4];
        for cut in 0..record.len() {
            meter.meter(&record[..cut]);
            assert_eq!(meter.is_between_records(), cut == 0, "after {cut} bytes");
            meter.meter(&record[cut..]);
            assert!(meter.is_between_records());
        }
        let two: Vec<u8> = record.iter().chain(&record).copied().collect();
        meter.meter(&two);
        assert!(meter.is_between_records());
    }

    #[tokio::test]
    async fn bytes_read_ahead_come_whole_and_in_order() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        // Whole records, as the meter expects them: each of 1000 bytes.
        let record: Vec<u8> = [23, 3, 3, 3, 232].into_iter().chain((0..1000_u32).map(|n| n.to_le_bytes()[0])).collect();
        let sent = record.repeat(2_000);
        let all = sent.clone();
        let writing = tokio::spawn(async move {
            client.write_all(&all).await.unwrap();
            client.shutdown().await.unwrap();
        });
        let mut meter = Metered::new(stream.into(), ReadAhead::Yes);
        let (mut got, mut piece) = (Vec::new(), [0_u8; 4096]);
        loop {
            match meter.read(&mut piece).await.unwrap() {
                0 => break,
                count => got.extend_from_slice(&piece[..count]),
            }
        }
        writing.await.unwrap();
        assert!(got == sent, "{} of {} bytes, or others", got.len(), sent.len());
        assert!(meter.is_between_records());
        assert_eq!(meter.ahead.unwrap().buffer.len(), AHEAD_BYTES_MAX, "it grew");
    }
}
