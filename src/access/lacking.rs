//! What cannot work yet for want of a password or a secret. No import brings one along: a text of settings contains
//! neither.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::clock::Timestamp;
use crate::domain::action::ActionSettings;
use crate::domain::connector::ConnectorSettings;
use crate::domain::event_target::EventTargetSettings;
use crate::domain::value::{ActionKind, ClientCertificate, CredentialKind};
use crate::store::open::{Db, StoreError};
use crate::store::{action, connector, event_target, secret};

/// One that lacks it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lacking {
    /// A partner without a password that it must sign in with.
    Password {
        /// The connector's id as written.
        connector: String,
    },
    /// A Webhook without a secret.
    Secret {
        /// The connector's id as written.
        connector: String,
    },
    /// An action that posts, without a secret.
    Action {
        /// The id of its connector as written.
        connector: String,
        /// What it does, in words.
        words: String,
        /// Its id.
        id: String,
    },
    /// An event target without a secret.
    EventTarget {
        /// What it gets, in words.
        words: String,
        /// Its id.
        id: String,
    },
}

impl Lacking {
    /// What is missing, in words.
    pub fn words(&self) -> String {
        match self {
            Self::Password { connector } => format!("{connector} has no password and cannot sign in"),
            Self::Secret { connector } => format!("{connector} has no secret to sign with and posts nothing"),
            Self::Action { connector, words, .. } => {
                format!("An action of {connector} has no secret to sign with ({words})")
            }
            Self::EventTarget { words, .. } => format!("An event target has no secret to sign with ({words})"),
        }
    }

    /// The verb that gives it one.
    pub fn verb(&self) -> String {
        match self {
            Self::Password { connector } => format!("waybill connector set {connector} password=…"),
            Self::Secret { connector } => format!("waybill connector set {connector} secret=…"),
            Self::Action { id, .. } => format!("waybill action set {id} --new-secret"),
            Self::EventTarget { id, .. } => format!("waybill event-target set {id} --new-secret"),
        }
    }

    /// The page that gives it one.
    pub fn page(&self) -> String {
        match self {
            Self::Password { connector } | Self::Secret { connector } => {
                format!("/connectors/{connector}/settings#password")
            }
            Self::Action { connector, id, .. } => format!("/connectors/{connector}/automation?edit={id}#change"),
            Self::EventTarget { id, .. } => format!("/profiles/events?edit={id}#change"),
        }
    }
}

/// Everything that lacks one at `now`.
pub async fn lacking(db: &Db, now: Timestamp) -> Result<BTreeSet<Lacking>, StoreError> {
    let (passwords, secrets) = (connector::passwords(db, now).await?, secret::names(db).await?);
    let (mut all, mut written) = (BTreeSet::new(), BTreeMap::new());
    for one in connector::all(db).await? {
        let id = one.id.to_string();
        // Settings that cannot be read are told elsewhere.
        if let Ok(settings) = ConnectorSettings::parse(&one.stored.texts) {
            match settings.r#type.credential() {
                Some(CredentialKind::Password) if needs_password(settings.client_certificate) => {
                    if !passwords.contains_key(one.id.key()) {
                        all.insert(Lacking::Password { connector: id.clone() });
                    }
                }
                Some(CredentialKind::Secret) if !secrets.contains(&connector::webhook_secret(&one.id)) => {
                    all.insert(Lacking::Secret { connector: id.clone() });
                }
                Some(CredentialKind::Password | CredentialKind::Secret) | None => {}
            }
        }
        written.insert(one.id.key().to_owned(), id);
    }
    for one in action::stored(db).await? {
        if let Ok(settings) = ActionSettings::parse(&one.texts)
            && settings.kind == ActionKind::Webhook
            && !secrets.contains(&action::webhook_secret(&one.id))
        {
            let connector = written.get(&one.connector_key).cloned().unwrap_or(one.connector_key);
            all.insert(Lacking::Action { connector, words: settings.in_words(), id: one.id });
        }
    }
    for one in event_target::all(db).await? {
        if let Ok(settings) = EventTargetSettings::parse(&one.texts)
            && !secrets.contains(&event_target::webhook_secret(&one.id))
        {
            all.insert(Lacking::EventTarget { words: settings.in_words(), id: one.id });
        }
    }
    Ok(all)
}

/// Whether a partner needs a password to sign in.
const fn needs_password(certificate: ClientCertificate) -> bool {
    match certificate {
        ClientCertificate::None | ClientCertificate::AndPassword => true,
        ClientCertificate::OrPassword | ClientCertificate::Only => false,
    }
}
