//! The door under load: `cargo bench --bench doors`. Ten thousand handshakes by AUTH TLS, none lost; a partner's login
//! beside a thousand sessions, half of them silent ones of other addresses, and how much later it is than alone.
//! It fails when a handshake is lost or a login waits longer than it may.

#[path = "../tests/it/kit/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests need more of it than this")]
mod kit;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use kit::{Appliance, Client, PARTNER, PASSWORD, Secured, Version};

const HANDSHAKES: usize = 10_000;
/// Handshakes at a time.
const PARALLEL: usize = 400;
const SESSIONS: usize = 500;
const SILENT: usize = 500;
const LOGINS: usize = 50;
/// How much later a login may be for all the others.
const DELAY_MAX: Duration = Duration::from_millis(100);

/// A connection from one of 250 loopback addresses.
async fn from(n: usize, server: SocketAddr) -> TcpStream {
    let last = u8::try_from(1 + n % 250).expect("below 251");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::new(127, 0, 3, last), 0).into()).expect("a loopback address");
    socket.connect(server).await.expect("the server accepts")
}

async fn handshakes(server: SocketAddr) {
    let begun = Instant::now();
    let mut shaking = JoinSet::new();
    let mut done = 0;
    for n in 0..HANDSHAKES {
        if shaking.len() >= PARALLEL {
            done += usize::from(shaking.join_next().await.is_some_and(|one| one.is_ok()));
        }
        shaking.spawn(async move {
            let stream = from(n, server).await;
            Secured::over(stream, server, (Version::ALL[n % 2], None)).await.client.expect("NOOP", 200).await;
        });
    }
    while let Some(one) = shaking.join_next().await {
        done += usize::from(one.is_ok());
    }
    let rate = f64::from(u32::try_from(HANDSHAKES).unwrap_or(u32::MAX)) / begun.elapsed().as_secs_f64();
    println!("AUTH TLS: {done} of {HANDSHAKES} handshakes, {PARALLEL} at a time, {rate:.0} a second");
    assert_eq!(done, HANDSHAKES, "handshakes were lost");
}

/// How long logins take, one after the other: the middle one and the longest.
async fn logins(server: SocketAddr) -> (Duration, Duration) {
    let mut took = Vec::new();
    for _ in 0..LOGINS {
        let begun = Instant::now();
        let mut client = Client::login(server, PARTNER, PASSWORD).await;
        took.push(begun.elapsed());
        client.expect("QUIT", 221).await;
    }
    took.sort_unstable();
    (took[LOGINS / 2], took[LOGINS - 1])
}

async fn crowd(server: SocketAddr) {
    let (alone, _) = logins(server).await;
    let mut silent = Vec::new();
    for n in 0..SILENT {
        silent.push(from(n, server).await);
    }
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(Client::login(server, "crowd", PASSWORD).await);
    }
    let (beside, longest) = logins(server).await;
    let all = SESSIONS + SILENT;
    println!("Login: {alone:?} alone; {beside:?} beside {all} sessions, the longest {longest:?}");
    assert!(beside < alone + DELAY_MAX, "a login waits for the crowd");
    for session in &mut sessions {
        session.expect("NOOP", 200).await;
    }
    drop(silent);
}

#[tokio::main]
async fn main() {
    // `cargo test --all-targets` starts it too; the load is for `cargo bench`.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let appliance = Appliance::new();
    appliance.add("crowd", &[]);
    appliance.set(&["sessions_max=2000", "sessions_per_address_max=1500", "sessions_per_connector_max=1000"]);
    let running = appliance.start().await;
    handshakes(running.ftp()).await;
    crowd(running.ftp()).await;
}
