//! Adds and saves connectors for the pages, the API and the command line: what they name is tried first, then settings
//! and password are stored together, then a Webhook's signing secret.

use std::time::Duration;

use super::automation::failed;
use super::programs::Programs;
use super::secrets::Secrets;
use super::usable;
use crate::base::clock::Timestamp;
use crate::base::secret::Secret;
use crate::domain::connector::{ConnectorId, ConnectorSettings};
use crate::domain::setting::Texts;
use crate::store::Db;
use crate::store::connector::{self, Edit, StoredConnector};
use crate::store::setting::{Change, SaveError};

/// What the other side authenticates with, as stored.
#[derive(Debug)]
pub enum Credential {
    /// The hash of a partner's password.
    Password(String),
    /// A Webhook's signing secret, which must stay readable, and where it is sealed.
    Secret(Secret, Secrets),
}

/// What is to be another about a connector.
#[derive(Debug)]
pub struct Wanted<C> {
    /// Its settings.
    pub values: Texts,
    /// The version that the editor saw; `None`: whatever is there.
    pub version: Option<i64>,
    /// A new password or secret, as it was typed or as it is stored.
    pub credential: Option<C>,
}

/// The services for saving connectors.
#[derive(Clone, Copy, Debug)]
pub struct Connecting<'a> {
    /// Where they are stored.
    pub db: &'a Db,
    /// What Commands may run.
    pub programs: &'a Programs,
}

impl Connecting<'_> {
    /// Adds one.
    ///
    /// # Errors
    /// Every mistake, in words; or it could not be stored.
    pub async fn add(
        &self,
        id: &ConnectorId,
        values: &Texts,
        credential: Option<Credential>,
        change: &Change<'_>,
    ) -> Result<(), SaveError> {
        self.check(id, &Texts::new(), values).await?;
        connector::add(self.db, id, values, hash(credential.as_ref()), change).await?;
        put_secret(id, credential, change).await
    }

    /// Saves the changes to one that was `found`.
    ///
    /// # Errors
    /// Every mistake, in words; somebody else saved in between; or it could not be stored.
    pub async fn save(
        &self,
        found: &StoredConnector,
        wanted: Wanted<Credential>,
        change: &Change<'_>,
    ) -> Result<(), SaveError> {
        let Wanted { values, version, credential } = wanted;
        self.check(&found.id, &found.stored.texts, &values).await?;
        let older_until = overlap(&found.stored.texts, &values, change.at);
        let edit = Edit { values, expected_version: version, password_hash: hash(credential.as_ref()), older_until };
        connector::save(self.db, &found.id, &edit, change).await?;
        put_secret(&found.id, credential, change).await
    }

    /// Whether the named program exists, and the folders are usable.
    async fn check(&self, id: &ConnectorId, stored: &Texts, values: &Texts) -> Result<(), SaveError> {
        match self.programs.check(stored, values) {
            mistakes if mistakes.is_empty() => usable::connector(self.db, id, values).await,
            mistakes => Err(SaveError::Mistakes(mistakes)),
        }
    }
}

fn hash(credential: Option<&Credential>) -> Option<&str> {
    match credential {
        Some(Credential::Password(hash)) => Some(hash),
        Some(Credential::Secret(..)) | None => None,
    }
}

async fn put_secret(id: &ConnectorId, credential: Option<Credential>, change: &Change<'_>) -> Result<(), SaveError> {
    let Some(Credential::Secret(secret, secrets)) = credential else { return Ok(()) };
    let (name, subject) = (connector::webhook_secret(id), format!("connector {id}"));
    secrets.put(&name, &secret, &subject, change).await.map_err(failed)
}

/// Until when the older password stays valid, by the overlap being saved or already stored.
fn overlap(stored: &Texts, values: &Texts, now: Timestamp) -> Option<Timestamp> {
    const KEY: &str = "password_overlap_h";
    let text = values.get(KEY).or_else(|| stored.get(KEY))?;
    let settings = ConnectorSettings::read(&Texts::from([(KEY.to_owned(), text.clone())])).ok()?;
    let hours = settings.password_overlap_h.get();
    (hours > 0).then(|| now.plus(Duration::from_hours(hours)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overlap_is_read_as_it_is_stored_with_a_blank_around_it_too() {
        let texts = |text: &str| Texts::from([("password_overlap_h".to_owned(), text.to_owned())]);
        let now = Timestamp::from_us(0);
        let hours = |count| Some(now.plus(Duration::from_hours(count)));
        for (stored, typed, until) in [
            (Texts::new(), texts(" 24 "), hours(24)),
            (texts("2"), texts("24"), hours(24)),
            (texts("2"), Texts::new(), hours(2)),
            (texts("2"), texts(" 0"), None),
            (Texts::new(), Texts::new(), None),
        ] {
            assert_eq!(overlap(&stored, &typed, now), until, "{stored:?} {typed:?}");
        }
    }
}
