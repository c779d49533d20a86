//! Activity through the whole router: what is followed live, what a filter finds, who may disconnect.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, COOKIE, HOST, LOCATION};
use axum::http::{Method, Request, StatusCode};

use super::tests::{LOCAL, Site};
use crate::base::app_log::Gravity;
use crate::base::clock::{Clock, Timestamp};
use crate::base::id::{ReceiptId, SessionId};
use crate::domain::administrator::Role;
use crate::domain::connector::ConnectorId;
use crate::domain::event::EventKind;
use crate::domain::flow::Target;
use crate::domain::refusal::Rule;
use crate::domain::setting::Texts;
use crate::store::commit::{Published, Received};
use crate::store::connector;
use crate::store::delivery_page;
use crate::store::event::{self, Event};
use crate::store::import::{Checks, Mode, import};
use crate::store::receipt::{Receipt, Search};
use crate::store::receipt_page;
use crate::store::renaming::{NewName, Rename};
use crate::store::session::{Session, SessionEnd, Tally};
use crate::store::set_off::{self, New};
use crate::store::settings_file::SettingsFile;
use crate::store::transfer::Direction;

#[tokio::test]
async fn a_live_page_gets_every_piece_at_once_and_only_what_changed_afterwards() {
    let site = Site::new().await;
    let cookies = site.person("vera", Role::Viewer).await;
    let mut stream = site.follow("/live/sessions", &cookies).await;
    let first = stream.until("id=\"sessions\"").await;
    assert!(first.contains("Nobody is connected") && first.contains("id=\"lamp\""), "{first}");
    let place =
        site.presence.enter(SessionId::new(&site.ids), (IpAddr::from([198, 51, 100, 7]), LOCAL), Timestamp::default());
    place.update(|doing| doing.client = Some("<b>FileZilla</b>".to_owned()));
    let next = stream.until("198.51.100.7").await;
    assert!(next.contains("&#60;b&#62;FileZilla") && !next.contains("Disconnect<"), "{next}");
    assert!(next.contains("1 session"), "the lamp counts it: {next}");
}

#[tokio::test]
async fn a_live_page_ends_with_its_sign_in() {
    let site = Site::new().await;
    let cookies = site.person("vera", Role::Viewer).await;
    let mut stream = site.follow("/live/shell", &cookies).await;
    stream.until("id=\"lamp\"").await;
    let csrf = site.get("/flows", &cookies).await.csrf();
    site.ask(Method::POST, "/sign-out", &cookies, Some(&[("csrf", &csrf)])).await;
    stream.end().await;
    assert_eq!(site.get("/live/nothing", &site.person("kim", Role::Viewer).await).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn newer_files_are_told_and_a_row_opens_within_its_table() {
    let site = Site::new().await;
    let cookies = site.person("vera", Role::Viewer).await;
    site.receive("acme", "<i>old</i>.x12").await;
    let page = site.get("/activity/receive", &cookies).await;
    assert!(page.text.contains("&#60;i&#62;old&#60;/i&#62;.x12"), "{}", page.text);
    let (_, rest) = page.text.split_once("data-live=\"").unwrap();
    let address = rest.split('"').next().unwrap().replace("&#38;", "&");
    let mut stream = site.follow(&address, &cookies).await;
    let id = site.receive("acme", "new.x12").await;
    assert!(stream.until("1 newer file. Show it").await.contains("href=\"?\""));
    let opened = site.get(&format!("/activity/receive?open={id}"), &cookies).await;
    assert!(opened.text.contains("aria-expanded=\"true\"") && opened.text.contains("Receive Id"), "{}", opened.text);
    assert_eq!(opened.text.matches("class=\"detail\"").count(), 1);
}

#[tokio::test]
async fn a_name_that_reads_like_another_is_marked_and_stays_what_it_is() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Admin).await;
    let name = "invoice\u{202e}fdp.exe";
    let mark = "invoice<bdi class=\"unseen\" data-code=\"U+202E\">\u{202e}</bdi>fdp.exe";
    let mut stream = site.follow("/live/dashboard", &cookies).await;
    let id = site.receive("acme", name).await;
    assert!(stream.until("fdp.exe").await.contains(mark), "live updates mark it too");
    for page in ["/", "/activity/receive", &format!("/activity/receive/{id}"), "/activity/events"] {
        let text = site.get(page, &cookies).await.text;
        let bare = text.replace(mark, "").replace("/Receive/", "");
        assert!(text.contains(mark) && !bare.contains("\u{202e}"), "{page}: {text}");
    }
    let found = site.get("/activity/receive?q=invoice%E2%80%AEfdp", &cookies).await.text;
    assert!(found.contains("value=\"invoice\u{202e}fdp\"") && found.contains(mark), "{found}");
    assert!(found.contains("aria-label=\"Select invoice[U+202E]fdp.exe\""), "{found}");
    let exported = site.get("/activity/receive.csv", &cookies).await.text;
    assert!(exported.contains(name), "{exported}");
}

#[tokio::test]
async fn a_search_an_order_and_a_status_find_their_files_and_exports_hold_them_all() {
    let site = Site::new().await;
    site.add_connector("acme", "").await;
    let cookies = site.person("vera", Role::Viewer).await;
    let mut ids = Vec::new();
    for name in ["b.x12", "=cmd|calc.edi", "a.x12", "c.xml"] {
        ids.push(site.receive("acme", name).await);
    }
    let get = async |query: &str| site.get(&format!("/activity/receive?{query}"), &cookies).await.text;
    let found = get("q=X12").await;
    assert!(found.contains("2 files") && found.contains("b.x12") && !found.contains("c.xml"), "{found}");
    assert!(get(&format!("q={}", ids[3])).await.contains("c.xml"));
    assert!(get("q=B1946AC92492D2347C6235B4D2611184AA03C1F7E2D94B8C5F60718293A4A3F2").await.contains("4 files"));
    assert!(get("q=nothing").await.contains("No file fits"));
    assert!(get("connector=acme&status=lost").await.contains("No file fits"));
    let by_name = get("sort=file&dir=asc").await;
    let place = |name: &str| by_name.find(&format!(">{name}</a>")).unwrap_or_else(|| panic!("{name}: {by_name}"));
    assert!(place("a.x12") < place("b.x12") && place("b.x12") < place("c.xml"));
    assert!(by_name.contains("aria-sort=\"ascending\"") && !by_name.contains("data-live=\"/live/receive"));
    let behind = get(&format!("sort=file&dir=asc&before={}", ids[0])).await;
    assert!(behind.contains("c.xml") && !behind.contains(">a.x12<"), "{behind}");
    let export = site.get("/activity/receive.csv?connector=acme", &cookies).await;
    let lines: Vec<_> = export.text.lines().collect();
    assert_eq!(lines.len(), 5, "{}", export.text);
    assert!(
        lines[0].starts_with("\u{feff}id,connector,name,path") && lines[3].contains(",'=cmd|calc.edi,"),
        "{}",
        export.text
    );
    assert!(export.header(CONTENT_TYPE).starts_with("text/csv"));
    let zipped = Request::get("/activity/receive.csv").header(HOST, "127.0.0.1:8020").header(COOKIE, &cookies);
    let zipped = site.raw(zipped.header(ACCEPT_ENCODING, "gzip").body(Body::empty()).unwrap()).await;
    assert_eq!(zipped.headers()[CONTENT_ENCODING], "gzip");
}

#[tokio::test]
async fn a_search_looks_at_so_many_rows_and_goes_on_where_it_stopped() {
    let site = Site::new().await;
    for name in ["one.x12", "two.edi", "three.edi", "four.x12"] {
        site.receive("acme", name).await;
    }
    let search = Search { text: Some("x12".to_owned()), ..Search::default() };
    let first = receipt_page::look(&site.db, &search, None, (2, 10)).await.unwrap();
    assert_eq!(first.receipts.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["four.x12"]);
    let second = receipt_page::look(&site.db, &search, first.stopped_at.as_ref(), (2, 10)).await.unwrap();
    assert_eq!(second.receipts.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["one.x12"]);
    let third = receipt_page::look(&site.db, &search, second.stopped_at.as_ref(), (2, 10)).await.unwrap();
    assert_eq!(third, receipt_page::Looked::default());
}

#[tokio::test]
async fn lists_are_filtered_each_with_its_chip_and_its_export() {
    let site = Site::new().await;
    site.add_connector("acme", "").await;
    let cookies = site.person("vera", Role::Viewer).await;
    site.receive("acme", "po.x12").await;
    site.transfer(Direction::Receive, "/Receive/po.x12", 5, true).await;
    site.transfer(Direction::Send, "/Send/prices.csv", 5, false).await;
    let why = site.refuse(Rule::NameFilter, "acme", 3).await;
    let get = async |path: &str| site.get(path, &cookies).await.text;
    let broken = get("/activity/transfers?result=broken&connector=ACME").await;
    assert!(broken.contains("prices.csv") && !broken.contains("po.x12"), "{broken}");
    assert!(broken.contains("Remove filter: Result: Broken off") && broken.contains("transfers?connector=ACME"));
    assert!(get("/activity/transfers?way=receive").await.contains("/Receive/po.x12"));
    let events = get("/activity/events?kind=after_receive").await;
    assert!(
        events.contains("Received /Receive/po.x12 from acme") && events.contains("Kind: After receive"),
        "{events}"
    );
    assert!(get("/activity/events?kind=recovered").await.contains("No event fits"));
    let refusals = get("/activity/refusals").await;
    assert!(refusals.contains("acme, Name not accepted") && refusals.contains(">New<"), "{refusals}");
    assert!(refusals.contains(&format!("/refusals/{why}")) && refusals.contains("STOR &#60;i&#62;a"));
    assert!(get("/activity/refusals?rule=idle").await.contains("No refusal fits"));
    // A time as on the command line counts, and is among the choices; what is unknown is left out, and says so.
    let lately = get("/activity/events?since=90m").await;
    assert!(lately.contains("Remove filter: Happened: 90m") && lately.contains("<option value=\"90m\" selected>"));
    for (list, words) in [
        ("events?kind=nonsense", "Kind: nonsense is unknown, so left out"),
        ("transfers?since=ever", "Ended: ever is unknown, so left out"),
        ("receive?status=nonsense", "State: nonsense is unknown, so left out"),
    ] {
        let page = get(&format!("/activity/{list}")).await;
        assert!(page.contains(&format!("Remove filter: {words}")), "{list}: {page}");
    }
    for (list, rows) in [("transfers.csv", 2), ("events.csv?kind=after_receive", 1), ("refusals.csv", 1)] {
        let export = get(&format!("/activity/{list}")).await;
        assert_eq!(export.lines().count(), rows + 1, "{list}: {export}");
    }
}

#[tokio::test]
async fn a_connector_that_is_gone_has_no_page_and_no_link() {
    let site = Site::new().await;
    site.add_connector("acme", "").await;
    let cookies = site.person("vera", Role::Viewer).await;
    let receipt = site.receive("acme", "po.x12").await;
    site.transfer(Direction::Receive, "/Receive/po.x12", 5, true).await;
    let event = event::page(&site.db, &event::Filter::default(), None, 1).await.unwrap()[0].id.clone();
    let (receipt, event) = (format!("/activity/receive/{receipt}"), format!("/activity/events/{event}"));
    let lists = ["/", "/activity/receive", "/activity/transfers", "/activity/events"];
    let pages = lists.into_iter().chain([receipt.as_str(), event.as_str()]);
    for page in pages.clone() {
        assert!(site.get(page, &cookies).await.text.contains("href=\"/connectors/acme/"), "{page}");
    }
    connector::remove(&site.db, &ConnectorId::parse("acme").unwrap(), &site.change()).await.unwrap();
    site.live.refresh().await.unwrap();
    for page in pages {
        let text = site.get(page, &cookies).await.text;
        assert!(text.contains("acme") && !text.contains("href=\"/connectors/acme/"), "{page}: {text}");
    }
}

#[tokio::test]
async fn of_more_connectors_than_are_offered_the_id_can_be_typed() {
    let site = Site::new().await;
    let cookies = site.person("vera", Role::Viewer).await;
    site.add_connector("zebra", "").await;
    assert!(site.get("/activity/events", &cookies).await.text.contains("<select class=\"select\" id=\"connector\""));
    let text = (0..500).map(|n| format!("[connectors.c{n:03}]")).collect::<Vec<_>>().join("\n");
    let checks = Checks { connector: &|_, _| Vec::new(), action: &|_, _| Vec::new() };
    import(&site.db, &SettingsFile::parse(&text).unwrap(), (Mode::Do, &checks), &site.change()).await.unwrap();
    site.live.refresh().await.unwrap();
    for list in ["/activity/events?connector=ZEBRA", "/activity/receive?connector=zebra"] {
        let page = site.get(list, &cookies).await.text;
        assert!(page.contains("list=\"connector-some\" value=\"zebra\""), "{page}");
        assert!(page.contains("<option value=\"c499\">") && page.contains("Connector: zebra"), "{list}");
    }
}

#[tokio::test]
async fn past_sessions_stand_beneath_the_live_ones_and_are_filtered_and_paged() {
    let site = Site::new().await;
    site.add_connector("Acme", "").await;
    let cookies = site.person("vera", Role::Viewer).await;
    let get = async |query: &str| site.get(&format!("/activity/sessions{query}"), &cookies).await.text;
    let empty = get("").await;
    assert!(empty.contains("Nobody is connected") && empty.contains("No session has ended yet"), "{empty}");
    let quit = site.end_session("Acme", "192.0.2.1", SessionEnd::Quit).await;
    site.end_session("Acme", "2001:db8::1", SessionEnd::Rule(Rule::Idle)).await;
    site.end_session("Gone", "192.0.2.1", SessionEnd::Lost).await;
    let all = get("").await;
    let words = "Signed out after 1 minute</a><span class=\"sub\">1 file received, 2.0 KB; 1 refusal or error";
    assert!(all.contains("Live sessions") && all.contains("FileZilla 3.67") && all.contains(words), "{all}");
    assert!(all.contains(&format!("/activity/sessions/{quit}\"")) && all.contains("/connectors/Acme/logs"), "{all}");
    assert!(!all.contains("/connectors/Gone/"), "a connector that is gone has no page");
    let place = |words: &str| all.find(&format!(">{words} after")).unwrap_or_else(|| panic!("{words}: {all}"));
    assert!(place("Connection lost") < place("Idle for too long") && place("Idle for too long") < place("Signed out"));
    for (query, fits, chip) in [
        ("?connector=ACME", [true, true, false], "Connector: Acme"),
        ("?address=192.0.2.1", [true, false, true], "Address: 192.0.2.1"),
        ("?address=::ffff:192.0.2.1", [true, false, true], "Address: ::ffff:192.0.2.1"),
        ("?address=192.0", [false; 3], "Address: 192.0, which isn’t a whole one"),
        ("?address=+2001%3ADB8%3A0%3A0%3A%3A1", [false, true, false], "Address: 2001:DB8:0:0::1"),
        ("?ending=idle", [false, true, false], "How it ended: Idle for too long"),
        ("?since=today&ending=lost", [false, false, true], "Ended: "),
        ("?address=nowhere", [false; 3], "Address: nowhere"),
        ("?before=2001-01-01T00%3A00", [false; 3], ""),
    ] {
        let page = get(query).await;
        let found = ["Signed out", "Idle for too long", "Connection lost"];
        assert_eq!(found.map(|words| page.contains(&format!(">{words} after"))), fits, "{query}: {page}");
        assert!(page.contains(&format!("Remove filter: {chip}")) || chip.is_empty(), "{query}: {page}");
        assert!(!page.contains("Nobody is connected") && !page.contains("/live/sessions"), "{query}: {page}");
        assert_eq!(page.contains("No past session fits"), fits == [false; 3], "{query}: {page}");
    }
    for _ in 0..25 {
        site.end_session("Acme", "192.0.2.7", SessionEnd::Quit).await;
    }
    let first = get("?size=25").await;
    let (_, older) = first.split_once("href=\"/activity/sessions?size=25&#38;before=").unwrap();
    let older = get(&format!("?size=25&before={}", older.split('"').next().unwrap())).await;
    assert_eq!(first.matches("Signed out after").count(), 25, "{first}");
    assert_eq!([older.matches("Signed out after").count(), older.matches("Idle for too long after").count()], [1, 1]);
    let exported = get(".csv?ending=lost").await;
    assert!(exported.contains(",Gone,192.0.2.1,") && exported.lines().count() == 2, "{exported}");
    let csrf = older.split_once("name=\"csrf\" value=\"").unwrap().1.split('"').next().unwrap();
    let view = [("csrf", csrf), ("page", "/activity/sessions"), ("query", "ending=idle"), ("name", "Left alone")];
    let saved = site.ask(Method::POST, "/views/save", &cookies, Some(&view)).await;
    assert_eq!(saved.header(LOCATION), "/activity/sessions?ending=idle");
}

#[tokio::test]
async fn a_session_is_watched_while_it_lives_and_read_afterwards() {
    let site = Site::new().await;
    let id = ConnectorId::parse("acme").unwrap();
    connector::add(&site.db, &id, &Texts::new(), None, &site.change()).await.unwrap();
    site.live.refresh().await.unwrap();
    let viewer = site.person("vera", Role::Viewer).await;
    let place =
        site.presence.enter(SessionId::new(&site.ids), (IpAddr::from([203, 0, 113, 9]), LOCAL), Timestamp::default());
    place.heard(Timestamp::default(), "PASS hunter2");
    let path = format!("/activity/sessions/{}", place.id());
    let page = site.get(&path, &viewer).await;
    assert!(page.text.contains("C: PASS ****") && page.text.contains("Connected"), "{}", page.text);
    let mut stream = site.follow(&format!("/live/session?session={}", place.id()), &viewer).await;
    stream.until("C: PASS ****").await;
    place.heard(Timestamp::default(), "STOR <b>.edi");
    stream.until("C: STOR &#60;b&#62;.edi").await;

    let (session_id, now) = (place.id().clone(), Clock::System.now());
    drop(place);
    assert_eq!(site.get(&path, &viewer).await.status, StatusCode::NOT_FOUND, "nothing was kept yet");
    site.recorder
        .session(Session {
            id: session_id,
            connector: "acme".to_owned(),
            remote: "203.0.113.9".to_owned(),
            client: "<i>OldFTP</i>".to_owned(),
            tls: String::new(),
            begun_at: now,
            ended_at: now,
            ending: SessionEnd::Quit,
            tally: Tally { received_files: 3, received_bytes: 2_048, ..Tally::default() },
            transcript: "C: QUIT".to_owned(),
        })
        .await;
    site.recorder.flush().await.unwrap();
    stream.until("Signed out").await;
    let logs = site.get("/connectors/acme/logs", &viewer).await;
    for words in
        ["Signed out after less than a second", "3 files received, 2.0 KB", "&#60;i&#62;OldFTP", &path, "Change"]
    {
        assert!(logs.text.contains(words), "{words}: {}", logs.text);
    }
    site.refuse(Rule::NameFilter, "acme", 1).await;
    let refusals = site.get("/connectors/acme/logs?kind=refusal", &viewer).await;
    let words = "STOR &#60;i&#62;a&#60;/i&#62;.zip: a.zip matches no pattern of the filter</span>";
    assert!(refusals.text.contains(words), "{}", refusals.text);
    site.set("acme", "settle_s", "5").await;
    let changes = site.get("/connectors/acme/logs?kind=change", &viewer).await;
    assert!(changes.text.contains("Settle") && !changes.text.contains("settle_s"), "{}", changes.text);
    assert!(!changes.text.contains("Signed out after") && changes.text.contains("Change"), "{}", changes.text);
    let afterwards = site.get(&path, &viewer).await;
    assert!(afterwards.text.contains("C: QUIT") && afterwards.text.contains("Signed out"), "{}", afterwards.text);
}

#[tokio::test]
async fn the_application_log_is_searched_and_followed() {
    let site = Site::new().await;
    let viewer = site.person("vera", Role::Viewer).await;
    let now = Clock::System.now();
    site.app_log.push(now, Gravity::Error, "Could not write <b>here</b>");
    site.app_log.push(now, Gravity::Info, "acme logged in");
    let page = site.get("/activity/logs?level=warning", &viewer).await;
    assert!(page.text.contains("Could not write &#60;b&#62;here") && page.text.contains("Pause"), "{}", page.text);
    assert!(!page.text.contains("acme logged in"), "{}", page.text);
    let found = site.get("/activity/logs?words=ACME&paused=yes", &viewer).await;
    assert!(found.text.contains("acme logged in") && !found.text.contains("Could not write"), "{}", found.text);
    assert!(found.text.contains("/activity/logs?words=ACME\">Follow"), "{}", found.text);
    let mut stream = site.follow("/live/log?words=later", &viewer).await;
    stream.until("No line fits").await;
    site.app_log.push(now, Gravity::Debug, "It came later");
    stream.until("It came later").await;
}

#[tokio::test]
async fn an_editor_disconnects_and_blocks_an_address_and_lets_it_in_again() {
    let site = Site::new().await;
    let cookies = site.person("ed", Role::Editor).await;
    let remote = IpAddr::from([203, 0, 113, 9]);
    let places =
        [(); 2].map(|()| site.presence.enter(SessionId::new(&site.ids), (remote, LOCAL), Timestamp::default()));
    let csrf = site.get("/activity/sessions", &cookies).await.csrf();
    let path = format!("/activity/sessions/{}/disconnect", places[0].id());
    let form = [("csrf", csrf.as_str()), ("block", "1h")];
    assert_eq!(site.ask(Method::POST, &path, &cookies, Some(&form)).await.status, StatusCode::SEE_OTHER);
    assert!(places.iter().all(|place| place.end().is_cancelled()), "both sessions of the address end");
    let page = site.get("/activity/blocked", &cookies).await;
    assert!(page.text.contains("203.0.113.9") && page.text.contains("Blocked by an administrator"), "{}", page.text);
    let form = [("csrf", csrf.as_str()), ("address", "203.0.113.9")];
    site.ask(Method::POST, "/activity/blocked/unblock", &cookies, Some(&form)).await;
    let page = site.get("/activity/blocked", &cookies).await;
    assert!(page.text.contains("203.0.113.9 may sign in again") && page.text.contains("Nobody is blocked"));
}

impl Site {
    /// An ended session, with one file received and one refusal.
    pub(super) async fn end_session(&self, connector: &str, remote: &str, ending: SessionEnd) -> SessionId {
        let (id, now) = (SessionId::new(&self.ids), Clock::System.now());
        let session = Session {
            id: id.clone(),
            connector: connector.to_owned(),
            remote: remote.to_owned(),
            client: "FileZilla 3.67".to_owned(),
            tls: "TLS 1.3 TLS13_AES_256_GCM_SHA384".to_owned(),
            begun_at: now.minus(Duration::from_secs(64)),
            ended_at: now,
            ending,
            tally: Tally { received_files: 1, received_bytes: 2_048, failures: 1, ..Tally::default() },
            transcript: "C: QUIT".to_owned(),
        };
        self.recorder.session(session).await;
        self.recorder.flush().await.unwrap();
        id
    }

    /// A file was received; returns its receipt's id.
    pub(super) async fn receive(&self, connector: &str, name: &str) -> ReceiptId {
        let receipt = receipt_of(self, connector, name);
        let id = receipt.id.clone();
        let received = Received::of(receipt, &self.ids);
        let published = Published::of(&received.receipt, received.event_id.clone());
        self.recorder.receive(received).await.unwrap();
        self.recorder.publish(published).await;
        self.recorder.flush().await.unwrap();
        id
    }
}

fn receipt_of(site: &Site, connector: &str, name: &str) -> Receipt {
    let now = Clock::System.now();
    Receipt {
        name: name.to_owned(),
        client_path: format!("/Receive/{name}"),
        stored_path: format!("/Receive/{name}"),
        size_bytes: 48_219,
        sha256: "b1946ac92492d2347c6235b4d2611184aa03c1f7e2d94b8c5f60718293a4a3f2".to_owned(),
        headers: vec![("SubFolder".to_owned(), String::new())],
        begun_at: now.minus(Duration::from_secs(1)),
        remote_address: "198.51.100.7".to_owned(),
        publishing: false,
        inode: 1,
        ..Receipt::sample(&site.ids, connector, now)
    }
}

#[tokio::test]
async fn the_deliveries_of_a_filter_are_stopped_after_a_page_that_counts_them() {
    let site = Site::new().await;
    site.add_connector("acme", "").await;
    site.add_connector("beta", "").await;
    for (connector, times) in [("acme", 3), ("beta", 1)] {
        for _ in 0..times {
            let event = Event::new(&site.ids, EventKind::AfterSend, Timestamp::from_us(1), "").of(connector);
            let target = Target::Connector("erp".to_owned());
            let (event_id, source_key) = (event.id.clone(), connector.to_owned());
            let new = New { event_id, receipt_id: None, source_key, target, due: Timestamp::from_us(1) };
            set_off::begin(&site.db, &event, &new).await.unwrap();
        }
    }
    let viewer = site.person("vera", Role::Viewer).await;
    let page = "/activity/events/deliveries?act=stop&connector=acme";
    assert!(!site.get("/activity/events", &viewer).await.text.contains("act=stop"));
    assert_eq!(site.get(page, &viewer).await.status, StatusCode::FORBIDDEN);
    let editor = site.person("edda", Role::Editor).await;
    assert!(site.get("/activity/events?connector=acme", &editor).await.text.contains("connector=acme&#38;act=stop"));
    let asked = site.get(page, &editor).await;
    assert!(asked.text.contains("Deliveries of all events of acme: 3 deliveries waiting."), "{}", asked.text);
    let until = asked.text.split("name=\"until\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let csrf = asked.csrf();
    let form = [("csrf", &*csrf), ("act", "stop"), ("connector", "acme"), ("until", until)];
    let done = site.ask(Method::POST, "/activity/events/deliveries", &editor, Some(&form)).await;
    assert_eq!(done.header(LOCATION), "/activity/events?connector=acme");
    let after = site.get("/activity/events", &editor).await;
    assert!(after.text.contains("3 deliveries were stopped."), "{}", after.text);
    let states = delivery_page::waiting(&site.db).await.unwrap();
    assert_eq!(states.iter().map(|lane| (lane.source_key.as_str(), lane.count)).collect::<Vec<_>>(), [("beta", 1)]);
}

#[tokio::test]
async fn a_delivery_behind_one_that_waits_says_so_where_their_order_is_kept() {
    let site = Site::new().await;
    let cookies = site.person("vera", Role::Viewer).await;
    site.add_connector("acme", "").await;
    site.add_connector("erp", "").await;
    let now = Clock::System.now();
    let mut second = String::new();
    for due in [now.plus(Duration::from_mins(10)), Timestamp::from_us(1)] {
        let event = Event::new(&site.ids, EventKind::AfterReceive, now, "").of("acme");
        let target = Target::Connector("erp".to_owned());
        let new = New { event_id: event.id.clone(), receipt_id: None, source_key: "acme".to_owned(), target, due };
        set_off::begin(&site.db, &event, &new).await.unwrap();
        second = format!("/activity/events/{}", event.id);
    }
    let page = site.get(&second, &cookies).await.text;
    let words = "waits for one before it in the same flow, whose next attempt is in ";
    assert!(page.contains(words) && !page.contains("due now"), "{page}");
    site.set("erp", "keep_order", "off").await;
    let page = site.get(&second, &cookies).await.text;
    assert!(!page.contains(words) && page.contains("due now"), "{page}");
}

#[tokio::test]
async fn a_list_begins_at_a_time_and_says_when_nothing_is_older() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Admin).await;
    site.add_connector("acme", "").await;
    site.receive("acme", "orders.x12").await;
    let get = async |path: &str| site.get(path, &cookies).await.text;
    for (list, row, none) in [
        ("/activity/receive", "orders.x12", "No file fits"),
        ("/connectors/acme/receive", "orders.x12", "No file fits"),
        ("/activity/events", "Received /Receive/orders.x12", "No event fits"),
        ("/connectors/acme/logs", ">Change</span>", "No entry fits"),
        ("/connectors/acme/logs?kind=change", ">Change</span>", "No entry fits"),
        ("/audit", "<span class=\"sub\">connector acme", "No change fits"),
    ] {
        let and = if list.contains('?') { '&' } else { '?' };
        let later = get(&format!("{list}{and}before=2100-03-29T02%3A30")).await;
        assert!(later.contains(row) && later.contains("value=\"2100-03-29T02:30\""), "{list}: {later}");
        let earlier = get(&format!("{list}{and}before=2001-01-01T00%3A00")).await;
        assert!(!earlier.contains(row) && earlier.contains(none), "{list}: {earlier}");
    }
}

#[tokio::test]
async fn a_receipt_leads_to_its_session_while_there_is_one() {
    let site = Site::new().await;
    let cookies = site.person("vera", Role::Viewer).await;
    site.add_connector("acme", "").await;
    let remote = (IpAddr::from([203, 0, 113, 9]), LOCAL);
    let place = site.presence.enter(SessionId::new(&site.ids), remote, Timestamp::default());
    let receipt = Receipt { session_id: place.id().clone(), ..receipt_of(&site, "acme", "a.x12") };
    let (page, row) = (format!("/activity/receive/{}", receipt.id), format!("/activity/receive?open={}", receipt.id));
    let received = Received::of(receipt, &site.ids);
    let published = Published::of(&received.receipt, received.event_id.clone());
    site.recorder.receive(received).await.unwrap();
    site.recorder.publish(published).await;
    site.recorder.flush().await.unwrap();
    let link = format!("href=\"/activity/sessions/{}\"", place.id());
    for path in [&page, &row] {
        let text = site.get(path, &cookies).await.text;
        assert!(text.contains(&link), "{path}");
        // Times that the script puts into the reader's zone, as the heading says.
        for fact in ["Begun", "Completed"] {
            assert!(text.contains(&format!("<dt>{fact}</dt><dd><time datetime=")), "{path}: {fact}");
        }
    }
    drop(place);
    assert!(!site.get(&page, &cookies).await.text.contains(&link));
}

#[tokio::test]
async fn a_receipt_tells_what_its_file_was_called_before() {
    let site = Site::new().await;
    let cookies = site.person("vera", Role::Viewer).await;
    site.add_connector("acme", "").await;
    let id = site.receive("acme", "a.x12").await;
    let way = ("/Receive/a.x12".to_owned(), "/Receive/b.x12".to_owned());
    let rename = Rename::begin(&site.db, ("acme", Some((id.clone(), NewName::default()))), way, Clock::System.now());
    rename.await.unwrap().settle(&site.db).await.unwrap();
    for path in [format!("/activity/receive/{id}"), format!("/activity/receive?open={id}")] {
        let text = site.get(&path, &cookies).await.text;
        let told = text.split("<dt>Renamed</dt>").nth(1).unwrap_or_default();
        assert!(told.split("</dd>").next().unwrap().ends_with("until then /Receive/a.x12"), "{path}: {told}");
    }
}
