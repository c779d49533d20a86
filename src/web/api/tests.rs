//! Requests through the whole router with a token: who may do what, and what is refused in which words.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Method, Request, StatusCode};
use serde_json::Value;

use super::door::LIMITS;
use super::new_token;
use super::routes::ROUTES;
use crate::access::gate::Verdict;
use crate::access::guard::{ADDRESS_FAILURES_MAX, Caller, Door, Known};
use crate::base::clock::Clock;
use crate::base::secret::Secret;
use crate::domain::administrator::Role;
use crate::domain::api_token::TokenSettings;
use crate::domain::appliance::ApplianceSettings;
use crate::domain::connector::ConnectorSettings;
use crate::store::administrator;
use crate::store::api_token;
use crate::store::setting::Change;
use crate::web::state::Peer;
use crate::web::tests::{Answer, Site};

impl Site {
    /// A token of that administrator, who is made if need be.
    pub(super) async fn token(&self, owner: (&str, Role), settings: &[(&str, &str)]) -> String {
        if administrator::find(&self.db, owner.0).await.unwrap().is_none() {
            let new = administrator::New { name: owner.0, role: owner.1, password_hash: "-", only_first: false };
            administrator::add(&self.db, &new, &self.change()).await.unwrap();
        }
        let owner = administrator::find(&self.db, owner.0).await.unwrap().unwrap();
        let token = new_token();
        let texts = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut settings = TokenSettings::read(&texts).unwrap();
        if settings.name.as_str().is_empty() {
            settings.name = crate::domain::setting::Value::parse(&token[..20]).unwrap();
        }
        api_token::add(&self.db, &owner, (&settings, &Secret::new(token.as_str())), &self.change()).await.unwrap();
        token
    }

    /// A request to the API.
    pub(super) async fn api(&self, method: Method, path: &str, token: &str, body: Option<&Value>) -> Answer {
        let mut request =
            Request::builder().method(method).uri(format!("/api/v1{path}")).header(HOST, "127.0.0.1:8020");
        if !token.is_empty() {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        self.send(request.body(body).unwrap()).await
    }

    pub(super) async fn look(&self, path: &str, token: &str) -> Answer {
        self.api(Method::GET, path, token, None).await
    }
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The detail of a problem, once it is one of that status.
    fn problem(&self, status: StatusCode) -> String {
        assert_eq!((self.status, self.header(CONTENT_TYPE)), (status, "application/problem+json"), "{}", self.text);
        let problem = self.json();
        assert_eq!(problem["status"], status.as_u16());
        problem["detail"].as_str().unwrap().to_owned()
    }
}

/// The path of a route with something in its places.
fn filled(path: &str) -> String {
    let path = path.strip_prefix("/v1").expect("there is one version");
    path.replace("{id}", "acme").replace("{from}", "acme").replace("{to}", "archive")
}

#[tokio::test]
async fn every_route_is_shut_to_strangers_browsers_and_whoever_lacks_scope_or_role() {
    let site = Site::new().await;
    let cookies = site.person("ada", Role::Admin).await;
    let mut tokens = Vec::new();
    for (name, role) in [("vera", Role::Viewer), ("eddy", Role::Editor), ("mira", Role::Admin)] {
        for scope in ["read", "connectors", "activity", "all"] {
            tokens.push(site.token((name, role), &[("name", scope), ("scope", scope)]).await);
        }
    }
    let mut open = 0;
    for route in ROUTES {
        let path = filled(route.path);
        let ask = async |token: &str| site.api(route.method.clone(), &path, token, None).await;
        let stranger = ask("").await;
        stranger.problem(StatusCode::UNAUTHORIZED);
        assert_eq!(stranger.header(WWW_AUTHENTICATE), "Bearer realm=\"waybill\"");
        let browser = site.ask(route.method.clone(), &format!("/api/v1{path}"), &cookies, None).await;
        assert_eq!(browser.status, StatusCode::UNAUTHORIZED, "a browser: {} {path}", route.method);
        for token in &tokens {
            let known = api_token::find(&site.db, &Secret::new(token.as_str())).await.unwrap().unwrap();
            let allowed = known.scope.reaches(route.area, route.deed()) && known.owner.role >= route.role;
            let answer = ask(token).await;
            let refused = answer.status == StatusCode::FORBIDDEN;
            assert_eq!(refused, !allowed, "{}: {} {path}: {}", known.acts_as(), route.method, answer.status);
            open += usize::from(!refused);
        }
    }
    assert!(open > ROUTES.len(), "hardly anything is open: {open}");
}

#[tokio::test]
async fn a_token_opens_no_page_and_no_form() {
    let site = Site::new().await;
    let token = site.token(("mira", Role::Admin), &[("scope", "all")]).await;
    for (method, path) in [(Method::GET, "/settings"), (Method::GET, "/flows"), (Method::POST, "/connectors")] {
        let request = Request::builder().method(method).uri(path).header(HOST, "127.0.0.1:8020");
        let request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        let answer = site.send(request.body(Body::empty()).unwrap()).await;
        let sent_away = answer.status == StatusCode::SEE_OTHER && answer.header(LOCATION) == "/sign-in";
        assert!(sent_away || answer.status == StatusCode::FORBIDDEN, "{path}: {}", answer.status);
    }
}

#[tokio::test]
async fn a_token_says_what_it_is_and_its_use_is_noted() {
    let site = Site::new().await;
    let settings = [("name", "erp"), ("scope", "connectors"), ("expires_days", "")];
    let token = site.token(("eddy", Role::Editor), &settings).await;
    let about = site.look("", &token).await.json();
    assert_eq!(about["owner"], "eddy");
    assert_eq!(
        (&about["scope"], &about["role"], &about["expires_at"]),
        (&"connectors".into(), &"editor".into(), &Value::Null)
    );
    let known = api_token::find(&site.db, &Secret::new(token.as_str())).await.unwrap().unwrap();
    assert_eq!((known.used_from.as_str(), known.used_at.is_some()), ("127.0.0.1", true));
    let role = administrator::Edit { role: Role::Viewer, password_hash: None };
    site.token(("mira", Role::Admin), &[]).await;
    administrator::edit(&site.db, &known.owner.id, &role, &site.change()).await.unwrap();
    assert_eq!(site.look("", &token).await.json()["role"], "viewer", "it keeps a role that its owner lost");
}

#[tokio::test]
async fn what_is_no_token_any_more_is_refused_in_words() {
    let site = Site::new().await;
    let elsewhere = site.token(("mira", Role::Admin), &[("name", "far"), ("addresses", "10.0.0.0/8")]).await;
    let near = site.token(("mira", Role::Admin), &[("name", "near"), ("addresses", "127.0.0.0/8")]).await;
    let refused = site.look("/profile", &elsewhere).await;
    assert!(refused.problem(StatusCode::FORBIDDEN).contains("may not be used from 127.0.0.1"), "{}", refused.text);
    assert_eq!(site.look("/profile", &near).await.status, StatusCode::OK);

    let owner = administrator::find(&site.db, "mira").await.unwrap().unwrap();
    let texts = [("name", "old"), ("expires_days", "1")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let (old, settings) = (Secret::new("old enough"), TokenSettings::parse(&texts).unwrap());
    let yesterday = Change { at: Clock::System.now().minus(Duration::from_hours(24)), ..site.change() };
    api_token::add(&site.db, &owner, (&settings, &old), &yesterday).await.unwrap();
    let expired = site.look("/profile", old.reveal()).await;
    assert!(expired.problem(StatusCode::UNAUTHORIZED).contains("The token old has expired"));
    assert!(expired.header(WWW_AUTHENTICATE).contains("error=\"invalid_token\""));

    let known = api_token::find(&site.db, &Secret::new(near.as_str())).await.unwrap().unwrap();
    api_token::revoke(&site.db, &known, &site.change()).await.unwrap();
    assert!(site.look("/profile", &near).await.problem(StatusCode::UNAUTHORIZED).contains("or it was revoked"));
}

#[tokio::test]
async fn an_address_that_guesses_is_shut_out_but_a_good_token_from_there_is_not() {
    let site = Site::new().await;
    let token = site.token(("mira", Role::Admin), &[]).await;
    let address: IpAddr = "203.0.113.9".parse().unwrap();
    let caller = Caller { door: Door::Api, name: "", known: Known::No, address };
    let ask = async |token: &str| {
        let request =
            Request::get("/api/v1").header(HOST, "127.0.0.1:8020").header(AUTHORIZATION, format!("bearer {token}"));
        let request = request.extension(Peer::in_clear((address, 1).into()));
        site.send(request.body(Body::empty()).unwrap()).await
    };
    ask("guess").await.problem(StatusCode::UNAUTHORIZED);
    // The guess counted as the first: this many more block.
    for _ in 1..ADDRESS_FAILURES_MAX {
        assert!(matches!(site.gate.refused(&caller, &LIMITS), Verdict::Wrong(_)));
    }
    let blocked = ask("another guess").await;
    assert!(blocked.problem(StatusCode::TOO_MANY_REQUESTS).starts_with("Too many bad tokens from 203.0.113.9. Wait "));
    assert!(blocked.header(RETRY_AFTER).parse::<u64>().unwrap() <= 300);
    assert_eq!(ask(&token).await.status, StatusCode::OK);
    let sign_in = Caller { door: Door::Web, name: "mira", known: Known::Yes, address };
    assert!(matches!(site.gate.refused(&sign_in, &LIMITS), Verdict::Wrong(_)), "people are shut out with it");
}

#[tokio::test]
async fn what_the_router_itself_refuses_is_a_problem_too() {
    let site = Site::new().await;
    let token = site.token(("mira", Role::Admin), &[]).await;
    assert!(site.look("/nothing", &token).await.problem(StatusCode::NOT_FOUND).contains("docs/API.md"));
    assert!(
        site.look("/connectors/nobody", &token).await.problem(StatusCode::NOT_FOUND).contains("no connector nobody")
    );
    let wrong = site.api(Method::DELETE, "/profile", &token, None).await;
    assert!(wrong.problem(StatusCode::METHOD_NOT_ALLOWED).starts_with("It takes GET"), "{}", wrong.text);
    let request = Request::get("/api/v1").header(HOST, "evil.example").header(AUTHORIZATION, format!("Bearer {token}"));
    let foreign = site.send(request.body(Body::empty()).unwrap()).await;
    assert!(foreign.problem(StatusCode::MISDIRECTED_REQUEST).contains("web_hosts"));
}

#[tokio::test]
async fn settings_are_shown_with_their_keys_and_no_secret() {
    let site = Site::new().await;
    let token = site.token(("mira", Role::Admin), &[]).await;
    site.add_connector("Acme", "Acme & Sons").await;
    let one = site.look("/connectors/aCME", &token).await.json();
    assert_eq!((&one["id"], &one["version"]), (&"Acme".into(), &1.into()));
    let settings = one["settings"].as_object().unwrap();
    assert_eq!((settings.len(), &settings["description"]), (ConnectorSettings::SETTINGS.len(), &"Acme & Sons".into()));
    let list = site.look("/connectors", &token).await.json();
    assert_eq!((&list["connectors"][0]["id"], &list["connectors"][0]["enabled"]), (&"Acme".into(), &"on".into()));
    let profile = site.look("/profile", &token).await.json();
    assert_eq!((&profile["version"], &profile["settings"]["require_tls"]), (&0.into(), &"login_and_data".into()));
    let own = site.look("/settings", &token).await.json();
    assert_eq!(own["settings"].as_object().unwrap().len(), ApplianceSettings::SETTINGS.len());
}
