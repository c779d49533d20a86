//! Flows through the whole router: the list and its selection, bands on the map, the question before a connector is
//! disabled, and what a copy takes from its model.

use axum::http::header::LOCATION;
use axum::http::{Method, StatusCode};

use super::command_tests::programs;
use super::tests::Site;
use crate::access::automation::Keeper;
use crate::access::secrets::Secrets;
use crate::base::clock::Timestamp;
use crate::domain::administrator::Role;
use crate::domain::connector::ConnectorId;
use crate::domain::event::EventKind;
use crate::domain::flow::Target;
use crate::domain::setting::Texts;
use crate::domain::value::ClientCertificate;
use crate::store::event::Event;
use crate::store::set_off::{self, New};
use crate::store::{action, arrow, connector, sla};

impl Site {
    /// A delivery waiting for that connector.
    pub(super) async fn waits_for(&self, key: &str) {
        let event = Event::new(&self.ids, EventKind::AfterReceive, Timestamp::from_us(1), "");
        let (event_id, target) = (event.id.clone(), Target::Connector(key.to_owned()));
        let due = Timestamp::from_us(1);
        let new = New { event_id, receipt_id: None, source_key: "acme".to_owned(), target, due };
        set_off::begin(&self.db, &event, &new).await.unwrap();
    }

    fn is_enabled(&self, id: &str) -> bool {
        self.live.snapshot().connector(id).unwrap().connector.settings.enabled
    }
}

#[tokio::test]
async fn chosen_connectors_are_disabled_together_and_those_that_files_wait_for_only_when_asked_again() {
    let site = Site::new().await;
    for id in ["acme", "beta", "gamma"] {
        site.add_connector(id, "").await;
    }
    site.waits_for("beta").await;
    let viewer = site.person("vera", Role::Viewer).await;
    assert!(!site.get("/flows?view=list", &viewer).await.text.contains("name=\"every\""));
    let editor = site.person("edda", Role::Editor).await;
    let list = site.get("/flows?view=list", &editor).await;
    assert!(list.text.contains("class=\"spark\"") && list.text.contains("and today 0 files"), "{}", list.text);
    let csrf = list.csrf();
    let post = async |fields: &[(&str, &str)]| {
        let form = [&[("csrf", &*csrf)], fields].concat();
        site.ask(Method::POST, "/flows/enable", &editor, Some(&form)).await
    };
    let asked = post(&[("act", "disable"), ("id", "acme"), ("id", "BETA")]).await;
    assert_eq!(asked.status, StatusCode::OK);
    assert!(asked.text.contains("1 file waits for one of them"), "{}", asked.text);
    assert!(site.is_enabled("acme") && site.is_enabled("beta"), "nothing was changed yet");
    assert!(asked.text.contains("name=\"id\" value=\"acme\"") && !asked.text.contains("name=\"every\""));
    let asked = post(&[("act", "disable"), ("every", "1")]).await;
    assert!(asked.text.contains("name=\"every\"") && !asked.text.contains("name=\"id\""), "{}", asked.text);
    let done = post(&[("act", "disable"), ("id", "acme"), ("id", "beta"), ("anyway", "1")]).await;
    assert_eq!(done.header(LOCATION), "/flows?view=list");
    assert_eq!(["acme", "beta", "gamma"].map(|id| site.is_enabled(id)), [false, false, true]);
    assert!(site.get("/flows", &editor).await.text.contains("2 connectors are disabled."));
    // Whatever is already disabled needs no confirmation.
    post(&[("act", "disable"), ("id", "beta")]).await;
    assert!(site.get("/flows", &editor).await.text.contains("0 connectors are disabled."));
    post(&[("act", "enable"), ("every", "1"), ("q", "a"), ("state", "disabled")]).await;
    assert_eq!(["acme", "beta"].map(|id| site.is_enabled(id)), [true, true]);
    post(&[("act", "enable")]).await;
    assert!(site.get("/flows", &editor).await.text.contains("No connector was chosen"));
}

#[tokio::test]
async fn its_own_page_asks_before_it_disables_what_files_wait_for() {
    let site = Site::new().await;
    site.add_connector("beta", "").await;
    site.waits_for("beta").await;
    let editor = site.person("edda", Role::Editor).await;
    let csrf = site.get("/connectors/beta/settings", &editor).await.csrf();
    let form = [("csrf", &*csrf), ("fields", "enabled"), ("tab", "settings")];
    let asked = site.ask(Method::POST, "/connectors/beta/save", &editor, Some(&form)).await;
    assert_eq!(asked.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(asked.text.contains("1 file waits for beta") && asked.text.contains("name=\"anyway\""), "{}", asked.text);
    assert!(site.is_enabled("beta"));
    let form = [&form[..], &[("anyway", "1")]].concat();
    let done = site.ask(Method::POST, "/connectors/beta/save", &editor, Some(&form)).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert!(!site.is_enabled("beta"));
}

#[tokio::test]
async fn groups_are_bands_and_beyond_what_a_map_shows_the_list_comes_first() {
    let site = Site::new().await;
    for n in 0..61 {
        let (id, group) = (ConnectorId::parse(&format!("p{n}")).unwrap(), if n < 2 { "Retail" } else { "" });
        let values = Texts::from([("group".to_owned(), group.to_owned())]);
        connector::add(&site.db, &id, &values, None, &site.change()).await.unwrap();
    }
    site.live.refresh().await.unwrap();
    let viewer = site.person("vera", Role::Viewer).await;
    let get = async |path: &str| site.get(path, &viewer).await.text;
    assert!(get("/flows").await.contains("class=\"spark\"") && !get("/flows").await.contains("class=\"band\""));
    assert!(get("/flows?view=map").await.contains("The map shows up to 60 connectors"));
    let group = get("/flows?view=map&group=Retail").await;
    assert!(group.contains("class=\"band\"") && group.contains(">Retail</text>"), "{group}");
    assert_eq!(group.matches("class=\"node ").count(), 2);
}

#[tokio::test]
async fn no_line_of_the_map_goes_through_the_number_of_another() {
    let site = Site::new().await;
    for id in ["acme", "beta", "gamma"] {
        site.add_connector(id, "").await;
    }
    for pair in [("acme", "gamma"), ("beta", "gamma")] {
        arrow::connect(&site.db, pair, false, &site.change()).await.unwrap();
    }
    let map = site.get("/flows", &site.person("vera", Role::Viewer).await).await.text;
    assert_eq!(map.matches("<g class=\"edge-n").count(), 2);
    assert!(map.rfind("<path class=\"edge").unwrap() < map.find("<g class=\"edge-n").unwrap(), "{map}");
}

/// An editor copies the connector acme; the copy's page.
async fn copy_of_acme(site: &Site) -> String {
    site.live.refresh().await.unwrap();
    let editor = site.person("edda", Role::Editor).await;
    let csrf = site.get("/flows", &editor).await.csrf();
    let form = [("csrf", &*csrf), ("id", "Copy"), ("copy_of", "acme")];
    let copied = site.post("/connectors", &editor, &form).await;
    assert_eq!(copied.header(LOCATION), "/connectors/Copy/settings", "{}", copied.text);
    site.get("/connectors/Copy/settings", &editor).await.text
}

#[tokio::test]
async fn a_copy_has_the_slas_actions_and_arrows_of_its_model_and_what_it_has_not_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::with_programs(programs(folder.path())).await;
    for id in ["acme", "beta", "gamma"] {
        site.add_connector(id, "").await;
    }
    let texts = |pairs: &[(&str, &str)]| -> Texts {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let secrets = Secrets::open(site.db.clone(), site.folder.path()).await.unwrap();
    let keeper = Keeper { db: &site.db, secrets: &secrets, programs: &programs(folder.path()) };
    let acme = ConnectorId::parse("acme").unwrap();
    let post = texts(&[("kind", "webhook"), ("url", "https://erp.example.com/in")]);
    let secret = keeper.put_action(&acme, (None, &post), false, &site.change()).await.unwrap().secret.unwrap();
    let run = texts(&[("kind", "command"), ("program", "import")]);
    keeper.put_action(&acme, (None, &run), false, &site.change()).await.unwrap();
    sla::put(&site.db, "s1", &acme, &texts(&[("at_least", "2")]), &site.change()).await.unwrap();
    for (from, to, on_error) in [("acme", "beta", false), ("acme", "gamma", true), ("beta", "acme", false)] {
        arrow::connect(&site.db, (from, to), on_error, &site.change()).await.unwrap();
    }
    let page = copy_of_acme(&site).await;
    let not = "Not copied: After a file is received: run import (only an admin adds what runs a program); what beta passes along to acme.";
    assert!(page.contains(not), "{page}");
    let slas = sla::of_connector(&site.db, "copy").await.unwrap();
    assert_eq!(slas.iter().map(|one| one.texts["at_least"].as_str()).collect::<Vec<_>>(), ["2"]);
    let actions = action::of_connector(&site.db, "copy").await.unwrap();
    assert_eq!(actions.iter().map(|one| one.texts["kind"].as_str()).collect::<Vec<_>>(), ["webhook"]);
    let same = secrets.get(&action::webhook_secret(&actions[0].id)).await.unwrap().unwrap();
    assert_eq!(same.reveal(), secret.reveal());
    let map = arrow::map(&site.db).await.unwrap();
    let arrows: Vec<_> = map.from("copy").map(|arrow| (arrow.to.as_str(), arrow.on_error)).collect();
    assert_eq!(arrows, [("beta", false), ("gamma", true)]);
    assert!(map.arrows.iter().all(|arrow| arrow.to != "copy"));
}

#[tokio::test]
async fn a_copy_is_not_signed_in_to_with_the_client_certificate_of_its_model() {
    let site = Site::new().await;
    let acme = ConnectorId::parse("acme").unwrap();
    let pin = format!("sha256:{}", "ab".repeat(32));
    let values = [("client_certificate", "only"), ("client_certificate_match", &*pin), ("description", "EDI")];
    let values = values.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    connector::add(&site.db, &acme, &values, None, &site.change()).await.unwrap();
    let page = copy_of_acme(&site).await;
    let there = site.live.snapshot();
    let settings = &there.connector("copy").unwrap().connector.settings;
    assert_eq!(settings.client_certificate, ClientCertificate::None);
    assert_eq!(settings.client_certificate_match, None);
    assert!(page.contains("Not copied: the client certificate."), "{page}");
}
