//! HASH and its kin: from the receipt when the file is what was received, else read in the background, a bounded number
//! at a time.

use std::io;
use std::sync::LazyLock;

use tokio::sync::Semaphore;

use super::Engine;
use super::files;
use crate::base::path::VirtualPath;
use crate::domain::authorise::Operation;
use crate::domain::place::{Folder, path_of};
use crate::ftp::session::{Algorithm, Outcome};
use crate::store::receipt;
use crate::transfer::depot::{Party, TransferError};
use crate::transfer::digest::hex;
use crate::transfer::send::{Located, locate};
use crate::workspace::download::Source;

/// Files read for digests at a time, in all.
const READERS_MAX: usize = 2;
const STEP_BYTES: usize = 256 * 1024;

static READERS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(READERS_MAX));

/// The digest of bytes `range.0..range.1` of a file.
pub async fn digest(
    engine: &Engine,
    party: &Party,
    path: &VirtualPath,
    (algorithm, range): (Algorithm, (u64, Option<u64>)),
) -> Result<Outcome, TransferError> {
    let target = files::target(party, Operation::Look, path)?;
    let workspace = party.workspace(&engine.depot)?;
    let located = match locate(&engine.depot, party, target.folder, &target.names).await {
        Err(TransferError::NotFound) if workspace.folder(target.folder).unfinished(&target.names).is_some() => {
            return Err(TransferError::Busy);
        }
        other => other?,
    };
    let size = located.source.version().size_bytes;
    let (start, end) = (range.0.min(size), range.1.unwrap_or(size).min(size));
    let whole = start == 0 && end == size;
    let known = if whole && algorithm == Algorithm::Sha256 { received(engine, party, &located).await? } else { None };
    let hex = match known {
        Some(hex) => hex,
        None => read(located.source.clone(), algorithm, start, end.max(start)).await?,
    };
    if whole {
        files::confirm(engine, &located).await;
    }
    Ok(Outcome::Digest { hex, start, end: end.max(start) })
}

/// The receipt's digest, if the file is still the one that was received.
async fn received(engine: &Engine, party: &Party, located: &Located) -> Result<Option<String>, TransferError> {
    if located.side != Folder::Receive {
        return Ok(None);
    }
    let receipt = if located.receipt.is_some() {
        located.receipt.clone()
    } else {
        let path = path_of(located.side, &located.names).unwrap_or_default().to_string();
        receipt::latest_stored_at(&engine.depot.db, party.connector().id.key(), &path).await?
    };
    let version = located.source.version();
    Ok(receipt
        .filter(|receipt| {
            receipt.inode == version.inode
                && receipt.size_bytes == version.size_bytes
                // Written to since by somebody else: its change of content is later than the receipt.
                && version.modified <= receipt.completed_at
        })
        .map(|receipt| receipt.sha256))
}

async fn read(source: Source, algorithm: Algorithm, start: u64, end: u64) -> Result<String, TransferError> {
    let _turn = READERS.acquire().await.map_err(|error| TransferError::Storage(io::Error::other(error)))?;
    let work = move || match algorithm {
        Algorithm::Crc32 => {
            let mut crc = crc32fast::Hasher::new();
            chunks(&source, start, end, |bytes| crc.update(bytes))?;
            Ok(format!("{:08x}", crc.finalize()))
        }
        Algorithm::Md5 => of::<md5::Md5>(&source, start, end),
        Algorithm::Sha1 => of::<sha1::Sha1>(&source, start, end),
        Algorithm::Sha256 => of::<sha2::Sha256>(&source, start, end),
        Algorithm::Sha512 => of::<sha2::Sha512>(&source, start, end),
    };
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?.map_err(TransferError::Storage)
}

fn of<D: sha2::Digest>(source: &Source, start: u64, end: u64) -> io::Result<String> {
    let mut digest = D::new();
    chunks(source, start, end, |bytes| digest.update(bytes))?;
    Ok(hex(&digest.finalize()))
}

fn chunks(source: &Source, start: u64, end: u64, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; STEP_BYTES];
    let mut at = start;
    while at < end {
        let want = usize::try_from(end - at).unwrap_or(STEP_BYTES).min(STEP_BYTES);
        match source.read_at(&mut buffer[..want], at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                each(&buffer[..count]);
                at += count as u64;
            }
        }
    }
    Ok(())
}
