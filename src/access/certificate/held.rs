//! The certificates of one appliance: those in the store, opened, and those that the profile lets servers present. All
//! changes go through here, so that a running server follows at once.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::sign::CertifiedKey;
use tokio::sync::Mutex;

use super::check::{self, Facts, Material};
use super::client::Authority;
use super::expiry::Expiring;
use super::keystore::{KeyDer, SealError, Sealer};
use super::made;
use super::served::{Presented, Served};
use crate::base::clock::{Clock, Timestamp};
use crate::base::id::{CertificateId, IdSource};
use crate::domain::acme::Issued;
use crate::domain::appliance::ApplianceSettings;
use crate::domain::event::EventKind;
use crate::domain::setting::Value;
use crate::domain::value::{CertificateName, CertificateNames};
use crate::store::certificate::{self, Contents, Origin, StoredCertificate};
use crate::store::event::Event;
use crate::store::setting::{Change, SaveError};
use crate::store::{Db, StoreError, profile};

/// The name of the certificate made at first start.
pub const SELF_SIGNED: &str = "self-signed";

/// Why the certificates are not available.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The master key.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The first certificate could not be made or saved.
    #[error("{0}")]
    First(String),
}

/// One certificate of the store, as shown on pages.
#[derive(Clone, Debug)]
pub struct Held {
    /// As stored, with its key sealed.
    pub stored: StoredCertificate,
    /// Its contents; an error if it cannot be read.
    pub facts: Result<Facts, String>,
    /// With its key opened, or why that failed.
    certified: Result<Arc<CertifiedKey>, String>,
}

impl Held {
    /// Why it cannot be presented, in words.
    pub fn problem(&self) -> Option<&str> {
        self.facts.as_ref().err().or(self.certified.as_ref().err()).map(String::as_str)
    }

    /// Its hosts and validity, to decide when to renew it; `None` if it cannot be presented.
    pub fn issued(&self) -> Option<Issued<'_>> {
        let facts = self.facts.as_ref().ok().filter(|_| self.problem().is_none())?;
        Some(Issued { hosts: &facts.names, not_before: facts.not_before, not_after: facts.not_after })
    }

    fn presented(&self) -> Option<Presented> {
        let (facts, certified) = (self.facts.clone().ok()?, self.certified.clone().ok()?);
        Some(Presented { name: self.stored.name.to_string(), facts, certified })
    }
}

/// The state at the last refresh.
#[derive(Debug, Default)]
pub(super) struct State {
    all: Vec<Arc<Held>>,
    pub(super) authorities: Vec<Arc<Authority>>,
    served: Arc<Served>,
    /// The certificates presented to browsers.
    to_browsers: Arc<Served>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) db: Db,
    sealer: Sealer,
    pub(super) clock: Clock,
    ids: IdSource,
    pub(super) state: ArcSwap<State>,
    /// Refreshes run one at a time: an older state never overwrites a newer one.
    refreshing: Mutex<()>,
}

/// The certificates of one appliance; cheap to clone.
#[derive(Clone, Debug)]
pub struct Certificates(pub(super) Arc<Inner>);

impl Certificates {
    /// Opens the store; makes the master key if there is none, and a first certificate if it is empty.
    pub async fn open(db: Db, data: &Path, clock: Clock, ids: IdSource) -> Result<Self, OpenError> {
        let sealer = Sealer::open(&db, data).await?;
        let inner = Inner { db, sealer, clock, ids, state: ArcSwap::default(), refreshing: Mutex::default() };
        let certificates = Self(Arc::new(inner));
        if certificate::all(&certificates.0.db).await?.is_empty() {
            certificates.make_first().await?;
        }
        certificates.refresh().await?;
        Ok(certificates)
    }

    async fn make_first(&self) -> Result<(), OpenError> {
        let stored = profile::load_appliance(&self.0.db).await?;
        let shown = ApplianceSettings::parse(&stored.texts).ok().and_then(|settings| settings.public_host);
        let hosts = first_hosts(shown.map(|host| host.text()).as_deref());
        let now = self.0.clock.now();
        let material = made::self_signed(&hosts, now).map_err(OpenError::First)?;
        let change = Change { who: "first start", remote: "", at: now, ids: &self.0.ids };
        match self.add(SELF_SIGNED, &material, Origin::SelfSigned, &change).await {
            // A mistake here only means that another process was first.
            Ok(()) | Err(SaveError::Mistakes(_)) => Ok(()),
            Err(SaveError::Store(error)) => Err(error.into()),
            Err(error @ SaveError::Stale(_)) => Err(OpenError::First(error.to_string())),
        }
    }

    /// Rereads the store and the profile and swaps what is served, if either changed. Called at each change of the
    /// configuration; what cannot be opened is logged and left out.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.0.refreshing.lock().await;
        let stored = certificate::all(&self.0.db).await?;
        let texts = profile::load(&self.0.db).await?.texts;
        let names = texts.get("certificates").and_then(|text| CertificateNames::parse(text).ok()).unwrap_or_default();
        let before = self.0.state.load_full();
        let all: Vec<_> = stored.into_iter().map(|stored| self.held(stored, &before)).collect();
        let texts = profile::load_appliance(&self.0.db).await?.texts;
        let of_web = texts.get("web_certificates").and_then(|text| CertificateNames::parse(text).ok());
        let of_web = of_web.filter(|names| !names.is_empty()).unwrap_or_else(|| names.clone());
        let served = self.chosen(&all, &names, &before.served);
        let to_browsers = self.chosen(&all, &of_web, &before.to_browsers);
        if served.is_empty() {
            tracing::error!("No certificate can be presented: every TLS handshake will fail");
        }
        let authorities = self.open_authorities(&before).await?;
        self.0.state.store(Arc::new(State { all, authorities, served, to_browsers }));
        Ok(())
    }

    fn chosen(&self, all: &[Arc<Held>], names: &CertificateNames, before: &Arc<Served>) -> Arc<Served> {
        let served = Served::new(choose(all, names, self.0.clock.now()), self.0.clock.clone());
        if served.is_same(before) { Arc::clone(before) } else { Arc::new(served) }
    }

    /// The certificates that the web interface presents now, if it has HTTPS.
    pub fn served_to_browsers(&self) -> Arc<Served> {
        Arc::clone(&self.0.state.load().to_browsers)
    }

    /// The certificates that servers present now. The same `Arc` until they change.
    pub fn served(&self) -> Arc<Served> {
        Arc::clone(&self.0.state.load().served)
    }

    /// Every certificate of the store at the last refresh, by name.
    pub fn list(&self) -> Vec<Arc<Held>> {
        self.0.state.load().all.clone()
    }

    /// The certificate of that name, in any case.
    pub fn find(&self, name: &str) -> Option<Arc<Held>> {
        let key = name.trim().to_lowercase();
        self.0.state.load().all.iter().find(|held| held.stored.name.key() == key).cloned()
    }

    /// The one that an authority issued over ACME.
    pub fn by_acme(&self) -> Option<Arc<Held>> {
        by_acme(&self.0.state.load().all).cloned()
    }

    /// Those of the certificates in use that expire within 30 days, most urgent first.
    pub fn warnings(&self, now: Timestamp) -> Vec<Expiring> {
        let (served, to_browsers) = (self.served(), self.served_to_browsers());
        urgent(served.facts().chain(to_browsers.facts()).filter_map(|(name, facts)| Expiring::of(name, facts, now)))
    }

    /// Those of them that are presented to partners.
    pub fn warnings_to_partners(&self, now: Timestamp) -> Vec<Expiring> {
        urgent(self.served().facts().filter_map(|(name, facts)| Expiring::of(name, facts, now)))
    }

    /// Records an event for each expiring one, once for each urgency.
    pub async fn tell_expiring(&self) -> Result<(), StoreError> {
        let now = self.0.clock.now();
        for one in self.warnings(now) {
            let event = Event::new(&self.0.ids, EventKind::CertificateExpiring, now, one.to_string());
            if certificate::warn_once(&self.0.db, (&one.sha256, one.urgency.name()), &event).await? {
                tracing::warn!(certificate = one.name, "{one}");
            }
        }
        Ok(())
    }

    /// The key of the certificate of that name, for an authority's answer without one.
    pub fn key_of(&self, held: &Held) -> Option<KeyDer> {
        self.0.sealer.unseal(&held.stored.id, &held.stored.contents.sealed_key).ok()
    }

    /// The PEM request for an authority to issue a certificate for the names and the key of `held`.
    pub fn request(&self, held: &Held) -> Result<String, String> {
        let facts = held.facts.as_ref().map_err(Clone::clone)?;
        made::csr_of(&facts.names, &self.key_of(held).ok_or("Its private key can't be opened")?)
    }

    /// Adds a certificate under a new name.
    pub async fn add(
        &self,
        name: &str,
        material: &Material,
        origin: Origin,
        change: &Change<'_>,
    ) -> Result<(), SaveError> {
        let name = parse_name(name)?;
        let id = CertificateId::new(&self.0.ids);
        let contents = self.sealed(&id, material, origin)?;
        certificate::add(&self.0.db, &id, &name, &contents, change).await?;
        Ok(self.refresh().await?)
    }

    /// Replaces the certificate of that name, which can be rolled back to for 7 days.
    pub async fn replace(
        &self,
        name: &str,
        material: &Material,
        origin: Origin,
        change: &Change<'_>,
    ) -> Result<(), SaveError> {
        let name = parse_name(name)?;
        // If there is none, the id belongs to nobody and the store lists the names that exist.
        let there = certificate::find(&self.0.db, &name).await?;
        let id = there.map_or_else(|| CertificateId::new(&self.0.ids), |there| there.id);
        let contents = self.sealed(&id, material, origin)?;
        certificate::replace(&self.0.db, &id, &name, &contents, change).await?;
        Ok(self.refresh().await?)
    }

    /// Restores the certificate that was replaced last.
    pub async fn roll_back(&self, name: &str, change: &Change<'_>) -> Result<(), SaveError> {
        certificate::roll_back(&self.0.db, &parse_name(name)?, change).await?;
        Ok(self.refresh().await?)
    }

    /// Removes a certificate; refused while the profile names it, while it is presented, and if it is the last one.
    pub async fn remove(&self, name: &str, change: &Change<'_>) -> Result<(), SaveError> {
        let name = parse_name(name)?;
        // Only known here: what is presented if the profile names none.
        self.refresh().await?;
        let is_presented = self.served().fingerprints().any(|(served, _)| served.to_lowercase() == name.key());
        certificate::remove(&self.0.db, &name, is_presented, change).await?;
        Ok(self.refresh().await?)
    }

    fn sealed(&self, id: &CertificateId, material: &Material, origin: Origin) -> Result<Contents, SaveError> {
        let sealed = self.0.sealer.seal(id, &material.key);
        let sealed_key = sealed.map_err(|error| SaveError::mistake("key", error.to_string()))?;
        Ok(Contents { origin, chain_pem: material.chain_pem(), sealed_key, sha256: material.facts.sha256.clone() })
    }

    /// What was opened before stays open.
    fn held(&self, stored: StoredCertificate, before: &State) -> Arc<Held> {
        if let Some(known) = before.all.iter().find(|known| known.stored == stored) {
            return Arc::clone(known);
        }
        let chain = check::chain_of(&stored.contents.chain_pem);
        let facts = chain.as_ref().map_err(Clone::clone).and_then(|chain| Facts::of(chain));
        let key = self.0.sealer.unseal(&stored.id, &stored.contents.sealed_key).map_err(|error| error.to_string());
        let signer = key.and_then(|key| check::signer(&key).ok_or_else(|| "its private key can't be used".to_owned()));
        let certified = chain.and_then(|chain| signer.map(|signer| Arc::new(CertifiedKey::new(chain, signer))));
        let held = Held { stored, facts, certified };
        if let Some(problem) = held.problem() {
            tracing::error!(certificate = %held.stored.name, "A certificate can't be presented: {problem}");
        }
        Arc::new(held)
    }
}

/// The certificates that the profile lets servers present. If it names none, or none that can be opened: the one issued
/// over ACME, then that of the first start, then the newest valid one, so that TLS goes on.
fn choose(all: &[Arc<Held>], names: &CertificateNames, now: Timestamp) -> Vec<Presented> {
    let by_name = |name: &str| all.iter().find(|held| held.stored.name.key() == name.to_lowercase());
    let chosen: Vec<_> = names.iter().filter_map(by_name).filter_map(|held| held.presented()).collect();
    if !chosen.is_empty() {
        return chosen;
    }
    let valid = by_acme(all).filter(|held| held.facts.as_ref().is_ok_and(|facts| facts.is_valid(now)));
    if let Some(unnamed) = valid.into_iter().chain(by_name(SELF_SIGNED)).find_map(|held| held.presented()) {
        return vec![unnamed];
    }
    let rank = |held: &&Arc<Held>| (held.facts.as_ref().is_ok_and(|facts| facts.is_valid(now)), held.stored.made_at);
    let newest = all.iter().filter(|held| held.problem().is_none()).max_by_key(rank);
    newest.and_then(|held| held.presented()).into_iter().collect()
}

fn by_acme(all: &[Arc<Held>]) -> Option<&Arc<Held>> {
    all.iter().find(|held| held.stored.contents.origin == Origin::Acme)
}

/// Hosts of the first certificate: the name shown to partners, this host's name, and this machine itself.
fn first_hosts(shown: Option<&str>) -> Vec<String> {
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let known = shown.into_iter().chain([own.trim(), "localhost", "127.0.0.1", "::1"]);
    known.filter_map(|host| made::check_host(host).ok()).collect()
}

pub(super) fn parse_name(name: &str) -> Result<CertificateName, SaveError> {
    CertificateName::parse(name).map_err(|words| SaveError::mistake("name", words))
}

/// Most urgent first, each once.
fn urgent(all: impl Iterator<Item = Expiring>) -> Vec<Expiring> {
    let mut found: Vec<_> = all.collect();
    found.sort_by(|a, b| (a.not_after, &a.sha256).cmp(&(b.not_after, &b.sha256)));
    found.dedup_by(|a, b| a.sha256 == b.sha256);
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::access::certificate::{Urgency, self_signed};
    use crate::access::secrets::Secrets;
    use crate::domain::setting::Texts;
    use crate::store::audit;

    const WHO: &str = "mira";

    /// One process using the data folder.
    struct Process {
        db: Db,
        clock: Clock,
        ids: IdSource,
        certificates: Certificates,
    }

    impl Process {
        async fn start(data: &Path, clock: &Clock) -> Self {
            Self::start_on(Db::open(data).await.unwrap(), data, clock).await
        }

        async fn start_on(db: Db, data: &Path, clock: &Clock) -> Self {
            let ids = IdSource::random(clock.clone());
            let certificates = Certificates::open(db.clone(), data, clock.clone(), ids.clone()).await.unwrap();
            Self { db, clock: clock.clone(), ids, certificates }
        }

        fn change(&self) -> Change<'_> {
            Change { who: WHO, remote: "", at: self.clock.now(), ids: &self.ids }
        }

        async fn add(&self, name: &str) -> Result<String, SaveError> {
            let host = format!("{}.example", name.replace(',', ""));
            let material = self_signed(&[host], self.clock.now()).unwrap();
            self.certificates.add(name, &material, Origin::Uploaded, &self.change()).await?;
            Ok(material.facts.sha256)
        }

        async fn name_in_profile(&self, names: &str) -> Result<(), SaveError> {
            let values = Texts::from([("certificates".to_owned(), names.to_owned())]);
            profile::save(&self.db, &values, None, &self.change()).await
        }

        fn served(&self) -> Vec<String> {
            self.certificates.served().fingerprints().map(|(name, _)| name.to_owned()).collect()
        }
    }

    fn clock() -> Clock {
        Clock::fixed(Timestamp::parse_rfc3339("2026-11-25T12:00:00Z").unwrap())
    }

    fn words(result: Result<impl std::fmt::Debug, SaveError>) -> String {
        result.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn the_first_start_makes_a_certificate_and_the_second_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = Process::start(folder.path(), &clock()).await;
        assert_eq!(first.served(), [SELF_SIGNED]);
        let held = first.certificates.find("SELF-signed").unwrap();
        assert_eq!((held.stored.contents.origin, held.problem()), (Origin::SelfSigned, None));
        let facts = held.facts.clone().unwrap();
        assert!(["localhost", "127.0.0.1", "::1"].iter().all(|host| facts.names.iter().any(|name| name == host)));
        assert_eq!((facts.days_left(first.clock.now()), facts.self_signed), (364, true));
        let second = Process::start(folder.path(), &clock()).await;
        assert_eq!(second.certificates.find(SELF_SIGNED).unwrap().stored, held.stored);
        let sealed = &held.stored.contents.sealed_key;
        assert!(!format!("{:?}", first.certificates).contains("BEGIN PRIVATE") && sealed.len() > 100);
    }

    #[tokio::test]
    async fn two_that_start_at_once_make_one() {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock();
        // One after the other: opening a database waits for its lock, and here both are on one thread.
        let (one, two) = (Db::open(folder.path()).await.unwrap(), Db::open(folder.path()).await.unwrap());
        let start = |db| Process::start_on(db, folder.path(), &clock);
        let (a, b) = tokio::join!(start(one), start(two));
        assert_eq!(a.certificates.list().len(), 1);
        assert_eq!(a.certificates.list()[0].stored, b.certificates.list()[0].stored);
        assert_eq!((a.served(), b.served()), (vec![SELF_SIGNED.to_owned()], vec![SELF_SIGNED.to_owned()]));
    }

    #[tokio::test]
    async fn what_another_process_changes_is_served_after_a_refresh() {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock();
        let (here, there) = (Process::start(folder.path(), &clock).await, Process::start(folder.path(), &clock).await);
        let before = here.certificates.served();
        there.add("B").await.unwrap();
        there.add("a").await.unwrap();
        here.certificates.refresh().await.unwrap();
        assert!(Arc::ptr_eq(&before, &here.certificates.served()), "nothing that is served changed");
        there.name_in_profile("b, A").await.unwrap();
        assert_eq!(here.served(), [SELF_SIGNED]);
        here.certificates.refresh().await.unwrap();
        assert_eq!(here.served(), ["B", "a"]);
        assert!(here.certificates.served().for_host("a.example").is_some());

        let served = here.certificates.served();
        let renewed = self_signed(&["b.example".to_owned()], clock.now()).unwrap();
        there.certificates.replace("b", &renewed, Origin::Acme, &there.change()).await.unwrap();
        here.certificates.refresh().await.unwrap();
        let now = here.certificates.served();
        assert_eq!(now.fingerprints().next().unwrap(), ("B", renewed.facts.sha256.as_str()));
        let same = |host| Arc::ptr_eq(&served.for_host(host).unwrap(), &now.for_host(host).unwrap());
        assert!(same("a.example") && !same("b.example"), "what did not change stays open");
        assert!(Arc::ptr_eq(&there.certificates.find("B").unwrap(), &there.certificates.find("b").unwrap()));
    }

    #[tokio::test]
    async fn a_replaced_certificate_can_come_back_for_seven_days() {
        let folder = tempfile::tempdir().unwrap();
        let at = Process::start(folder.path(), &clock()).await;
        let old = at.add("a").await.unwrap();
        let nothing = words(at.certificates.roll_back("a", &at.change()).await);
        assert!(nothing.contains("nothing to roll a back to"), "{nothing}");
        let renewed = self_signed(&["a.example".to_owned()], at.clock.now()).unwrap();
        at.certificates.replace("A", &renewed, Origin::Uploaded, &at.change()).await.unwrap();
        let sha256 = || at.certificates.find("a").unwrap().stored.contents.sha256.clone();
        assert_eq!(sha256(), renewed.facts.sha256);
        at.certificates.roll_back("a", &at.change()).await.unwrap();
        assert_eq!((sha256(), at.certificates.find("a").unwrap().problem()), (old.clone(), None));
        at.certificates.roll_back("a", &at.change()).await.unwrap();
        at.clock.advance(certificate::ROLL_BACK_WITHIN);
        certificate::forget_previous(&at.db, at.clock.now()).await.unwrap();
        assert!(at.certificates.find("a").unwrap().stored.roll_back_until(at.clock.now()).is_some());
        at.clock.advance(Duration::from_secs(1));
        assert!(words(at.certificates.roll_back("a", &at.change()).await).contains("last 7 days"));
        certificate::forget_previous(&at.db, at.clock.now()).await.unwrap();
        at.certificates.refresh().await.unwrap();
        assert_eq!(at.certificates.find("a").unwrap().stored.previous, None);
        let audited = audit::latest(&at.db, Some("certificate a"), 10).await.unwrap();
        let done: Vec<_> = audited.iter().map(|entry| (entry.who.as_str(), entry.key.as_str())).collect();
        assert_eq!(done, [(WHO, "rolled back"), (WHO, "rolled back"), (WHO, "replaced"), (WHO, "added")]);
        assert_eq!((audited[3].after.as_str(), audited[2].before.as_str()), (old.as_str(), old.as_str()));
    }

    #[tokio::test]
    async fn what_the_profile_names_must_be_there_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = Process::start(folder.path(), &clock()).await;
        let last = words(at.certificates.remove(SELF_SIGNED, &at.change()).await);
        assert!(last.contains("is the only certificate"), "{last}");
        let missing = words(at.name_in_profile("self-signed,x,y").await);
        let there = "there are: self-signed";
        assert_eq!(
            missing,
            format!(
                "certificates: There is no certificate x; {there}\ncertificates: There is no certificate y; {there}"
            )
        );
        at.add("x").await.unwrap();
        assert!(words(at.add("X").await).contains("There is a certificate x already"));
        assert!(words(at.add("a,b").await).starts_with("name: "));
        let used = words(at.certificates.remove(SELF_SIGNED, &at.change()).await);
        assert!(used.contains("presents self-signed while its profile names no other"), "{used}");
        at.name_in_profile("X").await.unwrap();
        assert!(words(at.certificates.remove("x", &at.change()).await).contains("The FTP server presents x"));
        assert!(
            words(at.certificates.remove("y", &at.change()).await).contains("There is no certificate y; there are: ")
        );
        let renewed = self_signed(&["y".to_owned()], at.clock.now()).unwrap();
        let none = words(at.certificates.replace("y", &renewed, Origin::Uploaded, &at.change()).await);
        assert!(none.contains("There is no certificate y"), "{none}");
        at.certificates.remove(SELF_SIGNED, &at.change()).await.unwrap();
        at.name_in_profile("").await.unwrap();
        at.certificates.refresh().await.unwrap();
        assert_eq!(at.served(), ["x"], "without the first one, the newest is presented");
    }

    #[tokio::test]
    async fn a_lost_master_key_is_said_and_the_way_out_works() {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock();
        Process::start(folder.path(), &clock).await;
        let file = folder.path().join("keys/master.key");
        std::fs::remove_file(&file).unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let refused =
            Certificates::open(db.clone(), folder.path(), clock.clone(), IdSource::random(clock.clone())).await;
        assert!(matches!(refused, Err(OpenError::Seal(SealError::Lost(_)))), "{refused:?}");
        assert!(Secrets::open(db, folder.path()).await.is_err() && !file.exists());
        // As the error says.
        std::fs::write(&file, [7; 32]).unwrap();
        let at = Process::start(folder.path(), &clock).await;
        assert!(at.certificates.served().is_empty());
        let problem = at.certificates.find(SELF_SIGNED).unwrap().problem().unwrap().to_owned();
        assert!(problem.contains("keys/master.key"), "{problem}");
        at.add("new").await.unwrap();
        assert_eq!(at.served(), ["new"]);
    }

    #[tokio::test]
    async fn certificates_that_are_presented_warn_before_they_expire() {
        let folder = tempfile::tempdir().unwrap();
        let at = Process::start(folder.path(), &clock()).await;
        let end = at.certificates.find(SELF_SIGNED).unwrap().facts.clone().unwrap().not_after;
        let warned = |before: Duration| at.certificates.warnings(end.minus(before)).pop();
        assert_eq!(warned(Duration::from_hours(30 * 24)), None);
        let last = end.minus(Duration::from_hours(1));
        assert_eq!(at.certificates.warnings_to_partners(last), at.certificates.warnings(last));
        let fortnight = warned(Duration::from_hours(13 * 24)).unwrap();
        assert_eq!((fortnight.urgency, fortnight.days_left), (Urgency::Fortnight, 13));
        assert_eq!(fortnight.to_string(), "Certificate self-signed expires on 25 November 2027, in 13 days");
        at.clock.advance(Duration::from_hours(24 * 352));
        for days in [0, 0, 4, 8, 3] {
            at.clock.advance(Duration::from_hours(24 * days));
            at.certificates.tell_expiring().await.unwrap();
        }
        let kind = Some(EventKind::CertificateExpiring);
        let told = crate::store::event::oldest_first(&at.db, kind, Timestamp::default(), None, 10);
        let told: Vec<_> = told.await.unwrap().into_iter().map(|event| event.summary).collect();
        let said = |left: &str| format!("Certificate self-signed {left}");
        assert_eq!(
            told,
            [
                said("expires on 25 November 2027, in 12 days"),
                said("expires on 25 November 2027, within a day"),
                said("expired on 25 November 2027")
            ]
        );
        let expired = at.certificates.warnings(end.plus(Duration::from_secs(1))).pop().unwrap();
        assert_eq!(expired.to_string(), "Certificate self-signed expired on 25 November 2027");
        // A warning from a clock that was ahead does not prevent the warning in due time.
        let back = Process::start(folder.path(), &Clock::fixed(end.plus(Duration::from_hours(1)))).await;
        for _ in 0..2 {
            back.certificates.tell_expiring().await.unwrap();
        }
        let told = crate::store::event::count_since(&back.db, EventKind::CertificateExpiring, Timestamp::default());
        assert_eq!(told.await.unwrap(), 4);
    }
}
