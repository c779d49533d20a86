//! Saves actions and event targets for the pages and the command line: checked, stored, and with a signing secret if
//! they post.

use super::password;
use super::programs::Programs;
use super::secrets::{SecretError, Secrets};
use crate::base::id::EventId;
use crate::base::secret::Secret;
use crate::domain::action::ActionSettings;
use crate::domain::connector::{ConnectorId, type_of};
use crate::domain::event_target::EventTargetSettings;
use crate::domain::setting::Texts;
use crate::domain::value::{ActionKind, ConnectorType};
use crate::store::action::{self, StoredAction};
use crate::store::connector;
use crate::store::event_target::{self, StoredTarget};
use crate::store::setting::{Change, SaveError};
use crate::store::{Db, StoreError};

/// The services for saving actions and event targets.
#[derive(Clone, Copy, Debug)]
pub struct Keeper<'a> {
    /// Where they are stored.
    pub db: &'a Db,
    /// Where their secrets are.
    pub secrets: &'a Secrets,
    /// What actions may run.
    pub programs: &'a Programs,
}

/// The outcome of a save.
#[derive(Debug)]
pub struct Kept {
    /// Its id.
    pub id: String,
    /// What it is, in words.
    pub words: String,
    /// A secret that was made, to be shown this once.
    pub secret: Option<Secret>,
}

impl Keeper<'_> {
    /// Adds an action of a partner, or replaces one that is `there`, of that version, with `texts`. It gets a secret if
    /// it posts and has none, or with `anew`.
    ///
    /// # Errors
    /// Every mistake, in words; or it could not be stored.
    pub async fn put_action(
        &self,
        connector: &ConnectorId,
        (there, texts): (Option<&StoredAction>, &Texts),
        anew: bool,
        change: &Change<'_>,
    ) -> Result<Kept, SaveError> {
        let owner = connector::find(self.db, connector.key()).await?;
        if owner.is_none_or(|owner| type_of(&owner.stored.texts) != ConnectorType::FtpServer) {
            let words = format!("{connector} is no partner; only partners have actions");
            return Err(SaveError::mistake("connector", words));
        }
        let settings = ActionSettings::parse(texts).map_err(SaveError::Mistakes)?;
        let stored = there.map(|one| one.texts.clone()).unwrap_or_default();
        let mistakes = self.programs.check_action_texts(&stored, texts);
        if !mistakes.is_empty() {
            return Err(SaveError::Mistakes(mistakes));
        }
        let id = there.map_or_else(|| EventId::new(change.ids).to_string(), |one| one.id.clone());
        let (words, subject) = (settings.in_words(), format!("connector {connector}"));
        let name = action::webhook_secret(&id);
        let stored = StoredAction {
            id: id.clone(),
            connector_key: connector.key().to_owned(),
            texts: settings.texts(),
            version: there.map_or(0, |one| one.version),
        };
        action::put(self.db, &stored, connector, change).await?;
        let secret = match settings.kind {
            ActionKind::Webhook => self.secret((&name, &subject), anew, change).await?,
            ActionKind::Command | ActionKind::Mail => None,
        };
        Ok(Kept { id, words, secret })
    }

    /// Copies an action to another partner, with the same signing secret.
    ///
    /// # Errors
    /// As above.
    pub async fn copy_action(
        &self,
        one: &StoredAction,
        to: &ConnectorId,
        change: &Change<'_>,
    ) -> Result<(), SaveError> {
        let kept = self.put_action(to, (None, &one.texts), false, change).await?;
        let same = self.secrets.get(&action::webhook_secret(&one.id)).await.map_err(failed)?;
        if let (Some(_), Some(secret)) = (kept.secret, same) {
            let (name, subject) = (action::webhook_secret(&kept.id), format!("connector {to}"));
            self.secrets.put(&name, &secret, &subject, change).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Adds an event target, or replaces one that is `there` with `texts`. Its secret is handled like an action's.
    ///
    /// # Errors
    /// Every mistake, in words; or it could not be stored.
    pub async fn put_event_target(
        &self,
        (there, texts): (Option<&StoredTarget>, &Texts),
        anew: bool,
        change: &Change<'_>,
    ) -> Result<Kept, SaveError> {
        let settings = EventTargetSettings::parse(texts).map_err(SaveError::Mistakes)?;
        let id = there.map_or_else(|| EventId::new(change.ids).to_string(), |one| one.id.clone());
        let (words, name) = (settings.in_words(), event_target::webhook_secret(&id));
        let stored =
            StoredTarget { id: id.clone(), texts: settings.texts(), version: there.map_or(0, |one| one.version) };
        event_target::put(self.db, &stored, change).await?;
        let secret = self.secret((&name, "settings"), anew, change).await?;
        Ok(Kept { id, words, secret })
    }

    /// A new secret, if there is none or with `anew`. `subject` is its owner, for the audit.
    async fn secret(
        &self,
        (name, subject): (&str, &str),
        anew: bool,
        change: &Change<'_>,
    ) -> Result<Option<Secret>, SaveError> {
        if !anew && self.secrets.get(name).await.map_err(failed)?.is_some() {
            return Ok(None);
        }
        let secret = password::generate();
        self.secrets.put(name, &secret, subject, change).await.map_err(failed)?;
        Ok(Some(secret))
    }
}

pub(super) fn failed(error: SecretError) -> SaveError {
    match error {
        SecretError::Store(error) => SaveError::Store(error),
        SecretError::Seal(error) => SaveError::Store(StoreError::Unreadable(error.to_string())),
    }
}
