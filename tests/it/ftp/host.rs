//! HOST (RFC 7151): the certificate of that name, for a client that names nobody in its TLS handshake.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::kit::{Appliance, PARTNER, PASSWORD, Running, Secured, Version, handshake};

/// Reads a reply of one line, byte by byte: nothing behind it is taken.
async fn reply(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n") {
        text.push(stream.read_u8().await.expect("a reply"));
    }
    String::from_utf8(text).expect("a reply in UTF-8")
}

/// The certificate presented after `HOST host`, to a handshake for `name`; and what HOST `then` is answered by.
async fn presented(running: &Running<'_>, host: &str, name: &str, then: &str) -> (Vec<u8>, String) {
    let mut stream = TcpStream::connect(running.ftp()).await.expect("the server accepts");
    reply(&mut stream).await;
    for (line, code) in [(format!("HOST {host}"), "220"), ("AUTH TLS".to_owned(), "234")] {
        stream.write_all(format!("{line}\r\n").as_bytes()).await.expect("the server reads");
        assert!(reply(&mut stream).await.starts_with(code), "{line}");
    }
    let mut secured = handshake(stream, Version::Tls13, name).await.expect("the handshake");
    let certificate = secured.get_ref().1.peer_certificates().expect("a certificate")[0].to_vec();
    secured.write_all(format!("HOST {then}\r\n").as_bytes()).await.expect("the server reads");
    secured.flush().await.expect("the server reads");
    (certificate, reply(&mut secured).await)
}

fn is_for(certificate: &[u8], host: &str) -> bool {
    certificate.windows(host.len()).any(|window| window == host.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn host_chooses_the_certificate_unless_the_handshake_does() {
    let appliance = Appliance::new();
    for (name, host) in [("one", "one.example"), ("two", "two.example")] {
        appliance.say(&["certificate", "self-signed", name, "--host", host]);
    }
    appliance.set(&["certificates=one,two"]);
    let running = appliance.start().await;
    // An address is no name: the handshake has none.
    for (host, wanted) in
        [("two.example", "two.example"), ("TWO.example.", "two.example"), ("other.example", "one.example")]
    {
        let (certificate, then) = presented(&running, host, "127.0.0.1", "two.example").await;
        assert!(is_for(&certificate, wanted), "after HOST {host}");
        assert!(then.starts_with("220"), "{then}");
    }
    let (certificate, then) = presented(&running, "two.example", "one.example", "two.example").await;
    assert!(is_for(&certificate, "one.example"), "the name of the handshake goes first");
    assert!(then.starts_with("504"), "TLS was set up for another name: {then}");
    let (_, then) = presented(&running, "two.example", "two.example", "Two.Example").await;
    assert!(then.starts_with("220"), "{then}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_connection_that_names_no_host_gets_the_certificate_of_its_control_connection() {
    let appliance = Appliance::new();
    for (name, host) in [("one", "one.example"), ("here", "localhost")] {
        appliance.say(&["certificate", "self-signed", name, "--host", host]);
    }
    appliance.set(&["certificates=one,here"]);
    let running = appliance.start().await;
    for version in Version::ALL {
        // Its handshake named localhost; PASV hands out an address.
        let mut partner = Secured::login(running.ftp(), version, (PARTNER, PASSWORD)).await;
        for (line, name, wanted) in [
            ("STOR /Receive/by-address.edi", "127.0.0.1", "localhost"),
            ("LIST /Receive", "127.0.0.1", "localhost"),
            ("STOR /Receive/by-name.edi", "one.example", "one.example"),
        ] {
            let data = partner.client.begin(line).await.expect("it begins");
            let mut data = handshake(data, version, name).await.expect("the handshake");
            let certificate = data.get_ref().1.peer_certificates().expect("a certificate")[0].to_vec();
            assert!(is_for(&certificate, wanted), "{version:?}: {line}");
            data.shutdown().await.expect("the server reads");
            let _ = data.read_to_end(&mut Vec::new()).await;
            assert_eq!(partner.client.reply().await.code, 226, "{version:?}: {line}");
        }
    }
}
