//! Why was it refused: the page, and what it offers.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::{Method, StatusCode};

use super::tests::Site;
use crate::access::guard::{Caller, Door, Known, Limits};
use crate::base::clock::Clock;
use crate::base::id::RefusalId;
use crate::base::secret::Secret;
use crate::domain::administrator::Role;
use crate::domain::connector::ConnectorId;
use crate::domain::refusal::Rule;
use crate::domain::setting::Texts;
use crate::domain::value::TlsEnd;
use crate::store::commit::Recorder;
use crate::store::connector;
use crate::store::refusal::Refusal;

const BUTTON: &str = "Allow for this partner";

impl Site {
    /// An upload of `acme` ended without TLS's close; the id of its refusal.
    async fn unsigned(&self, remote: &str) -> RefusalId {
        let (recorder, writer) = Recorder::new(self.db.clone());
        tokio::spawn(writer.run());
        let (id, now) = (RefusalId::new(&self.ids), Clock::System.now());
        recorder.refusal(Refusal {
            id: id.clone(),
            rule: Rule::TlsEndUnsigned,
            connector: "acme".to_owned(),
            remote: remote.to_owned(),
            command: "STOR a.edi".to_owned(),
            reply: "426 The data connection ended without TLS close_notify.".to_owned(),
            detail: "the client calls itself OldFTP 1.0".to_owned(),
            transcript: String::new(),
            session_id: String::new(),
            first_at: now,
            last_at: now,
            times: 1,
        });
        recorder.flush().await;
        id
    }
}

#[tokio::test]
async fn after_the_second_unsigned_ending_it_can_be_allowed_for_this_partner() {
    let site = Site::new().await;
    connector::add(&site.db, &ConnectorId::parse("acme").unwrap(), &Texts::new(), None, &site.change()).await.unwrap();
    site.live.refresh().await.unwrap();
    let (editor, viewer) = (site.person("edda", Role::Editor).await, site.person("vera", Role::Viewer).await);
    let first = format!("/refusals/{}", site.unsigned("192.0.2.1").await);
    assert!(!site.get(&first, &editor).await.text.contains(BUTTON), "once may be an accident");
    let second = format!("/refusals/{}", site.unsigned("192.0.2.2").await);
    let page = site.get(&second, &editor).await;
    assert!(page.text.contains(BUTTON) && page.text.contains("OldFTP 1.0"), "{}", page.text);
    let read = site.get(&second, &viewer).await;
    assert!(!read.text.contains(BUTTON), "{}", read.text);
    let allow = format!("{second}/allow");
    let csrf = read.csrf();
    let refused = site.ask(Method::POST, &allow, &viewer, Some(&[("csrf", &csrf)])).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let tolerant = |site: &Site| {
        let snapshot = site.live.snapshot();
        *snapshot.connector("acme").unwrap().connector.settings.tls_end.or(&snapshot.profile.tls_end)
    };
    assert_eq!(tolerant(&site), TlsEnd::Strict);
    let csrf = page.csrf();
    let allowed = site.ask(Method::POST, &allow, &editor, Some(&[("csrf", &csrf)])).await;
    assert_eq!(allowed.status, StatusCode::SEE_OTHER, "{}", allowed.text);
    assert_eq!(tolerant(&site), TlsEnd::Tolerant);
    let after = site.get(&second, &editor).await;
    assert!(!after.text.contains(BUTTON) && after.text.contains("is tolerant for acme now"), "{}", after.text);
}

#[tokio::test]
async fn a_block_is_shown_with_its_reason_and_can_be_lifted() {
    const PATH: &str = "/activity/blocked";
    let site = Site::new().await;
    let (editor, viewer) = (site.person("edda", Role::Editor).await, site.person("vera", Role::Viewer).await);
    assert!(site.get(PATH, &viewer).await.text.contains("Nobody is blocked"));
    let address = IpAddr::from([203, 0, 113, 7]);
    let caller = Caller { door: Door::Ftp, name: "acme", known: Known::Yes, address };
    let limits = Limits { failures_max: 2, window: Duration::from_mins(5), block_for: Duration::from_mins(15) };
    for _ in 0..2 {
        site.gate.check(&caller, &Secret::new("wrong"), Vec::new(), Some(&limits)).await.unwrap();
    }
    let seen = site.get(PATH, &viewer).await;
    for words in ["203.0.113.7", "acme", "2 failed sign-ins with this name", "FTP server"] {
        assert!(seen.text.contains(words), "{words}: {}", seen.text);
    }
    assert!(!seen.text.contains("Unblock<"), "{}", seen.text);
    let form = |csrf: String| [("csrf", csrf), ("address", "203.0.113.7".to_owned())];
    let lift = async |who: &str| {
        let form = form(site.get(PATH, who).await.csrf());
        let form = form.each_ref().map(|(key, value)| (*key, value.as_str()));
        site.ask(Method::POST, "/activity/blocked/unblock", who, Some(&form)).await.status
    };
    assert_eq!(lift(&viewer).await, StatusCode::FORBIDDEN);
    assert_eq!(site.gate.blocks().len(), 1);
    assert_eq!(lift(&editor).await, StatusCode::SEE_OTHER);
    assert!(site.gate.blocks().is_empty());
    assert!(site.get(PATH, &editor).await.text.contains("may sign in again"));
}
