//! Follows the settings: orders from the authority when due, installs what it issues and reports the outcome.

use std::time::Duration;

use instant_acme::{Account, AccountCredentials, Error, NewAccount};

use super::directory::Client;
use super::order;
use crate::access::certificate::{Certificates, Held};
use crate::access::secrets::Secrets;
use crate::base::clock::{Clock, Timestamp};
use crate::base::id::IdSource;
use crate::base::secret::Secret;
use crate::domain::acme::{Tried, Wish};
use crate::domain::event::EventKind;
use crate::store::certificate::Origin;
use crate::store::event::Event;
use crate::store::live::Live;
use crate::store::setting::Change;
use crate::store::{Db, StoreError, acme};

/// The name of the certificate in the store.
const NAME: &str = "acme";
/// How often to check whether an order is due, besides at every change of the configuration.
const EVERY: Duration = Duration::from_mins(1);
/// The name in the audit.
const WHO: &str = "ACME";

/// Gets certificates from an authority.
#[derive(Clone, Debug)]
pub struct Acme {
    /// Where its settings and outcomes are stored.
    pub db: Db,
    /// Where issued certificates go.
    pub certificates: Certificates,
    /// Where the keys of the accounts are.
    pub secrets: Secrets,
    /// The time.
    pub clock: Clock,
    /// Ids of events.
    pub ids: IdSource,
}

impl Acme {
    /// Orders whenever due, for ever.
    pub async fn run(self, live: Live) {
        let mut changes = live.watch();
        loop {
            changes.mark_unchanged();
            if let Some(wish) = live.snapshot().appliance.acme_wish()
                && let Err(error) = self.look(&wish).await
            {
                tracing::error!(%error, "Could not look whether a certificate is due; it is tried again");
            }
            // Ends early at a change; if changes can no longer come, waiting out the time is fine.
            drop(tokio::time::timeout(EVERY, changes.changed()).await);
        }
    }

    /// Orders if due.
    async fn look(&self, wish: &Wish) -> Result<(), StoreError> {
        // Another process may have changed them.
        self.certificates.refresh().await?;
        let tried = acme::last(&self.db).await?.unwrap_or_default();
        let held = self.certificates.by_acme();
        let issued = held.as_ref().and_then(|held| held.issued());
        let begun = self.clock.now();
        if !tried.is_due(wish, issued.as_ref(), begun) {
            return Ok(());
        }
        tracing::info!(hosts = wish.hosts.join(","), authority = %wish.directory, "Asking for a certificate");
        let ended = self.renew(wish, held.as_deref(), begun).await;
        self.tell(&tried, wish, ended).await
    }

    async fn tell(&self, before: &Tried, wish: &Wish, ended: Result<(), String>) -> Result<(), StoreError> {
        let now = self.clock.now();
        let tried = before.after(wish, ended, now);
        let hosts = wish.hosts.join(", ");
        let (kind, summary) = if tried.message.is_empty() {
            (EventKind::CertificateIssued, format!("A certificate for {hosts} was issued by ACME"))
        } else {
            let summary = format!("No certificate for {hosts} was issued by ACME. {}", tried.message);
            (EventKind::CertificateFailed, summary)
        };
        if kind == EventKind::CertificateFailed {
            tracing::warn!("{summary}");
        } else {
            tracing::info!("{summary}");
        }
        let event = tried.is_told(before).then(|| Event::new(&self.ids, kind, now, summary));
        acme::put(&self.db, &tried, event.as_ref()).await
    }

    async fn renew(&self, wish: &Wish, held: Option<&Held>, now: Timestamp) -> Result<(), String> {
        let account = self.account(wish).await?;
        let material = order::place(&account, wish, now).await?;
        let change = Change { who: WHO, remote: "", at: self.clock.now(), ids: &self.ids };
        let saved = match held {
            Some(held) => self.certificates.replace(held.stored.name.as_str(), &material, Origin::Acme, &change).await,
            None => self.certificates.add(NAME, &material, Origin::Acme, &change).await,
        };
        saved.map_err(|error| format!("The certificate was issued, but not put in place: {error}"))
    }

    /// The account at the authority; made at first use, and again if the authority has forgotten it.
    async fn account(&self, wish: &Wish) -> Result<Account, String> {
        let name = format!("acme account {} {}", wish.contact.as_deref().unwrap_or("-"), wish.directory);
        let contact = wish.contact.as_ref().map(|address| format!("mailto:{address}"));
        let contact: Vec<_> = contact.as_deref().into_iter().collect();
        let client = Client::new()?;
        let builder = || Account::builder_with_http(Box::new(client.clone()));
        if let Some(secret) = self.secrets.get(&name).await.map_err(|error| error.to_string())? {
            let credentials: AccountCredentials =
                serde_json::from_str(secret.reveal()).map_err(|_| "The account's key is damaged".to_owned())?;
            let account = builder().from_credentials(credentials).await.map_err(order::words)?;
            match account.update_contacts(&contact).await {
                Ok(()) => return Ok(account),
                Err(Error::Api(problem)) if is_forgotten(problem.r#type.as_deref()) => {}
                Err(error) => return Err(order::words(error)),
            }
        }
        let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let made = builder().create(&new, wish.directory.to_string(), None).await;
        let (account, credentials) = made.map_err(order::words)?;
        let text = serde_json::to_string(&credentials).map_err(|error| error.to_string())?;
        let change = Change { who: WHO, remote: "", at: self.clock.now(), ids: &self.ids };
        let put = self.secrets.put(&name, &Secret::new(text), "account at an authority", &change).await;
        put.map_err(|error| error.to_string())?;
        Ok(account)
    }
}

/// RFC 8555, section 7.3.1, and what authorities answer for a closed account.
fn is_forgotten(kind: Option<&str>) -> bool {
    kind.is_some_and(|kind| kind.ends_with(":accountDoesNotExist") || kind.ends_with(":unauthorized"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::appliance::ApplianceSettings;
    use crate::domain::setting::Texts;
    use crate::store::event;

    fn wish(host: &str) -> Wish {
        let texts = Texts::from([("acme", "on"), ("acme_hosts", host)].map(|(key, text)| (key.into(), text.into())));
        ApplianceSettings::parse(&texts).unwrap().acme_wish().unwrap()
    }

    #[tokio::test]
    async fn an_order_that_fails_again_is_told_again_only_of_another_wish_or_after_one_that_did_not() {
        let folder = tempfile::tempdir().unwrap();
        let (db, clock) = (Db::open(folder.path()).await.unwrap(), Clock::System);
        let ids = IdSource::random(clock.clone());
        let acme = Acme {
            certificates: Certificates::open(db.clone(), folder.path(), clock.clone(), ids.clone()).await.unwrap(),
            secrets: Secrets::open(db.clone(), folder.path()).await.unwrap(),
            db,
            clock,
            ids,
        };
        let mut told = Vec::new();
        for (host, ended) in [
            ("a.example", Err("no")),
            ("a.example", Err("no")),
            ("b.example", Err("no")),
            ("b.example", Err("still no")),
            ("b.example", Ok(())),
            ("b.example", Err("no")),
        ] {
            let before = acme::last(&acme.db).await.unwrap().unwrap_or_default();
            acme.tell(&before, &wish(host), ended.map_err(str::to_owned)).await.unwrap();
            let failures = acme::last(&acme.db).await.unwrap().unwrap().failures;
            let since = Timestamp::default();
            let count = event::count_since(&acme.db, EventKind::CertificateFailed, since).await.unwrap();
            told.push((failures, count));
        }
        assert_eq!(told, [(1, 1), (2, 1), (3, 2), (4, 2), (0, 2), (1, 3)]);
        let issued = event::count_since(&acme.db, EventKind::CertificateIssued, Timestamp::default()).await.unwrap();
        assert_eq!(issued, 1);
    }
}
