//! Answers that say no: `application/problem+json` (RFC 9457), with every mistake by the key of its setting.

use axum::Json;
use axum::extract::{MatchedPath, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::routes::ROUTES;
use crate::web::error::WebError;

/// RFC 9457.
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Why a request was not done.
#[derive(Serialize)]
struct Problem {
    title: String,
    status: u16,
    detail: String,
}

/// Every error becomes a problem in JSON; what caused it goes to the log, once.
pub async fn dress(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let status = response.status();
    let is_told = response.headers().get(CONTENT_TYPE) == Some(&PROBLEM);
    if is_told || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let own = response.extensions().get::<WebError>();
    if let Some(cause) = own.and_then(|error| error.cause.as_ref()) {
        tracing::error!(request.path = path, error = cause, "An answer of the API could not be given");
    }
    let (title, detail) = match own {
        // Its words for these are about pages.
        Some(error) if ![StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED].contains(&status) || is_own(error) => {
            (error.title.clone(), error.text.clone())
        }
        _ => words(status, matched.as_ref().map_or("", MatchedPath::as_str)),
    };
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    let body = Json(Problem { title, status: status.as_u16(), detail }).into_response().into_body();
    parts.headers.insert(CONTENT_TYPE, PROBLEM);
    Response::from_parts(parts, body)
}

/// Whether an error has words that were chosen for it.
fn is_own(error: &WebError) -> bool {
    error.title != WebError::status(error.status).title
}

/// What a bare status means here.
fn words(status: StatusCode, matched: &str) -> (String, String) {
    match status {
        StatusCode::NOT_FOUND => (
            "Nothing here".to_owned(),
            "There is nothing under this address; docs/API.md lists what there is.".to_owned(),
        ),
        StatusCode::METHOD_NOT_ALLOWED => {
            let taken = ROUTES.iter().filter(|route| matched.strip_prefix("/api") == Some(route.path));
            let taken: Vec<_> = taken.map(|route| route.method.as_str()).collect();
            ("This address takes no such request".to_owned(), format!("It takes {}.", taken.join(", ")))
        }
        _ => {
            let error = WebError::status(status);
            (error.title, error.text)
        }
    }
}
