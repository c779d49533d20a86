//! The receiving loop.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::ReadBuf;

use super::buffers::{BUFFER_BYTES, Buffers};
use super::line_ends::ToLf;
use super::{Inbound, Watch, give_way};
use crate::base::clock::Clock;
use crate::base::sync::Syncer;
use crate::domain::authorise::No;
use crate::domain::receipt::Ending;
use crate::transfer::digest::Digest;
use crate::transfer::quota::Allowance;
use crate::workspace::active::Entry;
use crate::workspace::upload::Part;

/// What the receiving loop writes to.
#[derive(Debug)]
pub struct Sink<'a> {
    /// The part.
    pub part: &'a mut Part,
    /// Its digest.
    pub digest: &'a mut Digest,
    /// Runs the syncs.
    pub syncer: &'a Syncer,
    /// How large it may become.
    pub allowance: &'a Allowance,
    /// `Some`: line ends are converted.
    pub to_lf: Option<ToLf>,
    /// Tells others with the same name that it still moves.
    pub entry: &'a Entry,
    /// The clock.
    pub clock: &'a Clock,
}

/// How the receiving loop ended.
#[derive(Debug)]
pub enum Received {
    /// The data connection ended in this way.
    Ended(Ending),
    /// The limit was reached.
    TooLarge(No),
    /// The disk did not take the last bytes; earlier ones are intact.
    NotTaken(io::Error),
    /// Bytes that the disk had accepted did not get there, or cannot be read.
    Failed(io::Error),
}

/// Moves bytes from the data connection to the part until it ends.
pub async fn receive(from: &mut impl Inbound, sink: &mut Sink<'_>, watch: &Watch<'_>, buffers: &Buffers) -> Received {
    let mut buffer = buffers.take();
    let mut turned = Vec::new();
    let received = loop {
        let filled = tokio::select! {
            biased;
            filled = fill_in_time(from, &mut buffer, watch.stall) => filled,
            ending = watch.abort.broken() => break Received::Ended(ending),
            () = sink.entry.end().cancelled() => break Received::Ended(Ending::Stalled),
        };
        let Some((count, then)) = filled else { break Received::Ended(Ending::Stalled) };
        if count > 0 {
            watch.place.moved(count as u64);
            sink.entry.moved(sink.clock.now());
        }
        let stored = match &mut sink.to_lf {
            _ if count == 0 => Ok(buffer),
            Some(to_lf) => {
                to_lf.turn(&buffer[..count], &mut turned);
                store_bytes(sink, &turned).await.map(|()| buffer)
            }
            None => store_buffer(sink, buffer, count, buffers).await,
        };
        buffer = match stored {
            Ok(next) => next,
            Err(received) => return received,
        };
        sink.entry.holds(sink.part.size_bytes());
        match then {
            Then::More => {}
            Then::End => break last(from, sink).await,
            Then::Failed(error) => break Received::Ended(from.ending(Some(&error))),
        }
        // An ABOR must be heard even while bytes still come.
        if let Some(ending) = watch.abort.ending() {
            break Received::Ended(ending);
        }
        if count == BUFFER_BYTES {
            give_way().await;
        }
    };
    buffers.put(buffer);
    received
}

/// What follows the bytes that were read.
enum Then {
    More,
    End,
    Failed(io::Error),
}

/// [`fill`], or `None` if for that long no byte comes because of the partner.
async fn fill_in_time(from: &mut impl Inbound, buffer: &mut [u8], stall: Duration) -> Option<(usize, Then)> {
    poll_fn(|cx| from.poll_allowed(cx)).await;
    tokio::time::timeout(stall, fill(from, buffer)).await.ok()
}

/// Reads until nothing more is available at once, or the buffer is full. TLS returns records of at most 16 KiB one at a
/// time; they are written together.
async fn fill(from: &mut impl Inbound, buffer: &mut [u8]) -> (usize, Then) {
    let mut buffer = ReadBuf::new(buffer);
    poll_fn(|cx| {
        loop {
            let before = buffer.filled().len();
            match Pin::new(&mut *from).poll_read(cx, &mut buffer) {
                Poll::Pending if before == 0 => return Poll::Pending,
                Poll::Pending => return Poll::Ready((before, Then::More)),
                Poll::Ready(Err(error)) => return Poll::Ready((before, Then::Failed(error))),
                Poll::Ready(Ok(())) => match buffer.filled().len() {
                    count if count == before => return Poll::Ready((count, Then::End)),
                    count if buffer.remaining() == 0 => return Poll::Ready((count, Then::More)),
                    _ => {}
                },
            }
        }
    })
    .await
}

/// The end of the data connection: what was held back is stored, too.
async fn last(from: &impl Inbound, sink: &mut Sink<'_>) -> Received {
    let rest = sink.to_lf.as_ref().map_or(&b""[..], ToLf::rest);
    match store_bytes(sink, rest).await {
        Ok(()) => Received::Ended(from.ending(None)),
        Err(received) => received,
    }
}

/// The error is how it ended. If the bytes would make it too large, none is written.
async fn store_bytes(sink: &mut Sink<'_>, bytes: &[u8]) -> Result<(), Received> {
    if !bytes.is_empty() {
        write(sink, bytes)?;
        let length = sink.part.size_bytes();
        sink.digest.update(bytes, length);
        sink.part.write_back(sink.syncer).await.map_err(Received::Failed)?;
    }
    Ok(())
}

/// The same for a whole buffer; returns the buffer to continue with.
async fn store_buffer(
    sink: &mut Sink<'_>,
    buffer: Box<[u8]>,
    count: usize,
    buffers: &Buffers,
) -> Result<Box<[u8]>, Received> {
    write(sink, &buffer[..count])?;
    let length = sink.part.size_bytes();
    let next = sink.digest.update_owned(buffer, (count, length), buffers).await.map_err(Received::Failed)?;
    sink.part.write_back(sink.syncer).await.map_err(Received::Failed)?;
    Ok(next)
}

fn write(sink: &mut Sink<'_>, bytes: &[u8]) -> Result<(), Received> {
    sink.allowance.take(sink.part.size_bytes() + bytes.len() as u64).map_err(Received::TooLarge)?;
    sink.part.write(bytes).map_err(Received::NotTaken)
}

#[cfg(test)]
mod tests {
    use std::task::Context;

    use tokio::io::{AsyncRead, AsyncWrite};

    use super::*;

    /// The partner has sent everything; this server reads it late.
    struct Held {
        bytes: &'static [u8],
        until: Pin<Box<tokio::time::Sleep>>,
    }

    impl AsyncRead for Held {
        fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.get_mut().bytes).poll_read(cx, buffer)
        }
    }

    impl AsyncWrite for Held {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Inbound for Held {
        fn ending(&self, _: Option<&io::Error>) -> Ending {
            Ending::Closed
        }

        fn is_by_tls(&self) -> bool {
            false
        }

        fn ends_tolerantly(&self) -> bool {
            false
        }

        fn poll_allowed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
            self.until.as_mut().poll(cx)
        }
    }

    #[tokio::test]
    async fn what_this_server_holds_back_is_no_stall_of_the_partner() {
        let stall = Duration::from_millis(20);
        let mut held = Held { bytes: b"all", until: Box::pin(tokio::time::sleep(stall * 10)) };
        let mut buffer = [0; 8];
        let (count, _) = fill_in_time(&mut held, &mut buffer, stall).await.unwrap();
        assert_eq!(&buffer[..count], b"all");
    }
}
