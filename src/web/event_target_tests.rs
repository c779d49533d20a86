//! Profiles, Event targets through the whole router: added, refused, tested and removed, only by admins.

use axum::http::header::LOCATION;
use axum::http::{Method, StatusCode};

use super::pages::automation::standing;
use super::tests::{Answer, Site};
use super::tone::Tone;
use crate::access::secrets::Secrets;
use crate::base::clock::{Clock, Timestamp};
use crate::base::id::EventId;
use crate::domain::administrator::Role;
use crate::domain::event::EventKind;
use crate::domain::flow::Target;
use crate::store::delivery::{self, Attempted, Lane, Next, Pending};
use crate::store::delivery_page::{self, Delivery};
use crate::store::event::{self, Event};
use crate::store::event_target::{self, StoredTarget};
use crate::store::set_off::{self, New};

impl Site {
    async fn target(&self, cookies: &str, place: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.get("/profiles/events", cookies).await.csrf();
        let keys = "description,url,which,kinds,enabled";
        let form = [&[("csrf", csrf.as_str()), ("fields", keys), ("enabled", "on")], fields].concat();
        self.ask(Method::POST, &format!("/profiles/events/{place}"), cookies, Some(&form)).await
    }
}

impl Site {
    async fn delivery_of(&self, test: &EventId) -> Delivery {
        delivery_page::of_event(&self.db, test, None).await.unwrap().pop().unwrap()
    }

    /// Delivers the test requested meanwhile; returns its event.
    async fn takes_a_test(&self, target: &str) -> EventId {
        let lane = Lane { source_key: String::new(), target: Target::Events(target.to_owned()) };
        loop {
            if let Some(one) = delivery::next(&self.db, &lane, false, Timestamp::default(), 1).await.unwrap().pop() {
                delivery::record(&self.db, &[attempted(&one)]).await.unwrap();
                let told = event::find(&self.db, &one.event_id).await.unwrap().unwrap();
                assert_eq!((told.kind, told.summary.starts_with("mira asked for this")), (EventKind::Test, true));
                return one.event_id;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// It is accepted.
fn attempted(one: &Pending) -> Attempted {
    Attempted {
        delivery: one.id,
        receipt_id: None,
        at: one.next_at,
        took: std::time::Duration::ZERO,
        answer: "204 No Content".to_owned(),
        next: Next::Delivered(None),
        letter: false,
    }
}

const URL: (&str, &str) = ("url", "https://monitor.example.com/in");

#[tokio::test]
async fn an_event_target_is_added_changed_tested_and_removed_by_an_admin() {
    let site = Site::new().await;
    let (admin, editor) = (site.person("mira", Role::Admin).await, site.person("ed", Role::Editor).await);
    assert!(site.get("/profiles/events", &editor).await.text.contains("Nobody is told by webhook"));
    assert_eq!(site.target(&editor, "save", &[URL, ("which", "all")]).await.status, StatusCode::FORBIDDEN);
    let refused = site.target(&admin, "save", &[URL, ("which", "chosen")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("No event is chosen"), "{}", refused.text);
    let chosen = [URL, ("which", "chosen"), ("kinds", "after_receive"), ("kinds", "disk_low")];
    let saved = site.target(&admin, "save", &chosen).await;
    assert_eq!(saved.header(LOCATION), "/profiles/events", "{}", saved.text);
    let page = site.get("/profiles/events", &admin).await.text;
    assert!(page.contains("shown here once") && page.contains("after_receive, disk_low to https://monitor"), "{page}");

    let stored = event_target::all(&site.db).await.unwrap().pop().unwrap();
    let secrets = Secrets::open(site.db.clone(), site.folder.path()).await.unwrap();
    let name = event_target::webhook_secret(&stored.id);
    let first = secrets.get(&name).await.unwrap().unwrap();
    let own = ("target", stored.id.as_str());
    assert_eq!(site.target(&admin, "save", &[URL, ("which", "alerts"), own]).await.status, StatusCode::SEE_OTHER);
    assert_eq!(secrets.get(&name).await.unwrap().unwrap().reveal(), first.reveal(), "it stays");
    assert_eq!(site.live.snapshot().event_targets.len(), 1);

    let version = stored.version.to_string();
    let stale = site.target(&admin, "save", &[URL, ("which", "all"), own, ("version", &version)]).await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    assert!(stale.text.contains("name=\"stored.which\" value=\"alerts\""), "{}", stale.text);

    // The test plays the deliverer.
    let form = [own];
    let (answer, test) = tokio::join!(site.target(&admin, "test", &form), site.takes_a_test(&stored.id));
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    assert!(site.get("/profiles/events", &admin).await.text.contains("Sent. The receiver said: 204 No Content"));
    let again = site.delivery_of(&test).await;
    delivery_page::again(&site.db, &again, &site.change()).await.unwrap();
    assert_eq!(site.target(&editor, "remove", &[own]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(site.target(&admin, "remove", &[own]).await.status, StatusCode::SEE_OTHER);
    assert_eq!(site.delivery_of(&test).await.state.name(), "stopped");
    assert!(secrets.get(&name).await.unwrap().is_none(), "its secret goes with it");
    for what in ["remove", "test"] {
        assert_eq!(site.target(&admin, what, &[own]).await.status, StatusCode::SEE_OTHER, "{what}");
        let page = site.get("/profiles/events", &admin).await.text;
        assert!(page.contains("That event target was removed already"), "{what}: {page}");
    }
    assert_eq!(site.target(&admin, "save", &[URL, ("which", "all"), own]).await.status, StatusCode::CONFLICT);
    assert!(event_target::all(&site.db).await.unwrap().is_empty(), "it came back under another id");
}

#[tokio::test]
async fn a_receiver_that_is_down_is_one_matter_whosever_files_it_should_be_told_of() {
    let site = Site::new().await;
    let admin = site.person("mira", Role::Admin).await;
    let texts = [URL, ("which", "all")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let monitor = StoredTarget { id: "monitor".to_owned(), texts, version: 0 };
    event_target::put(&site.db, &monitor, &site.change()).await.unwrap();
    site.live.refresh().await.unwrap();
    let target = Target::Events(monitor.id);
    let at = Clock::System.now();
    for source_key in ["", "acme", "globex"].map(str::to_owned) {
        let event = Event::new(&site.ids, EventKind::Test, at, "told");
        let (event_id, target) = (event.id.clone(), target.clone());
        set_off::begin(&site.db, &event, &New { event_id, receipt_id: None, source_key, target, due: at })
            .await
            .unwrap();
    }
    let waiting = delivery_page::waiting(&site.db).await.unwrap();
    assert_eq!(standing(&target, true, &waiting), ("3 waiting".to_owned(), Tone::Warning));
    for lane in delivery::lanes(&site.db).await.unwrap() {
        let one = delivery::next(&site.db, &lane, false, at, 1).await.unwrap().pop().unwrap();
        let attempted = Attempted { next: Next::GiveUp(None), ..attempted(&one) };
        delivery::record(&site.db, &[attempted]).await.unwrap();
    }
    let failed = delivery_page::failed(&site.db).await.unwrap();
    assert_eq!((failed.len(), failed[0].source_key.as_str(), failed[0].count), (1, "", 3));
    let page = site.get("/", &admin).await.text;
    assert!(page.contains("3 events could not be posted to https://monitor"), "{page}");
}
