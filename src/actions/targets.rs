//! How each kind of target is reached: a partner's Send or a Folder by placing, a Webhook by a post, a Command by a
//! run.

use url::Url;

use super::attempt::{Attempt, Outcome, Shipment};
use super::command::{Command, Commands, Given};
use super::program::WITHIN;
use super::webhook::{Poster, Webhook};
use crate::access::secrets::Secrets;
use crate::base::id::EventId;
use crate::domain::action::Action;
use crate::domain::connector::Connector;
use crate::domain::event::EventKind;
use crate::domain::event_target::EventTarget;
use crate::domain::flow::Target;
use crate::domain::value::{ConnectorType, WebhookBody};
use crate::store::connector::webhook_secret;
use crate::store::delivery::{Pending, Placed};
use crate::store::event::{self, Event};
use crate::store::live::Snapshot;
use crate::store::receipt::{self, Receipt};
use crate::store::{StoreError, renaming};
use crate::transfer::depot::{Depot, TransferError};
use crate::transfer::held;
use crate::transfer::passing::{self, Parcel};

/// Deliveries put into a folder together: they share syncs and commits.
const PLACED_TOGETHER_MAX: usize = 64;
/// Posts and programs in progress at a time in a lane without order.
const POSTS_AT_A_TIME: usize = 2;

/// Reaches targets; cheap to clone.
#[derive(Clone, Debug)]
pub struct Reach {
    /// The services of every transfer.
    pub depot: Depot,
    /// Signing secrets of webhooks.
    pub secrets: Secrets,
    /// Posts.
    pub poster: Poster,
    /// Runs programs.
    pub commands: Commands,
}

/// A post and its address.
#[derive(Debug)]
pub(super) struct Post<'a> {
    pub url: &'a Url,
    pub body: WebhookBody,
    /// The name of its signing secret.
    pub secret: String,
    /// The sender of the post, in words.
    pub whose: &'a str,
}

/// The target of a lane.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goal<'a> {
    /// A connector.
    Connector(&'a Connector),
    /// An action.
    Action(&'a Action),
    /// An event target.
    Events(&'a EventTarget),
}

impl<'a> Goal<'a> {
    /// For that target, with its present settings.
    pub fn of(snapshot: &'a Snapshot, target: &Target) -> Option<Self> {
        match target {
            Target::Connector(key) => snapshot.connectors.get(key).map(|live| Self::Connector(&live.connector)),
            Target::Action(id) => snapshot.action(id).map(|action| Self::Action(action)),
            Target::Events(id) => snapshot.event_target(id).map(|target| Self::Events(target)),
            Target::AlertMail => None,
        }
    }

    /// Whether files for it are put into a folder.
    pub fn is_folder(self) -> bool {
        let puts = |kind| matches!(kind, ConnectorType::FtpServer | ConnectorType::Folder);
        matches!(self, Self::Connector(connector) if puts(connector.settings.r#type))
    }

    /// How many deliveries one call takes.
    pub fn at_a_time(self, in_order: bool) -> usize {
        match self {
            Self::Connector(connector) => at_a_time(connector.settings.r#type, in_order),
            // Each outcome is recorded before the next: a crash repeats at most one.
            Self::Action(_) | Self::Events(_) => 1,
        }
    }
}

/// One attempt at a delivery.
#[derive(Debug)]
pub struct Tried {
    /// Which delivery.
    pub delivery: i64,
    /// The outcome.
    pub attempt: Attempt,
    /// The place of the file, if it was put into a folder.
    pub placed: Option<Placed>,
}

impl Tried {
    /// One that put no file into a folder.
    pub const fn new(delivery: i64, attempt: Attempt) -> Self {
        Self { delivery, attempt, placed: None }
    }
}

/// How many deliveries one call takes.
fn at_a_time(kind: ConnectorType, in_order: bool) -> usize {
    match (kind, in_order) {
        (ConnectorType::FtpServer | ConnectorType::Folder, _) => PLACED_TOGETHER_MAX,
        // Each outcome is recorded before the next post: a crash repeats at most one.
        (ConnectorType::Webhook | ConnectorType::Command, true) => 1,
        (ConnectorType::Webhook | ConnectorType::Command, false) => POSTS_AT_A_TIME,
    }
}

impl Reach {
    /// One attempt for each of `due`, whose files are `receipts`. With `in_order`, those behind a failing one have
    /// none.
    pub(super) async fn attempt(
        &self,
        snapshot: &Snapshot,
        goal: Goal<'_>,
        (due, receipts): (&[Pending], &[Receipt]),
        in_order: bool,
    ) -> Vec<Tried> {
        let target = match goal {
            Goal::Connector(target) => target,
            Goal::Action(action) => return self.act(snapshot, action, (due, receipts)).await,
            Goal::Events(target) => return self.tell(snapshot, target, due).await,
        };
        match target.settings.r#type {
            ConnectorType::FtpServer | ConnectorType::Folder => {
                let parcels: Vec<_> = due.iter().filter_map(|one| parcel(one, receipts)).collect();
                let put = passing::put(&self.depot, snapshot, target, &parcels, in_order).await;
                let mut tried = Vec::with_capacity(put.len());
                for (id, result) in put {
                    tried.push(match result {
                        Err(TransferError::NotFound) => {
                            Tried::new(id, self.not_there(snapshot, target, (id, &parcels)).await)
                        }
                        result => placed(id, result),
                    });
                }
                tried
            }
            ConnectorType::Webhook => {
                let posts = due.iter().map(|one| async {
                    let receipt = receipts.iter().find(|receipt| Some(&receipt.id) == one.receipt_id.as_ref());
                    let attempt = match &target.settings.url {
                        Some(address) => {
                            let (url, body, secret) = (address.url(), target.settings.body, webhook_secret(&target.id));
                            let post = Post { url, body, secret, whose: target.id.as_str() };
                            self.post(snapshot, post, one, receipt).await
                        }
                        None => Err(format!("{} has no address to post to", target.id)),
                    };
                    Tried::new(one.id, attempt.unwrap_or_else(Attempt::retry))
                });
                futures_util::future::join_all(posts).await
            }
            ConnectorType::Command => {
                let runs = due.iter().map(|one| async {
                    let receipt = receipts.iter().find(|receipt| Some(&receipt.id) == one.receipt_id.as_ref());
                    let attempt = self.run(snapshot, target, receipt).await;
                    Tried::new(one.id, attempt.unwrap_or_else(Attempt::retry))
                });
                futures_util::future::join_all(runs).await
            }
        }
    }

    /// Either the file's bytes or the target folder are gone: the error is the same.
    async fn not_there(&self, snapshot: &Snapshot, target: &Connector, (id, of): (i64, &[Parcel])) -> Attempt {
        let place = self.depot.workspaces.shelf(&snapshot.profile, target);
        let parcel = of.iter().find(|parcel| parcel.delivery == id);
        let (Ok(place), Some(parcel)) = (place, parcel) else { return Attempt::retry(words(&TransferError::NotFound)) };
        match held::open_held(&self.depot, &parcel.receipt.id).await {
            Ok(_) => Attempt::retry(format!(
                "The folder {} was removed while the file was on its way; it is made again at the next attempt",
                place.path.display()
            )),
            Err(error) => Attempt::retry(words(&error)),
        }
    }

    async fn run(&self, snapshot: &Snapshot, target: &Connector, receipt: Option<&Receipt>) -> Result<Attempt, String> {
        let settings = &target.settings;
        let Some(program) = &settings.program else { return Err(format!("{} has no program to run", target.id)) };
        let Some((receipt, given)) = receipt.and_then(|receipt| Some((receipt, Given::of_receipt(receipt)?))) else {
            return Err("Its receipt is not there any more".to_owned());
        };
        let arguments = &settings.arguments;
        let file = if arguments.name_the_path() { held::open_held(&self.depot, &receipt.id).await.ok() } else { None };
        let command = Command { program, arguments, zone: &snapshot.appliance.time_zone, within: WITHIN };
        Ok(self.commands.run(&command, &given, &EventId::new(&self.depot.ids), file).await)
    }

    /// What happened and the file it concerns, by its present name; `receipt` is the one taken over, if any.
    pub(super) async fn told(
        &self,
        one: &Pending,
        receipt: Option<&Receipt>,
    ) -> Result<(Event, Option<Receipt>), String> {
        let (db, words) = (&self.depot.db, |error: StoreError| error.to_string());
        let found = event::find(db, &one.event_id).await.map_err(words)?;
        let Some(event) = found else { return Err("The event is older than events are kept".to_owned()) };
        let known = match (receipt, &event.receipt_id) {
            (None, Some(id)) => receipt::find(db, id).await.map_err(words)?,
            (receipt, _) => receipt.cloned(),
        };
        let Some(known) = known else { return Ok((event, None)) };
        // A file with a temporary name is held back; one that nobody has taken over may get such a name up to the last
        // moment.
        let may_have = receipt.is_none() && event.kind == EventKind::AfterReceive;
        if may_have && renaming::temporary_since(db, &known.id).await.map_err(words)?.is_some() {
            return Err("Its partner has just given it a temporary name".to_owned());
        }
        Ok((event.as_of(&known), Some(known)))
    }

    /// One post.
    pub(super) async fn post(
        &self,
        snapshot: &Snapshot,
        post: Post<'_>,
        one: &Pending,
        receipt: Option<&Receipt>,
    ) -> Result<Attempt, String> {
        let secret = self.secrets.get(&post.secret).await.map_err(|error| error.to_string())?;
        let Some(secret) = secret else { return Err(format!("{} has no secret to sign with; make one", post.whose)) };
        let (event, known) = self.told(one, receipt).await?;
        let file = match receipt.filter(|_| post.body == WebhookBody::File) {
            Some(receipt) => held::open_held(&self.depot, &receipt.id).await.ok(),
            None => None,
        };
        let at = self.depot.clock.now();
        let shipment = Shipment { event, receipt: known, attempt: one.attempts + 1, at };
        let networks = &snapshot.appliance.webhook_networks;
        let webhook = Webhook { url: post.url, secret: &secret, body: post.body, networks };
        Ok(self.poster.post(&webhook, &shipment, file).await)
    }
}

fn parcel(one: &Pending, receipts: &[Receipt]) -> Option<Parcel> {
    let receipt = receipts.iter().find(|receipt| Some(&receipt.id) == one.receipt_id.as_ref())?;
    Some(Parcel { delivery: one.id, placed: one.placed, receipt: receipt.clone() })
}

fn placed(id: i64, result: Result<Placed, TransferError>) -> Tried {
    match result {
        Ok(placed) => {
            let attempt = Attempt::new(Outcome::Delivered, format!("Put there as {}", placed.name));
            Tried { delivery: id, attempt, placed: Some(placed) }
        }
        Err(error) => Tried::new(id, Attempt::retry(words(&error))),
    }
}

/// Why it could not be put there, for the administrator.
fn words(error: &TransferError) -> String {
    match error {
        TransferError::Refused(no) => format!("{}: {}", no.rule.name(), no.detail),
        TransferError::NotFound => "The bytes of the file are not there any more".to_owned(),
        other => other.to_string(),
    }
}
