//! Who asks, from where, for what: the one thing a handler takes beside its form. `layers::admit` puts the visitor into
//! the request; a handler behind a role can rely on its session.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};

use super::error::WebError;
use super::notes::{Note, Notes};
use super::state::WebState;
use crate::base::clock::Timestamp;
use crate::domain::administrator::Role;
use crate::store::administrator::WebSession;
use crate::store::setting::Change;

/// The reader's choice of light or dark; the system's if there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// As the system has it.
    #[default]
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

impl Theme {
    /// The word in cookie and markup; empty for the system's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// Reads [`Theme::name`].
    pub fn parse(text: &str) -> Self {
        match text {
            "light" => Self::Light,
            "dark" => Self::Dark,
            _ => Self::System,
        }
    }
}

/// The browser behind a request.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Who signed in with it.
    pub session: Option<WebSession>,
    /// The token its forms must carry.
    pub csrf: String,
    /// Its address.
    pub remote: IpAddr,
    /// Light or dark.
    pub theme: Theme,
}

/// A request that needs no session.
#[derive(Clone, Debug)]
pub struct Guest {
    /// The appliance.
    pub state: WebState,
    /// The browser.
    pub visitor: Visitor,
    /// What it asks for.
    pub uri: Uri,
    /// The host name it asked, without port.
    pub host: String,
}

/// A request of somebody who has signed in.
#[derive(Clone, Debug)]
pub struct Ctx {
    guest: Guest,
    session: WebSession,
}

impl std::ops::Deref for Ctx {
    type Target = Guest;

    fn deref(&self) -> &Guest {
        &self.guest
    }
}

impl Guest {
    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.state.clock.now()
    }

    /// The path and query it asks for.
    pub fn here(&self) -> &str {
        self.uri.path_and_query().map_or("/", |whole| whole.as_str())
    }
}

impl Ctx {
    /// Whose session it is.
    pub fn session(&self) -> &WebSession {
        &self.session
    }

    /// What they may do.
    pub fn role(&self) -> Role {
        self.session.administrator.role
    }

    /// Who changes something now, for the audit; `remote` is [`Ctx::remote`].
    pub fn change<'a>(&'a self, remote: &'a str) -> Change<'a> {
        Change { who: &self.session.administrator.name, remote, at: self.now(), ids: &self.state.ids }
    }

    /// The browser's address as text.
    pub fn remote(&self) -> String {
        self.visitor.remote.to_string()
    }

    /// Leaves a note for the next page and goes there.
    pub fn go(&self, path: &str, note: Note) -> Response {
        self.notes().leave(&self.session.csrf_token, path, note, self.now());
        Redirect::to(path).into_response()
    }

    /// The note that waits for this page.
    pub fn note(&self) -> Option<Note> {
        self.notes().take(&self.session.csrf_token, self.uri.path(), self.now())
    }

    fn notes(&self) -> &Notes {
        &self.state.notes
    }
}

impl FromRequestParts<WebState> for Guest {
    type Rejection = WebError;

    async fn from_request_parts(parts: &mut Parts, state: &WebState) -> Result<Self, WebError> {
        let visitor = parts.extensions.get::<Visitor>().cloned();
        let visitor = visitor.ok_or_else(|| WebError::internal("a route without its layer"))?;
        let uri = parts.extensions.get::<axum::extract::OriginalUri>().map_or(&parts.uri, |original| &original.0);
        Ok(Self { state: state.clone(), visitor, uri: uri.clone(), host: host_of(parts) })
    }
}

impl FromRequestParts<WebState> for Ctx {
    type Rejection = WebError;

    async fn from_request_parts(parts: &mut Parts, state: &WebState) -> Result<Self, WebError> {
        let guest = Guest::from_request_parts(parts, state).await?;
        let session = guest.visitor.session.clone().ok_or_else(|| WebError::status(StatusCode::UNAUTHORIZED))?;
        Ok(Self { guest, session })
    }
}

/// The host a request asks, without port and brackets.
pub(super) fn host_of(parts: &Parts) -> String {
    let header = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let whole = parts.uri.authority().map(axum::http::uri::Authority::as_str).or(header).unwrap_or_default();
    let host = match whole.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !host.ends_with(':') => host,
        _ => whole,
    };
    host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase()
}

/// A page with a status.
pub fn page(status: StatusCode, template: &impl askama::Template) -> Result<Response, WebError> {
    Ok((status, Html(template.render()?)).into_response())
}

/// A page.
pub fn ok(template: &impl askama::Template) -> Result<Response, WebError> {
    page(StatusCode::OK, template)
}

/// `to` if it is an address of this site, else `/flows`.
pub fn local(to: &str) -> &str {
    let own = to.starts_with('/')
        && !to.starts_with("//")
        && !to.starts_with("/\\")
        && to.len() < 2_000
        && to.bytes().all(|b| b.is_ascii_graphic());
    if own { to } else { "/flows" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_site_are_followed() {
        assert_eq!(local("/activity/receive?q=a"), "/activity/receive?q=a");
        for elsewhere in ["https://example.com", "//example.com", "/\\example.com", "", "/a\r\nb"] {
            assert_eq!(local(elsewhere), "/flows");
        }
    }

    #[test]
    fn the_host_is_read_without_port_and_brackets() {
        let host = |text: &str| {
            let request = axum::http::Request::builder().header("host", text).body(()).unwrap();
            host_of(&request.into_parts().0)
        };
        assert_eq!(host("LOCALHOST:8020"), "localhost");
        assert_eq!(host("[::1]:8020"), "::1");
        assert_eq!(host("[::1]"), "::1");
        assert_eq!(host("files.example.com"), "files.example.com");
    }
}
