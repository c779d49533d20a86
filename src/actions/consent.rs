//! Actions that are asked before a partner gets a file: a program that exits with a status other than 0, or a receiver
//! that answers with anything but 2xx, holds it back. Each question is an event with its attempts.

use std::time::Duration;

use super::attempt::{Attempt, Outcome, Shipment};
use super::command::{Command, Commands, Given};
use super::webhook::{Poster, Webhook};
use crate::access::secrets::Secrets;
use crate::base::clock::{Clock, Timestamp};
use crate::base::human;
use crate::base::id::{EventId, IdSource};
use crate::domain::action::Action;
use crate::domain::event::EventKind;
use crate::domain::value::{ActionKind, ActionMoment, WebhookBody};
use crate::store::Db;
use crate::store::action::webhook_secret;
use crate::store::event::{Event, EventFile};
use crate::store::live::Snapshot;
use crate::store::set_off::{self, Answered};
use crate::transfer::consent::{Answer, Asked, Consent};
use crate::workspace::download::Source;

/// How long one action may take to agree; the partner waits for it.
pub const WITHIN: Duration = Duration::from_secs(15);
/// How long all actions for one file may take together; most clients wait a minute for the first reply.
pub const ALL_WITHIN: Duration = Duration::from_secs(30);

/// Asks actions.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The database, where each question is recorded.
    pub db: Db,
    /// Signing secrets of webhooks.
    pub secrets: Secrets,
    /// Posts.
    pub poster: Poster,
    /// Runs programs.
    pub commands: Commands,
    /// The time.
    pub clock: Clock,
    /// New ids.
    pub ids: IdSource,
}

impl Consent for Asker {
    fn ask(&self, asked: Asked) -> Answer<'_> {
        Box::pin(async move { self.ask_all(&asked).await })
    }
}

impl Asker {
    /// One after the other; the first that does not agree decides.
    async fn ask_all(&self, asked: &Asked) -> Result<(), String> {
        let (snapshot, connector) = (&asked.party.snapshot, asked.party.connector());
        let size_bytes = asked.source.version().size_bytes;
        let event = self.event(asked, size_bytes);
        let (mut answers, mut refused) = (Vec::new(), Ok(()));
        let file = (asked.path.as_str(), size_bytes);
        let mut time = Time { begun: self.clock.now(), taken: Vec::new() };
        for action in snapshot.set_off(ActionMoment::BeforeSend, connector.id.as_str(), file) {
            let at = self.clock.now();
            let within = time.left(at);
            let late = || Attempt::retry(time.late(within));
            let attempt = if within.is_zero() {
                late()
            } else {
                let asking = self.ask_one(snapshot, (action, within), &event, &asked.source);
                let asked = tokio::time::timeout(within, asking).await;
                asked.map_or_else(|_| late(), |attempt| attempt.unwrap_or_else(Attempt::retry))
            };
            let agreed = attempt.outcome == Outcome::Delivered;
            if !agreed {
                let answer = attempt.answer.lines().next().unwrap_or_default();
                refused = Err(format!("{}: {answer}", action.settings.deed()));
            }
            let took = self.clock.now().since(at);
            time.taken.push((action.settings.deed(), took));
            answers.push(Answered { action_id: action.id.clone(), at, took, agreed, answer: attempt.answer });
            if refused.is_err() {
                break;
            }
        }
        if let Err(error) = set_off::answered(&self.db, &event, &answers).await {
            tracing::error!(%error, "Could not record what was asked before a file was sent");
        }
        refused
    }

    fn event(&self, asked: &Asked, size_bytes: u64) -> Event {
        let party = &asked.party;
        let summary = format!("{} asks for {}, {}", party.connector().id, asked.path, human::size(size_bytes));
        let event = Event::new(&self.ids, EventKind::BeforeSend, self.clock.now(), summary);
        Event { file: Some(EventFile { path: asked.path.clone(), size_bytes }), ..party.own(event) }
    }

    async fn ask_one(
        &self,
        snapshot: &Snapshot,
        (action, within): (&Action, Duration),
        event: &Event,
        source: &Source,
    ) -> Result<Attempt, String> {
        let settings = &action.settings;
        if let (ActionKind::Command, Some(program)) = (settings.kind, &settings.program) {
            let given = Given::of_event(event).ok_or_else(|| "The event is about no file".to_owned())?;
            let arguments = &settings.arguments;
            let command = Command { program, arguments, zone: &snapshot.appliance.time_zone, within };
            let file = arguments.name_the_path().then(|| source.clone());
            return Ok(self.commands.run(&command, &given, &EventId::new(&self.ids), file).await);
        }
        let Some(address) = &settings.url else { return Err("The action has nobody to ask; change it".to_owned()) };
        let secret = self.secrets.get(&webhook_secret(&action.id)).await.map_err(|error| error.to_string())?;
        let Some(secret) = secret else { return Err("The action has no secret to sign with; make one".to_owned()) };
        let networks = &snapshot.appliance.webhook_networks;
        let webhook = Webhook { url: address.url(), secret: &secret, body: WebhookBody::Event, networks };
        let shipment = Shipment { event: event.clone(), receipt: None, attempt: 1, at: self.clock.now() };
        Ok(self.poster.post(&webhook, &shipment, None).await)
    }
}

/// The time that all actions for one file have together.
struct Time {
    begun: Timestamp,
    /// What the previous actions do, and how long each took.
    taken: Vec<(String, Duration)>,
}

impl Time {
    /// How long the next may take.
    fn left(&self, now: Timestamp) -> Duration {
        ALL_WITHIN.saturating_sub(now.since(self.begun)).min(WITHIN)
    }

    /// Why no further time was allowed.
    fn late(&self, within: Duration) -> String {
        if within == WITHIN {
            return format!("No answer within {} s", WITHIN.as_secs());
        }
        let took = |(deed, took): &(String, Duration)| format!("{:.1} s: {deed}", took.as_secs_f64());
        let taken: Vec<_> = self.taken.iter().map(took).collect();
        format!(
            "No answer within {:.1} s, all that was left of the {} s that the actions of one file have together; those \
             before it took {}",
            within.as_secs_f64(),
            ALL_WITHIN.as_secs(),
            taken.join("; ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_actions_of_a_file_share_one_time_and_the_last_says_where_it_went() {
        let begun = Timestamp::from_us(1_000_000);
        let mut time = Time { begun, taken: Vec::new() };
        let after = |seconds| begun.plus(Duration::from_secs(seconds));
        assert_eq!(time.left(after(14)), WITHIN);
        assert_eq!(time.late(WITHIN), "No answer within 15 s");
        time.taken = vec![("run scan".to_owned(), Duration::from_millis(14_250)), ("ask a".to_owned(), WITHIN)];
        let left = time.left(after(29));
        assert_eq!(left, Duration::from_secs(1));
        let words = time.late(left);
        assert!(words.starts_with("No answer within 1.0 s, all that was left of the 30 s"), "{words}");
        assert!(words.ends_with("took 14.2 s: run scan; 15.0 s: ask a"), "{words}");
        assert!(time.left(after(31)).is_zero());
    }
}
