//! What a command, a line of a listing and a buffer of a transfer cost by themselves: `cargo bench --bench micro`.
//! Differences show what a change did; the whole of it is measured by `servers`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use jiff::tz::TimeZone;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use waybill::base::clock::{Clock, Timestamp};
use waybill::base::id::{IdSource, SessionId};
use waybill::base::path::Name;
use waybill::base::sync::Syncer;
use waybill::domain::receipt::Ending;
use waybill::ftp::command::Command;
use waybill::ftp::line::LineReader;
use waybill::ftp::listing::{self, Entry, Facts, Format, Kind, Rights, Unique};
use waybill::transfer::abort::Abort;
use waybill::transfer::copy::{self, Buffers, Inbound, Outbound, Received, Sent, Sink, Span, Watch};
use waybill::transfer::digest::Digest;
use waybill::transfer::presence::{Place, Presence};
use waybill::transfer::quota::Allowance;
use waybill::transfer::socket::{Socket, Waiting};
use waybill::workspace::download::Source;
use waybill::workspace::folder::OpenFolder;
use waybill::workspace::upload::Part;

/// What a partner's client says for each upload.
const UPLOAD_LINES: &[u8] = b"EPSV\r\nSTOR /Receive/invoice-000123.edi\r\n";
/// Names in a listing.
const NAMES: usize = 1_000;
/// Bytes of a transfer.
const TRANSFER_BYTES: usize = 16 * 1024 * 1024;

fn main() {
    // `cargo test --all-targets` starts it too; it measures for `cargo bench`.
    if std::env::args().any(|argument| argument == "--bench") {
        divan::main();
    }
}

/// Bytes to lines to commands.
#[divan::bench]
fn lines_of_an_upload(bencher: Bencher) {
    let mut reader = LineReader::new();
    bencher.counter(ItemsCount::new(2_usize)).bench_local(|| {
        reader.push(black_box(UPLOAD_LINES));
        let mut commands = 0;
        while let Some(Ok(line)) = reader.next() {
            black_box(Command::read(&String::from_utf8_lossy(&line)));
            commands += 1;
        }
        assert_eq!(commands, 2);
    });
}

/// Entries to lines.
#[divan::bench(args = [Format::List, Format::Names, Format::Machine])]
fn lines_of_a_listing(bencher: Bencher, format: Format) {
    let now = Timestamp::from_us(1_800_000_000_000_000);
    let entry = |n: usize| Entry {
        name: format!("invoice-{n:06}.edi"),
        kind: Kind::File,
        size: n as u64 * 4_096,
        modified: now.minus(Duration::from_secs(n as u64 * 3_600)),
        rights: Rights::RETRIEVE | Rights::DELETE | Rights::RENAME,
        unique: Unique::Inode(n as u64),
    };
    let entries: Vec<_> = (0..NAMES).map(entry).collect();
    bencher.counter(ItemsCount::new(NAMES)).bench_local(|| {
        let lines = entries.iter().map(|entry| listing::line(entry, format, Facts::ALL, now, &TimeZone::UTC).len());
        black_box(lines.sum::<usize>())
    });
}

/// A data connection without a network: so many bytes come, and what is sent is gone.
struct Memory {
    left: usize,
}

impl AsyncRead for Memory {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let count = buf.remaining().min(this.left);
        this.left -= count;
        buf.initialize_unfilled_to(count).fill(b'w');
        buf.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Memory {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(black_box(bytes).len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Inbound for Memory {
    fn ending(&self, _: Option<&io::Error>) -> Ending {
        Ending::Closed
    }

    fn is_by_tls(&self) -> bool {
        false
    }

    fn ends_tolerantly(&self) -> bool {
        false
    }
}

impl Outbound for Memory {
    fn plain(&mut self) -> Option<&mut Socket> {
        None
    }

    fn wait(&mut self, _: Waiting) -> io::Result<()> {
        Ok(())
    }
}

/// Where transfers happen: a folder on a memory file system where there is one, and a session that sees them.
struct Ground {
    _place: tempfile::TempDir,
    folder: OpenFolder,
    session: Place,
    runtime: tokio::runtime::Runtime,
}

impl Ground {
    fn new() -> io::Result<Self> {
        let place = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
        let folder = OpenFolder::open(place.path())?;
        let id = SessionId::new(&IdSource::random(Clock::System));
        let session =
            Presence::default().enter(id, ([127, 0, 0, 1].into(), [127, 0, 0, 1].into()), Clock::System.now());
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        Ok(Self { _place: place, folder, session, runtime })
    }

    fn watch<'a>(&'a self, abort: &'a Abort) -> Watch<'a> {
        Watch { place: &self.session, abort, stall: Duration::from_mins(1), ends: None }
    }
}

/// The receiving loop: bytes into a part, with their digest.
#[divan::bench]
fn receiving(bencher: Bencher) {
    let ground = Ground::new().expect("a folder can be made");
    let (syncer, buffers, abort) = (Syncer::default(), Buffers::default(), Abort::default());
    let names = [Name::parse("part").expect("a name")];
    bencher.counter(BytesCount::new(TRANSFER_BYTES)).bench_local(|| {
        let mut part = Part::create_nameless(&ground.folder, "part").expect("a part can be made");
        let mut digest = Digest::default();
        let (entry, _) = ground.folder.active().enter(&names, "part");
        let mut sink = Sink {
            part: &mut part,
            digest: &mut digest,
            syncer: &syncer,
            allowance: &Allowance::default(),
            to_lf: None,
            entry: &entry,
            clock: &Clock::System,
        };
        ground.runtime.block_on(async {
            let mut from = Memory { left: TRANSFER_BYTES };
            let received = copy::receive(&mut from, &mut sink, &ground.watch(&abort), &buffers).await;
            assert!(matches!(received, Received::Ended(Ending::Closed)), "{received:?}");
        });
        black_box(ground.runtime.block_on(digest.finish()).expect("a digest"));
        part.discard(&ground.folder);
    });
}

/// The digests of so many large uploads at once, beside their receiving.
#[divan::bench(args = [1, 2, 4])]
fn digests(bencher: Bencher, uploads: usize) {
    let ground = Ground::new().expect("a folder can be made");
    let buffers = Buffers::default();
    let digest = async || {
        let (mut digest, mut length) = (Digest::default(), 0);
        while length < TRANSFER_BYTES as u64 {
            let buffer = buffers.take();
            length += buffer.len() as u64;
            let hashing = (buffer.len(), length);
            let next = digest.update_owned(buffer, hashing, &buffers).await.expect("it is hashed");
            buffers.put(next);
        }
        digest.finish().await.expect("a digest")
    };
    let all = || futures_util::future::join_all((0..uploads).map(|_| digest()));
    bencher
        .counter(BytesCount::new(uploads * TRANSFER_BYTES))
        .bench_local(|| black_box(ground.runtime.block_on(all())));
}

/// The sending loop, as by TLS: bytes from a file through a buffer.
#[divan::bench]
fn sending(bencher: Bencher) {
    let ground = Ground::new().expect("a folder can be made");
    let (buffers, abort) = (Buffers::default(), Abort::default());
    let mut part = Part::create_nameless(&ground.folder, "part").expect("a part can be made");
    part.write(&vec![b'w'; TRANSFER_BYTES]).expect("a part can be written");
    let source = Source::shared(Arc::clone(part.file())).expect("it is open");
    bencher.counter(BytesCount::new(TRANSFER_BYTES)).bench_local(|| {
        let mut buffer = buffers.take();
        let all = Span { from: 0, to: TRANSFER_BYTES as u64 };
        ground.runtime.block_on(async {
            let sent = copy::send(&source, all, &mut Memory { left: 0 }, &ground.watch(&abort), &mut buffer).await;
            assert!(matches!(sent, Sent::All), "{sent:?}");
        });
        buffers.put(buffer);
    });
}
