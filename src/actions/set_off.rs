//! What each event sets off: it is looked at once, and makes a delivery for each action that it is about and for whom is
//! told of it. What a received file sets off is made in its receipt's own commit, since its bytes are held from then on.

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

/// How often it is looked for new events.
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
    let new = |target: &Arc<EventTarget>| New {
        event_id: event.id.clone(),
        // It is about the event: whoever is told of a file takes nothing over.
        receipt_id: None,
        source_key: String::new(),
        target: Target::Events(target.id.clone()),
        due: now,
    };
    wanting.map(new).collect()
}

/// The actions of files that were collected or given up.
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
        // What was given up is held no more. Where its bytes are gone, the attempt says so.
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
