//! Every route, tried by who may not use it.

use axum::body::Body;
use axum::http::{Request, StatusCode};

use super::kit::Site;
use crate::domain::administrator::Role;
use crate::web::routes::{Access, ROUTES, Verb};

fn concrete(path: &str) -> String {
    path.replace("{id}", "acme-edi").replace("{name}", "nothing.css")
}

#[tokio::test]
async fn a_stranger_reaches_nothing_but_the_door() {
    let site = Site::new().await;
    site.add_administrator("mira", Role::Admin).await;
    for route in ROUTES {
        let path = concrete(route.path);
        let mut browser = site.browser();
        match (route.access, route.verb) {
            (Access::Anyone, _) => {}
            (Access::Setup, Verb::Get) => assert_eq!(browser.get(&path).await.to(), "/flows", "{path}"),
            (Access::Setup, Verb::Post) => {
                assert_eq!(browser.post_bare(&path, &[]).await.status, StatusCode::NOT_FOUND, "{path}");
            }
            (_, Verb::Get) => {
                let answer = browser.get(&path).await;
                assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}");
                assert!(answer.to().starts_with("/sign-in?to=%2F"), "{path} leads to {}", answer.to());
            }
            (_, Verb::Post) => {
                let answer = browser.post_bare(&path, &[]).await;
                assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
            }
        }
    }
}

#[tokio::test]
async fn a_role_is_refused_what_it_may_not_do() {
    for role in [Role::Viewer, Role::Editor] {
        let (_site, mut browser) = Site::signed_in(role).await;
        let token = browser.get("/flows").await.hidden("csrf");
        for route in ROUTES {
            let needed = match route.access {
                Access::Editor => Role::Editor,
                Access::Admin => Role::Admin,
                Access::Anyone | Access::Setup | Access::Viewer => continue,
            };
            let path = concrete(route.path);
            let answer = match route.verb {
                Verb::Get => browser.get(&path).await,
                Verb::Post => browser.post_bare(&path, &[("csrf", &token)]).await,
            };
            assert_eq!(answer.status == StatusCode::FORBIDDEN, role < needed, "{path} as {role:?}: {}", answer.status);
        }
    }
}

#[tokio::test]
async fn a_form_without_its_token_or_from_elsewhere_is_not_read() {
    let (_site, mut browser) = Site::signed_in(Role::Admin).await;
    for route in ROUTES.iter().filter(|route| route.verb == Verb::Post && route.access != Access::Setup) {
        let path = concrete(route.path);
        let answer = browser.post_bare(&path, &[("csrf", "guessed")]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert!(answer.has("This form has expired"), "{path}");
    }
    let token = browser.get("/flows").await.hidden("csrf");
    let request = Request::post("/flows")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "cross-site");
    let answer = browser.send(request, Body::from(format!("csrf={token}&id=evil"))).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.has("another site"));
}

#[tokio::test]
async fn only_known_host_names_are_answered() {
    let (_site, mut browser) = Site::signed_in(Role::Admin).await;
    let known = |host: &str| Request::get("/flows").header("host", host.to_owned());
    for host in ["localhost:8020", "127.0.0.1:8020", "[::1]:8020"] {
        assert_eq!(browser.send(known(host), Body::empty()).await.status, StatusCode::OK, "{host}");
    }
    for host in ["evil.example", "192.0.2.1:8020"] {
        let answer = browser.send(known(host), Body::empty()).await;
        assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{host}");
        assert!(answer.has("waybill settings set web_hosts="));
    }
}

#[tokio::test]
async fn errors_are_pages_with_the_headers_of_all() {
    let (_site, mut browser) = Site::signed_in(Role::Admin).await;
    let missing = browser.get("/nothing-here").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(missing.has("No such page") && missing.has("Back to Flows"));
    let policy = missing.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'self'") && !policy.contains("unsafe"));
    assert_eq!(missing.headers["cache-control"], "no-store");
    let wrong = browser.send(Request::delete("/flows"), Body::empty()).await;
    assert_eq!(wrong.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(wrong.has("takes no such request"));
    let large = browser.post_bare("/flows", &[("id", &"x".repeat(300 * 1024))]).await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(browser.get("/connectors/nobody/settings").await.status, StatusCode::NOT_FOUND);
    assert_eq!(browser.get("/healthz").await.text, "ok\n");
}
