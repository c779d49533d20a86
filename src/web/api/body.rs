//! The body of a request that changes something: one JSON object, in which every key must be known.
//!
//! Values of settings are texts, as in the forms and on the command line: `"on"`, `"2121"`, `"10 MiB"`.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use serde_json::{Map, Value};

use super::answer::ApiError;
use super::once::Once;
use crate::domain::setting::{Mistake, Setting, Texts};
use crate::web::error::WebError;
use crate::web::state::WebState;

/// The body. Handlers take keys out; any that remain at the end are a mistake.
#[derive(Debug, Default)]
pub struct Body {
    object: Map<String, Value>,
    mistakes: Vec<Mistake>,
}

impl FromRequest<WebState> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &WebState) -> Result<Self, ApiError> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_json = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
        let bytes = Bytes::from_request(request, state).await.map_err(|error| WebError::unread(&error))?;
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        if !is_json {
            let words = "Send a JSON object, with Content-Type: application/json. Nothing was done.";
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Not JSON", words));
        }
        match serde_json::from_slice(&bytes) {
            Ok(Once(Value::Object(object))) => Ok(Self { object, mistakes: Vec::new() }),
            Ok(_) => Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                "Not an object",
                "The body is JSON but no object; send {…}. Nothing was done.",
            )),
            // The body is not repeated: it may contain a password.
            Err(error) => {
                let is = if error.is_data() { "gives a key for the second time" } else { "is no JSON" };
                let words = format!("Line {}, column {} {is}. Nothing was done.", error.line(), error.column());
                Err(ApiError::new(StatusCode::BAD_REQUEST, "Not JSON", words))
            }
        }
    }
}

impl Body {
    /// A text; empty if it is missing.
    pub fn text(&mut self, key: &str) -> String {
        match self.object.remove(key) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text,
            Some(_) => {
                self.mistakes.push(Mistake::new(key, format!("{key} is no text; write it as \"…\"")));
                String::new()
            }
        }
    }

    /// `true` or `false`; `false` if it is missing.
    pub fn flag(&mut self, key: &str) -> bool {
        match self.object.remove(key) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(flag)) => flag,
            Some(_) => {
                self.mistakes.push(Mistake::new(key, format!("{key} is neither true nor false")));
                false
            }
        }
    }

    /// The version that the client saw; `None`: whatever is stored.
    pub fn version(&mut self) -> Option<i64> {
        let value = self.object.remove("version")?;
        let version = value.as_i64();
        if version.is_none() && !value.is_null() {
            let words = "version is no whole number; take what the answer before said, or leave it out";
            self.mistakes.push(Mistake::new("version", words));
        }
        version
    }

    /// The settings by key.
    pub fn settings(&mut self) -> Texts {
        let mut texts = Texts::new();
        match self.object.remove("settings") {
            None => {}
            Some(Value::Object(settings)) => {
                for (key, value) in settings {
                    if let Value::String(text) = value {
                        texts.insert(key, text);
                    } else {
                        let words = format!("{key} is no text; write it as the form has it, such as \"on\" or \"21\"");
                        self.mistakes.push(Mistake::new(&key, words));
                    }
                }
            }
            Some(_) => {
                let words = "settings is no object; write {\"key\": \"value\"}";
                self.mistakes.push(Mistake::new("settings", words));
            }
        }
        texts
    }

    /// The settings by key; those that are missing get their defaults. A body lost in transit never means that, so
    /// `settings` must be present even if every default is wanted.
    pub fn all_settings(&mut self) -> Texts {
        if !self.object.contains_key("settings") {
            let words = "settings is missing: PUT puts all of them in place; \"settings\": {} puts every default there";
            self.mistakes.push(Mistake::new("settings", words));
        }
        self.settings()
    }

    /// Whether everything was understood.
    pub fn done(&mut self) -> Result<(), ApiError> {
        let mut mistakes = std::mem::take(&mut self.mistakes);
        let unknown = self.object.keys().map(|key| Mistake::new(key, format!("{key} is not known here")));
        mistakes.extend(unknown);
        if mistakes.is_empty() { Ok(()) } else { Err(ApiError::Mistakes(mistakes)) }
    }
}

/// All of a table: those missing from `texts` have their defaults.
pub fn whole(mut texts: Texts, table: &'static [Setting]) -> Texts {
    for setting in table {
        texts.entry(setting.key.to_owned()).or_insert_with(|| setting.default.to_owned());
    }
    texts
}
