//! Watches what nothing reports by itself: many refusals of one partner, a partner that stays away, and an expiring
//! certificate that a partner's own alerts should announce. Each is announced once until it is over.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::access::certificate::{Certificates, Expiring};
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::domain::event::EventKind;
use crate::domain::value::Whole;
use crate::store::live::{Live, Snapshot};
use crate::store::{StoreError, refusal, watched};
use crate::transfer::depot::Depot;
use crate::transfer::presence::Presence;

/// How often to check.
const EVERY: Duration = Duration::from_mins(1);
/// The prefix of its items.
const EXPIRING: &str = "expiring:";
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
/// Pairs of connector and rule that are counted, most frequent first.
const COUNTED_MAX: i64 = 10_000;

/// Checks, for ever.
pub async fn run(depot: Depot, live: Live, presence: Presence, certificates: Certificates) {
    let mut seen_at = None;
    loop {
        let (snapshot, now) = (live.snapshot(), depot.clock.now());
        if let Err(error) = refusals(&depot, &snapshot, now).await {
            tracing::error!(%error, "Could not count refusals; it is tried again");
        }
        if let Err(error) = expiring(&depot, &snapshot, &certificates.warnings_to_partners(now)).await {
            tracing::error!(%error, "Could not tell partners' alerts of certificates; it is tried again");
        }
        // The clock may be set back.
        if seen_at.is_none_or(|at: Instant| at.elapsed() >= HOUR) {
            let live: Vec<_> = presence.sessions().into_iter().filter_map(|one| one.doing.connector.clone()).collect();
            match not_seen(&depot, &snapshot, &live, now).await {
                Ok(()) => seen_at = Some(Instant::now()),
                Err(error) => tracing::error!(%error, "Could not look who has not come; it is tried again"),
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Announces each partner that was refused unusually often in the last hour. It is over at half of that.
async fn refusals(depot: &Depot, snapshot: &Snapshot, now: Timestamp) -> Result<(), StoreError> {
    let told = watched::all(&depot.db).await?;
    let mut counted: HashMap<String, (u64, &'static str)> = HashMap::new();
    for one in refusal::frequent(&depot.db, now.minus(HOUR), COUNTED_MAX).await? {
        // The most frequent rule comes first.
        let entry = counted.entry(one.connector.to_ascii_lowercase()).or_insert((0, one.rule.label()));
        entry.0 += one.times;
    }
    for live in snapshot.partners() {
        let id = &live.connector.id;
        let own = live.connector.settings.own_alerts().and_then(|own| own.alert_refusals_per_hour);
        let most = own.or(snapshot.appliance.alert_refusals_per_hour).map(Whole::get);
        let item = format!("refusals:{}", id.key());
        let (times, rule) = counted.get(id.key()).copied().unwrap_or_default();
        let is_many = most.is_some_and(|most| times > most);
        let is_over = most.is_none_or(|most| times <= most / 2);
        if is_many && !told.contains_key(&item) {
            let times = human::count(times, "time", "times");
            let summary = format!("{id} was refused {times} in the last hour, most of them: {rule}");
            watched::tell(
                &depot.db,
                &item,
                &depot.event(EventKind::RefusalsMany, summary).of(live.connector.id.as_str()),
            )
            .await?;
        } else if is_over && told.contains_key(&item) {
            watched::end(&depot.db, &item).await?;
        }
    }
    Ok(())
}

/// Announces each enabled partner that has not signed in for longer than allowed. It is over when the partner comes.
async fn not_seen(depot: &Depot, snapshot: &Snapshot, live: &[String], now: Timestamp) -> Result<(), StoreError> {
    let known = watched::all(&depot.db).await?;
    for seen in watched::seen(&depot.db, now).await? {
        let Some(own) = snapshot.partner(&seen.connector_key).map(|live| &live.connector) else { continue };
        let (told, kept) = (format!("not_seen:{}", own.id.key()), format!("seen:{}", own.id.key()));
        let is_here = live.iter().any(|id| *id == own.id.as_str());
        let before = known.get(&kept).copied();
        // A future time was recorded while the clock was ahead: the partner was here by now at the latest. A time
        // before the connector was made belongs to an earlier one of its name.
        let last = if is_here { Some(now) } else { seen.last.max(before.map(|before| before.min(now))) };
        let last = last.filter(|last| *last >= seen.made_at);
        if let Some(last) = last.filter(|last| Some(*last) != before) {
            watched::put(&depot.db, &kept, last).await?;
        }
        let days = own.settings.own_alerts().and_then(|own| own.alert_not_seen_days);
        let days = days.or(snapshot.appliance.alert_not_seen_days);
        let since = last.unwrap_or(seen.made_at);
        let is_missed = own.valid_at(now).is_ok()
            && days.is_some_and(|days| now.since(since) > DAY * u32::try_from(days.get()).unwrap_or(u32::MAX));
        if is_missed && !known.contains_key(&told) {
            let ever = if last.is_some() { "since" } else { "ever; it was added" };
            let summary = format!("{} has not signed in {ever} {}", own.id, human::ago(since, now));
            watched::tell(&depot.db, &told, &depot.event(EventKind::PartnerNotSeen, summary).of(own.id.as_str()))
                .await?;
        } else if !is_missed && known.contains_key(&told) {
            watched::end(&depot.db, &told).await?;
        }
    }
    Ok(())
}

/// Tells those whose own alerts cover it that a certificate expires, once for each urgency. It is over when the
/// certificate is no longer presented, or the alert is removed.
async fn expiring(depot: &Depot, snapshot: &Snapshot, all: &[Expiring]) -> Result<(), StoreError> {
    let known = watched::all(&depot.db).await?;
    let mut current = HashSet::new();
    for live in snapshot.partners() {
        let own = live.connector.settings.own_alerts();
        if own.and_then(|own| own.alert_on.tells(EventKind::CertificateExpiring)) != Some(true) {
            continue;
        }
        let id = &live.connector.id;
        for one in all {
            let item = format!("{EXPIRING}{}:{}:{}", id.key(), one.sha256, one.urgency.name());
            if !known.contains_key(&item) {
                let summary = format!("{one}. It is presented to {id}");
                let event = depot.event(EventKind::CertificateExpiring, summary).of(id.as_str());
                watched::tell(&depot.db, &item, &event).await?;
            }
            current.insert(item);
        }
    }
    for item in known.keys().filter(|item| item.starts_with(EXPIRING) && !current.contains(*item)) {
        watched::end(&depot.db, item).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::{RefusalId, SessionId};
    use crate::domain::connector::ConnectorId;
    use crate::domain::refusal::Rule;
    use crate::domain::setting::Texts;
    use crate::store::refusal::Refusal;
    use crate::store::session::{Session, SessionEnd, Tally};
    use crate::store::setting::Change;
    use crate::store::{connector, event as events, profile};

    struct Desk {
        _folder: tempfile::TempDir,
        depot: Depot,
        live: Live,
        now: Timestamp,
    }

    impl Desk {
        /// A partner `Acme`, made now, and these settings.
        async fn with(settings: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let depot = Depot::for_tests(folder.path(), Clock::System).await;
            let now = depot.clock.now();
            let change = Change { who: "test", remote: "", at: now, ids: &depot.ids };
            let texts = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            profile::save_appliance(&depot.db, &texts, None, &change).await.unwrap();
            let id = ConnectorId::parse("Acme").unwrap();
            connector::add(&depot.db, &id, &Texts::new(), None, &change).await.unwrap();
            let live = Live::open(depot.db.clone(), Clock::System).await.unwrap();
            Self { _folder: folder, depot, live, now }
        }

        async fn told(&self) -> Vec<String> {
            let all = events::oldest_first(&self.depot.db, None, Timestamp::default(), None, 100).await.unwrap();
            all.into_iter().map(|event| format!("{} {}", event.kind.name(), event.summary)).collect()
        }

        async fn refused(&self, rule: Rule, remote: &str) {
            let refusal = Refusal {
                id: RefusalId::new(&self.depot.ids),
                rule,
                connector: "Acme".to_owned(),
                remote: remote.to_owned(),
                command: String::new(),
                reply: String::new(),
                detail: String::new(),
                transcript: String::new(),
                session_id: String::new(),
                first_at: self.now,
                last_at: self.now,
                times: 1,
                folder: "/".to_owned(),
            };
            self.depot.recorder.refusal(refusal);
            self.depot.recorder.flush().await.unwrap();
        }
    }

    #[tokio::test]
    async fn many_refusals_are_told_once_until_there_are_few() {
        let desk = Desk::with(&[("alert_refusals_per_hour", "2")]).await;
        let snapshot = desk.live.snapshot();
        for (n, rule) in [Rule::NameFilter, Rule::WrongPassword, Rule::WrongPassword].into_iter().enumerate() {
            assert!(desk.told().await.is_empty());
            desk.refused(rule, &format!("192.0.2.{n}")).await;
            refusals(&desk.depot, &snapshot, desk.now).await.unwrap();
        }
        refusals(&desk.depot, &snapshot, desk.now).await.unwrap();
        let once = ["refusals_many Acme was refused 3 times in the last hour, most of them: Wrong password"];
        assert_eq!(desk.told().await, once);
        let later = desk.now.plus(HOUR + Duration::from_secs(1));
        refusals(&desk.depot, &snapshot, later).await.unwrap();
        refusals(&desk.depot, &snapshot, desk.now).await.unwrap();
        assert_eq!(desk.told().await.len(), 2, "it was over meanwhile");
    }

    #[tokio::test]
    async fn a_certificate_that_expires_is_told_by_the_alerts_of_a_partner_once_for_each_nearness() {
        use crate::access::certificate::Urgency;

        let desk = Desk::with(&[]).await;
        let change = Change { who: "test", remote: "", at: desk.now, ids: &desk.depot.ids };
        for (id, kinds) in [("Globex", "certificate_expiring"), ("Initech", "sla_late")] {
            let texts = [("alerts", "own"), ("alert_on", kinds), ("alert_subject", "[x]")];
            let texts = texts.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
            connector::add(&desk.depot.db, &ConnectorId::parse(id).unwrap(), &texts, None, &change).await.unwrap();
        }
        desk.live.refresh().await.unwrap();
        let snapshot = desk.live.snapshot();
        let mut one = Expiring {
            name: "edi".to_owned(),
            sha256: "ab".to_owned(),
            urgency: Urgency::Fortnight,
            days_left: 12,
            not_after: Timestamp::parse_rfc3339("2027-11-25T00:00:00Z").unwrap(),
        };
        for _ in 0..2 {
            expiring(&desk.depot, &snapshot, std::slice::from_ref(&one)).await.unwrap();
        }
        let said =
            "certificate_expiring Certificate edi expires on 25 November 2027, in 12 days. It is presented to Globex";
        assert_eq!(desk.told().await, [said]);
        one.urgency = Urgency::Expired;
        expiring(&desk.depot, &snapshot, std::slice::from_ref(&one)).await.unwrap();
        assert_eq!(desk.told().await.len(), 2);
        // Another is presented; the warnings about this one are forgotten.
        expiring(&desk.depot, &snapshot, &[]).await.unwrap();
        let kept = watched::all(&desk.depot.db).await.unwrap();
        assert!(!kept.keys().any(|item| item.starts_with(EXPIRING)), "{kept:?}");
    }

    #[tokio::test]
    async fn a_partner_that_does_not_come_is_told_once_until_it_comes() {
        let desk = Desk::with(&[("alert_not_seen_days", "3")]).await;
        let (depot, snapshot) = (&desk.depot, desk.live.snapshot());
        let after = |days: u32| desk.now.plus(DAY * days + Duration::from_secs(1));
        not_seen(depot, &snapshot, &[], desk.now.plus(DAY * 3)).await.unwrap();
        assert!(desk.told().await.is_empty());
        for _ in 0..2 {
            not_seen(depot, &snapshot, &[], after(3)).await.unwrap();
        }
        assert_eq!(desk.told().await, ["partner_not_seen Acme has not signed in ever; it was added 3 days ago"]);
        // It is connected; then its session is over, and later its record is gone.
        not_seen(depot, &snapshot, &["Acme".to_owned()], after(4)).await.unwrap();
        assert!(!watched::all(&depot.db).await.unwrap().contains_key("not_seen:acme"));
        not_seen(depot, &snapshot, &[], after(7)).await.unwrap();
        assert_eq!(desk.told().await.len(), 1, "what was seen is remembered");
        not_seen(depot, &snapshot, &[], after(8)).await.unwrap();
        assert_eq!(desk.told().await[1], "partner_not_seen Acme has not signed in since 4 days ago");
        let ended = Session {
            id: SessionId::new(&depot.ids),
            connector: "Acme".to_owned(),
            remote: String::new(),
            client: String::new(),
            tls: String::new(),
            begun_at: after(8),
            ended_at: after(8),
            ending: SessionEnd::Quit,
            tally: Tally::default(),
            transcript: String::new(),
        };
        depot.recorder.session(ended).await;
        depot.recorder.flush().await.unwrap();
        not_seen(depot, &snapshot, &[], after(9)).await.unwrap();
        assert!(!watched::all(&depot.db).await.unwrap().contains_key("not_seen:acme"), "it has come");
        // Removed and added again: what is known of the earlier one does not count.
        let made_at = after(400);
        let anew = Change { who: "test", remote: "", at: made_at, ids: &depot.ids };
        let id = ConnectorId::parse("Acme").unwrap();
        connector::remove(&depot.db, &id, &anew).await.unwrap();
        connector::add(&depot.db, &id, &Texts::new(), None, &anew).await.unwrap();
        desk.live.refresh().await.unwrap();
        not_seen(depot, &desk.live.snapshot(), &[], made_at).await.unwrap();
        assert_eq!(desk.told().await.len(), 2, "it has had no time to come");
        // It came on a day on which the clock was ahead.
        not_seen(depot, &desk.live.snapshot(), &["Acme".to_owned()], after(800)).await.unwrap();
        not_seen(depot, &desk.live.snapshot(), &[], after(401)).await.unwrap();
        not_seen(depot, &desk.live.snapshot(), &[], after(405)).await.unwrap();
        assert_eq!(desk.told().await[2], "partner_not_seen Acme has not signed in since 4 days ago");
    }
}
