//! Letters about received files, handed in at a mail server that encrypts: by STARTTLS, from the first byte, and not at all
//! where its certificate is another's; with a user and a password, where it wants them.

use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use rcgen::{CertifiedKey, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use waybill::access::mail;
use waybill::access::secrets::Secrets;
use waybill::base::clock::Clock;
use waybill::base::id::{IdSource, ReceiptId};
use waybill::base::secret::Secret;
use waybill::store::setting::Change;
use waybill::store::{Db, delivery_page};

use super::actions;
use crate::kit::{Appliance, PARTNER, Running};

/// What a mail server got: each letter as it came, its envelope before it.
type Letters = Arc<Mutex<Vec<String>>>;
type Key = CertifiedKey<KeyPair>;

fn certificate(name: &str) -> Key {
    rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate is made")
}

/// A mail server with that certificate that takes letters from everybody.
async fn mail_server(key: &Key, implicit: bool) -> (u16, Letters) {
    mail_server_for(key, implicit, "").await
}

/// `implicit` encrypts from the first byte, otherwise nothing goes without STARTTLS. With a `mechanism`, `PLAIN` or `LOGIN`,
/// nothing goes without the user `waybill` and the password `opens sesame`.
async fn mail_server_for(key: &Key, implicit: bool, mechanism: &'static str) -> (u16, Letters) {
    let private = PrivateKeyDer::try_from(key.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .expect("a key that fits");
    let (acceptor, letters) = (TlsAcceptor::from(Arc::new(config)), Letters::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let taken = Arc::clone(&letters);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, taken) = (acceptor.clone(), Arc::clone(&taken));
            tokio::spawn(async move {
                let in_clear =
                    if implicit { Some(stream) } else { converse(stream, (Some("220 mail"), mechanism), &taken).await };
                let Some(stream) = in_clear else { return };
                if let Ok(encrypted) = acceptor.accept(stream).await {
                    converse(encrypted, (implicit.then_some("220 mail"), mechanism), &taken).await;
                }
            });
        }
    });
    (port, letters)
}

/// Speaks SMTP; gives the stream back when STARTTLS was asked for. A letter is taken only where the stream is encrypted.
async fn converse<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    stream: S,
    (greeting, mechanism): (Option<&str>, &str),
    taken: &Letters,
) -> Option<S> {
    let in_clear = std::any::TypeId::of::<S>() == std::any::TypeId::of::<tokio::net::TcpStream>();
    let mut stream = BufStream::new(stream);
    if let Some(greeting) = greeting {
        say(&mut stream, greeting).await?;
    }
    let (mut letter, mut line) = (String::new(), String::new());
    let mut signed_in = mechanism.is_empty();
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        letter.push_str(&line);
        if let Some(beginning) = line.strip_prefix("AUTH ").filter(|_| !in_clear && !mechanism.is_empty()) {
            signed_in = sign_in(&mut stream, beginning.trim_end()).await?;
            say(&mut stream, if signed_in { "235 2.7.0 come in" } else { "535 5.7.8 no such pair" }).await?;
            continue;
        }
        let words = match line.split([' ', '\r']).next().unwrap_or_default() {
            "EHLO" if in_clear => "250-mail\r\n250 STARTTLS",
            "STARTTLS" => {
                say(&mut stream, "220 go on").await?;
                return Some(stream.into_inner());
            }
            "EHLO" if mechanism == "PLAIN" => "250-mail\r\n250 AUTH PLAIN",
            "EHLO" if mechanism == "LOGIN" => "250-mail\r\n250 AUTH LOGIN",
            "MAIL" | "RCPT" | "DATA" if !in_clear && !signed_in => "530 5.7.0 Authentication required",
            "MAIL" | "RCPT" | "DATA" if in_clear => "530 Must issue a STARTTLS command first",
            "DATA" => {
                say(&mut stream, "354 go on").await?;
                while !letter.ends_with("\r\n.\r\n") {
                    stream.read_line(&mut letter).await.ok()?;
                }
                taken.lock().expect("nobody panicked").push(std::mem::take(&mut letter));
                "250 taken"
            }
            "QUIT" => "221 bye",
            _ => "250 mail",
        };
        say(&mut stream, words).await?;
    }
}

/// RFC 4954, and LOGIN as everybody speaks it: whether user and password are the right ones.
async fn sign_in<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufStream<S>, beginning: &str) -> Option<bool> {
    if let Some(both) = beginning.strip_prefix("PLAIN ") {
        return Some(both == BASE64.encode("\0waybill\0opens sesame"));
    }
    let mut given = Vec::new();
    for asked in ["VXNlcm5hbWU6", "UGFzc3dvcmQ6"] {
        say(stream, &format!("334 {asked}")).await?;
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        given.push(line.trim_end().to_owned());
    }
    Some(beginning == "LOGIN" && given == [BASE64.encode("waybill"), BASE64.encode("opens sesame")])
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), words: &str) -> Option<()> {
    stream.write_all(format!("{words}\r\n").as_bytes()).await.ok()?;
    stream.flush().await.ok()
}

/// A letter is written for each file of the partner, by a server on that port.
async fn writing(port: u16, encryption: &str, trusted: &[&Key]) -> Appliance {
    let appliance = Appliance::new();
    appliance.trust(&trusted.iter().map(|key| key.cert.pem()).collect::<String>());
    appliance.say(&["connector", "set", PARTNER, "settle_s=0"]);
    appliance.say(&["settings", "set", "mail_host=127.0.0.1", "mail_from=waybill@example.com"]);
    let (port, encryption) = (format!("mail_port={port}"), format!("mail_tls={encryption}"));
    appliance.say(&["settings", "set", &port, &encryption, "delivery_retry_first_s=1"]);
    actions::add(&appliance, &[("kind", "mail"), ("program", ""), ("mail_to", "ops@example.com")]).await;
    appliance
}

/// What the first attempt at the letter about the partner's only file came to.
async fn answer(running: &Running<'_>, appliance: &Appliance) -> String {
    let db = Db::open(&appliance.data()).await.expect("the database opens");
    let id = running.receipts(1).await[0]["id"].as_str().and_then(ReceiptId::parse).expect("an id");
    let tried = async |_: &Running<'_>| {
        let deliveries = delivery_page::of_receipt(&db, &id).await.expect("they are read");
        delivery_page::tries(&db, deliveries[0].id).await.expect("they are read").pop()
    };
    running.until("the letter was tried", tried).await.answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_goes_encrypted_after_the_greeting_or_from_the_first_byte() {
    for (encryption, implicit) in [("starttls", false), ("implicit", true)] {
        let key = certificate("127.0.0.1");
        let (port, letters) = mail_server(&key, implicit).await;
        let appliance = writing(port, encryption, &[&key]).await;
        let running = appliance.start().await;
        running.partner().await.store("/Receive/orders.edi", b"the bytes").await;
        running.until("the letter came", async |_| (letters.lock().unwrap().len() == 1).then_some(())).await;
        let letter = letters.lock().unwrap()[0].clone();
        assert!(letter.contains("RCPT TO:<ops@example.com>") && letter.contains("orders.edi"), "{letter}");
        assert_eq!(answer(&running, &appliance).await, "250 taken", "{encryption}");
    }
}

#[cfg(feature = "faults")]
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_step_a_letter_goes_at_least_once() {
    for (point, times) in [("pass_tried", 2), ("pass_ended", 1)] {
        let key = certificate("127.0.0.1");
        let (port, letters) = mail_server(&key, false).await;
        let appliance = writing(port, "starttls", &[&key]).await;
        let mut running = appliance.start_with_fault(Some(&format!("{point}:kill:1"))).await;
        running.partner().await.store("/Receive/orders.edi", b"the bytes").await;
        running.ended().await;
        let running = appliance.start().await;
        assert_eq!(answer(&running, &appliance).await, "250 taken", "{point}");
        assert_eq!(letters.lock().unwrap().len(), times, "{point}");
    }
}

/// The same with a user and a password.
async fn signing_in(appliance: &Appliance, password: &str) {
    appliance.say(&["settings", "set", "mail_user=waybill"]);
    let db = Db::open(&appliance.data()).await.expect("the database opens");
    let secrets = Secrets::open(db, &appliance.data()).await.expect("the key is there");
    let (clock, ids) = (Clock::System, IdSource::random(Clock::System));
    let change = Change { who: "test", remote: "", at: clock.now(), ids: &ids };
    secrets.put(mail::PASSWORD, &Secret::new(password), "settings", &change).await.expect("it is stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_goes_with_user_and_password_by_either_way_of_signing_in() {
    for (encryption, mechanism) in [("starttls", "PLAIN"), ("implicit", "LOGIN"), ("starttls", "LOGIN")] {
        let key = certificate("127.0.0.1");
        let (port, letters) = mail_server_for(&key, encryption == "implicit", mechanism).await;
        let appliance = writing(port, encryption, &[&key]).await;
        signing_in(&appliance, "opens sesame").await;
        let running = appliance.start().await;
        running.partner().await.store("/Receive/orders.edi", b"the bytes").await;
        assert_eq!(answer(&running, &appliance).await, "250 taken", "{encryption} {mechanism}");
        assert_eq!(letters.lock().unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_one_that_is_missing_and_one_that_nobody_wants_are_told_in_words() {
    let wrong =
        "The mail server 127.0.0.1 does not accept the password of waybill; set both in Profiles, Mail. It says: ";
    let missing = "The mail server 127.0.0.1 wants a user and a password; set them in Profiles, Mail. It says: ";
    let unwanted = "The mail server 127.0.0.1 offers no way of signing in that is known here, PLAIN or LOGIN";
    let cases = [
        ("PLAIN", "opens nothing", wrong),
        ("LOGIN", "opens nothing", wrong),
        ("PLAIN", "", missing),
        ("", "x", unwanted),
    ];
    for (mechanism, password, words) in cases {
        let key = certificate("127.0.0.1");
        let (port, letters) = mail_server_for(&key, false, mechanism).await;
        let appliance = writing(port, "starttls", &[&key]).await;
        if !password.is_empty() {
            signing_in(&appliance, password).await;
        }
        let running = appliance.start().await;
        running.partner().await.store("/Receive/orders.edi", b"the bytes").await;
        let answer = answer(&running, &appliance).await;
        assert!(answer.starts_with(words) && !answer.contains("opens nothing"), "{mechanism}: {answer}");
        assert!(letters.lock().unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_with_another_certificate_gets_nothing_and_the_attempt_says_why() {
    let (other, unknown) = (certificate("mail.example.com"), certificate("127.0.0.1"));
    let said = [(&other, "is not for 127.0.0.1"), (&unknown, "was not issued by an authority that this system trusts")];
    for (key, why) in said {
        let (port, letters) = mail_server(key, false).await;
        let appliance = writing(port, "starttls", &[&other]).await;
        let running = appliance.start().await;
        running.partner().await.store("/Receive/orders.edi", b"the bytes").await;
        let answer = answer(&running, &appliance).await;
        assert!(
            answer.starts_with("The certificate of the mail server 127.0.0.1 ") && answer.contains(why),
            "{answer}"
        );
        assert!(letters.lock().unwrap().is_empty());
    }
}
