//! The Automation tab of a connector: what its files set off besides being passed along.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::head::Head;
use super::send::in_force;
use crate::access::automation::Kept;
use crate::domain::action::{ActionSettings, COMMON};
use crate::domain::administrator::Role;
use crate::domain::connector::ConnectorId;
use crate::domain::flow::Target;
use crate::domain::setting::Texts;
use crate::domain::value::{ActionKind, ConnectorType};
use crate::store::action::{self, StoredAction};
use crate::store::delivery_page::{self, Waiting};
use crate::store::setting::SaveError;
use crate::web::change::may_edit;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::draft::{Draft, DraftView};
use crate::web::error::WebError;
use crate::web::form::{Kind, Section, SectionView};
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};
use crate::web::tone::Tone;

const SECTIONS: &[Section] = &[
    Section::new("Action", COMMON),
    Section::new("Webhook", &["url", "body"]).saying("For an action that posts."),
    Section::new("Mail", &["mail_to"]).saying("For an action that writes a letter."),
];
/// Where programs may be run.
const COMMAND: Section =
    Section::new("Command", &["program", "arguments"]).saying("For an action that runs a program.");

/// The query.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// An action to change.
    edit: String,
}

/// One action.
struct Row {
    id: String,
    words: String,
    /// Its state, in words, and its tone.
    state: String,
    tone: Tone,
    /// Whether the reader may change it.
    may_edit: bool,
}

#[derive(Template)]
#[template(path = "automation.html")]
struct AutomationPage {
    shell: Shell,
    head: Head,
    rows: Vec<Row>,
    sections: Vec<SectionView>,
    keys: String,
    /// Which action the form changes; empty: it adds one.
    editing: String,
    draft: DraftView,
    /// Whether that one signs its posts: a new secret can be generated.
    signs: bool,
    may_edit: bool,
}

/// The tab.
pub async fn show(context: Context, Path(id): Path<String>, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let (_, live) = in_force(&context, &id)?;
    let stored = find(&context, &live.connector.id, &asked.edit).await?;
    let draft = Draft::one(stored.as_ref().map(|one| (&one.texts, one.version)), ActionSettings::SETTINGS);
    Ok(html(&page(&context, &live.connector.id, &asked, &draft).await?)?.into_response())
}

async fn find(context: &Context, connector: &ConnectorId, id: &str) -> Result<Option<StoredAction>, WebError> {
    let found = action::find(&context.state.db, id).await?;
    Ok(found.filter(|one| one.connector_key == connector.key()))
}

/// The kind of action in these settings, if it can be read.
pub fn kind(texts: &Texts) -> Option<ActionKind> {
    ActionSettings::read(texts).ok().map(|settings| settings.kind)
}

/// Whether the reader may add or change actions that run a program.
fn runs_programs(context: &Context) -> bool {
    context.state.programs.folder().is_some() && context.may(Role::Admin)
}

async fn page(
    context: &Context,
    connector: &ConnectorId,
    asked: &Asked,
    draft: &Draft,
) -> Result<AutomationPage, WebError> {
    let waiting = delivery_page::waiting(&context.state.db).await?;
    let mut rows = Vec::new();
    let mut signs = false;
    for stored in action::of_connector(&context.state.db, connector.key()).await? {
        if let Ok(settings) = ActionSettings::parse(&stored.texts) {
            signs |= stored.id == asked.edit && settings.kind == ActionKind::Webhook;
            rows.push(row(context, &stored, &settings, &waiting));
        }
    }
    let all = if runs_programs(context) { [SECTIONS, &[COMMAND]].concat() } else { SECTIONS.to_vec() };
    let mut sections = draft.form.sections(ActionSettings::SETTINGS, &all);
    let mut fields = sections.iter_mut().flat_map(|section| &mut section.fields);
    if !runs_programs(context)
        && let Some(kinds) = fields.find(|field| field.key == "kind")
    {
        // One that runs a program stays what it is while the reader disables it.
        kinds.choices.retain(|choice| choice.chosen || choice.value != ActionKind::Command.name());
    }
    let title = draft.title(&format!("{connector} automation"));
    Ok(AutomationPage {
        shell: Shell::new(context, title, Nav::Flows).await?,
        head: Head::new(context, connector, "automation").await?,
        rows,
        sections,
        keys: Section::keys(&all).join(","),
        editing: if draft.is_gone { String::new() } else { asked.edit.clone() },
        draft: draft.view(),
        signs,
        may_edit: context.may(Role::Editor),
    })
}

fn row(context: &Context, stored: &StoredAction, settings: &ActionSettings, waiting: &[Waiting]) -> Row {
    let (state, tone) = standing(&Target::Action(stored.id.clone()), settings.enabled, waiting);
    let may_edit = context.may(if settings.kind == ActionKind::Command { Role::Admin } else { Role::Editor });
    Row { id: stored.id.clone(), words: settings.in_words(), state, tone, may_edit }
}

/// The state of an action or event target, in words, and its tone.
pub fn standing(target: &Target, enabled: bool, waiting: &[Waiting]) -> (String, Tone) {
    let target = target.text();
    let lanes = waiting.iter().filter(|lane| lane.target == target);
    match lanes.fold((0, 0), |(count, retrying), lane| (count + lane.count, retrying + lane.retrying)) {
        (0, _) if enabled => ("Enabled".to_owned(), Tone::Good),
        (0, _) => ("Disabled".to_owned(), Tone::Plain),
        (count, 0) => (format!("{count} waiting"), Tone::Warning),
        (count, _) => (format!("{count} waiting, tried again"), Tone::Bad),
    }
}

/// Adds or changes one.
pub async fn save(context: Context, Path(id): Path<String>, posted: Posted) -> Result<Response, WebError> {
    let (_, live) = in_force(&context, &id)?;
    let connector = &live.connector.id;
    let mut draft = Draft::typed(&posted, ActionSettings::SETTINGS);
    let asked = Asked { edit: posted.text("action").to_owned() };
    let mut there = find(&context, connector, &asked.edit).await?;
    let stored = there.as_ref().map(|one| one.texts.clone()).unwrap_or_default();
    check_kinds(&context, &[kind(&stored), kind(&draft.form.texts)])?;
    draft.form.fill(&stored);
    if let (Some(there), Some(version)) = (&mut there, draft.version()) {
        there.version = version;
    }
    let state = &context.state;
    let saved = if there.is_none() && !asked.edit.is_empty() {
        Err(SaveError::Stale(Box::default()))
    } else {
        let (keeper, anew, texts) = (state.keeper(), posted.get("generate").is_some(), &draft.form.texts);
        context.changing(async |change| keeper.put_action(connector, (there.as_ref(), texts), anew, change).await).await
    };
    let Some(kept) = draft.settle_one(saved)? else {
        return draft.answer(&page(&context, connector, &asked, &draft).await?);
    };
    state.live.refresh().await?;
    let base = format!("/connectors/{connector}/automation");
    context.leave(&base, note(kept));
    Ok(Redirect::to(&base).into_response())
}

/// Only admins decide about running programs.
pub fn check_kinds(context: &Context, kinds: &[Option<ActionKind>]) -> Result<(), WebError> {
    let runs = kinds.contains(&Some(ActionKind::Command));
    may_edit(context, if runs { ConnectorType::Command } else { ConnectorType::FtpServer })
}

/// The page's note about what was saved, with a generated secret.
pub fn note(kept: Kept) -> Note {
    let words = kept.words;
    let text = match &kept.secret {
        Some(_) => format!("Saved: {words}. Its signing secret is shown here once; give it to the receiver now."),
        None => format!("Saved: {words}."),
    };
    Note { tone: Tone::Good, text, password: kept.secret }
}

/// Removes one.
pub async fn remove(context: Context, Path(id): Path<String>, posted: Posted) -> Result<Response, WebError> {
    let (_, live) = in_force(&context, &id)?;
    let connector = &live.connector.id;
    let base = format!("/connectors/{connector}/automation");
    let Some(stored) = find(&context, connector, posted.text("action")).await? else {
        context.leave(&base, Note::done("That action was removed already."));
        return Ok(Redirect::to(&base).into_response());
    };
    check_kinds(&context, &[kind(&stored.texts)])?;
    let words = ActionSettings::parse(&stored.texts).map(|settings| settings.in_words()).unwrap_or_default();
    let db = &context.state.db;
    context.changing(async |change| action::remove(db, &stored, connector, change).await).await?;
    context.state.live.refresh().await?;
    context.leave(&base, Note::done(format!("Removed: {words}. What waited for it has stopped.")));
    Ok(Redirect::to(&base).into_response())
}
