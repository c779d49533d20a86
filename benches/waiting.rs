//! A target that is down for long: `TMPDIR=/dev/shm cargo bench --bench waiting [-- COUNT]`. A partner's files are passed
//! along to a Webhook that nobody answers, until COUNT of them wait (100,000 unless said otherwise). Told are: uploads beside
//! the full queue, and once it is empty again with as many records; the times of pages, the memory of the process; and how
//! fast all is posted once the receiver is back. It fails when uploads lose a fifth, a page is too slow, memory grows with
//! what waits, or a file is missing or out of order.

#[path = "../tests/it/kit/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests need more of it than this")]
mod kit;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use waybill::store::listener::Listener;

use kit::{Appliance, Client, PASSWORD, Running, free_port};

const SESSIONS: usize = 8;
/// Files of one measured round, of all sessions.
const ROUND: usize = 2_000;
const ROUNDS: usize = 3;
const SIZE: usize = 1024;
/// Uploads may lose this much of their rate.
const RATE_MIN: f64 = 0.8;
const PAGE_ASKED: usize = 60;
/// Of the 95th of a hundred.
const PAGE_WITHIN: Duration = Duration::from_millis(50);
/// What the process may grow by, whatever waits.
const GROWTH_KB_MAX: u64 = 64 * 1024;
/// How long nothing may arrive once the receiver is back.
const STALLED: Duration = Duration::from_secs(90);
const PAGES: &[&str] = &[
    "/flows",
    "/flows?view=list",
    "/activity/events",
    "/activity/events?kind=after_receive&connector=passes",
    "/activity/receive",
    "/activity/receive?status=waiting",
    "/activity/receive?connector=passes&status=waiting",
    "/connectors/passes/receive",
    "/",
];

/// Uploads by all sessions at once, named `SESSION-NUMBER` from `first` on; gives files a second.
async fn upload(server: SocketAddr, partner: &'static str, first: usize, files: usize) -> f64 {
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(Client::login(server, partner, PASSWORD).await);
    }
    let (begun, each) = (Instant::now(), files.div_ceil(SESSIONS));
    let mut uploading = JoinSet::new();
    for (session, mut client) in sessions.into_iter().enumerate() {
        uploading.spawn(async move {
            let bytes = vec![b'x'; SIZE];
            for number in first..first + each {
                client.store(&format!("/Receive/{session}-{number}"), &bytes).await;
            }
        });
    }
    while let Some(done) = uploading.join_next().await {
        done.expect("every file is received");
    }
    count(each * SESSIONS) / begun.elapsed().as_secs_f64()
}

/// The middle of some rounds of a partner whose files stay; `moment` keeps their names apart.
async fn rate(running: &Running<'_>, moment: usize) -> f64 {
    let mut rates = Vec::new();
    for round in 0..ROUNDS {
        let first = (moment * ROUNDS + round) * ROUND / SESSIONS;
        rates.push(upload(running.ftp(), "stays", first, ROUND).await);
    }
    middle(rates)
}

fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

fn middle(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn resident_kb(running: &Running<'_>) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory is told");
    line.trim().trim_end_matches(" kB").parse().expect("a number of kilobytes")
}

/// A browser of one administrator, with one connection.
struct Site {
    stream: TcpStream,
    cookies: Vec<(String, String)>,
}

impl Site {
    async fn sign_in(appliance: &Appliance, running: &Running<'_>) -> Self {
        let said = appliance.say(&["admin", "add", "mira"]);
        let password = said.lines().find_map(|line| line.strip_prefix("password=")).expect("it is told once");
        let address = running.state(Listener::Web).await.address;
        let mut site =
            Self { stream: TcpStream::connect(address).await.expect("the web listens"), cookies: Vec::new() };
        let page = site.ask("/sign-in", None).await;
        let token = page.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        let form = format!("csrf={}&name=mira&password={password}", token.expect("a form has a token"));
        site.ask("/sign-in", Some(&form)).await;
        site
    }

    /// The answer, head and body.
    async fn ask(&mut self, path: &str, form: Option<&str>) -> String {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let (method, body) = form.map_or(("GET", ""), |form| ("POST", form));
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{body}",
            cookies.join("; "),
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.expect("it is asked");
        let mut answer = Vec::new();
        while !is_whole(&answer) {
            let mut buffer = vec![0; 65_536];
            let count = self.stream.read(&mut buffer).await.expect("it answers");
            assert!(count > 0, "{path}: the connection ended");
            answer.extend_from_slice(&buffer[..count]);
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 303"), "{path}: {answer}");
        for line in answer.lines().take_while(|line| !line.is_empty()) {
            let set = line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
            if let Some((name, value)) = set.and_then(|(_, cookie)| cookie.split(';').next()?.split_once('=')) {
                self.cookies.retain(|(other, _)| other != name);
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        answer
    }

    /// The 95th of a hundred times of a page.
    async fn slowest(&mut self, path: &str) -> Duration {
        let mut took = Vec::new();
        for _ in 0..PAGE_ASKED {
            let begun = Instant::now();
            self.ask(path, None).await;
            took.push(begun.elapsed());
        }
        took.sort_unstable();
        took[PAGE_ASKED * 95 / 100]
    }
}

/// Whether the head and all of the body it announces are there.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    match head.lines().find_map(|line| line.strip_prefix("content-length: ")) {
        Some(length) => answer.len() - end - 4 >= length.parse::<usize>().expect("a length"),
        None => answer.ends_with(b"0\r\n\r\n") || head.starts_with("http/1.1 303"),
    }
}

/// Takes posts on that port and notes the names of the files they tell of, in order.
async fn receive(number: u16) -> Arc<Mutex<Vec<String>>> {
    let listener = TcpListener::bind(("127.0.0.1", number)).await.expect("the port is free");
    let names = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&names);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let told = Arc::clone(&told);
            tokio::spawn(async move {
                let (mut post, mut buffer) = (Vec::new(), vec![0; 16_384]);
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    post.extend_from_slice(&buffer[..count]);
                    if is_whole(&post) {
                        let text = String::from_utf8_lossy(&post).into_owned();
                        let name = text.split("\"path\":\"/Receive/").nth(1).and_then(|rest| rest.split('"').next());
                        told.lock().expect("nobody panicked").push(name.expect("a path").to_owned());
                        post.clear();
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                    }
                }
            });
        }
    });
    names
}

/// Waits until all of them have come, and looks at the order of each session's files.
async fn resumed(names: &Mutex<Vec<String>>, expected: usize) {
    let begun = Instant::now();
    let (mut seen, mut since) = (0, Instant::now());
    while seen < expected {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = names.lock().expect("nobody panicked").len();
        if now > seen {
            (seen, since) = (now, Instant::now());
        }
        assert!(since.elapsed() < STALLED, "{seen} of {expected} arrived");
    }
    let rate = count(expected) / begun.elapsed().as_secs_f64();
    println!("  posted once the receiver is back, in order     {rate:.0} a second");
    let names = names.lock().expect("nobody panicked").clone();
    let mut next = [0; SESSIONS];
    for name in &names {
        let (session, number) = name.split_once('-').expect("SESSION-NUMBER");
        let session: usize = session.parse().expect("a session");
        assert_eq!(number.parse(), Ok(next[session]), "session {session}: a file is missing, twice, or out of order");
        next[session] += 1;
    }
    assert_eq!(names.len(), expected, "one came twice");
}

async fn pages(appliance: &Appliance, running: &Running<'_>) -> Vec<&'static str> {
    let mut site = Site::sign_in(appliance, running).await;
    let mut slow = Vec::new();
    for path in PAGES {
        let took = site.slowest(path).await;
        println!("  {:>6.1} ms  {path}", took.as_secs_f64() * 1_000.0);
        if took > PAGE_WITHIN {
            slow.push(*path);
        }
    }
    slow
}

#[tokio::main]
async fn main() {
    // `cargo test --all-targets` starts it too; the load is for `cargo bench`.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let wanted: usize = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(100_000);
    let (appliance, port) = (Appliance::new(), free_port());
    for partner in ["passes", "stays"] {
        appliance.add(partner, &["settle_s=0"]);
    }
    appliance.say(&["settings", "set", "webhook_networks=127.0.0.1", "delivery_retries=1000"]);
    appliance.say(&["settings", "set", "delivery_retry_first_s=1", "delivery_retry_longest_s=5"]);
    appliance.say(&["connector", "add", "erp", "type=webhook", &format!("url=http://127.0.0.1:{port}/inbound")]);
    appliance.say(&["flow", "connect", "passes", "erp"]);
    let running = appliance.start().await;
    let new = rate(&running, 0).await;
    let before = resident_kb(&running);
    upload(running.ftp(), "passes", 0, wanted).await;
    let waiting = wanted.div_ceil(SESSIONS) * SESSIONS;
    let full = rate(&running, 1).await;
    println!("{waiting} files of {SIZE} bytes wait for a target that is down:");
    let slow = pages(&appliance, &running).await;
    let grown = resident_kb(&running).saturating_sub(before);
    println!("  memory grew by {grown} KB, {before} KB before");
    resumed(&*receive(port).await, waiting).await;
    let grown_then = resident_kb(&running).saturating_sub(before);
    println!("  memory grew by {grown_then} KB when all was posted");
    let empty = rate(&running, 2).await;
    println!("  another partner's uploads, files a second: {full:.0} beside them, {empty:.0} once none waited");
    println!("  ({:.2}); {new:.0} while there were no records at all", full / empty);
    assert!(full / empty >= RATE_MIN, "uploads are slower beside what waits");
    assert!(slow.is_empty(), "too slow: {slow:?}");
    assert!(grown.max(grown_then) < GROWTH_KB_MAX, "memory grows with what waits");
}
