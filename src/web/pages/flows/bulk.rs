//! Several connectors enabled or disabled at once. Disabling one that files wait for asks first.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use super::Filter;
use crate::base::human;
use crate::store::delivery_page;
use crate::web::change;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::notes::{Note, Tone};
use crate::web::shell::{Nav, Shell, html};
use crate::web::table::address;

/// Connectors that are changed at once.
const CHOSEN_MAX: usize = 1_000;
/// Connectors that are named in a refusal.
const NAMED_MAX: usize = 5;

#[derive(Template)]
#[template(path = "flows_disable.html")]
struct DisablePage {
    shell: Shell,
    chosen: Vec<String>,
    /// Those that files wait for, and how many.
    waiting: Vec<(String, String)>,
    total: String,
    filter: Filter,
}

/// Which connectors the form names: those that are ticked, or all that fit its filter.
fn chosen(context: &Context, posted: &Posted, filter: &Filter) -> Result<Vec<String>, WebError> {
    let snapshot = context.state.live.snapshot();
    let all = snapshot.connectors_sorted();
    let wanted = |id: &str| posted.all("id").any(|one| one.eq_ignore_ascii_case(id));
    let is_every = posted.get("every").is_some();
    let fits = all.iter().filter(|live| if is_every { filter.fits(live) } else { wanted(live.connector.id.as_str()) });
    let chosen: Vec<_> = fits.map(|live| live.connector.id.to_string()).collect();
    if chosen.len() > CHOSEN_MAX {
        let words = format!(
            "{} connectors are chosen; at most {CHOSEN_MAX} are changed at once. Narrow the list by a filter, then \
             choose those.",
            chosen.len()
        );
        return Err(WebError::new(StatusCode::UNPROCESSABLE_ENTITY, "Too many at once", words));
    }
    Ok(chosen)
}

/// Enables or disables those that are chosen.
pub async fn enable(context: Context, posted: Posted) -> Result<Response, WebError> {
    let typed = |name: &str| posted.text(name).to_owned();
    let filter = Filter { q: typed("q"), state: typed("state"), group: typed("group"), view: "list".to_owned() };
    let enabled = posted.text("act") == "enable";
    let chosen = chosen(&context, &posted, &filter)?;
    if !enabled && posted.get("anyway").is_none() {
        let waiting = waiting(&context, &chosen).await?;
        if !waiting.is_empty() {
            let total = human::count(waiting.iter().map(|(_, count)| count).sum(), "file waits", "files wait");
            let shell = Shell::new(&context, "Disable connectors", Nav::Flows).await?;
            let waiting = waiting.into_iter().map(|(id, count)| (id, human::thousands(count))).collect();
            return Ok(html(&DisablePage { shell, chosen, waiting, total, filter })?.into_response());
        }
    }
    let done = change::set_enabled(&context, &chosen, enabled).await?;
    let words = if enabled { "enabled" } else { "disabled" };
    let mut text = match done.changed {
        0 if chosen.is_empty() => "No connector was chosen: tick some, or all in this filter.".to_owned(),
        count => format!("{} {words}.", human::count(count, "connector is", "connectors are")),
    };
    if !done.refused.is_empty() {
        let named = done.refused.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(" ");
        text = format!("{text} {} not: {named}", human::count(done.refused.len() as u64, "was", "were"));
    }
    let is_done = done.refused.is_empty() && !chosen.is_empty();
    let note = Note { tone: if is_done { Tone::Done } else { Tone::Warning }, text, password: None };
    context.leave("/flows", note);
    // What was disabled no longer fits a filter by state.
    let query = [("q", &*filter.q), ("group", &filter.group), ("view", "list")];
    Ok(Redirect::to(&address("/flows", &query)).into_response())
}

/// Those of `chosen` that are enabled and that files wait for, with how many.
async fn waiting(context: &Context, chosen: &[String]) -> Result<Vec<(String, u64)>, WebError> {
    let snapshot = context.state.live.snapshot();
    let lanes = delivery_page::waiting(&context.state.db).await?;
    let count = |id: &String| {
        let live = snapshot.connector(id).filter(|live| live.connector.settings.enabled)?;
        let count = delivery_page::for_connector(&lanes, live.connector.id.key());
        (count > 0).then(|| (id.clone(), count))
    };
    Ok(chosen.iter().filter_map(count).collect())
}
