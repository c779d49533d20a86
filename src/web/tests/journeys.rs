//! First run, sign-in, connectors, the profile, receipts.

use axum::http::StatusCode;

use super::kit::{PASSWORD, Site};
use crate::base::id::{EventId, ReceiptId};
use crate::base::secret::Secret;
use crate::domain::administrator::Role;
use crate::domain::event::EventKind;
use crate::store::commit::{Published, Received};
use crate::store::{audit, event};
use crate::web::pages::receive::sample_receipt;

#[tokio::test]
async fn the_first_run_makes_one_administrator_and_is_gone() {
    let site = Site::new().await;
    let mut browser = site.browser();
    assert_eq!(browser.get("/").await.to(), "/setup");
    assert_eq!(browser.get("/sign-in").await.to(), "/setup");
    let code = site.state.setup_code.printed();
    let refused = browser
        .post_from("/setup", "/setup", &[("code", ""), ("name", "mira"), ("password", "short"), ("again", "short")])
        .await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.has("<title>Error: Set up") && refused.has("There are 2 problems. Nothing was saved."));
    assert!(refused.has("value=\"mira\"") && !refused.has("value=\"short\""));
    let fields = [("code", "WRONG"), ("name", "mira"), ("password", PASSWORD), ("again", PASSWORD)];
    assert!(browser.post_from("/setup", "/setup", &fields).await.has("This is not the code"));
    let fields = [("code", code.as_str()), ("name", "mira"), ("password", PASSWORD), ("again", PASSWORD)];
    let made = browser.post_from("/setup", "/setup", &fields).await;
    assert_eq!((made.status, made.to()), (StatusCode::SEE_OTHER, "/flows"));
    assert_eq!(browser.get("/flows").await.status, StatusCode::OK);
    let mut other = site.browser();
    assert_eq!(other.get("/setup").await.to(), "/flows");
    assert_eq!(other.post_bare("/setup", &fields).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn signing_in_and_out_changes_the_session() {
    let site = Site::new().await;
    site.add_administrator("mira", Role::Admin).await;
    let mut browser = site.browser();
    let unknown = browser.sign_in("nobody", PASSWORD).await;
    let wrong = browser.sign_in("mira", "wrong").await;
    assert_eq!((unknown.status, wrong.status), (StatusCode::UNPROCESSABLE_ENTITY, StatusCode::UNPROCESSABLE_ENTITY));
    assert!(unknown.has("Name or password is wrong.") && wrong.has("Name or password is wrong."));
    assert!(wrong.has("value=\"mira\"") && !wrong.has("value=\"wrong\""));
    let right = browser.sign_in("Mira", PASSWORD).await;
    assert_eq!(right.to(), "/flows");
    let cookie = right.headers["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && !cookie.contains("Secure"), "{cookie}");
    let stolen = browser.clone();
    let out = browser.post_from("/flows", "/sign-out", &[]).await;
    assert_eq!(out.to(), "/sign-in");
    assert!(browser.cookies.is_empty());
    let mut stolen = stolen;
    assert!(stolen.get("/flows").await.to().starts_with("/sign-in"), "the old cookie opens nothing");
    let mut kinds = Vec::new();
    for _ in 0..50 {
        let events = event::newest_first(&site.state.db, None, None, 10).await.unwrap();
        kinds = events.iter().map(|event| event.kind).collect();
        if kinds.len() == 3 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(kinds[0], EventKind::AdministratorSignedIn);
    assert_eq!(kinds[1..], [EventKind::AdministratorSignInFailed; 2]);
}

#[tokio::test]
async fn a_connector_is_added_and_its_password_shown_once() {
    let (site, mut browser) = Site::signed_in(Role::Editor).await;
    let refused = browser.post_from("/flows", "/flows", &[("id", "acme edi"), ("copy_of", "nobody")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.has("There are 2 problems") && refused.has("value=\"acme edi\"") && refused.has("holds a blank"));
    let added = browser.post_from("/flows", "/flows", &[("id", "acme-edi"), ("description", "Acme & Co")]).await;
    assert_eq!(added.to(), "/connectors/acme-edi/settings");
    let first = browser.get("/connectors/acme-edi/settings").await;
    assert!(first.has("Password, shown once") && first.has("Acme &#38; Co"));
    let begin = first.text.find("id=\"new-password\" value=\"").unwrap() + 25;
    let password = Secret::new(first.text[begin..].split('"').next().unwrap());
    let hashes = site.state.live.snapshot().connector("ACME-EDI").unwrap().passwords.clone();
    let hashes = hashes.into_iter().map(|one| one.hash).collect();
    assert_eq!(site.state.gate.hasher().verify(&password, hashes).await.unwrap(), Some(0), "the password works");
    assert!(!browser.get("/connectors/acme-edi/settings").await.has("Password, shown once"));
    let again = browser.post_from("/connectors/acme-edi/settings", "/connectors/acme-edi/password", &[]).await;
    assert_eq!(again.to(), "/connectors/acme-edi/settings");
    assert!(browser.get("/connectors/acme-edi/settings").await.has("has a new password"));
    let copy = [("id", "acme-two"), ("copy_of", "acme-edi")];
    assert_eq!(browser.post_from("/flows", "/flows", &copy).await.to(), "/connectors/acme-two/settings");
    assert!(browser.get("/flows?q=two").await.has("acme-two"));
    assert!(browser.get("/flows?q=nothing").await.has("No connector matches"));
}

#[tokio::test]
async fn a_connector_tells_every_mistake_and_notices_another_editor() {
    let (site, mut browser) = Site::signed_in(Role::Editor).await;
    browser.post_from("/flows", "/flows", &[("id", "acme")]).await;
    let path = "/connectors/acme/settings";
    let version = browser.get(path).await.hidden("version");
    let fields = [
        ("version", version.as_str()),
        ("password", "short"),
        ("allowed_addresses", "10.0.0.0/40"),
        ("require_tls", "as_profile"),
        ("client_certificate", "none"),
        ("password_overlap_h", "-1"),
    ];
    let refused = browser.post_from(path, path, &fields).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.has("<title>Error: acme"));
    assert!(refused.has("There are 3 problems. Nothing was saved."), "{}", refused.text);
    assert!(refused.has("10.0.0.0/40") && !refused.has("value=\"short\""));
    let good = [("version", version.as_str()), ("enabled", "on"), ("receive_write", "on"), ("description", "Mine")];
    assert_eq!(browser.post_from(path, path, &good).await.status, StatusCode::SEE_OTHER);
    assert!(browser.get(path).await.has("Saved. Applies to the next command"));
    let settings = site.state.live.snapshot().connector("acme").unwrap().connector.settings.clone();
    assert!(settings.receive_write && !settings.send_read);
    let late = [("version", version.as_str()), ("enabled", "on"), ("description", "Theirs")];
    let stale = browser.post_from(path, path, &late).await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    assert!(stale.has("Somebody else saved in between") && stale.has(">Mine<") && stale.has(">Theirs<"));
    let newer = stale.hidden("version");
    let insist = [("version", newer.as_str()), ("enabled", "on"), ("description", "Theirs")];
    assert_eq!(browser.post_from(path, path, &insist).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_connector_is_deleted_when_its_id_is_typed() {
    let (site, mut browser) = Site::signed_in(Role::Editor).await;
    browser.post_from("/flows", "/flows", &[("id", "acme")]).await;
    let path = "/connectors/acme/remove";
    assert!(browser.get(path).await.has("1 password are lost") || browser.get(path).await.has("1 password"));
    let refused = browser.post_from(path, path, &[("typed_id", "acm")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(site.state.live.snapshot().connector("acme").is_some());
    assert_eq!(browser.post_from(path, path, &[("typed_id", "ACME")]).await.to(), "/flows");
    assert!(site.state.live.snapshot().connector("acme").is_none());
    assert!(browser.get("/flows").await.has("acme is deleted"));
}

#[tokio::test]
async fn the_profile_is_saved_with_audit_and_refused_with_all_mistakes() {
    let (site, mut browser) = Site::signed_in(Role::Admin).await;
    let path = "/profiles/ftp";
    let seen = browser.get(path).await;
    assert!(seen.has("Not yet in force") && seen.has("name=\"welcome_message\""));
    let version = seen.hidden("version");
    let protocols = [("tls_protocols", "1.2"), ("tls_protocols", "1.3")];
    let bad =
        [&[("version", version.as_str()), ("port", "70000"), ("inactivity_timeout_s", "x")][..], &protocols].concat();
    let refused = browser.post_from(path, path, &bad).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.has("There are 2 problems") && refused.has("value=\"70000\"") && refused.has("aria-invalid"));
    let good =
        [&[("version", version.as_str()), ("port", "2121"), ("welcome_message", "Dock 7")][..], &protocols].concat();
    assert_eq!(browser.post_from(path, path, &good).await.to(), path);
    assert!(browser.get(path).await.has("Saved."));
    assert_eq!(site.state.live.snapshot().profile.port.get(), 2121);
    let changes = audit::latest(&site.state.db, Some("profile"), 100).await.unwrap();
    let keys: Vec<_> = changes.iter().map(|entry| (entry.key.as_str(), entry.who.as_str())).collect();
    assert_eq!(keys.len(), 2, "only what was changed is saved: {keys:?}");
    assert!(changes.iter().any(|entry| entry.key == "port" && entry.after == "2121" && entry.who == "mira"));
    let again = browser.get(path).await.hidden("version");
    let same = [&[("version", again.as_str()), ("port", "2121")][..], &protocols].concat();
    browser.post_from(path, path, &same).await;
    assert!(browser.get(path).await.has("Nothing was changed"));
    assert!(browser.get("/filter-test?filter=*.x12&name=a.zip").await.has("no pattern matches"));
    assert!(browser.get("/profiles/ftp?name=a.zip").await.has("nothing excludes it"));
}

async fn receive(site: &Site, name: &str) -> ReceiptId {
    let mut receipt = sample_receipt();
    receipt.id = ReceiptId::new(&site.state.ids);
    receipt.client_path = format!("/Receive/{name}");
    receipt.stored_path = format!("/Receive/{name}");
    receipt.completed_at = site.state.clock.now();
    receipt.duplicate_of = None;
    let received = Received { receipt: receipt.clone(), event_id: EventId::new(&site.state.ids) };
    site.state.recorder.receive(received).await.unwrap();
    let published = Published {
        id: receipt.id.clone(),
        connector_key: receipt.connector.clone(),
        stored_path: receipt.stored_path.clone(),
    };
    site.state.recorder.publish(published).await;
    receipt.id
}

#[tokio::test]
async fn receipts_are_listed_searched_paged_and_opened() {
    let (site, mut browser) = Site::signed_in(Role::Viewer).await;
    assert!(browser.get("/activity/receive").await.has("Nothing received yet"));
    let mut last = None;
    for n in 0..30 {
        last = Some(receive(&site, &format!("orders-{n:02}.x12")).await);
    }
    let hostile = receive(&site, "<script>alert(1)</script>").await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let page = browser.get("/activity/receive?n=25").await;
    assert!(page.has("31 files") && page.has("&#60;script&#62;") && !page.has("<script>alert"));
    assert!(page.has("orders-29.x12") && !page.has("orders-01.x12") && page.has("rel=\"next\""));
    let begin = page.text.find("href=\"/activity/receive?n=25&#38;before=").unwrap() + 6;
    let older = page.text[begin..].split('"').next().unwrap().replace("&#38;", "&");
    let second = browser.get(&older).await;
    assert!(second.has("orders-00.x12") && !second.has("orders-29.x12") && second.has("rel=\"prev\""));
    let found = browser.get("/activity/receive?q=ORDERS-07").await;
    assert!(found.has("1 file") && found.has("Remove filter Search: ORDERS-07"));
    let last = last.unwrap();
    let open = browser.get(&format!("/activity/receive?open={last}")).await;
    assert!(
        open.has("aria-expanded=\"true\"")
            && open.has("b1946ac92492d2347c6235b4d2611184aa03c1f7e2d94b8c5f60718293a4a3f2")
    );
    let own = browser.get(&format!("/activity/receive/{hostile}")).await;
    assert!(own.has("SHA-256") && own.has("198.51.100.7") && !own.has("<script>alert"));
    let events = browser.get("/activity/events?kind=after_receive").await;
    assert!(events.has("Received /Receive/orders-29.x12"));
    for path in ["/activity/transfers", "/activity/refusals", "/activity/sessions"] {
        assert_eq!(browser.get(path).await.status, StatusCode::OK, "{path}");
    }
}
