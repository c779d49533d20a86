//! An appliance in a temporary folder: its command line, and the running process.

use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use waybill::base::clock::Timestamp;
use waybill::store::Db;
use waybill::store::listener::{self, Listener, ListenerState, State};
use waybill::store::refusal::{self, Refusal};
use waybill::store::session::{self, Session};
use waybill::store::transfer::{self, Transfer};

use super::client::Client;

/// How long a start, a stop or a change may take before a test fails; a debug build on a busy machine needs seconds.
const WITHIN: Duration = Duration::from_secs(45);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Pages of this machine alone, at any port.
const LOCAL: &str = "127.0.0.1:0";

/// The partner that most tests are.
pub(crate) const PARTNER: &str = "acme-edi";
/// Its password.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A data folder and the settings to start with. Nothing runs yet.
pub(crate) struct Appliance {
    folder: TempDir,
    port: u16,
}

impl Appliance {
    /// Clear text allowed, a free port, and one connector.
    pub(crate) fn new() -> Self {
        let appliance = Self::untouched();
        appliance.set(&["require_tls=none"]);
        appliance.add(PARTNER, &[]);
        appliance
    }

    /// Defaults only, but for the port.
    pub(crate) fn untouched() -> Self {
        let port = free_port();
        let appliance = Self { folder: tempfile::tempdir().expect("a temporary folder"), port };
        appliance.set(&[&format!("port={port}")]);
        appliance
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A connector's `Receive` or `Send` on disk.
    pub(crate) fn place(&self, connector: &str, folder: &str) -> PathBuf {
        self.data().join("partners").join(connector).join(folder)
    }

    /// Every copy beneath a connector's Sent or Log that has its name, sorted, with its bytes.
    pub(crate) fn copies(&self, connector: &str, folder: &str) -> Vec<(String, Vec<u8>)> {
        let top = self.place(connector, folder);
        let (mut folders, mut found) = (vec![top.clone()], Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(&top).expect("beneath it").to_string_lossy().into_owned();
                    // A copy is made aside first.
                    if !name.contains("/.waybill-") && !name.starts_with(".waybill-") {
                        found.push((name, std::fs::read(path).expect("a file")));
                    }
                }
            }
        }
        found.sort();
        found
    }

    /// Puts a shell script where Commands find their programs; from then on it is started with that folder.
    pub(crate) fn program(&self, name: &str, lines: &str) {
        let folder = self.folder.path().join("programs");
        std::fs::create_dir_all(&folder).expect("a folder of programs");
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{lines}\n")).expect("a program");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("it can be executed");
    }

    /// The authorities that the system trusts, in the program's eyes, as PEM.
    pub(crate) fn trust(&self, pem: &str) {
        std::fs::write(self.folder.path().join("trusted.pem"), pem).expect("a file of certificates");
    }

    /// The folder of programs, if there is one.
    fn commands(&self) -> Option<PathBuf> {
        let folder = self.folder.path().join("programs");
        folder.is_dir().then_some(folder)
    }

    /// Runs a verb beside whatever runs.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Output {
        let mut command = binary();
        command.args(arguments).arg("--data").arg(self.data()).stdin(Stdio::null());
        command.output().expect("the binary starts")
    }

    /// Runs a verb that must succeed; what it printed.
    pub(crate) fn say(&self, arguments: &[&str]) -> String {
        let output = self.cli(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// Sets settings of the profile.
    pub(crate) fn set(&self, pairs: &[&str]) -> String {
        self.say(&[&["profile", "set"], pairs].concat())
    }

    /// Sets settings of the tests' partner.
    pub(crate) fn configure(&self, pairs: &[&str]) {
        self.say(&[&["connector", "set", PARTNER], pairs].concat());
    }

    /// Adds a connector with the tests' password. Files put into Send are offered at once.
    pub(crate) fn add(&self, id: &str, pairs: &[&str]) {
        let password = format!("password={PASSWORD}");
        self.say(&[&["connector", "add", id, &password, "send_settle_s=0"], pairs].concat());
    }

    /// The receipts of one connector, oldest first.
    pub(crate) fn receipts(&self, connector: &str) -> Vec<Value> {
        let text = self.say(&["receipts", "--json", "--connector", connector]);
        text.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
    }

    /// How many received files have been told to the world: each once its file lies under its final name.
    fn told(&self, connector: &str) -> usize {
        let text = self.say(&["events", "--json", "--kind", "after_receive"]);
        let of =
            |line: &str| serde_json::from_str::<Value>(line).expect("a JSON object a line")["connector"] == connector;
        text.lines().filter(|line| of(line)).count()
    }

    /// Starts it and waits until both listeners answer.
    pub(crate) async fn start(&self) -> Running<'_> {
        self.start_with_fault(None).await
    }

    /// The same, with a fault point set (`base::fault`).
    pub(crate) async fn start_with_fault(&self, fault: Option<&str>) -> Running<'_> {
        let running = self.launch(fault, LOCAL).await;
        running
            .until("both listen", async |running| {
                let ftp = running.state(Listener::Ftp).await;
                (ftp.state == State::Listening).then_some(())
            })
            .await;
        running
    }

    /// Starts it with a fault that kills it before it listens, and waits until that has happened.
    #[cfg(feature = "faults")]
    pub(crate) async fn start_and_die(&self, fault: &str) {
        let mut command = binary();
        command.env("WAYBILL_FAULT", fault).args(["serve", "--web", "127.0.0.1:0", "--data"]).arg(self.data());
        let mut child = command.stdin(Stdio::null()).spawn().expect("the binary starts");
        let end = Instant::now() + WITHIN;
        while child.try_wait().expect("the process can be asked").is_none() {
            if Instant::now() > end {
                let _ = child.kill();
                panic!("{fault} did not end it");
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Starts it and waits until the web interface answers and the FTP listener has a state, whichever.
    pub(crate) async fn start_unbound(&self) -> Running<'_> {
        self.launch(None, LOCAL).await
    }

    /// The same, with pages at that address and port.
    pub(crate) async fn start_at(&self, web: &str) -> Running<'_> {
        self.launch(None, web).await
    }

    async fn launch(&self, fault: Option<&str>, web: &str) -> Running<'_> {
        let db = Db::open(&self.data()).await.expect("the database opens");
        for listener in [Listener::Ftp, Listener::Web] {
            // What an earlier run left would look like an answer of this one.
            let stopped = ListenerState {
                state: State::Stopped,
                address: String::new(),
                message: String::new(),
                since: Timestamp::default(),
                followed_version: 0,
            };
            listener::put(&db, listener, &stopped).await.expect("the state is written");
        }
        let log = self.folder.path().join("log.txt");
        let file = File::options().create(true).append(true).open(&log).expect("a log file");
        let mut command = binary();
        if let Some(fault) = fault {
            command.env("WAYBILL_FAULT", fault);
        }
        if let Some(folder) = self.commands() {
            command.arg("--commands").arg(folder);
        }
        let trusted = self.folder.path().join("trusted.pem");
        if trusted.is_file() {
            command.env("SSL_CERT_FILE", trusted);
        }
        let child = command
            .args(["serve", "--web", web, "--data"])
            .arg(self.data())
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("the log file twice"))
            .stderr(file)
            .spawn()
            .expect("the binary starts");
        let running = Running { appliance: self, child: Some(child), db, log };
        running
            .until("it has started", async |running| {
                let ftp = running.state(Listener::Ftp).await;
                let web = running.state(Listener::Web).await;
                (ftp.state != State::Stopped && web.state == State::Listening).then_some(())
            })
            .await;
        running
    }
}

/// The process. It is killed when dropped.
pub(crate) struct Running<'a> {
    appliance: &'a Appliance,
    child: Option<Child>,
    db: Db,
    log: PathBuf,
}

impl Running<'_> {
    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("the log is read")
    }

    pub(crate) async fn state(&self, which: Listener) -> ListenerState {
        listener::get(&self.db, which).await.expect("the listener's state is read")
    }

    /// Where FTP clients connect: the loopback, IPv4.
    pub(crate) fn ftp(&self) -> SocketAddr {
        SocketAddr::new(Ipv4Addr::LOCALHOST.into(), self.appliance.port)
    }

    /// The same over IPv6; `None` where this machine has none.
    pub(crate) fn ftp_v6(&self) -> Option<SocketAddr> {
        TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).ok()?;
        Some(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), self.appliance.port))
    }

    /// A session of the tests' partner.
    pub(crate) async fn partner(&self) -> Client {
        Client::login(self.ftp(), PARTNER, PASSWORD).await
    }

    /// The receipts of the tests' partner once there are `count` and each file's event is released, which follows its
    /// 226 with the next commit.
    pub(crate) async fn receipts(&self, count: usize) -> Vec<Value> {
        self.until(&format!("{count} receipts are there"), async |running| {
            // Asked in this order: what a receipt says when its event is released is what is looked at.
            let told = running.appliance.told(PARTNER);
            (told == count).then(|| running.appliance.receipts(PARTNER)).filter(|receipts| receipts.len() == count)
        })
        .await
    }

    /// Refusals, newest first.
    pub(crate) async fn refusals(&self) -> Vec<Refusal> {
        refusal::page(&self.db, &refusal::Filter::default(), None, 1_000).await.expect("refusals are read")
    }

    /// The transfers that have ended, newest first, once there are `count`.
    pub(crate) async fn transfers(&self, count: usize) -> Vec<Transfer> {
        self.until(&format!("{count} transfers are recorded"), async |running| {
            let found = transfer::page(&running.db, &transfer::Filter::default(), None, 1_000).await;
            Some(found.expect("transfers are read")).filter(|found| found.len() == count)
        })
        .await
    }

    /// The records of a connector's sessions that have ended, newest first, without what was said.
    pub(crate) async fn sessions(&self, connector: &str) -> Vec<Session> {
        let filter = session::Filter { connector: Some(connector.to_owned()), ..session::Filter::default() };
        session::page(&self.db, &filter, None, 1_000).await.expect("sessions are read")
    }

    /// What was said in a session, as far as it is kept.
    pub(crate) async fn transcript(&self, session: &Session) -> String {
        session::find(&self.db, &session.id).await.expect("the session is read").expect("it is there").transcript
    }

    /// Waits until `look` finds something, and fails the test with the log when it never does.
    pub(crate) async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut(&Self) -> Option<T>) -> T {
        let end = Instant::now() + WITHIN;
        loop {
            if let Some(found) = look(self).await {
                return found;
            }
            assert!(Instant::now() < end, "waited in vain until {what}\n{}", tail(&self.log));
            sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until the partner's receipts have these statuses, the oldest first.
    pub(crate) async fn until_status(&self, statuses: &[&str]) {
        self.until(&format!("the receipts are {statuses:?}"), async |running| {
            let receipts = running.appliance.receipts(PARTNER);
            let now: Vec<_> = receipts.iter().map(|one| one["status"].as_str().unwrap_or_default()).collect();
            (now == statuses).then_some(())
        })
        .await;
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Asks it to stop, as a service manager does.
    pub(crate) fn terminate(&self) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), Signal::TERM).expect("the signal is sent");
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let end = Instant::now() + WITHIN;
        loop {
            if let Some(status) = child.try_wait().expect("the process can be asked") {
                return status;
            }
            if Instant::now() > end {
                let _ = child.kill();
                panic!("it did not end\n{}", tail(&self.log));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Whether the process still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Kills it at once: no handler runs, nothing is flushed.
    pub(crate) fn kill(mut self) {
        self.kill_now();
    }

    fn kill_now(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", tail(&self.log));
        }
        self.kill_now();
    }
}

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waybill"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WAYBILL_") {
            command.env_remove(name);
        }
    }
    command
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// A port that nobody has now. It lies below those the system hands out by itself, so that no data connection of
/// another test takes it in the meantime.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 10_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or(0);
    loop {
        let port = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        let v4 = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port));
        if v4.is_ok() {
            return port;
        }
    }
}
