//! Whether the partner's TCP has taken every byte of a download. Nothing here is waited for by a reply.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long an acknowledgement may take; later the file counts as not collected.
const WITHIN: Duration = Duration::from_mins(2);
/// How long a client that has everything may take to close: it may still say, by a reset, that it did not want it.
const CLOSES_WITHIN: Duration = Duration::from_millis(500);
const LOOK_FIRST: Duration = Duration::from_millis(2);
const LOOK_SELDOM: Duration = Duration::from_millis(500);
/// Bytes that a client may send on a connection that goes the other way.
const STRAY_BYTES_MAX: usize = 64 * 1024;

const DIAG_BY_FAMILY: u16 = 20;
const TCP_LISTEN: u8 = 10;
const HEADER_BYTES: usize = 16;
const REQUEST_BYTES: usize = HEADER_BYTES + 56;
/// Where an answer has the bytes that are not acknowledged.
const UNACKNOWLEDGED_AT: usize = HEADER_BYTES + 60;

/// What the client's side of the connection says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    /// Nothing.
    Open,
    /// It has closed, perhaps before the bytes came: it will break off then.
    Closed,
    /// It has closed and taken everything, our own end included.
    Done,
    /// It has broken off.
    Reset,
}

/// Waits until every byte sent, and the end of the sending, are acknowledged without a reset; `false` when they are not.
/// `stream` was shut down for sending.
pub(super) async fn acknowledged(stream: &TcpStream, closing: &CancellationToken) -> bool {
    let by = Instant::now() + WITHIN;
    let (mut pause, mut stray, mut all_since, mut left) = (LOOK_FIRST, 0, None, None);
    loop {
        // Behind the look at the counters: a reset that comes after that is still seen.
        let peer = look(stream, &mut stray);
        let now = Instant::now();
        match (peer, left) {
            (Peer::Reset, _) => return false,
            (Peer::Done, _) => return true,
            (Peer::Open, Some(0)) if now - *all_since.get_or_insert(now) >= CLOSES_WITHIN => return true,
            _ if now >= by => return false,
            _ => {}
        }
        // Nearly every client closes at once: the counters, which cost more than all of this, are for the others.
        left = tokio::select! {
            () = tokio::time::sleep(pause) => unacknowledged(stream),
            _ = stream.readable(), if peer == Peer::Open => None,
            () = closing.cancelled() => return false,
        };
        pause = (pause * 2).min(LOOK_SELDOM);
    }
}

fn look(stream: &TcpStream, stray: &mut usize) -> Peer {
    let mut buffer = [0; 1024];
    // The end of TLS, and whatever else a client sends here, stands before its FIN.
    while *stray < STRAY_BYTES_MAX {
        match stream.try_read(&mut buffer) {
            Ok(0) => return closed(stream),
            Ok(count) => *stray += count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Peer::Open,
            Err(_) => return Peer::Reset,
        }
    }
    Peer::Reset
}

/// Reading says nothing of a reset that follows the other side's end; the socket's error does. A connection that both
/// have closed is over, and has no other end any more, once each has what the other sent.
fn closed(stream: &TcpStream) -> Peer {
    // In this order: a reset is there to be seen before the connection is over by it.
    let is_over = stream.peer_addr().is_err();
    match stream.take_error() {
        Ok(None) if is_over => Peer::Done,
        Ok(None) => Peer::Closed,
        Ok(Some(_)) | Err(_) => Peer::Reset,
    }
}

/// Bytes of the connection that the other side has not acknowledged, its FIN included; `None` where the kernel does not
/// say, or has no such connection any more.
fn unacknowledged(stream: &TcpStream) -> Option<u32> {
    let (local, peer) = (stream.local_addr().ok()?, stream.peer_addr().ok()?);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let kernel = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(SOCK_DIAG)).ok()?;
    let request = request(local, peer);
    rustix::net::sendto(&kernel, &request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).ok()?;
    let mut answer = [0_u8; 1024];
    let (count, _) = rustix::net::recv(&kernel, &mut answer, RecvFlags::empty()).ok()?;
    let answer = answer.get(..count)?;
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    // Without the connection itself the kernel may find whoever listens at its port.
    let listens = *answer.get(HEADER_BYTES + 1)? == TCP_LISTEN;
    let left = answer.get(UNACKNOWLEDGED_AT..UNACKNOWLEDGED_AT + 4)?.try_into().ok()?;
    (kind == DIAG_BY_FAMILY && !listens).then(|| u32::from_ne_bytes(left))
}

/// The kernel's `inet_diag_req_v2` for one TCP connection, behind its message header.
fn request(local: SocketAddr, peer: SocketAddr) -> [u8; REQUEST_BYTES] {
    let mut bytes = [0; REQUEST_BYTES];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, &u32::try_from(REQUEST_BYTES).unwrap_or_default().to_ne_bytes());
    put(4, &DIAG_BY_FAMILY.to_ne_bytes());
    // NLM_F_REQUEST
    put(6, &1_u16.to_ne_bytes());
    let family = if local.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    // IPPROTO_TCP, and any state.
    put(HEADER_BYTES, &[u8::try_from(family.as_raw()).unwrap_or_default(), 6]);
    put(HEADER_BYTES + 4, &[0xff; 4]);
    put(HEADER_BYTES + 8, &local.port().to_be_bytes());
    put(HEADER_BYTES + 10, &peer.port().to_be_bytes());
    for (at, address) in [(HEADER_BYTES + 12, local.ip()), (HEADER_BYTES + 28, peer.ip())] {
        match address {
            IpAddr::V4(address) => put(at, &address.octets()),
            IpAddr::V6(address) => put(at, &address.octets()),
        }
    }
    // No cookie: the addresses say which.
    put(HEADER_BYTES + 48, &[0xff; 8]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn pair(address: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, client)
    }

    #[tokio::test]
    async fn read_and_closed_is_acknowledged() {
        for address in ["127.0.0.1", "::1"] {
            let (mut server, mut client) = pair(address).await;
            server.write_all(b"all of it").await.unwrap();
            server.shutdown().await.unwrap();
            let mut bytes = Vec::new();
            client.read_to_end(&mut bytes).await.unwrap();
            drop(client);
            // Late: the connection has no other end any more.
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(acknowledged(&server, &CancellationToken::new()).await, "{address}");
        }
    }

    #[tokio::test]
    async fn broken_off_unread_is_not() {
        let (mut server, client) = pair("127.0.0.1").await;
        server.write_all(b"all of it").await.unwrap();
        server.shutdown().await.unwrap();
        client.readable().await.unwrap();
        // Closed with bytes unread: the kernel sends a reset.
        drop(client);
        assert!(!acknowledged(&server, &CancellationToken::new()).await);
    }

    #[tokio::test]
    async fn closed_before_the_first_byte_is_not() {
        for address in ["127.0.0.1", "::1"] {
            let (mut server, client) = pair(address).await;
            drop(client);
            // Its end is here before the bytes are on their way.
            server.readable().await.unwrap();
            server.write_all(b"all of it").await.unwrap();
            let _ = server.shutdown().await;
            assert!(!acknowledged(&server, &CancellationToken::new()).await, "{address}");
        }
    }

    #[tokio::test]
    async fn closed_as_soon_as_everything_is_read_is_acknowledged() {
        for address in ["127.0.0.1", "::1"] {
            let (mut server, mut client) = pair(address).await;
            server.write_all(b"all of it").await.unwrap();
            client.read_exact(&mut [0; 9]).await.unwrap();
            // It knows the size and does not wait for the end.
            drop(client);
            server.readable().await.unwrap();
            server.shutdown().await.unwrap();
            assert!(acknowledged(&server, &CancellationToken::new()).await, "{address}");
        }
    }

    #[tokio::test]
    async fn the_kernel_says_what_is_left() {
        let (server, client) = pair("127.0.0.1").await;
        // Where it does not say, the connection must be seen to be over.
        let Some(0) = unacknowledged(&server) else { return };
        let block = vec![0; 1 << 20];
        while server.try_write(&block).is_ok() {}
        assert!(
            unacknowledged(&server).is_some_and(|left| left > 0),
            "a client that reads nothing has not taken it all"
        );
        drop(client);
    }
}
