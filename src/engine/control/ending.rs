//! How our side ends a session: time limits, an administrator, a stop, a connector that may no longer stay; and how the
//! client's own end is noticed.

use tokio::time::Instant;

use super::connection::{Control, NEVER};
use crate::base::clock::Clock;
use crate::domain::authorise::No;
use crate::domain::entrance;
use crate::domain::refusal::Rule;
use crate::ftp::reply::{Code, Reply};
use crate::store::live::Live;
use crate::store::session::{Session, SessionEnd};

/// Why our side ends a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Farewell {
    /// The rule.
    rule: Rule,
    /// What its client hears.
    text: &'static str,
}

const DISCONNECTED: Farewell =
    Farewell { rule: Rule::AbortedByAdministrator, text: "The session was ended by the administrator." };
const CLOSING_DOWN: Farewell = Farewell { rule: Rule::Draining, text: "Closing down; please come back later." };
const IDLE: Farewell =
    Farewell { rule: Rule::Idle, text: "Idle for too long; please come back when there is something to do." };
const MAY_NOT_STAY: &str = "This user may not stay connected.";
const SIGN_IN_TOO_LONG: Farewell = Farewell { rule: Rule::Idle, text: "Sign-in took too long." };

/// Disabled, expired or removed while connected.
fn not_allowed(live: &Live, clock: &Clock, connector: Option<&str>) -> Option<Farewell> {
    let snapshot = live.snapshot();
    let rule = match snapshot.connectors.get(connector?) {
        None => Rule::ConnectorDisabled,
        Some(live) => live.connector.valid_at(clock.now()).err()?.rule(),
    };
    Some(Farewell { rule, text: MAY_NOT_STAY })
}

impl Control {
    pub(super) fn idle_at(&self) -> Instant {
        let timeout = self.engine.live.snapshot().profile.inactivity_timeout_s.seconds();
        let idle =
            if self.running.is_some() || timeout.is_zero() { Instant::now() + NEVER } else { self.active + timeout };
        if self.session.logged_in() { idle } else { idle.min(self.login_by) }
    }

    pub(super) async fn timed_out(&mut self) {
        // It may have been the sign-in deadline, which no command may pass either.
        if self.must_end().is_none() {
            self.end_between(IDLE).await;
        }
    }

    /// Why the session may not take another command, if so.
    pub(super) fn must_end(&self) -> Option<Farewell> {
        let stopped = self.stop.now.is_cancelled();
        if self.place.end().is_cancelled() {
            Some(DISCONNECTED)
        } else if stopped || (self.stop.drain.is_cancelled() && !self.session.is_transferring()) {
            Some(CLOSING_DOWN)
        } else if !self.session.logged_in() && Instant::now() >= self.login_by {
            Some(SIGN_IN_TOO_LONG)
        } else {
            let refused = not_allowed(&self.engine.live, &self.engine.depot.clock, self.connector.as_deref());
            refused.or_else(|| self.not_allowed_from_here())
        }
    }

    /// Its address is no longer allowed (decision 0136): between transfers, which that never cuts.
    fn not_allowed_from_here(&self) -> Option<Farewell> {
        let snapshot = self.engine.live.snapshot();
        let live = self.logged_in(&snapshot).filter(|_| self.address_counts && !self.session.is_transferring())?;
        let no = entrance::may_come_from(&live.connector, self.remote).err()?;
        Some(Farewell { rule: no.rule, text: MAY_NOT_STAY })
    }

    /// Ready when not even the current answer may continue. A stop that allows time allows it for this, too; and a
    /// password is checked to its end whatever the deadline, so that no guess goes uncounted.
    pub(super) fn dismissed(&self) -> impl Future<Output = Farewell> + Send + use<> {
        let (live, clock) = (self.engine.live.clone(), self.engine.depot.clock.clone());
        let connector = self.connector.clone();
        let (end, now) = (self.place.end().clone(), self.stop.now.clone());
        async move {
            let mut changes = live.watch();
            let refused = async {
                loop {
                    if let Some(farewell) = not_allowed(&live, &clock, connector.as_deref()) {
                        return farewell;
                    }
                    if changes.changed().await.is_err() {
                        return std::future::pending().await;
                    }
                }
            };
            tokio::select! {
                () = end.cancelled() => DISCONNECTED,
                () = now.cancelled() => CLOSING_DOWN,
                farewell = refused => farewell,
            }
        }
    }

    /// The same while no command is being answered, at most one that runs beside: the one before was well answered.
    pub(super) async fn end_between(&mut self, farewell: Farewell) {
        self.line = self.running.as_ref().map_or_else(String::new, |running| running.line.clone());
        self.end(farewell).await;
    }

    /// Ends the session from our side; a transfer in progress is aborted first.
    pub(super) async fn end(&mut self, Farewell { rule, text }: Farewell) {
        if let Some(running) = &self.running {
            running.abort.end();
        }
        self.ending = SessionEnd::Rule(rule);
        self.record_refusal(&No { rule, detail: text.to_owned() }, "421");
        self.send(&Reply::new(Code::ClosingControl, text)).await;
        self.closed = true;
    }

    /// Records the session as far as its connector's Log Level says. A session that never signed in leaves only its
    /// refusals.
    pub(super) async fn record_session(self) {
        let Some(whose) = &self.whose else { return };
        let snapshot = self.engine.live.snapshot();
        let Some(live) = snapshot.connector(whose) else { return };
        let level = live.connector.settings.log_level;
        let trouble = self.tally.failures > 0 || self.ending != SessionEnd::Quit;
        if !level.keeps_session(trouble) || snapshot.profile.log_keep_days.get() == 0 {
            return;
        }
        let session = Session {
            id: self.place.id().clone(),
            connector: whose.clone(),
            remote: self.remote.to_string(),
            client: self.place.doing().client.unwrap_or_default(),
            tls: self.tls_text.clone(),
            begun_at: self.place.since(),
            ended_at: self.engine.depot.clock.now(),
            ending: self.ending,
            tally: self.tally,
            transcript: if level.keeps_transcript(trouble) { self.place.transcript() } else { String::new() },
        };
        self.engine.depot.recorder.session(session).await;
    }

    /// Work in progress is broken off, or continues without the client; its record precedes the end of the session.
    pub(super) fn client_is_gone(&mut self) {
        self.gone.cancel();
        self.closed |= self.running.is_none();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;
    use std::time::Duration;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, RootCertStore};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpSocket, TcpStream};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;

    use super::*;
    use crate::access::admission::{Admission, Limits};
    use crate::access::certificate::{Certificates, provider};
    use crate::access::gate::Gate;
    use crate::access::passive::Ports;
    use crate::access::password::Hasher;
    use crate::engine::control::Arrival;
    use crate::engine::{Engine, LOGIN_DEADLINE, Stop, TlsBase};
    use crate::transfer::depot::Depot;
    use crate::transfer::presence::Presence;
    use crate::transfer::socket::CLOSE_TIMEOUT;

    /// What the kernel is asked to hold on each side of a session: less than TLS does.
    const SOCKET_BYTES: u32 = 4_096;

    /// A session, and its client.
    async fn session(data: &std::path::Path) -> (Control, TcpStream) {
        let depot = Depot::for_tests(data, Clock::System).await;
        let (db, clock, ids) = (depot.db.clone(), depot.clock.clone(), depot.ids.clone());
        let engine = Engine {
            live: Live::open(db.clone(), clock.clone()).await.unwrap(),
            gate: Gate::new(Hasher::default(), clock.clone()),
            admission: Admission::default(),
            presence: Presence::default(),
            ports: Ports::default(),
            certificates: Certificates::open(db, data, clock, ids).await.unwrap(),
            tls: TlsBase::default(),
            depot,
        };
        let listener = TcpSocket::new_v4().unwrap();
        listener.set_send_buffer_size(SOCKET_BYTES).unwrap();
        listener.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = listener.listen(1).unwrap();
        let client = TcpSocket::new_v4().unwrap();
        client.set_recv_buffer_size(SOCKET_BYTES).unwrap();
        let client = client.connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let remote = IpAddr::from(Ipv4Addr::LOCALHOST);
        let slot = engine.admission.enter(remote, &Limits::of(&engine.live.snapshot().profile)).unwrap();
        let arrival = Arrival { stream, remote, slot, implicit: false };
        (Control::new(engine, arrival, Stop::default()).unwrap(), client)
    }

    /// The same by TLS.
    async fn secured(data: &std::path::Path) -> (Control, TlsStream<TcpStream>) {
        let (mut control, client) = session(data).await;
        control.engine.tls.follow(&control.engine.live.snapshot(), &control.engine.certificates);
        let mut roots = RootCertStore::empty();
        let served = control.engine.certificates.served().for_host("localhost").unwrap();
        roots.add(served.cert[0].clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let ((), client) = tokio::join!(control.secure(true), connector.connect(name, client));
        (control, client.unwrap())
    }

    #[tokio::test]
    async fn a_client_by_tls_that_reads_nothing_does_not_keep_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let (mut control, _client) = secured(folder.path()).await;
        control.stream.write_all(&vec![b' '; 40_000]).await.unwrap();
        tokio::time::timeout(3 * CLOSE_TIMEOUT, control.finish()).await.expect("the session ends");
    }

    #[tokio::test]
    async fn a_reply_by_tls_does_not_wait_for_the_next_one() {
        const COMMANDS: usize = 40;
        let folder = tempfile::tempdir().unwrap();
        let (control, mut client) = secured(folder.path()).await;
        let serving = tokio::spawn(control.serve());
        client.write_all(b"HELP\r\n".repeat(COMMANDS).as_slice()).await.unwrap();
        client.flush().await.unwrap();
        // All that it answers without being read from.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let ends = |said: &[u8]| said.windows(6).filter(|part| part == b"\r\n214 ").count();
        let mut said = Vec::new();
        while ends(&said) < COMMANDS {
            let read = tokio::time::timeout(Duration::from_secs(10), client.read_buf(&mut said)).await;
            let count = read.unwrap_or_else(|_| panic!("{} replies came, {} bytes", ends(&said), said.len())).unwrap();
            assert!(count > 0);
        }
        serving.abort();
    }

    #[tokio::test]
    async fn no_command_is_taken_behind_the_deadline_of_the_sign_in_however_early_it_was_sent() {
        let folder = tempfile::tempdir().unwrap();
        let (mut control, mut client) = session(folder.path()).await;
        client.write_all(b"HELP\r\n".repeat(60).as_slice()).await.unwrap();
        control.login_by = Instant::now();
        control.serve().await;
        let mut said = String::new();
        client.read_to_string(&mut said).await.unwrap();
        let codes: Vec<_> = said.lines().map(|line| &line[..4]).collect();
        assert_eq!(codes, ["220 ", "421 "], "{said}");
    }

    #[tokio::test]
    async fn bytes_that_are_no_command_do_not_keep_an_idle_session() {
        // Telnet's "no operation" (RFC 854).
        const NOP: [u8; 2] = [0xff, 0xf1];
        let folder = tempfile::tempdir().unwrap();
        let (mut control, client) = session(folder.path()).await;
        let client = client.into_std().unwrap();
        client.set_nonblocking(false).unwrap();
        let flood = |mut client: std::net::TcpStream| while client.write_all(&NOP.repeat(65_536)).is_ok() {};
        let floods = [(); 3].map(|()| {
            let client = client.try_clone().unwrap();
            std::thread::spawn(move || flood(client))
        });
        // There is something to read before the session begins.
        tokio::time::sleep(Duration::from_millis(50)).await;
        control.active = Instant::now() - Duration::from_hours(1);
        tokio::time::timeout(Duration::from_secs(2), control.serve()).await.expect("the session ends");
        for flood in floods {
            flood.join().unwrap();
        }
    }

    #[tokio::test]
    async fn who_had_signed_in_has_as_long_again_and_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let (mut control, _client) = session(folder.path()).await;
        let past = Instant::now() - Duration::from_secs(1);
        control.login_by = past;
        control.log_out();
        assert_eq!(control.login_by, past, "nobody was signed in");
        control.connector = Some("acme".to_owned());
        control.log_out();
        assert!(control.login_by > Instant::now() + LOGIN_DEADLINE / 2);
    }
}
