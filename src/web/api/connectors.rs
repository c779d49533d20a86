//! Connectors: listed and shown as the command line does.

use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::store::{connector, exported};
use crate::web::context::Context;
use crate::web::error::WebError;
use crate::web::pages::connectors::find;

#[derive(Serialize)]
struct List<'a> {
    connectors: Vec<exported::Connector<'a>>,
}

/// Every one, by id.
pub async fn list(context: Context) -> Result<Response, WebError> {
    let all = connector::all(&context.state.db).await?;
    Ok(Json(List { connectors: all.iter().map(exported::Connector::of).collect() }).into_response())
}

/// One, with all its settings.
pub async fn show(context: Context, Path(id): Path<String>) -> Result<Response, WebError> {
    let found = find(&context, &id).await?;
    Ok(Json(exported::WholeConnector::of(&found)).into_response())
}
