//! Delivers: looks for what is due, with one worker for each lane and at most [`WORKERS_PER_TARGET`] lanes of a target
//! at a time, and records the outcome of each attempt.
//!
//! Always: a lane keeps its order, unless the target says otherwise.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::alerts;
use super::attempt::{Attempt, Outcome};
use super::targets::{Goal, Reach, Tried};
use crate::base::clock::Timestamp;
use crate::base::fault::{self, Point};
use crate::base::human;
use crate::base::id::ReceiptId;
use crate::domain::event::EventKind;
use crate::domain::flow::Target;
use crate::store::Db;
use crate::store::delivery::{self, Attempted, Lane, Next, Pending};
use crate::store::event::Event;
use crate::store::live::{Live, Snapshot};
use crate::store::receipt::{self, Receipt};
use crate::transfer::depot::TransferError;
use crate::transfer::held;

/// Lanes of one target worked on at a time.
pub const WORKERS_PER_TARGET: usize = 2;
/// Lanes worked on at a time, over all targets.
pub const WORKERS_MAX: usize = 64;
/// Deliveries of a lane read together.
pub const BATCH_MAX: i64 = 64;
/// How often to look for lanes with something due.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a lane pauses at most for uploads that come meanwhile.
const ASIDE_MAX: Duration = Duration::from_millis(100);
/// How long a lane is worked on while others may wait for their turn.
const TURN: Duration = Duration::from_secs(2);
/// How long a held-back delivery holds up those behind it. No longer, because either its partner was told that the
/// upload failed, and only the next start finds out what happened to it; or it has a temporary name, and nobody knows
/// for how long.
const HELD_FOR: Duration = Duration::from_mins(1);
/// How long, at a stop, recording interrupted work may take.
const LAST_RECORDS_WITHIN: Duration = Duration::from_secs(5);
/// How long a lane rests at most: then it notices what was made due by hand.
const REST: Duration = Duration::from_secs(1);

/// Which turn a lane had last, and until when it rests, independent of the clock.
type Turns = HashMap<Lane, (u64, Instant)>;

/// The lanes to work on next, busy from now on: those whose last turn was longest ago come first. Otherwise a lane that
/// always has something due would keep its target's workers for itself.
fn next_up(mut lanes: Vec<Lane>, turns: &mut Turns, busy: &mut HashSet<Lane>, now: Instant) -> Vec<Lane> {
    let known: HashSet<&Lane> = lanes.iter().collect();
    turns.retain(|lane, _| known.contains(lane));
    lanes.retain(|lane| turns.get(lane).is_none_or(|(_, until)| *until <= now) && !busy.contains(lane));
    lanes.sort_by_key(|lane| turns.get(lane).map_or(0, |(nth, _)| *nth));
    let mut at_work: HashMap<Target, usize> = HashMap::new();
    for lane in &*busy {
        *at_work.entry(lane.target.clone()).or_default() += 1;
    }
    lanes.retain(|lane| {
        let of_target = at_work.entry(lane.target.clone()).or_default();
        let is_next = *of_target < WORKERS_PER_TARGET && busy.len() < WORKERS_MAX;
        if is_next {
            *of_target += 1;
            busy.insert(lane.clone());
        }
        is_next
    });
    lanes
}

/// The deliveries of a lane to try now, and when the first of the others is due. Held-back ones hold up those behind
/// them.
fn due(pending: Vec<Pending>, in_order: bool, now: Timestamp) -> (Vec<Pending>, Option<Timestamp>) {
    let is_due = |one: &Pending| !one.held && one.next_at <= now;
    let later = pending.iter().find(|one| !is_due(one)).map(|one| one.next_at);
    let due = if in_order {
        pending.into_iter().take_while(is_due).collect()
    } else {
        pending.into_iter().filter(is_due).collect()
    };
    (due, later)
}

/// The signals that stop it.
#[derive(Clone, Debug)]
struct Stops {
    /// Nothing more is started.
    stop: CancellationToken,
    /// Work in progress is broken off.
    cut: CancellationToken,
}

/// The workers and their lanes.
#[derive(Default)]
struct Workers {
    tasks: JoinSet<Instant>,
    /// The lane of each, known even if a worker can no longer report it.
    lanes: HashMap<Id, Lane>,
    busy: HashSet<Lane>,
    turns: Turns,
    nth: u64,
}

impl Workers {
    /// The lanes to work on next; each must be started.
    fn next_up(&mut self, lanes: Vec<Lane>) -> Vec<Lane> {
        next_up(lanes, &mut self.turns, &mut self.busy, Instant::now())
    }

    /// Works on a lane; the work returns until when the lane then rests.
    fn start(&mut self, lane: Lane, work: impl Future<Output = Instant> + Send + 'static) {
        let id = self.tasks.spawn(work).id();
        self.lanes.insert(id, lane);
    }

    /// Waits until one has ended, and frees its lane: one that panics takes no other down with it. Never ends while
    /// nobody works.
    async fn ended(&mut self) {
        let Some(ended) = self.tasks.join_next_with_id().await else { return std::future::pending().await };
        let (id, until) = ended.unwrap_or_else(|error| {
            tracing::error!(%error, "A delivery ended in a way it should not; it is tried again");
            (error.id(), Instant::now() + REST)
        });
        if let Some(lane) = self.lanes.remove(&id) {
            self.busy.remove(&lane);
            self.nth += 1;
            self.turns.insert(lane, (self.nth, until));
        }
    }

    /// Waits until all have ended; `cut` tells them to when `patience` is over.
    async fn all_ended(mut self, cut: &CancellationToken, patience: Duration) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        tokio::pin!(all);
        tokio::select! {
            () = &mut all => return,
            () = tokio::time::sleep(patience) => cut.cancel(),
            () = cut.cancelled() => {}
        }
        if tokio::time::timeout(LAST_RECORDS_WITHIN, all).await.is_err() {
            tracing::error!(
                "What was being delivered could not be recorded in time; it is tried again at the next start"
            );
        }
    }
}

/// Delivers.
#[derive(Clone, Debug)]
pub struct Runner {
    /// Reaches targets.
    pub reach: Reach,
    /// The configuration.
    pub live: Live,
}

impl Runner {
    /// Delivers until told to stop. Work in progress may then end by itself within `patience`, unless the stop is
    /// immediate; after that it is broken off, and retried at the next start.
    pub async fn run(self, (stop, at_once): (CancellationToken, CancellationToken), patience: Duration) {
        let mut workers = Workers::default();
        let stops = Stops { stop: stop.clone(), cut: at_once.child_token() };
        while !stop.is_cancelled() {
            self.start_workers(&mut workers, &stops).await;
            tokio::select! {
                () = workers.ended() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
        workers.all_ended(&stops.cut, patience).await;
    }

    /// Starts a worker for each lane that may have something due and has none yet.
    async fn start_workers(&self, workers: &mut Workers, stops: &Stops) {
        let lanes = match delivery::lanes(self.db()).await {
            Ok(lanes) => lanes,
            Err(error) => {
                tracing::error!(%error, "Could not look for deliveries; it is tried again");
                return;
            }
        };
        for lane in workers.next_up(lanes) {
            let (runner, stops, worked_on) = (self.clone(), stops.clone(), lane.clone());
            workers.start(lane, async move {
                let rest = runner.work(&worked_on, &stops).await.unwrap_or_else(|error| {
                    tracing::error!(%error, "Could not deliver; it is tried again");
                    REST
                });
                Instant::now() + rest
            });
        }
    }

    /// Delivers what is due in a lane, for as long as its turn lasts. Returns how long it then rests.
    async fn work(&self, lane: &Lane, stops: &Stops) -> Result<Duration, TransferError> {
        let turn = Instant::now() + TURN;
        loop {
            if Instant::now() >= turn {
                return Ok(Duration::ZERO);
            }
            let (begun, received) = (Instant::now(), self.reach.depot.recorder.received());
            let snapshot = self.live.snapshot();
            let target = Goal::of(&snapshot, &lane.target);
            if snapshot.rests(&lane.target) {
                return Ok(REST);
            }
            let is_alert = lane.target == Target::AlertMail;
            let in_order = snapshot.keeps_order(&lane.target);
            let most = if is_alert { alerts::TOGETHER_MAX } else { BATCH_MAX };
            let now = self.reach.depot.clock.now();
            let pending = delivery::next(self.db(), lane, !in_order, now.minus(HELD_FOR), most).await?;
            let (mut due, later) = due(pending, in_order, now);
            if due.is_empty() || stops.stop.is_cancelled() {
                // Others may come before the ones waiting now, and held-back ones are released soon.
                return Ok(later.map_or(LOOK_EVERY, |at| at.since(now)).clamp(LOOK_EVERY, REST));
            }
            if !is_alert {
                due.truncate(target.map_or(1, |target| target.at_a_time(in_order)));
            }
            let attempts = tokio::select! {
                // A delivery that has reached its target is recorded as such.
                biased;
                tried = self.tried(&snapshot, target, (lane, &due), in_order) => tried?,
                () = stops.cut.cancelled() => self.broken_off(target, &due, now),
            };
            if attempts.is_empty() {
                return Ok(REST);
            }
            fault::pass(Point::PassTried)?;
            let leaving = delivery::record(self.db(), &attempts).await?;
            fault::pass(Point::PassEnded)?;
            held::leave(&self.reach.depot, &snapshot, &leaving).await?;
            fault::pass(Point::PassLeft)?;
            if self.reach.depot.recorder.received() != received {
                // Uploads wait for a 226, nobody waits for this: meanwhile it uses a third of the time.
                tokio::time::sleep((begun.elapsed() * 2).min(ASIDE_MAX)).await;
            }
        }
    }

    /// Tries each delivery once.
    async fn tried(
        &self,
        snapshot: &Snapshot,
        target: Option<Goal<'_>>,
        (lane, due): (&Lane, &[Pending]),
        in_order: bool,
    ) -> Result<Vec<Attempted>, TransferError> {
        if lane.target != Target::AlertMail {
            return self.attempt(snapshot, target, due, in_order).await;
        }
        let now = self.reach.depot.clock.now();
        let letters = self.reach.alert(snapshot, due).await?;
        let of = |tried| alerts::of_one_letter(self.attempted(snapshot, (None, &[]), (due, tried), now));
        Ok(letters.into_iter().flat_map(of).collect())
    }

    /// The deliveries that a stop broke off, which may have reached their target: the record says so. What goes into a
    /// folder arrives once, however often it is begun.
    fn broken_off(&self, target: Option<Goal<'_>>, due: &[Pending], at: Timestamp) -> Vec<Attempted> {
        if target.is_some_and(Goal::is_folder) {
            return Vec::new();
        }
        let took = self.reach.depot.clock.now().since(at);
        let answer = "Waybill was stopped before the end of it was known; it is done again at the next start";
        let broken_off = |one: &Pending| Attempted {
            delivery: one.id,
            receipt_id: one.receipt_id.clone(),
            at,
            took,
            answer: answer.to_owned(),
            next: Next::Again,
            letter: false,
        };
        due.iter().map(broken_off).collect()
    }

    /// Takes the files over and tries each delivery once.
    async fn attempt(
        &self,
        snapshot: &Snapshot,
        target: Option<Goal<'_>>,
        due: &[Pending],
        in_order: bool,
    ) -> Result<Vec<Attempted>, TransferError> {
        let at = self.reach.depot.clock.now();
        let fails = |one: &Pending, why: &str| Tried::new(one.id, Attempt::retry(why));
        let ids: Vec<ReceiptId> = due.iter().filter_map(|one| one.receipt_id.clone()).collect();
        let receipts;
        let tried: Vec<Tried> = if let Some(target) = target {
            receipts = held::take_over(&self.reach.depot, snapshot, &ids).await?;
            // A file that got a temporary name since the look is held back, and holds up those behind it.
            let waits =
                |found: &Receipt, one: &Pending| !found.taken_over && Some(&found.id) == one.receipt_id.as_ref();
            let is_held = |one: &Pending| receipts.iter().any(|found| waits(found, one));
            let pending = due.iter().cloned().map(|one| Pending { held: is_held(&one), ..one }).collect();
            let (due, _) = &self::due(pending, in_order, at);
            let has_receipt = |one: &&Pending| receipts.iter().any(|found| Some(&found.id) == one.receipt_id.as_ref());
            // A record may be past its retention. An action may concern no received file.
            let gone = due.iter().filter(|one| one.receipt_id.is_some() && !has_receipt(one));
            let gone = gone.map(|one| fails(one, "Its receipt is not there any more")).collect::<Vec<_>>();
            let mut tried = self.reach.attempt(snapshot, target, (due, &receipts), in_order).await;
            tried.retain(|one| gone.iter().all(|other| other.delivery != one.delivery));
            tried.extend(gone);
            tried
        } else {
            receipts = receipt::all_of(self.db(), &ids).await?;
            let first = due.iter().take(if in_order { 1 } else { usize::MAX });
            first.map(|one| fails(one, "What it goes to is not there any more")).collect()
        };
        Ok(self.attempted(snapshot, (target, &receipts), (due, tried), at))
    }

    /// The consequences of each attempt.
    fn attempted(
        &self,
        snapshot: &Snapshot,
        (target, receipts): (Option<Goal<'_>>, &[Receipt]),
        (due, tried): (&[Pending], Vec<Tried>),
        at: Timestamp,
    ) -> Vec<Attempted> {
        let took = self.reach.depot.clock.now().since(at);
        let retries = snapshot.appliance.retries();
        let attempted = tried.into_iter().filter_map(|Tried { delivery, attempt, placed }| {
            let one = due.iter().find(|one| one.id == delivery)?;
            let next = match attempt.outcome {
                Outcome::Delivered => Next::Delivered(placed),
                Outcome::Stopped => Next::Stop,
                Outcome::Retry => match retries.wait(one.failed + 1) {
                    Some(wait) => Next::Retry(at.plus(took).plus(wait)),
                    None => Next::GiveUp(self.given_up(one, target, receipts, &attempt.answer).map(Box::new)),
                },
            };
            let (answer, receipt_id) = (attempt.answer, one.receipt_id.clone());
            Some(Attempted { delivery, receipt_id, at, took, answer, next, letter: false })
        });
        attempted.collect()
    }

    fn db(&self) -> &Db {
        &self.reach.depot.db
    }

    /// The event for a delivery that was given up; for an alert the dashboard shows it.
    fn given_up(&self, one: &Pending, target: Option<Goal<'_>>, receipts: &[Receipt], why: &str) -> Option<Event> {
        let receipt = receipts.iter().find(|receipt| Some(&receipt.id) == one.receipt_id.as_ref());
        let what = receipt.map_or("a file", |receipt| &receipt.stored_path);
        let own = match target {
            Some(Goal::Action(action)) => self.live.written_id(&action.connector_key),
            _ => None,
        };
        let of_file = || receipt.map_or_else(String::new, |receipt| receipt.connector.clone());
        let whose = own.map_or_else(of_file, |id| id.to_string());
        let attempts = human::count(u64::from(one.failed) + 1, "attempt", "attempts");
        let why = why.lines().next().unwrap_or_default();
        let (kind, done) = match target {
            Some(Goal::Action(action)) => {
                let about = receipt.map_or_else(String::new, |_| format!(" for {what}"));
                (EventKind::ActionFailed, format!("an action of {whose}{about} ({})", action.settings.deed()))
            }
            _ if one.receipt_id.is_none() => return None,
            // It would go to the very target that could not be reached.
            Some(Goal::Events(_)) => return None,
            Some(Goal::Connector(to)) => {
                (EventKind::DeliveryFailed, format!("passing {what} of {whose} along to {}", to.id))
            }
            None => (EventKind::DeliveryFailed, format!("passing {what} of {whose} along to a connector that is gone")),
        };
        let summary = format!("Gave up {done} after {attempts}: {why}");
        let event = self.reach.depot.event(kind, summary).of(&whose);
        Some(Event { receipt_id: one.receipt_id.clone(), ..event })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::{EventId, IdSource};

    fn lanes(all: &[(&str, &str)]) -> Vec<Lane> {
        let lane = |(source, target): &(&str, &str)| Lane {
            source_key: (*source).to_owned(),
            target: Target::Connector((*target).to_owned()),
        };
        all.iter().map(lane).collect()
    }

    fn sources(lanes: &[Lane]) -> Vec<&str> {
        lanes.iter().map(|lane| lane.source_key.as_str()).collect()
    }

    #[test]
    fn each_lane_of_a_target_has_its_turn_however_much_is_due_in_the_others() {
        let all = || lanes(&[("a", "archive"), ("b", "archive"), ("c", "archive"), ("d", "archive"), ("a", "erp")]);
        let (mut turns, mut busy, now) = (Turns::new(), HashSet::new(), Instant::now());
        let mut had = Vec::new();
        for nth in 1..=5 {
            let next = next_up(all(), &mut turns, &mut busy, now);
            let ended: Vec<_> = next.into_iter().filter(|lane| lane.target == all()[0].target).collect();
            had.extend(sources(&ended).into_iter().map(str::to_owned));
            for lane in ended {
                busy.remove(&lane);
                // There is more due at once.
                turns.insert(lane, (nth, now));
            }
        }
        assert_eq!(had, ["a", "b", "c", "d", "a", "b", "c", "d", "a", "b"]);
        assert_eq!(busy.len(), 1, "another target's lane has a worker of its own");
    }

    #[test]
    fn what_is_held_back_holds_up_those_behind_it_where_the_order_is_kept() {
        let ids = IdSource::random(Clock::System);
        let one = |id: i64, held: bool| Pending {
            id,
            event_id: EventId::new(&ids),
            receipt_id: None,
            attempts: 0,
            failed: 0,
            next_at: Timestamp::from_us(1_000),
            held,
            placed: false,
        };
        let numbers = |in_order: bool| {
            let pending = vec![one(1, false), one(2, true), one(3, false)];
            let (due, later) = due(pending, in_order, Timestamp::from_us(1_000));
            (due.iter().map(|one| one.id).collect::<Vec<_>>(), later.is_some())
        };
        assert_eq!(numbers(true), (vec![1], true));
        assert_eq!(numbers(false), (vec![1, 3], true));
    }

    #[test]
    fn a_lane_that_rests_or_is_worked_on_has_no_turn_and_one_that_is_empty_is_forgotten() {
        let all = lanes(&[("a", "archive"), ("b", "archive"), ("c", "archive")]);
        let now = Instant::now();
        let later = now + REST;
        let mut turns: Turns = [(all[0].clone(), (1, later)), (lanes(&[("x", "y")])[0].clone(), (2, now))].into();
        let mut busy = HashSet::from([all[1].clone()]);
        assert_eq!(sources(&next_up(all.clone(), &mut turns, &mut busy, now)), ["c"]);
        assert_eq!((turns.len(), busy.len()), (1, 2));
        assert!(next_up(all.clone(), &mut turns, &mut busy, later).is_empty(), "two workers are enough");
        let many: Vec<_> = (0..WORKERS_MAX + 9).map(|n| (format!("s{n}"), format!("t{n}"))).collect();
        let many: Vec<_> = many.iter().map(|(source, target)| (source.as_str(), target.as_str())).collect();
        let next = next_up(lanes(&many), &mut Turns::new(), &mut HashSet::new(), now);
        assert_eq!(next.len(), WORKERS_MAX);
    }

    #[tokio::test]
    async fn what_is_under_way_at_a_stop_has_its_time_and_then_is_told_to_end() {
        let under_way = |ends: Duration| {
            let (mut workers, cut) = (Workers::default(), CancellationToken::new());
            let [lane] = <[Lane; 1]>::try_from(workers.next_up(lanes(&[("a", "erp")]))).unwrap();
            let told = cut.clone();
            workers.start(lane, async move {
                tokio::select! {
                    () = told.cancelled() => {}
                    () = tokio::time::sleep(ends) => {}
                }
                Instant::now()
            });
            (workers, cut)
        };
        let (workers, cut) = under_way(Duration::from_millis(50));
        workers.all_ended(&cut, LAST_RECORDS_WITHIN).await;
        assert!(!cut.is_cancelled(), "it ended by itself");
        for (patience, at_once) in [(Duration::from_millis(50), false), (Duration::from_mins(1), true)] {
            let (workers, cut) = under_way(Duration::from_mins(1));
            if at_once {
                cut.cancel();
            }
            let asked = Instant::now();
            workers.all_ended(&cut, patience).await;
            assert!(cut.is_cancelled() && asked.elapsed() < LAST_RECORDS_WITHIN);
        }
    }

    #[tokio::test]
    async fn a_delivery_that_panics_frees_its_own_lane_and_cuts_off_no_other() {
        let mut workers = Workers::default();
        let (go, told) = tokio::sync::oneshot::channel::<()>();
        let (done, is_done) = tokio::sync::oneshot::channel::<()>();
        let [broken, whole] = <[Lane; 2]>::try_from(workers.next_up(lanes(&[("a", "erp"), ("b", "erp")]))).unwrap();
        workers.start(broken.clone(), async { panic!("as a test wants it") });
        workers.start(whole.clone(), async move {
            told.await.unwrap();
            done.send(()).unwrap();
            Instant::now()
        });
        workers.ended().await;
        assert_eq!(workers.busy, HashSet::from([whole]));
        assert!(workers.turns[&broken].1 > Instant::now(), "it rests before it is tried again");
        go.send(()).unwrap();
        workers.ended().await;
        is_done.await.unwrap();
        assert!(workers.busy.is_empty() && workers.lanes.is_empty());
    }
}
