//! RETR: from file to bytes. One version of a file is sent, from its beginning to its end, or an error results.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::bulk::{PIECE_BYTES, Pace, Thread};
use super::collect::{Collecting, Fetched, InSend};
use super::copy::{self, Outbound, Sent, Span, ToCrLf, Watch};
use super::depot::{Depot, Party, TransferError};
use super::socket::Waiting;
use super::throttle::Throttle;
use super::{digest, held};
use crate::base::clock::Timestamp;
use crate::base::hex::hex;
use crate::base::path::{Name, VirtualPath};
use crate::domain::authorise::{Granted, Operation, authorise};
use crate::domain::connector::Connector;
use crate::domain::place::{Folder, Place};
use crate::domain::receipt::{Ending, Status};
use crate::store::receipt::{self, Receipt};
use crate::store::transfer::Direction;
use crate::workspace::download::{Source, Version};

/// How long a received file is found by the client's own name, whatever happened to it (PRODUCT 5.9).
pub const RECENT_FOR: Duration = Duration::from_mins(15);

/// An allowed download.
#[derive(Debug)]
pub struct Download {
    source: Source,
    span: Span,
    ascii: bool,
    throttle: Throttle,
    /// For a file in Send.
    sent: Option<InSend>,
}

/// Its outcome.
#[derive(Debug)]
pub struct Done {
    /// How the data connection ended.
    pub ending: Ending,
    /// Success, or why not.
    pub result: Result<(), TransferError>,
}

/// Where a partner's file is: under the requested name, or under its stored name.
#[derive(Debug)]
pub struct Located {
    /// Which folder.
    pub side: Folder,
    /// The names below it.
    pub names: Vec<Name>,
    /// The open file.
    pub source: Source,
    /// The receipt of the client's upload under the requested name, within [`RECENT_FOR`].
    pub receipt: Option<Receipt>,
}

/// Opens the file a client means: its own upload under that name within [`RECENT_FOR`], wherever that is now, otherwise
/// the file with that name.
pub async fn locate(depot: &Depot, party: &Party, side: Folder, names: &[Name]) -> Result<Located, TransferError> {
    let workspace = party.workspace(depot)?;
    let folder = workspace.folder(side);
    if side == Folder::Receive {
        if let Some(receipt) = recent(depot, party, names).await?
            && let Some(located) = received(depot, party, receipt).await?
        {
            return Ok(located);
        }
        let source = Source::open(folder, names)?;
        let path = side.path(names).to_string();
        let version = source.version();
        let file = (version.inode, version.size_bytes);
        if receipt::is_hidden(&depot.db, party.connector().id.key(), &path, file).await? {
            return Err(TransferError::NotFound);
        }
        return Ok(Located { side, names: names.to_vec(), source, receipt: None });
    }
    Ok(Located { side, names: names.to_vec(), source: Source::open(folder, names)?, receipt: None })
}

/// The file of a receipt: stored, or else held. `None` if Waybill does not have it any longer.
pub async fn received(depot: &Depot, party: &Party, receipt: Receipt) -> Result<Option<Located>, TransferError> {
    let side = Folder::Receive;
    let workspace = party.workspace(depot)?;
    let folder = workspace.folder(side);
    let names = stored_names(party.connector(), &receipt);
    if let Some(names) = &names
        && let Ok(source) = Source::open(folder, names)
        && is_file_of(&receipt, &source.version(), source.born())
    {
        return Ok(Some(Located { side, names: names.clone(), source, receipt: Some(receipt) }));
    }
    if receipt.status != Status::PassedAlong {
        return Ok(None);
    }
    let source = held::open_recorded(depot, &receipt.id).await?;
    Ok(source.map(|source| Located { side, names: names.unwrap_or_default(), source, receipt: Some(receipt) }))
}

/// Whether such a file is the receipt's. File systems reuse the inode of a removed file; the later file was made after
/// the receipt's was complete, which `born` shows if the file system tells it, unless the clock was set back while the
/// receipt's file came.
pub fn is_file_of(receipt: &Receipt, version: &Version, born: Option<Timestamp>) -> bool {
    let was_set_back = receipt.completed_at < receipt.begun_at;
    (version.inode, version.size_bytes) == (receipt.inode, receipt.size_bytes)
        && (was_set_back || born.is_none_or(|born| born <= receipt.completed_at))
}

/// Whether the receipt's bytes are there: the very file, or, if the data folder was copied from elsewhere and every
/// file has another inode, one with the same digest. The error: nothing can be said of what is there.
pub async fn lies_at(folder: BorrowedFd<'_>, name: &str, receipt: &Receipt) -> io::Result<bool> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(file) => file,
        // Nothing, or not a file: a link, a socket.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => return Ok(false),
        Err(errno) => return Err(errno.into()),
    };
    let is_file = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) == FileType::RegularFile;
    let source = Source::shared(Arc::new(file))?;
    if is_file_of(receipt, &source.version(), source.born()) {
        return Ok(true);
    }
    if !is_file || source.version().size_bytes != receipt.size_bytes {
        return Ok(false);
    }
    Ok(hex(&digest::of_file(Arc::clone(source.file())).await?) == receipt.sha256)
}

/// The names below Receive of the place where a receipt's file is stored.
pub fn stored_names(connector: &Connector, receipt: &Receipt) -> Option<Vec<Name>> {
    received_names(connector, &receipt.stored_path)
}

/// The names below Receive of a recorded path.
pub(super) fn received_names(connector: &Connector, path: &str) -> Option<Vec<Name>> {
    let path = VirtualPath::root().resolve(path).ok()?;
    match Place::of(&connector.settings, &path) {
        Place::Within(Folder::Receive, names) if !names.is_empty() => Some(names),
        _ => None,
    }
}

/// The partner's recent upload under that name, unless it has taken it out of its view. Where the database cannot be written the
/// name on disk answers; without one nothing is said.
pub async fn recent(depot: &Depot, party: &Party, names: &[Name]) -> Result<Option<Receipt>, TransferError> {
    let since = depot.clock.now().minus(RECENT_FOR);
    let path = Folder::Receive.path(names).to_string();
    let caught_up = depot.recorder.catch_up().await;
    let recent = receipt::recent_of_path(&depot.db, party.connector().id.key(), &path, since).await?;
    if recent.is_none() && party.workspace(depot)?.folder(Folder::Receive).jail().stat(names).is_err() {
        caught_up?;
    }
    Ok(recent)
}

/// Whether this download is allowed, and of which bytes.
pub async fn prepare(
    depot: &Depot,
    party: &Party,
    path: &VirtualPath,
    (offset, end, ascii): (u64, Option<u64>, bool),
) -> Result<Download, TransferError> {
    let profile = &party.snapshot.profile;
    let Granted::Within { folder: side, names, .. } = authorise(profile, party.connector(), Operation::Retrieve, path)?
    else {
        return Err(TransferError::IsFolder);
    };
    if names.is_empty() {
        return Err(TransferError::IsFolder);
    }
    let workspace = party.workspace(depot)?;
    let located = match locate(depot, party, side, &names).await {
        // RETR means the complete file; while there is only an unfinished one, it is busy.
        Err(TransferError::NotFound) if workspace.folder(side).unfinished(&names).is_some() => {
            return Err(TransferError::Busy);
        }
        other => other?,
    };
    let version = located.source.version();
    settled(depot, party, side, &version)?;
    if offset > version.size_bytes || (ascii && offset > 0) {
        return Err(TransferError::Restart);
    }
    released(depot, party, &located).await?;
    let to = end.unwrap_or(version.size_bytes).min(version.size_bytes).max(offset);
    let throttle = depot.throttles.of(party.connector().id.key(), Direction::Send);
    let sent = (side == Folder::Send).then(|| {
        let reading = depot.collections.reading(party.connector().id.key(), version.inode);
        InSend { names: located.names, staging_inode: workspace.folder(side).staging_inode(), reading }
    });
    Ok(Download { source: located.source, span: Span { from: offset, to }, ascii, throttle, sent })
}

/// A file that another program put into Send is served once it has rested there.
pub fn settled(depot: &Depot, party: &Party, side: Folder, version: &Version) -> Result<(), TransferError> {
    let settle = party.connector().settings.send_settle_s.seconds();
    let workspace = party.workspace(depot)?;
    let is_settled = side == Folder::Receive || workspace.folder(side).is_settled(version, settle, depot.clock.now());
    if is_settled { Ok(()) } else { Err(TransferError::Busy) }
}

/// Everybody to be asked before a file of Send goes to the partner agrees.
pub async fn released(depot: &Depot, party: &Party, located: &Located) -> Result<(), TransferError> {
    if located.side == Folder::Receive {
        return Ok(());
    }
    let path = located.side.path(&located.names);
    depot.consents.ask(party, &path, &located.source).await
}

impl Download {
    /// Bytes that will be sent, for the 150.
    pub fn size_bytes(&self) -> u64 {
        self.span.to - self.span.from
    }

    /// Sends it and closes the data connection in order.
    pub async fn run(&self, depot: &Depot, to: &mut impl Outbound, watch: &Watch<'_>) -> Done {
        let mut buffer = depot.buffers.take();
        let sent = if self.ascii {
            self.send_ascii(to, watch, &mut buffer).await
        } else {
            self.send_as_it_is(to, watch, &mut buffer).await
        };
        depot.buffers.put(buffer);
        let _ = to.wait(Waiting::ByRuntime);
        match sent {
            Sent::All => {}
            Sent::Short => return Done { ending: Ending::Failed, result: Err(TransferError::Changed) },
            Sent::Failed(error) => return Done { ending: Ending::Failed, result: Err(TransferError::Storage(error)) },
            Sent::Ended(ending) => return Done { ending, result: Err(TransferError::Broken(ending)) },
        }
        match self.source.is_unchanged() {
            Ok(true) => {}
            Ok(false) => return Done { ending: Ending::Failed, result: Err(TransferError::Changed) },
            Err(error) => return Done { ending: Ending::Failed, result: Err(TransferError::Storage(error)) },
        }
        match copy::close(to, watch).await {
            Ending::Closed => Done { ending: Ending::Closed, result: Ok(()) },
            ending => Done { ending, result: Err(TransferError::Broken(ending)) },
        }
    }

    /// The steps after a download of a file in Send.
    pub fn collecting(self, depot: &Depot, party: &Party) -> Option<Collecting> {
        let Span { from, to } = self.span;
        Some(Collecting::new(depot, party, Fetched { of: self.sent?, source: self.source, from, to }))
    }

    async fn send_as_it_is(&self, to: &mut impl Outbound, watch: &Watch<'_>, buffer: &mut [u8]) -> Sent {
        let Span { from, to: end } = self.span;
        let (mut at, mut pace) = (from, Pace::begin());
        while at < end {
            if let Some(ending) = self.held_up(watch).await {
                return Sent::Ended(ending);
            }
            let next = at.saturating_add(self.throttle.step_bytes().min(PIECE_BYTES)).min(end);
            let thread = pace.thread();
            if to.wait(Thread::waiting(thread.as_ref())).is_err() {
                return Sent::Ended(Ending::Cut);
            }
            let piece = copy::send(&self.source, Span { from: at, to: next }, to, watch, buffer);
            match Thread::run(thread, piece).await {
                Sent::All => self.throttle.spend(next - at),
                other => return other,
            }
            if next - at == PIECE_BYTES {
                pace.piece();
            }
            at = next;
        }
        Sent::All
    }

    /// Waits for the rate limit, which is our doing and not a stall; returns how the transfer has ended if it is broken
    /// off meanwhile.
    async fn held_up(&self, watch: &Watch<'_>) -> Option<Ending> {
        watch.abort.before(self.throttle.ready()).await.err()
    }

    async fn send_ascii(&self, to: &mut impl Outbound, watch: &Watch<'_>, buffer: &mut [u8]) -> Sent {
        let mut turn = ToCrLf::default();
        let Span { from: mut at, to: end } = self.span;
        while at < end {
            if let Some(ending) = self.held_up(watch).await {
                return Sent::Ended(ending);
            }
            let next = at.saturating_add(self.throttle.step_bytes().min(PIECE_BYTES)).min(end);
            match copy::send_turned(&self.source, Span { from: at, to: next }, &mut turn, to, (watch, buffer)).await {
                Sent::All => self.throttle.spend(next - at),
                other => return other,
            }
            at = next;
        }
        Sent::All
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::IdSource;
    use std::os::fd::AsFd;

    #[test]
    fn a_file_that_was_made_after_the_receipt_is_another_of_the_same_inode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.edi");
        std::fs::write(&path, "a file.").unwrap();
        let source = Source::shared(Arc::new(std::fs::File::open(path).unwrap().into())).unwrap();
        let (version, born) = (source.version(), source.born());
        let ids = IdSource::random(Clock::System);
        let completed = |at| Receipt { inode: version.inode, ..Receipt::sample(&ids, "acme", at) };
        assert!(is_file_of(&completed(version.changed), &version, None), "where nobody tells when it was made");
        assert!(is_file_of(&completed(version.changed), &version, Some(version.changed)));
        let later = version.changed.plus(Duration::from_micros(1));
        assert!(!is_file_of(&completed(version.changed), &version, Some(later)));
        // The clock was set back while it came: its birth time is from a different clock.
        let set_back = Receipt { begun_at: later, ..completed(version.changed) };
        assert!(is_file_of(&set_back, &version, Some(later)));
        assert!(!is_file_of(&Receipt { size_bytes: 8, ..completed(version.changed) }, &version, born));
        // This file system may not tell.
        assert!(born.is_none_or(|born| born <= version.changed), "{born:?}");
    }

    #[tokio::test]
    async fn what_cannot_be_looked_at_is_not_told_to_be_gone() {
        let folder = tempfile::tempdir().unwrap();
        let ids = IdSource::random(Clock::System);
        let receipt = Receipt::sample(&ids, "acme", Clock::System.now());
        std::fs::write(folder.path().join("file"), "other").unwrap();
        std::os::unix::fs::symlink("file", folder.path().join("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        let open = std::fs::File::open(folder.path()).unwrap();
        let file = std::fs::File::open(folder.path().join("file")).unwrap();
        for name in ["file", "link", "socket", "none"] {
            assert!(!lies_at(open.as_fd(), name, &receipt).await.unwrap(), "{name}");
        }
        assert!(!lies_at(file.as_fd(), "below", &receipt).await.unwrap());
        // Whatever the system refuses to answer: here, a name that is too long for it.
        lies_at(open.as_fd(), &"n".repeat(300), &receipt).await.unwrap_err();
    }
}
