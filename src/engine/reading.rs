//! HASH and its relatives, and SIZE in TYPE A: from the receipt if the file is what was received, otherwise read on
//! threads of their own, a bounded number at a time. The session never waits: NOOP, STAT and ABOR are heard meanwhile.

use std::io;
use std::sync::{Arc, LazyLock};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::Engine;
use super::files;
use super::refusal::{self, About};
use crate::base::hex::hex;
use crate::base::path::VirtualPath;
use crate::domain::authorise::{No, Operation};
use crate::domain::place::Folder;
use crate::ftp::reply::{Code, Reply};
use crate::ftp::session::{Algorithm, Outcome};
use crate::store::receipt;
use crate::transfer::abort::Abort;
use crate::transfer::copy::Span;
use crate::transfer::depot::{Party, TransferError};
use crate::transfer::presence::Place;
use crate::transfer::send::{self, Located, is_file_of, locate};
use crate::workspace::download::Source;

/// Files read at a time, overall.
const READERS_MAX: usize = 2;
/// Bytes read between two checks for ABOR; smaller files need not wait for a turn.
const STEP_BYTES: usize = 256 * 1024;

static READERS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(READERS_MAX));

/// Why a file is read.
#[derive(Debug)]
pub enum Wanted {
    /// Its digest.
    Digest {
        /// The algorithm.
        algorithm: Algorithm,
        /// First byte and the byte after the last; `None`: to the end.
        range: (u64, Option<u64>),
    },
    /// How many bytes TYPE A would send.
    Size,
}

/// A file being read beside its session.
#[derive(Debug)]
pub struct Reading {
    /// The services.
    pub engine: Engine,
    /// Whose file it is.
    pub party: Party,
    /// Shows its progress.
    pub place: Arc<Place>,
    /// ABOR, and the end of the session.
    pub abort: Abort,
    /// Which file.
    pub path: VirtualPath,
}

impl Reading {
    /// Reads it; also returns the rule to record if a rule said no.
    pub async fn run(self, wanted: Wanted) -> (Outcome, Option<No>) {
        let read = match wanted {
            Wanted::Digest { algorithm, range } => self.digest(algorithm, range).await,
            Wanted::Size => self.size().await,
        };
        match read {
            Ok(outcome) => (outcome, None),
            Err(TransferError::Broken(_)) => {
                let reply = Reply::new(Code::TransferAborted, "Reading the file was ended as you asked.");
                (Outcome::Refused(reply), None)
            }
            Err(error) => {
                let (reply, no) = refusal::reply(&error, About::File);
                (Outcome::Refused(reply), no)
            }
        }
    }

    async fn size(&self) -> Result<Outcome, TransferError> {
        let source = files::countable(&self.engine, &self.party, &self.path).await?;
        let span = Span { from: 0, to: source.version().size_bytes };
        self.read(source, span, Bytes::as_text).await.map(Outcome::Size)
    }

    async fn digest(&self, algorithm: Algorithm, range: (u64, Option<u64>)) -> Result<Outcome, TransferError> {
        let (engine, party) = (&self.engine, &self.party);
        let target = files::target(party, Operation::Digest, &self.path)?;
        let workspace = party.workspace(&engine.depot)?;
        let located = match locate(&engine.depot, party, target.folder, &target.names).await {
            Err(TransferError::NotFound) if workspace.folder(target.folder).unfinished(&target.names).is_some() => {
                return Err(TransferError::Busy);
            }
            other => other?,
        };
        files::own_only(engine, party, &target).await?;
        send::settled(&engine.depot, party, target.folder, &located.source.version())?;
        send::released(&engine.depot, party, &located).await?;
        let size = located.source.version().size_bytes;
        let start = range.0.min(size);
        let end = range.1.unwrap_or(size).min(size).max(start);
        let span = Span { from: start, to: end };
        let whole = start == 0 && end == size;
        let recorded = whole && algorithm == Algorithm::Sha256;
        let known = if recorded { received(engine, party, &located).await? } else { None };
        let hex = match known {
            Some(hex) => hex,
            None => self.read(located.source.clone(), span, move |bytes| bytes.digest(algorithm)).await?,
        };
        if whole {
            files::confirm(engine, &located).await;
        }
        Ok(Outcome::Digest { hex, start, end })
    }

    /// Reads when it has its turn, on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        source: Source,
        span: Span,
        whole: impl FnOnce(&Bytes) -> Result<T, TransferError> + Send + 'static,
    ) -> Result<T, TransferError> {
        let count = span.to - span.from;
        let _turn = if count > STEP_BYTES as u64 { Some(self.turn().await?) } else { None };
        let (place, abort) = (Arc::clone(&self.place), self.abort.clone());
        place.begin_transfer(format!("Reading {}", self.path), Some(count));
        let bytes = Bytes { source, span, place, abort };
        let read = tokio::task::spawn_blocking(move || whole(&bytes)).await;
        self.place.end_transfer();
        read.map_err(io::Error::other).map_err(TransferError::Storage)?
    }

    async fn turn(&self) -> Result<SemaphorePermit<'static>, TransferError> {
        let turn = self.abort.before(READERS.acquire()).await.map_err(TransferError::Broken)?;
        turn.map_err(io::Error::other).map_err(TransferError::Storage)
    }
}

/// The receipt's digest, if the file is still the one that was received.
async fn received(engine: &Engine, party: &Party, located: &Located) -> Result<Option<String>, TransferError> {
    if located.side != Folder::Receive {
        return Ok(None);
    }
    let receipt = if located.receipt.is_some() {
        located.receipt.clone()
    } else {
        let path = located.side.path(&located.names).to_string();
        receipt::latest_stored_at(&engine.depot.db, party.connector().id.key(), &path).await?
    };
    let version = located.source.version();
    Ok(receipt
        .filter(|receipt| {
            is_file_of(receipt, &version, located.source.born())
                // Somebody else has written to it: its mtime is later than the receipt.
                && version.modified <= receipt.completed_at
        })
        .map(|receipt| receipt.sha256))
}

/// The bytes of a file being read, each accounted for.
struct Bytes {
    source: Source,
    span: Span,
    place: Arc<Place>,
    abort: Abort,
}

impl Bytes {
    /// Their number with the line ends of TYPE A.
    fn as_text(&self) -> Result<u64, TransferError> {
        let (mut added, mut last) = (0, 0);
        self.chunks(|bytes| {
            for byte in bytes {
                added += u64::from(*byte == b'\n' && last != b'\r');
                last = *byte;
            }
        })?;
        Ok(self.span.to - self.span.from + added)
    }

    fn digest(&self, algorithm: Algorithm) -> Result<String, TransferError> {
        match algorithm {
            Algorithm::Crc32 => {
                let mut crc = crc32fast::Hasher::new();
                self.chunks(|bytes| crc.update(bytes))?;
                Ok(format!("{:08x}", crc.finalize()))
            }
            Algorithm::Md5 => self.of::<md5::Md5>(),
            Algorithm::Sha1 => self.of::<sha1::Sha1>(),
            Algorithm::Sha256 => self.of::<sha2::Sha256>(),
            Algorithm::Sha512 => self.of::<sha2::Sha512>(),
        }
    }

    fn of<D: sha2::Digest>(&self) -> Result<String, TransferError> {
        let mut digest = D::new();
        self.chunks(|bytes| digest.update(bytes))?;
        Ok(hex(&digest.finalize()))
    }

    fn chunks(&self, mut each: impl FnMut(&[u8])) -> Result<(), TransferError> {
        let mut buffer = vec![0; STEP_BYTES];
        let Span { from: mut at, to } = self.span;
        while at < to {
            if let Some(ending) = self.abort.ending() {
                return Err(TransferError::Broken(ending));
            }
            let want = usize::try_from(to - at).unwrap_or(STEP_BYTES).min(STEP_BYTES);
            match self.source.read_at(&mut buffer[..want], at)? {
                0 => return Err(TransferError::Changed),
                count => {
                    each(&buffer[..count]);
                    at += count as u64;
                    self.place.moved(count as u64);
                }
            }
        }
        Ok(())
    }
}
