//! Webhooks (PRODUCT section 10): a signed POST, to an address that was looked up once, checked, and then connected to.
//! No redirects, no proxy.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::redirect::Policy;
use reqwest::{Response, Url};
use rustls::ClientConfig;
use sha2::Sha256;
use tokio::time::Instant;

use super::attempt::{ANSWER_BYTES, Attempt, Outcome, Shipment};
use super::payload;
use crate::access::hosts;
use crate::access::outbound::{self, words};
use crate::base::hex::hex;
use crate::base::secret::Secret;
use crate::domain::reach::is_public;
use crate::domain::value::{Networks, WebhookBody};
use crate::workspace::download::Source;

/// How long one attempt may take, from the name lookup to the status of the answer.
pub const WITHIN: Duration = Duration::from_secs(30);
/// How long to wait for the text of an answer after its status, which alone decides.
const TEXT_WITHIN: Duration = Duration::from_secs(2);
/// A file may take longer, as long as it moves at least this fast.
const FILE_BYTES_PER_S_MIN: u64 = 1024 * 1024;
/// Bytes of a file read at a time.
const STEP_BYTES: usize = 256 * 1024;

/// An address for posts.
#[derive(Clone, Copy, Debug)]
pub struct Webhook<'a> {
    /// Where.
    pub url: &'a Url,
    /// The signing secret.
    pub secret: &'a Secret,
    /// What is sent.
    pub body: WebhookBody,
    /// Non-public addresses that may be reached.
    pub networks: &'a Networks,
}

/// Posts; cheap to clone.
#[derive(Clone, Debug)]
pub struct Poster {
    tls: ClientConfig,
}

/// What is sent.
enum Body {
    Event(String),
    File(Source),
}

impl Poster {
    /// Trusts the authorities that this machine trusts; if it has none, that is logged, and it trusts nobody.
    pub fn new() -> Result<Self, rustls::Error> {
        Ok(Self { tls: outbound::tls("Webhooks")? })
    }

    /// One attempt. `file` is the shipment's, if the webhook wants it.
    pub async fn post(&self, to: &Webhook<'_>, shipment: &Shipment, file: Option<Source>) -> Attempt {
        let (body, most) = match (to.body, file) {
            (WebhookBody::File, Some(file)) => {
                let more = file.version().size_bytes / FILE_BYTES_PER_S_MIN;
                (Body::File(file), WITHIN + Duration::from_secs(more))
            }
            (WebhookBody::File, None) => {
                return Attempt::retry("The bytes of the file are not there any more".to_owned());
            }
            (WebhookBody::Event, _) => (Body::Event(payload::json(shipment)), WITHIN),
        };
        match tokio::time::timeout(most, self.send(to, shipment, body)).await {
            Ok(Ok(response)) => read(response).await,
            Ok(Err(why)) => Attempt::retry(why),
            Err(_) => Attempt::retry(format!("No answer within {} s", most.as_secs())),
        }
    }

    async fn send(&self, to: &Webhook<'_>, shipment: &Shipment, body: Body) -> Result<Response, String> {
        let (host, addresses) = reach(to.url, to.networks).await?;
        let mut client = reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .tls_backend_preconfigured(self.tls.clone());
        // A name is not looked up again: the answer could have changed.
        if host.parse::<IpAddr>().is_err() {
            client = client.resolve_to_addrs(&host, &addresses);
        }
        let client = client.build().map_err(|error| words(&error))?;
        let timestamp = (shipment.at.us() / 1_000_000).to_string();
        let request = client
            .post(to.url.clone())
            .header("Waybill-Event", shipment.event.kind.name())
            .header("Waybill-Event-Id", shipment.event.id.as_str())
            .header("Waybill-Attempt", shipment.attempt)
            .header("Waybill-Timestamp", &timestamp);
        let request = match body {
            Body::Event(json) => {
                let mut mac = begin(to.secret, &timestamp);
                mac.update(json.as_bytes());
                request.header("Waybill-Signature", signature(mac)).header(CONTENT_TYPE, "application/json").body(json)
            }
            Body::File(file) => {
                let mac = begin(to.secret, &timestamp);
                let signature = sign_file(mac, file.clone()).await.map_err(|error| error.to_string())?;
                request
                    .header("Waybill-Signature", signature)
                    .header(CONTENT_TYPE, "application/octet-stream")
                    .header(CONTENT_DISPOSITION, disposition(shipment))
                    .header(CONTENT_LENGTH, file.version().size_bytes)
                    .body(reqwest::Body::wrap_stream(steps(file)))
            }
        };
        request.send().await.map_err(|error| words(&error))
    }
}

/// The answer: 2xx is delivered, 410 wants no more, anything else is retried.
async fn read(mut response: Response) -> Attempt {
    let status = response.status();
    let outcome = match status.as_u16() {
        200..=299 => Outcome::Delivered,
        410 => Outcome::Stopped,
        _ => Outcome::Retry,
    };
    let mut answer = status.to_string().into_bytes();
    answer.push(b'\n');
    // Whether and when the rest of an answer arrives does not matter: the receiver has decided.
    let until = Instant::now() + TEXT_WITHIN;
    while answer.len() < ANSWER_BYTES {
        let Ok(Ok(Some(chunk))) = tokio::time::timeout_at(until, response.chunk()).await else { break };
        answer.extend_from_slice(&chunk);
    }
    answer.truncate(ANSWER_BYTES);
    Attempt::new(outcome, String::from_utf8_lossy(&answer).trim_end().replace('\0', "\u{fffd}"))
}

/// The host, and those of its addresses that may be reached.
async fn reach(url: &Url, networks: &Networks) -> Result<(String, Vec<SocketAddr>), String> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let found = hosts::look_up(&host, hosts::WITHIN).await?;
    let may = |address: &&IpAddr| is_public(**address) || networks.contains(**address);
    let allowed: Vec<_> = found.iter().filter(may).map(|address| SocketAddr::new(*address, port)).collect();
    match (allowed.is_empty(), found.first()) {
        (false, _) => Ok((host, allowed)),
        (true, Some(address)) => {
            let ip = address.to_canonical();
            let bits = if ip.is_ipv4() { 32 } else { 128 };
            Err(format!(
                "{host} is {ip}, which is no address of the internet; to allow it, add {ip}/{bits} to Networks that \
                 webhooks may reach, in Settings"
            ))
        }
        (true, None) => Err(format!("{host} has no address")),
    }
}

fn begin(secret: &Secret, timestamp: &str) -> Hmac<Sha256> {
    // HMAC takes a key of any length.
    let mut mac = match Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()) {
        Ok(mac) => mac,
        Err(error) => unreachable!("{error}"),
    };
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac
}

fn signature(mac: Hmac<Sha256>) -> String {
    format!("v1={}", hex(&mac.finalize().into_bytes()))
}

async fn sign_file(mut mac: Hmac<Sha256>, file: Source) -> std::io::Result<String> {
    let signed = tokio::task::spawn_blocking(move || {
        let (mut buffer, mut offset) = (vec![0; STEP_BYTES], 0);
        loop {
            let count = file.read_at(&mut buffer, offset)?;
            if count == 0 {
                return Ok(signature(mac));
            }
            mac.update(&buffer[..count]);
            offset += count as u64;
        }
    });
    signed.await.map_err(std::io::Error::other)?
}

/// A file in steps, each read on a thread that may wait for the disk.
fn steps(file: Source) -> impl futures_util::Stream<Item = std::io::Result<Vec<u8>>> {
    futures_util::stream::try_unfold((file, 0_u64), async |(file, offset)| {
        let read = tokio::task::spawn_blocking(move || {
            let mut buffer = vec![0; STEP_BYTES];
            let count = file.read_at(&mut buffer, offset)?;
            buffer.truncate(count);
            Ok::<_, std::io::Error>((buffer, file))
        });
        let (buffer, file) = read.await.map_err(std::io::Error::other)??;
        let next = offset + buffer.len() as u64;
        Ok((!buffer.is_empty()).then_some((buffer, (file, next))))
    })
}

/// The file's name, for receivers that keep it (RFC 6266, with RFC 8187 for non-ASCII).
fn disposition(shipment: &Shipment) -> String {
    let name = shipment.receipt.as_ref().map_or("", |receipt| receipt.name.as_str());
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&hex(&[byte]).to_uppercase());
        }
    }
    format!("attachment; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::base::clock::{Clock, Timestamp};
    use crate::base::id::{EventId, IdSource};
    use crate::domain::event::EventKind;
    use crate::domain::setting::Value;
    use crate::store::event::Event;

    const AT: Timestamp = Timestamp::from_us(1_800_000_000_500_000);

    fn shipment() -> Shipment {
        let ids = IdSource::seeded(Clock::fixed(AT), 1);
        let event = Event::new(&ids, EventKind::AfterReceive, AT, "Received /Receive/a");
        Shipment { event: Event { id: EventId::new(&ids), ..event }, receipt: None, attempt: 3, at: AT }
    }

    /// Answers one request with those bytes; returns the request.
    async fn receiver(answer: Vec<u8>) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://127.0.0.1:{}/in?x=1", listener.local_addr().unwrap().port());
        let request = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            loop {
                let mut buffer = [0; 4_096];
                let count = stream.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..count]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
                let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
                if count == 0 || (body.is_some() && body >= length.and_then(|length| length.parse().ok())) {
                    stream.write_all(&answer).await.unwrap();
                    return text;
                }
            }
        });
        (url, request)
    }

    async fn post(url: &str, networks: &str) -> Attempt {
        let (url, networks) = (Url::parse(url).unwrap(), Networks::parse(networks).unwrap());
        let secret = Secret::new("a long enough secret");
        let webhook = Webhook { url: &url, secret: &secret, body: WebhookBody::Event, networks: &networks };
        Poster::new().unwrap().post(&webhook, &shipment(), None).await
    }

    #[test]
    fn the_signature_is_that_of_timestamp_point_and_body() {
        // RFC 4231, test case 2, contains no point: its key and text, cut where the point would be.
        let mut mac = Hmac::<Sha256>::new_from_slice(b"Jefe").unwrap();
        mac.update(b"what do ya want for nothing?");
        let known = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature(mac), format!("v1={known}"));
        let secret = Secret::new("key");
        let mut ours = begin(&secret, "1800000000");
        ours.update(b"{}");
        let mut whole = Hmac::<Sha256>::new_from_slice(b"key").unwrap();
        whole.update(b"1800000000.{}");
        assert_eq!(signature(ours), signature(whole));
    }

    #[tokio::test]
    async fn an_event_is_posted_with_its_headers_and_signature() {
        let (url, request) = receiver(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()).await;
        let attempt = post(&url, "127.0.0.1").await;
        assert_eq!(attempt, Attempt { outcome: Outcome::Delivered, answer: "204 No Content".to_owned() });
        let request = request.await.unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /in?x=1 HTTP/1.1\r\n"), "{head}");
        let header = |name: &str| {
            let line = head.lines().find_map(|line| line.split_once(": ").filter(|(key, _)| *key == name));
            line.unwrap_or_else(|| panic!("no {name} in {head}")).1
        };
        assert_eq!((header("waybill-event"), header("waybill-attempt")), ("after_receive", "3"));
        assert_eq!(header("waybill-event-id"), shipment().event.id.as_str());
        assert_eq!((header("waybill-timestamp"), header("content-type")), ("1800000000", "application/json"));
        let mut mac = begin(&Secret::new("a long enough secret"), "1800000000");
        mac.update(body.as_bytes());
        assert_eq!(header("waybill-signature"), signature(mac));
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["version"], &body["kind"]), (&1.into(), &"after_receive".into()));
        assert_eq!(body["receipt"], serde_json::Value::Null);
    }

    #[tokio::test]
    async fn what_the_receiver_says_decides() {
        for (answer, outcome, shown) in [
            ("HTTP/1.1 410 Gone\r\ncontent-length: 4\r\n\r\nstop", Outcome::Stopped, "410 Gone\nstop"),
            ("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n", Outcome::Retry, "302 Found"),
            ("HTTP/1.1 500 Internal Server Error\r\n\r\n", Outcome::Retry, "500 Internal Server Error"),
            ("no answer at all", Outcome::Retry, "No answer"),
        ] {
            let (url, request) = receiver(answer.as_bytes().to_vec()).await;
            let attempt = post(&url, "127.0.0.0/8").await;
            assert_eq!(attempt.outcome, outcome, "{answer}");
            assert!(attempt.answer.starts_with(shown), "{answer}: {}", attempt.answer);
            request.await.unwrap();
        }
        let long = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(100_000));
        let (url, request) = receiver(long.into_bytes()).await;
        let attempt = post(&url, "127.0.0.1").await;
        assert_eq!((attempt.outcome, attempt.answer.len()), (Outcome::Delivered, ANSWER_BYTES));
        request.abort();
    }

    #[tokio::test]
    async fn a_receiver_has_decided_with_its_status_however_slowly_it_goes_on() {
        for (status, outcome) in [("200 OK", Outcome::Delivered), ("410 Gone", Outcome::Stopped)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://127.0.0.1:{}/", listener.local_addr().unwrap().port());
            let slow = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = String::new();
                while !request.ends_with('}') {
                    let mut buffer = [0; 4_096];
                    let count = stream.read(&mut buffer).await.unwrap();
                    request.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
                }
                let head = format!("HTTP/1.1 {status}\r\ncontent-length: 100\r\n\r\nso");
                stream.write_all(head.as_bytes()).await.unwrap();
                // It never sends the rest.
                std::future::pending::<()>().await;
            });
            let attempt = post(&url, "127.0.0.1").await;
            assert_eq!((attempt.outcome, attempt.answer), (outcome, format!("{status}\nso")));
            slow.abort();
        }
    }

    #[tokio::test]
    async fn what_is_not_public_is_not_reached_unless_it_is_named() {
        for url in ["http://127.0.0.1:9/", "http://localhost:9/", "http://[::1]:9/", "http://[::ffff:127.0.0.1]:9/"] {
            let attempt = post(url, "10.0.0.0/8").await;
            assert_eq!(attempt.outcome, Outcome::Retry);
            assert!(attempt.answer.contains("add ") && attempt.answer.contains("in Settings"), "{}", attempt.answer);
        }
        assert!(post("http://127.0.0.1:9/", "127.0.0.1").await.answer.starts_with("Could not connect"));
    }
}
