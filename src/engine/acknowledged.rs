//! Whether the partner's TCP has acknowledged every byte of a download. No reply waits for this.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::transfer::ends::Ends;

/// How long an acknowledgement may take; after that the file counts as not collected.
const WITHIN: Duration = Duration::from_mins(2);
/// How long a client that has everything may take to close: a reset may still say that it did not want it.
const CLOSES_WITHIN: Duration = Duration::from_millis(500);
const LOOK_FIRST: Duration = Duration::from_millis(2);
const LOOK_SELDOM: Duration = Duration::from_millis(500);
/// The most bytes that a client may send on a connection in the other direction.
const STRAY_BYTES_MAX: usize = 64 * 1024;

/// The state of the client's side of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    /// Open.
    Open,
    /// It has closed, perhaps before the bytes came: then it will reset.
    Closed,
    /// It has closed and acknowledged everything, including our own end.
    Done,
    /// It has reset the connection.
    Reset,
}

/// Waits until every byte sent, and the end of sending, are acknowledged without a reset; `false` if they are not.
/// `stream` was shut down for sending.
pub(super) async fn acknowledged(stream: &TcpStream, closing: &CancellationToken) -> bool {
    let by = Instant::now() + WITHIN;
    let (mut pause, mut stray, mut all_since, mut left) = (LOOK_FIRST, 0, None, None);
    loop {
        // After reading the counters: a later reset is still seen.
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
            () = tokio::time::sleep(pause) => Ends::of(stream).and_then(Ends::unacknowledged),
            _ = stream.readable(), if peer == Peer::Open => None,
            () = closing.cancelled() => return false,
        };
        pause = (pause * 2).min(LOOK_SELDOM);
    }
}

fn look(stream: &TcpStream, stray: &mut usize) -> Peer {
    let mut buffer = [0; 1024];
    // The end of TLS, and whatever else a client sends here, precedes its FIN.
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

/// Reading does not report a reset that follows the other side's end; the socket's error does. A connection that both
/// sides have closed is over once each has what the other sent, and no longer has a peer.
fn closed(stream: &TcpStream) -> Peer {
    // In this order: a reset is visible before it ends the connection.
    let is_over = stream.peer_addr().is_err();
    match stream.take_error() {
        Ok(None) if is_over => Peer::Done,
        Ok(None) => Peer::Closed,
        Ok(Some(_)) | Err(_) => Peer::Reset,
    }
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
            // Late: the connection no longer has a peer.
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
        // Closed with unread bytes: the kernel sends a reset.
        drop(client);
        assert!(!acknowledged(&server, &CancellationToken::new()).await);
    }

    #[tokio::test]
    async fn closed_before_the_first_byte_is_not() {
        for address in ["127.0.0.1", "::1"] {
            let (mut server, client) = pair(address).await;
            drop(client);
            // Its end arrives before the bytes are on their way.
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
}
