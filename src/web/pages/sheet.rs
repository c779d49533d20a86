//! The partner sheet: to view, to print, as text and as a site for FileZilla. None of them contains the password.

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::send::in_force;
use crate::base::clock::Timestamp;
use crate::base::hex::hex;
use crate::domain::administrator::Role;
use crate::domain::connector::Connector;
use crate::domain::sheet::{Proof, Sheet};
use crate::store::live::Snapshot;
use crate::store::sheet::{self, Given};
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};

/// Characters of the contact line.
const CONTACT_MAX: usize = 200;

/// What the reader wrote on the sheet.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Asked {
    /// Whom the partner may ask.
    #[serde(default)]
    contact: String,
}

impl Asked {
    fn contact(&self) -> String {
        self.contact.trim().chars().filter(|c| !c.is_control()).take(CONTACT_MAX).collect()
    }
}

#[derive(Template)]
#[template(path = "sheet.html")]
struct SheetPage {
    shell: Shell,
    id: String,
    sheet: Sheet,
    text: String,
    contact: String,
    contact_query: String,
    today: String,
    stand: Stand,
    no_public_host: bool,
    may_edit: bool,
    may_set_host: bool,
}

/// Which sheet the partner has, compared with the present facts.
#[derive(Clone, Debug)]
pub struct Stand {
    /// `Sheet 3 of 17 Mar 2026`; empty if none was handed out.
    pub given: String,
    /// Whether a fact on it has changed since.
    pub is_old: bool,
    /// What tells the sheet as of now from others.
    sha256: String,
}

/// The present sheet of a connector, and the one the partner has.
pub async fn of(context: &Context, snapshot: &Snapshot, connector: &Connector) -> Result<(Sheet, Stand), WebError> {
    let public = snapshot.appliance.public_host.as_ref().map(ToString::to_string);
    let served = context.state.certificates.served();
    let proof = served.facts().next().map(|(_, facts)| Proof {
        names: facts.names.clone(),
        valid_to: day(facts.not_after),
        sha256: facts.sha256.clone(),
        self_signed: facts.self_signed,
    });
    let of_host = |host: &str| Sheet::new(&snapshot.profile, connector, host, proof.clone());
    // The host that a reader came by is no fact: another one comes by another.
    let sha256 = digest(&of_host(public.as_deref().unwrap_or_default()));
    let stand = match sheet::last(&context.state.db, &connector.id).await? {
        Some(Given { number, sha256: given, at, .. }) => {
            Stand { given: format!("Sheet {number} of {}", day(at)), is_old: given != sha256, sha256 }
        }
        None => Stand { given: String::new(), is_old: false, sha256 },
    };
    Ok((of_host(&public.unwrap_or_else(|| context.visitor.host())), stand))
}

fn digest(sheet: &Sheet) -> String {
    hex(&Sha256::digest(sheet.text().as_bytes()))
}

fn day(at: Timestamp) -> String {
    at.calendar().to_zoned(jiff::tz::TimeZone::UTC).strftime("%-d %B %Y").to_string()
}

/// The page; prints on one sheet of A4.
pub async fn show(context: Context, Path(id): Path<String>, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let (snapshot, live) = in_force(&context, &id)?;
    let (sheet, stand) = of(&context, &snapshot, &live.connector).await?;
    let contact = asked.contact();
    let query = [("contact", contact.as_str())];
    let contact_query = if contact.is_empty() {
        String::new()
    } else {
        format!("?{}", serde_urlencoded::to_string(query).map_err(WebError::internal)?)
    };
    let page = SheetPage {
        shell: Shell::new(&context, format!("Partner sheet for {}", live.connector.id), Nav::Flows).await?,
        id: live.connector.id.to_string(),
        text: with_contact(&sheet, &contact),
        sheet,
        contact,
        contact_query,
        today: day(context.now()),
        stand,
        no_public_host: snapshot.appliance.public_host.is_none(),
        may_edit: context.may(Role::Editor),
        may_set_host: context.may(Role::Admin),
    };
    Ok(html(&page)?.into_response())
}

fn with_contact(sheet: &Sheet, contact: &str) -> String {
    let text = sheet.text();
    if contact.is_empty() { text } else { format!("{text}\nQuestions: {contact}\n") }
}

/// The sheet as text.
pub async fn text(context: Context, Path(id): Path<String>, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let (snapshot, live) = in_force(&context, &id)?;
    let (sheet, _) = of(&context, &snapshot, &live.connector).await?;
    let body = with_contact(&sheet, &asked.contact());
    Ok(file("text/plain; charset=utf-8", &format!("{}-sheet.txt", live.connector.id), body))
}

/// The sheet as a site for FileZilla.
pub async fn filezilla(context: Context, Path(id): Path<String>) -> Result<Response, WebError> {
    let (snapshot, live) = in_force(&context, &id)?;
    let (sheet, _) = of(&context, &snapshot, &live.connector).await?;
    Ok(file("application/xml; charset=utf-8", &format!("{}-filezilla.xml", live.connector.id), sheet.filezilla()))
}

/// A connector's id contains nothing that could break a header.
fn file(kind: &'static str, name: &str, body: String) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    ([(CONTENT_TYPE, kind.to_owned()), (CONTENT_DISPOSITION, disposition)], body).into_response()
}

/// Records that the partner was given the present sheet.
pub async fn give(context: Context, Path(id): Path<String>, _posted: Posted) -> Result<Response, WebError> {
    let (snapshot, live) = in_force(&context, &id)?;
    let (_, stand) = of(&context, &snapshot, &live.connector).await?;
    let (db, connector) = (&context.state.db, &live.connector.id);
    let number = context.changing(async |change| sheet::give(db, connector, &stand.sha256, change).await).await?;
    let base = format!("/connectors/{connector}/settings");
    let text = format!("Noted: {connector} has sheet {number}. Its page says so when a fact on it changes.");
    context.leave(&base, Note::done(text));
    Ok(Redirect::to(&base).into_response())
}
