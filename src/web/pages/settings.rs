//! Settings of the appliance as a whole.

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};

use super::kept::Row;
use crate::domain::appliance::ApplianceSettings;
use crate::domain::setting::{Mistake, Texts, merged};
use crate::store::profile;
use crate::transfer::retention;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::draft::{Draft, DraftView};
use crate::web::error::WebError;
use crate::web::form::{Kind, Section, SectionView, choose_certificates};
use crate::web::https::Clear;
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell};

const PATH: &str = "/settings";

const SECTIONS: &[Section] = &[
    Section::new("Names and time", &["public_host", "web_hosts", "time_zone"]),
    Section::new("Web interface", &["web_https", "web_certificates"]),
    Section::new(
        "Deliveries",
        &["delivery_retries", "delivery_retry_first_s", "delivery_retry_longest_s", "webhook_networks"],
    ),
    Section::new("Application log", &["log_target"]),
    Section::new(
        "How long records are kept",
        &["receipts_keep_days", "transfers_keep_days", "events_keep_days", "sent_keep_days"],
    ),
];

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    shell: Shell,
    sections: Vec<SectionView>,
    keys: String,
    draft: DraftView,
    /// What the typed settings would remove; shown on request.
    preview: Option<Vec<Row>>,
}

async fn page(context: &Context, draft: &Draft) -> Result<SettingsPage, WebError> {
    let certificates: Vec<_> =
        context.state.certificates.list().iter().map(|held| held.stored.name.to_string()).collect();
    let mut sections = draft.form.sections(ApplianceSettings::SETTINGS, SECTIONS);
    let mut fields = sections.iter_mut().flat_map(|section| &mut section.fields);
    if let Some(field) = fields.find(|field| field.key == "web_certificates") {
        choose_certificates(field, &certificates);
        "Those of the FTP server".clone_into(&mut field.note);
    }
    Ok(SettingsPage {
        shell: Shell::new(context, draft.title("Settings"), Nav::Settings).await?,
        sections,
        keys: Section::keys(SECTIONS).join(","),
        draft: draft.view(),
        preview: None,
    })
}

/// The form with the stored settings.
pub async fn show(context: Context) -> Result<Response, WebError> {
    let draft = Draft::stored(profile::load_appliance(&context.state.db).await?, ApplianceSettings::SETTINGS);
    draft.answer(&page(&context, &draft).await?)
}

/// Saves.
pub async fn save(context: Context, posted: Posted) -> Result<Response, WebError> {
    let mut draft = Draft::typed(&posted, ApplianceSettings::SETTINGS);
    if !posted.text("preview").is_empty() {
        return preview(&context, draft).await;
    }
    if let Some(mistake) = shut_out(&context, &draft.form.texts).await? {
        draft.form.refuse(vec![mistake]);
    }
    if !draft.form.mistakes.is_empty() || !draft.save_appliance(&context).await? {
        return draft.answer(&page(&context, &draft).await?);
    }
    context.state.live.refresh().await?;
    context.leave(PATH, Note::done("Saved. In force now."));
    Ok(Redirect::to(PATH).into_response())
}

/// What saving the typed settings would remove. Removes nothing.
async fn preview(context: &Context, mut draft: Draft) -> Result<Response, WebError> {
    let stored = profile::load_appliance(&context.state.db).await?.texts;
    let settings = match ApplianceSettings::parse(&merged(&stored, &draft.form.texts)) {
        Ok(settings) => settings,
        Err(mistakes) => {
            draft.form.refuse(mistakes);
            return draft.answer(&page(context, &draft).await?);
        }
    };
    let (depot, snapshot) = (&context.state.depot, context.state.live.snapshot());
    let mut rows: Vec<_> = retention::preview(depot, &settings, &snapshot).await?.iter().map(Row::of).collect();
    rows.push(Row::of(&retention::held_now(depot).await?));
    let mut page = page(context, &draft).await?;
    page.preview = Some(rows);
    draft.answer(&page)
}

/// The mistake if the visitor's own name for this server would no longer be answered, or if HTTPS is turned off
/// although the pages may not be served in clear. The save reports other mistakes.
pub async fn shut_out(context: &Context, texts: &Texts) -> Result<Option<Mistake>, WebError> {
    let stored = profile::load_appliance(&context.state.db).await?.texts;
    // Where it is off already it is not what is being saved.
    let was_https = ApplianceSettings::parse(&stored).is_ok_and(|stored| stored.web_https);
    let Ok(settings) = ApplianceSettings::parse(&merged(&stored, texts)) else { return Ok(None) };
    if was_https && !settings.web_https && context.state.clear == Clear::Forbidden {
        let words = "Other machines reach these pages, so they stay encrypted. Start Waybill with --web 127.0.0.1:8020, or \
                     with --web-plain if something in front of it encrypts; then turn it off";
        return Ok(Some(Mistake::new("web_https", words)));
    }
    let host = &context.visitor.host();
    if settings.answers_to(host) {
        return Ok(None);
    }
    let words = format!("You are here as {host}, and these names leave it out: this page would be gone. Add {host}");
    Ok(Some(Mistake::new("web_hosts", words)))
}
