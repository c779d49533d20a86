//! The pages of one connector through the whole router: the files waiting for the partner, and putting files there.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, COOKIE, HOST, LOCATION};
use axum::http::{Method, Request, StatusCode};

use super::pages::send::FILES_MAX;
use super::tests::{Answer, Site};
use crate::base::file_id::FileId;
use crate::domain::administrator::Role;
use crate::domain::connector::ConnectorId;
use crate::domain::event::EventKind;
use crate::domain::receipt::Ending;
use crate::domain::setting::Texts;
use crate::store::connector::{self, Edit};
use crate::store::receipt::{self, Search};
use crate::store::{audit, collected, event, profile, transfer};
use crate::transfer::stand_in::{Feed, StandIn};

impl Site {
    /// A file or folder below the connector's folders.
    pub(super) fn partner_path(&self, below: &str) -> PathBuf {
        self.folder.path().join("partners").join(below)
    }

    /// Sets one value of a connector.
    pub(super) async fn set(&self, id: &str, key: &str, value: &str) {
        let values = Texts::from([(key.to_owned(), value.to_owned())]);
        let edit = Edit { values, ..Edit::default() };
        connector::save(&self.db, &ConnectorId::parse(id).unwrap(), &edit, &self.change()).await.unwrap();
        self.live.refresh().await.unwrap();
    }

    /// Sets one of the profile's settings.
    pub(super) async fn set_profile(&self, key: &str, value: &str) {
        let values = Texts::from([(key.to_owned(), value.to_owned())]);
        profile::save(&self.db, &values, None, &self.change()).await.unwrap();
        self.live.refresh().await.unwrap();
    }

    async fn put(&self, cookies: &str, clash: &str, files: &[(&str, &str)]) -> Answer {
        let csrf = self.get("/connectors/acme/send", cookies).await.csrf();
        let mut parts = vec![("csrf", None, csrf.as_str()), ("clash", None, clash)];
        parts.extend(files.iter().map(|(name, contents)| ("files", Some(*name), *contents)));
        self.upload("/connectors/acme/send/add", cookies, &parts).await
    }

    fn in_send(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(self.partner_path("acme/Send"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != ".waybill")
            .collect();
        names.sort();
        names
    }
}

/// The hidden field `name` of the row's form.
fn hidden(page: &str, below: &str, name: &str) -> String {
    let (_, row) = page.split_once(&format!("name=\"below\" value=\"{below}\"")).expect("the row");
    let (_, rest) = row.split_once(&format!("name=\"{name}\" value=\"")).expect("the field");
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_password_of_a_save_that_came_too_late_is_not_shown_as_if_it_were_in_force() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Editor).await;
    site.add_connector("acme", "").await;
    site.set("acme", "description", "Retail").await;
    let csrf = site.get("/connectors/acme/settings", &cookies).await.csrf();
    // The typed settings equal what somebody else has saved; the password does not.
    let form = [
        ("csrf", csrf.as_str()),
        ("tab", "settings"),
        ("version", "0"),
        ("fields", "description"),
        ("description", "Retail"),
        ("generate", "1"),
    ];
    let late = site.ask(Method::POST, "/connectors/acme/save", &cookies, Some(&form)).await;
    assert_eq!(late.status, StatusCode::CONFLICT);
    assert!(late.text.contains("Nothing of yours was saved"), "{}", late.text);
    // Nor is one typed in the form that is shown again: its author must know.
    assert!(late.text.contains("No password was made: press Generate again"), "{}", late.text);
    let typed = [&form[..2], &[("fields", "stall_timeout_s"), ("stall_timeout_s", "x")]].concat();
    let typed = [&typed[..], &[("password", "a new long password")]].concat();
    let wrong = site.ask(Method::POST, "/connectors/acme/save", &cookies, Some(&typed)).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text.contains("type it once more") && !wrong.text.contains("a new long"), "{}", wrong.text);
    assert!(!site.get("/connectors/acme/settings", &cookies).await.text.contains("shown here once"));
}

#[tokio::test]
async fn files_put_into_send_lie_there_whole_and_a_taken_name_is_refused_replaced_or_numbered() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Editor).await;
    site.add_connector("acme", "").await;
    let empty = site.get("/connectors/acme/send", &cookies).await;
    assert!(empty.text.contains("Nothing waits for acme"), "{}", empty.text);
    let added = site.put(&cookies, "refuse", &[("po.edi", "one"), ("inv <1>.edi", "two")]).await;
    assert_eq!(
        (added.status, added.header(LOCATION)),
        (StatusCode::SEE_OTHER, "/connectors/acme/send"),
        "{}",
        added.text
    );
    let page = site.get("/connectors/acme/send", &cookies).await;
    assert!(page.text.contains("Added 2 files") && page.text.contains("inv &#60;1&#62;.edi"), "{}", page.text);
    let refused = site.put(&cookies, "refuse", &[("po.edi", "three"), ("new.edi", "new")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("There is 1 problem. 1 file was added."), "{}", refused.text);
    assert!(refused.text.contains(">po.edi is there already."), "{}", refused.text);
    let read = |name: &str| std::fs::read_to_string(site.partner_path("acme/Send").join(name)).unwrap();
    assert_eq!(read("po.edi"), "one");
    assert_eq!(site.put(&cookies, "number", &[("po.edi", "four")]).await.status, StatusCode::SEE_OTHER);
    assert_eq!(site.put(&cookies, "replace", &[("po.edi", "five")]).await.status, StatusCode::SEE_OTHER);
    assert_eq!(site.in_send(), ["inv <1>.edi", "new.edi", "po-1.edi", "po.edi"]);
    assert_eq!((read("po.edi").as_str(), read("po-1.edi").as_str()), ("five", "four"));
    assert_eq!(std::fs::read_dir(site.partner_path("acme/Send/.waybill")).unwrap().count(), 0, "parts stayed");
    let noted = audit::latest(&site.db, Some("connector acme"), 10).await.unwrap();
    assert!(noted.iter().any(|one| one.who == "mira" && one.after == "po-1.edi, 4 bytes"), "{noted:?}");
}

#[tokio::test]
async fn what_no_listing_can_show_is_told_with_what_would_be_right() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Viewer).await;
    site.add_connector("acme", "").await;
    assert!(!site.get("/connectors/acme/send", &cookies).await.text.contains("never shown"));
    let send = site.partner_path("acme/Send");
    std::fs::write(send.join(std::ffi::OsStr::from_bytes(b"caf\xe9.csv")), "x").unwrap();
    std::os::unix::fs::symlink("/etc/hostname", send.join("link.csv")).unwrap();
    let page = site.get("/connectors/acme/send", &cookies).await.text;
    for words in [
        "2 things that lie in Send are never shown",
        "caf\\xE9.csv</span>: its name is not UTF-8",
        "link.csv</span>: it is a symbolic link",
    ] {
        assert!(page.contains(words), "no {words} in {page}");
    }
}

#[tokio::test]
async fn what_the_partner_could_not_fetch_is_not_put_there_and_no_name_leads_out() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Editor).await;
    site.add_connector("acme", "").await;
    site.set("acme", "allowed_files_filter", "*.edi").await;
    let names = [("../../up.edi", "x"), (".waybill", "x"), ("report.pdf", "x")];
    let answer = site.put(&cookies, "replace", &names).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer.text.contains("report.pdf matches no pattern"), "{}", answer.text);
    assert_eq!(site.in_send(), ["up.edi"], "folders of a name are left away");
    site.set("acme", "send_read", "off").await;
    let answer = site.put(&cookies, "replace", &[("po.edi", "x")]).await;
    assert!(answer.text.contains("Send has no Read"), "{}", answer.text);
    let page = site.get("/connectors/acme/send", &cookies).await;
    assert!(page.text.contains("The partner cannot fetch it"), "{}", page.text);
    let nothing = site.put(&cookies, "replace", &[]).await;
    assert!(nothing.text.contains("Choose at least one file"), "{}", nothing.text);
    let parts = [("csrf", None, "wrong"), ("files", Some("evil.edi"), "x")];
    let forged = site.upload("/connectors/acme/send/add", &cookies, &parts).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    assert_eq!(site.in_send(), ["up.edi"]);
}

#[tokio::test]
async fn files_beyond_those_of_one_form_are_told_and_not_passed_over() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Editor).await;
    site.add_connector("acme", "").await;
    site.set("acme", "allowed_files_filter", "*.edi").await;
    let mut files = vec![("report.pdf", "x"); FILES_MAX - 1];
    files.extend([("last.edi", "x"), ("beyond.edi", "x"), ("further.edi", "x")]);
    let answer = site.put(&cookies, "refuse", &files).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        answer.text.contains("1,000 files; the last 2 files were not added"),
        "the last are passed over in silence"
    );
    assert_eq!(site.in_send(), ["last.edi"]);
}

#[tokio::test]
async fn a_form_that_breaks_off_says_that_the_files_before_are_kept() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Editor).await;
    site.add_connector("acme", "").await;
    let csrf = site.get("/connectors/acme/send", &cookies).await.csrf();
    let part = |head: &str, contents: &str| format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{contents}");
    let file = |name: &str| part(&format!("name=\"files\"; filename=\"{name}\""), "bytes");
    let body = [part("name=\"csrf\"", &csrf), file("whole.edi"), file("cut.edi")].join("\r\n");
    let request = Request::post("/connectors/acme/send/add")
        .header(HOST, "127.0.0.1:8020")
        .header(COOKIE, &cookies)
        .header(CONTENT_TYPE, "multipart/form-data; boundary=b");
    let answer = site.send(request.body(Body::from(body)).unwrap()).await;
    assert_eq!((answer.status, site.in_send()), (StatusCode::BAD_REQUEST, vec!["whole.edi".to_owned()]));
    assert!(answer.text.contains("those that came whole before it are"), "{}", answer.text);
    assert!(!answer.text.contains("Nothing was saved"));
}

#[tokio::test]
async fn only_the_version_that_was_seen_is_removed_and_downloads_are_counted() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Editor).await;
    site.add_connector("acme", "").await;
    site.put(&cookies, "refuse", &[("po.edi", "one")]).await;
    let seen = site.get("/connectors/acme/send", &cookies).await;
    let form = |page: &Answer| {
        let value = |name| (name, hidden(&page.text, "po.edi", name));
        let mut form = vec![("csrf", page.csrf()), ("below", "po.edi".to_owned())];
        form.extend([value("inode"), value("size"), value("modified")]);
        form
    };
    let send = async |form: Vec<(&str, String)>| {
        let form: Vec<_> = form.iter().map(|(key, value)| (*key, value.as_str())).collect();
        site.ask(Method::POST, "/connectors/acme/send/remove", &cookies, Some(&form)).await
    };
    site.put(&cookies, "replace", &[("po.edi", "longer")]).await;
    let stale = send(form(&seen)).await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    assert!(stale.text.contains("po.edi was replaced meanwhile"), "{}", stale.text);
    assert_eq!(site.in_send(), ["po.edi"]);
    let page = site.get("/connectors/acme/send", &cookies).await;
    let number = |name| hidden(&page.text, "po.edi", name).parse::<i64>().unwrap();
    let id = FileId {
        inode: number("inode").cast_unsigned(),
        size_bytes: number("size").unsigned_abs(),
        modified: crate::base::clock::Timestamp::from_us(number("modified")),
    };
    let file = collected::FileInSend { connector_key: "acme".to_owned(), path: "/Send/po.edi".to_owned(), id };
    collected::cover(&site.db, &file, 2, site.depot.clock.now()).await.unwrap();
    let page = site.get("/connectors/acme/send", &cookies).await;
    assert!(page.text.contains("data-label=\"Downloaded\"><time") && page.text.contains(">0</td>"), "{}", page.text);
    let removed = send(form(&page)).await;
    assert_eq!(removed.status, StatusCode::SEE_OTHER, "{}", removed.text);
    assert!(site.in_send().is_empty());
    assert_eq!(send(form(&page)).await.status, StatusCode::CONFLICT);
    let outside = site.partner_path("secret");
    std::fs::write(&outside, "s").unwrap();
    let mut form = form(&page);
    form[1].1 = "../../secret".to_owned();
    assert_eq!(send(form).await.status, StatusCode::CONFLICT);
    assert!(outside.exists());
}

#[tokio::test]
async fn an_upload_as_if_the_partner_had_makes_receipt_and_event_by_the_partners_own_rules() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Editor).await;
    site.add_connector("acme", "").await;
    site.set("acme", "allowed_files_filter", "*.edi").await;
    let csrf = site.get("/connectors/acme/receive/upload", &cookies).await.csrf();
    let send = async |files: &[(&str, &str)]| {
        let mut parts = vec![("csrf", None, csrf.as_str())];
        parts.extend(files.iter().map(|(name, contents)| ("files", Some(*name), *contents)));
        site.upload("/connectors/acme/receive/add", &cookies, &parts).await
    };
    let refused = send(&[("po.edi", "one"), ("report.pdf", "x")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("There is 1 problem. 1 file was received."), "{}", refused.text);
    assert!(refused.text.contains("report.pdf: Name not accepted"), "{}", refused.text);
    let done = send(&[("po.edi.tmp", "aside")]).await;
    assert_eq!(done.header(LOCATION), "/connectors/acme/receive", "{}", done.text);
    assert_eq!(std::fs::read_to_string(site.partner_path("acme/Receive/po.edi")).unwrap(), "one");
    site.depot.recorder.flush().await.unwrap();
    let receipts = receipt::page(&site.db, &Search::default(), None, 10).await.unwrap();
    assert_eq!(receipts.len(), 1, "a temporary name made a receipt");
    assert_eq!((receipts[0].client_path.as_str(), receipts[0].size_bytes), ("/Receive/po.edi", 3));
    let events = event::page(
        &site.db,
        &event::Filter { kind: Some(EventKind::AfterReceive), ..event::Filter::default() },
        None,
        10,
    )
    .await
    .unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].receipt_id.as_ref(), Some(&receipts[0].id));
    let moved = transfer::page(&site.db, &transfer::Filter::default(), None, 10).await.unwrap();
    assert!(moved.iter().all(|one| one.reply == "Uploaded by mira as if the partner had"), "{moved:?}");
    assert_eq!(site.get("/connectors/acme/receive/upload", &site.person("vera", Role::Viewer).await).await.status, 403);
}

#[tokio::test]
async fn an_upload_whose_browser_goes_away_is_not_received() {
    let site = Site::new().await;
    site.add_connector("acme", "").await;
    let snapshot = site.live.snapshot();
    let live = snapshot.connector("acme").cloned().unwrap();
    let by = StandIn { who: "mira", remote: [127, 0, 0, 1].into() };
    let mut feed = Feed::begin(&site.depot, (snapshot, live), &by, "big.edi").await.unwrap();
    assert!(feed.write(b"half").await);
    drop(feed);
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(5);
    let record = loop {
        site.depot.recorder.flush().await.unwrap();
        match transfer::page(&site.db, &transfer::Filter::default(), None, 1).await.unwrap().pop() {
            Some(record) => break record,
            None if tokio::time::Instant::now() < end => tokio::task::yield_now().await,
            None => panic!("no record of the broken upload"),
        }
    };
    assert!(!record.complete && record.ending == Ending::Cut, "{record:?}");
    assert!(!site.partner_path("acme/Receive/big.edi").exists());
    assert!(receipt::page(&site.db, &Search::default(), None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_sheet_says_when_a_fact_on_it_changed_since_the_partner_got_it() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Editor).await;
    site.add_connector("acme", "Acme & <Sons>").await;
    let page = site.get("/connectors/acme/sheet?contact=edi%40example.com", &cookies).await;
    for part in ["sent separately", "FTP, explicit TLS", "Questions: edi@example.com"] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    assert!(!page.text.contains("Sons"), "the description is for the administrator only");
    let text = site.get("/connectors/acme/sheet.txt?contact=edi%40example.com", &cookies).await;
    assert_eq!(text.header(CONTENT_DISPOSITION), "attachment; filename=\"acme-sheet.txt\"");
    assert!(text.text.ends_with("Questions: edi@example.com\n") && text.text.contains("SHA-256 "), "{}", text.text);
    let xml = site.get("/connectors/acme/filezilla.xml", &cookies).await;
    assert!(xml.text.contains("<User>acme</User>") && !xml.text.contains("<Pass"), "{}", xml.text);
    let csrf = page.csrf();
    let given = site.ask(Method::POST, "/connectors/acme/sheet/given", &cookies, Some(&[("csrf", &csrf)])).await;
    assert_eq!(given.header(LOCATION), "/connectors/acme/settings", "{}", given.text);
    let page = site.get("/connectors/acme/settings", &cookies).await;
    assert!(page.text.contains("acme has sheet 1") && !page.text.contains("Sheet out of date"), "{}", page.text);
    site.set("acme", "description", "Another name").await;
    assert!(!site.get("/connectors/acme/settings", &cookies).await.text.contains("Sheet out of date"));
    let elsewhere = Request::get("/connectors/acme/sheet").header(HOST, "localhost:8020").header(COOKIE, &cookies);
    let elsewhere = site.send(elsewhere.body(Body::empty()).unwrap()).await.text;
    assert!(elsewhere.contains("localhost") && !elsewhere.contains("A fact on this sheet has changed"), "{elsewhere}");
    site.set("acme", "allowed_files_filter", "*.edi").await;
    assert!(site.get("/connectors/acme/settings", &cookies).await.text.contains("Sheet out of date"));
    assert!(site.get("/connectors/acme/sheet", &cookies).await.text.contains("A fact on this sheet has changed"));
}

#[tokio::test]
async fn what_would_go_of_one_partner_is_shown_by_what_is_typed_and_nothing_is_saved() {
    let site = Site::new().await;
    let cookies = site.person("edda", Role::Editor).await;
    site.add_connector("acme", "").await;
    let page = site.get("/connectors/acme/advanced", &cookies).await;
    assert!(!page.text.contains("What would go now") && page.text.contains("Show what would go"));
    assert!(!site.get("/connectors/acme/settings", &cookies).await.text.contains("Show what would go"));
    let csrf = page.csrf();
    let form = |days| {
        let key = "sent_keep_days";
        [("csrf", csrf.as_str()), ("fields", key), (key, days), ("tab", "advanced"), ("version", "0"), ("preview", "1")]
    };
    let preview = site.post("/connectors/acme/save", &cookies, &form("forever")).await;
    assert_eq!(preview.status, StatusCode::OK, "{}", preview.text);
    for part in ["What would go now", "<td>Receipts</td>", "Copies in Sent folders", "value=\"forever\""] {
        assert!(preview.text.contains(part), "no {part} in {}", preview.text);
    }
    let refused = site.post("/connectors/acme/save", &cookies, &form("soon")).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("soon is neither a number of days from 1 to 36500 nor forever"));
    let stored = connector::all(&site.db).await.unwrap();
    assert!(stored.iter().all(|one| one.stored.texts.get("sent_keep_days").is_none_or(String::is_empty)));
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_to_is_refused_beside_its_control_before_it_is_stored() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Admin).await;
    site.add_connector("acme", "").await;
    std::fs::write(site.folder.path().join("a-file"), "").unwrap();
    let csrf = site.get("/connectors/acme/advanced", &cookies).await.csrf();
    let inside = site.folder.path().join("a-file/in");
    let form = [
        ("csrf", csrf.as_str()),
        ("tab", "advanced"),
        ("fields", "input_folder,timeout_s"),
        ("input_folder", inside.to_str().unwrap()),
        ("timeout_s", "0"),
    ];
    let refused = site.ask(Method::POST, "/connectors/acme/save", &cookies, Some(&form)).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("There are 2 problems"), "{}", refused.text);
    assert!(refused.text.contains("a-file is a file or leads nowhere; choose another"), "{}", refused.text);
    let form = [("csrf", csrf.as_str()), ("fields", "root_directory"), ("root_directory", "a-file")];
    let refused = site.ask(Method::POST, "/profiles/ftp/save", &cookies, Some(&form)).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("id=\"root_directory-e\""), "{}", refused.text);
    let stored = crate::store::profile::load(&site.db).await.unwrap();
    assert!(!stored.texts.contains_key("root_directory"));
}

#[tokio::test]
async fn an_address_with_a_part_that_is_there_twice_gets_a_page_that_says_so() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Viewer).await;
    let page = site.get("/activity/receive?q=a&q=b", &cookies).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    assert!(page.text.contains("<h1>This address cannot be read</h1>"), "{}", page.text);
}

#[tokio::test]
async fn the_advanced_tab_chooses_between_the_profiles_filter_and_an_own_one_and_says_what_folders_hold() {
    let site = Site::new().await;
    site.add_connector("acme", "").await;
    site.set_profile("allowed_files_filter", "*.x12").await;
    let cookies = site.person("edda", Role::Editor).await;
    std::fs::create_dir_all(site.partner_path("acme/Send/more")).unwrap();
    std::fs::write(site.partner_path("acme/Send/a"), "123").unwrap();
    std::fs::write(site.partner_path("acme/Send/more/b"), "12").unwrap();
    let page = site.get("/connectors/acme/advanced", &cookies).await;
    for words in ["It holds 2 files, 5 bytes.", "It is empty.", "*.x12</small>", "data-chips"] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    let save = async |from: &str, own: &str| {
        let page = site.get("/connectors/acme/advanced", &cookies).await;
        let (csrf, key) = (page.csrf(), "allowed_files_filter");
        let form = [
            ("csrf", csrf.as_str()),
            ("tab", "advanced"),
            ("fields", key),
            ("from.allowed_files_filter", from),
            (key, own),
        ];
        site.ask(Method::POST, "/connectors/acme/save", &cookies, Some(&form)).await
    };
    let stored = async || connector::all(&site.db).await.unwrap()[0].stored.texts.get("allowed_files_filter").cloned();
    assert_eq!(save("own", "*.edi").await.status, StatusCode::SEE_OTHER);
    assert_eq!(stored().await.as_deref(), Some("*.edi"));
    let refused = save("own", " ").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("An own filter is to be given"), "{}", refused.text);
    assert_eq!(save("as_profile", "*.edi").await.status, StatusCode::SEE_OTHER);
    assert_eq!(stored().await.unwrap_or_else(|| "as_profile".to_owned()), "as_profile");
}

#[tokio::test]
async fn permissions_are_a_grid_and_what_switching_off_would_end_is_said() {
    let site = Site::new().await;
    site.add_connector("acme", "").await;
    let cookies = site.person("edda", Role::Editor).await;
    let page = site.get("/connectors/acme/settings", &cookies).await.text;
    for words in [
        "id=\"send_read\" name=\"send_read\" aria-label=\"Send: read\" checked",
        "id=\"send_write\" name=\"send_write\" aria-label=\"Send: write\">",
        "id=\"receive_write\" name=\"receive_write\" aria-label=\"Receive: write\" checked",
        "No session is open now.",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    for key in ["send_read", "receive_read", "receive_write"] {
        site.set("acme", key, "off").await;
    }
    let page = site.get("/connectors/acme/settings", &cookies).await.text;
    assert!(page.contains("Nothing is allowed in either folder"), "{page}");
}

#[tokio::test]
async fn who_may_not_save_settings_has_them_in_controls_that_take_nothing() {
    let site = Site::new().await;
    site.add_connector("acme", "").await;
    let mut people = Vec::new();
    for (name, role) in [("vera", Role::Viewer), ("edda", Role::Editor), ("mira", Role::Admin)] {
        people.push((site.person(name, role).await, role));
    }
    for (page, needed) in [
        ("/connectors/acme/settings", Role::Editor),
        ("/connectors/acme/advanced", Role::Editor),
        ("/profiles/ftp", Role::Admin),
        ("/profiles/mail", Role::Admin),
    ] {
        for (cookies, role) in &people {
            let page = site.get(page, cookies).await.text;
            let (open, closed) = ("<fieldset class=\"plain\">", "<fieldset class=\"plain\" disabled>");
            assert_eq!(
                (page.contains(open), page.contains(closed)),
                (*role >= needed, *role < needed),
                "{role:?}: {page}"
            );
        }
    }
    for (cookies, role) in &people {
        let sheet = site.get("/connectors/acme/sheet", cookies).await.text;
        assert_eq!(sheet.contains("href=\"/settings"), *role == Role::Admin, "{role:?}: {sheet}");
        assert!(sheet.contains("host name shown to partners"), "{sheet}");
    }
}

#[tokio::test]
async fn what_only_partners_have_says_so_for_a_folder() {
    let site = Site::new().await;
    let cookies = site.person("ed", Role::Editor).await;
    let (id, folder) = (ConnectorId::parse("Archive").unwrap(), ("type".to_owned(), "folder".to_owned()));
    connector::add(&site.db, &id, &Texts::from([folder]), None, &site.change()).await.unwrap();
    site.live.refresh().await.unwrap();
    for tab in ["advanced", "alerts", "slas", "automation", "send", "receive", "sheet", "test"] {
        let page = site.get(&format!("/connectors/archive/{tab}"), &cookies).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{tab}");
        assert!(page.text.contains("Archive is a Folder: only an FTP Server has this page"), "{tab}: {}", page.text);
    }
    let logs = site.get("/connectors/archive/logs", &cookies).await;
    assert!(logs.status == StatusCode::OK && !logs.text.contains("/advanced"), "{}", logs.text);
    assert!(site.get("/connectors/nobody/slas", &cookies).await.text.contains("There is no connector nobody"));
}

#[tokio::test]
async fn an_end_of_a_flow_is_not_said_to_pass_nothing_on() {
    let site = Site::new().await;
    let cookies = site.person("vera", Role::Viewer).await;
    for (id, kind) in [("archive", "folder"), ("erp", "webhook")] {
        let pairs = [("type", kind), ("url", "https://erp.example.com/")];
        let values = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter();
        let values: Texts = values.filter(|(key, _)| key == "type" || kind == "webhook").collect();
        connector::add(&site.db, &ConnectorId::parse(id).unwrap(), &values, None, &site.change()).await.unwrap();
    }
    site.live.refresh().await.unwrap();
    let page = async |id: &str| site.get(&format!("/connectors/{id}/settings"), &cookies).await.text;
    assert!(page("archive").await.contains("<dt>Passes to</dt><dd>Nobody: files stay</dd>"));
    assert!(!page("erp").await.contains("Passes to"));
    assert!(!page("archive").await.contains("/flows#connect"), "a viewer finds no form there");
}
