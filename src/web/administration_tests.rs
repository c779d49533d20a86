//! The pages of an admin through the whole router: certificates, users and audit, settings.

use axum::body::Body;
use axum::http::header::{CONTENT_RANGE, CONTENT_TYPE, COOKIE, ETAG, HOST, IF_RANGE, LOCATION, RANGE};
use axum::http::{HeaderName, Method, Request, StatusCode};

use super::Clear;
use super::routes::UPLOAD_BYTES_MAX;
use super::tests::{Answer, PASSWORD, Site};
use crate::access::backup::put_in_place;
use crate::access::programs::Programs;
use crate::base::clock::Timestamp;
use crate::base::id::SessionId;
use crate::base::secret::Secret;
use crate::domain::administrator::Role;
use crate::domain::event::EventKind;
use crate::domain::setting::Texts;
use crate::store::{administrator, api_token, event, profile};

const BOUNDARY: &str = "0123456789abcdef";

/// One part of an upload: name, file name if it is a file, contents.
type Part<'a> = (&'a str, Option<&'a str>, &'a str);

impl Site {
    pub(super) async fn upload(&self, path: &str, cookies: &str, parts: &[Part<'_>]) -> Answer {
        let mut body = String::new();
        for (name, file, contents) in parts {
            let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
            let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{file}");
            body.extend([&head, "\r\n\r\n", contents, "\r\n"]);
        }
        body.extend(["--", BOUNDARY, "--\r\n"]);
        let request = Request::post(path)
            .header(HOST, "127.0.0.1:8020")
            .header(COOKIE, cookies)
            .header(CONTENT_TYPE, format!("multipart/form-data; boundary={BOUNDARY}"));
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    pub(super) async fn post(&self, path: &str, cookies: &str, form: &[(&str, &str)]) -> Answer {
        self.ask(Method::POST, path, cookies, Some(form)).await
    }

    fn names(&self) -> Vec<String> {
        self.certificates.list().iter().map(|held| held.stored.name.to_string()).collect()
    }

    fn certificate_page(&self, name: &str) -> String {
        format!("/certificates/{}", self.certificates.find(name).unwrap().stored.id)
    }
}

/// A certificate and its key, made elsewhere.
fn made(host: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[tokio::test]
async fn an_upload_is_checked_and_every_mistake_is_told_in_words() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Admin).await;
    let csrf = site.get("/certificates", &cookies).await.csrf();
    let (chain, key) = made("ftp.example.com");
    let (_, foreign) = made("other.example.com");
    let token: Part<'_> = ("csrf", None, &csrf);
    let tries: [(&[Part<'_>], &[&str]); 5] = [
        (&[token, ("name", None, ""), ("file", Some(""), "")], &["needs a name", "No file was chosen", "2 problems"]),
        (&[token, ("name", None, "new"), ("file", Some("a.pem"), "hello")], &["neither PEM nor PKCS#12"]),
        (&[token, ("name", None, "new"), ("file", Some("a.pem"), &chain)], &["No private key found"]),
        (
            &[token, ("name", None, "new"), ("file", Some("a.pem"), &chain), ("key_file", Some("a.key"), &foreign)],
            &["doesn&#39;t fit the certificate"],
        ),
        (
            &[token, ("name", None, "a,b"), ("file", Some("a.pem"), &chain), ("key_file", Some("a.key"), &key)],
            &["no commas", "value=\"a,b\""],
        ),
    ];
    for (parts, expected) in tries {
        let refused = site.upload("/certificates", &cookies, parts).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text);
        for words in expected {
            assert!(refused.text.contains(words), "no {words:?} in {}", refused.text);
        }
        assert!(refused.text.contains("Nothing was saved"));
    }
    assert_eq!(site.names(), ["self-signed"]);
    let whole = [token, ("name", None, "new"), ("file", Some("a.pem"), &chain), ("key_file", Some("a.key"), &key)];
    let added = site.upload("/certificates", &cookies, &whole).await;
    assert_eq!((added.status, added.header(LOCATION)), (StatusCode::SEE_OTHER, "/certificates"), "{}", added.text);
    let page = site.get("/certificates", &cookies).await;
    assert!(page.text.contains("Added new") && page.text.contains("ftp.example.com"), "{}", page.text);
    let one = site.get(&site.certificate_page("new"), &cookies).await;
    assert!(!one.text.contains("PRIVATE KEY") && one.text.contains("BEGIN CERTIFICATE REQUEST"), "{}", one.text);
}

#[tokio::test]
async fn an_upload_without_its_token_first_or_of_too_many_bytes_is_not_read() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Admin).await;
    let editor = site.person("eddy", Role::Editor).await;
    let csrf = site.get("/certificates", &cookies).await.csrf();
    let (chain, key) = made("ftp.example.com");
    let file: Part<'_> = ("file", Some("a.pem"), &chain);
    let rest = [("name", None, "new"), file, ("key_file", Some("a.key"), key.as_str())];
    let wrong = [&[("csrf", None, "wrong")], &rest[..]].concat();
    let late = [&rest[..], &[("csrf", None, csrf.as_str())]].concat();
    for parts in [&wrong, &late, &Vec::new()] {
        let refused = site.upload("/certificates", &cookies, parts).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
    }
    let right = [&[("csrf", None, csrf.as_str())], &rest[..]].concat();
    assert_eq!(site.upload("/certificates", &editor, &right).await.status, StatusCode::FORBIDDEN);
    let huge = "x".repeat(UPLOAD_BYTES_MAX);
    let parts = [("csrf", None, csrf.as_str()), ("file", Some("a.pem"), &huge)];
    let refused = site.upload("/certificates", &cookies, &parts).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", refused.text);
    assert_eq!(site.names(), ["self-signed"]);
}

#[tokio::test]
async fn a_certificate_is_replaced_rolled_back_and_removed_once_nothing_names_it() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Admin).await;
    let csrf = site.get("/certificates", &cookies).await.csrf();
    let token = ("csrf", csrf.as_str());
    let form = [token, ("made_name", "files"), ("hosts", "files.example.com, 192.0.2.7")];
    let added = site.post("/certificates/self-signed", &cookies, &form).await;
    assert_eq!(added.status, StatusCode::SEE_OTHER, "{}", added.text);
    let again = site.post("/certificates/self-signed", &cookies, &form).await;
    assert!(again.status == StatusCode::UNPROCESSABLE_ENTITY && again.text.contains("href=\"#made_name\""));
    let page = site.certificate_page("files");
    let sha256 = || site.certificates.find("files").unwrap().stored.contents.sha256.clone();
    let first = sha256();
    let form = [token, ("hosts", "nonsense!")];
    let refused = site.post(&format!("{page}/self-signed"), &cookies, &form).await;
    assert!(refused.status == StatusCode::UNPROCESSABLE_ENTITY && refused.text.contains("value=\"nonsense!\""));
    let form = [token, ("hosts", "new.example.com")];
    let replaced = site.post(&format!("{page}/self-signed"), &cookies, &form).await;
    assert_eq!(replaced.header(LOCATION), page, "{}", replaced.text);
    assert_ne!(sha256(), first);
    assert!(site.get(&page, &cookies).await.text.contains(&first), "what it can go back to is not shown");
    site.post(&format!("{page}/roll-back"), &cookies, &[token]).await;
    assert_eq!(sha256(), first);

    let profile = site.get("/profiles/ftp", &cookies).await;
    assert!(profile.text.contains("<option value=\"files\">"), "the profile offers no certificates");
    let form = [token, ("version", "0"), ("fields", "certificates"), ("certificates", "files"), ("certificates", "")];
    assert_eq!(site.post("/profiles/ftp/save", &cookies, &form).await.status, StatusCode::SEE_OTHER);
    let remove = format!("{page}/remove");
    let unsure = site.post(&remove, &cookies, &[token, ("confirm", "file")]).await;
    assert!(unsure.text.contains("Type files to confirm"), "{}", unsure.text);
    let named = site.post(&remove, &cookies, &[token, ("confirm", "files")]).await;
    assert_eq!(named.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(named.text.contains("take it out of its profile"), "{}", named.text);
    let form = [token, ("version", "1"), ("fields", "certificates"), ("certificates", "")];
    assert_eq!(site.post("/profiles/ftp/save", &cookies, &form).await.status, StatusCode::SEE_OTHER);
    let removed = site.post(&remove, &cookies, &[token, ("confirm", "files")]).await;
    assert_eq!((removed.status, removed.header(LOCATION)), (StatusCode::SEE_OTHER, "/certificates"));
    assert_eq!(site.names(), ["self-signed"]);
}

#[tokio::test]
async fn the_answer_to_a_request_needs_no_key_and_a_foreign_one_is_refused() {
    let site = Site::new().await;
    let held = site.certificates.find("self-signed").unwrap();
    let cookies = site.person("mira", Role::Admin).await;
    let csrf = site.get("/certificates", &cookies).await.csrf();
    let path = format!("{}/replace", site.certificate_page("self-signed"));
    let own = held.stored.contents.chain_pem.clone();
    for (chain, status) in [(made("x.example.com").0, StatusCode::UNPROCESSABLE_ENTITY), (own, StatusCode::SEE_OTHER)] {
        let parts = [("csrf", None, csrf.as_str()), ("file", Some("a.pem"), &chain)];
        let answer = site.upload(&path, &cookies, &parts).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
}

#[tokio::test]
async fn users_are_added_changed_and_removed_but_never_the_last_admin() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Admin).await;
    let csrf = site.get("/users", &cookies).await.csrf();
    let (token, own) = (("csrf", csrf.as_str()), ("own_password", PASSWORD));
    let refused = site.post("/users", &cookies, &[token, ("role", "king"), ("password", "short")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("There are 4 problems") && !refused.text.contains("value=\"short\""));
    let form = [token, ("name", "kim"), ("role", "editor"), ("password", "")];
    let wrong = site.post("/users", &cookies, &[&form[..], &[("own_password", "not mine, no")]].concat()).await;
    assert!(wrong.text.contains("not your own password"), "{}", wrong.text);
    let added = site.post("/users", &cookies, &[&form[..], &[own]].concat()).await;
    assert_eq!(added.header(LOCATION), "/users", "{}", added.text);
    assert!(site.get("/users", &cookies).await.text.contains("id=\"new-password\""));
    assert!(!site.get("/users", &cookies).await.text.contains("id=\"new-password\""), "shown twice");

    let id = async |name: &str| administrator::find(&site.db, name).await.unwrap().unwrap().id.to_string();
    let (mira, kim) = (id("mira").await, id("kim").await);
    let path = format!("/users/{mira}");
    let last = site.post(&path, &cookies, &[token, own, ("role", "viewer")]).await;
    assert!(last.text.contains("mira is the last admin"), "{}", last.text);
    let form = [token, ("confirm", "mira"), ("your_password", PASSWORD)];
    let last = site.post(&format!("{path}/remove"), &cookies, &form).await;
    assert!(last.text.contains("mira is the last admin"), "{}", last.text);
    let path = format!("/users/{kim}");
    let saved = site.post(&path, &cookies, &[token, own, ("role", "admin"), ("generate", "1")]).await;
    assert_eq!(saved.header(LOCATION), path, "{}", saved.text);
    assert_eq!(administrator::find(&site.db, "kim").await.unwrap().unwrap().role, Role::Admin);
    let form = [token, ("confirm", "kim"), ("your_password", PASSWORD)];
    let removed = site.post(&format!("{path}/remove"), &cookies, &form).await;
    assert_eq!(removed.header(LOCATION), "/users", "{}", removed.text);
    assert_eq!(administrator::count(&site.db).await.unwrap(), 1);

    let audit = site.get("/audit?subject=KIM", &cookies).await.text;
    for words in ["added", "role", "password", "removed", "administrator kim"] {
        assert!(audit.contains(words), "no {words} in {audit}");
    }
    assert!(!audit.contains("administrator mira") && !audit.contains("argon2"));
}

#[tokio::test]
async fn the_audit_is_paged_without_a_gap() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Admin).await;
    for turn in 0..60 {
        let values = [("time_zone".to_owned(), if turn % 2 == 0 { "Europe/Berlin" } else { "UTC" }.to_owned())];
        profile::save_appliance(&site.db, &values.into(), None, &site.change()).await.unwrap();
    }
    let first = site.get("/audit?subject=settings", &cookies).await.text;
    let (_, rest) = first.split_once("href=\"/audit?subject=settings&#38;before=").expect("no older page");
    let before = rest.split('"').next().unwrap();
    let second = site.get(&format!("/audit?subject=settings&before={before}"), &cookies).await.text;
    // By its name on its form, and by its key.
    let rows =
        |text: &str| text.matches(">Time zone<span class=\"sub\">settings, <span class=\"mono\">time_zone<").count();
    assert_eq!((rows(&first), rows(&second)), (50, 10));
}

#[tokio::test]
async fn a_form_that_left_the_role_alone_takes_nobody_elses_change_back() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Admin).await;
    site.person("kim", Role::Editor).await;
    let kim = async || administrator::find(&site.db, "kim").await.unwrap().unwrap();
    let path = format!("/users/{}", kim().await.id);
    let form = site.get(&path, &cookies).await;
    let token = ("csrf", &*form.csrf());
    let send = async |fields: &[(&str, &str)]| {
        let own = [token, ("own_password", PASSWORD)];
        site.post(&path, &cookies, &[&own[..], fields].concat()).await
    };
    assert!(form.text.contains("name=\"role_was\" value=\"editor\""), "{}", form.text);
    let shown = ("role_was", "editor");
    assert_eq!(send(&[shown, ("role", "viewer")]).await.header(LOCATION), path);

    let hash = kim().await.password_hash;
    let saved = send(&[shown, ("role", "editor"), ("password", "a second pass phrase")]).await;
    assert_eq!(saved.header(LOCATION), path, "{}", saved.text);
    assert_eq!(kim().await.role, Role::Viewer, "the form had left the role alone");
    assert_ne!(kim().await.password_hash, hash);

    let late = send(&[shown, ("role", "admin"), ("generate", "1")]).await;
    assert_eq!(late.status, StatusCode::CONFLICT, "{}", late.text);
    assert!(late.text.contains("made kim Viewer meanwhile") && kim().await.role == Role::Viewer, "{}", late.text);
    assert!(late.text.contains("name=\"role_was\" value=\"viewer\"") && late.text.contains("value=\"admin\" checked"));
    assert_eq!(send(&[("role_was", "viewer"), ("role", "admin")]).await.header(LOCATION), path);
    assert_eq!(kim().await.role, Role::Admin);
    // Two who choose the same are of one mind.
    assert_eq!(send(&[("role_was", "viewer"), ("role", "admin")]).await.header(LOCATION), path);
}

#[tokio::test]
async fn settings_are_saved_and_nobody_shuts_themselves_out() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Admin).await;
    let csrf = site.get("/settings", &cookies).await.csrf();
    let form = |zone: &'static str, days: &'static str| {
        [
            ("csrf", csrf.as_str()),
            ("version", "0"),
            ("fields", "time_zone,events_keep_days"),
            ("time_zone", zone),
            ("events_keep_days", days),
        ]
    };
    let refused = site.post("/settings", &cookies, &form("Mars/Base", "-1")).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("There are 2 problems") && refused.text.contains("Mars/Base"));
    let saved = site.post("/settings", &cookies, &form("Europe/Berlin", "30")).await;
    assert_eq!(saved.header(LOCATION), "/settings", "{}", saved.text);
    let stale = site.post("/settings", &cookies, &form("Europe/Paris", "30")).await;
    assert!(stale.status == StatusCode::CONFLICT && stale.text.contains("mira saved"), "{}", stale.text);

    let named = [("web_hosts".to_owned(), "mft.example.com".to_owned())];
    profile::save_appliance(&site.db, &named.into(), None, &site.change()).await.unwrap();
    site.live.refresh().await.unwrap();
    let body = [("csrf", csrf.as_str()), ("fields", "web_hosts"), ("web_hosts", "")];
    let request = Request::post("/settings")
        .header(HOST, "mft.example.com")
        .header(COOKIE, &cookies)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(serde_urlencoded::to_string(body).unwrap()));
    let refused = site.send(request.unwrap()).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("You are here as mft.example.com"), "{}", refused.text);
}

#[tokio::test]
async fn https_is_not_turned_off_where_other_machines_reach_the_pages() {
    let site = Site::with(Programs::default(), Clear::Forbidden).await;
    let cookies = site.person("mira", Role::Admin).await;
    let csrf = site.get("/settings", &cookies).await.csrf();
    let on = [("csrf", csrf.as_str()), ("fields", "web_https"), ("web_https", "on")];
    // An unticked box is not sent.
    let off = &on[..2];
    // As in a backup from before it was turned on: something already off keeps nobody from saving.
    let saved = site.post("/settings", &cookies, off).await;
    assert_eq!(saved.header(LOCATION), "/settings", "{}", saved.text);
    site.post("/settings", &cookies, &on).await;
    let refused = site.post("/settings", &cookies, off).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("--web 127.0.0.1:8020") && refused.text.contains("--web-plain"), "{}", refused.text);
    assert!(site.live.snapshot().appliance.web_https);
}

#[tokio::test]
async fn what_would_go_is_shown_by_what_is_typed_and_nothing_is_saved() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Admin).await;
    let page = site.get("/settings", &cookies).await;
    assert!(!page.text.contains("What would go now") && page.text.contains("Show what would go"));
    let csrf = page.csrf();
    let form = |days| {
        let fields = "transfers_keep_days";
        [("csrf", csrf.as_str()), ("fields", fields), (fields, days), ("version", "0"), ("preview", "1")]
    };
    let preview = site.post("/settings", &cookies, &form("7")).await;
    assert_eq!(preview.status, StatusCode::OK, "{}", preview.text);
    for part in ["What would go now", "<td>Transfers</td>", "Copies in Sent folders", "Held for deliveries"] {
        assert!(preview.text.contains(part), "no {part} in {}", preview.text);
    }
    assert!(preview.text.contains("value=\"7\""), "what was typed is gone");
    assert_eq!(site.post("/settings", &cookies, &form("soon")).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let stored = profile::load_appliance(&site.db).await.unwrap();
    assert!(stored.texts.get("transfers_keep_days").is_none_or(|days| days == "90"), "it was saved");
}

#[tokio::test]
async fn a_token_is_made_with_the_own_password_shown_once_and_revoked() {
    let site = Site::new().await;
    let cookies = site.person("vera", Role::Viewer).await;
    let csrf = site.get("/tokens", &cookies).await.csrf();
    let fields = ("fields", "name,scope,expires_days,addresses");
    let typed = |name: &'static str, days: &'static str, password: &'static str| {
        let token = ("csrf", csrf.as_str());
        [
            token,
            fields,
            ("name", name),
            ("scope", "all"),
            ("expires_days", days),
            ("addresses", ""),
            ("own_password", password),
        ]
    };
    let refused = site.post("/tokens", &cookies, &typed("", "soon", "not mine at all")).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    for words in
        ["There are 3 problems", "Name: empty; say what", "soon isn&#39;t a whole number", "not your own password"]
    {
        assert!(refused.text.contains(words), "no {words} in {}", refused.text);
    }
    assert!(!refused.text.contains("not mine at all") && refused.text.contains("You have no token"));
    let made = site.post("/tokens", &cookies, &typed("erp", "30", PASSWORD)).await;
    assert_eq!(made.header(LOCATION), "/tokens", "{}", made.text);
    let page = site.get("/tokens", &cookies).await.text;
    let (_, rest) = page.split_once("id=\"new-password\">").expect("the token is shown");
    let token = rest.split('<').next().unwrap();
    let curl = format!("curl -H &#34;Authorization: Bearer {token}&#34; http://127.0.0.1:8020/api/v1");
    assert!(page.contains(&curl) || page.contains(&curl.replace("&#34;", "\"")), "{page}");
    assert!(!site.get("/tokens", &cookies).await.text.contains(token), "shown twice");
    let again = site.post("/tokens", &cookies, &typed("ERP", "30", PASSWORD)).await;
    assert!(again.text.contains("You have a token ERP already"), "{}", again.text);

    let other = site.person("eddy", Role::Editor).await;
    let id = api_token::all(&site.db).await.unwrap()[0].id.to_string();
    let revoke = format!("/tokens/{id}/revoke");
    assert_eq!(site.get(&revoke, &other).await.status, StatusCode::NOT_FOUND);
    assert!(!site.get("/tokens", &other).await.text.contains("Tokens of others"));
    let admin = site.person("mira", Role::Admin).await;
    assert!(site.get("/tokens", &admin).await.text.contains("Tokens of others"));
    assert!(site.get(&revoke, &admin).await.text.contains("Revoke erp of vera"));
    assert!(site.get(&revoke, &cookies).await.text.contains("It has not been used yet"));
    let revoked = site.post(&revoke, &cookies, &[("csrf", csrf.as_str())]).await;
    assert_eq!(revoked.header(LOCATION), "/tokens", "{}", revoked.text);
    assert!(site.get("/tokens", &cookies).await.text.contains("Revoked erp."));
    assert_eq!(site.post(&revoke, &cookies, &[("csrf", csrf.as_str())]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn settings_are_exported_and_imported_after_a_look_at_what_would_change() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Admin).await;
    site.add_connector("acme", "Ghent").await;
    let csrf = site.get("/settings/export", &cookies).await.csrf();
    let export = site.get("/settings/export.toml", &cookies).await;
    assert!(export.header(CONTENT_TYPE).starts_with("application/toml"));
    let text = export.text.replace("port = \"8021\"", "port = \"2121\"").replace("\"Ghent\"", "\"<Gent>\"");
    let send = async |parts: &[Part<'_>]| {
        let all = [&[("csrf", None, csrf.as_str())], parts].concat();
        site.upload("/settings/export", &cookies, &all).await
    };
    let broken = send(&[("file", Some(""), ""), ("text", None, "[profile]\nport = 21")]).await;
    assert_eq!(broken.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        broken.text.contains("This is no file of settings") && broken.text.contains("port = 21"),
        "{}",
        broken.text
    );
    let wrong = send(&[("text", None, "[profile]\nport = \"70000\"\nprot = \"1\"")]).await;
    assert!(wrong.text.contains("There are 2 problems") && wrong.text.contains("profile.prot: There is no setting"));

    let looked = send(&[("file", Some("a.toml"), &text), ("text", None, ""), ("apply", None, "1")]).await;
    assert_eq!(looked.status, StatusCode::OK, "{}", looked.text);
    for words in ["What would change", "data-label=\"After\">2121</td>", "&#60;Gent&#62;", "name=\"apply\""] {
        assert!(looked.text.contains(words), "no {words} in {}", looked.text);
    }
    let apply = [("text", None, text.as_str()), ("apply", None, "1")];
    let refused = send(&[&apply[..], &[("own_password", None, "not mine at all")]].concat()).await;
    assert!(refused.text.contains("not your own password") && refused.text.contains("What would change"));
    assert_eq!(site.live.snapshot().profile.port.port(), 8021);
    let done = send(&[&apply[..], &[("own_password", None, PASSWORD)]].concat()).await;
    assert_eq!(done.header(LOCATION), "/settings/export", "{}", done.text);
    assert_eq!(site.live.snapshot().profile.port.port(), 2121);
    assert!(site.get("/settings/export", &cookies).await.text.contains("2 changes made."));
    let others = "[connectors.beta]\n[connectors.hook]\ntype = \"webhook\"\nurl = \"https://hook.example.com/\"\n";
    let done = send(&[("text", None, others), ("apply", None, "1"), ("own_password", None, PASSWORD)]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    let page = site.get("/settings/export", &cookies).await.text;
    for words in [
        "2 of what was added have no password or secret yet",
        "<a href=\"/connectors/beta/settings#password\">beta has no password and cannot sign in</a>",
        "<a href=\"/connectors/hook/settings#password\">hook has no secret to sign with and posts nothing</a>",
    ] {
        assert!(page.contains(words), "no {words} in {page}");
    }
    let same = send(&[("text", None, &text)]).await;
    assert!(same.text.contains("Nothing differs") && !same.text.contains("name=\"apply\""));

    // Whatever the forms would refuse or ask about is refused or asked about here.
    let away = send(&[("text", None, "[connectors.acme]\noutput_folder = \"/proc/in\"\n")]).await;
    assert_eq!(away.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(away.text.contains("connectors.acme.output_folder: /proc/in cannot be used"), "{}", away.text);
    site.waits_for("acme").await;
    let off = "[connectors.acme]\nenabled = \"off\"\n";
    let looked = send(&[("text", None, off)]).await;
    assert!(
        looked.text.contains("1 file waits for acme") && looked.text.contains("name=\"anyway\""),
        "{}",
        looked.text
    );
    let apply = [("text", None, off), ("apply", None, "1"), ("own_password", None, PASSWORD)];
    let asked = send(&apply).await;
    assert_eq!(asked.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", asked.text);
    assert!(site.live.snapshot().connector("acme").unwrap().connector.settings.enabled);
    let done = send(&[&apply[..], &[("anyway", None, "1")]].concat()).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert!(!site.live.snapshot().connector("acme").unwrap().connector.settings.enabled);
}

#[tokio::test]
async fn backups_need_a_passphrase_and_are_made_tried_and_fetched_by_admins() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Admin).await;
    let csrf = site.get("/settings/backup", &cookies).await.csrf();
    let form = |at: &'static str, passphrase: &'static str, own: &'static str| {
        vec![
            ("csrf", csrf.clone()),
            ("version", "0".to_owned()),
            ("fields", "backup_at,backup_keep".to_owned()),
            ("backup_at", at.to_owned()),
            ("backup_keep", "0".to_owned()),
            ("passphrase", passphrase.to_owned()),
            ("own_password", own.to_owned()),
        ]
    };
    let post = async |path: &str, form: &[(&str, String)]| {
        let form: Vec<_> = form.iter().map(|(key, value)| (*key, value.as_str())).collect();
        site.post(path, &cookies, &form).await
    };
    let refused = post("/settings/backup", &form("25:00", "short", "no")).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    for words in ["There are 4 problems", "Passphrase needs at least 12", "not your own password", "25:00 isn", "0 isn"]
    {
        assert!(refused.text.contains(words), "no {words} in {}", refused.text);
    }
    let mut right = form("02:30", "", "");
    right[4].1 = "3".to_owned();
    assert!(post("/settings/backup", &right).await.text.contains("Backups need a passphrase"));
    post("/settings/backup/now", &right[..1]).await;
    assert!(site.get("/settings/backup", &cookies).await.text.contains("no passphrase is set"));
    right[5].1 = "a long passphrase".to_owned();
    right[6].1 = super::tests::PASSWORD.to_owned();
    assert_eq!(post("/settings/backup", &right).await.status, StatusCode::SEE_OTHER);
    // A browser that does not wait for the answer changes nothing.
    let begun = async {
        let is_scratch = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with(".waybill-backup-");
        while !std::fs::read_dir(site.folder.path()).unwrap().any(|entry| is_scratch(entry.unwrap())) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = begun => {}
        _ = post("/settings/backup/now", &right[..1]) => panic!("it was made sooner than it was looked"),
    }
    while event::count_since(&site.db, EventKind::BackupMade, Timestamp::default()).await.unwrap() == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        site.recorder.flush().await.unwrap();
    }
    post("/settings/backup/now", &right[..1]).await;
    let page = site.get("/settings/backup", &cookies).await.text;
    assert!(page.contains("was made") && !page.contains("a long passphrase"), "{page}");
    let (_, rest) = page.split_once("name=\"name\" value=\"").expect("a row");
    let name = rest.split('"').next().unwrap().to_owned();
    let tried = post("/settings/backup/try", &[("csrf", csrf.clone()), ("name", name.clone())]).await;
    assert!(tried.text.contains("It can be put back"), "{}", tried.text);
    put_back(&site, (&cookies, &csrf), &name).await;
    go_on(&site, &cookies, &name).await;
    site.ask(Method::HEAD, &format!("/settings/backup/{name}"), &cookies, None).await;
    let entries = crate::store::audit::latest(&site.db, Some("backups"), 9).await.unwrap();
    let told = entries.iter().filter(|entry| entry.key == "downloaded");
    assert_eq!(told.map(|entry| (entry.who.as_str(), entry.after.as_str())).collect::<Vec<_>>(), [("mira", &*name); 2]);
    for foreign in ["waybill.db", "..%2Fkeys%2Fmaster.key"] {
        assert_eq!(site.get(&format!("/settings/backup/{foreign}"), &cookies).await.status, StatusCode::NOT_FOUND);
    }
}

/// Downloads a backup, and then the rest after a broken download.
async fn go_on(site: &Site, cookies: &str, name: &str) {
    let ask = async |headers: &[(HeaderName, &str)]| {
        let mut request =
            Request::get(format!("/settings/backup/{name}")).header(HOST, "127.0.0.1:8020").header(COOKIE, cookies);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        site.raw(request.body(Body::empty()).unwrap()).await
    };
    let whole = ask(&[]).await;
    let etag = whole.headers()[ETAG].to_str().unwrap().to_owned();
    let bytes = axum::body::to_bytes(whole.into_body(), 10_000_000).await.unwrap();
    assert!(bytes.starts_with(b"age-encryption.org/v1"));
    let rest = ask(&[(RANGE, "bytes=22-"), (IF_RANGE, &etag)]).await;
    let told = format!("bytes 22-{}/{}", bytes.len() - 1, bytes.len());
    assert_eq!((rest.status(), rest.headers()[CONTENT_RANGE].to_str().unwrap()), (StatusCode::PARTIAL_CONTENT, &*told));
    assert_eq!(axum::body::to_bytes(rest.into_body(), 10_000_000).await.unwrap(), bytes[22..]);
}

async fn put_back(site: &Site, (cookies, csrf): (&str, &str), name: &str) {
    site.add_connector("later", "").await;
    let send = async |more: &[(&str, &str)]| {
        let form = [&[("csrf", csrf), ("name", name)], more].concat();
        site.post("/settings/backup/restore", cookies, &form).await
    };
    let asked = send(&[]).await;
    assert_eq!(asked.status, StatusCode::OK);
    assert!(asked.text.contains("Put this backup back?") && asked.text.contains(">1</td>"), "{}", asked.text);
    let wrong = [("sure", "on"), ("passphrase", "another passphrase"), ("confirm", "yes"), ("own_password", "no")];
    let refused = send(&wrong).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    for words in ["There are 3 problems", "the passphrase doesn", "Type restore to confirm", "not your own password"] {
        assert!(refused.text.contains(words), "no {words} in {}", refused.text);
    }
    assert!(!site.restart.is_wanted(), "a refused form changes nothing");
    let right = [("sure", "on"), ("confirm", "restore"), ("own_password", super::tests::PASSWORD)];
    let done = send(&right).await;
    assert!(done.text.contains("Beginning anew") && site.restart.is_wanted(), "{}", done.text);
    assert_eq!(done.headers["refresh"], "5; url=/sign-in");
    // What the next start does, on a copy of the folder: this one is in use.
    let copy = tempfile::tempdir().unwrap();
    let wanted = ".waybill-restore-wanted";
    std::fs::rename(site.folder.path().join(wanted), copy.path().join(wanted)).unwrap();
    assert_eq!(put_in_place(copy.path()).unwrap(), None, "nothing was in use there");
    let db = crate::store::Db::open(copy.path()).await.unwrap();
    assert!(crate::store::connector::all(&db).await.unwrap().is_empty(), "the later one is not in it");
    let entry = crate::store::audit::latest(&db, Some("appliance"), 1).await.unwrap().remove(0);
    assert_eq!((entry.who.as_str(), entry.key.as_str(), entry.after.as_str()), ("mira", "restored", name));
    let token = Secret::new(cookies.split_once('=').unwrap().1);
    let session = administrator::peek_session(&db, &token, site.depot.clock.now()).await.unwrap();
    assert!(session.is_none(), "who was signed in then is not any more");
}

#[tokio::test]
async fn a_missing_backup_needs_attention_where_one_is_made_every_night() {
    let site = Site::new().await;
    let texts = Texts::from([("backup_at".to_owned(), "02:30".to_owned())]);
    profile::save_appliance(&site.db, &texts, None, &site.change()).await.unwrap();
    site.live.refresh().await.unwrap();
    let cookies = site.person("mira", Role::Admin).await;
    let page = site.get("/", &cookies).await.text;
    assert!(page.contains("There is no backup yet") && page.contains("/settings/backup"), "{page}");
}

#[tokio::test]
async fn a_private_address_that_a_client_from_outside_is_told_needs_attention() {
    const PRIVATE: [u8; 4] = [10, 0, 4, 12];
    for (passive, local, expected) in [
        ("", PRIVATE, Some("There is no Passive Address, and our own, 10.0.4.12, is a private one")),
        ("", [203, 0, 113, 80], None),
        ("198.51.100.1", PRIVATE, None),
        ("localhost", PRIVATE, Some("The Passive Address 10.0.4.12 is a private one")),
    ] {
        let site = Site::new().await;
        let texts = Texts::from([("passive_address".to_owned(), passive.to_owned())]);
        profile::save(&site.db, &texts, None, &site.change()).await.unwrap();
        site.live.refresh().await.unwrap();
        let cookies = site.person("mira", Role::Admin).await;
        let enter = |remote: [u8; 4], local: [u8; 4]| {
            site.presence.enter(SessionId::new(&site.ids), (remote.into(), local.into()), Timestamp::default())
        };
        let _sessions = [enter([10, 0, 4, 7], PRIVATE), enter([198, 51, 100, 8], local)];
        let page = site.get("/", &cookies).await.text;
        match expected {
            Some(words) => assert!(page.contains(words) && page.contains("such as 198.51.100.8"), "{page}"),
            None => assert!(!page.contains("is a private one"), "{passive}: {page}"),
        }
    }
}

#[tokio::test]
async fn the_audit_is_exported_and_a_save_of_what_is_in_force_makes_no_form_stale() {
    let site = Site::new().await;
    let cookies = site.person("mira", Role::Admin).await;
    let save = async |zone: &str| {
        let texts = Texts::from([("time_zone".to_owned(), zone.to_owned())]);
        profile::save_appliance(&site.db, &texts, None, &site.change()).await.unwrap();
        profile::load_appliance(&site.db).await.unwrap().version
    };
    let first = save("Europe/Berlin").await;
    assert_eq!(save("Europe/Berlin").await, first, "nothing changed");
    assert_eq!(save("Asia/Kathmandu").await, first + 1);
    let page = site.get("/audit?subject=settings", &cookies).await;
    assert!(page.text.contains("href=\"/audit.csv?subject=settings\""), "{}", page.text);
    let csv = site.get("/audit.csv?subject=settings", &cookies).await.text;
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines[0], "\u{feff}id,at,who,remote,subject,key,before,after");
    assert_eq!(lines.len(), 3, "a save that changes nothing is no change: {csv}");
    assert!(lines[1].ends_with(",settings,time_zone,Europe/Berlin,Asia/Kathmandu"), "{csv}");
    assert_eq!(site.get("/audit.csv", &site.person("vera", Role::Viewer).await).await.status, StatusCode::FORBIDDEN);
}
