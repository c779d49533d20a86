//! Flows: every connector, and the form that adds one.

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::access::password;
use crate::domain::administrator::Role;
use crate::domain::connector::ConnectorId;
use crate::domain::setting::{Mistake, Texts};
use crate::store::connector;
use crate::store::receipt::{self, Search};
use crate::store::setting::SaveError;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::form::Problem;
use crate::web::notes::{Note, Tone};
use crate::web::shell::{Nav, Shell, html};

/// What the list is narrowed to.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Filter {
    #[serde(default)]
    q: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    group: String,
}

struct Row {
    id: String,
    description: String,
    group: String,
    enabled: bool,
    sessions: usize,
    today: u64,
    last: String,
}

#[derive(Template)]
#[template(path = "flows.html")]
struct FlowsPage {
    shell: Shell,
    rows: Vec<Row>,
    filter: Filter,
    groups: Vec<String>,
    total: usize,
    may_edit: bool,
    ids: Vec<String>,
    typed_id: String,
    typed_description: String,
    copy_of: String,
    problems: Vec<Problem>,
}

impl FlowsPage {
    /// What is wrong with one field; empty when nothing is.
    fn error(&self, key: &str) -> &str {
        self.problems.iter().find(|problem| problem.key == key).map_or("", |problem| problem.text.as_str())
    }
}

/// The list.
pub async fn show(context: Context, Query(filter): Query<Filter>) -> Result<Response, WebError> {
    let page = page(&context, filter).await?;
    Ok(html(&page)?.into_response())
}

async fn page(context: &Context, filter: Filter) -> Result<FlowsPage, WebError> {
    let snapshot = context.state.live.snapshot();
    let all = snapshot.connectors_sorted();
    let mut groups: Vec<_> = all.iter().map(|live| live.connector.settings.group.as_str().to_owned()).collect();
    groups.retain(|group| !group.is_empty());
    groups.sort();
    groups.dedup();
    let sessions = context.state.presence.sessions();
    let (wanted, now) = (filter.q.to_lowercase(), context.now());
    let day = now.minus(std::time::Duration::from_hours(24));
    let mut rows = Vec::new();
    for live in &all {
        let (connector, settings) = (&live.connector, &live.connector.settings);
        let text = format!("{} {}", connector.id, settings.description.as_str()).to_lowercase();
        let state_fits = match filter.state.as_str() {
            "enabled" => settings.enabled,
            "disabled" => !settings.enabled,
            _ => true,
        };
        let group_fits = filter.group.is_empty() || settings.group.as_str() == filter.group;
        if !text.contains(&wanted) || !state_fits || !group_fits {
            continue;
        }
        let search = Search { connector_key: Some(connector.id.key().to_owned()), ..Search::default() };
        let last = receipt::page(&context.state.db, &search, None, 1).await?;
        let today = receipt::count(&context.state.db, &Search { since: Some(day), ..search }, 10_000).await?;
        rows.push(Row {
            id: connector.id.to_string(),
            description: settings.description.as_str().to_owned(),
            group: settings.group.as_str().to_owned(),
            enabled: settings.enabled,
            sessions: sessions
                .iter()
                .filter(|one| one.doing.connector.as_deref() == Some(connector.id.as_str()))
                .count(),
            today,
            last: last.first().map_or("never".to_owned(), |receipt| crate::base::human::ago(receipt.completed_at, now)),
        });
    }
    Ok(FlowsPage {
        shell: Shell::new(context, "Flows", Nav::Flows).await?,
        rows,
        filter,
        groups,
        total: all.len(),
        may_edit: context.may(Role::Editor),
        ids: all.iter().map(|live| live.connector.id.to_string()).collect(),
        typed_id: String::new(),
        typed_description: String::new(),
        copy_of: String::new(),
        problems: Vec::new(),
    })
}

/// Adds a connector, with a password that its page shows once.
pub async fn add(context: Context, posted: Posted) -> Result<Response, WebError> {
    let (typed, description, copy_of) = (posted.text("id").trim(), posted.text("description"), posted.text("copy_of"));
    let added = try_add(&context, typed, description, copy_of).await?;
    let mistakes = match added {
        Ok(id) => {
            let place = format!("/connectors/{id}/settings");
            return Ok(Redirect::to(&place).into_response());
        }
        Err(mistakes) => mistakes,
    };
    let problems = mistakes.into_iter().map(|mistake| Problem { key: mistake.key, text: mistake.message }).collect();
    let mut page = page(&context, Filter::default()).await?;
    "Error: Flows".clone_into(&mut page.shell.title);
    page.problems = problems;
    typed.clone_into(&mut page.typed_id);
    description.clone_into(&mut page.typed_description);
    copy_of.clone_into(&mut page.copy_of);
    Ok((StatusCode::UNPROCESSABLE_ENTITY, html(&page)?).into_response())
}

async fn try_add(
    context: &Context,
    typed: &str,
    description: &str,
    copy_of: &str,
) -> Result<Result<ConnectorId, Vec<Mistake>>, WebError> {
    let state = &context.state;
    let id = match ConnectorId::parse(typed) {
        Ok(id) => id,
        Err(message) => return Ok(Err(vec![Mistake::new("id", message)])),
    };
    let mut values = Texts::new();
    if !copy_of.is_empty() {
        let all = connector::all(&state.db).await?;
        let Some(model) = all.into_iter().find(|one| one.id.as_str() == copy_of) else {
            return Ok(Err(vec![Mistake::new("copy_of", format!("There is no connector {copy_of}"))]));
        };
        values = model.stored.texts;
        // Two partners never share a folder.
        values.remove("input_folder");
        values.remove("output_folder");
    }
    values.insert("description".to_owned(), description.to_owned());
    let password = password::generate();
    let hash = state.gate.hasher().hash(&password).await?;
    let added =
        context.changing(async |change| connector::add(&state.db, &id, &values, Some(&hash), change).await).await;
    match added {
        Ok(()) => {}
        Err(SaveError::Mistakes(mistakes)) => return Ok(Err(mistakes)),
        Err(error) => return Err(WebError::internal(error)),
    }
    state.live.refresh().await?;
    let text = format!("Added {id}. Its password is shown here once; give it to the partner now.");
    let note = Note { tone: Tone::Done, text, password: Some(password) };
    context.leave(&format!("/connectors/{id}/settings"), note);
    Ok(Ok(id))
}
