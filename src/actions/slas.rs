//! Determines the states of the windows of SLAs, and announces each change once: *at risk*, *violated*, *late*, and
//! *met* after it was at risk. What happened while Waybill did not run is announced afterwards, and marked so.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::id::IdSource;
use crate::domain::event::EventKind;
use crate::domain::sla::{Counts, Sla, SlaSettings, State, Window};
use crate::store::event::Event;
use crate::store::live::{Live, Snapshot};
use crate::store::sla::{self, Stand, StoredSla};
use crate::store::{Db, StoreError};
use crate::transfer::depot::Depot;

/// How often to look: the most by which a notice is late.
pub const EVERY: Duration = Duration::from_secs(10);
/// Windows judged in one look at one SLA; after a long pause the rest follows with the next looks.
const WINDOWS_MAX: usize = 2_000;
/// A file may be committed a moment after it was complete: a window is judged only after that.
const MARGIN: Duration = Duration::from_secs(5);
/// An unchanged state is written this often.
const WRITE_EVERY: Duration = Duration::from_mins(10);
/// A change announced later than this counts as announced afterwards.
const IN_TIME: Duration = Duration::from_mins(2);

/// Looks, for ever.
pub async fn run(depot: Depot, live: Live) {
    loop {
        if let Err(error) = look(&depot.db, &live.snapshot(), &depot.ids, depot.clock.now()).await {
            tracing::error!(%error, "Could not look after SLAs; it is tried again");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Looks at every SLA.
pub async fn look(db: &Db, snapshot: &Snapshot, ids: &IdSource, now: Timestamp) -> Result<(), StoreError> {
    let now = now.minus(MARGIN);
    for stored in sla::all(db).await? {
        let Some(live) = snapshot.connectors.get(&stored.connector_key) else { continue };
        match SlaSettings::parse(&stored.texts) {
            Ok((settings, due)) => {
                let whose = Whose { connector: live.connector.id.as_str(), stored: &stored, settings: &settings };
                look_at(db, &whose, &due, ids, now).await?;
            }
            // Saved by a version that accepted it; the page shows what is wrong.
            Err(mistakes) => tracing::warn!(sla.id = stored.id, "An SLA cannot be judged: {}", mistakes[0]),
        }
    }
    Ok(())
}

struct Whose<'a> {
    connector: &'a str,
    stored: &'a StoredSla,
    settings: &'a SlaSettings,
}

async fn look_at(db: &Db, whose: &Whose<'_>, due: &Sla, ids: &IdSource, now: Timestamp) -> Result<(), StoreError> {
    let stored = whose.stored;
    // The clock may have been set back since.
    let looked_before = stored.looked_at.min(now);
    let from = looked_before.minus(due.grace);
    let known = sla::windows(db, &stored.id, from, now).await?;
    let (mut stands, mut notices) = (Vec::new(), Vec::new());
    let mut looked_at = now;
    for (count, window) in due.schedule.between(from, now.plus(Duration::from_micros(1))).enumerate() {
        if window.start < stored.made_at || due.settled_at(window) <= looked_before {
            continue;
        }
        let before = known.iter().find(|one| one.window == window);
        let was = before.map_or(State::Pending, |one| one.state);
        // A window violated by a clock that was ahead may still be met.
        if was.is_final() && was != State::Violated {
            continue;
        }
        if count >= WINDOWS_MAX {
            // The rest with the next look.
            looked_at = window.start.max(looked_before);
            break;
        }
        let counts = counts(db, whose, due, window, now).await?;
        let state = due.state(window, counts, now);
        let files = counts.in_window + counts.in_grace;
        let is_told = before.is_some_and(|one| one.state == state && one.files == files);
        if is_told || is_earlier(state, was) {
            continue;
        }
        let afterwards = state == State::Violated && now.since(due.settled_at(window)) > IN_TIME;
        let changed_at = before.filter(|one| one.state == state).map_or(now, |one| one.changed_at);
        stands.push(Stand { window, state, files, changed_at, afterwards });
        if state != was
            && let Some(kind) = told_as(was, state)
        {
            notices.push(notice(whose, (window, files, afterwards), kind, ids, now));
        }
    }
    let is_written = looked_at >= stored.looked_at && looked_at.since(stored.looked_at) < WRITE_EVERY;
    if stands.is_empty() && is_written {
        return Ok(());
    }
    sla::looked(db, &stored.id, &stands, &notices, looked_at).await
}

/// Whether `state` precedes the one announced, by a clock that was ahead. It is announced once.
const fn is_earlier(state: State, told: State) -> bool {
    matches!((state, told), (State::Pending, State::AtRisk | State::Violated) | (State::AtRisk, State::Violated))
}

/// The event that announces a change; most windows are met silently.
const fn told_as(was: State, state: State) -> Option<EventKind> {
    match (was, state) {
        (_, State::AtRisk) => Some(EventKind::SlaAtRisk),
        (_, State::Violated) => Some(EventKind::SlaViolated),
        (_, State::Late) => Some(EventKind::SlaLate),
        (State::AtRisk | State::Violated, State::Met) => Some(EventKind::SlaMet),
        _ => None,
    }
}

fn notice(
    whose: &Whose<'_>,
    (window, files, afterwards): (Window, u64, bool),
    kind: EventKind,
    ids: &IdSource,
    now: Timestamp,
) -> Event {
    let due = whose.settings.at_least.get();
    let end = crate::domain::sla::shown(window.end, &whose.settings.zone);
    let so_far = format!("{files} of {due}");
    let what = match kind {
        EventKind::SlaAtRisk => format!("at risk: {so_far} by now, due by {end}"),
        EventKind::SlaViolated => format!("violated: {so_far} by {end}"),
        EventKind::SlaLate => format!("met late: {so_far}, the last after {end}"),
        _ => format!("met after all: {so_far} by {end}"),
    };
    let afterwards = if afterwards { " (found afterwards: Waybill did not run then)" } else { "" };
    let summary = format!("SLA of {} {what}. {}{afterwards}", whose.connector, whose.settings.in_words());
    Event::new(ids, kind, now, summary).of(whose.connector)
}

/// Files that count, up to the number due.
async fn counts(db: &Db, whose: &Whose<'_>, due: &Sla, window: Window, now: Timestamp) -> Result<Counts, StoreError> {
    let mut counts = Counts::default();
    let most = due.at_least.get();
    let until = due.settled_at(window).min(now.plus(Duration::from_micros(1)));
    let within = Window { start: window.start, end: until };
    let whose = (whose.stored.connector_key.as_str(), whose.connector);
    sla::each_counting(db, whose, due, within, |one| {
        if one.at < window.end {
            counts.in_window += 1;
        } else {
            counts.in_grace += 1;
        }
        if counts.in_window + counts.in_grace >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .await?;
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::ReceiptId;
    use crate::domain::connector::ConnectorId;
    use crate::domain::setting::Texts;
    use crate::store::commit::{Published, Received, Recorder};
    use crate::store::receipt::Receipt;
    use crate::store::setting::Change;
    use crate::store::{connector, event};

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    struct Desk {
        _folder: tempfile::TempDir,
        db: Db,
        live: Live,
        ids: IdSource,
        recorder: Recorder,
    }

    impl Desk {
        /// "At least 1 file received by 09:00 Mon–Fri, warn 30 minutes before", in Berlin, plus the given settings.
        async fn with(pairs: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let db = Db::open(folder.path()).await.unwrap();
            let ids = IdSource::random(Clock::System);
            let change = Change { who: "test", remote: "", at: at("2026-11-22T00:00:00Z"), ids: &ids };
            let id = ConnectorId::parse("Acme").unwrap();
            connector::add(&db, &id, &Texts::new(), None, &change).await.unwrap();
            let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            let texts: Texts = [("zone", "Europe/Berlin")].iter().chain(pairs).map(own).collect();
            sla::put(&db, "s1", &id, &texts, &change).await.unwrap();
            let live = Live::open(db.clone(), Clock::System).await.unwrap();
            let (recorder, writer) = Recorder::new(db.clone());
            tokio::spawn(writer.run());
            Self { _folder: folder, db, live, ids, recorder }
        }

        async fn look(&self, now: &str) {
            look(&self.db, &self.live.snapshot(), &self.ids, at(now).plus(MARGIN)).await.unwrap();
        }

        async fn receives(&self, name: &str, size_bytes: u64, when: &str) {
            let id = ReceiptId::new(&self.ids);
            let path = format!("/Receive/{name}");
            let receipt = Receipt {
                id: id.clone(),
                name: name.to_owned(),
                client_path: path.clone(),
                stored_path: path.clone(),
                size_bytes,
                ..Receipt::sample(&self.ids, "Acme", at(when))
            };
            let received = Received::of(receipt, &self.ids);
            let published = Published::of(&received.receipt, received.event_id.clone());
            self.recorder.receive(received).await.unwrap();
            self.recorder.publish(published).await;
            self.recorder.flush().await.unwrap();
        }

        /// The notices so far, oldest first.
        async fn told(&self) -> Vec<String> {
            let all = event::oldest_first(&self.db, None, Timestamp::from_us(0), None, 100).await.unwrap();
            let slas = all.into_iter().filter(|one| one.kind.name().starts_with("sla_"));
            slas.map(|one| format!("{}: {}", one.kind.name(), one.summary.split(". ").next().unwrap())).collect()
        }
    }

    #[tokio::test]
    async fn one_notice_at_risk_and_one_when_violated_however_often_it_is_looked() {
        let desk = Desk::with(&[]).await;
        for now in ["2026-11-23T06:00:00Z", "2026-11-23T07:29:59Z"] {
            desk.look(now).await;
        }
        assert!(desk.told().await.is_empty(), "at 8:29:59 there is time yet");
        for now in ["2026-11-23T07:30:00Z", "2026-11-23T07:45:00Z", "2026-11-23T07:59:59Z"] {
            desk.look(now).await;
        }
        let at_risk = "sla_at_risk: SLA of Acme at risk: 0 of 1 by now, due by Mon 23 Nov 09:00";
        assert_eq!(desk.told().await, [at_risk]);
        for now in ["2026-11-23T08:00:00Z", "2026-11-23T08:00:10Z", "2026-11-23T20:00:00Z"] {
            desk.look(now).await;
        }
        let violated = "sla_violated: SLA of Acme violated: 0 of 1 by Mon 23 Nov 09:00";
        assert_eq!(desk.told().await, [at_risk, violated]);
    }

    #[tokio::test]
    async fn a_file_in_time_ends_the_risk_and_one_without_a_byte_or_too_late_does_not_count() {
        let desk = Desk::with(&[("names", "*.x12"), ("grace_min", "60")]).await;
        desk.receives("empty.x12", 0, "2026-11-23T06:00:00Z").await;
        desk.receives("other.edi", 9, "2026-11-23T06:00:00Z").await;
        desk.look("2026-11-23T07:40:00Z").await;
        desk.receives("po.x12", 9, "2026-11-23T07:59:59Z").await;
        desk.look("2026-11-23T08:00:00Z").await;
        assert_eq!(desk.told().await[1..], ["sla_met: SLA of Acme met after all: 1 of 1 by Mon 23 Nov 09:00"]);
        // The next day's comes in the grace.
        desk.look("2026-11-24T07:40:00Z").await;
        desk.receives("po2.x12", 9, "2026-11-24T08:00:00Z").await;
        desk.look("2026-11-24T08:00:10Z").await;
        assert_eq!(desk.told().await[3..], ["sla_late: SLA of Acme met late: 1 of 1, the last after Tue 24 Nov 09:00"]);
    }

    #[tokio::test]
    async fn what_happened_while_nobody_looked_is_told_afterwards_once() {
        let desk = Desk::with(&[]).await;
        desk.look("2026-11-23T05:00:00Z").await;
        desk.receives("tuesday.edi", 9, "2026-11-24T06:00:00Z").await;
        // Nobody looked from Monday to Saturday.
        for now in ["2026-11-28T12:00:00Z", "2026-11-28T12:00:10Z"] {
            desk.look(now).await;
        }
        let told = desk.told().await;
        let days: Vec<_> = told.iter().map(|one| one.split(" by ").nth(1).unwrap()).collect();
        assert_eq!(days, ["Mon 23 Nov 09:00", "Wed 25 Nov 09:00", "Thu 26 Nov 09:00", "Fri 27 Nov 09:00"]);
        assert!(told.iter().all(|one| one.starts_with("sla_violated")));
        let all =
            event::oldest_first(&desk.db, Some(EventKind::SlaViolated), at("2026-11-23T00:00:00Z"), None, 9).await;
        assert!(all.unwrap()[0].summary.ends_with("(found afterwards: Waybill did not run then)"));
        let windows =
            sla::windows(&desk.db, "s1", at("2026-11-23T00:00:00Z"), at("2026-11-28T00:00:00Z")).await.unwrap();
        let states: Vec<_> = windows.iter().map(|one| one.state).collect();
        assert_eq!(states, [State::Violated, State::Met, State::Violated, State::Violated, State::Violated]);
    }

    #[tokio::test]
    async fn after_the_clock_was_ahead_each_window_is_judged_by_what_comes_and_each_state_told_once() {
        let desk = Desk::with(&[]).await;
        for now in ["2026-11-23T05:00:00Z", "2026-11-24T12:00:00Z"] {
            desk.look(now).await;
        }
        let violated = |day: &str| format!("sla_violated: SLA of Acme violated: 0 of 1 by {day} 09:00");
        let too_soon = [violated("Mon 23 Nov"), violated("Tue 24 Nov")];
        assert_eq!(desk.told().await, too_soon);
        for now in ["2026-11-23T05:01:00Z", "2026-11-23T07:40:00Z"] {
            desk.look(now).await;
        }
        desk.receives("po.edi", 9, "2026-11-23T07:50:00Z").await;
        for now in ["2026-11-23T07:50:10Z", "2026-11-23T09:00:00Z", "2026-11-24T07:40:00Z", "2026-11-24T09:00:00Z"] {
            desk.look(now).await;
        }
        let mut told = desk.told().await;
        told.retain(|one| !too_soon.contains(one));
        assert_eq!(told, ["sla_met: SLA of Acme met after all: 1 of 1 by Mon 23 Nov 09:00"]);
        assert_eq!(desk.told().await.len(), 3, "each once");
        // Another notice for Tuesday would come here; Wednesday's are as usual.
        desk.look("2026-11-25T09:00:00Z").await;
        assert_eq!(desk.told().await.last(), Some(&violated("Wed 25 Nov")));
    }

    #[tokio::test]
    async fn a_window_that_began_before_the_sla_was_made_is_not_judged() {
        let desk = Desk::with(&[]).await;
        // On Monday at half past one in Berlin, within the window that began at midnight.
        let made_later = Change { who: "test", remote: "", at: at("2026-11-23T00:30:00Z"), ids: &desk.ids };
        let texts = Texts::from([("zone".to_owned(), "Europe/Berlin".to_owned())]);
        let acme = ConnectorId::parse("Acme").unwrap();
        sla::put(&desk.db, "s2", &acme, &texts, &made_later).await.unwrap();
        desk.look("2026-11-23T09:00:00Z").await;
        assert!(
            sla::windows(&desk.db, "s2", at("2026-11-22T00:00:00Z"), at("2026-11-30T00:00:00Z"))
                .await
                .unwrap()
                .is_empty()
        );
    }
}
