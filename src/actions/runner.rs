//! Who delivers: looks for what is due, one worker for each lane, at most [`WORKERS_PER_TARGET`] lanes of a target at a
//! time, and records what came of each attempt.
//!
//! Always: within a lane the order is kept, unless the target says otherwise.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::base::clock::Timestamp;
use crate::base::fault::{self, Point};
use crate::base::id::ReceiptId;
use crate::domain::connector::Connector;
use crate::domain::event::EventKind;
use crate::domain::flow::Target;
use crate::store::delivery::{self, Attempted, Lane, Next, Pending, Placed};
use crate::store::event::Event;
use crate::store::live::{Live, Snapshot};
use crate::store::receipt::Receipt;
use crate::transfer::depot::{Depot, TransferError};
use crate::transfer::held;
use crate::transfer::passing::{self, Parcel};

/// Lanes of one target that are worked on at a time.
pub const WORKERS_PER_TARGET: usize = 2;
/// Lanes that are worked on at a time, of all targets.
pub const WORKERS_MAX: usize = 64;
/// Deliveries of a lane that are put into a folder together: they share syncs and commits.
pub const BATCH_MAX: i64 = 64;
/// How often it is looked for lanes that have something due.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a lane rests at most: what is made due by hand is seen then.
const REST: Duration = Duration::from_secs(1);

/// Delivers.
#[derive(Clone, Debug)]
pub struct Runner {
    /// The services of every transfer.
    pub depot: Depot,
    /// The configuration.
    pub live: Live,
}

impl Runner {
    /// Delivers until told to stop; what is under way then ends first.
    pub async fn run(self, stop: CancellationToken) {
        let mut working: JoinSet<(Lane, Timestamp)> = JoinSet::new();
        let mut busy: HashSet<Lane> = HashSet::new();
        let mut rest: HashMap<Lane, Timestamp> = HashMap::new();
        while !stop.is_cancelled() {
            self.start_workers(&mut working, &mut busy, &mut rest, &stop).await;
            tokio::select! {
                Some(done) = working.join_next(), if !working.is_empty() => match done {
                    Ok((lane, until)) => {
                        busy.remove(&lane);
                        rest.insert(lane, until);
                    }
                    Err(error) => {
                        tracing::error!(%error, "A delivery ended in a way it should not");
                        busy.clear();
                        working.shutdown().await;
                    }
                },
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
        while working.join_next().await.is_some() {}
    }

    /// A worker for each lane that may have something due and has none yet.
    async fn start_workers(
        &self,
        working: &mut JoinSet<(Lane, Timestamp)>,
        busy: &mut HashSet<Lane>,
        rest: &mut HashMap<Lane, Timestamp>,
        stop: &CancellationToken,
    ) {
        let now = self.depot.clock.now();
        rest.retain(|_, until| *until > now);
        let lanes = match delivery::lanes(&self.depot.db).await {
            Ok(lanes) => lanes,
            Err(error) => {
                tracing::error!(%error, "Could not look for deliveries; it is tried again");
                return;
            }
        };
        for lane in lanes {
            let of_target = busy.iter().filter(|other| other.target == lane.target).count();
            if busy.len() >= WORKERS_MAX {
                return;
            }
            if of_target >= WORKERS_PER_TARGET || rest.contains_key(&lane) || !busy.insert(lane.clone()) {
                continue;
            }
            let (runner, stop) = (self.clone(), stop.clone());
            working.spawn(async move {
                let until = match runner.work(&lane, &stop).await {
                    Ok(until) => until,
                    Err(error) => {
                        tracing::error!(%error, "Could not deliver; it is tried again");
                        runner.depot.clock.now().plus(REST)
                    }
                };
                (lane, until)
            });
        }
    }

    /// Delivers what is due in a lane. Gives when to look again.
    async fn work(&self, lane: &Lane, stop: &CancellationToken) -> Result<Timestamp, TransferError> {
        loop {
            let snapshot = self.live.snapshot();
            let target = match &lane.target {
                Target::Connector(key) => snapshot.connectors.get(key).map(|live| &live.connector),
            };
            let in_order = target.is_none_or(|target| target.settings.keep_order);
            let pending = delivery::next(&self.depot.db, lane, !in_order, BATCH_MAX).await?;
            let now = self.depot.clock.now();
            let is_due = |one: &Pending| !one.held && one.next_at <= now;
            let later = pending.iter().find(|one| !is_due(one)).map(|one| one.next_at);
            let due: Vec<_> = if in_order {
                pending.into_iter().take_while(is_due).collect()
            } else {
                pending.into_iter().filter(is_due).collect()
            };
            if due.is_empty() || stop.is_cancelled() {
                // Others may come before what waits now, and what is held back is released soon.
                return Ok(later.unwrap_or(now).max(now.plus(LOOK_EVERY)).min(now.plus(REST)));
            }
            let attempts = self.attempt(&snapshot, target, &due, in_order).await?;
            if attempts.is_empty() {
                return Ok(now.plus(REST));
            }
            let leaving = delivery::record(&self.depot.db, &attempts).await?;
            fault::pass(Point::PassEnded)?;
            held::leave(&self.depot, &snapshot, &leaving).await?;
            fault::pass(Point::PassLeft)?;
        }
    }

    async fn attempt(
        &self,
        snapshot: &Snapshot,
        target: Option<&Connector>,
        due: &[Pending],
        in_order: bool,
    ) -> Result<Vec<Attempted>, TransferError> {
        let at = self.depot.clock.now();
        let not_now = match target {
            None => Some("The connector it goes to is not there any more".to_owned()),
            Some(target) if !target.settings.enabled => Some(format!("{} is disabled", target.id)),
            Some(_) => None,
        };
        let was_open = target.is_some() && not_now.is_none();
        let mut receipts = Vec::new();
        let mut results: Vec<(i64, Result<Placed, String>)> = match (target, not_now) {
            (Some(target), None) => {
                receipts = self.take_over(snapshot, due).await?;
                let parcels: Vec<_> = due.iter().filter_map(|one| parcel(one, &receipts)).collect();
                let put = passing::put(&self.depot, snapshot, target, &parcels, in_order).await;
                put.into_iter().map(|(id, result)| (id, result.map_err(|error| words(&error)))).collect()
            }
            (_, why) => {
                let why = why.unwrap_or_default();
                due.iter().take(if in_order { 1 } else { usize::MAX }).map(|one| (one.id, Err(why.clone()))).collect()
            }
        };
        // What has no receipt any more cannot be delivered.
        let gone = |one: &&Pending| was_open && parcel(one, &receipts).is_none();
        results
            .extend(due.iter().filter(gone).map(|one| (one.id, Err("Its receipt is not there any more".to_owned()))));
        let took = self.depot.clock.now().since(at);
        let retries = snapshot.appliance.retries();
        let attempted = results.into_iter().filter_map(|(id, result)| {
            let one = due.iter().find(|one| one.id == id)?;
            let (answer, next) = match result {
                Ok(placed) => (format!("Put there as {}", placed.name), Next::Delivered(Some(placed))),
                Err(why) => {
                    let next = match retries.wait(one.failed + 1) {
                        Some(wait) => Next::Retry(at.plus(took).plus(wait)),
                        None => Next::GiveUp(Box::new(self.given_up(one, target, &receipts, &why))),
                    };
                    (why, next)
                }
            };
            Some(Attempted { delivery: id, receipt_id: one.receipt_id.clone(), at, took, answer, next })
        });
        Ok(attempted.collect())
    }

    /// Their files, with the names they have from now on.
    async fn take_over(&self, snapshot: &Snapshot, due: &[Pending]) -> Result<Vec<Receipt>, TransferError> {
        let ids: Vec<ReceiptId> = due.iter().filter_map(|one| one.receipt_id.clone()).collect();
        held::take_over(&self.depot, snapshot, &ids).await
    }

    fn given_up(&self, one: &Pending, target: Option<&Connector>, receipts: &[Receipt], why: &str) -> Event {
        let receipt = receipts.iter().find(|receipt| Some(&receipt.id) == one.receipt_id.as_ref());
        let (what, whose) = receipt.map_or(("a file", ""), |receipt| (&receipt.stored_path, &receipt.connector));
        let to = target.map_or("a connector that is gone", |target| target.id.as_str());
        let attempts = crate::base::human::count(u64::from(one.failed) + 1, "attempt", "attempts");
        let summary = format!("Gave up passing {what} of {whose} along to {to} after {attempts}: {why}");
        let mut event = Event::new(&self.depot.ids, EventKind::DeliveryFailed, self.depot.clock.now(), summary);
        whose.clone_into(&mut event.connector);
        event.receipt_id.clone_from(&one.receipt_id);
        event
    }
}

fn parcel(one: &Pending, receipts: &[Receipt]) -> Option<Parcel> {
    let receipt = receipts.iter().find(|receipt| Some(&receipt.id) == one.receipt_id.as_ref())?;
    Some(Parcel { delivery: one.id, placed: one.placed, receipt: receipt.clone() })
}

/// Why it could not be put there, for the administrator.
fn words(error: &TransferError) -> String {
    match error {
        TransferError::Refused(no) => format!("{}: {}", no.rule.name(), no.detail),
        TransferError::NotFound => "The bytes of the file are not there any more".to_owned(),
        other => other.to_string(),
    }
}
