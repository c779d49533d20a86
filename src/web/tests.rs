//! Requests through the whole router: who may do what, what is refused in which words, what is shown once.

use std::net::{IpAddr, Ipv4Addr};

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN, REFERER, SET_COOKIE};
use axum::http::{Method, Request, StatusCode};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::looks::THEME;
use super::routes::{Access, ROUTES};
use super::{Clear, Parts, SetupCode, WebState, router};
use crate::access::admission::Admission;
use crate::access::backup::Backups;
use crate::access::certificate::Certificates;
use crate::access::gate::Gate;
use crate::access::passive::Ports;
use crate::access::password::{Hasher, hash_now};
use crate::access::programs::Programs;
use crate::access::restart::Restart;
use crate::access::secrets::Secrets;
use crate::base::app_log::AppLog;
use crate::base::clock::Clock;
use crate::base::id::IdSource;
use crate::base::path::{Name, VirtualPath};
use crate::base::secret::Secret;
use crate::domain::administrator::Role;
use crate::domain::connector::ConnectorId;
use crate::domain::event::EventKind;
use crate::domain::place::Folder;
use crate::domain::setting::Texts;
use crate::store::administrator::{self, New};
use crate::store::commit::Recorder;
use crate::store::live::Live;
use crate::store::setting::Change;
use crate::store::{Db, connector, event};
use crate::transfer::consent::{self, Asked, Consent, Consents};
use crate::transfer::depot::Depot;
use crate::transfer::presence::Presence;
use crate::workspace::upload::Part;

/// Events must come within this time, on a machine busy with other things.
const WITHIN: std::time::Duration = std::time::Duration::from_secs(10);
pub(super) const PASSWORD: &str = "correct horse battery";

/// A site with a database of its own.
/// Where clients of the FTP server came to.
pub(super) const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 80));

pub(super) struct Site {
    app: Router,
    code: SetupCode,
    pub db: Db,
    pub live: Live,
    pub depot: Depot,
    pub ids: IdSource,
    pub recorder: Recorder,
    pub presence: Presence,
    pub gate: Gate,
    pub certificates: Certificates,
    pub app_log: AppLog,
    pub restart: Restart,
    pub folder: tempfile::TempDir,
}

/// An answer, read to its end.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: axum::http::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn header(&self, name: axum::http::HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// `name=value` of each cookie it sets.
    pub(super) fn cookies(&self) -> String {
        let set = self.headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
        set.filter_map(|cookie| cookie.split(';').next()).collect::<Vec<_>>().join("; ")
    }

    /// The token of the page's first form.
    pub fn csrf(&self) -> String {
        let (_, rest) = self.text.split_once("name=\"csrf\" value=\"").unwrap_or_default();
        rest.split('"').next().unwrap_or_default().to_owned()
    }
}

/// A stream of live updates.
pub(super) struct Follow {
    stream: axum::body::BodyDataStream,
}

impl Follow {
    /// Returns what comes, up to `words`.
    pub async fn until(&mut self, words: &str) -> String {
        let mut text = String::new();
        while !text.contains(words) {
            let next = tokio::time::timeout(WITHIN, self.stream.next()).await;
            let Ok(Some(Ok(bytes))) = next else { panic!("{words} did not come within {WITHIN:?}, but: {text}") };
            text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
        text
    }

    /// Waits for the stream's end.
    pub async fn end(mut self) {
        let end = async { while self.stream.next().await.is_some() {} };
        tokio::time::timeout(WITHIN, end).await.expect("the stream goes on");
    }
}

/// No page downloads a file for a partner: whoever may hold it back is not asked.
#[derive(Debug)]
struct NeverAsked;

impl Consent for NeverAsked {
    fn ask(&self, asked: Asked) -> consent::Answer<'_> {
        panic!("a page had {} asked for", asked.path)
    }
}

impl Site {
    pub async fn new() -> Self {
        Self::with_programs(Programs::default()).await
    }

    /// A site with these programs.
    pub async fn with_programs(programs: Programs) -> Self {
        Self::with(programs, Clear::Allowed).await
    }

    /// A site that may be read in clear, or not.
    pub async fn with(programs: Programs, clear: Clear) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::System;
        let depot = Depot::for_tests(folder.path(), clock.clone()).await;
        let depot = Depot { consents: Consents::of(NeverAsked), ..depot };
        let (db, ids, recorder) = (depot.db.clone(), depot.ids.clone(), depot.recorder.clone());
        let live = Live::open(db.clone(), clock.clone()).await.unwrap();
        let code = SetupCode::new();
        let presence = Presence::default();
        let certificates = Certificates::open(db.clone(), folder.path(), clock.clone(), ids.clone()).await.unwrap();
        let gate = Gate::new(Hasher::default(), clock.clone());
        let app_log = AppLog::default();
        let restart = Restart::new(CancellationToken::new(), CancellationToken::new());
        let parts = Parts {
            depot: depot.clone(),
            db: db.clone(),
            live: live.clone(),
            recorder: recorder.clone(),
            gate: gate.clone(),
            admission: Admission::default(),
            secrets: Secrets::open(db.clone(), folder.path()).await.unwrap(),
            certificates: certificates.clone(),
            backups: Backups::new(
                db.clone(),
                folder.path().to_owned(),
                Secrets::open(db.clone(), folder.path()).await.unwrap(),
                Clock::System,
            ),
            ports: Ports::default(),
            presence: presence.clone(),
            clock,
            ids: ids.clone(),
            setup_code: code.clone(),
            app_log: app_log.clone(),
            programs,
            restart: restart.clone(),
            clear,
        };
        Self {
            app: router(WebState::new(parts)),
            code,
            db,
            live,
            depot,
            ids,
            recorder,
            presence,
            gate,
            certificates,
            app_log,
            restart,
            folder,
        }
    }

    pub async fn ask(&self, method: Method, path: &str, cookies: &str, form: Option<&[(&str, &str)]>) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(HOST, "127.0.0.1:8020");
        request = request.header(COOKIE, cookies);
        let body = match form {
            Some(form) => {
                request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
                Body::from(serde_urlencoded::to_string(form).unwrap())
            }
            None => Body::empty(),
        };
        self.send(request.body(body).unwrap()).await
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        if parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream") {
            return Answer { status: parts.status, headers: parts.headers, text: String::new() };
        }
        let bytes = axum::body::to_bytes(body, 10_000_000).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    pub async fn get(&self, path: &str, cookies: &str) -> Answer {
        self.ask(Method::GET, path, cookies, None).await
    }

    /// The raw answer.
    pub async fn raw(&self, request: Request<Body>) -> axum::response::Response {
        self.app.clone().oneshot(request).await.unwrap()
    }

    /// Opens a stream of live updates.
    pub async fn follow(&self, path: &str, cookies: &str) -> Follow {
        let request = Request::get(path).header(HOST, "127.0.0.1:8020").header(COOKIE, cookies);
        let response = self.app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        Follow { stream: response.into_body().into_data_stream() }
    }

    pub fn change(&self) -> Change<'_> {
        Change { who: "test", remote: "", at: Clock::System.now(), ids: &self.ids }
    }

    pub async fn person(&self, name: &str, role: Role) -> String {
        let hash = hash_now(&Secret::new(PASSWORD)).unwrap();
        let new = New { name, role, password_hash: &hash, only_first: false };
        administrator::add(&self.db, &new, &self.change()).await.unwrap();
        let page = self.get("/sign-in", "").await;
        let form = [("csrf", page.csrf()), ("name", name.to_owned()), ("password", PASSWORD.to_owned())];
        let form: Vec<_> = form.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let signed_in = self.ask(Method::POST, "/sign-in", &page.cookies(), Some(&form)).await;
        assert_eq!(signed_in.status, StatusCode::SEE_OTHER, "{}", signed_in.text);
        signed_in.cookies()
    }

    pub(super) async fn add_connector(&self, id: &str, description: &str) {
        let id = ConnectorId::parse(id).unwrap();
        let values = Texts::from([("description".to_owned(), description.to_owned())]);
        connector::add(&self.db, &id, &values, None, &self.change()).await.unwrap();
        self.live.refresh().await.unwrap();
    }
}

/// The path of a route with its placeholders filled.
fn filled(path: &str) -> String {
    path.replace("{id}", "acme").replace("{part}", "none").replace("{name}", "nothing.css")
}

#[tokio::test]
async fn a_stranger_gets_nowhere_and_a_viewer_changes_nothing() {
    let site = Site::new().await;
    let viewer = site.person("vera", Role::Viewer).await;
    for route in ROUTES {
        let Access::Role(needed) = route.access else { continue };
        let path = filled(route.path);
        for method in [Method::GET, Method::POST] {
            let answer = site.ask(method.clone(), &path, "", Some(&[])).await;
            let sent_away = answer.status == StatusCode::SEE_OTHER && answer.header(LOCATION).starts_with("/sign-in");
            let refused = [StatusCode::FORBIDDEN, StatusCode::METHOD_NOT_ALLOWED].contains(&answer.status);
            assert!(sent_away || refused, "a stranger: {method} {path}: {}", answer.status);
            if needed > Role::Viewer {
                let answer = site.ask(method.clone(), &path, &viewer, Some(&[])).await;
                let refused = [StatusCode::FORBIDDEN, StatusCode::METHOD_NOT_ALLOWED].contains(&answer.status);
                assert!(refused, "a viewer: {method} {path}: {}", answer.status);
            }
        }
    }
}

#[tokio::test]
async fn who_asked_for_a_page_has_it_after_signing_in_and_never_another_servers() {
    let site = Site::new().await;
    site.person("mira", Role::Viewer).await;
    let sent = site.get("/activity/events?search=acme&page=2", "").await;
    let page = site.get(sent.header(LOCATION), "").await;
    assert!(page.text.contains("name=\"to\" value=\"/activity/events?search=acme&#38;page=2\""), "{}", page.text);
    let sign_in = async |to: &str, password: &str| {
        let csrf = page.csrf();
        let form = [("csrf", csrf.as_str()), ("name", "mira"), ("password", password), ("to", to)];
        site.ask(Method::POST, "/sign-in", &page.cookies(), Some(&form)).await
    };
    let asked = "/activity/events?search=acme&page=2";
    assert!(
        sign_in(asked, "wrong").await.text.contains("value=\"/activity/events?search=acme&#38;page=2\""),
        "a slip forgets it"
    );
    let signed_in = sign_in(asked, PASSWORD).await;
    assert_eq!(signed_in.header(LOCATION), asked);
    assert_eq!(sign_in("//evil.example/", PASSWORD).await.header(LOCATION), "/");
    // Without the script, too, the theme's button returns to the same page.
    let csrf = site.get("/flows", &signed_in.cookies()).await.csrf();
    let form = [("csrf", csrf.as_str()), ("to", "/flows")];
    assert_eq!(site.ask(Method::POST, "/theme", &signed_in.cookies(), Some(&form)).await.header(LOCATION), "/flows");
}

#[tokio::test]
async fn a_form_of_who_is_signed_in_no_more_says_that_nothing_was_saved_and_leads_back() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Admin).await;
    let csrf = site.get("/profiles/ftp", &cookies).await.csrf();
    site.ask(Method::POST, "/sign-out", &cookies, Some(&[("csrf", &csrf)])).await;
    let post = async |from: &str| {
        let request = Request::post("/profiles/ftp/save").header(HOST, "127.0.0.1:8020").header(COOKIE, &cookies);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").header(REFERER, from);
        site.send(request.body(Body::from(format!("csrf={csrf}&welcome_message=Typed"))).unwrap()).await
    };
    let lost = post("http://127.0.0.1:8020/profiles/ftp?a=1&b=2").await;
    assert_eq!(lost.status, StatusCode::FORBIDDEN);
    assert!(lost.text.contains("You are not signed in any more. Nothing was saved."), "{}", lost.text);
    assert!(lost.text.contains("name=\"to\" value=\"/profiles/ftp?a=1&#38;b=2\""), "{}", lost.text);
    assert!(!lost.text.contains("Typed"));
    for elsewhere in ["http://evil.example/profiles/ftp", "http://127.0.0.1:8020@evil.example/", "none", ""] {
        let page = post(elsewhere).await;
        assert!(page.text.contains("name=\"to\" value=\"/\""), "{elsewhere}: {}", page.text);
    }
    let form = [("csrf", lost.csrf()), ("name", "mira".to_owned()), ("password", PASSWORD.to_owned())];
    let mut form: Vec<_> = form.iter().map(|(key, value)| (*key, value.as_str())).collect();
    // A form that came back with mistakes is at an address that only accepts forms: its page is the one above.
    form.push(("to", "/profiles/ftp/save"));
    let signed_in = site.ask(Method::POST, "/sign-in", &lost.cookies(), Some(&form)).await;
    assert_eq!(signed_in.header(LOCATION), "/profiles/ftp/save", "{}", signed_in.text);
    let above = site.get("/profiles/ftp/save", &signed_in.cookies()).await;
    assert_eq!((above.status, above.header(LOCATION)), (StatusCode::SEE_OTHER, "/profiles/ftp"));
}

#[tokio::test]
async fn every_answer_carries_the_policy_and_a_foreign_host_name_gets_none() {
    let site = Site::new().await;
    let page = site.get("/sign-in", "").await;
    assert!(page.header(CONTENT_SECURITY_POLICY).starts_with("default-src 'none'"));
    assert_eq!(page.headers["cache-control"], "no-store");
    let foreign = Request::builder().uri("/sign-in").header(HOST, "evil.example").body(Body::empty()).unwrap();
    let answer = site.send(foreign).await;
    assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST);
    assert!(answer.text.contains("web_hosts=OTHERS,evil.example"), "{}", answer.text);
    let ask = async |place: &str, hosts: &[&str]| {
        let request = Request::builder().uri(place);
        let request = hosts.iter().fold(request, |request, host| request.header(HOST, *host));
        site.send(request.body(Body::empty()).unwrap()).await
    };
    // An invalid name does not go into a command line for typing.
    for hosts in [&[][..], &["$(reboot)"], &["127.0.0.1:8020", "evil.example"]] {
        let answer = ask("/sign-in", hosts).await;
        assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{hosts:?}");
        assert!(
            answer.text.contains("names no host, or several") && !answer.text.contains("reboot"),
            "{}",
            answer.text
        );
    }
    let elsewhere = ask("http://evil.example/sign-in", &["127.0.0.1:8020"]).await;
    assert_eq!(elsewhere.status, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn who_only_asks_for_the_head_of_a_page_is_led_to_the_sign_in_too() {
    let site = Site::new().await;
    site.person("mira", Role::Admin).await;
    let answer = site.ask(Method::HEAD, "/flows", "", None).await;
    assert_eq!((answer.status, answer.header(LOCATION)), (StatusCode::SEE_OTHER, "/sign-in?to=%2Fflows"));
}

#[tokio::test]
async fn the_first_run_needs_the_code_and_is_gone_afterwards() {
    let site = Site::new().await;
    let page = site.get("/setup", "").await;
    let (csrf, cookies) = (page.csrf(), page.cookies());
    let wrong = [("csrf", csrf.as_str()), ("code", "AAAA-BBBB-CCCC"), ("name", ""), ("password", "short")];
    let refused = site.ask(Method::POST, "/setup", &cookies, Some(&wrong)).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("There are 3 problems. Nothing was saved."), "{}", refused.text);
    assert!(!refused.text.contains("value=\"short\""), "a password came back");
    let code = site.code.printed();
    let right = [("csrf", csrf.as_str()), ("code", &code), ("name", "mira"), ("password", PASSWORD)];
    let made = site.ask(Method::POST, "/setup", &cookies, Some(&right)).await;
    assert_eq!((made.status, made.header(LOCATION)), (StatusCode::SEE_OTHER, "/"), "{}", made.text);
    assert_eq!(site.get("/flows", &made.cookies()).await.status, StatusCode::OK);
    let made_by = crate::store::audit::latest(&site.db, None, 1).await.unwrap().pop().unwrap();
    assert_eq!((made_by.who.as_str(), made_by.key.as_str()), ("first run", "added"));
    assert_eq!(site.get("/setup", "").await.status, StatusCode::NOT_FOUND);
    let late = site.ask(Method::POST, "/setup", &cookies, Some(&right)).await;
    assert_eq!(late.status, StatusCode::CONFLICT);
    for words in ["There is an administrator already", "it made nobody", "<a href=\"/sign-in\">Sign in</a>"] {
        assert!(late.text.contains(words), "no {words} in {}", late.text);
    }
}

#[tokio::test]
async fn of_two_who_finish_the_first_run_at_once_one_reads_that_there_is_an_administrator() {
    let site = Site::new().await;
    let (one, other) = tokio::join!(site.get("/setup", ""), site.get("/setup", ""));
    let finish = async |page: &Answer, name: &str| {
        let (csrf, code) = (page.csrf(), site.code.printed());
        let form = [("csrf", csrf.as_str()), ("code", &code), ("name", name), ("password", PASSWORD)];
        site.ask(Method::POST, "/setup", &page.cookies(), Some(&form)).await
    };
    let (one, other) = tokio::join!(finish(&one, "mira"), finish(&other, "eda"));
    let late = if one.status == StatusCode::CONFLICT { &one } else { &other };
    assert!(late.text.contains("There is an administrator already"), "{}", late.text);
    assert_eq!(administrator::count(&site.db).await.unwrap(), 1);
}

#[tokio::test]
async fn a_form_without_its_token_or_from_elsewhere_changes_nothing() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Admin).await;
    let csrf = site.get("/flows", &cookies).await.csrf();
    let without = site.ask(Method::POST, "/connectors", &cookies, Some(&[("id", "acme")])).await;
    assert_eq!(without.status, StatusCode::FORBIDDEN);
    let body = serde_urlencoded::to_string([("csrf", csrf.as_str()), ("id", "acme")]).unwrap();
    let foreign = Request::post("/connectors")
        .header(HOST, "127.0.0.1:8020")
        .header(ORIGIN, "http://evil.example")
        .header(COOKIE, &cookies)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(body))
        .unwrap();
    let refused = site.send(foreign).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(
        refused.text.contains("came from another site") && refused.text.contains("Host header"),
        "{}",
        refused.text
    );
    assert!(site.live.snapshot().connectors.is_empty());
}

#[tokio::test]
async fn a_generated_password_is_shown_once_and_works() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Editor).await;
    let csrf = site.get("/flows", &cookies).await.csrf();
    let form = [("csrf", csrf.as_str()), ("id", "acme-edi"), ("description", "Acme & <Sons>")];
    let added = site.ask(Method::POST, "/connectors", &cookies, Some(&form)).await;
    assert_eq!(added.header(LOCATION), "/connectors/acme-edi/settings", "{}", added.text);
    let page = site.get("/connectors/acme-edi/settings", &cookies).await;
    let (_, rest) = page.text.split_once("id=\"new-password\">").expect("the password is shown");
    let password = rest.split('<').next().unwrap().to_owned();
    assert!(!site.get("/connectors/acme-edi/settings", &cookies).await.text.contains(&password), "shown twice");
    let snapshot = site.live.snapshot();
    let stored = snapshot.connector("ACME-EDI").unwrap().hashes(site.depot.clock.now());
    let hasher = Hasher::default();
    assert_eq!(hasher.verify(&Secret::new(password), stored).await.unwrap(), Some(0));
    assert!(page.text.contains("Acme &#38; &#60;Sons&#62;"), "what was typed is not escaped");
}

#[tokio::test]
async fn every_mistake_is_told_at_once_and_a_stale_save_shows_both_values() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Admin).await;
    site.add_connector("acme", "").await;
    let page = site.get("/profiles/ftp", &cookies).await;
    let csrf = page.csrf();
    let typed = |port: &'static str, welcome: &'static str| {
        vec![
            ("csrf", csrf.as_str()),
            ("version", "0"),
            ("fields", "port,welcome_message"),
            ("port", port),
            ("welcome_message", welcome),
        ]
    };
    let long: &'static str = Box::leak("x".repeat(3_000).into_boxed_str());
    let refused = site.ask(Method::POST, "/profiles/ftp/save", &cookies, Some(&typed("70000", long))).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("There are 2 problems. Nothing was saved."), "{}", refused.text);
    assert!(refused.text.contains("value=\"70000\"") && refused.text.contains("<title>Error:"));
    let saved = site.ask(Method::POST, "/profiles/ftp/save", &cookies, Some(&typed("2121", "Hello"))).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text);
    let stale = site.ask(Method::POST, "/profiles/ftp/save", &cookies, Some(&typed("2222", "Good day"))).await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    assert!(stale.text.contains("Good day") && stale.text.contains("Hello") && stale.text.contains("mira saved"));
    assert_eq!(site.live.snapshot().profile.port.port(), 2121);
    // A value that the reader had left alone is not a conflict: it follows what was saved.
    let mut left_alone = typed("8021", "Good day");
    left_alone[1].1 = page.text.split_once("name=\"version\" value=\"").unwrap().1.split('"').next().unwrap();
    let merged = site.ask(Method::POST, "/profiles/ftp/save", &cookies, Some(&left_alone)).await;
    assert!(merged.text.contains("pick.welcome_message") && !merged.text.contains("pick.port"), "{}", merged.text);
    assert!(merged.text.contains("value=\"2121\""), "{}", merged.text);
    // For each setting the reader picks one: the other's port, their own greeting.
    for field in ["name=\"pick.port\" value=\"stored\"", "name=\"stored.port\" value=\"2121\"", "id=\"settings-form\""]
    {
        assert!(stale.text.contains(field), "{field} in {}", stale.text);
    }
    let mut picked = typed("2222", "Good day");
    picked[1].1 = "1";
    picked.extend([("pick.port", "stored"), ("stored.port", "2121"), ("pick.welcome_message", "typed")]);
    picked.push(("stored.welcome_message", "Hello"));
    let saved = site.ask(Method::POST, "/profiles/ftp/save", &cookies, Some(&picked)).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text);
    let profile = site.live.snapshot();
    assert_eq!((profile.profile.port.port(), profile.profile.welcome_message.lines().next()), (2121, Some("Good day")));
}

#[tokio::test]
async fn pages_hold_no_inline_style_or_script_and_their_ids_and_labels_fit() {
    let site = Site::new().await;
    let cookies = format!("{}; {THEME}=dark", site.person("mira", Role::Admin).await);
    site.add_connector("acme", "<script>alert(1)</script>").await;
    let id = regex::Regex::new(r#" id="([^"]+)""#).unwrap();
    let refers = regex::Regex::new(r#" (?:for|aria-describedby|aria-labelledby)="([^"]+)""#).unwrap();
    let control = regex::Regex::new(r"<(?:input|select|textarea)[^>]*>").unwrap();
    for route in ROUTES {
        let path = filled(route.path);
        let page = site.get(&path, &cookies).await;
        if !page.text.starts_with("<!doctype html>") {
            continue;
        }
        assert!(!page.text.contains(" style=") && !page.text.contains(" onclick="), "{path}");
        assert!(!page.text.contains("<script>"), "{path}: inline script, or a name that was not escaped");
        let ids: Vec<_> = id.captures_iter(&page.text).map(|found| found[1].to_owned()).collect();
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(ids.len(), distinct.len(), "{path}: an id stands twice");
        for found in refers.captures_iter(&page.text) {
            for target in found[1].split(' ') {
                assert!(ids.iter().any(|id| id == target), "{path}: nothing is called {target}");
            }
        }
        for found in control.find_iter(&page.text) {
            let text = found.as_str();
            let named = text.contains("type=\"hidden\"")
                || text.contains("type=\"radio\"")
                || text.contains("type=\"checkbox\"")
                || id.captures(text).is_some_and(|found| page.text.contains(&format!("for=\"{}\"", &found[1])));
            assert!(named, "{path}: no label for {text}");
        }
    }
}

#[tokio::test]
async fn an_unfinished_upload_is_listed_and_an_editor_may_discard_it() {
    let site = Site::new().await;
    let cookies = site.person("eda", Role::Editor).await;
    let empty = site.get("/activity/unfinished", &cookies).await;
    assert!(empty.text.contains("No upload is unfinished"), "{}", empty.text);
    site.add_connector("acme", "").await;
    let snapshot = site.live.snapshot();
    let workspaces = &site.depot.workspaces;
    let workspace = workspaces.get(&snapshot.profile, &snapshot.connector("acme").unwrap().connector).unwrap();
    let folder = workspace.folder(Folder::Receive);
    let path = VirtualPath::root().resolve("/Receive/big.edi").unwrap();
    let mut part = Part::create(folder, "p1", &path).unwrap();
    part.write(&[7; 4_200]).unwrap();
    part.keep(folder, vec![Name::parse("big.edi").unwrap()], Clock::System.now());
    let page = site.get("/activity/unfinished", &cookies).await;
    assert!(page.text.contains("/Receive/big.edi") && page.text.contains("4.2 KB"), "{}", page.text);
    let csrf = page.csrf();
    for found in [true, false] {
        let action = "/activity/unfinished/acme/p1/discard";
        let answer = site.ask(Method::POST, action, &cookies, Some(&[("csrf", &csrf)])).await;
        assert_eq!(answer.header(LOCATION), "/activity/unfinished");
        let notice = site.get("/activity/unfinished", &cookies).await.text;
        assert!(notice.contains(if found { "Removed." } else { "not unfinished any more" }), "{notice}");
    }
    assert!(folder.all_unfinished().is_empty() && crate::workspace::upload::parts(folder).unwrap().is_empty());
    site.depot.recorder.flush().await.unwrap();
    let purged = event::Filter { kind: Some(EventKind::UnfinishedPurged), ..event::Filter::default() };
    let events = event::page(&site.db, &purged, None, 9).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].summary, "eda removed the unfinished upload /Receive/big.edi of acme, 4.2 KB");
}
