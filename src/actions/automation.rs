//! What an action does: a signed post, a run of a program, or a letter.

use super::attempt::{Attempt, Outcome};
use super::command::{Command, Given};
use super::program::WITHIN;
use super::targets::{Post, Reach, Tried};
use crate::access::mail::{Letter, MailServer};
use crate::base::human;
use crate::base::id::EventId;
use crate::domain::action::Action;
use crate::domain::event_target::EventTarget;
use crate::domain::value::{ActionKind, MailAddress, WebhookBody};
use crate::store::action::webhook_secret;
use crate::store::delivery::Pending;
use crate::store::event::Event;
use crate::store::event_target;
use crate::store::live::Snapshot;
use crate::store::receipt::Receipt;
use crate::transfer::held;

impl Reach {
    /// One attempt of an action for each of `due`.
    pub(super) async fn act(
        &self,
        snapshot: &Snapshot,
        action: &Action,
        (due, receipts): (&[Pending], &[Receipt]),
    ) -> Vec<Tried> {
        let acts = due.iter().map(|one| async {
            let receipt = receipts.iter().find(|receipt| Some(&receipt.id) == one.receipt_id.as_ref());
            let attempt = self.act_once(snapshot, action, one, receipt).await;
            Tried::new(one.id, attempt.unwrap_or_else(Attempt::retry))
        });
        futures_util::future::join_all(acts).await
    }

    /// One post of an event for each of `due`.
    pub(super) async fn tell(&self, snapshot: &Snapshot, target: &EventTarget, due: &[Pending]) -> Vec<Tried> {
        let secret = event_target::webhook_secret(&target.id);
        let posts = due.iter().map(|one| async {
            let attempt = match &target.settings.url {
                Some(address) => {
                    let (url, body, secret) = (address.url(), WebhookBody::Event, secret.clone());
                    self.post(snapshot, Post { url, body, secret, whose: "The event target" }, one, None).await
                }
                None => Err("The event target has no address to post to".to_owned()),
            };
            Tried::new(one.id, attempt.unwrap_or_else(Attempt::retry))
        });
        futures_util::future::join_all(posts).await
    }

    async fn act_once(
        &self,
        snapshot: &Snapshot,
        action: &Action,
        one: &Pending,
        receipt: Option<&Receipt>,
    ) -> Result<Attempt, String> {
        let settings = &action.settings;
        if let (ActionKind::Webhook, Some(address)) = (settings.kind, &settings.url) {
            let (body, secret) = (settings.body, webhook_secret(&action.id));
            return self
                .post(snapshot, Post { url: address.url(), body, secret, whose: "The action" }, one, receipt)
                .await;
        }
        let (event, _) = self.told(one, receipt).await?;
        match (settings.kind, &settings.program) {
            (ActionKind::Command, Some(program)) => {
                let given = receipt.map_or_else(|| Given::of_event(&event), Given::of_receipt);
                let given = given.ok_or_else(|| "The event is about no file".to_owned())?;
                let arguments = &settings.arguments;
                let file = match receipt.filter(|_| arguments.name_the_path()) {
                    Some(receipt) => held::open_held(&self.depot, &receipt.id).await.ok(),
                    None => None,
                };
                let command = Command { program, arguments, zone: &snapshot.appliance.time_zone, within: WITHIN };
                Ok(self.commands.run(&command, &given, &EventId::new(&self.depot.ids), file).await)
            }
            (ActionKind::Mail, _) => {
                let server = MailServer::of(&snapshot.appliance, &self.secrets).await?;
                let subject = snapshot.appliance.alert_subject.as_str();
                let letter = letter(subject, settings.mail_to.iter().cloned().collect(), (&event, receipt), &action.id);
                Ok(Attempt::new(Outcome::Delivered, server.send(&letter).await?))
            }
            (kind, _) => Err(format!("The action has nothing to do its {kind} with; change it")),
        }
    }
}

/// What happened, and the file it concerns.
fn letter(
    subject: &str,
    to: Vec<MailAddress>,
    (event, receipt): (&Event, Option<&Receipt>),
    action_id: &str,
) -> Letter {
    let mut lines = vec![format!("{}.", event.summary.trim_end_matches('.')), String::new()];
    let mut line = |name: &str, value: &str| lines.push(format!("{name}: {value}"));
    line("Connector", &event.connector);
    if let Some(receipt) = receipt {
        line("File", &receipt.client_path);
        line("Size", &human::count(receipt.size_bytes, "byte", "bytes"));
        line("SHA-256", &receipt.sha256);
        line("Receipt", receipt.id.as_str());
    } else if let Some(file) = &event.file {
        line("File", &file.path);
        line("Size", &human::count(file.size_bytes, "byte", "bytes"));
    }
    line("When", &event.at.to_string());
    line("Event", event.id.as_str());
    let subject = format!("{subject} {}", event.summary).trim().replace(char::is_control, " ");
    // The same letter at each attempt, and another one for each action.
    Letter { to, subject, text: lines.join("\n") + "\n", id: format!("{}.{action_id}", event.id) }
}
