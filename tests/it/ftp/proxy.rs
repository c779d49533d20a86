//! Behind a balancer that speaks the PROXY protocol: the tests are the balancer, by raw sockets.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::kit::{Appliance, Client, PARTNER, PASSWORD, Running};

const V1: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 21\r\n";

fn v2(source: [u8; 4]) -> Vec<u8> {
    let fixed: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f";
    [fixed, &source, &[192, 0, 2, 1], &[0xdc, 4, 0, 21], &[4, 0, 0]].concat()
}

/// A connection from a loopback address of our choice.
async fn from(address: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::from(address), 0).into()).expect("a loopback address");
    socket.connect(to).await.expect("the server accepts")
}

const BALANCER: [u8; 4] = [127, 0, 0, 9];

/// A connection of the balancer with a header; the client that goes on over it has read the greeting.
async fn through(running: &Running<'_>, header: &[u8]) -> Client {
    let mut stream = from(BALANCER, running.ftp()).await;
    stream.write_all(header).await.expect("the server reads");
    let mut client = Client::over(stream, running.ftp());
    assert_eq!(client.reply().await.code, 220);
    client
}

async fn login(client: &mut Client) {
    client.expect(&format!("USER {PARTNER}"), 331).await;
    client.expect(&format!("PASS {PASSWORD}"), 230).await;
    client.expect("TYPE I", 200).await;
}

/// What a connection hears until it is closed.
async fn heard(mut stream: TcpStream, sent: &[u8]) -> String {
    stream.write_all(sent).await.expect("the server reads");
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

fn appliance() -> Appliance {
    let appliance = Appliance::new();
    appliance.set(&["proxy_protocol_from=127.0.0.8/30"]);
    appliance
}

async fn data_port(client: &mut Client, running: &Running<'_>) -> SocketAddr {
    let text = client.expect("EPSV", 229).await.text;
    let port = text.split("|||").nth(1).and_then(|rest| rest.split('|').next()).and_then(|port| port.parse().ok());
    SocketAddr::new(running.ftp().ip(), port.expect("a port"))
}

#[tokio::test(flavor = "multi_thread")]
async fn control_and_data_connections_are_those_of_the_client() {
    let appliance = appliance();
    let running = appliance.start().await;
    for (count, header) in [V1.to_vec(), v2([203, 0, 113, 7])].into_iter().enumerate() {
        let mut client = through(&running, &header).await;
        login(&mut client).await;
        let at = data_port(&mut client, &running).await;
        // Without a header, with another's, and past the balancer: none of them is the client.
        drop(from([127, 0, 0, 1], at).await);
        let mut headless = from(BALANCER, at).await;
        headless.write_all(b"a whole file\r\n").await.unwrap();
        let mut other = from(BALANCER, at).await;
        other.write_all(&v2([203, 0, 113, 8])).await.unwrap();
        let mut own = from(BALANCER, at).await;
        own.write_all(&[&header[..], b"received"].concat()).await.unwrap();
        client.expect(&format!("STOR /Receive/{count}.edi"), 150).await;
        own.shutdown().await.unwrap();
        assert_eq!(client.reply().await.code, 226);
        let receipts = running.receipts(count + 1).await;
        assert_eq!(receipts[count]["remote_address"], "203.0.113.7");
        assert_eq!(
            std::fs::read(appliance.place(PARTNER, "Receive").join(format!("{count}.edi"))).unwrap(),
            b"received"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_judged_by_the_client_and_headers_of_strangers_are_nonsense() {
    let appliance = appliance();
    appliance.say(&["connector", "set", PARTNER, "allowed_addresses=203.0.113.7"]);
    let running = appliance.start().await;
    let mut client = through(&running, V1).await;
    login(&mut client).await;
    let mut other = through(&running, &v2([203, 0, 113, 8])).await;
    other.expect(&format!("USER {PARTNER}"), 331).await;
    other.expect(&format!("PASS {PASSWORD}"), 530).await;
    // The balancer itself: LOCAL, UNKNOWN.
    for header in [&b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"[..], b"PROXY UNKNOWN\r\n"] {
        let mut itself = through(&running, header).await;
        itself.expect(&format!("USER {PARTNER}"), 331).await;
        itself.expect(&format!("PASS {PASSWORD}"), 530).await;
    }
    let said = heard(from([127, 0, 0, 1], running.ftp()).await, &[V1, b"QUIT\r\n"].concat()).await;
    assert!(said.starts_with("220 ") && said.contains("\r\n500 "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balancer_without_a_header_is_closed_and_told_of() {
    let appliance = appliance();
    let running = appliance.start().await;
    for nonsense in [&b"USER acme-edi\r\n"[..], b"PROXY TCP4 nowhere\r\n", b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\0"] {
        let said = heard(from(BALANCER, running.ftp()).await, nonsense).await;
        assert_eq!(said, "", "{nonsense:?}");
    }
    // A look whether somebody is here says nothing.
    drop(from(BALANCER, running.ftp()).await);
    let told = running
        .until("the refusals are recorded", async |running| {
            let told = running.refusals().await;
            (told.iter().map(|one| one.times).sum::<u64>() == 3).then_some(told)
        })
        .await;
    assert!(told.iter().all(|one| one.rule.name() == "proxy_header" && one.remote == "127.0.0.9"), "{told:?}");
    let mut client = through(&running, V1).await;
    login(&mut client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_more_than_headers_are_awaited_of_hears_why_it_is_closed() {
    const HEADERS_MAX: usize = 1_024;
    let appliance = appliance();
    let running = appliance.start().await;
    let mut silent = Vec::new();
    for _ in 0..HEADERS_MAX {
        silent.push(from(BALANCER, running.ftp()).await);
    }
    let said = "421 Too many connections; please try again later.";
    assert_eq!(heard(from(BALANCER, running.ftp()).await, b"").await.trim_end(), said);
    drop(silent);
    let refusal = running.until("it is recorded", async |running| running.refusals().await.into_iter().next()).await;
    assert_eq!((refusal.reply.as_str(), refusal.detail.as_str()), (said, "too many PROXY headers are awaited"));
}
