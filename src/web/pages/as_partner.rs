//! Uploads to Receive in the partner's place, to try what follows: the same rules, receipt and event.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use super::head::Head;
use super::send::{in_force, named};
use crate::domain::refusal::Rule;
use crate::domain::setting::Value as _;
use crate::store::audit::{self, Entry};
use crate::store::live::{LiveConnector, Snapshot};
use crate::transfer::depot::TransferError;
use crate::transfer::stand_in::{Feed, StandIn};
use crate::web::context::Context;
use crate::web::csrf::{Incoming, Part, Streamed};
use crate::web::error::WebError;
use crate::web::form::Problem;
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};

#[derive(Template)]
#[template(path = "as_partner.html")]
struct AsPartnerPage {
    shell: Shell,
    head: Head,
    problems: Vec<Problem>,
    received: Vec<String>,
    filter: String,
    settle_s: u64,
}

async fn page(context: &Context, live: &LiveConnector, snapshot: &Snapshot) -> Result<AsPartnerPage, WebError> {
    let connector = &live.connector;
    let title = format!("{} upload as if the partner had", connector.id);
    Ok(AsPartnerPage {
        shell: Shell::new(context, title, Nav::Flows).await?,
        head: Head::new(context, &connector.id, "receive").await?,
        problems: Vec::new(),
        received: Vec::new(),
        filter: connector.filter(&snapshot.profile).text(),
        settle_s: connector.settings.settle_s.seconds().as_secs(),
    })
}

/// The form.
pub async fn show(context: Context, Path(id): Path<String>) -> Result<Response, WebError> {
    let (snapshot, live) = in_force(&context, &id)?;
    Ok(html(&page(&context, &live, &snapshot).await?)?.into_response())
}

/// Receives each file; a refused one does not hold up the others.
pub async fn add(context: Context, Path(id): Path<String>, mut form: Streamed) -> Result<Response, WebError> {
    let (snapshot, live) = in_force(&context, &id)?;
    let (mut received, mut problems) = (Vec::new(), Vec::new());
    while let Some(part) = form.next().await? {
        let Part::File(file, _) = part else { continue };
        let name = file.name.clone();
        match receive(&context, (&snapshot, &live), file).await? {
            Ok(()) => received.push(name),
            Err(error) => problems.push(Problem::new("files", named(&name, &words(&error)))),
        }
    }
    if received.is_empty() && problems.is_empty() {
        problems.push(Problem::new("files", "Choose at least one file"));
    }
    if problems.is_empty() {
        let base = format!("/connectors/{}/receive", live.connector.id);
        let what = match received.as_slice() {
            [one] => one.clone(),
            many => format!("{} files", many.len()),
        };
        context.leave(&base, Note::done(format!("Received {what}, as if {} had sent it.", live.connector.id)));
        return Ok(Redirect::to(&base).into_response());
    }
    let mut page = page(&context, &live, &snapshot).await?;
    page.shell.title = format!("Error: {}", page.shell.title);
    (page.problems, page.received) = (problems, received);
    Ok((StatusCode::UNPROCESSABLE_ENTITY, html(&page)?).into_response())
}

async fn receive(
    context: &Context,
    (snapshot, live): (&std::sync::Arc<Snapshot>, &std::sync::Arc<LiveConnector>),
    mut file: Box<Incoming<'_>>,
) -> Result<Result<(), TransferError>, WebError> {
    let by = StandIn { who: context.who(), remote: context.visitor.remote };
    let whose = (std::sync::Arc::clone(snapshot), std::sync::Arc::clone(live));
    let mut feed = match Feed::begin(&context.state.depot, whose, &by, &file.name).await {
        Ok(feed) => feed,
        Err(error) => return Ok(Err(error)),
    };
    while let Some(chunk) = file.chunk().await? {
        if !feed.write(&chunk).await {
            break;
        }
    }
    if let Err(error) = feed.finish().await {
        return Ok(Err(error));
    }
    let subject = format!("connector {}", live.connector.id);
    let after = format!("{}, as if the partner had", file.name);
    let entry = Entry { subject: &subject, key: "file in Receive", before: "", after: &after };
    context.changing(async |change| audit::note(&context.state.db, change, &entry).await).await?;
    Ok(Ok(()))
}

/// Why it was refused, in the words of the rule.
fn words(error: &TransferError) -> String {
    match error {
        TransferError::Refused(no) if no.rule == Rule::FileExists => {
            format!("{}, and Overwrite of this connector refuses to replace it", no.detail)
        }
        TransferError::Refused(no) => format!("{}: {}", no.rule.label(), no.detail),
        error => error.to_string(),
    }
}
