//! The same FTP client over TLS, of either version.

use std::net::SocketAddr;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client::{Client, Reply};
use super::trusting::{Identity, Version, connector, saver};

/// A session over TLS, its data connections too.
pub(crate) struct Secured {
    pub(crate) client: Client,
    connector: TlsConnector,
}

impl Secured {
    /// `AUTH TLS`, `PBSZ 0`, `PROT P`; nobody is logged in.
    pub(crate) async fn connect(server: SocketAddr, version: Version) -> Self {
        Self::connect_as(server, version, None).await
    }

    /// The same, with a client certificate.
    pub(crate) async fn connect_as(server: SocketAddr, version: Version, identity: Option<Identity>) -> Self {
        let stream = TcpStream::connect(server).await.expect("the server accepts");
        Self::over(stream, server, (version, identity)).await
    }

    /// The same over a connection that stands.
    pub(crate) async fn over(
        stream: TcpStream,
        server: SocketAddr,
        (version, identity): (Version, Option<Identity>),
    ) -> Self {
        Self::with(stream, server, connector(version, identity)).await
    }

    async fn with(mut stream: TcpStream, server: SocketAddr, connector: TlsConnector) -> Self {
        stream.set_nodelay(true).expect("the socket takes options");
        line(&mut stream, "220").await;
        stream.write_all(b"AUTH TLS\r\n").await.expect("the server reads");
        line(&mut stream, "234").await;
        let stream = shake(&connector, stream).await.expect("the handshake of the control connection");
        let mut client = Client::over(stream, server);
        client.expect("PBSZ 0", 200).await;
        client.expect("PROT P", 200).await;
        Self { client, connector }
    }

    /// The same, logged in.
    pub(crate) async fn login(server: SocketAddr, version: Version, (name, password): (&str, &str)) -> Self {
        let mut secured = Self::connect(server, version).await;
        secured.log_in(name, password).await;
        secured
    }

    /// The same by TLS 1.3, with a client that spends each ticket once.
    pub(crate) async fn login_saving(server: SocketAddr, (name, password): (&str, &str)) -> Self {
        let stream = TcpStream::connect(server).await.expect("the server accepts");
        let mut secured = Self::with(stream, server, saver()).await;
        secured.log_in(name, password).await;
        secured
    }

    async fn log_in(&mut self, name: &str, password: &str) {
        self.client.expect(&format!("USER {name}"), 331).await;
        self.client.expect(&format!("PASS {password}"), 230).await;
        self.client.expect("TYPE I", 200).await;
    }

    /// Shakes hands on a data connection; it resumes the control connection's session.
    pub(crate) async fn shake(&self, data: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        shake(&self.connector, data).await
    }

    /// Its data connections belong to another session from now on.
    pub(crate) fn resume_of(&mut self, other: &Self) {
        self.connector = other.connector.clone();
    }

    /// An upload that shakes hands after the 150; the final reply.
    pub(crate) async fn put(&mut self, line: &str, bytes: &[u8]) -> Reply {
        let data = match self.client.begin(line).await {
            Ok(data) => data,
            Err(refusal) => return refusal,
        };
        let Ok(mut data) = self.shake(data).await else { return self.client.reply().await };
        // A server that refuses the connection takes no bytes.
        let _ = data.write_all(bytes).await;
        let _ = data.shutdown().await;
        drop(data);
        self.client.reply().await
    }

    /// A download or a listing that shakes hands after the 150.
    pub(crate) async fn fetch(&mut self, line: &str) -> Result<Vec<u8>, Reply> {
        let data = self.client.begin(line).await?;
        let mut data = self.shake(data).await.expect("the handshake of the data connection");
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes).await.expect("the data connection gives bytes and says that it ends");
        let reply = self.client.reply().await;
        if reply.code == 226 { Ok(bytes) } else { Err(reply) }
    }
}

async fn shake(connector: &TlsConnector, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
    connector.connect(ServerName::try_from("localhost").expect("a name"), stream).await
}

/// A handshake on a connection on which TLS begins now. `name` goes into it, unless it is an address.
pub(crate) async fn handshake(
    stream: TcpStream,
    version: Version,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).expect("a name or an address");
    connector(version, None).connect(name, stream).await
}

/// Reads one line in clear, byte by byte: nothing behind it is taken.
async fn line(stream: &mut TcpStream, code: &str) {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n") {
        text.push(stream.read_u8().await.expect("a reply in clear"));
    }
    assert!(text.starts_with(format!("{code} ").as_bytes()), "{}", String::from_utf8_lossy(&text));
}
