//! Negative answers: `application/problem+json` (RFC 9457), with every mistake by the key of its setting, and what is
//! stored now if somebody else saved meanwhile.

use axum::Json;
use axum::extract::{MatchedPath, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::routes::ROUTES;
use crate::base::human;
use crate::domain::setting::Mistake;
use crate::store::StoreError;
use crate::store::setting::{SaveError, Stored};
use crate::web::error::WebError;
use crate::web::routes::FORM_BYTES_MAX;

/// RFC 9457.
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Why a request was not done, as sent.
#[derive(Default, Serialize)]
struct Problem {
    title: String,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mistakes: Vec<Wrong>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_by: Option<String>,
}

#[derive(Serialize)]
struct Wrong {
    key: String,
    message: String,
}

impl Problem {
    fn answer(self, status: StatusCode) -> Response {
        (status, [(CONTENT_TYPE, PROBLEM)], Json(Self { status: status.as_u16(), ..self })).into_response()
    }
}

/// Why a request was not done.
#[derive(Debug)]
pub enum ApiError {
    /// Invalid values: all of them are reported.
    Mistakes(Vec<Mistake>),
    /// Somebody else saved in between: this is now stored.
    Stale(Box<Stored>),
    /// As a page would put it.
    Web(WebError),
}

impl ApiError {
    /// A refusal in these words.
    pub fn new(status: StatusCode, title: &str, detail: impl Into<String>) -> Self {
        Self::Web(WebError::new(status, title, detail))
    }

    /// There is no such thing of that id; `list` has those there are.
    pub fn none(what: &str, list: &str, id: &str) -> Self {
        let words = format!("There is no {what} {id}; GET /api/v1/{list} lists them.");
        Self::new(StatusCode::NOT_FOUND, "Nothing here", words)
    }
}

impl From<WebError> for ApiError {
    fn from(error: WebError) -> Self {
        Self::Web(error)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::Web(error.into())
    }
}

impl From<SaveError> for ApiError {
    fn from(error: SaveError) -> Self {
        match error {
            SaveError::Mistakes(mistakes) => Self::Mistakes(mistakes),
            SaveError::Stale(stored) => Self::Stale(stored),
            SaveError::Store(error) => error.into(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::Web(error) => error.into_response(),
            Self::Mistakes(mistakes) => {
                let count = human::count(mistakes.len() as u64, "problem", "problems");
                let is = if mistakes.len() == 1 { "is" } else { "are" };
                let detail: String = mistakes.iter().map(|one| sentence(&one.message)).collect();
                let problem = Problem {
                    title: format!("There {is} {count}"),
                    detail: format!("{detail}Nothing was done."),
                    mistakes: mistakes.into_iter().map(|Mistake { key, message }| Wrong { key, message }).collect(),
                    ..Problem::default()
                };
                problem.answer(StatusCode::UNPROCESSABLE_ENTITY)
            }
            Self::Stale(stored) if stored.version == 0 => {
                let detail = "Somebody removed it meanwhile. Nothing was done.".to_owned();
                let problem = Problem { title: "Nothing here".to_owned(), detail, ..Problem::default() };
                problem.answer(StatusCode::NOT_FOUND)
            }
            Self::Stale(stored) => {
                let (who, version) = (&stored.changed_by, stored.version);
                let detail =
                    format!("{who} saved these settings meanwhile; they have version {version} now. Nothing was done.");
                let problem = Problem {
                    title: "Somebody else saved meanwhile".to_owned(),
                    detail,
                    version: Some(version),
                    changed_by: Some(who.clone()),
                    ..Problem::default()
                };
                problem.answer(StatusCode::CONFLICT)
            }
        }
    }
}

/// A mistake as one of several sentences; one that ends with a question keeps its question mark.
fn sentence(message: &str) -> String {
    let end = if message.ends_with(['.', '?']) { "" } else { "." };
    format!("{message}{end} ")
}

/// The statuses whose words concern the site's pages.
const OF_PAGES: [StatusCode; 4] =
    [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED, StatusCode::PAYLOAD_TOO_LARGE];

/// Every error becomes a problem in JSON; its cause is logged once.
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
        Some(error) if !OF_PAGES.contains(&status) || is_own(error) => (error.title.clone(), error.text.clone()),
        _ => words(status, matched.as_ref().map_or("", MatchedPath::as_str)),
    };
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_TYPE, PROBLEM);
    Response::from_parts(parts, Problem { title, detail, ..Problem::default() }.answer(status).into_body())
}

/// Whether an error has words of its own.
fn is_own(error: &WebError) -> bool {
    error.title != WebError::status(error.status).title
}

/// The meaning of a bare status here.
fn words(status: StatusCode, matched: &str) -> (String, String) {
    match status {
        StatusCode::BAD_REQUEST => (
            "This address cannot be read".to_owned(),
            "A part of it is no UTF-8 text; write it percent-encoded. Nothing was done.".to_owned(),
        ),
        StatusCode::PAYLOAD_TOO_LARGE => (
            "This body is too large".to_owned(),
            format!("A body has at most {} KiB. Nothing was done.", FORM_BYTES_MAX / 1_024),
        ),
        StatusCode::NOT_FOUND => (
            "Nothing here".to_owned(),
            "There is nothing under this address; docs/API.md lists what there is.".to_owned(),
        ),
        StatusCode::METHOD_NOT_ALLOWED => {
            let taken = ROUTES.iter().filter(|route| matched.strip_prefix("/api") == Some(route.path));
            let taken: Vec<_> = taken.map(|route| route.verb.method().to_string()).collect();
            ("This address takes no such request".to_owned(), format!("It takes {}.", taken.join(", ")))
        }
        _ => {
            let error = WebError::status(status);
            (error.title, error.text)
        }
    }
}
