//! A form that was not made by this server for this browser cannot be read: [`Posted`] is the only way to a form's
//! fields, and it checks the token first. Before sign-in the token is keyed to a cookie of the visit, afterwards it is
//! the session's own.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::context::Visitor;
use super::error::WebError;
use super::state::WebState;
use crate::base::secret::Secret;

/// The name of the field that holds the token.
pub const FIELD: &str = "csrf";
/// Fields of one form.
pub const FIELDS_MAX: usize = 500;

/// The token of forms that a visit which has not signed in may send.
pub fn visit_token(key: &[u8; 32], visit: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(b"visit ");
    mac.update(visit.as_bytes());
    mac.finalize().into_bytes().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// The fields of a form whose token was right.
#[derive(Clone, Debug, Default)]
pub struct Posted {
    fields: Vec<(String, String)>,
}

impl Posted {
    /// What was typed in `name`; empty if the form had no such field.
    pub fn text(&self, name: &str) -> &str {
        self.fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    }

    /// What was typed in `name`, if the form had such a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every value of `name`, as checkboxes of one group send them.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A password; it is never put back into a page.
    pub fn secret(&self, name: &str) -> Secret {
        Secret::new(self.text(name))
    }

    /// A form for tests.
    #[cfg(test)]
    pub fn of(fields: &[(&str, &str)]) -> Self {
        Self { fields: fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect() }
    }
}

impl FromRequest<WebState> for Posted {
    type Rejection = WebError;

    async fn from_request(request: Request, state: &WebState) -> Result<Self, WebError> {
        let expected = request.extensions().get::<Visitor>().map(|visitor| visitor.csrf.clone()).unwrap_or_default();
        let body = Bytes::from_request(request, state).await.map_err(|error| WebError::status(error.status()))?;
        let fields: Vec<(String, String)> = serde_urlencoded::from_bytes(&body)
            .map_err(|_| WebError::new(StatusCode::BAD_REQUEST, "This form could not be read", "Nothing was saved."))?;
        let posted = Self { fields };
        let sent = Secret::new(posted.text(FIELD));
        if expected.is_empty() || sent != Secret::new(expected) || posted.fields.len() > FIELDS_MAX {
            return Err(WebError::stale_form());
        }
        Ok(posted)
    }
}
