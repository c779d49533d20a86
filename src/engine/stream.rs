//! Control and data connections, in clear or over TLS, and how a data connection ended.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::metered::Metered;
use crate::domain::receipt::Ending;
use crate::domain::value::TlsEnd;
use crate::transfer::copy::{Inbound, Outbound};
use crate::transfer::socket::{Socket, Waiting};

/// A connection.
#[derive(Debug)]
pub(super) enum Stream {
    /// In clear.
    Plain(Socket),
    /// Over TLS.
    Tls(Box<TlsStream<Metered>>),
    /// In between: the handshake owns the socket.
    Gone,
}

impl Stream {
    /// A second handle of the socket.
    pub(super) fn second_handle(&self) -> io::Result<OwnedFd> {
        let handle = self.socket().and_then(Socket::handle);
        handle.ok_or(io::ErrorKind::NotConnected)?.try_clone_to_owned()
    }
}

impl Stream {
    /// The socket underneath.
    pub(super) fn socket(&self) -> Option<&Socket> {
        match self {
            Self::Plain(stream) => Some(stream),
            Self::Tls(stream) => Some(stream.get_ref().0.socket()),
            Self::Gone => None,
        }
    }

    fn wait(&mut self, who: Waiting) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.wait(who),
            Self::Tls(stream) => stream.get_mut().0.socket_mut().wait(who),
            Self::Gone => Ok(()),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, buf),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}

/// An open data connection.
#[derive(Debug)]
pub(super) struct DataStream {
    /// The connection.
    pub(super) stream: Stream,
    /// Whether an upload may end without TLS's own signature (PRODUCT 5.3).
    pub(super) tls_end: TlsEnd,
}

impl Inbound for DataStream {
    fn ending(&self, error: Option<&io::Error>) -> Ending {
        match (&self.stream, error) {
            (_, None) => Ending::Closed,
            (Stream::Tls(stream), Some(error))
                if error.kind() == io::ErrorKind::UnexpectedEof && stream.get_ref().0.is_between_records() =>
            {
                Ending::Unsigned
            }
            (_, Some(_)) => Ending::Cut,
        }
    }

    fn is_by_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    fn ends_tolerantly(&self) -> bool {
        self.tls_end == TlsEnd::Tolerant
    }
}

impl Outbound for DataStream {
    fn plain(&mut self) -> Option<&mut Socket> {
        match &mut self.stream {
            Stream::Plain(stream) => Some(stream),
            Stream::Tls(_) | Stream::Gone => None,
        }
    }

    fn wait(&mut self, who: Waiting) -> io::Result<()> {
        self.stream.wait(who)
    }
}

impl AsyncRead for DataStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for DataStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
