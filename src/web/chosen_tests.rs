//! What an administrator does with received files, through the whole router: download, zip, delete, begin anew; and a
//! browser's preferences.

use std::io::{Cursor, Read};

use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    COOKIE, ETAG, HOST, IF_RANGE, LOCATION, ORIGIN, RANGE,
};
use axum::http::{HeaderName, Method, Request, StatusCode};
use zip::ZipArchive;

use super::tests::Site;
use crate::base::id::ReceiptId;
use crate::domain::administrator::Role;
use crate::domain::receipt::Status;
use crate::store::receipt::{self, Search};
use crate::store::{arrow, audit};

/// A site with files uploaded by acme, oldest first, and a signed-in editor.
async fn uploaded(names: &[&str]) -> (Site, String, Vec<ReceiptId>) {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Editor).await;
    site.add_connector("acme", "").await;
    for name in names {
        upload(&site, &cookies, name).await;
    }
    let mut found = receipt::page(&site.db, &Search::default(), None, 100).await.unwrap();
    found.reverse();
    let ids = names.iter().map(|name| found.iter().find(|one| one.name == *name).unwrap().id.clone()).collect();
    (site, cookies, ids)
}

async fn upload(site: &Site, cookies: &str, name: &str) {
    let csrf = site.get("/connectors/acme/receive/upload", cookies).await.csrf();
    let contents = format!("contents of {name}");
    let parts = [("csrf", None, csrf.as_str()), ("files", Some(name), contents.as_str())];
    let done = site.upload("/connectors/acme/receive/add", cookies, &parts).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    site.depot.recorder.flush().await.unwrap();
}

async fn choose(site: &Site, cookies: &str, fields: &[(&str, &str)]) -> super::tests::Answer {
    let csrf = site.get("/activity/receive", cookies).await.csrf();
    let fields: Vec<_> = std::iter::once(("csrf", csrf.as_str())).chain(fields.iter().copied()).collect();
    site.ask(Method::POST, "/activity/receive/chosen", cookies, Some(&fields)).await
}

async fn status(site: &Site, id: &ReceiptId) -> Status {
    receipt::find(&site.db, id).await.unwrap().unwrap().status
}

#[tokio::test]
async fn a_received_file_is_downloaded_as_it_is_and_the_audit_says_by_whom() {
    let (site, cookies, ids) = uploaded(&["März, 1.x12"]).await;
    let file = site.get(&format!("/activity/receive/{}/file", ids[0]), &cookies).await;
    assert_eq!(file.text, "contents of März, 1.x12");
    assert!(file.header(CONTENT_DISPOSITION).ends_with("filename*=UTF-8''M%C3%A4rz%2C%201.x12"));
    assert!(file.headers["repr-digest"].to_str().unwrap().starts_with("sha-256=:"));
    let entries = audit::latest(&site.db, None, 5).await.unwrap();
    assert!(entries.iter().any(|entry| entry.key == "downloaded" && entry.who == "mira"), "{entries:?}");
    std::fs::remove_file(site.partner_path("acme/Receive/März, 1.x12")).unwrap();
    let gone = site.get(&format!("/activity/receive/{}/file", ids[0]), &cookies).await;
    assert_eq!(gone.status, StatusCode::GONE);
    assert!(gone.text.contains("not here any more"), "{}", gone.text);
    let viewer = site.person("vera", Role::Viewer).await;
    assert!(!site.get("/activity/receive", &viewer).await.text.contains("name=\"id\""), "a viewer has nothing to tick");
}

#[tokio::test]
async fn a_file_goes_as_it_is_to_a_browser_that_would_take_it_compressed_and_who_only_asks_reads_nothing() {
    let (site, cookies, ids) = uploaded(&["a-name-that-makes-it-worth-while.x12"]).await;
    let ask = async |method: Method| {
        let request = Request::builder().method(method).uri(format!("/activity/receive/{}/file", ids[0]));
        let request = request.header(HOST, "127.0.0.1:8020").header(COOKIE, &cookies).header(ACCEPT_ENCODING, "gzip");
        site.send(request.body(Body::empty()).unwrap()).await
    };
    let downloads = async || {
        let entries = audit::latest(&site.db, None, 20).await.unwrap();
        entries.iter().filter(|entry| entry.key == "downloaded").count()
    };
    let asked = ask(Method::HEAD).await;
    assert_eq!((asked.header(CONTENT_LENGTH), asked.text.as_str(), downloads().await), ("48", "", 0));
    let file = ask(Method::GET).await;
    assert_eq!(file.text, "contents of a-name-that-makes-it-worth-while.x12");
    assert_eq!((file.header(CONTENT_ENCODING), file.header(CONTENT_LENGTH), downloads().await), ("", "48", 1));
}

#[tokio::test]
async fn a_download_that_broke_off_goes_on_with_the_same_file() {
    let (site, cookies, ids) = uploaded(&["a.x12"]).await;
    let ask = async |method: Method, headers: &[(HeaderName, &str)]| {
        let request = Request::builder().method(method).uri(format!("/activity/receive/{}/file", ids[0]));
        let request = request.header(HOST, "127.0.0.1:8020").header(COOKIE, &cookies);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, *value));
        site.send(request.body(Body::empty()).unwrap()).await
    };
    let whole = ask(Method::HEAD, &[(RANGE, "bytes=3-5")]).await;
    let etag = whole.header(ETAG).to_owned();
    assert_eq!((etag.len(), whole.header(ACCEPT_RANGES), whole.header(CONTENT_LENGTH)), (66, "bytes", "17"));
    let same = (IF_RANGE, etag.as_str());
    let (all, weak) = ("contents of a.x12", format!("W/{etag}"));
    for (headers, said) in [
        (&[(RANGE, "bytes=9-")][..], (206, "bytes 9-16/17", "8", "of a.x12")),
        (&[(RANGE, "bytes=9-"), same.clone()], (206, "bytes 9-16/17", "8", "of a.x12")),
        (&[(RANGE, "bytes=-4"), (ACCEPT_ENCODING, "gzip")], (206, "bytes 13-16/17", "4", ".x12")),
        (&[(RANGE, "bytes=0-7")], (206, "bytes 0-7/17", "8", "contents")),
        (&[(RANGE, "bytes=9-"), (IF_RANGE, "\"another\"")], (200, "", "17", all)),
        (&[(RANGE, "bytes=9-"), (IF_RANGE, &weak)], (200, "", "17", all)),
        (&[(RANGE, "bytes=9-"), (IF_RANGE, "Tue, 24 Nov 2026 08:00:00 GMT")], (200, "", "17", all)),
        (&[(RANGE, "bytes=0-1,3-4")], (200, "", "17", all)),
        (&[(RANGE, "bytes=17-")], (416, "bytes */17", "0", "")),
        (&[(RANGE, "bytes=17-"), (IF_RANGE, "\"another\"")], (200, "", "17", all)),
    ] {
        let answer = ask(Method::GET, headers).await;
        let got = (answer.status.as_u16(), answer.header(CONTENT_RANGE), answer.header(CONTENT_LENGTH));
        assert_eq!((got.0, got.1, got.2, answer.text.as_str()), said, "{headers:?}");
        assert_eq!((answer.header(ETAG), answer.header(ACCEPT_RANGES)), (etag.as_str(), "bytes"), "{headers:?}");
        // Of the whole file, whichever part is sent.
        assert_eq!(answer.headers["repr-digest"], whole.headers["repr-digest"]);
    }
    let entries = audit::latest(&site.db, None, 50).await.unwrap();
    assert_eq!(entries.iter().filter(|entry| entry.key == "downloaded").count(), 9, "who read nothing is not told");
}

#[tokio::test]
async fn chosen_files_are_one_zip_that_says_what_is_not_in_it() {
    let (site, cookies, ids) = uploaded(&["a.x12", "b.x12", "c.x12"]).await;
    std::fs::remove_file(site.partner_path("acme/Receive/b.x12")).unwrap();
    let csrf = site.get("/activity/receive", &cookies).await.csrf();
    let form = format!("csrf={csrf}&act=zip&id={}&id={}", ids[0], ids[1]);
    let request = Request::post("/activity/receive/chosen")
        .header(HOST, "127.0.0.1:8020")
        .header(ORIGIN, "http://127.0.0.1:8020")
        .header(COOKIE, &cookies)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let response = site.raw(request.body(Body::from(form)).unwrap()).await;
    assert_eq!(response.headers()[CONTENT_TYPE], "application/zip");
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let mut zip = ZipArchive::new(Cursor::new(bytes.to_vec())).unwrap();
    let names: Vec<_> = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
    assert_eq!(names, ["acme/a.x12", "NOT IN THIS ZIP.txt"]);
    let mut text = String::new();
    zip.by_index(0).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "contents of a.x12");
    text.clear();
    zip.by_index(1).unwrap().read_to_string(&mut text).unwrap();
    assert!(text.contains("/Receive/b.x12") && !text.contains("c.x12"), "{text}");
}

#[tokio::test]
async fn files_are_deleted_after_their_number_was_typed_and_others_stay() {
    let (site, cookies, ids) = uploaded(&["a.x12", "b.x12", "c.x12"]).await;
    let [a, b] = [ids[0].as_str(), ids[1].as_str()];
    let chosen = [("act", "delete"), ("id", a), ("id", b)];
    let asked = choose(&site, &cookies, &chosen).await;
    assert!(asked.text.contains("Delete 2 files?") && asked.text.contains("acme: /Receive/b.x12"), "{}", asked.text);
    assert!(site.partner_path("acme/Receive/a.x12").exists(), "asking deletes nothing");
    let wrong = [&chosen[..], &[("sure", "on"), ("number", "3")]].concat();
    let refused = choose(&site, &cookies, &wrong).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("Type 2 to delete them"), "{}", refused.text);
    assert!(site.partner_path("acme/Receive/a.x12").exists());
    let right = [&chosen[..], &[("sure", "on"), ("number", "2")]].concat();
    let done = choose(&site, &cookies, &right).await;
    assert_eq!(done.header(LOCATION), "/activity/receive", "{}", done.text);
    assert!(site.get("/activity/receive", &cookies).await.text.contains("Deleted 2 files."));
    for (id, name, there) in [(&ids[0], "a", false), (&ids[1], "b", false), (&ids[2], "c", true)] {
        assert_eq!(site.partner_path(&format!("acme/Receive/{name}.x12")).exists(), there, "{name}");
        assert_eq!(status(&site, id).await, if there { Status::InReceive } else { Status::Removed }, "{name}");
    }
    let entries = audit::latest(&site.db, Some(&format!("receipt {}", ids[1])), 5).await.unwrap();
    assert_eq!((entries[0].key.as_str(), entries[0].before.as_str()), ("removed", "/Receive/b.x12"));
    let again = choose(&site, &cookies, &right).await;
    assert_eq!(again.status, StatusCode::SEE_OTHER);
    let page = site.get("/activity/receive", &cookies).await;
    assert!(page.text.contains("2 files are left: it is not in Receive any more."), "{}", page.text);
}

#[tokio::test]
async fn all_of_a_filter_is_what_was_seen_and_another_files_name_is_not_touched() {
    let (site, cookies, ids) = uploaded(&["a.x12", "b.x12"]).await;
    let page = site.get("/activity/receive?connector=acme", &cookies).await;
    let (_, rest) = page.text.split_once("name=\"until\" value=\"").unwrap();
    let until = rest.split('"').next().unwrap().to_owned();
    // Somebody puts another file under the name; and one more is received.
    std::fs::remove_file(site.partner_path("acme/Receive/a.x12")).unwrap();
    std::fs::write(site.partner_path("acme/Receive/a.x12"), "by hand").unwrap();
    site.depot.clock.advance(std::time::Duration::from_secs(1));
    upload(&site, &cookies, "later.x12").await;
    let fields =
        [("act", "delete"), ("all", "on"), ("connector", "acme"), ("until", &until), ("sure", "on"), ("number", "2")];
    let done = choose(&site, &cookies, &fields).await;
    assert_eq!(done.header(LOCATION), "/activity/receive?connector=acme", "{}", done.text);
    assert_eq!(std::fs::read_to_string(site.partner_path("acme/Receive/a.x12")).unwrap(), "by hand");
    assert!(site.partner_path("acme/Receive/later.x12").exists());
    assert_eq!(status(&site, &ids[1]).await, Status::Removed);
    let nothing = choose(&site, &cookies, &[("act", "zip")]).await;
    assert_eq!(nothing.header(LOCATION), "/activity/receive");
    assert!(site.get("/activity/receive", &cookies).await.text.contains("No file was chosen."));
}

#[tokio::test]
async fn all_of_a_filter_on_a_page_that_begins_at_a_time_came_before_it() {
    let (site, cookies, _) = uploaded(&["a.x12", "b.x12"]).await;
    let page = site.get("/activity/receive?connector=acme&before=2100-01-01T00%3A00", &cookies).await.text;
    for shown in ["2 files on this page", "All files of this filter", "name=\"until\" value=\"4102444800000000,\""] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
}

#[tokio::test]
async fn what_waits_for_another_connector_is_begun_anew_and_not_deleted() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Editor).await;
    site.add_connector("acme", "").await;
    site.add_connector("globex", "").await;
    arrow::connect(&site.db, ("acme", "globex"), false, &site.change()).await.unwrap();
    site.live.refresh().await.unwrap();
    upload(&site, &cookies, "po.x12").await;
    let id = receipt::page(&site.db, &Search::default(), None, 1).await.unwrap().pop().unwrap().id;
    assert_eq!(status(&site, &id).await, Status::Waiting);
    let table = site.get(&format!("/activity/receive?open={id}"), &cookies).await;
    assert!(table.text.contains("<span class=\"sub hide-s\">globex</span>"), "the row says where it goes");
    assert!(table.text.contains("No target") && table.text.contains("Fire now: globex"), "{}", table.text);
    let asked = choose(&site, &cookies, &[("act", "delete"), ("id", id.as_str())]).await;
    assert!(asked.text.contains("it waits to be passed along; stop that first"), "{}", asked.text);
    assert!(asked.text.contains("There is nothing to do."), "{}", asked.text);
    let again = choose(&site, &cookies, &[("act", "again"), ("id", id.as_str()), ("sure", "on")]).await;
    assert_eq!(again.status, StatusCode::SEE_OTHER, "{}", again.text);
    assert!(site.get("/activity/receive", &cookies).await.text.contains("1 file passed along again"));
    let entries = audit::latest(&site.db, Some(&format!("receipt {id}")), 5).await.unwrap();
    assert_eq!(entries[0].key, "fired now");
    let fire = choose(&site, &cookies, &[("act", "fire"), ("id", id.as_str()), ("sure", "on")]).await;
    assert_eq!(fire.status, StatusCode::SEE_OTHER);
    assert!(site.get("/activity/receive", &cookies).await.text.contains("no action or event target was told of it"));
}

#[tokio::test]
async fn a_view_is_saved_for_whoever_gave_it_a_name() {
    let site = Site::new().await;
    let cookies = site.person("vera", Role::Viewer).await;
    let page = site.get("/activity/refusals?rule=idle", &cookies).await;
    assert!(page.text.contains("Save this view as"), "{}", page.text);
    let csrf = page.csrf();
    let send = async |path: &str, fields: &[(&str, &str)]| {
        let fields: Vec<_> = std::iter::once(("csrf", csrf.as_str())).chain(fields.iter().copied()).collect();
        site.ask(Method::POST, path, &cookies, Some(&fields)).await
    };
    let list = ("page", "/activity/refusals");
    let nameless = send("/views/save", &[list, ("query", "rule=idle"), ("name", " ")]).await;
    assert_eq!(nameless.header(LOCATION), "/activity/refusals?rule=idle");
    assert!(site.get("/activity/refusals", &cookies).await.text.contains("A name of 1 to 40 characters"));
    let long = "late in the evening, and whatever comes after it";
    send("/views/save", &[list, ("query", "rule=idle"), ("name", long)]).await;
    assert!(
        site.get("/activity/refusals", &cookies).await.text.contains(&format!("{long} is none. Nothing was saved"))
    );
    send("/views/save", &[list, ("query", "rule=idle"), ("name", "<b>Idle</b>")]).await;
    let shown = site.get("/activity/refusals?rule=idle", &cookies).await;
    assert!(shown.text.contains("&#60;b&#62;Idle&#60;/b&#62;</a>") && shown.text.contains("aria-current=\"true\""));
    let others = site.get("/activity/refusals", &site.person("mira", Role::Admin).await).await;
    assert!(!others.text.contains("Idle</a>") && !others.text.contains("Idle&#60;"), "{}", others.text);
    let elsewhere = send("/views/save", &[("page", "//evil.example"), ("query", ""), ("name", "x")]).await;
    assert_eq!(elsewhere.status, StatusCode::NOT_FOUND);
    for n in 0..30 {
        send("/views/save", &[list, ("query", "rule=idle"), ("name", &format!("view {n}"))]).await;
    }
    assert!(site.get("/activity/refusals", &cookies).await.text.contains("save view 29 again; nothing was saved"));
    let gone = send("/views/remove", &[list, ("name", "<B>idle</B>")]).await;
    assert_eq!(gone.header(LOCATION), "/activity/refusals");
    assert!(!site.get("/activity/refusals", &cookies).await.text.contains("Idle&#60;/b&#62;</a>"));
}

#[tokio::test]
async fn a_browser_says_whose_time_it_wants_and_whether_keys_do_something() {
    let site = Site::new().await;
    let cookies = site.person("vera", Role::Viewer).await;
    let csrf = site.get("/me", &cookies).await.csrf();
    let saved = site.ask(Method::POST, "/me/looks", &cookies, Some(&[("csrf", &csrf), ("times", "local")])).await;
    assert_eq!(saved.header(LOCATION), "/me");
    let set: Vec<_> = saved.headers.get_all("set-cookie").iter().map(|one| one.to_str().unwrap()).collect();
    assert!(
        set.iter().any(|one| one.starts_with("times=local;")) && set.iter().any(|one| one.starts_with("keys=off;"))
    );
    let page = site.get("/me", &format!("{cookies}; times=local; keys=off")).await;
    assert!(page.text.contains("data-times=\"local\" data-keys=\"off\""), "{}", page.text);
    assert!(site.get("/me", &cookies).await.text.contains("<html lang=\"en\">"));
}
