//! Flows: every connector on a map and in a list, the arrows between them, and the form that adds one.

mod add;
mod bulk;
mod connect;
mod copying;
mod drawn;
mod map;
mod week;

use std::collections::HashMap;

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::base::clock::Timestamp;
use crate::base::human;
use crate::domain::administrator::Role;
use crate::domain::flow::{Arrow, Map, Target};
use crate::domain::value::ConnectorType;
use crate::store::arrow;
use crate::store::busy::{self, Busy, COUNTED_MAX};
use crate::store::delivery_page::{self, Waiting};
use crate::store::live::LiveConnector;
use crate::transfer::presence::LiveSession;
use crate::web::context::Context;
use crate::web::error::WebError;
use crate::web::form::Problem;
use crate::web::shell::{Nav, Shell, html};
use crate::web::table::address;
use crate::web::tone::Tone;

pub use add::add;
pub use bulk::enable;
pub use connect::{ask_disconnect, connect, disconnect};
use drawn::Drawn;
pub use week::Week;

/// Cards on the map; more are shown as a list, or group by group.
const MAP_MAX: usize = map::ROWS_MAX;
/// What every editor can add.
const KINDS: &[ConnectorType] = &[ConnectorType::FtpServer, ConnectorType::Folder, ConnectorType::Webhook];
const DAY: std::time::Duration = std::time::Duration::from_hours(24);

/// The page's filter and view.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Filter {
    #[serde(default)]
    q: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    group: String,
    #[serde(default)]
    view: String,
}

/// A connector that a card or a row leads to.
pub struct Next {
    pub id: String,
    pub on_error: bool,
}

/// One connector.
struct Row {
    id: String,
    key: String,
    kind: ConnectorType,
    description: String,
    group: String,
    enabled: bool,
    sessions: usize,
    today: String,
    last: String,
    /// Something on its way to it fails.
    failing: bool,
    next: Vec<Next>,
    /// Files on each of the last seven days; none if it is not shown.
    week: Vec<week::Bar>,
    /// The same in words.
    week_words: String,
}

/// One arrow.
struct Passes {
    from: String,
    to: String,
    on_error: bool,
    busy: Busy,
    waiting: u64,
    retrying: u64,
    /// How long the oldest has waited; empty if none waits.
    since: String,
}

#[derive(Template)]
#[template(path = "flows.html")]
struct FlowsPage {
    shell: Shell,
    rows: Vec<Row>,
    arrows: Vec<Passes>,
    drawn: Drawn,
    /// The map was requested but there are too many connectors for it.
    is_too_much: bool,
    map_max: usize,
    filter: Filter,
    groups: Vec<String>,
    total: usize,
    may_edit: bool,
    ids: Vec<String>,
    /// Connectors that an arrow can begin at.
    sources: Vec<String>,
    kinds: Vec<ConnectorType>,
    /// The programs for a Command; `None` if the reader cannot add one.
    programs: Option<Vec<String>>,
    typed: Typed,
    problems: Vec<Problem>,
}

/// What was typed into a refused form.
#[derive(Default)]
struct Typed {
    id: String,
    kind: String,
    description: String,
    copy_of: String,
    url: String,
    program: String,
    from: String,
    to: String,
    on_error: bool,
}

impl Passes {
    fn today(&self) -> String {
        words(self.busy.files)
    }
}

impl FlowsPage {
    /// What is wrong with one field; empty if nothing is.
    fn error(&self, key: &str) -> &str {
        self.problems.iter().find(|problem| problem.key == key).map_or("", |problem| problem.text.as_str())
    }

    fn is_map(&self) -> bool {
        !self.drawn.nodes.is_empty()
    }

    /// The address of the other view, with the same filter.
    fn view(&self, view: &str) -> String {
        let filter = &self.filter;
        let query = [("q", &*filter.q), ("state", &filter.state), ("group", &filter.group), ("view", view)];
        address("/flows", &query)
    }

    fn count(&self, is: impl Fn(&Row) -> bool) -> usize {
        self.rows.iter().filter(|row| is(row)).count()
    }

    fn healthy(&self) -> usize {
        self.count(|row| row.enabled && !row.failing)
    }

    fn failing(&self) -> usize {
        self.count(|row| row.enabled && row.failing)
    }

    fn disabled(&self) -> usize {
        self.count(|row| !row.enabled)
    }
}

/// The map or the list.
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
    let map = arrow::map(&context.state.db).await?;
    let waiting = delivery_page::waiting(&context.state.db).await?;
    let arrows = arrows(context, &map, &waiting).await?;
    let sessions = context.state.presence.sessions();
    let now = context.now();
    let received = busy::received(&context.state.db, now.minus(DAY)).await?;
    let mut rows = Vec::new();
    for live in all.iter().filter(|live| filter.fits(live)) {
        let of_it = |one: &&LiveSession| one.doing.connector.as_deref() == Some(live.connector.id.as_str());
        rows.push(row(live, (&map, &arrows), &received, (sessions.iter().filter(of_it).count(), now)));
    }
    // If there are too many for one map, the list comes first.
    let wants_map = filter.view == "map" || (filter.view.is_empty() && all.len() <= MAP_MAX);
    let drawn = if wants_map && rows.len() <= MAP_MAX { drawn::draw(&rows, &arrows) } else { Drawn::default() };
    if drawn.nodes.is_empty() {
        week::show(context, &mut rows).await?;
    }
    let id = |live: &&std::sync::Arc<LiveConnector>| live.connector.id.to_string();
    let is_source = |live: &&&std::sync::Arc<LiveConnector>| live.connector.settings.r#type.passes_on();
    let rows_are_empty = rows.is_empty();
    let can_command = context.state.programs.folder().is_some() && context.may(Role::Admin);
    Ok(FlowsPage {
        shell: Shell::new(context, "Flows", Nav::Flows).await?,
        rows,
        arrows,
        is_too_much: wants_map && drawn.nodes.is_empty() && !rows_are_empty,
        map_max: MAP_MAX,
        drawn,
        filter,
        groups,
        total: all.len(),
        may_edit: context.may(Role::Editor),
        ids: all.iter().map(id).collect(),
        sources: all.iter().filter(is_source).map(id).collect(),
        kinds: KINDS.iter().copied().chain(can_command.then_some(ConnectorType::Command)).collect(),
        programs: can_command.then(|| context.state.programs.names()),
        typed: Typed::default(),
        problems: Vec::new(),
    })
}

impl Filter {
    fn fits(&self, live: &LiveConnector) -> bool {
        let (connector, settings) = (&live.connector, &live.connector.settings);
        let text = format!("{} {}", connector.id, settings.description.as_str()).to_lowercase();
        let state_fits = match self.state.as_str() {
            "enabled" => settings.enabled,
            "disabled" => !settings.enabled,
            _ => true,
        };
        let group_fits = self.group.is_empty() || settings.group.as_str() == self.group;
        text.contains(&self.q.to_lowercase()) && state_fits && group_fits
    }
}

fn row(
    live: &LiveConnector,
    (map, arrows): (&Map, &[Passes]),
    received: &HashMap<String, Busy>,
    (sessions, now): (usize, Timestamp),
) -> Row {
    let (connector, settings) = (&live.connector, &live.connector.settings);
    let leads_here = || arrows.iter().filter(|arrow| arrow.to == connector.id.as_str());
    let busy = match settings.r#type {
        ConnectorType::FtpServer => received.get(connector.id.key()).copied().unwrap_or_default(),
        ConnectorType::Folder | ConnectorType::Webhook | ConnectorType::Command => Busy {
            files: leads_here().map(|arrow| arrow.busy.files).sum(),
            last: leads_here().filter_map(|arrow| arrow.busy.last).max(),
        },
    };
    Row {
        id: connector.id.to_string(),
        key: connector.id.key().to_owned(),
        kind: settings.r#type,
        description: settings.description.as_str().to_owned(),
        group: settings.group.as_str().to_owned(),
        enabled: settings.enabled,
        sessions,
        today: words(busy.files),
        last: busy.last.map_or("never".to_owned(), |at| human::ago(at, now)),
        failing: leads_here().any(|arrow| arrow.retrying > 0),
        next: next(map, connector.id.key()),
        week: Vec::new(),
        week_words: String::new(),
    }
}

/// The number of files, as far as they are counted.
fn words(files: u64) -> String {
    let over = if files >= COUNTED_MAX { "over " } else { "" };
    format!("{over}{}", human::thousands(files))
}

/// The arrows to one connector and from it.
pub struct Flow {
    pub from: Vec<Next>,
    pub next: Vec<Next>,
}

impl Flow {
    /// For the connector with that id in lower case.
    pub async fn of(context: &Context, key: &str) -> Result<Self, WebError> {
        let map = arrow::map(&context.state.db).await?;
        let leads = map.arrows.iter().filter(|arrow| arrow.to == key);
        let from = leads.map(|arrow| Next { id: map.written(&arrow.from), on_error: arrow.on_error }).collect();
        Ok(Self { from, next: next(&map, key) })
    }
}

/// The targets of files received by that connector.
fn next(map: &Map, key: &str) -> Vec<Next> {
    let to =
        |arrow: &Arrow| map.nodes.get(&arrow.to).map(|node| Next { id: node.id.clone(), on_error: arrow.on_error });
    map.from(key).filter_map(to).collect()
}

/// The traffic of every arrow.
async fn arrows(context: &Context, map: &Map, waiting: &[Waiting]) -> Result<Vec<Passes>, WebError> {
    let now = context.now();
    let delivered = busy::delivered(&context.state.db, now.minus(DAY)).await?;
    let mut all = Vec::new();
    for arrow in &map.arrows {
        let target = Target::Connector(arrow.to.clone()).text();
        let lane = waiting.iter().find(|lane| lane.source_key == arrow.from && lane.target == target);
        all.push(Passes {
            from: map.written(&arrow.from),
            to: map.written(&arrow.to),
            on_error: arrow.on_error,
            busy: delivered.get(&(arrow.from.clone(), arrow.to.clone())).copied().unwrap_or_default(),
            waiting: lane.map_or(0, |lane| lane.count),
            retrying: lane.map_or(0, |lane| lane.retrying),
            since: lane.map(|lane| human::ago(lane.since, now)).unwrap_or_default(),
        });
    }
    all.sort_by(|a, b| (&a.from, &a.to).cmp(&(&b.from, &b.to)));
    Ok(all)
}
