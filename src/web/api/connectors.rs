//! Connectors: listed, shown, added, changed and removed, as in the forms and on the command line.

use axum::Json;
use axum::extract::{Path, RawQuery};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::answer::ApiError;
use super::asked::{Whole, read};
use super::body::{Body, whole};
use crate::access::connecting::Wanted;
use crate::domain::connector::{ConnectorId, ConnectorSettings, no_such_credential, take_credential, type_of};
use crate::domain::setting::{Mistake, Texts, merged};
use crate::domain::value::CredentialKind;
use crate::store::connector::{self, StoredConnector};
use crate::store::{delivery_page, exported};
use crate::web::change::{self, Made};
use crate::web::context::Context;
use crate::web::pages::connectors::find;

#[derive(Serialize)]
struct List<'a> {
    connectors: Vec<exported::Connector<'a>>,
}

/// Every one, by id.
pub async fn list(context: Context, _: Whole) -> Result<Response, ApiError> {
    let all = connector::all(&context.state.db).await?;
    Ok(Json(List { connectors: all.iter().map(exported::Connector::of).collect() }).into_response())
}

/// One, with all its settings.
pub async fn show(context: Context, Path(id): Path<String>) -> Result<Response, ApiError> {
    let found = find(&context, &id).await?;
    Ok(Json(exported::WholeConnector::of(&found)).into_response())
}

#[derive(Serialize)]
struct Added<'a> {
    #[serde(flatten)]
    connector: exported::WholeConnector<'a>,
    /// Shown only this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

/// Adds one. A missing password or secret is generated, and shown only in this answer.
pub async fn add(context: Context, mut body: Body) -> Result<Response, ApiError> {
    let (id, values) = (body.text("id"), body.settings());
    body.done()?;
    let id = ConnectorId::parse(&id).map_err(|words| ApiError::Mistakes(vec![Mistake::new("id", words)]))?;
    let made = change::add_connector(&context, &id, values).await??;
    let found = find(&context, id.as_str()).await?;
    let of = |kind| made.as_ref().filter(|made| made.kind == kind).map(|made| made.secret.reveal());
    let connector = exported::WholeConnector::of(&found);
    let added = Added { connector, password: of(CredentialKind::Password), secret: of(CredentialKind::Secret) };
    let place = format!("/api/v1/connectors/{id}");
    Ok((StatusCode::CREATED, [(LOCATION, place)], Json(added)).into_response())
}

/// Changes the given settings, or the password.
pub async fn change(context: Context, Path(id): Path<String>, mut body: Body) -> Result<Response, ApiError> {
    let (values, version, anyway) = (body.settings(), body.version(), body.flag("anyway"));
    body.done()?;
    let found = find(&context, &id).await?;
    ask_first(&context, &found, &values, anyway).await?;
    save(context, found, values, version).await
}

/// Replaces all of its settings. Its type stays, and so does a password that is not given.
pub async fn put(context: Context, Path(id): Path<String>, mut body: Body) -> Result<Response, ApiError> {
    let (mut values, version, anyway) = (body.all_settings(), body.version(), body.flag("anyway"));
    body.done()?;
    let found = find(&context, &id).await?;
    ask_first(&context, &found, &values, anyway).await?;
    values.entry("type".to_owned()).or_insert_with(|| type_of(&found.stored.texts).name().to_owned());
    save(context, found, whole(values, ConnectorSettings::SETTINGS), version).await
}

/// 409 if files wait for a connector that would be disabled.
async fn ask_first(context: &Context, found: &StoredConnector, values: &Texts, anyway: bool) -> Result<(), ApiError> {
    let texts = (&found.stored.texts, values);
    told(delivery_page::before_disabling(&context.state.db, &found.id, texts).await?, anyway, "\"anyway\": true")
}

/// Affecting files that wait needs confirmation.
fn told(waits: Option<String>, anyway: bool, how: &str) -> Result<(), ApiError> {
    match waits.filter(|_| !anyway) {
        None => Ok(()),
        Some(words) => {
            let words = format!("{words}. Nothing was done; send {how} to do it all the same.");
            Err(ApiError::new(StatusCode::CONFLICT, "Files wait", words))
        }
    }
}

async fn save(
    context: Context,
    found: StoredConnector,
    mut values: Texts,
    version: Option<i64>,
) -> Result<Response, ApiError> {
    let taken = take_credential(&mut values, type_of(&found.stored.texts), found.id.as_str());
    let credential = match taken {
        Ok(credential) => credential,
        Err(mistake) => {
            // What else is wrong is told at the same time.
            values.remove(&mistake.key);
            let more = ConnectorSettings::parse(&merged(&found.stored.texts, &values)).err().unwrap_or_default();
            return Err(ApiError::Mistakes(std::iter::once(mistake).chain(more).collect()));
        }
    };
    change::save_connector(&context, &found, Wanted { values, version, credential }).await??;
    show(context, Path(found.id.to_string())).await
}

/// Sets a new password or secret; a missing one is generated, and shown only in this answer.
pub async fn password(context: Context, Path(id): Path<String>, mut body: Body) -> Result<Response, ApiError> {
    let found = find(&context, &id).await?;
    let kind = type_of(&found.stored.texts);
    let Some(own) = kind.credential() else {
        return Err(ApiError::Mistakes(vec![no_such_credential(kind, CredentialKind::Password)]));
    };
    let typed = body.text(own.name());
    body.done()?;
    let (credential, made) = if typed.is_empty() {
        let made = Made::new(own);
        (Some(made.secret.clone()), Some(made))
    } else {
        let taken = take_credential(&mut Texts::from([(own.name().to_owned(), typed)]), kind, found.id.as_str());
        (taken.map_err(|mistake| ApiError::Mistakes(vec![mistake]))?, None)
    };
    let wanted = Wanted { values: Texts::new(), version: None, credential };
    change::save_connector(&context, &found, wanted).await??;
    match made {
        Some(made) => Ok(Json(json!({ own.name(): made.secret.reveal() })).into_response()),
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

/// How one is removed.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Removal {
    anyway: bool,
}

/// Removes one. Its files, receipts and events stay.
pub async fn remove(context: Context, Path(id): Path<String>, query: RawQuery) -> Result<Response, ApiError> {
    let removal: Removal = read(query, &["anyway"])?;
    let found = find(&context, &id).await?;
    change::may_edit(&context, type_of(&found.stored.texts))?;
    let db = &context.state.db;
    told(delivery_page::before_removing(db, &found.id).await?, removal.anyway, "?anyway=true")?;
    context.changing(async |change| connector::remove(db, &found.id, change).await).await?;
    context.state.live.refresh().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
