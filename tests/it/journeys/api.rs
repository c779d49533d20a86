//! A program sets a partner up by the API, the partner uploads, the program hears of it; and what it may not do.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use waybill::base::clock::Clock;
use waybill::base::id::IdSource;
use waybill::base::secret::Secret;
use waybill::domain::api_token::TokenSettings;
use waybill::store::listener::Listener;
use waybill::store::setting::Change;
use waybill::store::{Db, administrator, api_token};

use crate::kit::{Appliance, Client, Running};

/// A token of `mira`, an admin.
async fn token(appliance: &Appliance, scope: &str) -> String {
    let db = Db::open(&appliance.data()).await.expect("the database opens");
    let owner = administrator::find(&db, "mira").await.expect("it is read").expect("she is there");
    let texts = [("name", scope), ("scope", scope)].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let (settings, token) = (TokenSettings::parse(&texts).expect("they can be"), format!("waybill_{scope}"));
    let ids = IdSource::random(Clock::System);
    let change = Change { who: "mira", remote: "", at: Clock::System.now(), ids: &ids };
    let secret = Secret::new(token.as_str());
    api_token::add(&db, &owner, (&settings, &secret), &change).await.expect("it is added");
    db.close().await;
    token
}

/// Status and body of an answer.
async fn ask(running: &Running<'_>, token: &str, request: &str, body: Option<Value>) -> (u16, Value) {
    let (method, path) = request.split_once(' ').expect("method and path");
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let head = format!(
        "{method} /api/v1{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let address = running.state(Listener::Web).await.address;
    let mut stream = TcpStream::connect(address).await.expect("the web interface accepts");
    stream.write_all(format!("{head}{body}").as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_sets_a_partner_up_and_hears_of_its_files() {
    let appliance = Appliance::untouched();
    appliance.set(&["require_tls=none"]);
    appliance.say(&["admin", "add", "mira"]);
    let running = appliance.start().await;
    let setup = token(&appliance, "connectors").await;
    let watch = token(&appliance, "activity").await;

    let archive = json!({ "id": "archive", "settings": { "type": "folder", "folder": "archive" } });
    assert_eq!(ask(&running, &setup, "POST /connectors", Some(archive)).await.0, 201);
    let acme = json!({ "id": "acme", "settings": { "settle_s": "0" } });
    let (status, added) = ask(&running, &setup, "POST /connectors", Some(acme)).await;
    assert_eq!(status, 201, "{added}");
    let password = added["password"].as_str().expect("a password is made");
    let arrow = json!({ "from": "acme", "to": "archive" });
    assert_eq!(ask(&running, &setup, "POST /flows", Some(arrow)).await.0, 201);

    let mut client = Client::login(running.ftp(), "acme", password).await;
    client.store("/Receive/orders.edi", b"the bytes").await;
    let arrived = async |running: &Running<'_>| {
        let (_, list) = ask(running, &watch, "GET /receipts?connector=acme", None).await;
        let receipt = list["receipts"][0].clone();
        (receipt["status"] == "passed_along").then_some(receipt)
    };
    let receipt = running.until("the program hears that it is passed along", arrived).await;
    assert_eq!((&receipt["name"], &receipt["size_bytes"]), (&"orders.edi".into(), &9.into()));
    let (_, one) = ask(&running, &watch, &format!("GET /receipts/{}", receipt["id"].as_str().unwrap()), None).await;
    assert_eq!((&one["deliveries"][0]["state"], &one["deliveries"][0]["attempts"]), (&"delivered".into(), &1.into()));
    let (_, sessions) = ask(&running, &watch, "GET /sessions", None).await;
    assert_eq!(sessions["sessions"][0]["connector"], "acme");

    let off = json!({ "settings": { "enabled": "off" } });
    assert_eq!(ask(&running, &watch, "PATCH /connectors/acme", Some(off.clone())).await.0, 403, "beyond its scope");
    assert_eq!(ask(&running, &setup, "GET /receipts", None).await.0, 403, "beyond its scope");
    assert_eq!(ask(&running, &setup, "PATCH /connectors/acme", Some(off)).await.0, 200);
    let mut shut_out = Client::connect(running.ftp()).await;
    shut_out.expect("USER acme", 331).await;
    shut_out.expect(&format!("PASS {password}"), 530).await;
    // Records that nobody waits for are committed a few milliseconds later.
    let refused = async |running: &Running<'_>| {
        let (_, list) = ask(running, &watch, "GET /refusals?rule=connector_disabled", None).await;
        (list["refusals"][0]["connector"] == "acme").then_some(())
    };
    running.until("the refusal is recorded", refused).await;

    assert!(appliance.say(&["connector", "show", "acme"]).contains("\nenabled=off\n"));
    assert_eq!(ask(&running, "waybill_guess", "GET ", None).await.0, 401);
}
