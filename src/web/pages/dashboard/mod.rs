//! The dashboard: trouble first, then what is going on, in parts that are replaced while somebody looks.

mod chart;
mod figures;
mod parts;

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::base::clock::Timestamp;
use crate::domain::administrator::Role;
use crate::store::snooze;
use crate::web::attention;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::live::Followed;
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};
use crate::web::table::address;
use crate::web::view::Time;

use super::sessions::SessionsTable;
use chart::Chart;
use figures::Figures;
use parts::{AttentionPart, Checklist, LatestPart, ServerPart};

/// Rounds of a live page between two updates of the chart.
pub const CHART_EVERY: u64 = 5;

/// Replaces the checklist once there is nothing to do.
const NO_CHECKLIST: &str = "<div id=\"checklist\" hidden></div>";

/// The query.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// `1h`, `24h` or `7d`.
    pub span: String,
    /// `table` shows the chart's numbers.
    pub view: String,
}

/// The address of the page with that span and view.
fn at(span: &str, view: &str) -> String {
    address("/", &[("span", if span == "1h" { "" } else { span }), ("view", view)])
}

#[derive(Template)]
#[template(path = "dashboard.html")]
struct DashboardPage {
    shell: Shell,
    today: String,
    may_edit: bool,
    attention: AttentionPart,
    checklist: Option<Checklist>,
    figures: Figures,
    chart: Chart,
    sessions: SessionsTable,
    server: ServerPart,
    latest: LatestPart,
}

/// The page.
pub async fn show(context: Context, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let mut shell = Shell::new(&context, "Dashboard", Nav::Dashboard).await?;
    let query = at(&asked.span, &asked.view);
    shell.live = Followed::Dashboard.address(query.trim_start_matches(['/', '?']));
    let page = DashboardPage {
        today: context.now().calendar().strftime("%A %-d %B %Y, %H:%M UTC").to_string(),
        may_edit: context.may(Role::Editor),
        attention: AttentionPart::now(&context).await?,
        checklist: Checklist::now(&context).await?,
        figures: Figures::now(&context).await?,
        chart: Chart::now(&context, &asked).await?,
        sessions: SessionsTable::on_dashboard(&context),
        server: ServerPart::now(&context).await?,
        latest: LatestPart::now(&context).await?,
        shell,
    };
    Ok(html(&page)?.into_response())
}

/// Every part of the page at present; the chart only now and then.
pub async fn pieces(context: &Context, asked: &Asked, with_chart: bool) -> Result<Vec<String>, WebError> {
    let mut pieces = vec![
        AttentionPart::now(context).await?.render()?,
        Figures::now(context).await?.render()?,
        SessionsTable::on_dashboard(context).render()?,
        ServerPart::now(context).await?.render()?,
        LatestPart::now(context).await?.render()?,
    ];
    if with_chart {
        pieces.push(Chart::now(context, asked).await?.render()?);
    }
    pieces.push(match Checklist::now(context).await? {
        Some(checklist) => checklist.render()?,
        None => NO_CHECKLIST.to_owned(),
    });
    Ok(pieces)
}

/// Midnight, the beginning of the figures' day.
fn midnight(now: Timestamp) -> Timestamp {
    Timestamp::from_us(now.us() - now.us().rem_euclid(86_400_000_000))
}

/// Puts a matter off, or brings it back.
pub async fn snooze(context: Context, posted: Posted) -> Result<Response, WebError> {
    let (item, now) = (posted.text("item"), context.now());
    let matters = attention::matters(&context).await?;
    let until = match posted.text("for") {
        "1h" => Some(now.plus(std::time::Duration::from_hours(1))),
        "tomorrow" => Some(midnight(now).plus(std::time::Duration::from_hours(24))),
        _ => None,
    };
    let db = &context.state.db;
    let note = match (matters.iter().find(|matter| matter.item == item), until) {
        (None, _) => "That matter is settled already.".to_owned(),
        (Some(matter), Some(until)) => {
            snooze::put(db, item, until, (context.who(), now)).await?;
            format!("Put off until {}: {}.", Time::from(until).title, matter.title)
        }
        (Some(matter), None) => {
            snooze::wake(db, item, now).await?;
            format!("Not put off any more: {}.", matter.title)
        }
    };
    attention::forget(&context).await;
    context.leave("/", Note::done(note));
    Ok(Redirect::to("/").into_response())
}
