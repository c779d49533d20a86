//! `health`: asks the FTP and the web listener, as a container's health check does, and whether the data folder can be
//! written to. It leaves the database to the server, because it runs every half minute.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::settings::unbound;
use super::verb::{Desk, Failure};
use crate::domain::profile::Profile;
use crate::store::listener::{self, Listener, ListenerState};
use crate::store::profile;

/// How long one listener may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// Bytes that must fit into the data folder: more than the database writes at a time.
const WRITE_BYTES: usize = 256 * 1024;
/// Bytes of an answer that are examined.
const ANSWER_BYTES_MAX: usize = 512;

pub(super) async fn run(desk: &mut Desk<'_>) -> Result<(), Failure> {
    let ftp = listener::get(&desk.db, Listener::Ftp).await?;
    let web = listener::get(&desk.db, Listener::Web).await?;
    let implicit = is_implicit(desk).await?;
    let answers = [
        ("FTP server", check(&ftp, if implicit { Question::Connect } else { Question::Banner }).await),
        ("web interface", check(&web, Question::Healthz).await),
    ];
    let mut problems = Vec::new();
    for (name, answer) in answers {
        match answer {
            Ok(at) => writeln!(desk.out, "The {name} answers at {at}.")?,
            Err(why) => problems.push(format!("The {name} does not answer: {why}")),
        }
    }
    // Otherwise no upload is accepted and nothing is saved, whoever answers.
    if let Err(error) = try_write(desk.data) {
        problems.push(format!("Nothing can be written to {}: {error}", desk.data.display()));
    }
    if problems.is_empty() { Ok(()) } else { Err(Failure::Failed(problems.join("\n"))) }
}

/// Writes a nameless file that vanishes at once.
fn try_write(data: &Path) -> std::io::Result<()> {
    let mut file = tempfile::tempfile_in(data)?;
    file.write_all(&vec![0; WRITE_BYTES])?;
    file.sync_data()
}

async fn is_implicit(desk: &Desk<'_>) -> Result<bool, Failure> {
    let stored = profile::load(&desk.db).await?;
    let default = || Profile::SETTINGS.iter().find(|setting| setting.key == "ftp_over_tls").map_or("", |s| s.default);
    Ok(stored.texts.get("ftp_over_tls").map_or_else(default, String::as_str) == "implicit")
}

/// The question to a listener.
#[derive(Clone, Copy)]
enum Question {
    /// Whether it accepts a connection: TLS from the first byte has no plaintext banner.
    Connect,
    /// FTP's greeting.
    Banner,
    /// `GET /healthz`.
    Healthz,
}

async fn check(state: &ListenerState, question: Question) -> Result<SocketAddr, String> {
    if state.address.is_empty() {
        let words = unbound(state);
        return Err(if words.is_empty() { "it is not running.".to_owned() } else { words });
    }
    let bound: SocketAddr = state.address.parse().map_err(|_| format!("{} is no address.", state.address))?;
    let mut why = String::new();
    for address in reachable(bound) {
        match tokio::time::timeout(ANSWER_WITHIN, ask(address, question)).await {
            Ok(Ok(())) => return Ok(address),
            Ok(Err(error)) => why = format!("{address}: {error}."),
            Err(_) => why = format!("{address}: nothing came within {} seconds.", ANSWER_WITHIN.as_secs()),
        }
    }
    Err(why)
}

/// Where this machine reaches a listener: one on every address is asked on loopback.
fn reachable(bound: SocketAddr) -> Vec<SocketAddr> {
    let at = |ip| SocketAddr::new(ip, bound.port());
    match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => vec![at(Ipv4Addr::LOCALHOST.into())],
        IpAddr::V6(ip) if ip.is_unspecified() => vec![at(Ipv6Addr::LOCALHOST.into()), at(Ipv4Addr::LOCALHOST.into())],
        _ => vec![bound],
    }
}

async fn ask(address: SocketAddr, question: Question) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let expected: &[&str] = match question {
        Question::Connect => return Ok(()),
        Question::Banner => &["220 ", "220-"],
        Question::Healthz => {
            let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            // With HTTPS, a plaintext request is redirected: that is an answer all the same.
            &["HTTP/1.1 200", "HTTP/1.1 308"]
        }
    };
    let longest = expected.iter().map(|text| text.len()).max().unwrap_or(0);
    let mut answer = Vec::with_capacity(ANSWER_BYTES_MAX);
    while answer.len() < longest && stream.read_buf(&mut answer).await? > 0 {}
    if expected.iter().any(|text| answer.starts_with(text.as_bytes())) {
        if matches!(question, Question::Banner) {
            stream.write_all(b"QUIT\r\n").await?;
        }
        return Ok(());
    }
    let first = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
    Err(std::io::Error::other(format!("it answered {first:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::cli::verb::tests::{refused, say};
    use crate::store::Db;
    use crate::store::listener::State;
    use tokio::net::TcpListener;

    /// Listens once and answers everybody with `text`.
    async fn answering(text: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let _ = stream.write_all(text.as_bytes()).await;
                    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                });
            }
        });
        address
    }

    fn listening(address: SocketAddr) -> ListenerState {
        ListenerState {
            state: State::Listening,
            address: address.to_string(),
            message: String::new(),
            since: Timestamp::default(),
            followed_version: 1,
        }
    }

    #[tokio::test]
    async fn health_asks_both_listeners() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let words = refused(data, &["health"]).await;
        assert_eq!(words.matches("it is not running").count(), 2, "{words}");

        let db = Db::open(data).await.unwrap();
        let ftp = answering("220 Welcome\r\n").await;
        let web = answering("HTTP/1.1 200 OK\r\n\r\n").await;
        listener::put(&db, Listener::Ftp, &listening(ftp)).await.unwrap();
        listener::put(&db, Listener::Web, &listening(web)).await.unwrap();
        let said = say(data, &["health"], "").await.unwrap();
        assert!(said.contains(&ftp.to_string()) && said.contains(&web.to_string()), "{said}");

        let full = answering("421 Too many sessions\r\n").await;
        listener::put(&db, Listener::Ftp, &listening(full)).await.unwrap();
        let words = refused(data, &["health"]).await;
        assert!(words.contains("421 Too many sessions") && !words.contains("web interface"), "{words}");
    }

    #[test]
    fn a_folder_that_takes_no_write_is_told() {
        let folder = tempfile::tempdir().unwrap();
        try_write(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        try_write(&folder.path().join("none")).unwrap_err();
    }

    #[test]
    fn a_listener_for_every_address_is_asked_on_the_loopback() {
        assert_eq!(reachable("0.0.0.0:21".parse().unwrap()), ["127.0.0.1:21".parse().unwrap()]);
        assert_eq!(reachable("[::]:21".parse().unwrap()).len(), 2);
        assert_eq!(reachable("192.0.2.1:21".parse().unwrap()), ["192.0.2.1:21".parse().unwrap()]);
    }
}
