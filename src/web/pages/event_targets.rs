//! Profiles, Event targets: who is told of events by webhook.

use std::time::Duration;

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::automation::{note, standing};
use crate::base::id::EventId;
use crate::domain::administrator::Role;
use crate::domain::event::EventKind;
use crate::domain::event_target::EventTargetSettings;
use crate::domain::flow::Target;
use crate::store::delivery_page::{self, Waiting};
use crate::store::event::Event;
use crate::store::event_target::{self, StoredTarget};
use crate::store::set_off::{self, New};
use crate::store::setting::SaveError;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::draft::{Draft, DraftView};
use crate::web::error::WebError;
use crate::web::form::{Field, Kind};
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};
use crate::web::tone::Tone;

const PATH: &str = "/profiles/events";
const KEYS: &[&str] = &["description", "url", "which", "kinds", "enabled"];
/// How long a test waits for its first attempt, and how often it checks.
const TEST_WITHIN: Duration = Duration::from_secs(10);
const TEST_LOOK_EVERY: Duration = Duration::from_millis(100);

/// The query.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// One to change.
    edit: String,
}

/// One event target.
struct Row {
    id: String,
    words: String,
    description: String,
    state: String,
    tone: Tone,
}

#[derive(Template)]
#[template(path = "event_targets.html")]
struct EventTargetsPage {
    shell: Shell,
    rows: Vec<Row>,
    fields: Vec<Field>,
    keys: String,
    /// Which one the form changes; empty: it adds one.
    editing: String,
    draft: DraftView,
    may_edit: bool,
}

/// The list and the form.
pub async fn show(context: Context, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let stored = find(&context, &asked.edit).await?;
    let draft = Draft::one(stored.as_ref().map(|one| (&one.texts, one.version)), EventTargetSettings::SETTINGS);
    Ok(html(&page(&context, &asked, &draft).await?)?.into_response())
}

async fn find(context: &Context, id: &str) -> Result<Option<StoredTarget>, WebError> {
    Ok(event_target::find(&context.state.db, id).await?)
}

async fn page(context: &Context, asked: &Asked, draft: &Draft) -> Result<EventTargetsPage, WebError> {
    let waiting = delivery_page::waiting(&context.state.db).await?;
    let mut rows = Vec::new();
    for stored in event_target::all(&context.state.db).await? {
        if let Ok(settings) = EventTargetSettings::parse(&stored.texts) {
            rows.push(row(stored.id, &settings, &waiting));
        }
    }
    Ok(EventTargetsPage {
        shell: Shell::new(context, draft.title("Event targets"), Nav::Profiles).await?,
        rows,
        fields: draft.form.fields(EventTargetSettings::SETTINGS, KEYS),
        keys: KEYS.join(","),
        editing: if draft.is_gone { String::new() } else { asked.edit.clone() },
        draft: draft.view(),
        may_edit: context.may(Role::Admin),
    })
}

fn row(id: String, settings: &EventTargetSettings, waiting: &[Waiting]) -> Row {
    let (state, tone) = standing(&Target::Events(id.clone()), settings.enabled, waiting);
    Row { id, words: settings.in_words(), description: settings.description.as_str().to_owned(), state, tone }
}

/// Adds or changes one.
pub async fn save(context: Context, posted: Posted) -> Result<Response, WebError> {
    let state = &context.state;
    let asked = Asked { edit: posted.text("target").to_owned() };
    let mut draft = Draft::typed(&posted, EventTargetSettings::SETTINGS);
    let mut there = find(&context, &asked.edit).await?;
    if let (Some(there), Some(version)) = (&mut there, draft.version()) {
        there.version = version;
    }
    let saved = if there.is_none() && !asked.edit.is_empty() {
        Err(SaveError::Stale(Box::default()))
    } else {
        let (keeper, anew, texts) = (state.keeper(), posted.get("generate").is_some(), &draft.form.texts);
        context.changing(async |change| keeper.put_event_target((there.as_ref(), texts), anew, change).await).await
    };
    let Some(kept) = draft.settle_one(saved)? else {
        return draft.answer(&page(&context, &asked, &draft).await?);
    };
    state.live.refresh().await?;
    context.leave(PATH, note(kept));
    Ok(Redirect::to(PATH).into_response())
}

/// Removes one.
pub async fn remove(context: Context, posted: Posted) -> Result<Response, WebError> {
    let Some(stored) = find(&context, posted.text("target")).await? else { return Ok(gone(&context)) };
    let words = EventTargetSettings::parse(&stored.texts).map(|settings| settings.in_words()).unwrap_or_default();
    let db = &context.state.db;
    context.changing(async |change| event_target::remove(db, &stored, change).await).await?;
    context.state.live.refresh().await?;
    context.leave(PATH, Note::done(format!("Removed: {words}. What waited for it has stopped.")));
    Ok(Redirect::to(PATH).into_response())
}

/// For one that somebody removed meanwhile.
fn gone(context: &Context) -> Response {
    context.leave(PATH, Note::done("That event target was removed already."));
    Redirect::to(PATH).into_response()
}

/// *Send test event*: an event only for this one, and its receiver's answer.
pub async fn test(context: Context, posted: Posted) -> Result<Response, WebError> {
    let state = &context.state;
    let Some(stored) = find(&context, posted.text("target")).await? else { return Ok(gone(&context)) };
    let summary = format!("{} asked for this event to see whether it arrives", context.who());
    let event = Event::new(&state.ids, EventKind::Test, context.now(), summary);
    let new = New {
        event_id: event.id.clone(),
        receipt_id: None,
        source_key: String::new(),
        target: Target::Events(stored.id),
        due: event.at,
    };
    set_off::begin(&state.db, &event, &new).await?;
    let note = match first_attempt(&context, &event.id).await? {
        Some(one) if one.outcome == "delivered" => Note::done(format!("Sent. The receiver said: {}", one.answer)),
        Some(one) => {
            Note { tone: Tone::Warning, text: format!("Not sent, and tried again: {}", one.answer), password: None }
        }
        None => Note {
            tone: Tone::Warning,
            text: "Not sent yet: it waits for its turn. The page of the event tells its attempts.".to_owned(),
            password: None,
        },
    };
    context.leave(PATH, note);
    Ok(Redirect::to(PATH).into_response())
}

/// The first attempt to deliver an event, if it comes in time.
async fn first_attempt(context: &Context, event: &EventId) -> Result<Option<delivery_page::Try>, WebError> {
    let db = &context.state.db;
    let until = tokio::time::Instant::now() + TEST_WITHIN;
    loop {
        for delivery in delivery_page::of_event(db, event, None).await? {
            if let Some(first) = delivery_page::tries(db, delivery.id).await?.into_iter().next() {
                return Ok(Some(first));
            }
        }
        if tokio::time::Instant::now() >= until {
            return Ok(None);
        }
        tokio::time::sleep(TEST_LOOK_EVERY).await;
    }
}
