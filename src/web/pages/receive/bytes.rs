//! The bytes of received files, for an administrator: one as it is, or many as a zip.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, Method};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{DateTime, ZipWriter};

use super::below;
use crate::base::clock::Timestamp;
use crate::base::id::ReceiptId;
use crate::store::audit::{self, Entry};
use crate::store::receipt::{self, Receipt};
use crate::transfer::depot::TransferError;
use crate::transfer::received;
use crate::web::context::Context;
use crate::web::download::{self, Served, Wanted};
use crate::web::error::WebError;

/// Zips made at a time; further ones are told to come back later.
pub const ZIPS_MAX: usize = 4;
/// Bytes of a zip handed over at a time.
const CHUNK_BYTES: usize = 128 * 1024;
/// Chunks waiting for the browser.
const CHUNKS_MAX: usize = 8;
/// A browser that takes no chunk for this long gets no more.
const TAKEN_WITHIN: Duration = Duration::from_mins(2);
/// From this size on an entry needs the larger fields of a zip (APPNOTE 4.3.9.2).
const LARGE_FROM_BYTES: u64 = 0xffff_0000;
/// Entries of the audit in one commit.
const TOLD_AT_ONCE: usize = 500;
/// The name of the list of files missing from a zip.
const LEFT_OUT: &str = "NOT IN THIS ZIP.txt";
/// Characters that Windows forbids in names, or takes for a separator.
const NOT_IN_NAMES: [char; 8] = ['\\', ':', '<', '>', '"', '|', '?', '*'];
/// The digest of the whole file (RFC 9530).
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// One received file.
pub async fn one(
    context: Context,
    method: Method,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, WebError> {
    let state = &context.state;
    let id = ReceiptId::parse(&id).ok_or_else(WebError::not_found)?;
    let receipt = receipt::find(&state.db, &id).await?.filter(|receipt| !receipt.publishing);
    let receipt = receipt.ok_or_else(WebError::not_found)?;
    let source = match received::open(&state.depot, &state.live.snapshot(), &receipt).await {
        Ok(source) => source,
        Err(TransferError::NotFound) => return Err(not_here()),
        Err(error) => return Err(WebError::internal(error)),
    };
    let etag = format!("\"{}\"", receipt.sha256);
    let served = Served { name: &receipt.name, size_bytes: receipt.size_bytes, etag: &etag };
    let wanted = Wanted::of(&method, &headers, served);
    if wanted.is_read(&method) {
        tell(&context, std::slice::from_ref(&receipt)).await?;
    }
    let file = File::from(source.file().try_clone().map_err(WebError::internal)?);
    let mut response = download::answer(served, wanted, file)?;
    if let Some(value) = digest(&receipt.sha256).and_then(|value| value.parse().ok()) {
        response.headers_mut().insert(REPR_DIGEST, value);
    }
    Ok(response)
}

fn not_here() -> WebError {
    WebError::new(
        axum::http::StatusCode::GONE,
        "Its bytes are not here any more",
        "The file was removed, replaced or passed along, and nothing of it is kept. Whoever has it now can send it.",
    )
}

fn digest(hex: &str) -> Option<String> {
    let pairs = hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
    let bytes: Vec<u8> = pairs.collect::<Option<_>>()?;
    Some(format!("sha-256=:{}:", STANDARD.encode(bytes)))
}

/// The audit records who reads a partner's file.
async fn tell(context: &Context, receipts: &[Receipt]) -> Result<(), WebError> {
    for some in receipts.chunks(TOLD_AT_ONCE) {
        let subjects: Vec<_> = some.iter().map(|receipt| format!("receipt {}", receipt.id)).collect();
        let entries = subjects.iter().zip(some).map(|(subject, receipt)| Entry {
            subject,
            key: "downloaded",
            before: "",
            after: &receipt.stored_path,
        });
        let entries: Vec<_> = entries.collect();
        context.changing(async |change| audit::note_all(&context.state.db, change, &entries).await).await?;
    }
    Ok(())
}

/// Many as one zip, made while it is sent; it lists the files whose bytes are gone.
pub async fn zip(context: &Context, receipts: Vec<Receipt>) -> Result<Response, WebError> {
    let Ok(turn) = context.state.zips.clone().try_acquire_owned() else {
        return Err(WebError::new(
            axum::http::StatusCode::TOO_MANY_REQUESTS,
            "Other zips are being made",
            format!("At most {ZIPS_MAX} are made at a time. Try again when one of them has ended."),
        ));
    };
    tell(context, &receipts).await?;
    let (chunks, taken) = mpsc::channel(CHUNKS_MAX);
    let pouring = context.clone();
    let handle = Handle::current();
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let mut pipe = Pipe { handle: handle.clone(), chunks, waiting: Vec::with_capacity(CHUNK_BYTES) };
        if let Err(error) = pour(&pouring, &handle, &receipts, &mut pipe) {
            tracing::warn!(%error, "A zip was broken off");
            // The browser sees that the file is incomplete.
            let _ = handle.block_on(pipe.chunks.send_timeout(Err(error), TAKEN_WITHIN));
        }
    });
    let body = Body::from_stream(stream::unfold(taken, async |mut taken| {
        let chunk: io::Result<Bytes> = taken.recv().await?;
        Some((chunk, taken))
    }));
    let name = format!("received-{}.zip", context.now().calendar().strftime("%Y-%m-%d-%H%M%S"));
    let headers = [(CONTENT_TYPE, "application/zip".to_owned()), (CONTENT_DISPOSITION, download::attachment(&name))];
    Ok((headers, body).into_response())
}

fn pour(context: &Context, handle: &Handle, receipts: &[Receipt], pipe: &mut Pipe) -> io::Result<()> {
    let (state, mut names, mut missing) = (&context.state, HashSet::new(), Vec::new());
    let mut zip = ZipWriter::new_stream(&mut *pipe);
    for receipt in receipts {
        let snapshot = state.live.snapshot();
        match handle.block_on(received::open(&state.depot, &snapshot, receipt)) {
            Ok(source) => {
                let name = entry_name(receipt, &mut names);
                let file = File::from(source.file().try_clone()?);
                add(&mut zip, &name, receipt, file)?;
            }
            Err(TransferError::NotFound) => missing.push(receipt),
            Err(error) => return Err(io::Error::other(error)),
        }
    }
    if !missing.is_empty() {
        zip.start_file(LEFT_OUT, SimpleFileOptions::default())?;
        writeln!(zip, "Nothing of these files is here any more:")?;
        for one in missing {
            writeln!(zip, "{} {} {} ({})", one.id, one.connector, one.client_path, one.status.label())?;
        }
    }
    zip.finish()?;
    pipe.flush()
}

fn add<W: Write>(zip: &mut ZipWriter<StreamWriter<W>>, name: &str, receipt: &Receipt, file: File) -> io::Result<()> {
    let options = SimpleFileOptions::default()
        .large_file(receipt.size_bytes >= LARGE_FROM_BYTES)
        .last_modified_time(moment(receipt.completed_at));
    zip.start_file(name, options)?;
    let copied = io::copy(&mut file.take(receipt.size_bytes), zip)?;
    if copied == receipt.size_bytes {
        Ok(())
    } else {
        Err(io::Error::other(format!("{} became shorter while it was read", receipt.client_path)))
    }
}

/// `acme-edi/orders/po.x12`; a second one of that name gets its receipt's id before it. Partners choose names: whatever
/// separates folders, names a drive or is forbidden in names elsewhere is replaced, so that unpacking puts it where it
/// belongs (APPNOTE 4.4.17.1).
fn entry_name(receipt: &Receipt, taken: &mut HashSet<String>) -> String {
    let below = below(&receipt.stored_path).trim_start_matches('/').replace(NOT_IN_NAMES, "_");
    let plain = format!("{}/{below}", receipt.connector);
    let is_taken = taken.contains(&plain.to_lowercase());
    let name = if is_taken { format!("{}/{}/{below}", receipt.connector, receipt.id) } else { plain };
    taken.insert(name.to_lowercase());
    name
}

/// In UTC, to two seconds; a zip is no more precise.
fn moment(at: Timestamp) -> DateTime {
    let at = at.calendar().to_zoned(jiff::tz::TimeZone::UTC);
    let part = |part: i8| part.unsigned_abs();
    let date = (at.year().unsigned_abs(), part(at.month()), part(at.day()));
    let time = (part(at.hour()), part(at.minute()), part(at.second()));
    DateTime::from_date_and_time(date.0, date.1, date.2, time.0, time.1, time.2).unwrap_or_default()
}

/// The output of a zip: chunks on their way to a browser.
struct Pipe {
    handle: Handle,
    chunks: mpsc::Sender<io::Result<Bytes>>,
    waiting: Vec<u8>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK_BYTES - self.waiting.len());
        self.waiting.extend_from_slice(&bytes[..taken]);
        if self.waiting.len() == CHUNK_BYTES {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let chunk = Bytes::from(std::mem::replace(&mut self.waiting, Vec::with_capacity(CHUNK_BYTES)));
        let sent = self.handle.block_on(self.chunks.send_timeout(Ok(chunk), TAKEN_WITHIN));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the browser takes no more of it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::IdSource;

    #[test]
    fn a_digest_is_told_as_rfc_9530_has_it() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest(hex).unwrap(), "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:");
        assert_eq!(digest("not hex"), None);
        let at = Timestamp::parse_rfc3339("2026-03-20T09:46:40Z").unwrap();
        assert_eq!(moment(at).to_string(), "2026-03-20 09:46:40");
    }

    #[test]
    fn an_entry_stays_below_its_partner_wherever_it_is_unpacked() {
        let (ids, mut taken) = (IdSource::seeded(Clock::System, 7), HashSet::new());
        let mut entry = |path: &str| {
            let receipt =
                Receipt { stored_path: path.to_owned(), ..Receipt::sample(&ids, "globex", Timestamp::default()) };
            (entry_name(&receipt, &mut taken), receipt.id)
        };
        assert_eq!(entry(r"/Receive/..\..\evil.bat").0, "globex/.._.._evil.bat");
        assert_eq!(entry("/Receive/a/C:x?.txt").0, "globex/a/C_x_.txt");
        // If they differed only in replaced characters, or in case, they would be one file when unpacked.
        let (name, id) = entry("/Receive/A/c|X*.txt");
        assert_eq!(name, format!("globex/{id}/A/c_X_.txt"));
    }
}
