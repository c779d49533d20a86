//! The Automation tab through the whole router: what is added, refused and removed, and by whom.

use axum::http::header::LOCATION;
use axum::http::{Method, StatusCode};

use super::command_tests::programs;
use super::tests::{Answer, Site};
use crate::access::automation::Keeper;
use crate::access::secrets::Secrets;
use crate::domain::administrator::Role;
use crate::domain::connector::ConnectorId;
use crate::domain::event::EventKind;
use crate::store::set_off::{self, New};
use crate::store::{action, event};

const TAB: &str = "/connectors/acme/automation";

impl Site {
    async fn act(&self, cookies: &str, place: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.get(TAB, cookies).await.csrf();
        let keys = "moment,names,size_min,size_max,kind,enabled,url,body,mail_to,program,arguments";
        let form = [&[("csrf", csrf.as_str()), ("fields", keys), ("enabled", "on")], fields].concat();
        self.ask(Method::POST, &format!("{TAB}/{place}"), cookies, Some(&form)).await
    }

    async fn actions(&self) -> Vec<action::StoredAction> {
        action::of_connector(&self.db, "acme").await.unwrap()
    }
}

const MAIL: [(&str, &str); 4] =
    [("moment", "after_receive"), ("kind", "mail"), ("body", "event"), ("mail_to", "edi@example.com")];
const POST: [(&str, &str); 4] =
    [("moment", "after_send"), ("kind", "webhook"), ("body", "event"), ("url", "https://erp.example.com/in")];
const RUN: [(&str, &str); 4] =
    [("moment", "after_receive"), ("kind", "command"), ("body", "event"), ("program", "import")];

#[tokio::test]
async fn an_action_is_added_changed_and_removed_and_a_secret_is_shown_once() {
    let site = Site::new().await;
    let cookies = site.person("ed", Role::Editor).await;
    site.add_connector("Acme", "").await;
    assert!(site.get(TAB, &cookies).await.text.contains("Files set nothing off"));
    let refused = site.act(&cookies, "save", &[("moment", "after_receive"), ("kind", "mail"), ("body", "event")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("A letter needs somebody who gets it"), "{}", refused.text);
    let saved = site.act(&cookies, "save", &MAIL).await;
    assert_eq!(saved.header(LOCATION), "/connectors/Acme/automation", "{}", saved.text);
    let page = site.get("/connectors/Acme/automation", &cookies).await.text;
    assert!(page.contains("After a file is received: mail to edi@example.com"), "{page}");
    assert!(!page.contains("shown here once"));

    assert_eq!(site.act(&cookies, "save", &POST).await.status, StatusCode::SEE_OTHER);
    assert!(site.get("/connectors/Acme/automation", &cookies).await.text.contains("signing secret is shown here once"));
    let posts = site.actions().await.pop().unwrap();
    let secrets = Secrets::open(site.db.clone(), site.folder.path()).await.unwrap();
    let name = action::webhook_secret(&posts.id);
    let first = secrets.get(&name).await.unwrap().unwrap();
    let change = [&POST[..], &[("action", posts.id.as_str()), ("names", "*.x12")]].concat();
    assert_eq!(site.act(&cookies, "save", &change).await.status, StatusCode::SEE_OTHER);
    assert_eq!(secrets.get(&name).await.unwrap().unwrap().reveal(), first.reveal(), "it stays");
    assert_eq!(site.act(&cookies, "save", &[&change[..], &[("generate", "1")]].concat()).await.status, 303);
    assert_ne!(secrets.get(&name).await.unwrap().unwrap().reveal(), first.reveal());
    assert_eq!(site.actions().await.len(), 2);
    assert_eq!(site.live.snapshot().action(&posts.id).unwrap().settings.deed(), "post to https://erp.example.com/in");

    let event = event::Event::new(&site.ids, EventKind::AfterSend, site.depot.clock.now(), "acme collected /Send/a");
    event::record(&site.db, &event).await.unwrap();
    let step = set_off::newer(&site.db).await.unwrap().unwrap();
    let made = New {
        event_id: event.id.clone(),
        receipt_id: None,
        source_key: "acme".to_owned(),
        target: crate::domain::flow::Target::Action(posts.id.clone()),
        due: event.at,
    };
    set_off::record(&site.db, &step, &[made], event.at).await.unwrap();
    assert!(site.get("/connectors/Acme/automation", &cookies).await.text.contains("1 waiting"));
    let place = format!("/activity/events/{}", event.id);
    let page = site.get(&place, &cookies).await.text;
    assert!(page.contains("Action: post to https://erp.example.com/in") && page.contains("Stop retrying"), "{page}");
    assert_eq!(site.act(&cookies, "remove", &[("action", &posts.id)]).await.status, StatusCode::SEE_OTHER);
    let page = site.get(&place, &cookies).await.text;
    assert!(page.contains("An action that was removed") && page.contains("Stopped"), "{page}");
    assert!(secrets.get(&name).await.unwrap().is_none(), "its secret goes with it");
}

#[tokio::test]
async fn an_action_that_another_saved_or_removed_meanwhile_is_not_overwritten() {
    let site = Site::new().await;
    let cookies = site.person("ed", Role::Editor).await;
    site.add_connector("acme", "").await;
    assert_eq!(site.act(&cookies, "save", &MAIL).await.status, StatusCode::SEE_OTHER);
    let made = site.actions().await.pop().unwrap();
    let version = made.version.to_string();
    let form =
        |names: &'static str| [&MAIL[..], &[("names", names), ("action", &made.id), ("version", &version)]].concat();
    assert_eq!(site.act(&cookies, "save", &form("*.x12")).await.status, StatusCode::SEE_OTHER);
    let refused = site.act(&cookies, "save", &form("*.edi")).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text.contains("ed saved these settings meanwhile"), "{}", refused.text);
    assert!(refused.text.contains("name=\"stored.names\" value=\"*.x12\""), "{}", refused.text);
    for words in ["What waited for it has stopped", "That action was removed already"] {
        assert_eq!(site.act(&cookies, "remove", &[("action", &made.id)]).await.status, StatusCode::SEE_OTHER);
        let page = site.get("/connectors/acme/automation", &cookies).await.text;
        assert!(page.contains(words), "{words}: {page}");
    }
    let gone = site.act(&cookies, "save", &form("*.edi")).await;
    assert_eq!((gone.status, site.actions().await.len()), (StatusCode::CONFLICT, 0));
    assert!(gone.text.contains("Somebody removed it meanwhile"), "{}", gone.text);
}

#[tokio::test]
async fn what_runs_a_program_is_an_admins_to_say() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::with_programs(programs(folder.path())).await;
    let (admin, editor) = (site.person("mira", Role::Admin).await, site.person("ed", Role::Editor).await);
    site.add_connector("acme", "").await;
    assert!(site.get(TAB, &admin).await.text.contains("value=\"command\""));
    assert!(!site.get(TAB, &editor).await.text.contains("value=\"command\""));
    assert_eq!(site.act(&editor, "save", &RUN).await.status, StatusCode::FORBIDDEN);
    let gone = [&RUN[..3], &[("program", "gone")]].concat();
    let refused = site.act(&admin, "save", &gone).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("there are import"), "{}", refused.text);
    assert_eq!(site.act(&admin, "save", &RUN).await.status, StatusCode::SEE_OTHER);
    let run = site.actions().await.pop().unwrap();
    let own = ("action", run.id.as_str());
    // It can neither be changed into something else nor removed, nor can something else be changed into it.
    assert_eq!(site.act(&editor, "save", &[&MAIL[..], &[own]].concat()).await.status, StatusCode::FORBIDDEN);
    assert_eq!(site.act(&editor, "remove", &[own]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(site.act(&editor, "save", &MAIL).await.status, StatusCode::SEE_OTHER);
    let mail = site.actions().await.pop().unwrap();
    let changed = [&RUN[..], &[("action", mail.id.as_str())]].concat();
    assert_eq!(site.act(&editor, "save", &changed).await.status, StatusCode::FORBIDDEN);
    assert_eq!(site.actions().await.len(), 2);
}

#[tokio::test]
async fn without_a_folder_of_programs_no_action_runs_one() {
    let site = Site::new().await;
    let admin = site.person("mira", Role::Admin).await;
    site.add_connector("acme", "").await;
    assert!(!site.get(TAB, &admin).await.text.contains("value=\"command\""));
    let refused = site.act(&admin, "save", &RUN).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("start Waybill with --commands DIR"), "{}", refused.text);
}

#[tokio::test]
async fn an_action_whose_program_is_gone_can_still_be_disabled() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::with_programs(programs(folder.path())).await;
    let admin = site.person("mira", Role::Admin).await;
    site.add_connector("acme", "").await;
    assert_eq!(site.act(&admin, "save", &RUN).await.status, StatusCode::SEE_OTHER);
    std::fs::remove_file(folder.path().join("import")).unwrap();
    let run = site.actions().await.pop().unwrap();
    let csrf = site.get(TAB, &admin).await.csrf();
    let change = [("csrf", &*csrf), ("action", &run.id), ("fields", "kind,enabled,program"), ("kind", "command")];
    let save = async |program| {
        let form = [&change[..], &[("program", program)]].concat();
        site.ask(Method::POST, &format!("{TAB}/save"), &admin, Some(&form)).await
    };
    let other = save("gone").await;
    assert!(other.text.contains("There is no program gone"), "{}", other.text);
    let saved = save("import").await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text);
    assert!(!site.live.snapshot().action(&run.id).unwrap().settings.enabled);
}

#[tokio::test]
async fn the_form_of_an_action_that_runs_a_program_stays_one_without_a_folder_of_programs() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new().await;
    let admin = site.person("mira", Role::Admin).await;
    site.add_connector("acme", "").await;
    let secrets = Secrets::open(site.db.clone(), site.folder.path()).await.unwrap();
    let keeper = Keeper { db: &site.db, secrets: &secrets, programs: &programs(folder.path()) };
    let acme = ConnectorId::parse("acme").unwrap();
    let run = RUN.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let run = keeper.put_action(&acme, (None, &run), false, &site.change()).await.unwrap();
    site.live.refresh().await.unwrap();
    let page = site.get(&format!("{TAB}?edit={}", run.id), &admin).await;
    assert!(page.text.contains("value=\"command\" checked"), "{}", page.text);
    let csrf = page.csrf();
    let form = [("csrf", &*csrf), ("action", &run.id), ("fields", "kind,enabled"), ("kind", "command")];
    let saved = site.ask(Method::POST, &format!("{TAB}/save"), &admin, Some(&form)).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text);
    assert!(!site.live.snapshot().action(&run.id).unwrap().settings.enabled);
}
