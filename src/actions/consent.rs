//! Actions that are asked before a partner gets a file: a program that ends with another status than 0, or a receiver that
//! answers with something other than 2xx, holds it back. Each question is an event with its attempts.

use std::time::Duration;

use super::attempt::{Attempt, Outcome, Shipment};
use super::command::{Command, Commands, Given};
use super::webhook::{Poster, Webhook};
use crate::access::secrets::Secrets;
use crate::base::clock::Clock;
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

/// Asks actions.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The database, where each question is recorded.
    pub db: Db,
    /// What webhooks are signed with.
    pub secrets: Secrets,
    /// Who posts.
    pub poster: Poster,
    /// Who runs programs.
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
        for action in snapshot.set_off(ActionMoment::BeforeSend, connector.id.as_str(), file) {
            let at = self.clock.now();
            let asking = tokio::time::timeout(WITHIN, self.ask_one(snapshot, action, &event, &asked.source));
            let late = || Attempt::retry(format!("No answer within {} s", WITHIN.as_secs()));
            let attempt = asking.await.map_or_else(|_| late(), |attempt| attempt.unwrap_or_else(Attempt::retry));
            let agreed = attempt.outcome == Outcome::Delivered;
            if !agreed {
                let answer = attempt.answer.lines().next().unwrap_or_default();
                refused = Err(format!("{}: {answer}", action.settings.deed()));
            }
            let took = self.clock.now().since(at);
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
        let mut event = Event::new(&self.ids, EventKind::BeforeSend, self.clock.now(), summary);
        party.connector().id.as_str().clone_into(&mut event.connector);
        party.session.as_str().clone_into(&mut event.session_id);
        event.remote = party.remote.to_string();
        event.file = Some(EventFile { path: asked.path.clone(), size_bytes });
        event
    }

    async fn ask_one(
        &self,
        snapshot: &Snapshot,
        action: &Action,
        event: &Event,
        source: &Source,
    ) -> Result<Attempt, String> {
        let settings = &action.settings;
        if let (ActionKind::Command, Some(program)) = (settings.kind, &settings.program) {
            let given = Given::of_event(event).ok_or_else(|| "The event is about no file".to_owned())?;
            let arguments = &settings.arguments;
            let command = Command { program, arguments, zone: &snapshot.appliance.time_zone, within: WITHIN };
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
