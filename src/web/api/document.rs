//! `docs/API.md` shows what the API does: each route is called once, in the order of the table, and its answer is
//! written down. With `WAYBILL_WRITE_DOCS=1` this writes the examples; otherwise it compares them.

use std::collections::HashMap;
use std::fmt::Write as _;

use axum::http::{Method, StatusCode};
use regex::Regex;
use serde_json::{Value, json};

use super::routes::{ROUTES, Route, Verb};
use crate::access::automation::Keeper;
use crate::access::programs::Programs;
use crate::access::secrets::Secrets;
use crate::base::clock::Clock;
use crate::base::id::SessionId;
use crate::domain::administrator::Role;
use crate::domain::refusal::Rule;
use crate::domain::value::TokenScope;
use crate::store::receipt::{self, Search};
use crate::store::session::SessionEnd;
use crate::store::{connector, delivery_page};
use crate::web::tests::{LOCAL, Site};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/API.md");
const BEGIN: &str = "<!-- routes, written by a test -->\n";
const END: &str = "<!-- end of the routes -->";
const HOST: &str = "https://mft.example.com";

/// The description of each route, in the order of the table; with a query or a body if the example has one.
const EXAMPLES: &[(&str, &str, &str)] = &[
    ("The token, and what it may do.", "", ""),
    ("The appliance's settings.", "", ""),
    ("Changes the given settings.", "", r#"{ "settings": { "time_zone": "Europe/Berlin" } }"#),
    (
        "Replaces all settings: a missing one gets its default.",
        "",
        r#"{ "version": 1, "settings": { "time_zone": "UTC" } }"#,
    ),
    ("The FTP server's settings, and whether it listens.", "", ""),
    (
        "Changes the given settings. `listener` tells the outcome of a new port, after waiting up to 2 s.",
        "",
        r#"{ "settings": { "inactivity_timeout_s": "600" } }"#,
    ),
    (
        "Replaces all settings of the FTP server.",
        "",
        r#"{ "version": 1, "settings": { "inactivity_timeout_s": "300" } }"#,
    ),
    ("Every connector, by id.", "", ""),
    (
        "Adds a connector. If its settings contain no `password` (or, for a Webhook, no `secret`), one is generated and \
             shown only in this answer.",
        "",
        r#"{ "id": "globex", "settings": { "description": "Globex, Lyon" } }"#,
    ),
    ("One connector with all its settings.", "", ""),
    (
        "Changes the given settings; also `password`, or `secret` of a Webhook. 409 if files wait for a connector that \
             would be disabled, unless `anyway` is `true`.",
        "",
        r#"{ "version": 2, "settings": { "timeout_s": "90" } }"#,
    ),
    (
        "Replaces all of its settings. Its `type` stays, and so does a password that is not given. \
             409 if files wait for a connector that would be disabled, unless `anyway` is `true`.",
        "",
        r#"{ "settings": { "description": "Acme, Ghent" } }"#,
    ),
    (
        "Removes a connector. Its files, receipts and events stay. 409 if files wait to leave it or to come to it, without \
             `?anyway=true`.",
        "",
        "",
    ),
    (
        "Generates a new password (for a Webhook: secret), shown only in this answer; or sets the given `password` \
             (`secret`), and answers 204. The older one stays valid for *password_overlap_h*.",
        "",
        "",
    ),
    ("What is passed along to whom, and what waits.", "", ""),
    (
        "Passes files received by one connector along to another; with `\"on_error\": true` only those that another arrow \
             has given up. Loops are refused.",
        "",
        r#"{ "from": "acme-edi", "to": "backup" }"#,
    ),
    (
        "Removes an arrow. `stopped` files waited for it and stay where they are, except `gone` of them: \
         these had been removed from Receive or replaced there, and their bytes are no longer kept.",
        "",
        "",
    ),
    ("Every action: what partners' files set off besides being passed along.", "", ""),
    (
        "Adds an action of a partner. The signing `secret` of a webhook is generated, and shown only in this answer.",
        "",
        r#"{ "connector": "acme-edi", "settings": { "names": "*.x12", "url": "https://erp.example.com/inbound" } }"#,
    ),
    (
        "Changes the given settings; with `\"new_secret\": true` it gets another signing secret, shown only here.",
        "",
        r#"{ "settings": { "enabled": "off" } }"#,
    ),
    ("Removes an action. Its waiting deliveries stop.", "", ""),
    ("Every event target: who is told of events by webhook.", "", ""),
    (
        "Adds an event target. Its signing `secret` is generated, and shown only in this answer.",
        "",
        r#"{ "settings": { "url": "https://siem.example.com/events", "which": "alerts" } }"#,
    ),
    (
        "Changes the given settings; with `\"new_secret\": true` it gets another signing secret, shown only here.",
        "",
        r#"{ "new_secret": true }"#,
    ),
    ("Removes an event target. Its waiting deliveries stop.", "", ""),
    (
        "Received files, newest first. Filters: `q` (part of a name, an id, a SHA-256), `connector`, `status`, `since`, \
             `sla` (the files that count for an SLA within a time: `2026-11-27T00:00:00Z,2026-11-27T09:00:00Z,ID`).",
        "?connector=acme-edi&since=1h",
        "",
    ),
    ("One received file, with its deliveries and the latest 50 attempts of each.", "", ""),
    (
        "Uploads and downloads, complete or broken off, newest first. Filters: `connector`, `way` (`receive`, `send`), \
             `result` (`complete`, `broken`), `since`, `sla` (as for receipts, but for an SLA on collected files).",
        "?way=receive",
        "",
    ),
    ("Who is connected over FTP now, oldest first; at most 1,000 of `total`.", "", ""),
    (
        "Past sessions, newest first, as long as they are kept. Filters: `connector`, `address`, `ending` \
             (`quit`, `lost`, `not_ftp`, or the rule that ended it), `since`.",
        "?connector=acme-edi&ending=quit",
        "",
    ),
    (
        "Events, newest first. Filters: `connector`, `kind` (see [EVENTS.md](EVENTS.md)), `since`.",
        "?kind=after_receive",
        "",
    ),
    ("Refusals, newest first. Filters: `connector`, `rule`, `since`.", "?rule=name_filter", ""),
    ("One refusal, with the meaning of its rule and where that is set.", "", ""),
    ("Tries a delivery now, and those ahead of it in its lane.", "", ""),
    ("Ends the retries of a delivery. The file stays in Receive.", "", ""),
    ("Begins an ended delivery anew, with the same event id and a higher attempt. 409 if the bytes are gone.", "", ""),
];

/// A site with everything that is asked for; and the values for the placeholders in paths.
async fn prepared() -> (Site, Vec<(&'static str, String)>) {
    let site = Site::new().await;
    let cookies = site.person("ada", Role::Editor).await;
    site.add_connector("acme-edi", "Acme, Ghent").await;
    for id in ["archive", "backup"] {
        let values = [("type".to_owned(), "folder".to_owned())].into();
        let id = crate::domain::connector::ConnectorId::parse(id).unwrap();
        connector::add(&site.db, &id, &values, None, &site.change()).await.unwrap();
    }
    crate::store::arrow::connect(&site.db, ("acme-edi", "archive"), false, &site.change()).await.unwrap();
    site.live.refresh().await.unwrap();
    let csrf = site.get("/connectors/acme-edi/receive/upload", &cookies).await.csrf();
    let parts = [("csrf", None, csrf.as_str()), ("files", Some("orders.edi"), "ISA*00*          *00*          *ZZ")];
    let uploaded = site.upload("/connectors/acme-edi/receive/add", &cookies, &parts).await;
    assert_eq!(uploaded.status, StatusCode::SEE_OTHER, "{}", uploaded.text);
    site.depot.recorder.flush().await.unwrap();
    let receipt = receipt::page(&site.db, &Search::default(), None, 1).await.unwrap().remove(0);
    let delivery = delivery_page::of_receipt(&site.db, &receipt.id).await.unwrap().remove(0);
    let owner = crate::domain::connector::ConnectorId::parse("acme-edi").unwrap();
    let mail =
        [("kind", "mail"), ("mail_to", "edi@example.com")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let told = [("url".to_owned(), "https://siem.example.com/".to_owned())];
    let (secrets, programs) = (Secrets::open(site.db.clone(), site.folder.path()).await.unwrap(), Programs::default());
    let keeper = Keeper { db: &site.db, secrets: &secrets, programs: &programs };
    let action = keeper.put_action(&owner, (None, &mail.into()), false, &site.change()).await.unwrap();
    let target = keeper.put_event_target((None, &told.into()), false, &site.change()).await.unwrap();
    let refusal = site.refuse(Rule::NameFilter, "acme-edi", 2).await;
    site.end_session("acme-edi", "203.0.113.7", SessionEnd::Quit).await;
    let places = vec![
        ("/receipts/{id}", receipt.id.to_string()),
        ("/refusals/{id}", refusal.to_string()),
        ("/deliveries/{id}", delivery.id.to_string()),
        ("/actions/{id}", action.id),
        ("/event-targets/{id}", target.id),
    ];
    (site, places)
}

fn path(route: &Route, places: &[(&str, String)]) -> String {
    let connector = if route.verb == Verb::Delete { "globex" } else { "acme-edi" };
    let id = places.iter().find(|(end, _)| route.path.contains(end)).map_or(connector, |(_, id)| id.as_str());
    let path = route.path.replace("{id}", id).replace("{from}", "acme-edi").replace("{to}", "backup");
    path.trim_start_matches("/v1").to_owned()
}

/// Times, ids and secrets differ each time; here they always read the same.
struct Steady {
    ids: HashMap<String, String>,
}

impl Steady {
    fn of(&mut self, text: &str) -> String {
        let uuid = Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}").unwrap();
        let text = uuid.replace_all(text, |found: &regex::Captures<'_>| {
            let next = format!("019d2c4e-8a10-7000-8000-{:012}", self.ids.len() + 1);
            self.ids.entry(found[0].to_owned()).or_insert(next).clone()
        });
        let mut text = text.into_owned();
        for (pattern, by) in [
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", "2026-11-25T09:41:52.000123Z"),
            (r"\d{16},", "1795599712000123,"),
            (r#""password":"[A-Za-z0-9]{24}""#, r#""password":"Zu7mQxK4vB9cT2nW6hRp8yLd""#),
            (r#""secret":"[A-Za-z0-9]{24}""#, r#""secret":"Kd3vRq8LmX5tZ1nB7wYc4HpJ""#),
            (r#""settings":\{((?:"[a-z_]+":"(?:[^"\\]|\\.)*",){3}).*?\}"#, r#""settings":{$1"…":"and all others"}"#),
        ] {
            text = Regex::new(pattern).unwrap().replace_all(&text, by).into_owned();
        }
        text
    }
}

/// JSON on several lines, its keys in their order of appearance.
fn pretty(compact: &str) -> String {
    let (mut out, mut depth, mut quoted, mut escaped) = (String::new(), 0_usize, false, false);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    };
    let mut chars = compact.chars().peekable();
    while let Some(c) = chars.next() {
        if quoted {
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
            out.push(c);
            continue;
        }
        match c {
            '{' | '[' if chars.peek().is_some_and(|next| matches!(next, '}' | ']')) => {
                out.push(c);
                out.extend(chars.next());
            }
            '{' | '[' => {
                depth += 1;
                out.push(c);
                line(&mut out, depth);
            }
            '}' | ']' => {
                depth -= 1;
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                quoted = c == '"';
                out.push(c);
            }
        }
    }
    out
}

fn needs(route: &Route) -> String {
    let scopes: Vec<_> = TokenScope::ALL
        .iter()
        .filter(|scope| scope.reaches(route.area, route.verb.deed()))
        .map(|scope| format!("`{scope}`"))
        .collect();
    format!("Scope {}; role {} or more.", scopes.join(", "), route.role.name())
}

async fn written() -> String {
    let (site, places) = prepared().await;
    let token = site.token(("mira", Role::Admin), &[("name", "erp"), ("scope", "all")]).await;
    let place = site.presence.enter(SessionId::new(&site.ids), ([203, 0, 113, 7].into(), LOCAL), Clock::System.now());
    place.update(|doing| {
        doing.connector = Some("acme-edi".to_owned());
        doing.client = Some("FileZilla 3.67".to_owned());
        doing.tls = "TLS 1.3 TLS13_AES_256_GCM_SHA384".to_owned();
        doing.file = Some("Receiving /Receive/catalogue.xml".to_owned());
        doing.command = "STOR catalogue.xml".to_owned();
    });
    assert_eq!(EXAMPLES.len(), ROUTES.len(), "each route has its words, in the order of the table");
    let mut steady = Steady { ids: HashMap::new() };
    let mut text = String::new();
    for (route, (words, query, body)) in ROUTES.iter().zip(EXAMPLES) {
        let sent: Option<Value> = (!body.is_empty()).then(|| serde_json::from_str(body).unwrap());
        let asked = format!("{}{query}", path(route, &places));
        let answer = site.api(route.verb.method(), &asked, &token, sent.as_ref()).await;
        assert!(answer.status.is_success(), "{asked}: {}", answer.text);
        let method = route.verb.method();
        let _ = write!(text, "\n### `{method} /api{}`\n\n{words} {}\n\n```sh\ncurl ", route.path, needs(route));
        if method != Method::GET {
            let _ = write!(text, "-X {method} ");
        }
        let _ = write!(text, "-H \"Authorization: Bearer $WAYBILL_TOKEN\" ");
        if !body.is_empty() {
            let _ = write!(text, "-H \"Content-Type: application/json\" \\\n  -d '{body}' ");
        }
        let address = steady.of(&format!("{HOST}/api/v1{asked}"));
        let _ = write!(text, "\"{address}\"\n```\n\nAnswer {}", answer.status.as_u16());
        if answer.text.is_empty() {
            text.push_str(", with nothing in it.\n");
        } else {
            let _ = write!(text, ":\n\n```json\n{}\n```\n", pretty(&steady.of(&answer.text)));
        }
    }
    text.push('\n');
    text
}

#[tokio::test]
async fn the_document_shows_a_refusal_as_it_is() {
    let site = Site::new().await;
    let token = site.token(("mira", Role::Admin), &[("scope", "all")]).await;
    let body = json!({ "settings": { "port": "70000" } });
    let refused = site.api(Method::PATCH, "/profile", &token, Some(&body)).await;
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    assert!(text.contains(&pretty(&refused.text)), "it reads {}", pretty(&refused.text));
}

/// With `WAYBILL_WRITE_DOCS` set it writes them.
#[tokio::test]
async fn the_document_shows_every_route_as_it_answers() {
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (there, after) = rest.split_once(END).unwrap();
    let written = written().await;
    if std::env::var_os("WAYBILL_WRITE_DOCS").is_some() {
        std::fs::write(DOCUMENT, format!("{before}{BEGIN}{written}{END}{after}")).unwrap();
        return;
    }
    let differs = there.lines().zip(written.lines()).find(|(there, written)| there != written);
    assert!(there == written, "run this test once with WAYBILL_WRITE_DOCS=1: {differs:?}");
}

#[test]
fn json_is_written_on_lines_as_it_is() {
    let text = r#"{"a":"x, \"y\": {","b":[1,{"c":null}],"d":{},"e":[]}"#;
    let lines = pretty(text);
    assert_eq!(serde_json::from_str::<Value>(&lines).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    assert_eq!(lines.lines().nth(1), Some(r#"  "a": "x, \"y\": {","#));
    assert!(lines.contains("\"d\": {},") && lines.ends_with("\"e\": []\n}"), "{lines}");
}
