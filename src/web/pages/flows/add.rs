//! The form that adds a connector.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use super::{Filter, Typed, copying, page};
use crate::domain::connector::{ConnectorId, type_of};
use crate::domain::setting::{Mistake, Texts};
use crate::domain::value::ConnectorType;
use crate::store::connector;
use crate::store::setting::SaveError;
use crate::web::change;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::form::Problem;
use crate::web::notes::Note;
use crate::web::shell::html;
use crate::web::tone::Tone;

/// Adds a connector; a partner's with a password that its page shows once.
pub async fn add(context: Context, posted: Posted) -> Result<Response, WebError> {
    let typed = Typed {
        id: posted.text("id").trim().to_owned(),
        kind: posted.text("type").to_owned(),
        description: posted.text("description").to_owned(),
        copy_of: posted.text("copy_of").to_owned(),
        url: posted.text("url").to_owned(),
        program: posted.text("program").to_owned(),
        ..Typed::default()
    };
    let mistakes = match try_add(&context, &typed).await? {
        Ok(id) => return Ok(Redirect::to(&format!("/connectors/{id}/settings")).into_response()),
        Err(mistakes) => mistakes,
    };
    let problems = mistakes.into_iter().map(|mistake| Problem { key: mistake.key, text: mistake.message }).collect();
    let mut page = page(&context, Filter::default()).await?;
    "Error: Flows".clone_into(&mut page.shell.title);
    page.problems = problems;
    page.typed = typed;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, html(&page)?).into_response())
}

async fn try_add(context: &Context, typed: &Typed) -> Result<Result<ConnectorId, Vec<Mistake>>, WebError> {
    let state = &context.state;
    let id = match ConnectorId::parse(&typed.id) {
        Ok(id) => id,
        Err(message) => return Ok(Err(vec![Mistake::new("id", message)])),
    };
    let mut values = Texts::new();
    let (mut copied, mut left_out) = (None, Vec::new());
    if !typed.kind.is_empty() {
        values.insert("type".to_owned(), typed.kind.clone());
    }
    if !typed.copy_of.is_empty() {
        let Some(model) = connector::find(&state.db, &typed.copy_of.to_ascii_lowercase()).await? else {
            return Ok(Err(vec![Mistake::new("copy_of", format!("There is no connector {}", typed.copy_of))]));
        };
        copied = Some(model.id);
        values = model.stored.texts;
        left_out = copying::take_own(&mut values);
    }
    values.insert("description".to_owned(), typed.description.clone());
    if !typed.url.is_empty() {
        values.insert("url".to_owned(), typed.url.clone());
    }
    if !typed.program.is_empty() {
        values.insert("program".to_owned(), typed.program.clone());
    }
    let kind = type_of(&values);
    let made = match change::add_connector(context, &id, values).await? {
        Ok(made) => made,
        Err(SaveError::Mistakes(mistakes)) => return Ok(Err(mistakes)),
        Err(error) => return Err(WebError::internal(error)),
    };
    let text = match kind {
        ConnectorType::FtpServer => format!("Added {id}. Its password is shown here once; give it to the partner now."),
        ConnectorType::Webhook => {
            format!("Added {id}. Its signing secret is shown here once; give it to the receiver now.")
        }
        ConnectorType::Folder | ConnectorType::Command => format!("Added {id}."),
    };
    if let Some(model) = copied {
        left_out.extend(copying::copy(context, &model, &id).await?);
    }
    let text = if left_out.is_empty() { text } else { format!("{text} Not copied: {}.", left_out.join("; ")) };
    let note = Note { tone: Tone::Good, text, password: made.map(|made| made.secret) };
    context.leave(&format!("/connectors/{id}/settings"), note);
    Ok(Ok(id))
}
