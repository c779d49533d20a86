//! Arrows: drawn with a form, removed after showing what waits on them.

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::{Filter, Passes, Typed, arrows, page};
use crate::store::setting::SaveError;
use crate::store::{arrow, delivery_page};
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::form::Problem;
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};

/// Draws one.
pub async fn connect(context: Context, posted: Posted) -> Result<Response, WebError> {
    let (from, to) = (posted.text("from").to_owned(), posted.text("to").to_owned());
    let on_error = posted.get("on_error").is_some();
    let db = &context.state.db;
    let connected = context.changing(async |change| arrow::connect(db, (&from, &to), on_error, change).await).await;
    match connected {
        Ok(()) => {}
        Err(SaveError::Mistakes(mistakes)) => {
            let mut page = page(&context, Filter::default()).await?;
            "Error: Flows".clone_into(&mut page.shell.title);
            page.problems =
                mistakes.into_iter().map(|mistake| Problem { key: mistake.key, text: mistake.message }).collect();
            page.typed = Typed { from, to, on_error, ..Typed::default() };
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, html(&page)?).into_response());
        }
        Err(error) => return Err(WebError::internal(error)),
    }
    context.state.live.refresh().await?;
    let words = if on_error {
        format!("What {from} cannot pass along goes to {to} after the last retry.")
    } else {
        format!("Files received by {from} are passed along to {to} from now on.")
    };
    context.leave("/flows", Note::done(words));
    Ok(Redirect::to("/flows").into_response())
}

/// Which arrow.
#[derive(Debug, Default, Deserialize)]
pub struct Which {
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
}

#[derive(Template)]
#[template(path = "disconnect.html")]
struct DisconnectPage {
    shell: Shell,
    arrow: Passes,
}

async fn find(context: &Context, which: &Which) -> Result<Passes, WebError> {
    let db = &context.state.db;
    let map = arrow::map(db).await?;
    let waiting = delivery_page::waiting(db).await?;
    let is_it = |one: &Passes| one.from.eq_ignore_ascii_case(&which.from) && one.to.eq_ignore_ascii_case(&which.to);
    arrows(context, &map, &waiting).await?.into_iter().find(is_it).ok_or_else(|| {
        let text = format!("{} passes nothing along to {}. It may have been removed.", which.from, which.to);
        WebError::new(StatusCode::NOT_FOUND, "No such arrow", text)
    })
}

/// What would stop, before it does.
pub async fn ask_disconnect(context: Context, Query(which): Query<Which>) -> Result<Response, WebError> {
    let arrow = find(&context, &which).await?;
    let title = format!("Remove the arrow from {} to {}", arrow.from, arrow.to);
    Ok(html(&DisconnectPage { shell: Shell::new(&context, title, Nav::Flows).await?, arrow })?.into_response())
}

/// Removes one.
pub async fn disconnect(context: Context, posted: Posted) -> Result<Response, WebError> {
    let which = Which { from: posted.text("from").to_owned(), to: posted.text("to").to_owned() };
    let arrow = find(&context, &which).await?;
    let db = &context.state.db;
    context.changing(async |change| arrow::disconnect(db, &arrow.from, &arrow.to, change).await).await?;
    context.state.live.refresh().await?;
    context.leave("/flows", Note::done(format!("{} passes nothing along to {} any more.", arrow.from, arrow.to)));
    Ok(Redirect::to("/flows").into_response())
}
