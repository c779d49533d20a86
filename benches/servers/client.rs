//! A client that costs as little as it can, so that what is measured is the server.
//! It blocks, drops what it reads, and sends uploads from one buffer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::RecvFlags;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// Bytes moved by one call.
const CHUNK_BYTES: usize = 256 * 1024;
/// TLS sessions that a client remembers.
const TLS_SESSIONS: usize = 32;
/// A server that says nothing for so long has failed.
const READ_TIMEOUT: Duration = Duration::from_mins(1);

/// How a session speaks.
#[derive(Clone)]
pub enum Speech {
    /// In clear.
    Plain,
    /// AUTH TLS, PROT P.
    Tls(Arc<ClientConfig>),
}

impl Speech {
    /// With TLS sessions of its own: a partner's program resumes those of its control connection, and knows no other's.
    fn of_one_session(&self) -> Self {
        match self {
            Self::Plain => Self::Plain,
            Self::Tls(config) => {
                let mut config = ClientConfig::clone(config);
                config.resumption = Resumption::in_memory_sessions(TLS_SESSIONS);
                Self::Tls(Arc::new(config))
            }
        }
    }
}

/// A TLS stream whose records are read many at a time.
type Secured = StreamOwned<ClientConnection, Buffered>;

enum Line {
    Plain(BufReader<TcpStream>),
    Tls(Box<BufReader<Secured>>),
}

/// A session that is logged in.
pub struct Client {
    line: Line,
    speech: Speech,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects and logs in.
    pub fn log_in(server: SocketAddr, speech: &Speech, user: &str, password: &str) -> io::Result<Self> {
        let stream = connect(server)?;
        let mut client = Self {
            line: Line::Plain(BufReader::with_capacity(1024, stream)),
            speech: speech.of_one_session(),
            buffer: vec![b'w'; CHUNK_BYTES],
        };
        client.expect("2")?;
        if let Speech::Tls(config) = client.speech.clone() {
            client.command("AUTH TLS", "234")?;
            let Line::Plain(reader) = client.line else { unreachable!("it began in clear") };
            let secured = secure(reader.into_inner(), &config)?;
            client.line = Line::Tls(Box::new(BufReader::with_capacity(1024, secured)));
        }
        if client.command(&format!("USER {user}"), "")?.starts_with('3') {
            client.command(&format!("PASS {password}"), "2")?;
        }
        if matches!(speech, Speech::Tls(_)) {
            client.command("PBSZ 0", "200")?;
            client.command("PROT P", "200")?;
        }
        client.command("TYPE I", "200")?;
        Ok(client)
    }

    /// Sends a command and gives the last line of its reply, which must begin with `code`.
    pub fn command(&mut self, command: &str, code: &str) -> io::Result<String> {
        let line = format!("{command}\r\n");
        match &mut self.line {
            Line::Plain(stream) => stream.get_mut().write_all(line.as_bytes())?,
            Line::Tls(stream) => {
                stream.get_mut().write_all(line.as_bytes())?;
                stream.get_mut().flush()?;
            }
        }
        self.expect(code).map_err(|error| io::Error::other(format!("{command}: {error}")))
    }

    /// The next reply's last line.
    fn expect(&mut self, code: &str) -> io::Result<String> {
        loop {
            let mut line = String::new();
            let count = match &mut self.line {
                Line::Plain(stream) => stream.read_line(&mut line)?,
                Line::Tls(stream) => stream.read_line(&mut line)?,
            };
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let last =
                line.len() > 3 && line.as_bytes()[..3].iter().all(u8::is_ascii_digit) && line.as_bytes()[3] == b' ';
            if last {
                let fits = line.starts_with(code);
                return if fits {
                    Ok(line)
                } else {
                    Err(io::Error::other(format!("the server said {}", line.trim_end())))
                };
            }
        }
    }

    /// The data connection's socket: the passive port is asked for, then the command sent.
    fn open(&mut self, command: &str) -> io::Result<TcpStream> {
        let reply = self.command("EPSV", "229")?;
        let port = reply.split('|').nth(3).and_then(|port| port.parse().ok());
        let port: u16 = port.ok_or_else(|| io::Error::other(format!("no port in {reply}")))?;
        let stream = connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        self.command(command, "1")?;
        Ok(stream)
    }

    /// Fetches what `command` asks for and drops it; gives the count of bytes.
    pub fn fetch(&mut self, command: &str) -> io::Result<u64> {
        let stream = self.open(command)?;
        let count = match &self.speech {
            Speech::Plain => {
                let count = drain(&stream)?;
                // ProFTPD keeps its 226 back until the client has closed its side, or ten seconds are over.
                drop(stream);
                count
            }
            Speech::Tls(config) => {
                let mut secured = secure(stream, config)?;
                let mut count = 0;
                loop {
                    match secured.read(&mut self.buffer) {
                        Ok(0) => break,
                        Ok(more) => count += more as u64,
                        // Some servers end without the TLS word for it.
                        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                        Err(error) => return Err(error),
                    }
                }
                count
            }
        };
        self.expect("226")?;
        Ok(count)
    }

    /// Stores `size` bytes.
    pub fn store(&mut self, path: &str, size: u64) -> io::Result<()> {
        let stream = self.open(&format!("STOR {path}"))?;
        match &self.speech {
            Speech::Plain => {
                let mut stream = stream;
                send(&mut stream, &self.buffer, size)?;
                stream.shutdown(Shutdown::Write)?;
            }
            Speech::Tls(config) => {
                let mut secured = secure(stream, config)?;
                send(&mut secured, &self.buffer, size)?;
                secured.conn.send_close_notify();
                secured.flush()?;
                while secured.conn.wants_write() {
                    secured.conn.write_tls(&mut secured.sock)?;
                }
                secured.sock.stream.shutdown(Shutdown::Write)?;
                // Unread tickets would turn the close into a reset, which costs a server the file's tail.
                drain(&secured.sock.stream)?;
            }
        }
        self.expect("226").map(drop)
    }
}

fn send(to: &mut impl Write, buffer: &[u8], size: u64) -> io::Result<()> {
    let mut left = size;
    while left > 0 {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        to.write_all(&buffer[..count])?;
        left -= count as u64;
    }
    Ok(())
}

/// Reads what comes to its end, and drops it.
fn drain(stream: &TcpStream) -> io::Result<u64> {
    let mut scrap = vec![0_u8; 4 * CHUNK_BYTES];
    let mut count = 0;
    loop {
        let (more, _) = rustix::net::recv(stream, &mut scrap[..], RecvFlags::empty())?;
        if more == 0 {
            return Ok(count);
        }
        count += more as u64;
    }
}

fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    stream.set_write_timeout(Some(READ_TIMEOUT))?;
    Ok(stream)
}

fn secure(stream: TcpStream, config: &Arc<ClientConfig>) -> io::Result<Secured> {
    let name = ServerName::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST));
    let mut connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    connection.set_buffer_limit(Some(4 * CHUNK_BYTES));
    let mut socket = Buffered { stream, buffer: Vec::new(), at: 0 };
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(connection, socket))
}

/// A socket that is read in large pieces: rustls asks for 4 KiB at a time.
pub struct Buffered {
    stream: TcpStream,
    buffer: Vec<u8>,
    at: usize,
}

impl Read for Buffered {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.buffer.len() {
            self.buffer.resize(CHUNK_BYTES, 0);
            self.at = 0;
            let count = self.stream.read(&mut self.buffer)?;
            self.buffer.truncate(count);
        }
        let count = into.len().min(self.buffer.len() - self.at);
        into[..count].copy_from_slice(&self.buffer[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

impl Write for Buffered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn write_vectored(&mut self, bytes: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.stream.write_vectored(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
