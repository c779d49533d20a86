//! Arrows: what is passed along to whom, and what waits.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use super::answer::ApiError;
use super::asked::Whole;
use super::body::Body;
use crate::domain::flow::Target;
use crate::domain::setting::Mistake;
use crate::store::arrow::Stopped;
use crate::store::{arrow, delivery_page, exported};
use crate::web::context::Context;

#[derive(Serialize)]
struct Flow {
    #[serde(flatten)]
    arrow: exported::Arrow,
    waiting: u64,
    retrying: u64,
    waiting_since: Option<String>,
}

#[derive(Serialize)]
struct Flows {
    flows: Vec<Flow>,
}

/// Every arrow, with what waits on it.
pub async fn list(context: Context, _: Whole) -> Result<Response, ApiError> {
    let db = &context.state.db;
    let (map, waiting) = (arrow::map(db).await?, delivery_page::waiting(db).await?);
    let flow = |arrow: exported::Arrow| {
        let (source, target) = (arrow.from.to_lowercase(), Target::Connector(arrow.to.to_lowercase()).text());
        let lane = waiting.iter().find(|lane| lane.source_key == source && lane.target == target);
        Flow {
            arrow,
            waiting: lane.map_or(0, |lane| lane.count),
            retrying: lane.map_or(0, |lane| lane.retrying),
            waiting_since: lane.map(|lane| lane.since.to_string()),
        }
    };
    Ok(Json(Flows { flows: exported::Arrow::all(&map).into_iter().map(flow).collect() }).into_response())
}

/// Draws an arrow. Loops and other mistakes are refused in words.
pub async fn connect(context: Context, mut body: Body) -> Result<Response, ApiError> {
    let (from, to, on_error) = (body.text("from"), body.text("to"), body.flag("on_error"));
    body.done()?;
    let missing = [("from", &from), ("to", &to)].into_iter().filter(|(_, id)| id.is_empty());
    let missing: Vec<_> = missing.map(|(key, _)| Mistake::new(key, format!("{key} is missing: a connector"))).collect();
    if !missing.is_empty() {
        return Err(ApiError::Mistakes(missing));
    }
    let db = &context.state.db;
    context.changing(async |change| arrow::connect(db, (&from, &to), on_error, change).await).await?;
    context.state.live.refresh().await?;
    let map = arrow::map(db).await?;
    let arrow = exported::Arrow { from: map.written(&from), to: map.written(&to), on_error };
    Ok((StatusCode::CREATED, Json(arrow)).into_response())
}

/// Removes an arrow. What waits on it stops; the files stay where they are.
pub async fn disconnect(context: Context, Path((from, to)): Path<(String, String)>) -> Result<Response, ApiError> {
    let db = &context.state.db;
    let stopped = context.changing(async |change| arrow::disconnect(db, &from, &to, change).await).await?;
    let Some(Stopped { waited, gone }) = stopped else {
        let words = format!("{from} passes nothing along to {to}; GET /api/v1/flows lists what is passed along.");
        return Err(ApiError::new(StatusCode::NOT_FOUND, "No such arrow", words));
    };
    context.state.live.refresh().await?;
    Ok(Json(json!({ "stopped": waited, "gone": gone })).into_response())
}
