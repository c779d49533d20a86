//! TLS on control and data connections, in both versions.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::kit::{Appliance, PARTNER, PASSWORD, Running, Secured, Version, handshake, sha256};

/// Partners of the default settings: TLS for login and data.
fn appliance() -> Appliance {
    let appliance = Appliance::untouched();
    appliance.add(PARTNER, &[]);
    appliance
}

#[tokio::test(flavor = "multi_thread")]
async fn data_connections_shake_hands_before_or_after_their_command() {
    let appliance = appliance();
    let running = appliance.start().await;
    for version in Version::ALL {
        let mut partner = Secured::login(running.ftp(), version, (PARTNER, PASSWORD)).await;
        assert_eq!(partner.put("STOR /Receive/after.edi", b"after").await.code, 226, "{version:?}");

        // The handshake ends while the server knows of no command.
        let early = partner.client.data().await;
        let mut early = partner.shake(early).await.unwrap();
        assert_eq!(early.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Resumed), "{version:?}");
        early.write_all(b"bef").await.unwrap();
        partner.client.expect("STOR /Receive/before.edi", 150).await;
        early.write_all(b"ore").await.unwrap();
        early.shutdown().await.unwrap();
        assert_eq!(partner.client.reply().await.code, 226, "{version:?}");

        let early = partner.client.data().await;
        let mut early = partner.shake(early).await.unwrap();
        partner.client.expect("RETR /Receive/before.edi", 150).await;
        let mut fetched = Vec::new();
        early.read_to_end(&mut fetched).await.unwrap();
        assert_eq!(fetched, b"before", "{version:?}");
        assert_eq!(partner.client.reply().await.code, 226, "{version:?}");
        assert_eq!(partner.fetch("RETR /Receive/after.edi").await.unwrap(), b"after", "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_killed_over_clear_data_publishes_nothing() {
    let appliance = appliance();
    appliance.set(&["require_tls=login"]);
    let running = appliance.start().await;
    for version in Version::ALL {
        let mut partner = Secured::login(running.ftp(), version, (PARTNER, PASSWORD)).await;
        partner.client.expect("PROT C", 200).await;
        let mut data = partner.client.begin("STOR /Receive/half.edi").await.unwrap();
        data.write_all(b"half").await.unwrap();
        running
            .until("it has arrived", async |_| {
                partner.client.expect("STAT", 211).await.text.contains(": 4 bytes so far").then_some(())
            })
            .await;
        // Its kernel closes both and says no farewell.
        drop(partner);
        drop(data);
        let mut partner = Secured::login(running.ftp(), version, (PARTNER, PASSWORD)).await;
        running
            .until("it is unfinished", async |_| {
                // While it still runs, or once it is a file, it is not.
                let size = partner.client.send("SIZE /Receive/half.edi").await;
                (size.code == 213).then_some(())
            })
            .await;
        assert!(!appliance.place(PARTNER, "Receive").join("half.edi").exists(), "{version:?}");
        partner.client.expect("DELE /Receive/half.edi", 250).await;
    }
    assert!(appliance.receipts(PARTNER).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proof_is_that_of_the_data_connection() {
    let appliance = appliance();
    appliance.set(&["require_tls=login"]);
    let running = appliance.start().await;
    let mut partner = Secured::login(running.ftp(), Version::Tls13, (PARTNER, PASSWORD)).await;
    assert_eq!(partner.put("STOR /Receive/private.edi", b"a").await.code, 226);
    partner.client.expect("PROT C", 200).await;
    partner.client.store("/Receive/clear.edi", b"a").await;
    let receipts = running.receipts(2).await;
    let proofs: Vec<_> = receipts.iter().map(|receipt| (receipt["name"].as_str(), receipt["proof"].as_str())).collect();
    assert_eq!(proofs, [(Some("private.edi"), Some("B")), (Some("clear.edi"), Some("C"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_connection_that_is_not_used_is_closed_with_its_port() {
    let appliance = appliance();
    let running = appliance.start().await;
    let mut partner = Secured::login(running.ftp(), Version::Tls13, (PARTNER, PASSWORD)).await;
    let early = partner.client.data().await;
    let mut early = partner.shake(early).await.unwrap();
    // Another port is asked for: the first one and who came there are let go.
    assert_eq!(partner.put("STOR /Receive/other.edi", b"other").await.code, 226);
    assert_eq!(early.read(&mut [0]).await.ok().unwrap_or(0), 0);
    // Nonsense instead of a handshake is the end of that transfer only.
    let mut nonsense = partner.client.data().await;
    nonsense.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    partner.client.expect("STOR /Receive/nonsense.edi", 150).await;
    assert_eq!(partner.client.reply().await.code, 425);
    assert_eq!(partner.put("STOR /Receive/again.edi", b"again").await.code, 226);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_connection_must_resume_its_own_session_where_that_is_required() {
    let appliance = appliance();
    appliance.set(&["tls_session_reuse=require"]);
    let running = appliance.start().await;
    for version in Version::ALL {
        let mut partner = Secured::login(running.ftp(), version, (PARTNER, PASSWORD)).await;
        let other = Secured::login(running.ftp(), version, (PARTNER, PASSWORD)).await;
        assert_eq!(partner.put("STOR /Receive/own.edi", b"own").await.code, 226, "{version:?}");
        partner.resume_of(&other);
        let refused = partner.put("STOR /Receive/foreign.edi", b"foreign").await;
        assert_eq!(refused.code, 522, "{version:?}: {}", refused.text);
        assert!(refused.text.contains("resume the TLS session"), "{}", refused.text);
        // It did once: of TLS 1.3 a client may have no ticket left.
        let words = if version == Version::Tls13 { "an earlier one did" } else { "turn on TLS session reuse" };
        assert!(refused.text.contains(words), "{version:?}: {}", refused.text);
        // The session of the refused connection is worth nothing, here where the client is early.
        let early = partner.client.data().await;
        let _early = partner.shake(early).await.unwrap();
        partner.client.expect("STOR /Receive/foreign.edi", 150).await;
        assert_eq!(partner.client.reply().await.code, 522, "{version:?}");
    }
    assert!(!appliance.place(PARTNER, "Receive").join("foreign.edi").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_spends_each_ticket_once_has_enough_for_hundreds_of_uploads() {
    let appliance = appliance();
    appliance.say(&["connector", "set", PARTNER, "tls_session_reuse=require"]);
    let running = appliance.start().await;
    let mut partner = Secured::login_saving(running.ftp(), (PARTNER, PASSWORD)).await;
    for number in 0..240 {
        let reply = partner.put("STOR /Receive/again.edi", b"again").await;
        assert_eq!(reply.code, 226, "upload {number}: {}", reply.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_in_clear_behind_auth_closes_the_connection() {
    let appliance = appliance();
    let running = appliance.start().await;
    let mut stream = TcpStream::connect(running.ftp()).await.unwrap();
    stream.write_all(b"AUTH TLS\r\nUSER acme-edi\r\n").await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("220 ") && !said.contains("331"), "{said}");
}

/// A connection after these lines in clear, of which the last is `AUTH TLS`.
async fn begin_tls(running: &Running<'_>, lines: &str) -> TcpStream {
    let mut stream = TcpStream::connect(running.ftp()).await.expect("the server accepts");
    stream.write_all(lines.as_bytes()).await.expect("the server reads");
    let mut heard = Vec::new();
    while !heard.ends_with(b"234 Please begin the TLS handshake.\r\n") {
        heard.push(stream.read_u8().await.expect("a reply"));
    }
    stream
}

/// Shakes hands as a client does that names no host.
async fn shake_without_name(stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
    handshake(stream, Version::Tls12, "127.0.0.1").await
}

/// The SHA-256 of the certificate presented after these lines to a client that names no host.
async fn presented_after(running: &Running<'_>, lines: &str) -> String {
    let secured = shake_without_name(begin_tls(running, lines).await).await.expect("the handshake");
    secured.get_ref().1.peer_certificates().map(|chain| sha256(&chain[0])).expect("a certificate")
}

#[tokio::test(flavor = "multi_thread")]
async fn host_chooses_the_certificate_where_the_handshake_names_none() {
    let appliance = Appliance::untouched();
    for name in ["one", "two"] {
        appliance.say(&["certificate", "self-signed", name, "--host", &format!("{name}.example")]);
    }
    appliance.set(&["certificates=one,two"]);
    let running = appliance.start().await;
    let usual = presented_after(&running, "AUTH TLS\r\n").await;
    assert_eq!(presented_after(&running, "HOST one.example\r\nAUTH TLS\r\n").await, usual);
    assert_ne!(presented_after(&running, "HOST two.example\r\nAUTH TLS\r\n").await, usual);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_handshake_is_explained() {
    let appliance = appliance();
    appliance.set(&["tls_protocols=1.3"]);
    let running = appliance.start().await;
    let mut clear = begin_tls(&running, "AUTH TLS\r\n").await;
    clear.write_all(b"USER acme-edi\r\n").await.unwrap();
    let _ = clear.read_to_end(&mut Vec::new()).await;
    // Equal ones are one row, which tells of the first.
    let recorded = async |times| {
        let told = async |running: &Running<'_>| {
            let told = running.refusals().await;
            (!told.is_empty() && told[0].times == times).then_some(told)
        };
        running.until("the refusal is recorded", told).await
    };
    recorded(1).await;
    // TLS 1.2 where only 1.3 is on.
    assert!(shake_without_name(begin_tls(&running, "AUTH TLS\r\n").await).await.is_err());
    let told = recorded(2).await;
    assert_eq!(told[0].rule.name(), "tls_handshake_failed");
    assert!(told[0].detail.contains("spoke in clear"), "{}", told[0].detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passive_port_that_no_transfer_uses_is_free_at_once() {
    let appliance = Appliance::new();
    appliance.set(&[&format!("passive_port_range={}", crate::kit::free_port())]);
    let running = appliance.start().await;
    let mut secured = Secured::login(running.ftp(), Version::Tls13, (PARTNER, PASSWORD)).await;
    for _ in 0..20 {
        secured.client.expect("PASV", 227).await;
        secured.client.expect("EPSV", 229).await;
        secured.client.expect("ABOR", 226).await;
        secured.client.expect("EPSV", 229).await;
        secured.client.expect("RETR /Send/missing.edi", 550).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tls_does_not_protect_is_refused_in_its_own_words() {
    let appliance = Appliance::new();
    let running = appliance.start().await;
    let mut secured = Secured::login(running.ftp(), Version::Tls13, (PARTNER, PASSWORD)).await;
    for (line, code) in [("CCC", 534), ("PROT S", 536), ("PROT E", 536), ("TYPE E", 504)] {
        secured.client.expect(line, code).await;
    }
    let refusals = running
        .until("each is recorded", async |running| {
            let all = running.refusals().await;
            (all.iter().map(|one| one.times).sum::<u64>() == 4).then_some(all)
        })
        .await;
    let mut rules: Vec<_> = refusals.iter().map(|one| (one.rule.name(), one.times)).collect();
    rules.sort_unstable();
    assert_eq!(rules, [("protection_not_supported", 3), ("type_not_supported", 1)]);
}
