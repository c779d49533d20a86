//! *Save this view*: a named filter of a list, for the administrator who named it.

use axum::response::{IntoResponse, Redirect, Response};

use crate::domain::value::typed;
use crate::store::saved_view::{self, SavedView, VIEWS_MAX};
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::notes::Note;
use crate::web::tone::Tone;

/// The lists with views.
const PAGES: [&str; 5] =
    ["/activity/receive", "/activity/transfers", "/activity/sessions", "/activity/events", "/activity/refusals"];
/// Characters of a name.
const NAME_CHARS_MAX: usize = 40;
/// Bytes of a query.
const QUERY_BYTES_MAX: usize = 1_000;

/// A view, as a list shows it.
#[derive(Clone, Debug)]
pub struct Saved {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Whether the reader is viewing it.
    pub chosen: bool,
}

/// The views of a list, and what could be saved as one.
#[derive(Clone, Debug, Default)]
pub struct Views {
    /// The list's path.
    pub page: String,
    /// The query being viewed; empty if there is no filter.
    pub query: String,
    /// The existing ones.
    pub saved: Vec<Saved>,
}

impl Views {
    /// Those of the reader for the list at `page`; `address` is the one being viewed.
    pub async fn at(context: &Context, page: &str, address: &str) -> Result<Self, WebError> {
        let Some(session) = &context.visitor.session else { return Ok(Self::default()) };
        let query = address.split_once('?').map(|(_, query)| query.to_owned()).unwrap_or_default();
        let saved = saved_view::all(&context.state.db, &session.administrator.id, page).await?;
        let saved = saved.into_iter().map(|view| Saved {
            chosen: view.query == query,
            address: format!("{page}?{}", view.query),
            name: view.name,
        });
        Ok(Self { page: page.to_owned(), saved: saved.collect(), query })
    }

    /// The view being viewed.
    pub fn chosen(&self) -> Option<&Saved> {
        self.saved.iter().find(|view| view.chosen)
    }
}

/// A list with views, from the form.
fn page(posted: &Posted) -> Result<&'static str, WebError> {
    PAGES.into_iter().find(|page| *page == posted.text("page")).ok_or_else(WebError::not_found)
}

/// The query in this server's spelling, whatever was sent.
fn query(posted: &Posted) -> Result<String, WebError> {
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_str(posted.text("query")).map_err(|_| WebError::not_found())?;
    let query = serde_urlencoded::to_string(pairs).map_err(|_| WebError::not_found())?;
    if query.len() > QUERY_BYTES_MAX { Err(WebError::not_found()) } else { Ok(query) }
}

fn go(context: &Context, page: &str, query: &str, note: Note) -> Response {
    context.leave(page, note);
    Redirect::to(&if query.is_empty() { page.to_owned() } else { format!("{page}?{query}") }).into_response()
}

/// Saves one.
pub async fn save(context: Context, posted: Posted) -> Result<Response, WebError> {
    let session = context.visitor.session.clone().ok_or_else(WebError::not_found)?;
    let (page, query, name) = (page(&posted)?, query(&posted)?, posted.text("name").trim());
    let warn = |text: String| Note { tone: Tone::Warning, text, password: None };
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        let none = typed(name);
        let text = format!(
            "A name of 1 to {NAME_CHARS_MAX} characters says what the view shows; {none} is none. Nothing was saved."
        );
        return Ok(go(&context, page, &query, warn(text)));
    }
    let view = SavedView { name: name.to_owned(), query: query.clone() };
    let kept = saved_view::put(&context.state.db, &session.administrator.id, page, &view).await?;
    let note = if kept {
        Note::done(format!("Saved as {name}."))
    } else {
        warn(format!("You have {VIEWS_MAX} views here. Remove one, then save {name} again; nothing was saved."))
    };
    Ok(go(&context, page, &query, note))
}

/// Forgets one.
pub async fn remove(context: Context, posted: Posted) -> Result<Response, WebError> {
    let session = context.visitor.session.clone().ok_or_else(WebError::not_found)?;
    let (page, name) = (page(&posted)?, posted.text("name"));
    let there = saved_view::remove(&context.state.db, &session.administrator.id, page, name).await?;
    let words = if there { format!("Removed the view {name}.") } else { "That view was removed already.".to_owned() };
    Ok(go(&context, page, "", Note::done(words)))
}
