//! Data connections: passive ones accepted only from the control peer's address, active ones made to it.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::early::{Come, Early};
use super::proxy;
use crate::access::passive::{Lease, NoPort, Ports, any_port};
use crate::domain::profile::Profile;

/// Ports tried before passive mode fails.
const BIND_TRIES_MAX: u32 = 50;
/// Connections that may wait at a passive port: the client's, and a few strangers'.
const BACKLOG: u32 = 8;

/// Where the next data connection comes from.
#[derive(Debug)]
pub enum Agreed {
    /// Accepts it here.
    Passive(Passive),
    /// Accepts it here, and TLS may begin before the command.
    Early(Early),
    /// Connects it.
    Active {
        /// To there.
        to: SocketAddr,
        /// From this port if possible, the one below the control connection's (RFC 959 section 3.2).
        from: u16,
    },
}

/// An open passive port.
#[derive(Debug)]
pub struct Passive {
    listener: TcpListener,
    /// At the time of the command that asked for it: which balancers speak for others.
    profile: Arc<Profile>,
    /// Given back with the port; `None` if the system chose the port.
    _lease: Option<Lease>,
}

/// Why there is no data connection.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Nobody connected, or nobody answered, in time.
    #[error("the data connection did not come in time")]
    TimedOut,
    /// Only others connected.
    #[error("a connection came from {0}, which is not the control connection's address")]
    WrongPeer(IpAddr),
    /// The network failed.
    #[error("the data connection could not be made: {0}")]
    Network(#[from] io::Error),
}

/// Why there is no passive port.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The range has none for this client.
    #[error(transparent)]
    NoPort(#[from] NoPort),
    /// The system said no.
    #[error("a port could not be opened: {0}")]
    Network(#[from] io::Error),
}

/// Opens a passive port on `local`, the control connection's own address.
pub fn listen(
    ports: &Ports,
    profile: &Arc<Profile>,
    (local, client): (IpAddr, IpAddr),
) -> Result<(Passive, SocketAddr), ListenError> {
    let mut tried = HashSet::new();
    for _ in 0..BIND_TRIES_MAX {
        let lease = match &profile.passive_port_range {
            None => None,
            Some(range) => Some(ports.lease(range, client, &tried)?),
        };
        let port = lease.as_ref().map_or_else(any_port, Lease::port);
        match bind(SocketAddr::new(local, port)) {
            Ok(listener) => return Ok(passive(listener, lease, profile)?),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && port != 0 => {
                tried.insert(port);
            }
            Err(error) => return Err(error.into()),
        }
    }
    if profile.passive_port_range.is_some() {
        return Err(io::Error::from(io::ErrorKind::AddrInUse).into());
    }
    Ok(passive(bind(SocketAddr::new(local, 0))?, None, profile)?)
}

fn passive(listener: TcpListener, lease: Option<Lease>, profile: &Arc<Profile>) -> io::Result<(Passive, SocketAddr)> {
    let at = listener.local_addr()?;
    Ok((Passive { listener, _lease: lease, profile: Arc::clone(profile) }, at))
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Agreed {
    /// The data connection, perhaps already in its handshake. `peer` is the control connection's client.
    pub(super) async fn open(self, peer: IpAddr, local: IpAddr, timeout: Duration) -> Result<Come, DataError> {
        let wrong = OnceLock::new();
        let opened = match self {
            Self::Passive(passive) => tokio::time::timeout(timeout, passive.accept(peer, &wrong)).await,
            Self::Early(early) => return early.come(timeout).await,
            Self::Active { to, from } => tokio::time::timeout(timeout, connect(to, SocketAddr::new(local, from))).await,
        };
        match (opened, wrong.get()) {
            (Ok(stream), _) => Ok(Come::Silent(stream?)),
            (Err(_), Some(other)) => Err(DataError::WrongPeer(*other)),
            (Err(_), None) => Err(DataError::TimedOut),
        }
    }
}

impl Passive {
    /// The first connection from `peer`; `wrong` keeps the first other address.
    pub(super) async fn accept(&self, peer: IpAddr, wrong: &OnceLock<IpAddr>) -> io::Result<TcpStream> {
        loop {
            let (mut stream, from) = self.listener.accept().await?;
            let mut from = from.ip().to_canonical();
            if self.profile.proxy_protocol_from.contains(from) {
                match proxy::read(&mut stream).await {
                    Ok(client) => from = client.unwrap_or(from),
                    Err(error) => {
                        tracing::warn!(balancer = %from, "A data connection was closed: {error}");
                        continue;
                    }
                }
            }
            if from == peer {
                return made_ready(stream);
            }
            // Dropped, that is closed; the client itself may still come.
            let _ = wrong.set(from);
        }
    }
}

fn made_ready(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    keep_alive(&stream)?;
    Ok(stream)
}

/// From that port if possible, otherwise from any: it may be privileged, in use, or still remember an earlier
/// connection to the same port of the client.
async fn connect(to: SocketAddr, from: SocketAddr) -> io::Result<TcpStream> {
    let any = SocketAddr::new(from.ip(), 0);
    match connect_from(to, from).await {
        Err(error) if from.port() != 0 && is_taken(&error) => connect_from(to, any).await,
        other => other,
    }
}

fn is_taken(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    matches!(error.kind(), AddrInUse | AddrNotAvailable | PermissionDenied)
}

async fn connect_from(to: SocketAddr, from: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(from)?;
    made_ready(socket.connect(to).await?)
}

/// Detects that the other side is gone, even while nothing moves.
pub fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    let timing = socket2::TcpKeepalive::new()
        .with_time(Duration::from_mins(1))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    socket2::SockRef::from(stream).set_tcp_keepalive(&timing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_active_connection_comes_from_the_wanted_port_or_else_from_any() {
        let client = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = client.local_addr().unwrap();
        let held = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let from = held.local_addr().unwrap();
        let ours = connect(to, from).await.unwrap();
        assert_ne!(ours.local_addr().unwrap().port(), from.port(), "it is somebody else's");
        drop((ours, held));
        let ours = connect(to, from).await.unwrap();
        assert_eq!(client.accept().await.unwrap().1.ip(), from.ip());
        assert_eq!(ours.local_addr().unwrap(), from);
        // The same again while the first one lives: there cannot be two connections between the same two ports.
        let again = connect(to, from).await.unwrap();
        assert_ne!(again.local_addr().unwrap(), from);
        let privileged = connect(to, SocketAddr::new(from.ip(), 20)).await.unwrap();
        assert_eq!(privileged.peer_addr().unwrap(), to);
    }
}
