//! A server under measurement: started on a free loopback port, with its files on a memory file system, and ended with
//! the value that stands for it.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::usage::Tree;

/// The partner, with every server that has users of its own.
pub const USER: &str = "partner";
/// Its password.
pub const PASSWORD: &str = "correct horse battery";
/// How long a server may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct Ground {
    /// A folder of its own.
    pub folder: PathBuf,
    /// Its control port.
    pub port: u16,
    /// Certificate chain and key, in one file.
    pub pem: PathBuf,
}

impl Ground {
    /// A new folder below `place` and a port that is free.
    pub fn new(place: &Path, name: &str, pem: &Path) -> io::Result<Self> {
        let folder = place.join(name);
        fs::create_dir_all(&folder)?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        Ok(Self { folder, port, pem: pem.to_owned() })
    }
}

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    /// What it is called in the table.
    pub name: &'static str,
    /// Whom to log in as.
    pub user: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    /// The partner's folders on disk.
    pub home: PathBuf,
    child: Child,
}

/// Starts a server's program; what it says goes to a file of its folder.
pub fn launch(command: &mut Command, ground: &Ground) -> io::Result<Child> {
    let log = fs::File::create(ground.folder.join("output.txt"))?;
    let mut child = command.stdin(Stdio::null()).stderr(log.try_clone()?).stdout(log).spawn()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ground.port));
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        if let Some(status) = child.try_wait()? {
            let said = fs::read_to_string(ground.folder.join("output.txt")).unwrap_or_default();
            return Err(io::Error::other(format!("{command:?} ended with {status}: {said}")));
        }
        if begun.elapsed() > START_TIMEOUT {
            child.kill()?;
            return Err(io::Error::other(format!("{command:?} does not answer")));
        }
        pause(Duration::from_millis(1));
    }
    Ok(child)
}

/// Waits, on a thread of its own: nothing here is async.
#[expect(clippy::disallowed_methods, reason = "no clock is paused in a benchmark")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

impl Server {
    /// One that answers.
    pub fn new(name: &'static str, child: Child, ground: &Ground, home: PathBuf) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ground.port));
        Self { name, user: USER, address, home, child }
    }

    /// The same with another user.
    pub fn user(mut self, user: &'static str) -> Self {
        self.user = user;
        self
    }

    /// Its processes.
    pub fn tree(&self) -> Tree {
        Tree(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is ended as an administrator would; only one that will not hear is killed.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            pause(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waybill, with every promise at its default; only session limits are raised.
/// `receipts` of other partners are there already, with their events and transfers.
pub fn waybill(ground: &Ground, receipts: u64) -> io::Result<Server> {
    let program = env!("CARGO_BIN_EXE_waybill");
    let data = ground.folder.join("data");
    let verb = |arguments: &[&str]| -> io::Result<()> {
        let output = Command::new(program).args(arguments).arg("--data").arg(&data).output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("waybill {arguments:?}: {}", String::from_utf8_lossy(&output.stderr))))
    };
    let (port, password) = (format!("port={}", ground.port), format!("password={PASSWORD}"));
    verb(&[
        "profile",
        "set",
        &port,
        "listen_address=127.0.0.1",
        "require_tls=none",
        "sessions_max=20000",
        "sessions_per_address_max=20000",
        "sessions_per_connector_max=20000",
    ])?;
    verb(&["connector", "add", USER, &password, "send_settle_s=0"])?;
    if receipts > 0 {
        fill(&data.join("waybill.db"), receipts)?;
    }
    let child = launch(Command::new(program).args(["serve", "--web", "127.0.0.2:0", "--data"]).arg(&data), ground)?;
    Ok(Server::new("Waybill", child, ground, data.join("partners").join(USER)))
}

/// Fills a database as the measuring of the pages does.
fn fill(database: &Path, receipts: u64) -> io::Result<()> {
    let script =
        "import sys; sys.path.insert(0, sys.argv[1]); import measure; measure.fill(sys.argv[2], int(sys.argv[3]))";
    let mut python = Command::new("python3");
    python.args(["-c", script, concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pages")]);
    let status = python.arg(database).arg(receipts.to_string()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("the database could not be filled: {status}"))) }
}
