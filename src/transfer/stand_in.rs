//! An upload that somebody else makes as if they were the partner: the same plan, part, receipt and event as over FTP.
//! Only the bytes come from elsewhere, and the source says which is the last.
//!
//! Always: an upload whose source goes away before announcing its end is not received.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::task::JoinHandle;

use super::abort::Abort;
use super::copy::{BUFFER_BYTES, Inbound, Watch};
use super::depot::{Depot, Party, TransferError};
use super::plan::{self, Plan};
use super::presence::Presence;
use super::receive::{Control, Done, Upload};
use crate::base::id::{ReceiptId, SessionId, TransferId};
use crate::base::path::{Name, VirtualPath};
use crate::domain::place::Folder;
use crate::domain::refusal::Rule;
use crate::ftp::session::StoreMode;
use crate::store::live::{LiveConnector, Snapshot};
use crate::store::transfer::{Direction, Transfer};

/// Who stands in for the partner.
#[derive(Clone, Debug)]
pub struct StandIn<'a> {
    /// Their name, kept in the transfer's record.
    pub who: &'a str,
    /// Their address.
    pub remote: IpAddr,
}

/// An upload to Receive whose bytes are handed over here.
#[derive(Debug)]
pub struct Feed {
    to: DuplexStream,
    whole: Arc<AtomicBool>,
    upload: JoinHandle<Result<Option<ReceiptId>, TransferError>>,
}

impl Feed {
    /// Begins one, if the partner could: the error is the first rule that says no.
    pub async fn begin(
        depot: &Depot,
        (snapshot, connector): (Arc<Snapshot>, Arc<LiveConnector>),
        by: &StandIn<'_>,
        name: &str,
    ) -> Result<Self, TransferError> {
        let name = Name::parse(name)
            .map_err(|error| TransferError::refused(Rule::NameNotStorable, format!("{name:?} {error}")))?;
        let path = Folder::Receive.path(&[name]);
        let session = SessionId::new(&depot.ids);
        let party = Party::new(snapshot, connector, session, by.remote, String::new());
        let plan = plan::plan(depot, &party, &path, StoreMode::Replace).await?;
        let (to, from) = tokio::io::duplex(BUFFER_BYTES);
        let whole = Arc::<AtomicBool>::default();
        let source = Handed { from, whole: Arc::clone(&whole) };
        let reply = format!("Uploaded by {} as if the partner had", by.who);
        // A separate task: the source may go away, and what arrived is then put aside in order.
        let upload = tokio::spawn(run(depot.clone(), party, (plan, path), source, reply));
        Ok(Self { to, whole, upload })
    }

    /// Passes on the next bytes. `false`: the upload has ended already, [`Self::finish`] says why.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        self.to.write_all(bytes).await.is_ok()
    }

    /// That was the last byte. Returns the receipt, unless the name is temporary.
    pub async fn finish(self) -> Result<Option<ReceiptId>, TransferError> {
        self.whole.store(true, Ordering::Release);
        drop(self.to);
        self.upload.await.map_err(|error| TransferError::Storage(io::Error::other(error)))?
    }
}

async fn run(
    depot: Depot,
    party: Party,
    (plan, path): (Plan, VirtualPath),
    mut source: Handed,
    reply: String,
) -> Result<Option<ReceiptId>, TransferError> {
    let begun_at = depot.clock.now();
    let abort = Abort::default();
    let upload = Upload::begin(&depot, &party, plan, &abort).await?;
    // Nobody is connected over FTP: it is not among the live sessions.
    let place = Presence::default().enter(party.session.clone(), (party.remote, party.remote), begun_at);
    let stall = party.connector().settings.stall_timeout_s.seconds();
    let watch = Watch { place: &place, abort: &abort, stall, ends: None };
    let done: Done = upload.run(&depot, &party, &mut source, (&watch, &Told, false)).await;
    let record = Transfer {
        id: TransferId::new(&depot.ids),
        direction: Direction::Receive,
        connector: party.connector().id.as_str().to_owned(),
        path: path.to_string(),
        bytes_moved: place.moved_bytes(),
        offset_bytes: 0,
        begun_at,
        ended_at: depot.clock.now(),
        ending: done.ending,
        complete: done.result.is_ok(),
        remote: party.remote.to_string(),
        tls: String::new(),
        session_id: party.session.as_str().to_owned(),
        receipt_id: done.receipt.clone(),
        reply,
    };
    depot.recorder.transfer(record).await;
    done.result.map(|()| done.receipt)
}

/// No loss of a control connection could cast doubt on the end: the source announces it.
struct Told;

impl Control for Told {
    fn is_alive(&self) -> bool {
        true
    }
}

/// The other end of [`Feed`].
#[derive(Debug)]
struct Handed {
    from: DuplexStream,
    whole: Arc<AtomicBool>,
}

impl Inbound for Handed {
    fn ending(&self, error: Option<&io::Error>) -> crate::domain::receipt::Ending {
        use crate::domain::receipt::Ending;
        if error.is_none() && self.whole.load(Ordering::Acquire) { Ending::Closed } else { Ending::Cut }
    }

    fn is_by_tls(&self) -> bool {
        false
    }

    fn ends_tolerantly(&self) -> bool {
        false
    }
}

impl AsyncRead for Handed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.from).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Handed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.from).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.from).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.from).poll_shutdown(cx)
    }
}
