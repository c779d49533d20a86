//! Enables or disables several connectors at once. Disabling one that files wait for asks first.

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};

use super::Filter;
use crate::base::human;
use crate::store::delivery_page;
use crate::web::change;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};
use crate::web::table::address;
use crate::web::tone::Tone;

/// Connectors changed at once.
const CHOSEN_MAX: usize = 1_000;
/// Connectors named in a refusal.
const NAMED_MAX: usize = 5;

#[derive(Template)]
#[template(path = "flows_disable.html")]
struct DisablePage {
    shell: Shell,
    chosen: Vec<String>,
    /// All of the filter are chosen, rather than these by their ids.
    every: bool,
    /// Those that files wait for, and how many files.
    waiting: Vec<(String, String)>,
    total: String,
    filter: Filter,
}

/// Which connectors the form names: those that are ticked, or all in its filter; at most as many as are changed at
/// once, and how many are then left.
fn chosen(context: &Context, posted: &Posted, filter: &Filter, enabled: bool) -> (Vec<String>, usize) {
    let snapshot = context.state.live.snapshot();
    let all = snapshot.connectors_sorted();
    let wanted = |id: &str| posted.all("id").any(|one| one.eq_ignore_ascii_case(id));
    let is_every = posted.get("every").is_some();
    let fits = all.iter().filter(|live| if is_every { filter.fits(live) } else { wanted(live.connector.id.as_str()) });
    let chosen = fits.map(|live| (live.connector.id.to_string(), live.connector.settings.enabled == enabled));
    piece(chosen.collect(), CHOSEN_MAX)
}

/// The first `most` of them, and how many are left. If there are too many, those already in the wanted state are
/// skipped: repeating the request reaches the next.
fn piece(mut chosen: Vec<(String, bool)>, most: usize) -> (Vec<String>, usize) {
    if chosen.len() > most {
        chosen.retain(|(_, is_so)| !is_so);
    }
    let left = chosen.len().saturating_sub(most);
    (chosen.into_iter().take(most).map(|(id, _)| id).collect(), left)
}

/// Enables or disables the chosen ones.
pub async fn enable(context: Context, posted: Posted) -> Result<Response, WebError> {
    let typed = |name: &str| posted.text(name).to_owned();
    let filter = Filter { q: typed("q"), state: typed("state"), group: typed("group"), view: "list".to_owned() };
    let enabled = posted.text("act") == "enable";
    let (chosen, left) = chosen(&context, &posted, &filter, enabled);
    if !enabled && posted.get("anyway").is_none() {
        let waiting = waiting(&context, &chosen).await?;
        if !waiting.is_empty() {
            let total = human::count(waiting.iter().map(|(_, count)| count).sum(), "file waits", "files wait");
            let every = posted.get("every").is_some();
            let shell = Shell::new(&context, "Disable connectors", Nav::Flows).await?;
            let waiting = waiting.into_iter().map(|(id, count)| (id, human::thousands(count))).collect();
            return Ok(html(&DisablePage { shell, chosen, every, waiting, total, filter })?.into_response());
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
    if left > 0 {
        let more = human::count(left as u64, "connector is", "connectors are");
        let most = human::thousands(CHOSEN_MAX as u64);
        text = format!("{text} {more} left: at most {most} are changed at once; do the same again for the next.");
    }
    let is_done = left == 0 && done.refused.is_empty() && !chosen.is_empty();
    let note = Note { tone: if is_done { Tone::Good } else { Tone::Warning }, text, password: None };
    context.leave("/flows", note);
    // Disabled ones no longer match a filter by state.
    let query = [("q", &*filter.q), ("group", &filter.group), ("view", "list")];
    Ok(Redirect::to(&address("/flows", &query)).into_response())
}

/// Those of `chosen` that are enabled and that files wait for, with how many files.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_the_next_come_when_the_first_are_done() {
        let all = |done: usize| (0..5).map(|n| (format!("p{n}"), n < done)).collect::<Vec<_>>();
        let names = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert_eq!(piece(all(0), 2), (names(&["p0", "p1"]), 3));
        assert_eq!(piece(all(2), 2), (names(&["p2", "p3"]), 1));
        assert_eq!(piece(all(4), 2), (names(&["p4"]), 0));
        assert_eq!(piece(all(5), 2), (Vec::new(), 0));
        // If they are not too many, the answer mentions each.
        assert_eq!(piece(all(2), 5).0.len(), 5);
    }
}
