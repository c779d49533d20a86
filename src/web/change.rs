//! Adds and saves connectors for the forms and the API: settings, then the credential of the other side, then the
//! configuration in force.

use axum::http::StatusCode;

use super::context::Context;
use super::error::WebError;
use crate::access::connecting::{Credential, Wanted};
use crate::access::password;
use crate::base::secret::Secret;
use crate::domain::administrator::Role;
use crate::domain::connector::{ConnectorId, ConnectorSettings, take_credential, type_of};
use crate::domain::setting::Texts;
use crate::domain::value::{ConnectorType, CredentialKind};
use crate::store::connector::{self, Edit, StoredConnector};
use crate::store::setting::SaveError;

/// A generated password or secret, to be shown once.
#[derive(Debug)]
pub struct Made {
    /// Which of them.
    pub kind: CredentialKind,
    /// It.
    pub secret: Secret,
}

impl Made {
    /// A new one, where connectors of this type have one.
    pub fn new(kind: CredentialKind) -> Self {
        Self { kind, secret: password::generate() }
    }
}

/// The role needed to edit connectors of that type: only admins decide what a Command runs.
const fn editor_of(kind: ConnectorType) -> Role {
    match kind {
        ConnectorType::Command => Role::Admin,
        ConnectorType::FtpServer | ConnectorType::Folder | ConnectorType::Webhook => Role::Editor,
    }
}

/// Refuses if the visitor may not edit connectors of that type.
pub fn may_edit(context: &Context, kind: ConnectorType) -> Result<(), WebError> {
    if context.may(editor_of(kind)) {
        return Ok(());
    }
    let words = "Nothing was saved. A Command runs programs of this machine; ask an admin to add or change it.";
    Err(WebError::new(StatusCode::FORBIDDEN, "Only an admin edits a Command", words))
}

/// The end of a change: its result, or why nothing was saved.
pub type Ended<T> = Result<Result<T, SaveError>, WebError>;

/// Adds a connector. A password or secret missing from `values` is generated.
pub async fn add_connector(context: &Context, id: &ConnectorId, mut values: Texts) -> Ended<Option<Made>> {
    let state = &context.state;
    let kind = type_of(&values);
    may_edit(context, kind)?;
    let chosen = match take_credential(&mut values, kind, id.as_str()) {
        Ok(chosen) => chosen,
        Err(mistake) => {
            // Other mistakes are reported at the same time.
            let mut mistakes = vec![mistake];
            values.retain(|key, _| CredentialKind::parse(key).is_none());
            mistakes.extend(ConnectorSettings::parse(&values).err().unwrap_or_default());
            return Ok(Err(SaveError::Mistakes(mistakes)));
        }
    };
    let made = if chosen.is_none() { kind.credential().map(Made::new) } else { None };
    let credential = chosen.as_ref().or(made.as_ref().map(|made| &made.secret));
    let credential = sealed(context, kind, credential).await?;
    let connecting = state.connecting();
    let added = context.changing(async |change| connecting.add(id, &values, credential, change).await);
    if let Err(error) = added.await {
        return Ok(Err(error));
    }
    state.live.refresh().await?;
    Ok(Ok(made))
}

/// Saves settings and, where one is given, a new password or secret.
pub async fn save_connector(context: &Context, found: &StoredConnector, wanted: Wanted<Secret>) -> Ended<()> {
    let (state, kind) = (&context.state, type_of(&found.stored.texts));
    may_edit(context, kind)?;
    let Wanted { values, version, credential } = wanted;
    let credential = sealed(context, kind, credential.as_ref()).await?;
    let (connecting, wanted) = (state.connecting(), Wanted { values, version, credential });
    let saved = context.changing(async |change| connecting.save(found, wanted, change).await);
    if let Err(error) = saved.await {
        return Ok(Err(error));
    }
    state.live.refresh().await?;
    Ok(Ok(()))
}

/// The outcome of changing several connectors.
#[derive(Debug, Default)]
pub struct Switched {
    /// How many were changed, not counting those already in that state.
    pub changed: u64,
    /// The others, each with why.
    pub refused: Vec<String>,
}

/// Enables or disables connectors, one by one.
pub async fn set_enabled(context: &Context, ids: &[String], enabled: bool) -> Result<Switched, WebError> {
    let (state, snapshot) = (&context.state, context.state.live.snapshot());
    let mut done = Switched::default();
    for id in ids {
        let Some(live) = snapshot.connector(id) else {
            done.refused.push(format!("{id}: it is not there any more."));
            continue;
        };
        let settings = &live.connector.settings;
        if settings.enabled == enabled {
            continue;
        }
        if may_edit(context, settings.r#type).is_err() {
            done.refused.push(format!("{id}: only an admin changes a Command."));
            continue;
        }
        let values = Texts::from([("enabled".to_owned(), if enabled { "on" } else { "off" }.to_owned())]);
        let edit = Edit { values, ..Edit::default() };
        let id = &live.connector.id;
        match context.changing(async |change| connector::save(&state.db, id, &edit, change).await).await {
            Ok(()) => done.changed += 1,
            Err(SaveError::Mistakes(mistakes)) => {
                done.refused.extend(mistakes.first().map(|mistake| format!("{id}: {}.", mistake.message)));
            }
            Err(error) => return Err(WebError::internal(error)),
        }
    }
    state.live.refresh().await?;
    Ok(done)
}

/// The stored form of a password or secret.
async fn sealed(
    context: &Context,
    kind: ConnectorType,
    credential: Option<&Secret>,
) -> Result<Option<Credential>, WebError> {
    Ok(match (credential, kind.credential()) {
        (Some(password), Some(CredentialKind::Password)) => {
            Some(Credential::Password(context.state.gate.hasher().hash(password).await?))
        }
        (Some(secret), Some(CredentialKind::Secret)) => {
            Some(Credential::Secret(secret.clone(), context.state.secrets.clone()))
        }
        (None, _) | (_, None) => None,
    })
}
