//! Requests through the whole router with a token: who may do what, and what is refused in which words.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, LOCATION, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use super::door::LIMITS;
use super::new_token;
use super::routes::ROUTES;
use crate::access::gate::Verdict;
use crate::access::guard::{ADDRESS_FAILURES_MAX, Caller, Door, Known};
use crate::base::clock::Clock;
use crate::base::id::SessionId;
use crate::base::secret::Secret;
use crate::domain::administrator::Role;
use crate::domain::api_token::TokenSettings;
use crate::domain::appliance::ApplianceSettings;
use crate::domain::connector::ConnectorId;
use crate::domain::connector::ConnectorSettings;
use crate::domain::profile::Profile;
use crate::domain::refusal::Rule;
use crate::store::administrator;
use crate::store::api_token;
use crate::store::audit;
use crate::store::session::SessionEnd;
use crate::store::setting::Change;
use crate::store::sla;
use crate::web::routes::FORM_BYTES_MAX;
use crate::web::state::Peer;
use crate::web::tests::{Answer, LOCAL, Site};

impl Site {
    /// A token of that administrator, who is added if needed.
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

    /// The detail of a problem, after checking its status.
    fn problem(&self, status: StatusCode) -> String {
        assert_eq!((self.status, self.header(CONTENT_TYPE)), (status, "application/problem+json"), "{}", self.text);
        let problem = self.json();
        assert_eq!(problem["status"], status.as_u16());
        problem["detail"].as_str().unwrap().to_owned()
    }
}

/// The path of a route with its placeholders filled.
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
        let ask = async |token: &str| site.api(route.verb.method(), &path, token, None).await;
        let stranger = ask("").await;
        stranger.problem(StatusCode::UNAUTHORIZED);
        assert_eq!(stranger.header(WWW_AUTHENTICATE), "Bearer realm=\"waybill\"");
        let browser = site.ask(route.verb.method(), &format!("/api/v1{path}"), &cookies, None).await;
        assert_eq!(browser.status, StatusCode::UNAUTHORIZED, "a browser: {:?} {path}", route.verb);
        for token in &tokens {
            let known = api_token::find(&site.db, &Secret::new(token.as_str())).await.unwrap().unwrap();
            let allowed = known.scope.reaches(route.area, route.verb.deed()) && known.owner.role >= route.role;
            let answer = ask(token).await;
            let refused = answer.status == StatusCode::FORBIDDEN;
            assert_eq!(refused, !allowed, "{}: {:?} {path}: {}", known.acts_as(), route.verb, answer.status);
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
        let sent_away = answer.status == StatusCode::SEE_OTHER && answer.header(LOCATION).starts_with("/sign-in");
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
    let demoted = administrator::NewRole { from: Role::Editor, to: Role::Viewer };
    let role = administrator::Edit { role: Some(demoted), password_hash: None };
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
    let no_text = site.look("/connectors/%ff", &token).await.problem(StatusCode::BAD_REQUEST);
    assert!(no_text.contains("UTF-8") && !no_text.contains("form"), "{no_text}");
    let request = Request::post("/api/v1/flows").header(HOST, "127.0.0.1:8020").header(ORIGIN, "http://evil.example");
    let request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    let of_a_page = site.send(request.body(Body::empty()).unwrap()).await;
    assert!(of_a_page.problem(StatusCode::FORBIDDEN).contains("Nothing was saved"), "{}", of_a_page.text);
}

#[tokio::test]
async fn settings_are_shown_with_their_keys_and_no_secret() {
    let site = Site::new().await;
    let token = site.token(("mira", Role::Admin), &[]).await;
    site.add_connector("Acme", "Acme & Sons").await;
    let one = site.look("/connectors/aCME", &token).await.json();
    assert_eq!(one["id"], "Acme");
    assert!(one["version"].as_i64().unwrap() > 0, "{one}");
    let settings = one["settings"].as_object().unwrap();
    assert_eq!((settings.len(), &settings["description"]), (ConnectorSettings::SETTINGS.len(), &"Acme & Sons".into()));
    let list = site.look("/connectors", &token).await.json();
    assert_eq!((&list["connectors"][0]["id"], &list["connectors"][0]["enabled"]), (&"Acme".into(), &"on".into()));
    let profile = site.look("/profile", &token).await.json();
    assert_eq!((&profile["version"], &profile["settings"]["require_tls"]), (&0.into(), &"login_and_data".into()));
    let own = site.look("/settings", &token).await.json();
    assert_eq!(own["settings"].as_object().unwrap().len(), ApplianceSettings::SETTINGS.len());
}

#[tokio::test]
async fn received_files_are_listed_page_by_page_and_what_came_since_is_asked_for() {
    let site = Site::new().await;
    let token = site.token(("vera", Role::Viewer), &[("scope", "activity")]).await;
    site.add_connector("acme", "").await;
    let mut ids = Vec::new();
    for number in 0..27 {
        ids.push(site.receive("acme", &format!("{number}.x12")).await.to_string());
    }
    let get = async |query: &str| site.look(&format!("/receipts?{query}"), &token).await.json();
    let of = |page: &Value| -> Vec<String> {
        page["receipts"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    let first = get("size=25&connector=ACME").await;
    let second = get(&format!("size=25&connector=acme&before={}", first["older"].as_str().unwrap())).await;
    let both: Vec<_> = of(&first).into_iter().chain(of(&second)).collect();
    assert_eq!(both, ids.iter().rev().cloned().collect::<Vec<_>>());
    assert_eq!(second["older"], Value::Null);
    let newer = first["newer"].as_str().unwrap().to_owned();
    let nothing = get(&format!("after={newer}")).await;
    assert_eq!((of(&nothing).len(), nothing["newer"].as_str()), (0, Some(newer.as_str())));
    let late = site.receive("acme", "late.x12").await;
    assert_eq!(of(&get(&format!("after={newer}")).await), [late.as_str()]);
    assert_eq!(of(&get("q=late").await), [late.as_str()]);
    assert_eq!(of(&get("since=1h&status=lost").await), Vec::<String>::new());

    let one = site.look(&format!("/receipts/{late}"), &token).await.json();
    assert_eq!((&one["name"], &one["deliveries"]), (&"late.x12".into(), &Value::Array(Vec::new())));
    let events = site.look("/events?kind=after_receive&since=today&connector=acme", &token).await.json();
    assert_eq!(events["events"][0]["receipt_id"], late.as_str());
    for (place, words) in [
        ("/receipts/nothing", "There is no receipt nothing; GET /api/v1/receipts lists them."),
        ("/refusals/nothing", "There is no refusal nothing; GET /api/v1/refusals lists them."),
    ] {
        assert_eq!(site.look(place, &token).await.problem(StatusCode::NOT_FOUND), words);
    }
    let admin = site.token(("mira", Role::Admin), &[("scope", "activity")]).await;
    let fired = site.api(Method::POST, "/deliveries/77/fire", &admin, None).await;
    assert_eq!(fired.problem(StatusCode::NOT_FOUND), "There is no delivery 77; a receipt has those of its file.");
}

#[tokio::test]
async fn a_filter_that_is_none_is_refused_rather_than_passed_over() {
    let site = Site::new().await;
    let token = site.token(("vera", Role::Viewer), &[("scope", "read")]).await;
    for (path, key, words) in [
        ("/receipts?conector=acme", "conector", "did you mean connector?"),
        ("/receipts?size=7", "size", "25, 50, 100, 250"),
        ("/receipts?status=publishing", "status", "in_receive"),
        ("/receipts?since=yesterday", "since", "10m, 2h, 3d"),
        ("/receipts?before=soon", "before", "what older or newer said"),
        ("/receipts?q=x&after=5,a", "after", "goes backwards"),
        ("/receipts?q=a&q=b", "q", "given twice"),
        ("/receipts?before=5,a&after=6,b", "after", "send one of them"),
        ("/receipts?sla=s1", "sla", "2026-11-27T09:00:00Z,ID"),
        ("/transfers?sla=1,2,s1", "sla", "There is no SLA s1"),
        ("/events?kind=uploads", "kind", "after_receive"),
        ("/events?rule=idle", "rule", "connector, kind, since"),
        ("/refusals?rule=never", "rule", "name_filter"),
        ("/transfers?way=up&result=bad", "way", "receive, send"),
    ] {
        let refused = site.look(path, &token).await;
        assert!(refused.problem(StatusCode::UNPROCESSABLE_ENTITY).contains(words), "{path}: {}", refused.text);
        assert_eq!(refused.json()["mistakes"][0]["key"], key, "{path}");
    }
    let both = site.look("/transfers?way=up&result=bad", &token).await.json();
    assert_eq!((&both["title"], both["mistakes"].as_array().unwrap().len()), (&"There are 2 problems".into(), 2));
    assert_eq!(site.look("/transfers?way=&size=25", &token).await.status, StatusCode::OK);
    let editor = site.token(("eddy", Role::Editor), &[("scope", "connectors")]).await;
    let maybe = site.api(Method::DELETE, "/connectors/acme?anyway=1", &editor, None).await;
    assert_eq!(maybe.problem(StatusCode::UNPROCESSABLE_ENTITY), "1 isn't one of true, false. Nothing was done.");
}

#[tokio::test]
async fn the_files_that_count_for_an_sla_are_listed_where_there_can_be_some() {
    let site = Site::new().await;
    let token = site.token(("vera", Role::Viewer), &[("scope", "activity")]).await;
    site.add_connector("acme", "").await;
    let change = site.change();
    for (id, counted) in [("s1", "received"), ("s2", "collected")] {
        let texts = [("names", "*.x12"), ("counted", counted)].map(|(key, value)| (key.to_owned(), value.to_owned()));
        sla::put(&site.db, id, &ConnectorId::parse("acme").unwrap(), &texts.into(), &change).await.unwrap();
    }
    let counts = site.receive("acme", "po.x12").await.to_string();
    site.receive("acme", "po.edi").await;
    let get = async |path: &str| site.look(path, &token).await;
    let of =
        |page: &Value| page["receipts"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect::<Vec<_>>();
    let all = "2000-01-01T00:00:00Z,2100-01-01T00:00:00Z";
    assert_eq!(of(&get(&format!("/receipts?sla={all},s1")).await.json()), [counts]);
    assert!(of(&get("/receipts?sla=0,5,s1&connector=ACME").await.json()).is_empty());
    for (path, words) in [
        (format!("/receipts?sla={all},s2"), "counts files that are collected"),
        (format!("/transfers?sla={all},s1"), "counts files that are received"),
        (format!("/receipts?sla={all},s1&connector=globex"), "is one of acme"),
    ] {
        let refused = get(&path).await;
        assert!(refused.problem(StatusCode::UNPROCESSABLE_ENTITY).contains(words), "{path}: {}", refused.text);
    }
    assert_eq!(get(&format!("/transfers?sla={all},s2")).await.json()["transfers"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn what_happens_now_and_what_was_refused_is_told() {
    let site = Site::new().await;
    let token = site.token(("vera", Role::Viewer), &[("scope", "activity")]).await;
    let (id, remote) = (SessionId::new(&site.ids), IpAddr::from([203, 0, 113, 7]));
    let place = site.presence.enter(id.clone(), (remote, LOCAL), Clock::System.now());
    place.update(|doing| {
        doing.connector = Some("acme".to_owned());
        doing.file = Some("Receiving /Receive/po 1.edi".to_owned());
    });
    let sessions = site.look("/sessions", &token).await.json();
    let one = &sessions["sessions"][0];
    assert_eq!(
        (&sessions["total"], &one["id"], &one["remote"]),
        (&1.into(), &id.as_str().into(), &"203.0.113.7".into())
    );
    assert_eq!((&one["doing"], &one["file"]), (&"receiving".into(), &"/Receive/po 1.edi".into()));
    drop(place);
    assert_eq!(site.look("/sessions", &token).await.json()["total"], 0);
    let ended = site.end_session("acme", "192.0.2.1", SessionEnd::Lost).await;
    site.end_session("globex", "192.0.2.1", SessionEnd::Quit).await;
    let past = site.look("/sessions/past?ending=lost&address=192.0.2.1", &token).await.json();
    let one = &past["sessions"][0];
    assert_eq!(
        (&one["id"], &one["ending"], &one["received_bytes"]),
        (&ended.as_str().into(), &"lost".into(), &2_048.into())
    );
    assert_eq!((past["sessions"].as_array().unwrap().len(), &past["older"]), (1, &Value::Null));
    let wrong = site.look("/sessions/past?ending=bored&address=here", &token).await;
    assert!(wrong.text.contains("isn't one of quit, lost, not_ftp, idle") && wrong.text.contains("isn't an address"));
    assert_eq!(site.look("/transfers", &token).await.json()["transfers"], Value::Array(Vec::new()));
    let refused = site.refuse(Rule::NameFilter, "acme", 1).await;
    let list = site.look("/refusals?rule=name_filter&connector=acme", &token).await.json();
    assert_eq!(list["refusals"][0]["id"], refused.as_str());
    let one = site.look(&format!("/refusals/{refused}"), &token).await.json();
    assert_eq!((&one["set_in"], &one["set_by"]), (&"connector".into(), &"allowed_files_filter".into()));
    assert!(one["explained"].as_str().unwrap().contains("does not accept this file name"));
}

#[tokio::test]
async fn a_connector_is_added_changed_put_in_place_and_removed_as_by_the_forms() {
    let site = Site::new().await;
    let token = site.token(("eddy", Role::Editor), &[("name", "erp"), ("scope", "connectors")]).await;
    let ask = async |method: Method, path: &str, body: Value| site.api(method, path, &token, Some(&body)).await;
    let added = ask(Method::POST, "/connectors", json!({ "id": "Acme", "settings": { "description": "Ghent" } })).await;
    assert_eq!(
        (added.status, added.header(LOCATION)),
        (StatusCode::CREATED, "/api/v1/connectors/Acme"),
        "{}",
        added.text
    );
    let password = added.json()["password"].as_str().unwrap().to_owned();
    let opens = async |password: &str| {
        let snapshot = site.live.snapshot();
        let hashes = snapshot.connector("acme").unwrap().hashes(site.depot.clock.now());
        site.gate.hasher().verify(&Secret::new(password), hashes).await.unwrap().is_some()
    };
    assert!(opens(&password).await && !site.look("/connectors/acme", &token).await.text.contains(&password));

    let mistakes = json!({ "settings": { "timeout_s": "0", "enabled": true, "passwort": "x" }, "versoin": 1 });
    let refused = ask(Method::PATCH, "/connectors/acme", mistakes).await;
    refused.problem(StatusCode::UNPROCESSABLE_ENTITY);
    let keys = |answer: &Answer| -> Vec<String> {
        let mistakes = answer.json()["mistakes"].as_array().unwrap().clone();
        mistakes.iter().map(|one| one["key"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(keys(&refused), ["enabled", "versoin"]);
    let mistakes = json!({ "settings": { "timeout_s": "0", "passwort": "x", "password": "short" } });
    let refused = ask(Method::PATCH, "/connectors/acme", mistakes).await;
    assert_eq!(keys(&refused), ["password", "passwort", "timeout_s"], "{}", refused.text);

    let version = site.look("/connectors/acme", &token).await.json()["version"].as_i64().unwrap();
    let of_version = |timeout_s| json!({ "version": version, "settings": { "timeout_s": timeout_s } });
    let changed = ask(Method::PATCH, "/connectors/acme", of_version("90")).await;
    let next = (version + 1).into();
    assert_eq!((changed.status, &changed.json()["version"]), (StatusCode::OK, &next), "{}", changed.text);
    let stale = ask(Method::PATCH, "/connectors/acme", of_version("30")).await;
    assert!(stale.problem(StatusCode::CONFLICT).starts_with("eddy, token erp saved these settings meanwhile"));
    assert_eq!(stale.json()["version"], next);
    assert_eq!(site.live.snapshot().connector("acme").unwrap().connector.settings.timeout_s.get(), 90);

    let put = ask(Method::PUT, "/connectors/acme", json!({ "settings": { "description": "Gent" } })).await.json();
    assert_eq!((&put["settings"]["timeout_s"], &put["settings"]["description"]), (&"60".into(), &"Gent".into()));
    assert!(opens(&password).await, "a password went with what was put in place");
    let made = ask(Method::POST, "/connectors/acme/password", json!({})).await.json()["password"].clone();
    assert!(opens(made.as_str().unwrap()).await && !opens(&password).await);
    let chosen = json!({ "password": "chosen by the partner" });
    assert_eq!(ask(Method::POST, "/connectors/acme/password", chosen).await.status, StatusCode::NO_CONTENT);
    assert!(opens("chosen by the partner").await);
    let short = ask(Method::POST, "/connectors/acme/password", json!({ "password": "short" })).await;
    assert!(short.problem(StatusCode::UNPROCESSABLE_ENTITY).contains("at least 12 characters"));

    site.waits_for("acme").await;
    let off = json!({ "settings": { "enabled": "off" } });
    let asked = site.api(Method::PATCH, "/connectors/acme", &token, Some(&off)).await;
    assert!(asked.problem(StatusCode::CONFLICT).contains("1 file waits for Acme"), "{}", asked.text);
    site.api(Method::PUT, "/connectors/acme", &token, Some(&off)).await.problem(StatusCode::CONFLICT);
    let anyway = json!({ "settings": { "enabled": "off" }, "anyway": true });
    let done = site.api(Method::PATCH, "/connectors/acme", &token, Some(&anyway)).await;
    assert_eq!(done.json()["settings"]["enabled"], "off", "{}", done.text);
    let asked = site.api(Method::DELETE, "/connectors/acme", &token, None).await;
    assert!(asked.problem(StatusCode::CONFLICT).contains("?anyway=true"), "{}", asked.text);
    let removed = site.api(Method::DELETE, "/connectors/acme?anyway=true", &token, None).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    site.api(Method::DELETE, "/connectors/acme", &token, None).await.problem(StatusCode::NOT_FOUND);
    let entries = audit::latest(&site.db, Some("connector Acme"), 100).await.unwrap();
    assert!(entries.len() > 5 && entries.iter().all(|entry| entry.who == "eddy, token erp"), "{entries:?}");
    assert!(!entries.iter().any(|entry| entry.after.contains("chosen by")));
}

#[tokio::test]
async fn arrows_are_drawn_refused_and_removed() {
    let site = Site::new().await;
    let token = site.token(("eddy", Role::Editor), &[("scope", "connectors")]).await;
    let ask = async |method: Method, path: &str, body: Value| site.api(method, path, &token, Some(&body)).await;
    site.add_connector("Acme", "").await;
    let folder = json!({ "id": "archive", "settings": { "type": "folder" } });
    let added = ask(Method::POST, "/connectors", folder).await;
    assert!(added.status == StatusCode::CREATED && added.json().get("password").is_none(), "{}", added.text);
    let no_password = ask(Method::POST, "/connectors/archive/password", json!({})).await;
    assert!(no_password.problem(StatusCode::UNPROCESSABLE_ENTITY).contains("Nobody signs in"));
    let kept = ask(Method::PUT, "/connectors/archive", json!({ "settings": { "keep_days": "9" } })).await.json();
    assert_eq!((&kept["settings"]["type"], &kept["settings"]["keep_days"]), (&"folder".into(), &"9".into()));
    let hook = json!({ "id": "erp", "settings": { "type": "webhook", "url": "https://erp.example.com/in" } });
    assert!(
        ask(Method::POST, "/connectors", hook).await.json()["secret"].as_str().is_some_and(|secret| secret.len() == 24)
    );

    let drawn = ask(Method::POST, "/flows", json!({ "from": "acme", "to": "ARCHIVE" })).await;
    assert_eq!(
        (drawn.status, drawn.json()),
        (StatusCode::CREATED, json!({ "from": "Acme", "to": "archive", "on_error": false }))
    );
    let list = site.look("/flows", &token).await.json();
    assert_eq!((&list["flows"][0]["to"], &list["flows"][0]["waiting"]), (&"archive".into(), &0.into()));
    let again = ask(Method::POST, "/flows", json!({ "from": "acme", "to": "archive" })).await;
    assert!(again.problem(StatusCode::UNPROCESSABLE_ENTITY).contains("already"), "{}", again.text);
    let wrong = ask(Method::POST, "/flows", json!({ "from": 1, "to": "x", "on_error": "on" })).await;
    assert_eq!(wrong.json()["mistakes"].as_array().unwrap().len(), 2, "{}", wrong.text);
    let nothing = ask(Method::POST, "/flows", json!({})).await.problem(StatusCode::UNPROCESSABLE_ENTITY);
    assert!(nothing.starts_with("from is missing") && nothing.contains("to is missing"), "{nothing}");
    let removed = site.api(Method::DELETE, "/flows/acme/archive", &token, None).await;
    assert_eq!(removed.json(), json!({ "stopped": 0, "gone": 0 }));
    let gone = site.api(Method::DELETE, "/flows/acme/archive", &token, None).await;
    assert!(gone.problem(StatusCode::NOT_FOUND).contains("passes nothing along to archive"));
}

#[tokio::test]
async fn the_profile_and_the_settings_are_changed_in_the_words_of_the_forms() {
    let site = Site::new().await;
    let token = site.token(("mira", Role::Admin), &[("name", "all"), ("scope", "all")]).await;
    let ask = async |method: Method, path: &str, body: Value| site.api(method, path, &token, Some(&body)).await;
    let refused = ask(Method::PATCH, "/profile", json!({ "settings": { "port": "70000", "prot": "21" } })).await;
    assert_eq!(refused.json()["mistakes"].as_array().unwrap().len(), 2);
    let told = refused.problem(StatusCode::UNPROCESSABLE_ENTITY);
    assert!(told.contains("Did you mean port? ") && told.ends_with(". Nothing was done."), "{told}");
    let changed = ask(Method::PATCH, "/profile", json!({ "settings": { "welcome_message": "One\ntwo" } })).await.json();
    assert_eq!(
        (&changed["settings"]["welcome_message"], &changed["listener"]["state"]),
        (&"One\ntwo".into(), &"stopped".into())
    );
    let put = ask(Method::PUT, "/profile", json!({ "version": 1, "settings": { "port": "2121" } })).await.json();
    let default = Profile::setting("welcome_message").unwrap().default;
    assert_eq!((&put["settings"]["port"], &put["settings"]["welcome_message"]), (&"2121".into(), &default.into()));
    assert_eq!(site.live.snapshot().profile.port.port(), 2121);

    let zone = json!({ "version": 0, "settings": { "time_zone": "Europe/Berlin" } });
    assert_eq!(ask(Method::PATCH, "/settings", zone.clone()).await.json()["settings"]["time_zone"], "Europe/Berlin");
    ask(Method::PUT, "/settings", zone).await.problem(StatusCode::CONFLICT);
    // A body lost in transit does not mean every default.
    for (path, lost) in [("/settings", None), ("/profile", Some(json!({ "version": 2 })))] {
        let refused = site.api(Method::PUT, path, &token, lost.as_ref()).await;
        assert!(refused.problem(StatusCode::UNPROCESSABLE_ENTITY).starts_with("settings is missing"), "{path}");
    }
    assert_eq!(site.live.snapshot().profile.port.port(), 2121);
    let put = ask(Method::PUT, "/settings", json!({ "settings": {} })).await.json();
    assert_eq!((&put["settings"]["time_zone"], &put["changed_by"]), (&"UTC".into(), &"mira, token all".into()));
}

#[tokio::test]
async fn a_body_that_is_no_object_of_texts_is_refused_and_not_repeated() {
    let site = Site::new().await;
    let token = site.token(("mira", Role::Admin), &[("scope", "all")]).await;
    let send = async |kind: &str, body: String| {
        let request = Request::patch("/api/v1/profile").header(HOST, "127.0.0.1:8020").header(CONTENT_TYPE, kind);
        let request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        site.send(request.body(Body::from(body)).unwrap()).await
    };
    let broken = send("application/json", "{\"settings\": {\"secret\": hunter2}}".to_owned()).await;
    assert!(broken.problem(StatusCode::BAD_REQUEST).contains("Line 1, column 25"), "{}", broken.text);
    assert!(!broken.text.contains("hunter2"));
    send("application/json", "[1]".to_owned()).await.problem(StatusCode::BAD_REQUEST);
    let twice = send("application/json", "{\"settings\": {\"port\": \"21\",\n\"port\": \"2121\"}}".to_owned()).await;
    let told = twice.problem(StatusCode::BAD_REQUEST);
    assert!(told.starts_with("Line 2, column ") && told.contains("a key for the second time"), "{told}");
    assert_eq!(site.live.snapshot().profile.port.port(), 8021);
    send("text/plain", "{}".to_owned()).await.problem(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let large = format!("{{\"settings\": {{\"welcome_message\": \"{}\"}}}}", "x".repeat(FORM_BYTES_MAX));
    let large = send("application/json; charset=utf-8", large).await;
    assert!(large.problem(StatusCode::PAYLOAD_TOO_LARGE).contains("at most 256 KiB"), "{}", large.text);
    let cut = [Ok("{}"), Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof))];
    let request = Request::patch("/api/v1/profile").header(HOST, "127.0.0.1:8020");
    let request = request.header(CONTENT_TYPE, "application/json").header(AUTHORIZATION, format!("Bearer {token}"));
    let cut = site.send(request.body(Body::from_stream(futures_util::stream::iter(cut))).unwrap()).await;
    assert!(cut.problem(StatusCode::BAD_REQUEST).contains("did not come to its end"), "{}", cut.text);
    assert_eq!(send("application/json", String::new()).await.status, StatusCode::OK, "nothing to change");
}

#[tokio::test]
async fn a_list_without_filters_refuses_one_rather_than_pass_over_it() {
    let site = Site::new().await;
    let token = site.token(("mira", Role::Admin), &[]).await;
    for list in ["/sessions", "/connectors", "/flows", "/actions", "/event-targets"] {
        assert_eq!(site.look(list, &token).await.status, StatusCode::OK, "{list}");
        let refused = site.look(&format!("{list}?connector=acme"), &token).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{list}: {}", refused.text);
        assert!(refused.text.contains("connector is no filter here; there is none"), "{}", refused.text);
    }
}

#[tokio::test]
async fn only_partners_have_actions() {
    let site = Site::new().await;
    let token = site.token(("mira", Role::Admin), &[("scope", "all")]).await;
    let archive = json!({ "id": "Archive", "settings": { "type": "folder" } });
    assert_eq!(site.api(Method::POST, "/connectors", &token, Some(&archive)).await.status, StatusCode::CREATED);
    for (connector, words) in [
        ("archive", "Archive is no partner; only partners have actions"),
        ("nobody", "nobody isn't a connector; only partners have actions"),
    ] {
        let action = json!({ "connector": connector, "settings": { "kind": "mail", "mail_to": "edi@example.com" } });
        let refused = site.api(Method::POST, "/actions", &token, Some(&action)).await;
        assert!(refused.problem(StatusCode::UNPROCESSABLE_ENTITY).contains(words), "{}", refused.text);
    }
}
