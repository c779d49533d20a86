//! Alerts: each event that is told makes one delivery; those that are due together make one letter for each who gets
//! them, and there are at most so many letters an hour.

use std::collections::BTreeMap;
use std::time::Duration;

use super::attempt::{ANSWER_BYTES, Attempt, Outcome};
use super::targets::{Reach, Tried};
use crate::access::mail::{Letter, MailServer};
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::domain::value::{MailAddress, MailAddresses};
use crate::store::delivery::Pending;
use crate::store::event::{self, Event};
use crate::store::live::{Live, Snapshot};
use crate::store::{StoreError, alert};
use crate::transfer::depot::Depot;

/// How often it is looked for events that are told.
const EVERY: Duration = Duration::from_secs(5);
/// How long an alert waits for others, which go with it.
const GATHER: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_hours(1);
/// Lines of one letter; more are counted.
const LINES_MAX: usize = 50;

/// Makes deliveries of events that are told, for ever.
pub async fn run(depot: Depot, live: Live) {
    loop {
        if let Err(error) = look(&depot, &live.snapshot()).await {
            tracing::error!(%error, "Could not look for alerts; it is tried again");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn look(depot: &Depot, snapshot: &Snapshot) -> Result<(), StoreError> {
    let now = depot.clock.now();
    let settings = &snapshot.appliance;
    let is_told = |kind, connector: &str| {
        settings.alert_on.contains(kind) && settings.mail_host.is_some() && !recipients(snapshot, connector).is_empty()
    };
    alert::enqueue(&depot.db, is_told, (now, now.plus(GATHER))).await.map(drop)
}

/// Who is told of what concerns that connector: its own recipients, or everybody's.
fn recipients<'a>(snapshot: &'a Snapshot, connector: &str) -> &'a MailAddresses {
    let own = snapshot.connector(connector).map(|live| &live.connector.settings.alert_to);
    own.filter(|own| !own.is_empty()).unwrap_or(&snapshot.appliance.mail_to)
}

impl Reach {
    /// One letter for each circle of recipients; none while there were enough in the last hour.
    pub(super) async fn alert(&self, snapshot: &Snapshot, due: &[Pending]) -> Result<Vec<Tried>, StoreError> {
        let now = self.depot.clock.now();
        let most = snapshot.appliance.alerts_per_hour_max.get();
        let mut sent = alert::sent_since(&self.depot.db, now.minus(HOUR)).await?;
        let mut circles: BTreeMap<String, (Vec<MailAddress>, Vec<(i64, Event)>)> = BTreeMap::new();
        let mut tried = Vec::new();
        for one in due {
            let Some(event) = event::find(&self.depot.db, &one.event_id).await? else {
                tried.push((one.id, stopped("The event is older than events are kept"), None));
                continue;
            };
            let to = recipients(snapshot, &event.connector);
            if to.is_empty() {
                tried.push((one.id, stopped("Nobody is told of it any more"), None));
                continue;
            }
            let to: Vec<_> = to.iter().cloned().collect();
            let key = to.iter().map(MailAddress::as_str).collect::<Vec<_>>().join(",");
            circles.entry(key).or_insert_with(|| (to, Vec::new())).1.push((one.id, event));
        }
        for (to, events) in circles.into_values() {
            if sent >= most {
                // They stay due, and go together when the hour allows.
                break;
            }
            let letter = letter(&snapshot.appliance.alert_subject.as_str(), to, &events);
            let attempt = match MailServer::of(&snapshot.appliance, &self.secrets).await {
                Ok(server) => server.send(&letter).await,
                Err(why) => Err(why),
            };
            let attempt = match attempt {
                Ok(answer) => Attempt { outcome: Outcome::Delivered, answer },
                Err(mut answer) => {
                    answer.truncate(answer.floor_char_boundary(ANSWER_BYTES));
                    Attempt { outcome: Outcome::Retry, answer }
                }
            };
            sent += 1;
            tried.extend(events.into_iter().map(|(id, _)| (id, attempt.clone(), None)));
        }
        Ok(tried)
    }
}

fn stopped(why: &str) -> Attempt {
    Attempt { outcome: Outcome::Stopped, answer: why.to_owned() }
}

/// One event by itself, or a digest of several.
fn letter(subject: &str, to: Vec<MailAddress>, events: &[(i64, Event)]) -> Letter {
    let line = |event: &Event| format!("{}  {}", shown(event.at), event.summary);
    let mut lines: Vec<_> = events.iter().take(LINES_MAX).map(|(_, event)| line(event)).collect();
    if events.len() > LINES_MAX {
        lines.push(format!(
            "and {} more, on the page Activity, Events",
            human::thousands((events.len() - LINES_MAX) as u64)
        ));
    }
    let about = match events {
        [(_, one)] => one.summary.split(". ").next().unwrap_or_default().to_owned(),
        _ => human::count(events.len() as u64, "alert", "alerts"),
    };
    let id = events.first().map(|(_, event)| event.id.to_string()).unwrap_or_default();
    let text = format!("{}\n\nThe dashboard of Waybill shows what can be done about it.\n", lines.join("\n"));
    let subject = format!("{subject} {about}").trim().replace(char::is_control, " ");
    Letter { to, subject, text, id }
}

fn shown(at: Timestamp) -> String {
    at.calendar().strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
