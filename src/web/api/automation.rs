//! Actions and event targets: listed, added, changed and removed, as on the pages and the command line.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::answer::ApiError;
use super::asked::Whole;
use super::body::Body;
use crate::base::secret::Secret;
use crate::domain::action::ActionSettings;
use crate::domain::event_target::EventTargetSettings;
use crate::domain::setting::{Mistake, Setting, Texts};
use crate::domain::value::typed;
use crate::store::action::{self, StoredAction};
use crate::store::event_target::{self, StoredTarget};
use crate::store::exported::{SetOff, Settings};
use crate::web::context::Context;
use crate::web::pages::automation::{check_kinds, kind};

#[derive(Serialize)]
struct Actions<'a> {
    actions: Vec<SetOff<'a>>,
}

#[derive(Serialize)]
struct EventTargets<'a> {
    event_targets: Vec<SetOff<'a>>,
}

/// One that was saved.
#[derive(Serialize)]
struct Saved<'a> {
    #[serde(flatten)]
    one: SetOff<'a>,
    /// Shown only this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

const fn exported<'a>(
    id: &'a str,
    connector: Option<&'a str>,
    (table, texts): (&'static [Setting], &'a Texts),
) -> SetOff<'a> {
    SetOff { id, connector, settings: Settings::of(table, texts) }
}

/// The id of a connector as written.
fn written(context: &Context, key: &str) -> String {
    context.state.live.written_id(key).map_or_else(|| key.to_owned(), |id| id.to_string())
}

/// Every action, connector by connector.
pub async fn actions(context: Context, _: Whole) -> Result<Response, ApiError> {
    let all = action::stored(&context.state.db).await?;
    let owners: Vec<_> = all.iter().map(|one| written(&context, &one.connector_key)).collect();
    let table = ActionSettings::SETTINGS;
    let listed = all.iter().zip(&owners);
    let actions = listed.map(|(one, owner)| exported(&one.id, Some(owner.as_str()), (table, &one.texts))).collect();
    Ok(Json(Actions { actions }).into_response())
}

async fn find_action(context: &Context, id: &str) -> Result<StoredAction, ApiError> {
    action::find(&context.state.db, id).await?.ok_or_else(|| ApiError::none("action", "actions", id))
}

/// Adds an action of a partner. The secret of a webhook is generated, and shown only in this answer.
pub async fn add_action(context: Context, mut body: Body) -> Result<Response, ApiError> {
    let (connector, texts) = (body.text("connector"), body.settings());
    body.done()?;
    put_action(&context, (&connector, None), &texts, false).await
}

/// Changes the given settings; with `new_secret` it gets another signing secret.
pub async fn change_action(context: Context, Path(id): Path<String>, mut body: Body) -> Result<Response, ApiError> {
    let (values, anew) = (body.settings(), body.flag("new_secret"));
    body.done()?;
    let stored = find_action(&context, &id).await?;
    check_kinds(&context, &[kind(&stored.texts)])?;
    let mut texts = stored.texts.clone();
    texts.extend(values);
    put_action(&context, (&stored.connector_key, Some(&stored)), &texts, anew).await
}

async fn put_action(
    context: &Context,
    (connector, there): (&str, Option<&StoredAction>),
    texts: &Texts,
    anew: bool,
) -> Result<Response, ApiError> {
    check_kinds(context, &[kind(texts)])?;
    let snapshot = context.state.live.snapshot();
    let Some(owner) = snapshot.connector(connector).map(|live| &live.connector.id) else {
        let words = format!("{} isn't a connector; only partners have actions", typed(connector));
        return Err(ApiError::Mistakes(vec![Mistake::new("connector", words)]));
    };
    let keeper = context.state.keeper();
    let kept = context.changing(async |change| keeper.put_action(owner, (there, texts), anew, change).await).await?;
    context.state.live.refresh().await?;
    let stored = find_action(context, &kept.id).await?;
    let one = exported(&stored.id, Some(owner.as_str()), (ActionSettings::SETTINGS, &stored.texts));
    Ok(saved(one, ("actions", there.is_none()), kept.secret.as_ref()))
}

/// A new one has an address of its own.
fn saved(one: SetOff<'_>, (list, is_new): (&str, bool), secret: Option<&Secret>) -> Response {
    let place = format!("/api/v1/{list}/{}", one.id);
    let answer = Json(Saved { one, secret: secret.map(Secret::reveal) });
    if is_new { (StatusCode::CREATED, [(LOCATION, place)], answer).into_response() } else { answer.into_response() }
}

/// Removes an action. Its waiting deliveries stop.
pub async fn remove_action(context: Context, Path(id): Path<String>) -> Result<Response, ApiError> {
    let stored = find_action(&context, &id).await?;
    check_kinds(&context, &[kind(&stored.texts)])?;
    let owner = context.state.live.written_id(&stored.connector_key);
    let owner = owner.ok_or_else(|| ApiError::none("connector", "connectors", &stored.connector_key))?;
    let db = &context.state.db;
    context.changing(async |change| action::remove(db, &stored, &owner, change).await).await?;
    context.state.live.refresh().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Every event target.
pub async fn event_targets(context: Context, _: Whole) -> Result<Response, ApiError> {
    let all = event_target::all(&context.state.db).await?;
    let table = EventTargetSettings::SETTINGS;
    let event_targets = all.iter().map(|one| exported(&one.id, None, (table, &one.texts))).collect();
    Ok(Json(EventTargets { event_targets }).into_response())
}

async fn find_target(context: &Context, id: &str) -> Result<StoredTarget, ApiError> {
    event_target::find(&context.state.db, id).await?.ok_or_else(|| ApiError::none("event target", "event-targets", id))
}

/// Adds an event target. Its signing secret is generated, and shown only in this answer.
pub async fn add_event_target(context: Context, mut body: Body) -> Result<Response, ApiError> {
    let texts = body.settings();
    body.done()?;
    put_event_target(&context, None, &texts, false).await
}

/// Changes the given settings; with `new_secret` it gets another signing secret.
pub async fn change_event_target(
    context: Context,
    Path(id): Path<String>,
    mut body: Body,
) -> Result<Response, ApiError> {
    let (values, anew) = (body.settings(), body.flag("new_secret"));
    body.done()?;
    let stored = find_target(&context, &id).await?;
    let mut texts = stored.texts.clone();
    texts.extend(values);
    put_event_target(&context, Some(&stored), &texts, anew).await
}

async fn put_event_target(
    context: &Context,
    there: Option<&StoredTarget>,
    texts: &Texts,
    anew: bool,
) -> Result<Response, ApiError> {
    let (keeper, is_new) = (context.state.keeper(), there.is_none());
    let put = context.changing(async |change| keeper.put_event_target((there, texts), anew, change).await);
    let kept = put.await?;
    context.state.live.refresh().await?;
    let stored = find_target(context, &kept.id).await?;
    let one = exported(&stored.id, None, (EventTargetSettings::SETTINGS, &stored.texts));
    Ok(saved(one, ("event-targets", is_new), kept.secret.as_ref()))
}

/// Removes an event target. Its waiting deliveries stop.
pub async fn remove_event_target(context: Context, Path(id): Path<String>) -> Result<Response, ApiError> {
    let stored = find_target(&context, &id).await?;
    let db = &context.state.db;
    context.changing(async |change| event_target::remove(db, &stored, change).await).await?;
    context.state.live.refresh().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
