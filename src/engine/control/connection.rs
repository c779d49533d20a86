//! One control connection and its loop: read, take one command or report at a time, answer.
//! Always: replies leave in the order of their commands, and no command waits for a transfer that it may run beside.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::transfer::{Running, Work, acknowledged, next_progress};
use crate::access::admission::Slot;
use crate::access::certificate::Shown;
use crate::base::id::RefusalId;
use crate::domain::authorise::No;
use crate::domain::entrance;
use crate::domain::refusal::Rule;
use crate::domain::value::FtpOverTls;
use crate::engine::data::{self, Agreed};
use crate::engine::listener::Stop;
use crate::engine::login;
use crate::engine::reading::Wanted;
use crate::engine::stream::Stream;
use crate::engine::tls::SessionTls;
use crate::engine::{Engine, LOGIN_DEADLINE, REPLY_TIMEOUT};
use crate::ftp::command::Command;
use crate::ftp::line::{IAC, LineReader, PIPELINE_BYTES_MAX};
use crate::ftp::reply::{Code, Reply};
use crate::ftp::session::{Ask, Forbidden, Outcome, Policy, Session, Step};
use crate::store::live::{LiveConnector, Snapshot};
use crate::store::refusal::Refusal;
use crate::store::session::{SessionEnd, Tally};
use crate::transfer::presence::Place;

/// The most commands that wait for the end of a transfer.
const WAITING_MAX: usize = 64;
/// Bytes read from the control connection at a time.
const READ_BYTES: usize = 1024;
/// Replies from this number on are failures (RFC 959 section 4.2.1).
const FIRST_FAILURE: u16 = 400;
/// A session without an inactivity timeout ends after this long without a command: a year.
pub(super) const NEVER: Duration = Duration::from_hours(8760);

/// A control connection.
pub struct Control {
    pub(super) engine: Engine,
    pub(super) stream: Stream,
    /// TLS of this connection, once established; its data connections resume it.
    pub(super) tls: Option<SessionTls>,
    /// TLS version and cipher; empty in clear.
    pub(super) tls_text: String,
    /// The client's certificate from the handshake.
    pub(super) certificate: Shown,
    pub(super) reader: LineReader,
    pub(super) session: Session,
    pub(super) remote: IpAddr,
    pub(super) local: IpAddr,
    /// Our port on the control connection.
    pub(super) port: u16,
    /// The client's HOST, until TLS is established or the client begins anew.
    pub(super) host: Option<String>,
    pub(super) place: Arc<Place>,
    pub(super) slot: Slot,
    /// The connector logged in, by its id in lower case.
    pub(super) connector: Option<String>,
    /// Whether it must come from an allowed address: *Test connection* need not.
    pub(super) address_counts: bool,
    /// The name given with USER, as refusals may show it.
    pub(super) shown: String,
    pub(super) agreed: Option<Agreed>,
    /// Each with its line, secrets masked: its outcome is recorded with its own line.
    pub(super) waiting: VecDeque<(Command, String)>,
    pub(super) running: Option<Running>,
    /// Finds out whether the latest download was collected.
    pub(super) acknowledging: Option<Work>,
    /// Cancelled when the client's end has been read.
    pub(super) gone: CancellationToken,
    /// The last command or final reply.
    pub(super) active: Instant,
    pub(super) login_by: Instant,
    /// The line being answered, secrets masked.
    pub(super) line: String,
    pub(super) implicit: bool,
    pub(super) closed: bool,
    /// The last connector that signed in, by its id as written: whose session this is, even after it signed out.
    pub(super) whose: Option<String>,
    pub(super) tally: Tally,
    /// How it ends, once that is known.
    pub(super) ending: SessionEnd,
    pub(super) stop: Stop,
}

/// The parts of a session.
pub struct Arrival {
    /// The connection.
    pub stream: TcpStream,
    /// The client's address.
    pub remote: IpAddr,
    /// Its slot among the counted sessions.
    pub slot: Slot,
    /// Whether TLS begins with the first byte.
    pub implicit: bool,
}

impl Control {
    /// A session for a connection that was admitted.
    pub fn new(engine: Engine, arrival: Arrival, stop: Stop) -> io::Result<Self> {
        let Arrival { stream, remote, slot, implicit } = arrival;
        stream.set_nodelay(true)?;
        data::keep_alive(&stream)?;
        // The data mark before an ABOR comes as urgent data (RFC 959 section 4.1.3).
        socket2::SockRef::from(&stream).set_out_of_band_inline(true)?;
        let at = stream.local_addr()?;
        let (local, port) = (at.ip().to_canonical(), at.port());
        let id = crate::base::id::SessionId::new(&engine.depot.ids);
        let place = Arc::new(engine.presence.enter(id, (remote, local), engine.depot.clock.now()));
        let now = Instant::now();
        Ok(Self {
            engine,
            stream: Stream::Plain(stream.into()),
            tls: None,
            tls_text: String::new(),
            certificate: Shown::Nothing,
            reader: LineReader::new(),
            session: Session::new(),
            remote,
            local,
            port,
            host: None,
            place,
            slot,
            connector: None,
            address_counts: true,
            shown: String::new(),
            agreed: None,
            waiting: VecDeque::new(),
            running: None,
            acknowledging: None,
            gone: CancellationToken::new(),
            active: now,
            login_by: now + LOGIN_DEADLINE,
            line: String::new(),
            implicit,
            closed: false,
            whose: None,
            tally: Tally::default(),
            ending: SessionEnd::Lost,
            stop,
        })
    }

    /// Serves until either side ends it.
    pub async fn serve(mut self) {
        if self.implicit {
            Box::pin(self.secure(true)).await;
        }
        let welcome = self.engine.live.snapshot().profile.welcome_message.lines().collect::<Vec<_>>().join("\n");
        if !self.closed {
            self.send(&Reply::text(Code::Ready, &welcome)).await;
        }
        let mut changes = self.engine.live.watch();
        let mut has_read = false;
        while !self.closed {
            // Before each command, however many were sent ahead.
            if let Some(farewell) = self.must_end() {
                self.end_between(farewell).await;
                continue;
            }
            if self.session.is_idle()
                && let Some((command, line)) = self.waiting.pop_front()
            {
                self.now_answering(line);
                self.command(command).await;
                continue;
            }
            if self.waiting.len() < WAITING_MAX
                && let Some(line) = self.reader.next()
            {
                self.line(line).await;
                continue;
            }
            // Bytes that make no command come before the timer, however long they go on.
            if has_read && Instant::now() >= self.idle_at() {
                self.timed_out().await;
                continue;
            }
            has_read = self.wait(&mut changes).await;
        }
        Box::pin(self.finish()).await;
        self.record_session().await;
    }

    /// Waits for whatever comes next; returns whether that was bytes of the client. What ends the session only wakes it:
    /// see [`Self::must_end`].
    async fn wait(&mut self, changes: &mut tokio::sync::watch::Receiver<i64>) -> bool {
        let idle = self.idle_at();
        let end = self.place.end().clone();
        let may_read = self.reader.buffered() < PIPELINE_BYTES_MAX && !self.gone.is_cancelled();
        let running = self.running.as_mut();
        let transferring = self.session.is_transferring();
        // In this order, so that nothing is registered for what is there already.
        tokio::select! {
            biased;
            Some(progress) = next_progress(running) => self.progress(progress).await,
            read = read_some(&mut self.stream, &mut self.reader), if may_read => {
                if matches!(read, Ok(count) if count > 0) {
                    return true;
                }
                self.client_is_gone();
            }
            () = acknowledged(&mut self.acknowledging) => {}
            () = tokio::time::sleep_until(idle) => self.timed_out().await,
            () = end.cancelled() => {}
            () = self.stop.drain.cancelled(), if !transferring => {}
            () = self.stop.now.cancelled() => {}
            _ = changes.changed() => {}
        }
        false
    }

    async fn line(&mut self, line: Result<Vec<u8>, crate::ftp::line::LineError>) {
        self.active = Instant::now();
        self.names_as_set();
        let step = match line {
            Err(error) => {
                self.now_answering(String::new());
                self.session.invalid(error.reply())
            }
            Ok(bytes) => match self.session.decode(&bytes) {
                None => {
                    self.heard(&bytes.escape_ascii().to_string());
                    let reply = self.session.undecodable();
                    let detail = "a line that is not in the name encoding".to_owned();
                    self.record_refusal(&No { rule: Rule::NameEncoding, detail }, &reply.summary());
                    self.session.invalid(reply)
                }
                Some(text) => {
                    self.heard(&text);
                    return self.command(Command::read(&text)).await;
                }
            },
        };
        self.step(step).await;
    }

    /// The name encoding may have changed since the previous line.
    fn names_as_set(&mut self) {
        let snapshot = self.engine.live.snapshot();
        if let Some(live) = self.logged_in(&snapshot) {
            self.session.names_are_in(login::encoding(&live.connector.settings));
        }
    }

    /// A line has come: it is shown and kept without its secrets.
    fn heard(&mut self, line: &str) {
        let shown = login::shown_line(&self.engine.live.snapshot(), line);
        self.place.heard(self.engine.depot.clock.now(), &shown);
        self.now_answering(shown);
    }

    fn now_answering(&mut self, line: String) {
        self.line.clone_from(&line);
        self.place.update(|doing| doing.command = line);
    }

    async fn command(&mut self, command: Command) {
        self.leave_acknowledging();
        let policy = self.policy();
        let step = self.session.command(command, &policy);
        self.step(step).await;
    }

    fn policy(&self) -> Policy {
        let snapshot = self.engine.live.snapshot();
        let connector = self.logged_in(&snapshot).map(|live| &live.connector);
        Policy {
            tls_offered: snapshot.profile.ftp_over_tls != FtpOverTls::None,
            active_mode: connector
                .is_some_and(|connector| connector.settings.active_mode.is_on(snapshot.profile.active_mode)),
            mode_z: snapshot.profile.mode_z,
            data_tls_required: !entrance::may_move_in_clear(&snapshot.profile, connector, self.remote),
        }
    }

    /// Who is logged in, with present settings.
    pub(super) fn logged_in<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a LiveConnector> {
        self.connector.as_ref().and_then(|key| snapshot.connectors.get(key)).map(Arc::as_ref)
    }

    async fn step(&mut self, step: Step) {
        // Before the reply: a client that reads it may rely on the port being free.
        self.give_back_port();
        match step {
            Step::Send(reply) => self.send(&reply).await,
            Step::Forbid(what, reply) => {
                let no = No { rule: forbidding(what), detail: String::new() };
                self.record_refusal(&no, &reply.summary());
                self.send(&reply).await;
            }
            Step::Close(reply) => {
                let said_goodbye = reply.code() == Code::Closing;
                self.ending = if said_goodbye { SessionEnd::Quit } else { SessionEnd::NotFtp };
                self.send(&reply).await;
                self.closed = true;
            }
            Step::Ask(Ask::Transfer(transfer)) => self.begin(transfer).await,
            Step::Ask(Ask::Digest { path, algorithm, range }) => {
                self.begin_reading(path, Wanted::Digest { algorithm, range }).await;
            }
            Step::Ask(Ask::Size { path, ascii: true }) => self.begin_reading(path, Wanted::Size).await,
            Step::Ask(Ask::StartTls) => {
                self.outcome(Outcome::Done, None).await;
                Box::pin(self.secure(false)).await;
            }
            // On the heap: otherwise a command's state would be part of every idle session.
            Step::Ask(ask) => Box::pin(self.ask(ask)).await,
            Step::Abort => {
                if let Some(running) = &mut self.running {
                    running.aborting = true;
                    running.abort.ask();
                }
            }
            Step::Wait(command) => self.waiting.push_back((*command, self.line.clone())),
            Step::Status => {
                let doing = self.running.as_ref().map(|_| self.doing());
                let status = self.session.status(doing.as_deref());
                self.send(&status).await;
            }
        }
        self.give_back_port();
    }

    /// Answers the session's question, unless the session must end meanwhile.
    async fn ask(&mut self, ask: Ask) {
        let (changes, dismissed) = (ask.changes(), self.dismissed());
        let answered = tokio::select! {
            biased;
            answered = self.answer(ask) => Ok(answered),
            // A command that changes something runs to its end and is answered: nothing is left half done or
            // unreported.
            farewell = dismissed, if !changes => Err(farewell),
        };
        match answered {
            Ok((outcome, no)) => self.outcome(outcome, no).await,
            Err(farewell) => self.end(farewell).await,
        }
    }

    /// Gives back a passive port that no transfer will use any more.
    pub(super) fn give_back_port(&mut self) {
        if !self.session.is_data_agreed() && !self.session.is_transferring() {
            self.agreed = None;
        }
    }

    /// What is in progress, for STAT.
    fn doing(&self) -> String {
        let (doing, moved) = (self.place.doing(), self.place.moved_bytes());
        match (doing.file, doing.size_bytes) {
            (Some(file), Some(size)) => format!("{file}: {moved} of {size} bytes"),
            (Some(file), None) => format!("{file}: {moved} bytes so far"),
            (None, _) if self.session.is_reading() => "Waiting for a turn to read".to_owned(),
            (None, _) => "Waiting for the data connection".to_owned(),
        }
    }

    pub(super) async fn outcome(&mut self, outcome: Outcome, no: Option<No>) {
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

    pub(super) fn refused(&mut self, rule: Rule, detail: &str) {
        self.record_refusal(&No { rule, detail: detail.to_owned() }, "");
    }

    /// What an administrator should know; for a client that ends TLS out of order, which client it is.
    fn detail(&self, no: &No) -> String {
        match self.place.doing().client {
            Some(client) if no.rule == Rule::TlsEndUnsigned => {
                format!("{}; the client calls itself {client}", no.detail)
            }
            _ => no.detail.clone(),
        }
    }

    pub(super) fn record_refusal(&self, no: &No, reply: &str) {
        let now = self.engine.depot.clock.now();
        self.engine.depot.recorder.refusal(Refusal {
            id: RefusalId::new(&self.engine.depot.ids),
            rule: no.rule,
            connector: self.shown.clone(),
            remote: self.remote.to_string(),
            command: self.line.clone(),
            reply: reply.to_owned(),
            detail: self.detail(no),
            transcript: self.place.transcript(),
            session_id: self.place.id().to_string(),
            first_at: now,
            last_at: now,
            times: 1,
            folder: self.session.here().to_string(),
        });
    }

    pub(super) async fn send(&mut self, reply: &Reply) {
        if self.gone.is_cancelled() {
            return;
        }
        self.tally.failures += u64::from(reply.code().number() >= FIRST_FAILURE);
        self.place.answered(self.engine.depot.clock.now(), &reply.summary());
        let encoding = self.session.encoding().clone();
        let wire = reply.to_wire(|text| encoding.encode(text));
        let leaves = async {
            self.stream.write_all(&wire).await?;
            // TLS keeps what the socket has no room for until it is asked again.
            self.stream.flush().await
        };
        if !matches!(tokio::time::timeout(REPLY_TIMEOUT, leaves).await, Ok(Ok(()))) {
            self.client_is_gone();
        }
    }

    /// Input that will not be answered is read all the same: left unread, it would make the kernel reset the
    /// connection, and the client might lose the last reply.
    pub(super) async fn read_away(&mut self) {
        for _ in 0..PIPELINE_BYTES_MAX / READ_BYTES {
            let read = read_some(&mut self.stream, &mut self.reader);
            let Ok(Ok(1..)) = tokio::time::timeout(Duration::ZERO, read).await else { return };
            self.reader.clear();
        }
    }
}

/// The rule that a session has applied by itself.
const fn forbidding(what: Forbidden) -> Rule {
    match what {
        Forbidden::ActiveMode => Rule::ActiveModeOff,
        Forbidden::ClearData => Rule::TlsRequiredData,
        Forbidden::Protection => Rule::ProtectionNotSupported,
    }
}

/// Reads into the line reader via the stack, so that an idle session holds no buffer.
async fn read_some(stream: &mut Stream, reader: &mut LineReader) -> io::Result<usize> {
    std::future::poll_fn(|cx| {
        let mut bytes = [0; READ_BYTES];
        let mut buffer = ReadBuf::new(&mut bytes);
        match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) => {
                reader.push(buffer.filled());
                let count = buffer.filled().len();
                if let Stream::Plain(stream) = &*stream
                    && may_end_before_a_mark(buffer.filled())
                    && let Some(socket) = stream.handle()
                {
                    read_behind_the_mark(socket, reader);
                }
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Whether a read may have ended before urgent data: in the middle of a line, or behind telnet's signals. Whoever says whole lines
/// only is not asked for more.
fn may_end_before_a_mark(read: &[u8]) -> bool {
    read.last().is_some_and(|last| *last != b'\n') || read.contains(&IAC)
}

/// A read ends before urgent data, and the runtime takes a short read for "nothing is left": without a look behind the
/// mark, `ABOR` after telnet's urgent data mark would lie there until the client says something more.
fn read_behind_the_mark(stream: BorrowedFd<'_>, reader: &mut LineReader) {
    let mut bytes = [0; READ_BYTES];
    while reader.buffered() < PIPELINE_BYTES_MAX {
        match rustix::net::recv(stream, &mut bytes, RecvFlags::DONTWAIT) {
            Ok((count, _)) if count > 0 => reader.push(&bytes[..count]),
            // Nothing more, or an end that the next read reports.
            Ok(_) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ends_within_a_line_or_signals_may_have_stopped_at_a_mark() {
        for whole in [&b"NOOP\r\n"[..], b"PASV\r\nRETR a.edi\r\n", b""] {
            assert!(!may_end_before_a_mark(whole), "{}", whole.escape_ascii());
        }
        // Python sends all of `ABOR\r\n` as urgent data, which is its last byte; lftp sends telnet's signals before it.
        for cut in [&b"ABOR\r"[..], b"\xff\xf4\xff", b"NOOP\r\n\xff", b"\xff\xf4NOOP\r\n"] {
            assert!(may_end_before_a_mark(cut), "{}", cut.escape_ascii());
        }
    }
}
