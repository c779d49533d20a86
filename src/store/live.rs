//! The configuration at one moment, immutable, and the one place that republishes it: after a save in this process, and
//! after another process changed the database.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sqlx::Row;
use tokio::sync::watch;

use super::connector::{self, PasswordHash};
use super::open::{Db, StoreError};
use super::{action, arrow, event_target, profile};
use crate::base::clock::{Clock, Timestamp};
use crate::domain::action::Action;
use crate::domain::appliance::ApplianceSettings;
use crate::domain::connector::{Connector, ConnectorId, ConnectorSettings};
use crate::domain::event_target::EventTarget;
use crate::domain::flow::Target;
use crate::domain::profile::Profile;
use crate::domain::setting::Texts;
use crate::domain::value::{ActionMoment, ClientCertificate, SessionReuse, ValidityDate};

/// How often the database is asked whether another process changed it (PRODUCT P5: in force within 250 ms).
pub const POLL_EVERY: Duration = Duration::from_millis(100);

const VERSION: &str = "SELECT version FROM configuration WHERE one = 1";

/// A connector with all that is needed to let its partner in.
#[derive(Clone, Debug)]
pub struct LiveConnector {
    /// Id, version and settings.
    pub connector: Connector,
    /// Passwords valid when the snapshot was made, newest first.
    pub passwords: Vec<PasswordHash>,
}

impl LiveConnector {
    /// The hashes of the passwords valid at `now`, newest first: an older one may have ended since the snapshot was made.
    pub fn hashes(&self, now: Timestamp) -> Vec<String> {
        let valid = self.passwords.iter().filter(|one| one.valid_until.is_none_or(|until| until > now));
        valid.map(|one| one.hash.clone()).collect()
    }
}

/// All configuration at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Counts every change.
    pub version: i64,
    /// The FTP server's settings.
    pub profile: Arc<Profile>,
    /// The version of the profile's form.
    pub profile_version: i64,
    /// The appliance's settings.
    pub appliance: Arc<ApplianceSettings>,
    /// Connectors by their id in lower case.
    pub connectors: HashMap<String, Arc<LiveConnector>>,
    /// Connectors with an arrow for what they receive, by their ids in lower case.
    pub passing_along: HashSet<String>,
    /// Actions by the id of their connector in lower case.
    pub actions: HashMap<String, Vec<Arc<Action>>>,
    /// Event targets.
    pub event_targets: Vec<Arc<EventTarget>>,
    /// When connectors expire by their *Valid until*.
    ends: Vec<Timestamp>,
}

impl Snapshot {
    /// The connector of that id, in any case.
    pub fn connector(&self, id: &str) -> Option<&Arc<LiveConnector>> {
        self.connectors.get(&id.to_ascii_lowercase())
    }

    /// The connector of a partner that signs in, by its id in any case.
    pub fn partner(&self, id: &str) -> Option<&Arc<LiveConnector>> {
        self.connector(id).filter(|live| live.connector.is_partner())
    }

    /// Every connector that a partner signs in with.
    pub fn partners(&self) -> impl Iterator<Item = &Arc<LiveConnector>> {
        self.connectors_sorted().into_iter().filter(|live| live.connector.is_partner())
    }

    /// Whether deliveries to it pause: those due for a disabled connector wait until it is enabled again, without using
    /// up attempts.
    pub fn rests(&self, target: &Target) -> bool {
        matches!(target, Target::Connector(key) if self.connectors.get(key).is_some_and(|to| !to.connector.settings.enabled))
    }

    /// Whether deliveries to it keep their order, so that a failing one holds up those behind it.
    pub fn keeps_order(&self, target: &Target) -> bool {
        match target {
            Target::Connector(key) => self.connectors.get(key).is_none_or(|to| to.connector.settings.keep_order),
            Target::Action(_) | Target::Events(_) => true,
            Target::AlertMail => false,
        }
    }

    /// The action of that id.
    pub fn action(&self, id: &str) -> Option<&Arc<Action>> {
        self.actions.values().flatten().find(|action| action.id == id)
    }

    /// The event target of that id.
    pub fn event_target(&self, id: &str) -> Option<&Arc<EventTarget>> {
        self.event_targets.iter().find(|target| target.id == id)
    }

    /// The actions that a file of that path and size sets off at that moment; `connector` in any case.
    pub fn set_off(
        &self,
        moment: ActionMoment,
        connector: &str,
        (path, size_bytes): (&str, u64),
    ) -> impl Iterator<Item = &Arc<Action>> {
        let own = self.actions.get(&connector.to_ascii_lowercase());
        own.into_iter().flatten().filter(move |action| action.wants(moment, path, size_bytes))
    }

    /// Connectors in the order of their ids.
    pub fn connectors_sorted(&self) -> Vec<&Arc<LiveConnector>> {
        let mut all: Vec<_> = self.connectors.values().collect();
        all.sort_by(|a, b| a.connector.id.cmp(&b.connector.id));
        all
    }

    /// Whether any partner signs in with a certificate.
    pub fn asks_for_certificates(&self) -> bool {
        let wants = |live: &Arc<LiveConnector>| live.connector.settings.client_certificate != ClientCertificate::None;
        self.connectors.values().any(wants)
    }

    /// Whether a data connection may be refused because it does not resume its control connection's session.
    pub fn requires_session_reuse(&self) -> bool {
        let requires = |live: &Arc<LiveConnector>| {
            *live.connector.settings.tls_session_reuse.or(&self.profile.tls_session_reuse) == SessionReuse::Require
        };
        self.connectors.values().any(requires)
    }

    /// Whether `address` may send PROXY headers.
    pub fn is_balancer(&self, address: IpAddr) -> bool {
        self.profile.proxy_protocol_from.contains(address)
    }
}

/// The current snapshot; cheap to clone and to read.
#[derive(Clone, Debug)]
pub struct Live {
    db: Db,
    clock: Clock,
    current: Arc<ArcSwap<Snapshot>>,
    changed: Arc<watch::Sender<i64>>,
}

impl Live {
    /// Reads the configuration for the first time.
    pub async fn open(db: Db, clock: Clock) -> Result<Self, StoreError> {
        let first = read(&db, &clock).await?;
        let (changed, _) = watch::channel(first.version);
        Ok(Self { db, clock, current: Arc::new(ArcSwap::from_pointee(first)), changed: Arc::new(changed) })
    }

    /// The configuration now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Notifies of each change of the configuration and each expired *Valid until*: connected partners may have to go.
    pub fn watch(&self) -> watch::Receiver<i64> {
        self.changed.subscribe()
    }

    /// Publishes what the database contains now, if it changed. A save calls it before reporting "saved".
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let version: i64 = sqlx::query(VERSION).fetch_one(self.db.reader()).await?.try_get(0)?;
        if version == self.current.load().version {
            return Ok(());
        }
        let next = read(&self.db, &self.clock).await?;
        // Two refreshes may overlap: the newer configuration wins.
        self.current.rcu(|current| if current.version > next.version { (**current).clone() } else { next.clone() });
        self.changed.send_replace(self.current.load().version);
        Ok(())
    }

    /// Follows changes by other processes, and the time, for ever.
    pub async fn follow(self) {
        let (mut failing, mut looked) = (false, self.clock.now());
        loop {
            tokio::time::sleep(POLL_EVERY).await;
            match self.refresh().await {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    failing = true;
                    tracing::error!(%error, "Could not read the configuration; the last one stays in force");
                }
                Err(_) => {}
            }
            let (snapshot, now) = (self.current.load(), self.clock.now());
            if snapshot.ends.iter().any(|end| looked < *end && *end <= now) {
                self.changed.send_replace(snapshot.version);
            }
            looked = now;
        }
    }
}

async fn read(db: &Db, clock: &Clock) -> Result<Snapshot, StoreError> {
    // The version first: the next refresh then sees a change in between.
    let version: i64 = sqlx::query(VERSION).fetch_one(db.reader()).await?.try_get(0)?;
    let stored = profile::load(db).await?;
    let profile = tolerant("profile", &stored.texts, Profile::parse)?;
    let appliance = tolerant("settings", &profile::load_appliance(db).await?.texts, ApplianceSettings::parse)?;
    let mut passwords = connector::passwords(db, clock.now()).await?;
    let mut connectors = HashMap::new();
    for found in connector::all(db).await? {
        let settings = tolerant(found.id.as_str(), &found.stored.texts, ConnectorSettings::parse)?;
        let key = found.id.key().to_owned();
        let connector = Connector { id: found.id, version: found.stored.version, settings };
        let passwords = passwords.remove(&key).unwrap_or_default();
        connectors.insert(key, Arc::new(LiveConnector { connector, passwords }));
    }
    let arrows = arrow::map(db).await?.arrows.into_iter();
    let valid_until = |live: &Arc<LiveConnector>| live.connector.settings.valid_until.map(ValidityDate::end);
    Ok(Snapshot {
        version,
        ends: connectors.values().filter_map(valid_until).collect(),
        profile: Arc::new(profile),
        profile_version: stored.version,
        appliance: Arc::new(appliance),
        connectors,
        passing_along: arrows.filter(|arrow| !arrow.on_error).map(|arrow| arrow.from).collect(),
        actions: action::all(db).await?,
        event_targets: event_target::readable(db).await?,
    })
}

/// Stored values passed the checks of the version that saved them. One that this version refuses is logged and left at
/// its default, so that a single value cannot keep the appliance from starting.
fn tolerant<T>(
    whose: &str,
    texts: &Texts,
    parse: impl Fn(&Texts) -> Result<T, Vec<crate::domain::setting::Mistake>>,
) -> Result<T, StoreError> {
    let mut texts = texts.clone();
    loop {
        let mistakes = match parse(&texts) {
            Ok(parsed) => return Ok(parsed),
            Err(mistakes) => mistakes,
        };
        let before = texts.len();
        for mistake in &mistakes {
            tracing::error!(
                setting.owner = whose,
                setting.key = mistake.key,
                "Stored value left out: {}",
                mistake.message
            );
            texts.remove(&mistake.key);
        }
        if texts.len() == before {
            let all: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
            return Err(StoreError::Unreadable(format!("{whose}: {}", all.join("; "))));
        }
    }
}

impl Live {
    /// The id as written in the configuration, for a name typed in any case.
    pub fn written_id(&self, typed: &str) -> Option<ConnectorId> {
        self.snapshot().connector(typed).map(|live| live.connector.id.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::IdSource;
    use crate::store::setting::Change;

    /// A partner `acme` at the clock's time.
    async fn acme(folder: &std::path::Path, clock: &Clock, values: &[(&str, &str)]) -> (Db, IdSource) {
        let db = Db::open(folder).await.unwrap();
        let ids = IdSource::random(Clock::System);
        let change = Change { who: "test", remote: "", at: clock.now(), ids: &ids };
        let texts = values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        connector::add(&db, &ConnectorId::parse("acme").unwrap(), &texts, Some("older"), &change).await.unwrap();
        (db, ids)
    }

    #[tokio::test]
    async fn an_older_password_ends_at_its_time_though_nothing_changes() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::fixed(Timestamp::from_us(1_800_000_000_000_000));
        let (db, ids) = acme(folder.path(), &clock, &[]).await;
        clock.advance(Duration::from_secs(1));
        let now = clock.now();
        let change = Change { who: "test", remote: "", at: now, ids: &ids };
        let until = now.plus(Duration::from_hours(1));
        let id = ConnectorId::parse("acme").unwrap();
        let edit = connector::Edit {
            values: Texts::new(),
            expected_version: None,
            password_hash: Some("newer"),
            older_until: Some(until),
        };
        connector::save(&db, &id, &edit, &change).await.unwrap();
        let live = Live::open(db, clock).await.unwrap();
        let acme = Arc::clone(live.snapshot().partner("acme").unwrap());
        assert_eq!(acme.hashes(until.minus(Duration::from_micros(1))), ["newer", "older"]);
        assert_eq!(acme.hashes(until), ["newer"]);
    }

    #[tokio::test]
    async fn who_watches_hears_that_a_connector_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let until = Timestamp::parse_rfc3339("2027-01-15T12:00:00Z").unwrap();
        let clock = Clock::fixed(until.minus(Duration::from_secs(1)));
        let (db, _) = acme(folder.path(), &clock, &[("valid_until", "2027-01-15T12:00:00Z")]).await;
        let live = Live::open(db, clock.clone()).await.unwrap();
        let mut changes = live.watch();
        let following = tokio::spawn(live.follow());
        assert!(tokio::time::timeout(POLL_EVERY * 3, changes.changed()).await.is_err(), "not before it is over");
        clock.advance(Duration::from_secs(1));
        tokio::time::timeout(Duration::from_secs(9), changes.changed()).await.unwrap().unwrap();
        assert!(tokio::time::timeout(POLL_EVERY * 3, changes.changed()).await.is_err(), "once");
        following.abort();
    }
}
