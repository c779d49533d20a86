//! Errors, in two sentences for the reader; the cause is logged once, at the edge.

use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::access::password::HashError;
use crate::domain::connector::Connector;
use crate::store::StoreError;

/// An error in place of a page. `layers::dress` turns it into a page of the site.
#[derive(Clone, Debug)]
pub struct WebError {
    /// The status.
    pub status: StatusCode,
    /// What happened.
    pub title: String,
    /// What to do.
    pub text: String,
    /// Why, for the log only.
    pub cause: Option<String>,
}

impl WebError {
    /// An error with words for the reader.
    pub fn new(status: StatusCode, title: impl Into<String>, text: impl Into<String>) -> Self {
        Self { status, title: title.into(), text: text.into(), cause: None }
    }

    /// Nothing exists at this address.
    pub fn not_found() -> Self {
        Self::status(StatusCode::NOT_FOUND)
    }

    /// No connector has that id.
    pub fn no_connector(id: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "No such connector",
            format!("There is no connector {id}. It may have been deleted; Flows lists those there are."),
        )
    }

    /// The connector of that id is there, but has no such tab.
    pub fn no_tab(connector: &Connector) -> Self {
        let kind = connector.settings.r#type.one();
        let words =
            format!("{} is {kind}: only an FTP Server has this page. Its Settings and Logs are there.", connector.id);
        Self::new(StatusCode::NOT_FOUND, "No such page", words)
    }

    /// A form whose token is missing or old.
    pub fn stale_form() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "This form has expired",
            "Nothing was saved. Its page was made for another sign-in. Go back, load the page again and repeat.",
        )
    }

    /// The request's body could not be read to its end.
    pub fn unread(error: &BytesRejection) -> Self {
        match error.status() {
            StatusCode::BAD_REQUEST => Self::new(
                StatusCode::BAD_REQUEST,
                "This request was cut off",
                "What it sent did not come to its end. Nothing was saved. Send it again.",
            ),
            status => Self::status(status),
        }
    }

    /// Something failed on this side.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Self { cause: Some(cause.to_string()), ..Self::status(StatusCode::INTERNAL_SERVER_ERROR) }
    }

    /// The words for a bare status.
    pub fn status(status: StatusCode) -> Self {
        let (title, text) = match status {
            StatusCode::UNAUTHORIZED => ("Sign in first", "You are not signed in, or not any more. Nothing was saved."),
            StatusCode::FORBIDDEN => {
                ("Your role does not allow this", "Nothing was saved. An admin can give you another role.")
            }
            StatusCode::NOT_FOUND => ("No such page", "There is nothing under this address."),
            StatusCode::BAD_REQUEST => (
                "This address cannot be read",
                "Part of it is there twice, or is not what belongs there. Follow a link or use a form of the site.",
            ),
            StatusCode::METHOD_NOT_ALLOWED => {
                ("This address takes no such request", "Follow a link or use a form of the site.")
            }
            StatusCode::REQUEST_TIMEOUT => {
                ("This took too long", "The request was not finished in time. Try again in a moment.")
            }
            StatusCode::PAYLOAD_TOO_LARGE => ("This form is too large", "Nothing was saved. Send less text."),
            _ if status.is_server_error() => (
                "Something failed on this side",
                "Nothing was saved by this request. The log says why; try again in a moment.",
            ),
            _ => ("This request could not be used", "Nothing was saved."),
        };
        Self::new(status, title, text)
    }
}

impl IntoResponse for WebError {
    fn into_response(self) -> Response {
        let mut response = (self.status, format!("{}\n{}\n", self.title, self.text)).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for WebError {
    fn from(error: StoreError) -> Self {
        Self::internal(error)
    }
}

impl From<HashError> for WebError {
    fn from(error: HashError) -> Self {
        Self::internal(error)
    }
}

impl From<askama::Error> for WebError {
    fn from(error: askama::Error) -> Self {
        Self::internal(error)
    }
}
