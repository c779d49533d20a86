//! A form that was not made by this server for this browser cannot be read: [`Posted`], [`Uploaded`] and [`Streamed`]
//! are the only ways to a form's fields, and they check the token first. Before sign-in the token is keyed to a cookie
//! of the visit, afterwards it is the session's own.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::StatusCode;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::context::Visitor;
use super::error::WebError;
use super::state::WebState;
use crate::base::hex::hex;
use crate::base::secret::Secret;

/// The name of the token's field.
pub const FIELD: &str = "csrf";
/// Fields of one form.
pub const FIELDS_MAX: usize = 500;
/// The next bytes of a file must arrive within this time.
const CHUNK_WITHIN: Duration = Duration::from_mins(1);
/// The message about files that were already accepted.
const KEPT: &str =
    "The file that was on its way is not there; those that came whole before it are, and the list shows them.";
/// Bytes of a token, with a margin.
const TOKEN_BYTES_MAX: usize = 1_024;

/// The token for forms of a visit that has not signed in.
pub fn visit_token(key: &[u8; 32], visit: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(b"visit ");
    mac.update(visit.as_bytes());
    hex(&mac.finalize().into_bytes())
}

/// The fields of a form with a valid token.
#[derive(Clone, Debug, Default)]
pub struct Posted {
    fields: Vec<(String, String)>,
}

impl Posted {
    /// The text in `name`; empty if the form had no such field.
    pub fn text(&self, name: &str) -> &str {
        self.fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    }

    /// The text in `name`, if the form had such a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every value of `name`, as sent by checkboxes of one group.
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

/// A form with files, whose token came first and was valid: nothing after an invalid one is read.
#[derive(Debug, Default)]
pub struct Uploaded {
    /// Its fields that are not files.
    pub posted: Posted,
    files: Vec<(String, Zeroizing<Vec<u8>>)>,
}

impl Uploaded {
    /// The file chosen in `name`; `None` if none was.
    pub fn file(&self, name: &str) -> Option<&Zeroizing<Vec<u8>>> {
        self.files.iter().find(|(key, bytes)| key == name && !bytes.is_empty()).map(|(_, bytes)| bytes)
    }
}

impl FromRequest<WebState> for Uploaded {
    type Rejection = WebError;

    async fn from_request(request: Request, state: &WebState) -> Result<Self, WebError> {
        let expected = request.extensions().get::<Visitor>().map(|visitor| visitor.csrf.clone()).unwrap_or_default();
        let mut parts = Multipart::from_request(request, state).await.map_err(|_| unreadable())?;
        let mut uploaded = Self::default();
        let mut trusted = false;
        while let Some(mut part) = parts.next_field().await.map_err(|error| broken(&error))? {
            let name = part.name().unwrap_or_default().to_owned();
            let is_file = part.file_name().is_some();
            // It may contain a key: wiped when dropped.
            let mut bytes = Zeroizing::new(Vec::new());
            while let Some(chunk) = part.chunk().await.map_err(|error| broken(&error))? {
                if !trusted && bytes.len() + chunk.len() > TOKEN_BYTES_MAX {
                    return Err(WebError::stale_form());
                }
                bytes.extend_from_slice(&chunk);
            }
            if is_file && trusted {
                uploaded.files.push((name, bytes));
                continue;
            }
            let text = std::str::from_utf8(&bytes).map_err(|_| unreadable())?;
            if !trusted {
                trusted = name == FIELD && !expected.is_empty() && Secret::new(text) == Secret::new(expected.as_str());
                if !trusted {
                    return Err(WebError::stale_form());
                }
            }
            uploaded.posted.fields.push((name, text.to_owned()));
            if uploaded.posted.fields.len() + uploaded.files.len() > FIELDS_MAX {
                return Err(too_many());
            }
        }
        if trusted { Ok(uploaded) } else { Err(WebError::stale_form()) }
    }
}

fn unreadable() -> WebError {
    WebError::new(StatusCode::BAD_REQUEST, "This form could not be read", "Nothing was saved.")
}

fn too_many() -> WebError {
    let text = format!("Nothing was saved. A form holds {FIELDS_MAX} values at most: choose fewer rows at a time.");
    WebError::new(StatusCode::PAYLOAD_TOO_LARGE, "This form holds too many values", text)
}

fn broken(error: &MultipartError) -> WebError {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            WebError::new(StatusCode::PAYLOAD_TOO_LARGE, "These files are too large", "Nothing was saved.")
        }
        _ => unreadable(),
    }
}

/// A form whose files are read as they come, however large. Its token came first and was valid.
#[derive(Debug)]
pub struct Streamed {
    posted: Posted,
    parts: Multipart,
}

/// One part of a form.
#[derive(Debug)]
pub enum Part<'a> {
    /// A field: it is added to the fields for later files.
    Kept,
    /// A file, and the fields before it.
    File(Box<Incoming<'a>>, &'a Posted),
}

/// One file of a form, still arriving.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// The browser's name for it, without folders.
    pub name: String,
    field: Field<'a>,
}

impl Streamed {
    /// The next part, while there is one.
    pub async fn next(&mut self) -> Result<Option<Part<'_>>, WebError> {
        if self.posted.fields.len() > FIELDS_MAX {
            return Err(too_many());
        }
        let Some(field) = chunk_in_time(self.parts.next_field()).await? else { return Ok(None) };
        match field.file_name().map(|name| name.rsplit('/').next().unwrap_or_default().to_owned()) {
            // A file input without a chosen file.
            Some(name) if name.is_empty() => Ok(Some(Part::Kept)),
            Some(name) => Ok(Some(Part::File(Box::new(Incoming { name, field }), &self.posted))),
            None => {
                self.posted.fields.push(small_field(field).await?);
                Ok(Some(Part::Kept))
            }
        }
    }
}

impl Incoming<'_> {
    /// Its next bytes; `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, WebError> {
        chunk_in_time(self.field.chunk()).await
    }
}

impl FromRequest<WebState> for Streamed {
    type Rejection = WebError;

    async fn from_request(request: Request, state: &WebState) -> Result<Self, WebError> {
        let expected = request.extensions().get::<Visitor>().map(|visitor| visitor.csrf.clone()).unwrap_or_default();
        let mut parts = Multipart::from_request(request, state).await.map_err(|_| unreadable())?;
        let first = chunk_in_time(parts.next_field()).await?.ok_or_else(WebError::stale_form)?;
        if first.file_name().is_some() {
            return Err(WebError::stale_form());
        }
        let (name, text) = small_field(first).await?;
        if name != FIELD || expected.is_empty() || Secret::new(text.as_str()) != Secret::new(expected) {
            return Err(WebError::stale_form());
        }
        Ok(Self { posted: Posted { fields: vec![(name, text)] }, parts })
    }
}

/// Waits for more of a form, up to a limit.
async fn chunk_in_time<T>(more: impl Future<Output = Result<T, MultipartError>>) -> Result<T, WebError> {
    let more = tokio::time::timeout(CHUNK_WITHIN, more).await;
    let more = more.map_err(|_| WebError::status(StatusCode::REQUEST_TIMEOUT))?;
    more.map_err(|error| WebError { text: KEPT.to_owned(), ..broken(&error) })
}

async fn small_field(mut part: Field<'_>) -> Result<(String, String), WebError> {
    let name = part.name().unwrap_or_default().to_owned();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunk_in_time(part.chunk()).await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > TOKEN_BYTES_MAX {
            return Err(WebError::stale_form());
        }
    }
    Ok((name, String::from_utf8(bytes).map_err(|_| unreadable())?))
}

impl FromRequest<WebState> for Posted {
    type Rejection = WebError;

    async fn from_request(request: Request, state: &WebState) -> Result<Self, WebError> {
        let expected = request.extensions().get::<Visitor>().map(|visitor| visitor.csrf.clone()).unwrap_or_default();
        let body = Bytes::from_request(request, state).await.map_err(|error| WebError::unread(&error))?;
        let fields: Vec<(String, String)> = serde_urlencoded::from_bytes(&body).map_err(|_| unreadable())?;
        let posted = Self { fields };
        let sent = Secret::new(posted.text(FIELD));
        if expected.is_empty() || sent != Secret::new(expected) {
            return Err(WebError::stale_form());
        }
        if posted.fields.len() > FIELDS_MAX {
            return Err(too_many());
        }
        Ok(posted)
    }
}
