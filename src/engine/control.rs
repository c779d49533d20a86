//! One task per control connection: bytes to lines to commands to steps to replies. It alone owns the session; transfers
//! run beside it and report back, so that NOOP, STAT and ABOR are heard meanwhile.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::data::{self, Agreed};
use super::listener::Stop;
use super::login::{self, Visitor};
use super::refusal::{self, Kind};
use super::stream::Stream;
use super::tls::{self, SessionTls};
use super::transcript::{Transcript, masked};
use super::transfers::{self, ControlLine, End, Job, Progress};
use super::{Engine, LOGIN_DEADLINE, REPLY_TIMEOUT, digests, files, listing, rename};
use crate::access::admission::Slot;
use crate::base::id::RefusalId;
use crate::domain::authorise::No;
use crate::domain::refusal::Rule;
use crate::domain::value::{FtpOverTls, RequireTls};
use crate::ftp::command::Command;
use crate::ftp::line::{LineReader, PIPELINE_BYTES_MAX};
use crate::ftp::reply::{Code, Reply};
use crate::ftp::session::{Ask, Family, Outcome, Policy, Protection, Session, Step, Transfer};
use crate::store::refusal::Refusal;
use crate::store::transfer::Transfer as Record;
use crate::transfer::depot::{Party, TransferError};
use crate::transfer::presence::Place;

/// Commands that wait for the end of a transfer.
const WAITING_MAX: usize = 64;
/// Bytes read from the control connection at a time.
const READ_BYTES: usize = 1024;
/// A session without an inactivity timeout looks at itself this often.
const NEVER: Duration = Duration::from_hours(8760);

/// A control connection.
pub struct Control {
    engine: Engine,
    stream: Stream,
    /// TLS of this connection, once it stands; its data connections resume it.
    tls: Option<SessionTls>,
    /// TLS version and cipher; empty in clear.
    tls_text: String,
    reader: LineReader,
    session: Session,
    remote: IpAddr,
    local: IpAddr,
    place: Arc<Place>,
    slot: Slot,
    transcript: Transcript,
    /// The connector logged in, by its id in lower case.
    connector: Option<String>,
    /// The name given with USER, as refusals may show it.
    shown: String,
    agreed: Option<Agreed>,
    waiting: VecDeque<Command>,
    running: Option<Running>,
    /// Cancelled when the client's end was read.
    gone: CancellationToken,
    /// The last command or final reply.
    active: Instant,
    login_by: Instant,
    /// The line being answered, secrets masked.
    line: String,
    implicit: bool,
    closed: bool,
}

/// A transfer under way.
struct Running {
    progress: mpsc::Receiver<Progress>,
    abort: CancellationToken,
    /// Its command, for records.
    line: String,
    /// Whether the client asked for its end.
    aborting: bool,
}

/// What a session is made of.
pub struct Arrival {
    /// The connection.
    pub stream: TcpStream,
    /// Whose.
    pub from: SocketAddr,
    /// Its place among the sessions that are counted.
    pub slot: Slot,
    /// Whether TLS begins with the first byte.
    pub implicit: bool,
}

impl Control {
    /// A session for a connection that was admitted.
    pub fn new(engine: Engine, arrival: Arrival) -> io::Result<Self> {
        let Arrival { stream, from, slot, implicit } = arrival;
        stream.set_nodelay(true)?;
        data::keep_alive(&stream)?;
        // The data mark before an ABOR comes as urgent data (RFC 959 section 4.1.3).
        socket2::SockRef::from(&stream).set_out_of_band_inline(true)?;
        let local = stream.local_addr()?.ip().to_canonical();
        let remote = from.ip().to_canonical();
        let id = crate::base::id::SessionId::new(&engine.depot.ids);
        let place = Arc::new(engine.presence.enter(id, remote, engine.depot.clock.now()));
        let now = Instant::now();
        Ok(Self {
            engine,
            stream: Stream::Plain(stream),
            tls: None,
            tls_text: String::new(),
            reader: LineReader::new(),
            session: Session::new(),
            remote,
            local,
            place,
            slot,
            transcript: Transcript::default(),
            connector: None,
            shown: String::new(),
            agreed: None,
            waiting: VecDeque::new(),
            running: None,
            gone: CancellationToken::new(),
            active: now,
            login_by: now + LOGIN_DEADLINE,
            line: String::new(),
            implicit,
            closed: false,
        })
    }

    /// Serves until either side ends it.
    pub async fn serve(mut self, stop: Stop) {
        if self.implicit {
            Box::pin(self.secure(true)).await;
        }
        let welcome = self.engine.live.snapshot().profile.welcome_message.lines().collect::<Vec<_>>().join("\n");
        if !self.closed {
            self.send(&Reply::text(Code::Ready, &welcome)).await;
        }
        let mut changes = self.engine.live.watch();
        while !self.closed {
            if self.session.is_idle()
                && let Some(command) = self.waiting.pop_front()
            {
                self.command(command).await;
                continue;
            }
            if self.waiting.len() < WAITING_MAX
                && let Some(line) = self.reader.next()
            {
                self.line(line).await;
                continue;
            }
            self.wait(&stop, &mut changes).await;
        }
        Box::pin(self.finish()).await;
    }

    /// Waits for whatever comes next.
    async fn wait(&mut self, stop: &Stop, changes: &mut tokio::sync::watch::Receiver<i64>) {
        let idle = self.idle_at();
        let end = self.place.end().clone();
        let may_read = self.reader.buffered() < PIPELINE_BYTES_MAX && !self.gone.is_cancelled();
        let running = self.running.as_mut();
        let transferring = running.is_some();
        tokio::select! {
            Some(progress) = next_progress(running) => self.progress(progress).await,
            read = read_some(&mut self.stream, &mut self.reader), if may_read => {
                if !matches!(read, Ok(count) if count > 0) {
                    self.client_is_gone();
                }
            }
            () = tokio::time::sleep_until(idle) => self.timed_out().await,
            () = end.cancelled() => self.end(Rule::AbortedByAdministrator, "The session was ended by the administrator.").await,
            () = stop.drain.cancelled(), if !transferring => self.end(Rule::Draining, "Closing down; please come back later.").await,
            () = stop.now.cancelled() => self.end(Rule::Draining, "Closing down; please come back later.").await,
            _ = changes.changed() => self.check_still_allowed().await,
        }
    }

    fn idle_at(&self) -> Instant {
        let timeout = self.engine.live.snapshot().profile.inactivity_timeout_s.seconds();
        let idle =
            if self.running.is_some() || timeout.is_zero() { Instant::now() + NEVER } else { self.active + timeout };
        if self.session.logged_in() { idle } else { idle.min(self.login_by) }
    }

    async fn timed_out(&mut self) {
        if self.session.logged_in() || Instant::now() < self.login_by {
            self.end(Rule::Idle, "Idle for too long; please come back when there is something to do.").await;
        } else {
            self.end(Rule::Idle, "Sign-in took too long.").await;
        }
    }

    /// Disabled, expired or removed while connected.
    async fn check_still_allowed(&mut self) {
        let Some(key) = &self.connector else { return };
        let snapshot = self.engine.live.snapshot();
        let now = self.engine.depot.clock.now();
        let rule = match snapshot.connectors.get(key) {
            None => Rule::ConnectorDisabled,
            Some(live) => match live.connector.valid_at(now) {
                Ok(()) => return,
                Err(why) => why.rule(),
            },
        };
        self.end(rule, "This user may not stay connected.").await;
    }

    /// Ends the session from our side; a transfer under way is aborted first.
    async fn end(&mut self, rule: Rule, text: &str) {
        if let Some(running) = &self.running {
            running.abort.cancel();
        }
        self.record_refusal(&No { rule, detail: text.to_owned() }, "421");
        self.send(&Reply::new(Code::ClosingControl, text)).await;
        self.closed = true;
    }

    fn client_is_gone(&mut self) {
        self.gone.cancel();
        if let Some(running) = &self.running {
            running.abort.cancel();
        } else {
            self.closed = true;
        }
    }

    /// A transfer that is still under way ends before the session does, so that what arrived is kept and recorded.
    async fn finish(&mut self) {
        while let Some(running) = &mut self.running {
            running.abort.cancel();
            match running.progress.recv().await {
                Some(Progress::Opened { .. }) => {}
                Some(Progress::Ended(end)) => self.ended(*end).await,
                None => self.running = None,
            }
        }
        let _ = self.stream.shutdown().await;
    }

    async fn line(&mut self, line: Result<Vec<u8>, crate::ftp::line::LineError>) {
        self.active = Instant::now();
        let step = match line {
            Err(error) => self.session.line_failed(error),
            Ok(bytes) => match self.session.encoding().decode(&bytes) {
                None => {
                    let step = self.session.undecodable();
                    self.refused(Rule::NameEncoding, "a line that is not in the name encoding");
                    step
                }
                Some(text) => {
                    self.transcript.client(&text);
                    self.line = masked(&text);
                    let shown = self.line.clone();
                    self.place.update(|doing| doing.command = shown);
                    return self.command(Command::read(&text)).await;
                }
            },
        };
        self.step(step).await;
    }

    /// Shakes hands on the control connection. Nothing that was read in clear is used afterwards: a byte that came
    /// behind AUTH closes the connection, since anybody in between could have put it there.
    async fn secure(&mut self, implicit: bool) {
        let base = self.engine.tls.current();
        let clean = self.reader.is_empty() && self.waiting.is_empty();
        let (Some(base), true, Stream::Plain(stream)) =
            (base, clean, std::mem::replace(&mut self.stream, Stream::Gone))
        else {
            self.refused(Rule::TlsHandshakeFailed, "bytes came in clear behind AUTH");
            self.closed = true;
            return;
        };
        let session = SessionTls::new(&base);
        match session.accept(stream).await {
            Ok(secured) => {
                self.tls_text = tls::describe(secured.get_ref().1);
                let text = self.tls_text.clone();
                self.place.update(|doing| doing.tls = text);
                self.stream = Stream::Tls(Box::new(secured));
                self.tls = Some(session);
                self.session.secured(implicit);
                self.reader.clear();
                self.log_out();
            }
            Err(error) => {
                self.refused(Rule::TlsHandshakeFailed, &format!("control connection: {error}"));
                self.closed = true;
            }
        }
    }

    async fn command(&mut self, command: Command) {
        let policy = self.policy();
        let step = self.session.command(command, &policy);
        self.step(step).await;
    }

    fn policy(&self) -> Policy {
        let snapshot = self.engine.live.snapshot();
        let live = self.connector.as_ref().and_then(|key| snapshot.connectors.get(key));
        let required = live
            .map_or(snapshot.profile.require_tls, |live| live.connector.tls_required(&snapshot.profile, self.remote));
        Policy {
            tls_offered: snapshot.profile.ftp_over_tls != FtpOverTls::None,
            active_mode: live
                .is_some_and(|live| live.connector.settings.active_mode.is_on(snapshot.profile.active_mode)),
            mode_z: false,
            data_tls_required: required == RequireTls::LoginAndData,
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Send(reply) => {
                self.note_refusal(&reply);
                self.send(&reply).await;
            }
            Step::Close(reply) => {
                self.send(&reply).await;
                self.closed = true;
            }
            Step::Ask(Ask::Transfer(transfer)) => self.begin(transfer).await,
            Step::Ask(Ask::StartTls) => {
                self.outcome(Outcome::Done, None).await;
                Box::pin(self.secure(false)).await;
            }
            Step::Ask(ask) => {
                // On the heap: what a command needs would else be part of every idle session.
                let (outcome, no) = Box::pin(self.answer(ask)).await;
                self.outcome(outcome, no).await;
            }
            Step::Abort => {
                if let Some(running) = &mut self.running {
                    running.aborting = true;
                    running.abort.cancel();
                }
            }
            Step::Wait(command) => self.waiting.push_back(*command),
            Step::Status => {
                let moved = self.place.moved_bytes();
                let status = self.session.status(Some(&format!("{moved} bytes have been moved.")));
                self.send(&status).await;
            }
        }
        if !self.session.is_data_agreed() && !self.session.is_transferring() {
            self.agreed = None;
        }
    }

    async fn outcome(&mut self, outcome: Outcome, no: Option<No>) {
        let step = self.session.outcome(outcome);
        let (reply, close) = match step {
            Step::Send(reply) => (reply, false),
            Step::Close(reply) => (reply, true),
            _ => return,
        };
        if let Some(no) = no {
            self.record_refusal(&no, &reply.summary());
        }
        self.send(&reply).await;
        self.closed |= close;
    }

    /// Rules that the session itself applies.
    fn note_refusal(&mut self, reply: &Reply) {
        let verb = self.line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        let rule = match (reply.code(), verb.as_str()) {
            (Code::DataMustBeProtected, _) => Rule::TlsRequiredData,
            (Code::NotImplemented, "PORT" | "EPRT") => Rule::ActiveModeOff,
            _ => return,
        };
        self.record_refusal(&No { rule, detail: String::new() }, &reply.summary());
    }

    fn refused(&mut self, rule: Rule, detail: &str) {
        self.record_refusal(&No { rule, detail: detail.to_owned() }, "");
    }

    fn record_refusal(&self, no: &No, reply: &str) {
        let now = self.engine.depot.clock.now();
        self.engine.depot.recorder.refusal(Refusal {
            id: RefusalId::new(&self.engine.depot.ids),
            rule: no.rule,
            connector: self.shown.clone(),
            remote: self.remote.to_string(),
            command: self.line.clone(),
            reply: reply.to_owned(),
            detail: no.detail.clone(),
            transcript: self.transcript.text(),
            session_id: self.place.id().to_string(),
            first_at: now,
            last_at: now,
            times: 1,
        });
    }

    async fn send(&mut self, reply: &Reply) {
        self.transcript.server(&reply.summary());
        let encoding = self.session.encoding().clone();
        let wire = reply.to_wire(|text| encoding.encode(text));
        if let Ok(Ok(())) = tokio::time::timeout(REPLY_TIMEOUT, self.stream.write_all(&wire)).await {
        } else {
            self.client_is_gone();
            self.closed = true;
        }
    }

    /// Starts a transfer beside this task.
    async fn begin(&mut self, transfer: Transfer) {
        let agreed = self.agreed.take();
        let (Some(agreed), Some(party)) = (agreed, self.party()) else {
            let reply = Reply::new(Code::NoDataConnection, "Please send PASV or EPSV first.");
            return self.outcome(Outcome::Refused(reply), None).await;
        };
        let control = match ControlLine::of(&self.stream, self.gone.clone()) {
            Ok(control) => control,
            Err(error) => {
                let (reply, no) = refusal::reply(&TransferError::Storage(error), Kind::File);
                return self.outcome(Outcome::Refused(reply), no).await;
            }
        };
        let (progress, receiver) = mpsc::channel(2);
        let abort = CancellationToken::new();
        let job = Job {
            engine: self.engine.clone(),
            party,
            agreed,
            local: self.local,
            place: Arc::clone(&self.place),
            abort: abort.clone(),
            control,
            encoding: self.session.encoding().clone(),
            tls: self.tls.clone().filter(|_| self.session.protection() == Protection::Private),
            progress,
        };
        tokio::spawn(transfers::run(job, transfer));
        self.running = Some(Running { progress: receiver, abort, line: self.line.clone(), aborting: false });
    }

    async fn progress(&mut self, progress: Progress) {
        match progress {
            Progress::Opened { unique, go } => {
                if let Step::Send(reply) = self.session.outcome(Outcome::Opened { unique }) {
                    self.send(&reply).await;
                }
                // The transfer gives up by itself when nobody says go.
                if !self.closed && !self.gone.is_cancelled() {
                    let _ = go.send(());
                }
            }
            Progress::Ended(end) => Box::pin(self.ended(*end)).await,
        }
    }

    async fn ended(&mut self, end: End) {
        self.active = Instant::now();
        let Some(running) = self.running.take() else { return };
        self.line = running.line;
        let (Step::Send(reply) | Step::Close(reply)) = self.session.outcome(end.outcome) else { return };
        if let Some(no) = &end.refused {
            self.record_refusal(no, &reply.summary());
        }
        if !self.gone.is_cancelled() && !self.closed {
            self.send(&reply).await;
            if running.aborting {
                let aborted = self.session.aborted();
                self.send(&aborted).await;
            }
        }
        if let Some(record) = end.record {
            self.engine.depot.recorder.transfer(Record { reply: reply.summary(), ..record }).await;
        }
        if let Some(collecting) = end.collecting {
            tokio::spawn(collecting.run());
        }
        self.closed |= self.gone.is_cancelled();
        if !self.session.is_data_agreed() {
            self.agreed = None;
        }
    }

    fn party(&self) -> Option<Party> {
        let snapshot = self.engine.live.snapshot();
        let connector = Arc::clone(snapshot.connectors.get(self.connector.as_ref()?)?);
        Some(Party {
            snapshot,
            connector,
            session: self.place.id().clone(),
            remote: self.remote,
            tls: self.tls_text.clone(),
        })
    }

    /// Answers what the session asks, transfers apart.
    async fn answer(&mut self, ask: Ask) -> (Outcome, Option<No>) {
        match ask {
            Ask::Name(name) => {
                let snapshot = self.engine.live.snapshot();
                self.log_out();
                self.shown = login::shown_name(&snapshot, &name);
                login::name(&snapshot, &Visitor { name: &name, remote: self.remote, secure: self.tls.is_some() })
            }
            Ask::Login { name, password } => self.login(&name, &password).await,
            Ask::Logout => {
                self.log_out();
                (Outcome::Done, None)
            }
            Ask::Host(_) => {
                let snapshot = self.engine.live.snapshot();
                let text = snapshot.profile.welcome_message.lines().collect::<Vec<_>>().join("\n");
                (Outcome::Banner(text), None)
            }
            Ask::Passive { family, extended } => self.listen(family, extended),
            Ask::Active(to) => self.active(to),
            Ask::ClientName(name) => {
                self.place.update(|doing| doing.client = Some(name));
                (Outcome::Done, None)
            }
            Ask::Unsupported(reply) => {
                let no = No { rule: Rule::TypeNotSupported, detail: String::new() };
                (Outcome::Refused(reply), Some(no))
            }
            other => self.about_files(other).await,
        }
    }

    async fn about_files(&self, ask: Ask) -> (Outcome, Option<No>) {
        let Some(party) = self.party() else {
            let reply = Reply::new(Code::NotLoggedIn, "Please sign in with USER and PASS first.");
            return (Outcome::Refused(reply), None);
        };
        let kind = if matches!(ask, Ask::Rename { .. }) { Kind::Name } else { Kind::File };
        match about(&self.engine, &party, ask).await {
            Ok(outcome) => (outcome, None),
            Err(error) => {
                let (reply, no) = refusal::reply(&error, kind);
                (Outcome::Refused(reply), no)
            }
        }
    }

    async fn login(&mut self, name: &str, password: &crate::base::secret::Secret) -> (Outcome, Option<No>) {
        let visitor = Visitor { name, remote: self.remote, secure: self.tls.is_some() };
        let (outcome, no) = login::login(&self.engine, &visitor, password, &mut self.slot).await;
        if matches!(outcome, Outcome::LoggedIn { .. }) {
            let id = self.engine.live.written_id(name);
            self.connector = id.as_ref().map(|id| id.key().to_owned());
            self.place.update(|doing| doing.connector = id.map(|id| id.to_string()));
            tracing::info!(
                connector.id = self.shown,
                session.id = self.place.id().as_str(),
                "{} logged in",
                self.shown
            );
        }
        (outcome, no)
    }

    fn log_out(&mut self) {
        self.slot.log_out();
        self.connector = None;
        self.place.update(|doing| doing.connector = None);
    }

    fn listen(&mut self, family: Option<Family>, extended: bool) -> (Outcome, Option<No>) {
        let fits = match family {
            None => true,
            Some(Family::V4) => self.local.is_ipv4(),
            Some(Family::V6) => self.local.is_ipv6(),
        };
        if !fits {
            let supported = if self.local.is_ipv4() { "(1)" } else { "(2)" };
            let text = format!("That network protocol is not the control connection's, use {supported}");
            return (Outcome::Refused(Reply::new(Code::NetworkNotSupported, text)), None);
        }
        let snapshot = self.engine.live.snapshot();
        // One pending port a session: an older one goes back first.
        self.agreed = None;
        match data::listen(&self.engine.ports, snapshot.profile.passive_port_range.as_ref(), self.local) {
            Ok((passive, at)) => {
                self.agreed = Some(Agreed::Passive(passive));
                let told =
                    if extended { self.local } else { self.engine.ports.told(&snapshot, self.remote, self.local) };
                (Outcome::Listening(SocketAddr::new(told, at.port())), None)
            }
            Err(error) => {
                let reply =
                    Reply::new(Code::NoDataConnection, "No port is free for a data connection; please try again.");
                (Outcome::Refused(reply), Some(No { rule: Rule::DataConnectionNotOpened, detail: error.to_string() }))
            }
        }
    }

    fn active(&mut self, to: SocketAddr) -> (Outcome, Option<No>) {
        if to.ip().to_canonical() != self.remote {
            let reply = Reply::new(Code::ArgumentError, "Only the address of the control connection is allowed.");
            let no = No { rule: Rule::DataConnectionWrongAddress, detail: to.to_string() };
            return (Outcome::Refused(reply), Some(no));
        }
        if to.port() < 1024 {
            let reply = Reply::new(Code::ArgumentError, "Only ports of 1024 and above are allowed.");
            return (Outcome::Refused(reply), None);
        }
        self.agreed = Some(Agreed::Active(to));
        (Outcome::Done, None)
    }
}

/// What is asked about files and folders.
async fn about(engine: &Engine, party: &Party, ask: Ask) -> Result<Outcome, TransferError> {
    match ask {
        Ask::Enter(path) => files::enter(engine, party, &path).map(Outcome::Entered),
        Ask::Stat(listed) => listing::few(engine, party, &listed).await.map(Outcome::Entries),
        Ask::Mlst(path) => files::entry(engine, party, &path).await.map(|entry| Outcome::Entries(vec![entry])),
        Ask::Size { path, ascii } => files::size(engine, party, &path, ascii).await.map(Outcome::Size),
        Ask::Modified(path) => files::modified(engine, party, &path).await.map(Outcome::Modified),
        Ask::ModifiedOrTouch { whole, path, to } => {
            files::modified_or_touch(engine, party, whole.as_ref(), (&path, to)).await.map(Outcome::Modified)
        }
        Ask::Touch { path, to } => files::touch(engine, party, &path, to).await.map(|()| Outcome::Done),
        Ask::Digest { path, algorithm, range } => digests::digest(engine, party, &path, (algorithm, range)).await,
        Ask::Available(path) => files::available(engine, party, &path).await.map(Outcome::Available),
        Ask::Delete(path) => files::delete(engine, party, &path).await.map(|()| Outcome::Done),
        Ask::MakeFolder(path) => files::make_folder(engine, party, &path).await.map(|()| Outcome::Done),
        Ask::RemoveFolder(path) => files::remove_folder(engine, party, &path).map(|()| Outcome::Done),
        Ask::RenameFrom(path) => rename::from(engine, party, &path).await.map(|()| Outcome::Done),
        Ask::Rename { from, to } => rename::rename(engine, party, &from, &to).await.map(|()| Outcome::Done),
        Ask::Receipt(path) => files::receipt_lines(engine, party, &path).await.map(Outcome::Receipt),
        // Answered before it comes here.
        Ask::Name(_)
        | Ask::Login { .. }
        | Ask::Logout
        | Ask::Host(_)
        | Ask::StartTls
        | Ask::Passive { .. }
        | Ask::Active(_)
        | Ask::Transfer(_)
        | Ask::ClientName(_)
        | Ask::Unsupported(_) => Err(TransferError::NotFound),
    }
}

async fn next_progress(running: Option<&mut Running>) -> Option<Progress> {
    match running {
        Some(running) => running.progress.recv().await,
        None => std::future::pending().await,
    }
}

/// Reads into the line reader by way of the stack, so that an idle session holds no buffer.
async fn read_some(stream: &mut Stream, reader: &mut LineReader) -> io::Result<usize> {
    std::future::poll_fn(|cx| {
        let mut bytes = [0; READ_BYTES];
        let mut buffer = ReadBuf::new(&mut bytes);
        match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) => {
                reader.push(buffer.filled());
                Poll::Ready(Ok(buffer.filled().len()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
