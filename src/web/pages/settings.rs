//! Settings of the appliance as a whole.

use std::net::IpAddr;

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use super::profiles::{Conflict, conflicts};
use crate::base::human;
use crate::domain::appliance::ApplianceSettings;
use crate::domain::setting::{Mistake, Texts};
use crate::store::profile;
use crate::store::setting::{SaveError, Stored};
use crate::transfer::retention::{self, Due};
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::form::{Field, Kind, Problem, SettingForm, posted_texts};
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};

const PATH: &str = "/settings";

/// The sections, with the keys of their fields.
const SECTIONS: &[(&str, &[&str])] = &[
    ("Names and time", &["public_host", "web_hosts", "time_zone"]),
    ("Web interface", &["web_https", "web_certificates"]),
    ("Deliveries", &["delivery_retries", "delivery_retry_first_s", "delivery_retry_longest_s", "webhook_networks"]),
    ("How long records are kept", &["receipts_keep_days", "transfers_keep_days", "events_keep_days", "sent_keep_days"]),
];

struct Section {
    title: &'static str,
    fields: Vec<Field>,
}

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    shell: Shell,
    sections: Vec<Section>,
    keys: String,
    version: i64,
    problems: Vec<Problem>,
    conflicts: Vec<Conflict>,
    conflict_by: String,
    /// What would go by what is typed; shown when it was asked for.
    preview: Option<Vec<Row>>,
}

/// A line of the preview.
struct Row {
    what: &'static str,
    amount: String,
}

impl Row {
    fn of(due: &Due) -> Self {
        let count = human::thousands(due.count);
        let amount = match due.bytes {
            Some(bytes) => format!("{count}, {}", human::size(bytes)),
            None => count,
        };
        Self { what: due.what, amount }
    }
}

async fn page(context: &Context, form: &SettingForm, version: i64) -> Result<SettingsPage, WebError> {
    let section = |(title, keys): &(&'static str, &[&str])| Section {
        title,
        fields: form.fields(ApplianceSettings::SETTINGS, keys),
    };
    let keys: Vec<&str> = SECTIONS.iter().flat_map(|(_, keys)| keys.iter().copied()).collect();
    let problems = form.summary(ApplianceSettings::SETTINGS);
    Ok(SettingsPage {
        shell: Shell::new(context, Problem::title(&problems, "Settings").0, Nav::Settings).await?,
        sections: SECTIONS.iter().map(section).collect(),
        keys: keys.join(","),
        version,
        problems,
        conflicts: Vec::new(),
        conflict_by: String::new(),
        preview: None,
    })
}

/// The form with what is stored.
pub async fn show(context: Context) -> Result<Response, WebError> {
    let stored = profile::load_appliance(&context.state.db).await?;
    let page = page(&context, &SettingForm::showing(stored.texts), stored.version).await?;
    Ok(html(&page)?.into_response())
}

/// Saves.
pub async fn save(context: Context, posted: Posted) -> Result<Response, WebError> {
    let state = &context.state;
    let texts = posted_texts(&posted, ApplianceSettings::SETTINGS);
    let version = posted.text("version").parse().ok();
    let mut form = SettingForm::showing(texts.clone());
    if !posted.text("preview").is_empty() {
        return preview(&context, form, &texts, version).await;
    }
    if let Some(mistake) = shut_out(&context, &texts).await? {
        form.refuse(vec![mistake]);
        return refused(&context, &form, version).await;
    }
    match context.changing(async |change| profile::save_appliance(&state.db, &texts, version, change).await).await {
        Ok(()) => {}
        Err(SaveError::Mistakes(mistakes)) => {
            form.refuse(mistakes);
            return refused(&context, &form, version).await;
        }
        Err(SaveError::Stale(stored)) => return stale(&context, &form, &stored).await,
        Err(error) => return Err(WebError::internal(error)),
    }
    state.live.refresh().await?;
    context.leave(PATH, Note::done("Saved. In force now."));
    Ok(Redirect::to(PATH).into_response())
}

/// What would be removed if what is typed were saved. Nothing is.
async fn preview(
    context: &Context,
    mut form: SettingForm,
    texts: &Texts,
    version: Option<i64>,
) -> Result<Response, WebError> {
    let mut merged = profile::load_appliance(&context.state.db).await?.texts;
    merged.extend(texts.clone());
    let settings = match ApplianceSettings::parse(&merged) {
        Ok(settings) => settings,
        Err(mistakes) => {
            form.refuse(mistakes);
            return refused(context, &form, version).await;
        }
    };
    let (depot, snapshot) = (&context.state.depot, context.state.live.snapshot());
    let mut rows: Vec<_> = retention::preview(depot, &settings, &snapshot).await?.iter().map(Row::of).collect();
    rows.push(Row::of(&retention::held_now(depot).await?));
    let mut page = page(context, &form, version.unwrap_or(0)).await?;
    page.preview = Some(rows);
    Ok(html(&page)?.into_response())
}

async fn refused(context: &Context, form: &SettingForm, version: Option<i64>) -> Result<Response, WebError> {
    let page = page(context, form, version.unwrap_or(0)).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, html(&page)?).into_response())
}

async fn stale(context: &Context, form: &SettingForm, stored: &Stored) -> Result<Response, WebError> {
    let mut page = page(context, form, stored.version).await?;
    page.conflicts = conflicts(form, stored, ApplianceSettings::SETTINGS);
    page.conflict_by.clone_from(&stored.changed_by);
    "Error: Settings".clone_into(&mut page.shell.title);
    Ok((StatusCode::CONFLICT, html(&page)?).into_response())
}

/// What is wrong when the name by which the visitor is here would not be answered any more. Other mistakes are told by
/// the save itself.
async fn shut_out(context: &Context, texts: &Texts) -> Result<Option<Mistake>, WebError> {
    let mut merged = profile::load_appliance(&context.state.db).await?.texts;
    merged.extend(texts.clone());
    let Ok(settings) = ApplianceSettings::parse(&merged) else { return Ok(None) };
    let host = &context.visitor.host;
    let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let is_public = settings.public_host.is_some_and(|public| public.to_string().eq_ignore_ascii_case(host));
    if is_address || is_public || host.eq_ignore_ascii_case("localhost") || settings.web_hosts.contains(host) {
        return Ok(None);
    }
    let words = format!("You are here as {host}, and these names leave it out: this page would be gone. Add {host}");
    Ok(Some(Mistake::new("web_hosts", words)))
}
