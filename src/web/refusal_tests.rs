//! Why was it refused: the page, and what it offers.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::{Method, StatusCode};

use super::tests::Site;
use crate::access::guard::{Caller, Door, Known, Limits};
use crate::base::clock::Clock;
use crate::base::id::{EventId, RefusalId};
use crate::base::secret::Secret;
use crate::domain::administrator::Role;
use crate::domain::connector::ConnectorId;
use crate::domain::refusal::Rule;
use crate::domain::setting::Texts;
use crate::domain::value::TlsEnd;
use crate::store::action::{self, StoredAction};
use crate::store::commit::Recorder;
use crate::store::connector;
use crate::store::refusal::Refusal;

const BUTTON: &str = "Allow for this partner";

impl Site {
    /// An upload of `acme` ended without TLS's close; returns the id of its refusal.
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
            transcript:
                "09:00:00.000 C: STOR a.edi\n09:00:01.000 S: 426 The data connection ended without TLS close_notify."
                    .to_owned(),
            session_id: String::new(),
            first_at: now,
            last_at: now,
            times: 1,
            folder: "/Receive".to_owned(),
        });
        recorder.flush().await.unwrap();
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
    for words in [
        "<li class=\"hit\"><time>09:00:01.000</time>",
        "Your upload of a.edi was refused",
        "please use a newer version of it",
        "2 in the last hour, 2 in 24 hours",
    ] {
        assert!(read.text.contains(words), "{words}: {}", read.text);
    }
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

#[tokio::test]
async fn what_if_answers_with_the_rule_that_the_server_would_go_by() {
    let site = Site::new().await;
    site.add_connector("acme", "").await;
    for (key, value) in [
        ("allowed_addresses", "192.0.2.0/24"),
        ("allowed_files_filter", "*.edi,*.x12"),
        ("overwrite", "refuse"),
        ("sessions_max", "3"),
    ] {
        site.set("acme", key, value).await;
    }
    let cookies = site.person("vera", Role::Viewer).await;
    let receive = site.partner_path("acme/Receive");
    let ask = async |about: &[(&str, &str)]| {
        let usual = [("name", "acme"), ("address", "192.0.2.7"), ("by", "tls"), ("command", "STOR")];
        let mut asked: Vec<_> =
            usual.into_iter().filter(|(key, _)| !about.iter().any(|(other, _)| key == other)).collect();
        asked.extend(about);
        site.get(&format!("/what-if?{}", serde_urlencoded::to_string(asked).unwrap()), &cookies).await
    };
    let badge = |page: &str| {
        let (_, rest) = page.split_once("id=\"an-h\">Answer</h2><span class=\"badge ").expect("an answer");
        rest.split_once('>').unwrap().1.split('<').next().unwrap().to_owned()
    };
    let said = async |about: &[(&str, &str)]| badge(&ask(about).await.text);
    assert_eq!(said(&[("path", "/Receive/po.edi")]).await, "Allowed");
    std::fs::write(receive.join("po.edi"), "there").unwrap();
    for (about, rule) in [
        (&[("path", "/Receive/po.edi")][..], Rule::FileExists),
        (&[("path", "/Receive/photo.jpg")], Rule::NameFilter),
        (&[("path", "/Send/po.edi")], Rule::NoWrite),
        (&[("path", "/Elsewhere/po.edi")], Rule::OutsideFolders),
        (&[("path", "/Receive/po.edi"), ("address", "198.51.100.1")], Rule::AddressNotAllowed),
        (&[("path", "/Receive/po.edi"), ("by", "clear")], Rule::TlsRequiredLogin),
        (&[("path", "/Receive/po.edi"), ("name", "nobody")], Rule::UnknownUser),
    ] {
        let page = ask(about).await;
        assert_eq!(page.status, StatusCode::OK);
        assert_eq!(badge(&page.text), format!("Refused: {}", rule.label()), "{about:?}");
        assert!(page.text.contains(&rule.explain()[..30]), "it is explained");
    }
    assert_eq!(said(&[("command", "RETR"), ("path", "/Receive/none.edi")]).await, "Refused: no such file or folder");
    assert_eq!(said(&[("command", "RETR"), ("path", "/Receive/po.edi")]).await, "Allowed");
    assert_eq!(said(&[("command", ""), ("path", "")]).await, "Allowed", "signing in alone");

    // A page does not ask the actions that are asked before a file is sent: they may run a program.
    std::fs::write(site.partner_path("acme/Send").join("price.edi"), "there").unwrap();
    site.set("acme", "send_settle_s", "0").await;
    assert_eq!(said(&[("command", "RETR"), ("path", "/Send/price.edi")]).await, "Allowed");
    let texts = [("moment", "before_send"), ("url", "https://erp.example.com/ask")];
    let texts = texts.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let id = EventId::new(&site.ids).to_string();
    let stored = StoredAction { id, connector_key: "acme".to_owned(), texts, version: 0 };
    action::put(&site.db, &stored, &ConnectorId::parse("acme").unwrap(), &site.change()).await.unwrap();
    site.live.refresh().await.unwrap();
    let asked = ask(&[("command", "RETR"), ("path", "/Send/price.edi")]).await.text;
    assert!(badge(&asked) == "Allowed" && asked.contains("it is asked when the file is really fetched"), "{asked}");

    site.gate.block("192.0.2.9".parse().unwrap(), Clock::System.now().plus(Duration::from_mins(5)));
    assert_eq!(said(&[("address", "192.0.2.9")]).await, format!("Refused: {}", Rule::AddressBlocked.label()));
    site.set("acme", "enabled", "off").await;
    let page = ask(&[("path", "/Receive/new.edi")]).await.text;
    assert_eq!(badge(&page), format!("Refused: {}", Rule::ConnectorDisabled.label()));
    assert!(page.contains("/connectors/acme/settings#enabled"), "the way to the setting");

    let wrong = ask(&[("address", "203.0.113"), ("name", "")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    for words in ["There are 2 problems", "203.0.113 isn’t an IP address", "Give the user name"] {
        assert!(wrong.text.contains(words), "no {words} in {}", wrong.text);
    }
    let empty = site.get("/what-if", &cookies).await;
    assert!(empty.status == StatusCode::OK && !empty.text.contains("Answer"));
}

#[tokio::test]
async fn a_refusal_leads_to_whether_it_would_be_one_now() {
    let site = Site::new().await;
    site.add_connector("acme", "").await;
    let cookies = site.person("vera", Role::Viewer).await;
    let page = site.get(&format!("/refusals/{}", site.unsigned("192.0.2.1").await), &cookies).await.text;
    let (_, rest) = page.split_once("href=\"/what-if?").expect("the way there");
    let query = rest.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&");
    assert_eq!(
        query, "name=acme&address=192.0.2.1&by=tls&command=STOR&path=%2FReceive%2Fa.edi",
        "from where the client stood"
    );
    let asked = site.get(&format!("/what-if?{query}"), &cookies).await;
    assert!(!asked.text.contains("Outside Send and Receive"), "{}", asked.text);
    for place in ["/activity/refusals", "/connectors/acme/settings", "/connectors/acme/advanced"] {
        assert!(site.get(place, &cookies).await.text.contains("action=\"/what-if\""), "{place}");
    }
}

/// The steps on a page with their outcomes.
fn marked(page: &str) -> Vec<(String, String)> {
    let (_, list) = page.split_once("<ol class=\"steps\">").expect("a list of steps");
    let list = list.split("</ol>").next().unwrap();
    let row = |row: &str| {
        let (tone, rest) = row.split_once('"').unwrap();
        let words = rest.split_once("</span><span").unwrap().1.split_once('>').unwrap().1;
        (words.split('<').next().unwrap().replace(" (not reached)", ""), tone.trim().to_owned())
    };
    list.split("<span class=\"mark").skip(1).map(row).collect()
}

#[tokio::test]
async fn the_first_step_that_says_no_is_the_answer_and_what_comes_after_is_not_reached() {
    let site = Site::new().await;
    site.add_connector("acme", "").await;
    for (key, value) in [
        ("allowed_addresses", "192.0.2.0/24"),
        ("allowed_files_filter", "*.edi"),
        ("overwrite", "refuse"),
        ("enabled", "off"),
        ("receive_write", "off"),
    ] {
        site.set("acme", key, value).await;
    }
    site.set_profile("disk_reserve", "1000000 GiB").await;
    std::fs::create_dir_all(site.partner_path("acme/Receive")).unwrap();
    std::fs::write(site.partner_path("acme/Receive/po.edi"), "there").unwrap();
    let cookies = site.person("vera", Role::Viewer).await;
    // Everything is wrong at first; each time the refusing part is fixed.
    let (mut asked, mut said) = (("198.51.100.1", "clear", "/Receive/po.zip"), Vec::new());
    loop {
        let (address, by, path) = asked;
        let query = [("name", "acme"), ("address", address), ("by", by), ("command", "STOR"), ("path", path)];
        let query = serde_urlencoded::to_string(query).unwrap();
        let steps = marked(&site.get(&format!("/what-if?{query}"), &cookies).await.text);
        let Some(no) = steps.iter().position(|(_, tone)| tone == "bad") else { break };
        assert!(steps[..no].iter().all(|(_, tone)| tone == "ok" || tone.is_empty()), "{steps:?}");
        assert!(steps[no + 1..].iter().all(|(_, tone)| tone == "off"), "{steps:?}");
        said.push(steps[no].0.clone());
        match said.len() {
            1 => asked.1 = "tls",
            2 => asked.0 = "192.0.2.7",
            3 => site.set("acme", "enabled", "on").await,
            4 => site.set("acme", "receive_write", "on").await,
            5 => asked.2 = "/Receive/po.edi",
            6 => site.set("acme", "overwrite", "replace").await,
            7 => site.set_profile("disk_reserve", "1").await,
            _ => panic!("{said:?}"),
        }
    }
    let order = [
        "Encryption of the sign-in",
        "Address",
        "Enabled and valid now",
        "Permission in this folder",
        "Name against the filter",
        "What lies there",
        "Disk reserve and quota",
    ];
    assert_eq!(said, order);
}

#[tokio::test]
async fn a_refusal_shows_its_checks_in_order_and_the_one_that_said_no() {
    let site = Site::new().await;
    site.add_connector("acme", "").await;
    let cookies = site.person("vera", Role::Viewer).await;
    let refusal = |rule: Rule, command: &str, transcript: &str| Refusal {
        id: RefusalId::new(&site.ids),
        rule,
        connector: "acme".to_owned(),
        remote: "192.0.2.1".to_owned(),
        command: command.to_owned(),
        reply: "426 Broken.".to_owned(),
        detail: String::new(),
        transcript: transcript.to_owned(),
        session_id: String::new(),
        first_at: Clock::System.now(),
        last_at: Clock::System.now(),
        times: 1,
        folder: "/Receive".to_owned(),
    };
    let begun = "09:00:00.000 C: STOR a.edi\n09:00:00.000 S: 150 Go on.\n09:00:01.000 S: 426 Broken.";
    for (refusal, step) in [
        (refusal(Rule::NameFilter, "STOR a.zip", ""), "Name against the filter"),
        (refusal(Rule::BrokenOff, "STOR a.edi", begun), "The bytes, to the end"),
        (refusal(Rule::WrongPassword, "PASS ****", ""), "Proof of who it is"),
        (refusal(Rule::Idle, "NOOP", ""), ""),
    ] {
        let (recorder, writer) = Recorder::new(site.db.clone());
        tokio::spawn(writer.run());
        let place = format!("/refusals/{}", refusal.id);
        recorder.refusal(refusal);
        recorder.flush().await.unwrap();
        let page = site.get(&place, &cookies).await.text;
        if step.is_empty() {
            assert!(page.contains("This rule stands by itself") && !page.contains("class=\"steps\""), "{page}");
            continue;
        }
        let steps = marked(&page);
        let no = steps.iter().position(|(words, _)| words == step).expect(step);
        let stands: Vec<_> = steps.iter().map(|(_, tone)| tone.as_str()).collect();
        assert!(stands[..no].iter().all(|tone| *tone == "ok") && stands[no] == "bad", "{steps:?}");
        assert!(stands[no + 1..].iter().all(|tone| *tone == "off"), "{steps:?}");
    }
}
