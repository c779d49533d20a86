//! Certificates, ACME: one switch lets an authority issue the certificate and renew it; the outcome is shown beside it.

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};

use crate::domain::acme::{Tried, Wish};
use crate::domain::appliance::ApplianceSettings;
use crate::store::{acme, profile};
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::draft::{Draft, DraftView};
use crate::web::error::WebError;
use crate::web::form::{Field, Kind};
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell};
use crate::web::tone::Tone;
use crate::web::view::Time;

const PATH: &str = "/certificates/acme";
const CERTIFICATE: &[&str] = &["acme", "acme_hosts", "acme_contact", "acme_directory"];
const CHALLENGE: &[&str] = &["acme_challenge", "acme_listen_address", "acme_port"];

/// Its state.
pub struct Standing {
    /// `Off`, `Failing`.
    pub words: &'static str,
    /// The tone of the badge.
    pub tone: Tone,
    /// Why the last order failed; empty if it succeeded.
    pub message: String,
    /// When the authority is asked next.
    pub next: Option<Time>,
}

impl Standing {
    /// From the store.
    pub async fn of(context: &Context) -> Result<Self, WebError> {
        let Some(wish) = context.state.live.snapshot().appliance.acme_wish() else {
            return Ok(Self { words: "Off", tone: Tone::Plain, message: String::new(), next: None });
        };
        let tried = acme::last(&context.state.db).await?.unwrap_or_default();
        Ok(Self::now(context, &wish, tried))
    }

    fn now(context: &Context, wish: &Wish, tried: Tried) -> Self {
        let held = context.state.certificates.by_acme();
        let issued = held.as_ref().and_then(|held| held.issued());
        if tried.wish == wish.text() && tried.failures > 0 {
            let next = Some(Time::from(tried.next_at));
            return Self { words: "Failing", tone: Tone::Bad, message: tried.message, next };
        }
        let (words, tone) = match &issued {
            Some(_) => ("Issued", Tone::Good),
            None => ("Being asked for", Tone::Plain),
        };
        let next = issued.map(|issued| Time::from(issued.renewed_at()));
        Self { words, tone, message: String::new(), next }
    }
}

#[derive(Template)]
#[template(path = "acme.html")]
struct AcmePage {
    shell: Shell,
    standing: Standing,
    certificate: Vec<Field>,
    challenge: Vec<Field>,
    keys: String,
    draft: DraftView,
}

async fn page(context: &Context, draft: &Draft) -> Result<AcmePage, WebError> {
    let fields = |keys: &[&str]| draft.form.fields(ApplianceSettings::SETTINGS, keys);
    Ok(AcmePage {
        shell: Shell::new(context, draft.title("Certificate by ACME"), Nav::Certificates).await?,
        standing: Standing::of(context).await?,
        certificate: fields(CERTIFICATE),
        challenge: fields(CHALLENGE),
        keys: [CERTIFICATE, CHALLENGE].concat().join(","),
        draft: draft.view(),
    })
}

/// The form with the stored settings, and its state.
pub async fn show(context: Context) -> Result<Response, WebError> {
    // Another process may have changed them.
    context.state.certificates.refresh().await?;
    let draft = Draft::stored(profile::load_appliance(&context.state.db).await?, ApplianceSettings::SETTINGS);
    draft.answer(&page(&context, &draft).await?)
}

/// Saves. The order runs separately: it may take minutes.
pub async fn save(context: Context, posted: Posted) -> Result<Response, WebError> {
    let mut draft = Draft::typed(&posted, ApplianceSettings::SETTINGS);
    if !draft.save_appliance(&context).await? {
        return draft.answer(&page(&context, &draft).await?);
    }
    context.state.live.refresh().await?;
    let words = match context.state.live.snapshot().appliance.acme_wish() {
        Some(wish) => format!("Saved. The authority is asked for {} now.", wish.hosts.join(", ")),
        None => "Saved. No authority is asked; a certificate that is there stays.".to_owned(),
    };
    context.leave(PATH, Note::done(words));
    Ok(Redirect::to(PATH).into_response())
}

/// Orders without waiting for the next time.
pub async fn now(context: Context, _: Posted) -> Result<Response, WebError> {
    acme::at_once(&context.state.db).await?;
    context.state.live.refresh().await?;
    context.leave(PATH, Note::done("The authority is asked now."));
    Ok(Redirect::to(PATH).into_response())
}
