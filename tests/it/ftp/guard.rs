//! The guard at the door (PRODUCT section 11). A balancer's PROXY header makes the tests come from addresses that are not
//! this machine's own, which would be delayed and never blocked.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::kit::{Appliance, Client, PASSWORD, Running, Secured, Version, epsv_address};

/// Partners behind one address.
const PARTNERS: usize = 8;
/// `AUTH TLS` in parallel; `benches/doors.rs` has ten thousand.
const HANDSHAKES: usize = 500;

/// A session of a client at `address`.
async fn at(server: SocketAddr, address: &str) -> Client {
    let mut stream = TcpStream::connect(server).await.expect("the server accepts");
    let header = format!("PROXY TCP4 {address} 192.0.2.1 40000 21\r\n");
    stream.write_all(header.as_bytes()).await.expect("the server reads");
    let mut client = Client::over(stream, server);
    assert_eq!(client.reply().await.code, 220);
    client
}

/// The answer to PASS.
async fn login(server: SocketAddr, address: &str, (name, password): (&str, &str)) -> u16 {
    let mut client = at(server, address).await;
    client.expect(&format!("USER {name}"), 331).await;
    client.send(&format!("PASS {password}")).await.code
}

/// Several at once; their answers, sorted.
async fn logins(server: SocketAddr, address: &'static str, name: &str, count: usize) -> Vec<u16> {
    let mut tries = JoinSet::new();
    for _ in 0..count {
        let name = name.to_owned();
        tries.spawn(async move { login(server, address, (&name, "a stale password")).await });
    }
    let mut answers = tries.join_all().await;
    answers.sort_unstable();
    answers
}

fn appliance() -> Appliance {
    let appliance = Appliance::untouched();
    appliance.set(&["require_tls=none", "proxy_protocol_from=127.0.0.1"]);
    appliance
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stale_password_behind_an_address_harms_nobody_else_there() {
    let appliance = appliance();
    let partners: Vec<_> = (0..PARTNERS).map(|n| format!("partner-{n}")).collect();
    for partner in &partners {
        appliance.add(partner, &[]);
    }
    let running = appliance.start().await;
    let (server, shared) = (running.ftp(), "203.0.113.1");
    for partner in &partners[1..] {
        assert_eq!(login(server, shared, (partner, PASSWORD)).await, 230);
    }
    assert_eq!(logins(server, shared, &partners[0], 10).await, [530; 10]);
    // Blocked there, right password or not, and from nowhere else.
    assert_eq!(login(server, shared, (&partners[0], PASSWORD)).await, 421);
    assert_eq!(login(server, "203.0.113.2", (&partners[0], PASSWORD)).await, 230);
    for partner in &partners[1..] {
        let begun = Instant::now();
        assert_eq!(login(server, shared, (partner, PASSWORD)).await, 230);
        // A right password is never delayed; 5 s is what the stale one waits by now.
        assert!(begun.elapsed().as_secs() < 4, "{partner} waited {:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_names_block_their_address_unless_a_partner_came_from_it() {
    let appliance = appliance();
    appliance.add("acme", &[]);
    let running = appliance.start().await;
    assert_eq!(login(running.ftp(), "198.51.100.2", ("acme", PASSWORD)).await, 230);
    let is_kept = async |running: &Running<'_>| running.sessions("acme").await.pop();
    running.until("the session is recorded", is_kept).await;
    // It is remembered over a crash.
    running.kill();
    let running = appliance.start().await;
    let server = running.ftp();
    for address in ["198.51.100.1", "198.51.100.2"] {
        for name in ["root", "admin", "test"] {
            assert_eq!(login(server, address, (name, "guess")).await, 530);
        }
    }
    assert_eq!(login(server, "198.51.100.1", ("acme", PASSWORD)).await, 421);
    assert_eq!(login(server, "198.51.100.2", ("acme", PASSWORD)).await, 230);
    appliance.set(&["guard_allow=198.51.100.0/24"]);
    let lifted = async |_: &Running<'_>| (login(server, "198.51.100.1", ("acme", PASSWORD)).await == 230).then_some(());
    running.until("guard_allow lifts the block", lifted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_of_one_address_leave_room_for_others() {
    let appliance = appliance();
    appliance.add("acme", &[]);
    let running = appliance.start().await;
    let server = running.ftp();
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(at(server, "203.0.113.9").await);
    }
    let mut more = TcpStream::connect(server).await.unwrap();
    more.write_all(b"PROXY TCP4 203.0.113.9 192.0.2.1 40000 21\r\n").await.unwrap();
    assert_eq!(Client::over(more, server).reply().await.code, 421);
    assert_eq!(login(server, "203.0.113.8", ("acme", PASSWORD)).await, 230);
    drop(silent);
    let back = async |_: &Running<'_>| {
        let mut stream = TcpStream::connect(server).await.ok()?;
        stream.write_all(b"PROXY TCP4 203.0.113.9 192.0.2.1 40000 21\r\n").await.ok()?;
        (Client::over(stream, server).try_reply().await.ok()?.code == 220).then_some(())
    };
    running.until("the places are free again", back).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_never_holds_every_passive_port() {
    let appliance = appliance();
    appliance.add("acme", &[]);
    let first = 40_000 + u16::try_from(std::process::id() % 20_000).unwrap();
    appliance.set(&[&format!("passive_port_range={first}-{}", first + 9)]);
    let running = appliance.start().await;
    let server = running.ftp();
    let mut held = Vec::new();
    let mut codes = Vec::new();
    for _ in 0..10 {
        let mut client = at(server, "203.0.113.1").await;
        client.expect("USER acme", 331).await;
        client.expect(&format!("PASS {PASSWORD}"), 230).await;
        codes.push(client.send("PASV").await.code);
        held.push(client);
    }
    assert!(codes.contains(&425) && codes.contains(&227), "{codes:?}");
    let mut other = at(server, "203.0.113.2").await;
    other.expect("USER acme", 331).await;
    other.expect(&format!("PASS {PASSWORD}"), 230).await;
    other.expect("PASV", 227).await;
    let refused = running.until("it is recorded", async |running| running.refusals().await.into_iter().next()).await;
    assert_eq!(refused.rule.name(), "no_passive_port", "{refused:?}");
    assert_eq!(refused.detail, "one address may hold 5 of the 10 ports, and this one does");
    let mut third = at(server, "203.0.113.3").await;
    third.expect("USER acme", 331).await;
    third.expect(&format!("PASS {PASSWORD}"), 230).await;
    let port = epsv_address(server, &other.expect("EPSV", 229).await.text).port();
    appliance.set(&[&format!("passive_port_range={port}")]);
    third.expect("PASV", 425).await;
    let refused = running
        .until("that one too", async |running| {
            running.refusals().await.into_iter().find(|one| one.remote == "203.0.113.3")
        })
        .await;
    assert_eq!(refused.rule.name(), "no_passive_port", "{refused:?}");
    assert_eq!(refused.detail, format!("none of the ports {port} to {port} is free"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_too_many_strangers_at_one_address_is_told_of_them() {
    let appliance = appliance();
    let running = appliance.start().await;
    let mut waiting = Vec::new();
    for _ in 0..50 {
        waiting.push(at(running.ftp(), "203.0.113.1").await);
    }
    let mut stream = TcpStream::connect(running.ftp()).await.unwrap();
    stream.write_all(b"PROXY TCP4 203.0.113.1 192.0.2.1 40000 21\r\n").await.unwrap();
    assert_eq!(Client::over(stream, running.ftp()).reply().await.code, 421);
    let refused = running.until("it is recorded", async |running| running.refusals().await.into_iter().next()).await;
    assert_eq!(refused.rule.name(), "too_many_not_logged_in", "{refused:?}");
    assert_eq!(refused.rule.setting_key(), None, "more sessions would not help");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_parallel_handshakes_none_is_lost() {
    let appliance = Appliance::untouched();
    let running = appliance.start().await;
    let server = running.ftp();
    let mut shaking = JoinSet::new();
    for n in 0..HANDSHAKES {
        // No more than 25 of one address: strangers have 50 places there.
        let from = Ipv4Addr::new(127, 0, 1, u8::try_from(1 + n / 25).unwrap());
        let version = Version::ALL[n % 2];
        shaking.spawn(async move {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.bind((from, 0).into()).expect("a loopback address");
            let stream = socket.connect(server).await.expect("the server accepts");
            Secured::over(stream, server, (version, None)).await.client.expect("NOOP", 200).await;
        });
    }
    let done = shaking.join_all().await;
    assert_eq!(done.len(), HANDSHAKES);
}

/// Bytes of memory that the process has.
fn resident(running: &Running<'_>) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).expect("the process is there");
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<u64>().ok());
    kib.expect("the system says how large it is") * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_leave_the_process_no_larger_than_their_hashing_needs() {
    const HASH_BYTES: u64 = 20 << 20;
    let appliance = appliance();
    appliance.add("acme", &[]);
    let running = appliance.start().await;
    let server = running.ftp();
    assert_eq!(login(server, "203.0.113.1", ("acme", "a stale password")).await, 530);
    let before = resident(&running);
    let mut tries = JoinSet::new();
    for n in 0..50 {
        tries.spawn(async move { login(server, &format!("198.51.100.{n}"), ("acme", "a stale password")).await });
    }
    assert!(tries.join_all().await.into_iter().all(|code| code == 530));
    let grown = resident(&running).saturating_sub(before);
    // One hash for each core, and as much again for everything else.
    let cores = u64::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
    assert!(grown < 2 * cores.max(2) * HASH_BYTES, "{} MiB for {cores} cores", grown >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_at_once_are_no_more_than_guesses_one_after_the_other() {
    let appliance = appliance();
    appliance.add("acme", &[]);
    appliance.set(&["block_after_failures=4"]);
    let running = appliance.start().await;
    let answers = logins(running.ftp(), "203.0.113.9", "acme", 12).await;
    assert_eq!(answers, [vec![421; 8], vec![530; 4]].concat());
}
