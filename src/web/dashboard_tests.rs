//! The dashboard through the whole router: what needs attention and what is put off, the figures, the chart.

use std::time::Duration;

use axum::http::header::LOCATION;
use axum::http::{Method, StatusCode};

use super::tests::Site;
use crate::base::clock::{Clock, Timestamp};
use crate::base::id::{RefusalId, TransferId};
use crate::domain::administrator::Role;
use crate::domain::connector::ConnectorId;
use crate::domain::receipt::Ending;
use crate::domain::refusal::Rule;
use crate::domain::setting::Texts;
use crate::store::connector;
use crate::store::listener::{self, Listener, ListenerState, State};
use crate::store::profile;
use crate::store::refusal::Refusal;
use crate::store::transfer::{Direction, Transfer};

impl Site {
    async fn listens(&self, state: State, message: &str) {
        self.listens_at("[::]:8021", state, message).await;
    }

    async fn listens_at(&self, address: &str, state: State, message: &str) {
        let state = ListenerState {
            state,
            address: address.to_owned(),
            message: message.to_owned(),
            since: Timestamp::default(),
            followed_version: 1,
        };
        listener::put(&self.db, Listener::Ftp, &state).await.unwrap();
    }

    /// A rule said no, this many times.
    pub(super) async fn refuse(&self, rule: Rule, connector: &str, times: u64) -> RefusalId {
        let id = RefusalId::new(&self.ids);
        for _ in 0..times {
            self.recorder.refusal(Refusal {
                id: id.clone(),
                rule,
                connector: connector.to_owned(),
                remote: "198.51.100.7".to_owned(),
                command: "STOR <i>a</i>.zip".to_owned(),
                reply: "553 Files of this name are not accepted here.".to_owned(),
                detail: "a.zip matches no pattern of the filter".to_owned(),
                transcript: "C: STOR a.zip\nS: 553 Files of this name are not accepted here.".to_owned(),
                session_id: String::new(),
                first_at: Clock::System.now(),
                last_at: Clock::System.now(),
                times: 1,
                folder: "/".to_owned(),
            });
        }
        self.recorder.flush().await.unwrap();
        id
    }

    /// This many bytes went that way in the last second.
    pub(super) async fn transfer(&self, direction: Direction, path: &str, bytes: u64, complete: bool) {
        let now = Clock::System.now();
        let transfer = Transfer {
            id: TransferId::new(&self.ids),
            direction,
            connector: "acme".to_owned(),
            path: path.to_owned(),
            bytes_moved: bytes,
            offset_bytes: 0,
            begun_at: now.minus(Duration::from_millis(1)),
            ended_at: now,
            ending: if complete { Ending::Closed } else { Ending::Cut },
            complete,
            remote: "198.51.100.7".to_owned(),
            tls: String::new(),
            session_id: String::new(),
            receipt_id: None,
            reply: "226 Done".to_owned(),
        };
        self.recorder.transfer(transfer).await;
        self.recorder.flush().await.unwrap();
    }
}

#[tokio::test]
async fn the_lamp_shows_where_the_server_listens_not_where_it_is_wished() {
    let site = Site::new().await;
    let named = [("public_host".to_owned(), "ftp.example.com".to_owned())];
    profile::save_appliance(&site.db, &named.into(), None, &site.change()).await.unwrap();
    site.live.refresh().await.unwrap();
    let cookies = site.person("vera", Role::Viewer).await;
    site.listens_at("[::]:9021", State::CouldNotBind, "Port 8021 is in use.").await;
    let page = site.get("/me", &cookies).await.text;
    assert!(page.contains(">ftp.example.com:9021<") && page.contains(">:9021<"), "{page}");
    site.listens_at("", State::CouldNotBind, "Port 8021 is in use.").await;
    let page = site.get("/me", &cookies).await.text;
    assert!(page.contains("FTP server could not bind"), "{page}");
    assert!(!page.contains("ftp.example.com") && !page.contains(":8021<"), "{page}");
}

#[tokio::test]
async fn trouble_comes_first_and_can_be_put_off_by_an_editor() {
    let site = Site::new().await;
    site.add_connector("acme", "").await;
    let (editor, viewer) = (site.person("ed", Role::Editor).await, site.person("vera", Role::Viewer).await);
    site.listens(State::CouldNotBind, "Port 21 is in use by vsftpd (pid 812). Choose another, or stop it.").await;
    site.refuse(Rule::NameFilter, "acme", 6).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let page = site.get("/", &editor).await;
    assert!(
        page.text.contains("in use by vsftpd (pid 812)") && page.text.contains("/profiles/ftp#port"),
        "{}",
        page.text
    );
    assert!(page.text.contains("acme: name not accepted, 6 times in the last hour"), "{}", page.text);
    assert!(page.text.contains("<span class=\"vh\"> need attention</span>"), "the sidebar counts it");
    let form = [("csrf", page.csrf()), ("item", "listener".to_owned()), ("for", "1h".to_owned())];
    let form: Vec<_> = form.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let done = site.ask(Method::POST, "/attention/snooze", &editor, Some(&form)).await;
    assert_eq!((done.status, done.header(LOCATION)), (StatusCode::SEE_OTHER, "/"));
    let page = site.get("/", &editor).await;
    let (first, rest) = page.text.split_once("class=\"snoozed\"").expect("it is shown as put off");
    assert!(first.contains("name not accepted") && rest.contains("Put off until"), "{}", page.text);
    assert!(!site.get("/", &viewer).await.text.contains("Snooze 1 h"), "a viewer puts nothing off");
    let form = [form[0], form[1], ("for", "now")];
    site.ask(Method::POST, "/attention/snooze", &editor, Some(&form)).await;
    assert!(!site.get("/", &editor).await.text.contains("class=\"snoozed\""));
}

#[tokio::test]
async fn a_new_appliance_shows_the_first_steps_until_the_first_file() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Admin).await;
    site.listens(State::Listening, "").await;
    let page = site.get("/", &cookies).await;
    assert!(page.text.contains("1 of 4 done") && page.text.contains("/flows#add"), "{}", page.text);
    // A Folder is no partner, though it comes first.
    let (id, folder) = (ConnectorId::parse("a").unwrap(), ("type".to_owned(), "folder".to_owned()));
    connector::add(&site.db, &id, &Texts::from([folder]), None, &site.change()).await.unwrap();
    site.live.refresh().await.unwrap();
    assert!(site.get("/", &cookies).await.text.contains("1 of 4 done"));
    site.add_connector("acme", "").await;
    let page = site.get("/", &cookies).await;
    assert!(page.text.contains("2 of 4 done") && page.text.contains("/connectors/acme/receive"), "{}", page.text);
    site.receive("acme", "po.x12").await;
    let page = site.get("/", &cookies).await;
    assert!(!page.text.contains("First steps") && page.text.contains("po.x12"));
}

#[tokio::test]
async fn figures_and_chart_tell_what_moved() {
    let site = Site::new().await;
    let cookies = site.person("vera", Role::Viewer).await;
    assert!(site.get("/?span=7d", &cookies).await.text.contains("nothing was moved"));
    site.receive("acme", "po.x12").await;
    site.transfer(Direction::Receive, "/Receive/po.x12", 48_219, true).await;
    site.transfer(Direction::Send, "/Send/a", 1_000, true).await;
    site.refuse(Rule::WrongPassword, "acme", 3).await;
    let page = site.get("/", &cookies).await;
    assert!(page.text.contains("48.2 KB moved") && page.text.contains("3 wrong password"), "{}", page.text);
    assert!(page.text.contains("sent peaks at 1.0 KB a minute"), "{}", page.text);
    assert!(page.text.contains("<rect class=\"in\"") && page.text.contains("<rect class=\"out\""));
    let table = site.get("/?view=table&span=24h", &cookies).await;
    assert!(
        table.text.contains("<td class=\"num\">2.0 KB</td>") && table.text.contains("href=\"/?span=24h\""),
        "{}",
        table.text
    );
}

#[tokio::test]
async fn a_live_dashboard_moves() {
    let site = Site::new().await;
    let cookies = site.person("vera", Role::Viewer).await;
    let mut stream = site.follow("/live/dashboard", &cookies).await;
    let first = stream.until("id=\"chart\"").await;
    for part in ["attention", "checklist", "figures", "sessions", "server", "latest"] {
        assert!(first.contains(&format!("id=\"{part}\"")) || part == "checklist", "{part}: {first}");
    }
    site.receive("acme", "po.x12").await;
    assert!(stream.until("po.x12").await.contains("id=\"latest\""));
}
