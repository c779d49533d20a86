//! One transfer, which its session runs while listening to the control connection. Order as in PRODUCT 5.1 and 5.2:
//! permission, the data connection, 150, the bytes.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::RecvFlags;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::acknowledged::acknowledged;
use super::data::{Agreed, DataError};
use super::early::Come;
use super::listing;
use super::mode::DataConnection;
use super::refusal::{self, About};
use super::stream::{DataStream, Stream};
use super::tls::{self, Reads, SessionTls};
use crate::base::clock::Timestamp;
use crate::base::id::{ReceiptId, TransferId};
use crate::domain::authorise::No;
use crate::domain::receipt::Ending;
use crate::domain::refusal::Rule;
use crate::domain::value::SessionReuse;
use crate::ftp::encoding::Encoding;
use crate::ftp::reply::{Code, Reply};
use crate::ftp::session::{Outcome, StoreMode, Transfer};
use crate::store::transfer::{Direction, Transfer as Record};
use crate::transfer::abort::Abort;
use crate::transfer::collect::Collecting;
use crate::transfer::copy::Watch;
use crate::transfer::depot::{Depot, Party, TransferError};
use crate::transfer::plan::{self, Base, Plan};
use crate::transfer::presence::Place;
use crate::transfer::receive::{self, Upload};
use crate::transfer::send;
use crate::transfer::socket::Socket;

const TLS_ALERT: u8 = 21;
const TLS_APPLICATION: u8 = 23;
/// A complete record in TLS 1.3: header, the alert's two bytes, its type, and the tag, which has the same length in
/// every suite.
const ALERT_1_3_BYTES: usize = 5 + 2 + 1 + 16;

/// A report to the session from work beside it.
#[derive(Debug)]
pub enum Progress {
    /// The data connection is established: send 150, then say go.
    Opened {
        /// `STOU`'s name.
        unique: Option<String>,
        /// Answered when the 150 has been sent.
        go: oneshot::Sender<()>,
    },
    /// It has ended.
    Ended(Box<End>),
    /// A file was read for its digest or size, or could not be; with the rule that said no.
    Read(Outcome, Option<No>),
}

/// How it ended.
#[derive(Debug)]
pub struct End {
    /// For the session.
    pub outcome: Outcome,
    /// The rule that said no, to be recorded.
    pub refused: Option<No>,
    /// What to record of the transfer, once its reply is known.
    pub record: Option<Record>,
    /// What follows once that record is queued: whether the file was collected.
    pub collecting: Option<Box<Acknowledging>>,
}

/// A download whose bytes have all been handed to the network, and its connection.
#[derive(Debug)]
pub struct Acknowledging {
    depot: Depot,
    collecting: Collecting,
    stream: DataConnection,
    transfer: TransferId,
}

impl Acknowledging {
    /// Waits for the partner's TCP, then does with the file what its settings demand.
    pub async fn run(self) {
        let taken = match self.stream.tcp().and_then(Socket::watched) {
            Some(socket) => acknowledged(socket, self.depot.collections.closing()).await,
            None => false,
        };
        drop(self.stream);
        self.collecting.decide(&self.depot, taken, &self.transfer).await;
    }
}

impl End {
    fn transferred(note: String) -> Self {
        Self { outcome: Outcome::Transferred { note }, refused: None, record: None, collecting: None }
    }

    fn failed(error: &TransferError, what: About) -> Self {
        let (reply, refused) = refusal::reply(error, what);
        Self { outcome: Outcome::Refused(reply), refused, record: None, collecting: None }
    }
}

/// Everything one transfer needs.
#[derive(Debug)]
pub struct Job {
    /// The services.
    pub engine: Engine,
    /// Whose it is.
    pub party: Party,
    /// Our own address on the control connection.
    pub local: IpAddr,
    /// Shows its progress.
    pub place: Arc<Place>,
    /// ABOR, and the end of the session.
    pub abort: Abort,
    /// The control connection, checked before a file is published.
    pub control: ControlLine,
    /// The encoding of names.
    pub encoding: Encoding,
    /// The level of MODE Z; `None`: MODE S.
    pub deflate: Option<u8>,
    /// TLS of the data connection; `None`: in clear.
    pub tls: Option<SessionTls>,
    /// Where progress goes.
    pub progress: mpsc::Sender<Progress>,
}

/// A second handle of the control connection's socket, only to check whether the client still holds it.
#[derive(Debug)]
pub struct ControlLine {
    socket: OwnedFd,
    by_tls: bool,
    gone: CancellationToken,
}

impl ControlLine {
    /// From the control connection; `gone` is cancelled when its end has been read.
    pub(super) fn of(stream: &Stream, gone: CancellationToken) -> std::io::Result<Self> {
        Ok(Self { socket: stream.second_handle()?, by_tls: matches!(stream, Stream::Tls(_)), gone })
    }
}

impl receive::Control for ControlLine {
    fn is_alive(&self) -> bool {
        !self.gone.is_cancelled() && !self.has_ended() && !self.is_saying_goodbye()
    }
}

impl ControlLine {
    /// Whether the connection has ended, even if earlier bytes are still unread.
    fn has_ended(&self) -> bool {
        let ended = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        let mut socket = [PollFd::new(&self.socket, PollFlags::RDHUP)];
        match rustix::event::poll(&mut socket, Some(&Timespec::default())) {
            Ok(_) => socket[0].revents().intersects(ended),
            Err(errno) => errno != rustix::io::Errno::INTR,
        }
    }

    /// Whether all unread input is the end of TLS: the socket's own end may follow somewhat later.
    fn is_saying_goodbye(&self) -> bool {
        let mut waiting = [0; ALERT_1_3_BYTES + 1];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        self.by_tls
            && rustix::net::recv(&self.socket, &mut waiting, flags)
                .is_ok_and(|(count, _)| is_alert(waiting.get(..count).unwrap_or_default()))
    }
}

/// An alert of TLS 1.2 is marked as one. In TLS 1.3 it looks like any other record; but no command is as short.
fn is_alert(record: &[u8]) -> bool {
    match record {
        [TLS_ALERT, ..] => true,
        [TLS_APPLICATION, _, _, high, low, encrypted @ ..] => {
            record.len() == ALERT_1_3_BYTES && usize::from(u16::from_be_bytes([*high, *low])) == encrypted.len()
        }
        _ => false,
    }
}

/// Does the transfer over the agreed data connection, and reports its end.
pub async fn run(job: Job, agreed: Agreed, transfer: Transfer) {
    let progress = job.progress.clone();
    let end = match transfer {
        Transfer::Retrieve { path, offset, end, ascii } => job.retrieve(agreed, &path, (offset, end, ascii)).await,
        Transfer::Store { path, mode, ascii } => job.store(agreed, &path, mode, ascii).await,
        Transfer::List(listing) => job.list(agreed, listing).await,
    };
    // The session takes every report.
    let _ = progress.send(Progress::Ended(Box::new(end))).await;
}

type Path = crate::base::path::VirtualPath;

impl Job {
    async fn retrieve(mut self, agreed: Agreed, path: &Path, (offset, end, ascii): (u64, Option<u64>, bool)) -> End {
        let begun_at = self.now();
        let download = match send::prepare(&self.engine.depot, &self.party, path, (offset, end, ascii)).await {
            Ok(download) => download,
            Err(error) => return End::failed(&error, About::File),
        };
        let mut stream = match self.open(agreed, None, Reads::Client).await {
            Ok(stream) => stream,
            Err(end) => return end,
        };
        self.place.begin_transfer(format!("Sending {path}"), Some(download.size_bytes()));
        let (place, abort) = (Arc::clone(&self.place), self.abort.clone());
        let watch = Watch { place: &place, abort: &abort, stall: self.stall(), ends: stream.ends() };
        let done = download.run(&self.engine.depot, &mut stream, &watch).await;
        self.place.end_transfer();
        let record = self.record(Direction::Send, path, begun_at);
        let record = Record { offset_bytes: offset, ending: done.ending, complete: done.result.is_ok(), ..record };
        match done.result {
            Ok(()) => {
                let (depot, transfer) = (self.engine.depot.clone(), record.id.clone());
                let collecting = download.collecting(&depot, &self.party);
                let collecting =
                    collecting.map(|collecting| Box::new(Acknowledging { depot, collecting, stream, transfer }));
                End { record: Some(record), collecting, ..End::transferred(String::new()) }
            }
            Err(error) => {
                let goes_on = !ascii && matches!(error, TransferError::Broken(_));
                if let Some(collecting) = download.collecting(&self.engine.depot, &self.party).filter(|_| goes_on) {
                    collecting.broken(&self.engine.depot, record.bytes_moved).await;
                }
                End { record: Some(record), ..End::failed(&error, About::File) }
            }
        }
    }

    async fn store(mut self, agreed: Agreed, path: &Path, mode: StoreMode, ascii: bool) -> End {
        let begun_at = self.now();
        let what = if mode == StoreMode::Append { About::File } else { About::Name };
        let plan = match plan::plan(&self.engine.depot, &self.party, path, mode).await {
            Ok(plan) => plan,
            Err(error) => return End::failed(&self.party.as_seen(path, error), what),
        };
        let path = plan.client_path();
        let (mut upload, mut stream) = match self.begin(agreed, plan, what).await {
            Ok(begun) => begun,
            Err(end) => return end,
        };
        self.place.begin_transfer(format!("Receiving {path}"), None);
        let (place, abort) = (Arc::clone(&self.place), self.abort.clone());
        let watch = Watch { place: &place, abort: &abort, stall: self.stall(), ends: None };
        upload.begun_at(begun_at);
        let offset = upload.offset();
        let depot = self.engine.depot.clone();
        let done = upload.run(&depot, &self.party, &mut stream, (&watch, &self.control, ascii)).await;
        self.place.end_transfer();
        let record = Record {
            offset_bytes: offset,
            ending: done.ending,
            complete: done.result.is_ok(),
            receipt_id: done.receipt.clone(),
            ..self.record(Direction::Receive, &path, begun_at)
        };
        match done.result {
            Ok(()) => End { record: Some(record), ..End::transferred(received_note(done.receipt.as_ref())) },
            Err(error) => End { record: Some(record), ..End::failed(&error, what) },
        }
    }

    /// Data connection first, file second; only a new version of a complete file is built before the 150.
    async fn begin(&mut self, agreed: Agreed, plan: Plan, what: About) -> Result<(Upload, DataConnection), End> {
        let (party, path) = (self.party.clone(), plan.client_path());
        let failed = |error: TransferError| End::failed(&party.as_seen(&path, error), what);
        let unique = plan.unique.then(|| plan.client_path().to_string());
        if let Base::Complete { source, .. } = &plan.base {
            // A file that another program is still writing would pass for complete as the beginning of a new version.
            send::settled(&self.engine.depot, &self.party, plan.side, &source.version()).map_err(failed)?;
            let upload = Upload::begin(&self.engine.depot, &self.party, plan, &self.abort).await.map_err(failed)?;
            return match self.open(agreed, unique, Reads::Server).await {
                Ok(stream) => Ok((upload, stream)),
                Err(end) => {
                    upload.give_up(&self.engine.depot, &self.party).await;
                    Err(end)
                }
            };
        }
        let stream = self.open(agreed, unique, Reads::Server).await?;
        Ok((Upload::begin(&self.engine.depot, &self.party, plan, &self.abort).await.map_err(failed)?, stream))
    }

    async fn list(mut self, agreed: Agreed, listing: crate::ftp::session::Listing) -> End {
        let what = listing::about(&listing);
        let (listed, listing) = match listing::prepare(&self.engine, &self.party, listing).await {
            Ok(prepared) => prepared,
            Err(error) => return End::failed(&error, what),
        };
        let mut stream = match self.open(agreed, None, Reads::Client).await {
            Ok(stream) => stream,
            Err(end) => return end,
        };
        self.place.begin_transfer(format!("Listing {}", listing.path), None);
        let (place, abort) = (Arc::clone(&self.place), self.abort.clone());
        let watch = Watch { place: &place, abort: &abort, stall: self.stall(), ends: stream.ends() };
        let result = listing::send(listed, &self, &listing, &mut stream, &watch).await;
        self.place.end_transfer();
        match result {
            Ok(()) => End::transferred(String::new()),
            Err(error) => End::failed(&error, what),
        }
    }

    /// The data connection; when this returns, 150 has been sent and TLS is established.
    async fn open(&mut self, agreed: Agreed, unique: Option<String>, reads: Reads) -> Result<DataConnection, End> {
        let timeout = self.party.connector().settings.timeout_s.seconds();
        let broken = |ending| End::failed(&TransferError::Broken(ending), About::File);
        let opening = agreed.open(self.party.remote, self.local, timeout);
        let come = self.abort.before(opening).await.map_err(broken)?.map_err(|error| not_opened(&error))?;
        let (go, gone) = oneshot::channel();
        let told = self.progress.send(Progress::Opened { unique, go }).await.is_ok() && gone.await.is_ok();
        if !told {
            return Err(broken(Ending::Cut));
        }
        if reads == Reads::Server && self.tls.is_some() {
            // Its own end tells whether everything has come, whatever happens to the client (PRODUCT 5.3).
            self.abort = self.abort.surviving();
        }
        let stream = match (come, &self.tls) {
            // Whatever has arrived by now is kept, even if the client is already gone.
            (Come::Silent(stream), None) => Stream::Plain(stream.into()),
            (come, _) => self.abort.before(self.secure(come, (reads, timeout))).await.map_err(broken)??,
        };
        let settings = &self.party.connector().settings;
        let tls_end = *settings.tls_end.or(&self.party.snapshot.profile.tls_end);
        let stream = DataStream { stream, tls_end };
        Ok(match reads {
            Reads::Client => DataConnection::sending(stream, self.deflate),
            Reads::Server | Reads::Unknown => DataConnection::receiving(stream, self.deflate),
        })
    }

    /// Starts TLS if wanted; most clients begin it only after the 150.
    async fn secure(&self, come: Come, (reads, timeout): (Reads, Duration)) -> Result<Stream, End> {
        let secured = match (come, &self.tls) {
            (Come::Silent(stream), None) => return Ok(Stream::Plain(stream.into())),
            (Come::Silent(stream), Some(session)) => session.accept_data(stream, reads, timeout).await,
            // It has a deadline of its own.
            (Come::Speaking(shaking), _) => shaking.await.unwrap_or_else(|ended| Err(std::io::Error::other(ended))),
        };
        let secured = secured.map_err(|error| {
            let reply = Reply::new(Code::NoDataConnection, "The TLS handshake of the data connection failed.");
            let no =
                No { rule: Rule::TlsHandshakeFailed, detail: format!("data connection: {}", tls::explain(&error)) };
            End { outcome: Outcome::Refused(reply), refused: Some(no), record: None, collecting: None }
        })?;
        match self.not_reused(secured.get_ref().1) {
            None => Ok(Stream::Tls(Box::new(secured))),
            Some(refused) => Err(refused),
        }
    }

    /// Refuses a data connection that did not resume its control connection's session although it must.
    fn not_reused(&self, connection: &rustls::ServerConnection) -> Option<End> {
        let settings = &self.party.connector().settings;
        let reuse = *settings.tls_session_reuse.or(&self.party.snapshot.profile.tls_session_reuse);
        if reuse == SessionReuse::Off || tls::is_resumed(connection) {
            return None;
        }
        if reuse == SessionReuse::Log {
            tracing::debug!(
                connector.id = self.party.connector().id.as_str(),
                session.id = self.party.session.as_str(),
                "A data connection did not resume the TLS session of its control connection"
            );
            return None;
        }
        let has_spent = self.tls.as_ref().is_some_and(|session| session.has_spent(connection));
        let (remedy, detail) = if has_spent {
            (
                "an earlier one did, so your client seems to have no ticket of TLS 1.3 left. Please use TLS 1.2, or \
                 sign in anew for each file.",
                ": an earlier data connection resumed the session, so the client seems to keep no second ticket; by \
                 TLS 1.2 it needs none",
            )
        } else {
            ("please turn on TLS session reuse in your client.", "")
        };
        let text = format!("The data connection must resume the TLS session of the control connection; {remedy}");
        let no = No { rule: Rule::SessionNotReused, detail: format!("{}{detail}", tls::describe(connection)) };
        let outcome = Outcome::Refused(Reply::new(Code::NetworkNotSupported, text));
        Some(End { outcome, refused: Some(no), record: None, collecting: None })
    }

    fn now(&self) -> Timestamp {
        self.engine.depot.clock.now()
    }

    fn stall(&self) -> Duration {
        self.party.connector().settings.stall_timeout_s.seconds()
    }

    fn record(&self, direction: Direction, path: &Path, begun_at: Timestamp) -> Record {
        Record {
            id: TransferId::new(&self.engine.depot.ids),
            direction,
            connector: self.party.connector().id.as_str().to_owned(),
            path: path.to_string(),
            bytes_moved: self.place.moved_bytes(),
            offset_bytes: 0,
            begun_at,
            ended_at: self.now(),
            ending: Ending::Failed,
            complete: false,
            remote: self.party.remote.to_string(),
            tls: self.party.tls.clone(),
            session_id: self.party.session.as_str().to_owned(),
            receipt_id: None,
            reply: String::new(),
        }
    }
}

fn received_note(receipt: Option<&ReceiptId>) -> String {
    receipt.map_or_else(String::new, |id| format!("File received, receipt {id}."))
}

fn not_opened(error: &DataError) -> End {
    let (rule, text) = match error {
        DataError::TimedOut => (Rule::DataConnectionNotOpened, "The data connection did not come in time."),
        DataError::WrongPeer(_) => (
            Rule::DataConnectionWrongAddress,
            "The data connection must come from the address of the control connection.",
        ),
        DataError::Network(_) => (Rule::DataConnectionNotOpened, "The data connection could not be opened."),
    };
    End {
        outcome: Outcome::Refused(Reply::new(Code::NoDataConnection, text)),
        refused: Some(No { rule, detail: error.to_string() }),
        record: None,
        collecting: None,
    }
}

#[cfg(test)]
mod tests {
    use super::receive::Control as _;
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn an_end_behind_bytes_that_nobody_has_read_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let server = listener.accept().await.unwrap().0;
        let line = ControlLine::of(&Stream::Plain(server.into()), CancellationToken::new()).unwrap();
        assert!(line.is_alive());
        client.write_all(b"NOOP\r\n").await.unwrap();
        assert!(line.is_alive(), "it speaks");
        client.shutdown().await.unwrap();
        assert!(!line.is_alive());
    }

    #[test]
    fn the_end_of_tls_is_told_from_commands() {
        // A warning that the connection closes, in clear and encrypted, as the two versions send it.
        assert!(is_alert(&[21, 3, 3, 0, 2, 1, 0]));
        assert!(is_alert(&[&[21, 3, 3, 0, 26][..], &[7; 26]].concat()));
        let encrypted = [&[23, 3, 3, 0, 19][..], &[7; 19]].concat();
        assert!(is_alert(&encrypted));
        // A command after it, a command instead of it, a key update by the other side, and nothing.
        assert!(!is_alert(&[&encrypted[..], &[23]].concat()));
        assert!(!is_alert(&[&[23, 3, 3, 0, 23][..], &[7; 20]].concat()));
        assert!(!is_alert(&[&[23, 3, 3, 0, 22][..], &[7; 20]].concat()));
        assert!(!is_alert(b""));
    }
}
