//! What each event sets off: it is looked at once, and makes a delivery for each matching action and each event target.
//! The deliveries for a received file are made in its receipt's own commit, because its bytes are held from then on.

use std::sync::Arc;
use std::time::Duration;

use super::alerts;
use crate::base::clock::Timestamp;
use crate::domain::action::Action;
use crate::domain::event::EventKind;
use crate::domain::event_target::EventTarget;
use crate::domain::flow::Target;
use crate::domain::value::ActionMoment;
use crate::store::event::Event;
use crate::store::live::{Live, Snapshot};
use crate::store::set_off::{self, New};
use crate::store::{StoreError, receipt};
use crate::transfer::depot::Depot;
use crate::transfer::held;

/// How often to look for new events.
const EVERY: Duration = Duration::from_secs(1);

/// Makes deliveries of events, for ever.
pub async fn run(depot: Depot, live: Live) {
    loop {
        if let Err(error) = look(&depot, &live.snapshot()).await {
            tracing::error!(%error, "Could not look what events set off; it is tried again");
        }
        tokio::time::sleep(EVERY).await;
    }
}

pub(super) async fn look(depot: &Depot, snapshot: &Snapshot) -> Result<(), StoreError> {
    while let Some(step) = set_off::newer(&depot.db).await? {
        let now = depot.clock.now();
        let mut made = Vec::new();
        for event in &step.events {
            made.extend(alerts::told(snapshot, event, now));
            made.extend(posted(snapshot, event, now));
            made.extend(actions(depot, snapshot, event, now).await?);
        }
        set_off::record(&depot.db, &step, &made, now).await?;
    }
    Ok(())
}

/// The event targets that an event is posted to.
fn posted(snapshot: &Snapshot, event: &Event, now: Timestamp) -> Vec<New> {
    let alerts = &snapshot.appliance.alert_on;
    let wanting = snapshot.event_targets.iter().filter(|target| target.wants(event.kind, alerts));
    // A received file is announced by its name once it has settled. That holds up only what its own partner's files set
    // off (decision 0122).
    let settles = snapshot.connector(&event.connector).filter(|_| event.kind == EventKind::AfterReceive);
    let new = |target: &Arc<EventTarget>| New {
        event_id: event.id.clone(),
        // It concerns the event: telling of a file does not take it over.
        receipt_id: None,
        source_key: settles.map_or_else(String::new, |live| live.connector.id.key().to_owned()),
        target: Target::Events(target.id.clone()),
        due: settles.map_or(now, |live| live.connector.settles_at(event.at)),
    };
    wanting.map(new).collect()
}

/// The actions for files that were collected or given up.
async fn actions(depot: &Depot, snapshot: &Snapshot, event: &Event, now: Timestamp) -> Result<Vec<New>, StoreError> {
    let (moment, path, size_bytes) = match (event.kind, &event.file, &event.receipt_id) {
        (EventKind::AfterSend, Some(file), _) => (ActionMoment::AfterSend, file.path.clone(), file.size_bytes),
        (EventKind::DeliveryFailed, _, Some(id)) => match receipt::find(&depot.db, id).await? {
            Some(found) => (ActionMoment::DeliveryFailed, found.client_path, found.size_bytes),
            None => return Ok(Vec::new()),
        },
        _ => return Ok(Vec::new()),
    };
    let set_off: Vec<_> = snapshot.set_off(moment, &event.connector, (&path, size_bytes)).collect();
    if let Some(id) = event.receipt_id.as_ref().filter(|_| set_off.iter().any(|action| action.needs_bytes())) {
        // A file that was given up is no longer held. If its bytes are gone, the attempt says so.
        if let Err(error) = held::hold(depot, snapshot, id).await {
            tracing::warn!(receipt.id = id.as_str(), %error, "Could not hold the bytes of a file that was given up");
        }
    }
    let new = |action: &Arc<Action>| New {
        event_id: event.id.clone(),
        receipt_id: event.receipt_id.clone(),
        source_key: event.connector.to_ascii_lowercase(),
        target: Target::Action(action.id.clone()),
        due: now,
    };
    Ok(set_off.into_iter().map(new).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::EventId;
    use crate::domain::connector::ConnectorId;
    use crate::store::connector;
    use crate::store::event_target::{self, StoredTarget};
    use crate::store::receipt::Receipt;
    use crate::store::setting::Change;

    #[tokio::test]
    async fn a_received_file_is_told_of_once_it_has_settled_and_holds_up_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let depot = Depot::for_tests(folder.path(), Clock::System).await;
        let at = depot.clock.now();
        let change = Change { who: "test", remote: "", at, ids: &depot.ids };
        let texts = [("settle_s".to_owned(), "3600".to_owned())].into();
        connector::add(&depot.db, &ConnectorId::parse("Acme").unwrap(), &texts, None, &change).await.unwrap();
        let texts = [("url", "https://monitor.example.com/in"), ("which", "all")];
        let texts = texts.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let monitor = StoredTarget { id: "monitor".to_owned(), texts, version: 0 };
        event_target::put(&depot.db, &monitor, &change).await.unwrap();
        let snapshot = Live::open(depot.db.clone(), Clock::System).await.unwrap().snapshot();

        let now = at.plus(Duration::from_secs(9));
        let told = |event: &Event| {
            let [one] = <[New; 1]>::try_from(posted(&snapshot, event, now)).unwrap();
            assert_eq!(one.receipt_id, None);
            (one.source_key, one.due)
        };
        let received =
            |connector| Event::after_receive(&Receipt::sample(&depot.ids, connector, at), EventId::new(&depot.ids));
        assert_eq!(told(&received("Acme")), ("acme".to_owned(), at.plus(Duration::from_hours(1))));
        assert_eq!(told(&received("gone")), (String::new(), now));
        let failed = depot.event(EventKind::DeliveryFailed, "given up").of("Acme");
        assert_eq!(told(&failed), (String::new(), now));
    }
}
