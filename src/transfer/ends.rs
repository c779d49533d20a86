//! What the kernel knows about a connection beyond its socket's API.

use std::net::{IpAddr, SocketAddr};

use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use tokio::net::TcpStream;

const DIAG_BY_FAMILY: u16 = 20;
const TCP_LISTEN: u8 = 10;
const HEADER_BYTES: usize = 16;
const REQUEST_BYTES: usize = HEADER_BYTES + 56;
/// The offset of the unacknowledged bytes in an answer.
const UNACKNOWLEDGED_AT: usize = HEADER_BYTES + 60;

/// The two ends of a TCP connection, which identify it to the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    local: SocketAddr,
    peer: SocketAddr,
}

impl Ends {
    /// The ends of a connection; `None` once it is over.
    pub fn of(stream: &TcpStream) -> Option<Self> {
        Some(Self { local: stream.local_addr().ok()?, peer: stream.peer_addr().ok()? })
    }

    /// Bytes that the other side has not acknowledged, including its FIN; `None` if the kernel does not say, or no
    /// longer has the connection.
    pub fn unacknowledged(self) -> Option<u32> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let kernel =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(SOCK_DIAG)).ok()?;
        let request = request(self.local, self.peer);
        rustix::net::sendto(&kernel, &request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).ok()?;
        let mut answer = [0_u8; 1024];
        let (count, _) = rustix::net::recv(&kernel, &mut answer, RecvFlags::empty()).ok()?;
        let answer = answer.get(..count)?;
        let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
        // If the connection is gone, the kernel may find the listener at its port.
        let listens = *answer.get(HEADER_BYTES + 1)? == TCP_LISTEN;
        let left = answer.get(UNACKNOWLEDGED_AT..UNACKNOWLEDGED_AT + 4)?.try_into().ok()?;
        (kind == DIAG_BY_FAMILY && !listens).then(|| u32::from_ne_bytes(left))
    }
}

/// The kernel's `inet_diag_req_v2` for one TCP connection, after its message header.
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
    // No cookie: the addresses identify it.
    put(HEADER_BYTES + 48, &[0xff; 8]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn the_kernel_says_what_is_left() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let server = listener.accept().await.unwrap().0;
        // Without an answer, the connection must count as over.
        let ends = Ends::of(&server).unwrap();
        let Some(0) = ends.unacknowledged() else { return };
        let block = vec![0; 1 << 20];
        while server.try_write(&block).is_ok() {}
        assert!(ends.unacknowledged().is_some_and(|left| left > 0), "a client that reads nothing has not taken it all");
        drop(client);
    }
}
