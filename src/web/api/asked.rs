//! The query of a list. Where a page ignores unknown parts, a program is told: otherwise it would take the answer for
//! the one it asked for.

use std::net::IpAddr;

use axum::extract::{FromRequestParts, RawQuery};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::answer::ApiError;
use crate::domain::event::EventKind;
use crate::domain::receipt::Status;
use crate::domain::refusal::Rule;
use crate::domain::setting::{Mistake, Texts, nearest};
use crate::domain::value::{Since, typed};
use crate::store::session::SessionEnd;
use crate::web::view::{PAGE_SIZES, cursor};

/// Bytes of a query.
const QUERY_BYTES_MAX: usize = 4_096;

/// Reads a query whose keys are among `known`, each at most once.
pub fn read<T: DeserializeOwned>(query: RawQuery, known: &[&'static str]) -> Result<T, ApiError> {
    let query = query.0.unwrap_or_default();
    let whole = |words: String| ApiError::Mistakes(vec![Mistake::new("", words)]);
    if query.len() > QUERY_BYTES_MAX {
        return Err(whole(format!("The query has {} bytes; {QUERY_BYTES_MAX} are read", query.len())));
    }
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_str(&query).map_err(|_| whole("The query could not be read".to_owned()))?;
    let mut mistakes = Vec::new();
    for (place, (key, value)) in pairs.iter().enumerate() {
        let wrong = if !known.contains(&key.as_str()) {
            let near = nearest(key, known.iter().copied()).map(|near| format!("; did you mean {near}?"));
            let there_are =
                if known.is_empty() { "there is none".to_owned() } else { format!("there are {}", known.join(", ")) };
            Some(format!("{} is no filter here; {there_are}{}", typed(key), near.unwrap_or_default()))
        } else if pairs.iter().take(place).any(|(earlier, _)| earlier == key) {
            Some(format!("{key} is given twice"))
        } else if value.is_empty() {
            None
        } else {
            check(key, value)
        };
        mistakes.extend(wrong.map(|words| Mistake::new(key, words)));
    }
    if !mistakes.is_empty() {
        return Err(ApiError::Mistakes(mistakes));
    }
    serde_urlencoded::from_str(&query).map_err(|_| whole("The query could not be read".to_owned()))
}

/// For a list without filters: a query would ask for something that it does not offer.
pub struct Whole;

impl<S: Sync> FromRequestParts<S> for Whole {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        read::<Texts>(RawQuery(parts.uri.query().map(str::to_owned)), &[]).map(|_| Self)
    }
}

/// What is wrong with one filter, if anything.
fn check(key: &str, value: &str) -> Option<String> {
    let among = |names: &[&str]| {
        (!names.contains(&value)).then(|| format!("{} isn't one of {}", typed(value), names.join(", ")))
    };
    match key {
        "before" | "after" if cursor(value).is_none() => {
            Some(format!("{} isn't a place in the list; take what older or newer said", typed(value)))
        }
        "size" => among(&PAGE_SIZES.map(|size| size.to_string()).each_ref().map(String::as_str)),
        "since" if value == "today" => None,
        "since" => Since::parse(value).err(),
        "kind" => among(&EventKind::ALL.map(EventKind::name)),
        "ending" => among(&SessionEnd::ALL.map(SessionEnd::name)),
        "address" if value.trim().parse::<IpAddr>().is_err() => Some(format!("{} isn't an address", typed(value))),
        "rule" => among(&Rule::ALL.iter().map(|rule| rule.name()).collect::<Vec<_>>()),
        "status" => among(&Status::ALL.map(Status::name)),
        "way" => among(&["receive", "send"]),
        "anyway" => among(&["true", "false"]),
        "result" => among(&["complete", "broken"]),
        _ => None,
    }
}
