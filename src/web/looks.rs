//! The preferences of one browser: its theme, the time zone of times, and whether single keys work. Each is a cookie
//! that the page's script may read too, so that a page never flashes.

use axum::http::{HeaderMap, HeaderValue};

use super::error::WebError;
use super::login::cookie;

/// The cookie of the chosen theme.
pub const THEME: &str = "theme";
/// The cookie of the time zone for times.
pub const TIMES: &str = "times";
/// The cookie of whether single keys work.
pub const KEYS: &str = "keys";
/// How long a choice is kept: a year, in seconds.
const KEPT_SECONDS: u32 = 31_536_000;

/// The preferences of a browser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looks {
    /// `light` or `dark`; `None`: the system's.
    pub theme: Option<&'static str>,
    /// Times in the browser's own zone, by its script; otherwise in UTC.
    pub local_times: bool,
    /// Single keys do nothing (WCAG 2.1.4).
    pub keys_off: bool,
}

impl Looks {
    /// From the cookies of a request.
    pub fn of(headers: &HeaderMap) -> Self {
        Self {
            theme: match cookie(headers, THEME) {
                Some("light") => Some("light"),
                Some("dark") => Some("dark"),
                _ => None,
            },
            local_times: cookie(headers, TIMES) == Some("local"),
            keys_off: cookie(headers, KEYS) == Some("off"),
        }
    }
}

/// A `Set-Cookie` header for a choice.
pub fn keep(name: &str, value: &str) -> Result<HeaderValue, WebError> {
    let text = format!("{name}={value}; Path=/; SameSite=Lax; Max-Age={KEPT_SECONDS}");
    HeaderValue::from_str(&text).map_err(WebError::internal)
}
