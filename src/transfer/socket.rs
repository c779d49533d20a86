//! The socket of a connection. The runtime waits for it; a copy with a thread of its own ([`super::bulk`]) waits by
//! itself.

use std::io::{self, Read, Write};
use std::net::TcpStream as Plain;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// How long a connection, control or data, may take to close; what its client has not read by then is lost to it.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a thread waits for a socket before it checks whether the transfer was ended.
const WAIT_MOST: Duration = Duration::from_millis(50);

/// Who waits for a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The runtime.
    ByRuntime,
    /// The calling thread, which has nothing else to do.
    OnThread,
}

/// A TCP connection; it blocks only with [`Waiting::OnThread`].
#[derive(Debug)]
pub struct Socket {
    state: State,
}

#[derive(Debug)]
enum State {
    Watched(TcpStream),
    /// Unknown to the runtime: its events wake none of the runtime's threads.
    OnThread(Plain),
    /// A change from one to the other failed.
    Gone,
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self { state: State::Watched(stream) }
    }
}

impl Socket {
    /// Says who waits from now on. After an error the socket is closed.
    pub fn wait(&mut self, who: Waiting) -> io::Result<()> {
        self.state = match (std::mem::replace(&mut self.state, State::Gone), who) {
            (State::Watched(stream), Waiting::OnThread) => State::OnThread(stream.into_std()?),
            (State::OnThread(stream), Waiting::ByRuntime) => State::Watched(TcpStream::from_std(stream)?),
            (same, _) => same,
        };
        Ok(())
    }

    /// The runtime's view of it; `None` while a thread waits for it.
    pub fn watched(&self) -> Option<&TcpStream> {
        match &self.state {
            State::Watched(stream) => Some(stream),
            State::OnThread(_) | State::Gone => None,
        }
    }

    /// The socket's handle; `None` if it is closed.
    pub fn handle(&self) -> Option<BorrowedFd<'_>> {
        match &self.state {
            State::Watched(stream) => Some(stream.as_fd()),
            State::OnThread(stream) => Some(stream.as_fd()),
            State::Gone => None,
        }
    }

    /// Lets the kernel write to the socket; `act` returns how many bytes went.
    pub fn poll_write_by(
        &mut self,
        cx: &mut Context<'_>,
        mut act: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        match &mut self.state {
            State::Watched(stream) => loop {
                ready!(stream.poll_write_ready(cx))?;
                match stream.try_io(Interest::WRITABLE, || act(stream.as_fd())) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    done => return Poll::Ready(done),
                }
            },
            State::OnThread(stream) => poll_on_thread(stream, cx, PollFlags::OUT, |stream| act(stream.as_fd())),
            State::Gone => Poll::Ready(Err(gone())),
        }
    }
}

fn gone() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

/// Tries, and waits for the socket if it must. Pending, to be polled again at once, after each [`WAIT_MOST`].
fn poll_on_thread<T>(
    stream: &mut Plain,
    cx: &mut Context<'_>,
    flags: PollFlags,
    mut act: impl FnMut(&mut Plain) -> io::Result<T>,
) -> Poll<io::Result<T>> {
    loop {
        match act(stream) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if !is_ready_in_time(stream.as_fd(), flags)? {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            done => return Poll::Ready(done),
        }
    }
}

fn is_ready_in_time(socket: BorrowedFd<'_>, flags: PollFlags) -> io::Result<bool> {
    let timeout = rustix::event::Timespec::try_from(WAIT_MOST).map_err(io::Error::other)?;
    match rustix::event::poll(&mut [PollFd::from_borrowed_fd(socket, flags)], Some(&timeout)) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().state {
            State::Watched(stream) => Pin::new(stream).poll_read(cx, buf),
            State::OnThread(stream) => {
                let read = |stream: &mut Plain| stream.read(buf.initialize_unfilled());
                let count = ready!(poll_on_thread(stream, cx, PollFlags::IN, read))?;
                buf.advance(count);
                Poll::Ready(Ok(()))
            }
            State::Gone => Poll::Ready(Err(gone())),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().state {
            State::Watched(stream) => Pin::new(stream).poll_write(cx, bytes),
            State::OnThread(stream) => poll_on_thread(stream, cx, PollFlags::OUT, |stream| stream.write(bytes)),
            State::Gone => Poll::Ready(Err(gone())),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().state {
            State::Watched(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            State::OnThread(stream) => poll_on_thread(stream, cx, PollFlags::OUT, |stream| stream.write_vectored(bufs)),
            State::Gone => Poll::Ready(Err(gone())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A flush has nothing to send in TCP.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().state {
            State::Watched(stream) => Pin::new(stream).poll_shutdown(cx),
            State::OnThread(stream) => Poll::Ready(stream.shutdown(std::net::Shutdown::Write)),
            State::Gone => Poll::Ready(Err(gone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::runtime::Handle;
    use tokio::task::block_in_place;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_thread_that_waits_for_its_socket_moves_all_bytes_both_ways_and_gives_it_back() {
        const BYTES: usize = 8 * 1024 * 1024;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut socket = Socket::from(listener.accept().await.unwrap().0);
        let echoing = tokio::spawn(async move {
            let mut bytes = vec![0; BYTES];
            client.read_exact(&mut bytes).await.unwrap();
            client.write_all(&bytes).await.unwrap();
            client
        });
        let sent: Vec<u8> = (0..BYTES).map(|n| n.to_le_bytes()[1]).collect();
        let mut got = vec![0; BYTES];
        socket.wait(Waiting::OnThread).unwrap();
        assert!(socket.watched().is_none());
        block_in_place(|| {
            Handle::current().block_on(async {
                socket.write_all(&sent).await.unwrap();
                socket.read_exact(&mut got).await.unwrap();
            });
        });
        assert!(got == sent);
        let mut client = echoing.await.unwrap();
        // Nothing comes: a time limit, and so an abort, is noticed meanwhile.
        let nothing = block_in_place(|| {
            Handle::current().block_on(tokio::time::timeout(Duration::from_millis(10), socket.read(&mut got)))
        });
        nothing.unwrap_err();
        socket.wait(Waiting::ByRuntime).unwrap();
        client.write_all(b"more").await.unwrap();
        assert_eq!(socket.read(&mut got).await.unwrap(), 4);
        drop(client);
        assert_eq!(socket.read(&mut got).await.unwrap(), 0);
    }
}
