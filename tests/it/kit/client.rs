//! A small FTP client that shows every reply. It does what it is told, wrong things included.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a reply may take.
const REPLY_WITHIN: Duration = Duration::from_secs(30);

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    /// Every line, as it came.
    pub(crate) text: String,
}

/// How a data connection is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Passive {
    Pasv,
    Epsv,
}

/// One control connection.
pub(crate) struct Client {
    reader: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    /// The socket itself, of a connection in clear: urgent data goes past every layer.
    socket: Option<OwnedFd>,
    pub(crate) server: SocketAddr,
    pub(crate) greeting: Reply,
    pub(crate) passive: Passive,
}

impl Client {
    /// Connects and reads the greeting.
    pub(crate) async fn connect(server: SocketAddr) -> Self {
        Self::try_connect(server).await.unwrap_or_else(|error| panic!("{server}: {error}"))
    }

    /// Connects and reads the greeting; an error when the connection is refused or closed at once.
    pub(crate) async fn try_connect(server: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let socket = stream.as_fd().try_clone_to_owned()?;
        let mut client = Self::over(stream, server);
        client.socket = Some(socket);
        client.greeting = client.try_reply().await?;
        Ok(client)
    }

    /// Goes on over a connection that stands; nothing is read yet.
    pub(crate) fn over(stream: impl AsyncRead + AsyncWrite + Send + 'static, server: SocketAddr) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        let greeting = Reply { code: 0, text: String::new() };
        let reader = BufReader::new(Box::new(reader) as Box<dyn AsyncRead + Send + Unpin>);
        Self { reader, writer: Box::new(writer), socket: None, server, greeting, passive: Passive::Epsv }
    }

    /// Connects and logs in; TYPE I.
    pub(crate) async fn login(server: SocketAddr, name: &str, password: &str) -> Self {
        let mut client = Self::connect(server).await;
        assert_eq!(client.greeting.code, 220, "{:?}", client.greeting);
        client.expect(&format!("USER {name}"), 331).await;
        client.expect(&format!("PASS {password}"), 230).await;
        client.expect("TYPE I", 200).await;
        client
    }

    /// Sends bytes as they are.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).await.expect("the control connection takes bytes");
    }

    /// The same; an error when the connection breaks. By TLS what is not flushed may stay here.
    async fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.writer.write_all(bytes).await?;
        self.writer.flush().await
    }

    /// Sends one byte as urgent data (RFC 959 section 4.1.3: telnet's data mark).
    pub(crate) fn write_urgent(&mut self, byte: u8) {
        let socket = self.socket.as_ref().expect("a connection in clear");
        let sent = rustix::net::send(socket, &[byte], rustix::net::SendFlags::OOB).expect("an urgent byte is sent");
        assert_eq!(sent, 1);
    }

    /// Sends a command and reads its reply.
    pub(crate) async fn send(&mut self, line: &str) -> Reply {
        self.write(format!("{line}\r\n").as_bytes()).await;
        self.reply().await
    }

    /// Sends a command whose reply must have this code.
    pub(crate) async fn expect(&mut self, line: &str, code: u16) -> Reply {
        let reply = self.send(line).await;
        assert_eq!(reply.code, code, "{line}: {}", reply.text);
        reply
    }

    /// The next reply.
    pub(crate) async fn reply(&mut self) -> Reply {
        self.try_reply().await.unwrap_or_else(|error| panic!("no reply: {error}"))
    }

    /// The next reply; an error when the connection ends or nothing comes.
    pub(crate) async fn try_reply(&mut self) -> std::io::Result<Reply> {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            let read = timeout(REPLY_WITHIN, self.reader.read_line(&mut line));
            if read.await.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            assert!(line.ends_with("\r\n"), "a reply line without CRLF: {line:?}");
            text.push_str(&line);
            let code = line.get(..3).and_then(|code| code.parse().ok());
            if let (Some(code), Some(" ")) = (code, line.get(3..4)) {
                return Ok(Reply { code, text });
            }
        }
    }

    /// Sends a command and reads its reply; an error when the connection breaks.
    pub(crate) async fn try_send(&mut self, line: &str) -> std::io::Result<Reply> {
        self.try_write(format!("{line}\r\n").as_bytes()).await?;
        self.try_reply().await
    }

    /// Asks for a data connection and opens it; an error when either connection breaks.
    pub(crate) async fn try_data(&mut self) -> std::io::Result<TcpStream> {
        let reply = self.try_send("EPSV").await?;
        TcpStream::connect(epsv_address(self.server, &reply.text)).await
    }

    /// Asks for a data connection and opens it.
    pub(crate) async fn data(&mut self) -> TcpStream {
        let address = match self.passive {
            Passive::Epsv => epsv_address(self.server, &self.expect("EPSV", 229).await.text),
            Passive::Pasv => pasv_address(&self.expect("PASV", 227).await.text),
        };
        TcpStream::connect(address).await.unwrap_or_else(|error| panic!("data connection to {address}: {error}"))
    }

    /// Begins a transfer: the data connection once 150 came, else the refusal.
    pub(crate) async fn begin(&mut self, line: &str) -> Result<TcpStream, Reply> {
        let data = self.data().await;
        let reply = self.send(line).await;
        if reply.code == 150 || reply.code == 125 { Ok(data) } else { Err(reply) }
    }

    /// `STOR`, `APPE` or the like with these bytes; the final reply.
    pub(crate) async fn put(&mut self, line: &str, bytes: &[u8]) -> Reply {
        match self.begin(line).await {
            Err(refusal) => refusal,
            Ok(mut data) => {
                data.write_all(bytes).await.expect("the data connection takes bytes");
                data.shutdown().await.expect("the data connection closes");
                drop(data);
                self.reply().await
            }
        }
    }

    /// An upload that must succeed.
    pub(crate) async fn store(&mut self, path: &str, bytes: &[u8]) {
        let reply = self.put(&format!("STOR {path}"), bytes).await;
        assert_eq!(reply.code, 226, "STOR {path}: {}", reply.text);
    }

    /// A download or a listing: its bytes, or the refusal.
    pub(crate) async fn fetch(&mut self, line: &str) -> Result<Vec<u8>, Reply> {
        let mut data = self.begin(line).await?;
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes).await.expect("the data connection gives bytes");
        let reply = self.reply().await;
        if reply.code == 226 { Ok(bytes) } else { Err(reply) }
    }

    /// A listing that must succeed.
    pub(crate) async fn list(&mut self, line: &str) -> String {
        match self.fetch(line).await {
            Ok(bytes) => String::from_utf8(bytes).expect("a listing in UTF-8"),
            Err(reply) => panic!("{line}: {}", reply.text),
        }
    }
}

pub(crate) fn epsv_address(server: SocketAddr, text: &str) -> SocketAddr {
    let inside = text.split_once("(|||").and_then(|(_, rest)| rest.split_once("|)")).map(|(port, _)| port);
    let port = inside.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no port in {text}"));
    SocketAddr::new(server.ip(), port)
}

pub(crate) fn pasv_address(text: &str) -> SocketAddr {
    let inside = text.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(inside, _)| inside);
    let numbers: Vec<u8> = inside.split(',').filter_map(|number| number.parse().ok()).collect();
    let &[a, b, c, d, high, low] = numbers.as_slice() else { panic!("no address in {text}") };
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), u16::from_be_bytes([high, low]))
}
