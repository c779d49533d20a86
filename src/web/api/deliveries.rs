//! Actions on one delivery: fire now, stop, begin anew.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::answer::ApiError;
use crate::store::{delivery_page, exported};
use crate::web::context::Context;
use crate::web::pages::receive::{Act, act, find_delivery};

#[derive(Serialize)]
struct Done<'a> {
    done: &'static str,
    delivery: exported::Delivery<'a>,
}

/// It is due at once, and so are those ahead of it.
pub async fn fire(context: Context, Path(id): Path<String>) -> Result<Response, ApiError> {
    answer(&context, &id, Act::Fire).await
}

/// It is no longer tried; the file stays in Receive.
pub async fn stop(context: Context, Path(id): Path<String>) -> Result<Response, ApiError> {
    answer(&context, &id, Act::Stop).await
}

/// An ended one begins anew, with the same event id.
pub async fn again(context: Context, Path(id): Path<String>) -> Result<Response, ApiError> {
    answer(&context, &id, Act::Again).await
}

async fn answer(context: &Context, id: &str, what: Act) -> Result<Response, ApiError> {
    let none = || {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "Nothing here",
            format!("There is no delivery {id}; a receipt has those of its file."),
        )
    };
    let delivery = find_delivery(context, id).await.map_err(|error| match error.status {
        StatusCode::NOT_FOUND => none(),
        _ => error.into(),
    })?;
    let done = act(context, &delivery, what).await?;
    let done = done.map_err(|words| ApiError::new(StatusCode::CONFLICT, "Not now", words))?;
    let delivery = find_delivery(context, id).await?;
    let tries = delivery_page::tries(&context.state.db, delivery.id).await?;
    Ok(Json(Done { done, delivery: exported::Delivery::of(&delivery, &tries) }).into_response())
}
