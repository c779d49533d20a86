//! Flows: every connector, and the form that adds one.

use std::time::Duration;

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::access::password;
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::domain::connector::ConnectorId;
use crate::domain::setting::{Mistake, Texts};
use crate::store::live::LiveConnector;
use crate::store::receipt::{self, Search};
use crate::store::setting::SaveError;
use crate::store::{StoreError, connector};
use crate::transfer::presence::LiveSession;
use crate::web::context::{Ctx, ok, page};
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::form::Problem;
use crate::web::notes::{Note, Tone};
use crate::web::shell::{Nav, Shell};
use crate::web::view::{Badge, Choice, Moment, address};

/// Connectors on one page.
pub const CONNECTORS_SHOWN: usize = 100;
/// Files of a day that are counted; more read "more than".
const COUNTED_MAX: i64 = 10_000;
/// Connectors offered to copy from while typing.
const OFFERED_MAX: usize = 200;

/// What is looked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Part of id, description or group.
    q: String,
    /// `enabled`, `disabled` or empty.
    state: String,
    /// One group.
    group: String,
    /// The id the page begins behind.
    after: String,
    /// A connector to copy.
    copy_of: String,
}

/// One connector.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// Its description.
    pub description: String,
    /// Its group.
    pub group: String,
    /// Enabled, disabled, expired.
    pub state: Badge,
    /// Its live sessions.
    pub sessions: usize,
    /// When its last file came.
    pub last: Option<Moment>,
    /// Files today.
    pub today: String,
}

/// What was typed to add a connector.
#[derive(Clone, Debug, Default)]
pub struct AddForm {
    /// The id.
    pub id: String,
    /// The description.
    pub description: String,
    /// A connector to copy.
    pub copy_of: String,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl AddForm {
    /// What is wrong with a field; empty: nothing.
    pub fn mistake(&self, id: &str) -> &str {
        self.problems.iter().find(|problem| problem.id == id).map_or("", |problem| problem.text.as_str())
    }
}

/// The page.
#[derive(Debug, Template)]
#[template(path = "flows.html")]
pub struct FlowsPage {
    shell: Shell,
    filter: Filter,
    groups: Vec<Choice>,
    rows: Vec<Row>,
    total: usize,
    matching: String,
    older: String,
    add: AddForm,
    offered: Vec<String>,
}

impl FlowsPage {
    /// Whether something is filtered.
    pub fn is_filtered(&self) -> bool {
        !(self.filter.q.is_empty() && self.filter.state.is_empty() && self.filter.group.is_empty())
    }

    /// A page for tests.
    pub fn sample() -> Self {
        let row = Row {
            id: "acme-edi".to_owned(),
            description: "<script>alert(1)</script>".to_owned(),
            group: "EDI partners".to_owned(),
            state: Badge::new("ok", "Enabled"),
            sessions: 1,
            last: Some(Moment::new(Timestamp::default(), Timestamp::default())),
            today: "84".to_owned(),
        };
        Self {
            shell: Shell::sample(Nav::Flows),
            filter: Filter::default(),
            groups: vec![Choice::new("EDI partners", "EDI partners", false)],
            rows: vec![row],
            total: 1,
            matching: "1 connector".to_owned(),
            older: "/flows?after=acme-edi".to_owned(),
            add: AddForm {
                id: "acme edi".to_owned(),
                problems: vec![Problem { id: "id".to_owned(), text: "acme edi holds a blank".to_owned() }],
                ..AddForm::default()
            },
            offered: vec!["acme-edi".to_owned()],
        }
    }
}

/// `/` leads here.
pub async fn home() -> Redirect {
    Redirect::to("/flows")
}

/// Shows the page.
pub async fn show(ctx: Ctx, Query(filter): Query<Filter>) -> Result<Response, WebError> {
    let add = AddForm { copy_of: filter.copy_of.clone(), ..AddForm::default() };
    ok(&build(&ctx, filter, add).await?)
}

async fn build(ctx: &Ctx, filter: Filter, add: AddForm) -> Result<FlowsPage, WebError> {
    let snapshot = ctx.state.live.snapshot();
    let all = snapshot.connectors_sorted();
    let mut groups: Vec<&str> = all.iter().map(|live| live.connector.settings.group.as_str()).collect();
    groups.sort_unstable();
    groups.dedup();
    let groups = groups.iter().filter(|group| !group.is_empty());
    let groups = groups.map(|group| Choice::new(*group, *group, *group == filter.group)).collect();
    let found: Vec<_> = all.iter().filter(|live| matches(live, &filter)).collect();
    let after = filter.after.to_ascii_lowercase();
    let behind = found.iter().filter(|live| after.is_empty() || live.connector.id.key() > after.as_str());
    let shown: Vec<_> = behind.take(CONNECTORS_SHOWN + 1).collect();
    let mut rows = Vec::new();
    let sessions = ctx.state.presence.sessions();
    for live in shown.iter().take(CONNECTORS_SHOWN) {
        rows.push(row(ctx, live, &sessions).await?);
    }
    let older = match rows.last() {
        Some(last) if shown.len() > CONNECTORS_SHOWN => address(
            "/flows",
            &[("q", &filter.q), ("state", &filter.state), ("group", &filter.group), ("after", &last.id)],
        ),
        _ => String::new(),
    };
    Ok(FlowsPage {
        shell: Shell::of(ctx, Nav::Flows).await?,
        groups,
        rows,
        total: all.len(),
        matching: human::count(u64::try_from(found.len()).unwrap_or(u64::MAX), "connector", "connectors"),
        older,
        add,
        offered: all.iter().take(OFFERED_MAX).map(|live| live.connector.id.as_str().to_owned()).collect(),
        filter,
    })
}

fn matches(live: &LiveConnector, filter: &Filter) -> bool {
    let settings = &live.connector.settings;
    let looked_for = filter.q.trim().to_lowercase();
    let holds = |text: &str| text.to_lowercase().contains(&looked_for);
    let state = match filter.state.as_str() {
        "enabled" => settings.enabled,
        "disabled" => !settings.enabled,
        _ => true,
    };
    state
        && (filter.group.is_empty() || settings.group.as_str() == filter.group)
        && (holds(live.connector.id.as_str()) || holds(settings.description.as_str()) || holds(settings.group.as_str()))
}

async fn row(ctx: &Ctx, live: &LiveConnector, sessions: &[LiveSession]) -> Result<Row, StoreError> {
    let now = ctx.now();
    let connector = &live.connector;
    let key = connector.id.key().to_owned();
    let search = Search { connector_key: Some(key), ..Search::default() };
    let last = receipt::page(&ctx.state.db, &search, None, 1).await?;
    let midnight = now.minus(Duration::from_secs(now.seconds().unsigned_abs() % 86_400));
    let today = Search { since: Some(midnight), ..search };
    Ok(Row {
        id: connector.id.as_str().to_owned(),
        description: connector.settings.description.as_str().to_owned(),
        group: connector.settings.group.as_str().to_owned(),
        state: state_of(ctx, live),
        sessions: sessions.iter().filter(|s| s.doing.connector.as_deref() == Some(connector.id.as_str())).count(),
        last: last.first().map(|receipt| Moment::new(receipt.completed_at, now)),
        today: count_words(receipt::count(&ctx.state.db, &today, COUNTED_MAX + 1).await?),
    })
}

/// Whether the partner may sign in now, in a word.
pub(super) fn state_of(ctx: &Ctx, live: &LiveConnector) -> Badge {
    match live.connector.valid_at(ctx.now()) {
        Ok(()) => Badge::new("ok", "Enabled"),
        Err(why) => Badge::new(
            if live.connector.settings.enabled { "warn" } else { "" },
            match why {
                crate::domain::connector::WhyNot::Disabled => "Disabled",
                crate::domain::connector::WhyNot::Expired { .. } => "Expired",
                crate::domain::connector::WhyNot::NotYetValid { .. } => "Not yet valid",
            },
        ),
    }
}

fn count_words(counted: u64) -> String {
    if counted > COUNTED_MAX.unsigned_abs() {
        format!("more than {}", human::thousands(COUNTED_MAX.unsigned_abs()))
    } else {
        human::thousands(counted)
    }
}

/// Adds a connector with a generated password, which its page shows once.
pub async fn add(ctx: Ctx, posted: Posted) -> Result<Response, WebError> {
    let mut form = AddForm {
        id: posted.text("id").trim().to_owned(),
        description: posted.text("description").trim().to_owned(),
        copy_of: posted.text("copy_of").trim().to_owned(),
        problems: Vec::new(),
    };
    match create(&ctx, &form).await {
        Ok(response) => Ok(response),
        Err(SaveError::Mistakes(mistakes)) => {
            let problem = |mistake: Mistake| Problem {
                id: if mistake.key == "id" || mistake.key == "copy_of" {
                    mistake.key
                } else {
                    "description".to_owned()
                },
                text: mistake.message,
            };
            form.problems = mistakes.into_iter().map(problem).collect();
            page(StatusCode::UNPROCESSABLE_ENTITY, &build(&ctx, Filter::default(), form).await?)
        }
        Err(error) => Err(WebError::internal(error)),
    }
}

async fn create(ctx: &Ctx, form: &AddForm) -> Result<Response, SaveError> {
    let mut mistakes = Vec::new();
    let id = ConnectorId::parse(&form.id).map_err(|message| mistakes.push(Mistake::new("id", message))).ok();
    let mut values = match copied(ctx, &form.copy_of) {
        Ok(values) => values,
        Err(mistake) => {
            mistakes.push(mistake);
            Texts::new()
        }
    };
    let (Some(id), true) = (id, mistakes.is_empty()) else { return Err(SaveError::Mistakes(mistakes)) };
    if !form.description.is_empty() || form.copy_of.is_empty() {
        values.insert("description".to_owned(), form.description.clone());
    }
    let secret = password::generate();
    let failed = |error: password::HashError| SaveError::Store(StoreError::Unreadable(error.to_string()));
    let hash = ctx.state.gate.hasher().hash(&secret).await.map_err(failed)?;
    let remote = ctx.remote();
    connector::add(&ctx.state.db, &id, &values, Some(&hash), &ctx.change(&remote)).await?;
    ctx.state.live.refresh().await?;
    let note = Note {
        tone: Tone::Done,
        text: format!("{id} is added and can sign in now. Its password is shown this once: copy it for the partner."),
        password: Some(secret),
    };
    Ok(ctx.go(&format!("/connectors/{id}/settings"), note).into_response())
}

/// The settings of the connector to copy: all but its folders, which no two may share.
fn copied(ctx: &Ctx, id: &str) -> Result<Texts, Mistake> {
    if id.is_empty() {
        return Ok(Texts::new());
    }
    let snapshot = ctx.state.live.snapshot();
    let Some(live) = snapshot.connector(id) else {
        return Err(Mistake::new(
            "copy_of",
            format!("There is no connector {id} to copy; leave it empty for defaults"),
        ));
    };
    let mut values = live.connector.settings.texts();
    for own in ["input_folder", "output_folder"] {
        values.remove(own);
    }
    Ok(values)
}
