//! The client: lines out, replies in (RFC 959 section 4.2), TLS on both connections (RFC 4217), data connections by
//! EPSV (RFC 2428). Every wait is bounded.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::access::certificate::Facts;

/// How long one step of the conversation may take.
const STEP_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of one reply, and of one listing; the rest of a listing is not read.
const READ_BYTES_MAX: usize = 64 * 1024;

/// What went wrong, as the end of a sentence.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Nothing came in time.
    #[error("no answer came within {} seconds", STEP_WITHIN.as_secs())]
    TimedOut,
    /// The other side said no.
    #[error("the answer was: {0}")]
    Refused(Answer),
    /// What came was not a reply.
    #[error("what came was no FTP reply: {0:?}")]
    Unreadable(String),
    /// The network or TLS.
    #[error("{0}")]
    Network(#[from] io::Error),
}

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its code.
    pub code: u16,
    /// All of it, lines separated by blanks.
    pub text: String,
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// The result of a handshake.
#[derive(Clone, Debug)]
pub struct Agreed {
    /// `TLS 1.3`.
    pub version: String,
    /// The contents of the certificate, or why it cannot be read.
    pub certificate: Result<Facts, String>,
}

/// A control connection.
#[derive(Debug)]
pub struct Client {
    stream: Stream,
    read: Vec<u8>,
    peer: SocketAddr,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// While a handshake owns the socket; permanently, if it failed.
    Gone,
}

impl Client {
    /// Connects without reading.
    pub async fn connect(to: SocketAddr) -> Result<Self, Trouble> {
        let stream = in_time(TcpStream::connect(to)).await?;
        stream.set_nodelay(true)?;
        let peer = stream.peer_addr()?;
        Ok(Self { stream: Stream::Plain(stream), read: Vec::new(), peer, tls: None })
    }

    /// Whether to the server this client is on its own host.
    pub fn is_here(&self) -> bool {
        let Stream::Plain(stream) = &self.stream else { return false };
        let own = stream.local_addr().map(|own| own.ip().to_canonical());
        self.peer.ip().to_canonical().is_loopback() || own.is_ok_and(|own| own == self.peer.ip().to_canonical())
    }

    /// Begins TLS now.
    pub async fn secure(&mut self, config: &Arc<ClientConfig>, name: &ServerName<'static>) -> Result<Agreed, Trouble> {
        let Stream::Plain(stream) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            return Err(io::Error::from(io::ErrorKind::NotConnected).into());
        };
        let stream = in_time(TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream)).await?;
        let connection = stream.get_ref().1;
        let version = connection
            .protocol_version()
            .map_or("TLS".to_owned(), |version| format!("{version:?}").replace("TLSv1_", "TLS 1."));
        let chain = connection.peer_certificates().unwrap_or_default();
        let certificate = Facts::of(chain);
        self.stream = Stream::Tls(Box::new(stream));
        self.tls = Some((Arc::clone(config), name.clone()));
        Ok(Agreed { version, certificate })
    }

    /// Sends one line and reads the reply.
    pub async fn say(&mut self, line: &str) -> Result<Answer, Trouble> {
        in_time(self.stream.write_all(format!("{line}\r\n").as_bytes())).await?;
        in_time(self.stream.flush()).await?;
        self.answer().await
    }

    /// Sends one line; any reply of 400 or more is an error.
    pub async fn ask(&mut self, line: &str) -> Result<Answer, Trouble> {
        accepted(self.say(line).await?)
    }

    /// The next reply, all its lines.
    pub async fn answer(&mut self) -> Result<Answer, Trouble> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await?;
            let is_last = line.len() >= 4 && line.as_bytes()[..3].iter().all(u8::is_ascii_digit) && &line[3..4] == " ";
            let code = line.get(..3).and_then(|digits| digits.parse().ok());
            lines.push(line);
            match code {
                Some(code) if is_last => return Ok(Answer { code, text: lines.join(" ") }),
                None if lines.len() == 1 => return Err(Trouble::Unreadable(lines.concat())),
                _ => {}
            }
        }
    }

    async fn line(&mut self) -> Result<String, Trouble> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().chars().filter(|c| !c.is_control()).collect());
            }
            if self.read.len() > READ_BYTES_MAX {
                return Err(Trouble::Unreadable("more than 64 KiB without an end".to_owned()));
            }
            let mut buffer = [0; 1_024];
            match in_time(self.stream.read(&mut buffer)).await? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                count => self.read.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Asks for a data connection and opens it; its TLS begins later ([`Self::fetch`], [`Self::put`]).
    async fn data(&mut self) -> Result<TcpStream, Trouble> {
        let answer = self.ask("EPSV").await?;
        let port = answer.text.split('|').nth(3).and_then(|port| port.parse::<u16>().ok());
        let port = port.ok_or_else(|| Trouble::Unreadable(answer.text.clone()))?;
        in_time(TcpStream::connect(SocketAddr::new(self.peer.ip(), port))).await
    }

    /// The data connection, with TLS if agreed, and whether that resumed the control connection's session.
    async fn protect(&self, stream: TcpStream) -> Result<(Stream, bool), Trouble> {
        let Some((config, name)) = &self.tls else { return Ok((Stream::Plain(stream), false)) };
        let stream = in_time(TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream)).await?;
        let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        Ok((Stream::Tls(Box::new(stream)), resumed))
    }

    /// A command that returns something over a data connection: how many lines, and whether TLS was resumed.
    pub async fn fetch(&mut self, line: &str) -> Result<(usize, bool), Trouble> {
        let data = self.data().await?;
        self.ask(line).await?;
        let (mut data, resumed) = self.protect(data).await?;
        let mut bytes = Vec::new();
        let mut limited = (&mut data).take(READ_BYTES_MAX as u64);
        in_time(limited.read_to_end(&mut bytes)).await?;
        drop(data);
        accepted(self.answer().await?)?;
        Ok((String::from_utf8_lossy(&bytes).lines().count(), resumed))
    }

    /// A command that sends `bytes` over a data connection.
    pub async fn put(&mut self, line: &str, bytes: &[u8]) -> Result<Answer, Trouble> {
        let data = self.data().await?;
        self.ask(line).await?;
        let (mut data, _) = self.protect(data).await?;
        in_time(data.write_all(bytes)).await?;
        in_time(data.shutdown()).await?;
        accepted(self.answer().await?)
    }
}

fn accepted(answer: Answer) -> Result<Answer, Trouble> {
    if answer.code < 400 { Ok(answer) } else { Err(Trouble::Refused(answer)) }
}

async fn in_time<T>(what: impl Future<Output = io::Result<T>>) -> Result<T, Trouble> {
    Ok(tokio::time::timeout(STEP_WITHIN, what).await.map_err(|_| Trouble::TimedOut)??)
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}
