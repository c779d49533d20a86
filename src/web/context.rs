//! Who asks, and everything a handler needs to answer: one extractor instead of a row of parameters.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts as RequestParts;

use super::error::WebError;
use super::layers::host_name;
use super::looks::Looks;
use super::notes::Note;
use super::state::WebState;
use crate::base::clock::Timestamp;
use crate::base::secret::Secret;
use crate::domain::administrator::Role;
use crate::store::administrator::WebSession;
use crate::store::setting::Change;

/// The visitor, put into each request by `layers::know_visitor`.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The sign-in; for a token of the API, its owner's.
    pub session: Option<WebSession>,
    /// The name under which changes are made; empty for a stranger.
    pub who: String,
    /// The session's token; empty if not signed in.
    pub token: Secret,
    /// The token of every form of this visitor.
    pub csrf: String,
    /// Their address.
    pub remote: IpAddr,
    /// Whether the request came over TLS.
    pub tls: bool,
    /// Their preferences for pages.
    pub looks: Looks,
    /// The browser's user agent, shortened.
    pub agent: String,
    /// The requested host, with its port.
    pub authority: String,
}

impl Visitor {
    /// The requested host, without its port.
    pub fn host(&self) -> String {
        host_name(&self.authority)
    }

    /// This server's address as the visitor sees it: `https://mft.example.com:8020`.
    pub fn origin(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }
}

/// A request's context.
#[derive(Clone, Debug)]
pub struct Context {
    /// All services.
    pub state: WebState,
    /// The visitor.
    pub visitor: Visitor,
    /// The requested path.
    pub path: String,
}

impl FromRequestParts<WebState> for Context {
    type Rejection = WebError;

    async fn from_request_parts(parts: &mut RequestParts, state: &WebState) -> Result<Self, WebError> {
        let visitor = parts.extensions.get::<Visitor>().cloned();
        let visitor = visitor.ok_or_else(|| WebError::internal("a request without a visitor"))?;
        Ok(Self { state: state.clone(), visitor, path: parts.uri.path().to_owned() })
    }
}

impl Context {
    /// The present time.
    pub fn now(&self) -> Timestamp {
        self.state.clock.now()
    }

    /// The name under which changes are made; empty for a stranger.
    pub fn who(&self) -> &str {
        &self.visitor.who
    }

    /// Whether the visitor's role reaches `role`.
    pub fn may(&self, role: Role) -> bool {
        self.visitor.session.as_ref().is_some_and(|session| session.administrator.role >= role)
    }

    /// Runs `work` with the details of the change for the audit.
    pub async fn changing<T>(&self, work: impl AsyncFnOnce(&Change<'_>) -> T) -> T {
        let remote = self.visitor.remote.to_string();
        let change = Change { who: self.who(), remote: &remote, at: self.now(), ids: &self.state.ids };
        work(&change).await
    }

    /// Leaves a note for the page at `path`.
    pub fn leave(&self, path: &str, note: Note) {
        self.state.notes.leave(self.visitor.token.reveal(), path, note, self.now());
    }

    /// Takes the note waiting for this page.
    pub fn note(&self) -> Option<Note> {
        self.state.notes.take(self.visitor.token.reveal(), &self.path, self.now())
    }
}
