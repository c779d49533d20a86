//! Test connection: tries the FTP server like a partner's client, step by step; and shows the last result.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use super::head::Head;
use super::refusals::tab_of;
use super::send::in_force;
use crate::access::trial::{self, Outcome, Report, Step, Subject};
use crate::base::id::TransferId;
use crate::base::lock::lock;
use crate::domain::connector::ConnectorId;
use crate::store::listener::{self, Listener};
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::shell::{Nav, Shell, html};
use crate::web::tone::Tone;
use crate::web::view::Time;

/// Reports that are remembered; beyond it the oldest is dropped.
const REPORTS_MAX: usize = 1_000;

/// The last report of each connector, until the next start.
#[derive(Clone, Debug, Default)]
pub struct Trials(Arc<Mutex<HashMap<String, Arc<Report>>>>);

impl Trials {
    /// The connector's last report.
    pub fn last(&self, id: &ConnectorId) -> Option<Arc<Report>> {
        lock(&self.0).get(id.key()).cloned()
    }

    fn remember(&self, id: &ConnectorId, report: Report) {
        let mut all = lock(&self.0);
        if all.len() >= REPORTS_MAX
            && let Some(oldest) = all.iter().min_by_key(|(_, report)| report.at).map(|(key, _)| key.clone())
        {
            all.remove(&oldest);
        }
        all.insert(id.key().to_owned(), Arc::new(report));
    }
}

/// A step, as a page shows it.
pub struct Row {
    /// `ok`, `warn`, `bad` or nothing.
    pub tone: Tone,
    /// The same in a word.
    pub outcome: &'static str,
    /// What was done.
    pub words: String,
    /// What was found.
    pub detail: String,
    /// Where to fix it; empty if nowhere.
    pub fix: String,
    /// `12 ms`.
    pub took: String,
}

/// A whole report, as a page shows it.
pub struct Shown {
    /// `ok`, `warn` or `bad`.
    pub tone: Tone,
    /// `Passed`.
    pub outcome: &'static str,
    /// When.
    pub at: Time,
    /// Its steps.
    pub rows: Vec<Row>,
}

/// A connector's last report, ready to be shown.
pub fn last(context: &Context, id: &ConnectorId) -> Option<Shown> {
    let report = context.state.trials.last(id)?;
    let (tone, outcome) = words(report.outcome());
    let rows = report.steps.iter().map(|step| row(step, id)).collect();
    Some(Shown { tone, outcome, at: report.at.into(), rows })
}

const fn words(outcome: Outcome) -> (Tone, &'static str) {
    match outcome {
        Outcome::Passed => (Tone::Good, "Passed"),
        Outcome::Warning => (Tone::Warning, "Passed, but look"),
        Outcome::Failed => (Tone::Bad, "Failed"),
        Outcome::Skipped => (Tone::Plain, "Left out"),
    }
}

fn row(step: &Step, id: &ConnectorId) -> Row {
    let (tone, outcome) = words(step.outcome);
    let fix = match step.fix {
        Some(("profile", key)) => format!("/profiles/ftp#{key}"),
        Some(("settings", key)) => format!("/settings#{key}"),
        Some(("connector", key)) => format!("/connectors/{id}/{}#{key}", tab_of(key)),
        Some(_) => "/certificates".to_owned(),
        None => String::new(),
    };
    let took = format!("{} ms", step.took.as_millis());
    Row { tone, outcome, words: step.words.clone(), detail: step.detail.clone(), fix, took }
}

#[derive(Template)]
#[template(path = "test_connection.html")]
struct TestPage {
    shell: Shell,
    head: Head,
    report: Option<Shown>,
}

/// The last report.
pub async fn show(context: Context, Path(id): Path<String>) -> Result<Response, WebError> {
    let (_, live) = in_force(&context, &id)?;
    let id = &live.connector.id;
    let page = TestPage {
        shell: Shell::new(&context, format!("{id} test connection"), Nav::Flows).await?,
        head: Head::new(&context, id, "test").await?,
        report: last(&context, id),
    };
    Ok(html(&page)?.into_response())
}

/// Runs the test now.
pub async fn start(context: Context, Path(id): Path<String>, _posted: Posted) -> Result<Response, WebError> {
    let (snapshot, live) = in_force(&context, &id)?;
    let (state, connector) = (&context.state, &live.connector);
    let pass = state.gate.test_passes().issue(connector.id.key(), context.now()).ok_or_else(|| {
        let text = "Many tests are running. Try again in a minute.";
        WebError::new(StatusCode::TOO_MANY_REQUESTS, "Too many tests at once", text)
    })?;
    let listening = listener::get(&state.db, Listener::Ftp).await?.address.parse::<SocketAddr>().ok();
    let unique = TransferId::new(&state.ids);
    let subject = Subject {
        profile: &snapshot.profile,
        connector,
        public_host: snapshot.appliance.public_host.as_ref().map(ToString::to_string),
        listening,
        pass,
        now: context.now(),
        unique: unique.as_str().rsplit('-').next().unwrap_or_default(),
    };
    let report = trial::run(&subject).await;
    state.trials.remember(&connector.id, report);
    Ok(Redirect::to(&format!("/connectors/{}/test", connector.id)).into_response())
}
