//! The web interface over HTTPS: on and off by a setting, live.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use waybill::store::listener::Listener;

use crate::kit::{Appliance, Running, Version, handshake, sha256};

const REQUEST: &[u8] = b"GET /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
/// Names that are not this server's, the last two dressed up as one of its own.
const FOREIGN: [&str; 3] = ["evil.example", "127.0.0.1:80@evil.example", "localhost.evil.example:8020"];

async fn connect(running: &Running<'_>) -> TcpStream {
    let address = running.state(Listener::Web).await.address;
    TcpStream::connect(address).await.expect("the web interface accepts")
}

async fn in_clear(running: &Running<'_>) -> String {
    ask(running, REQUEST).await
}

async fn ask(running: &Running<'_>, request: &[u8]) -> String {
    let mut stream = connect(running).await;
    stream.write_all(request).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    answer
}

/// The answer over HTTPS and the SHA-256 of the certificate presented; an error when there is no TLS.
async fn by_https(running: &Running<'_>) -> std::io::Result<(String, String)> {
    let mut stream = handshake(connect(running).await, Version::Tls13, "localhost").await?;
    let certificate = stream.get_ref().1.peer_certificates().map(|chain| sha256(&chain[0])).unwrap_or_default();
    stream.write_all(REQUEST).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok((answer, certificate))
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_switched_on_with_a_certificate_of_its_own_and_off_again() {
    let appliance = Appliance::untouched();
    let running = appliance.start().await;
    let clear = in_clear(&running).await;
    assert!(clear.starts_with("HTTP/1.1 3") && !clear.to_lowercase().contains("strict-transport"), "{clear}");
    assert!(clear.contains("waybill_visit=") && !clear.contains("Secure"), "{clear}");

    appliance.say(&["settings", "set", "web_https=on"]);
    let (answer, first) = running.until("HTTPS is on", async |running| by_https(running).await.ok()).await;
    assert!(answer.to_lowercase().contains("strict-transport-security: max-age="), "{answer}");
    assert!(answer.contains("waybill_visit=") && answer.contains("; Secure"), "{answer}");
    let led = in_clear(&running).await;
    assert!(led.starts_with("HTTP/1.1 308") && led.contains("location: https://127.0.0.1/sign-in\r\n"), "{led}");
    assert!(!led.to_lowercase().contains("strict-transport"), "{led}");
    for host in FOREIGN {
        let request = format!("GET /sign-in HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let led = ask(&running, request.as_bytes()).await;
        assert!(led.starts_with("HTTP/1.1 421") && !led.to_lowercase().contains("location:"), "{host}: {led}");
    }
    assert!(appliance.say(&["health"]).contains("web interface answers"));

    let unknown = appliance.cli(&["settings", "set", "web_certificates=web"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("There is no certificate web"), "{unknown:?}");
    appliance.say(&["certificate", "self-signed", "web", "--host", "localhost"]);
    appliance.say(&["settings", "set", "web_certificates=web"]);
    let swapped = async |running: &Running<'_>| by_https(running).await.ok().filter(|(_, now)| *now != first);
    running.until("its own certificate is presented", swapped).await;
    let used = appliance.cli(&["certificate", "remove", "web"]);
    assert!(String::from_utf8_lossy(&used.stderr).contains("The web interface presents web"), "{used:?}");

    appliance.say(&["settings", "set", "web_https=off"]);
    let off = async |running: &Running<'_>| in_clear(running).await.contains("waybill_visit=").then_some(());
    running.until("HTTPS is off", off).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_this_machine_in_clear_must_be_said_aloud() {
    let appliance = Appliance::untouched();
    assert!(appliance.say(&["settings", "show"]).contains("web_https=off"));
    let running = appliance.start_at("0.0.0.0:0").await;
    by_https(&running).await.expect("it is encrypted whatever the setting says");
    let led = in_clear(&running).await;
    assert!(led.starts_with("HTTP/1.1 308"), "{led}");
    let log = running.log();
    assert!(log.contains("web_https=on") && log.contains("--web-plain"), "{log}");
}
