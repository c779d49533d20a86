//! Who asks, and what every handler needs to answer: one extractor instead of a row of parameters.

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

/// Who asks, put into each request by `layers::know_visitor`.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Signed in as; by a token of the API, as its owner.
    pub session: Option<WebSession>,
    /// The name that changes are made in; empty for a stranger.
    pub who: String,
    /// What the session is known by; empty when not signed in.
    pub token: Secret,
    /// What every form of this visitor carries.
    pub csrf: String,
    /// From where.
    pub remote: IpAddr,
    /// Whether the request came by TLS.
    pub tls: bool,
    /// How it wants its pages.
    pub looks: Looks,
    /// What the browser calls itself, cut short.
    pub agent: String,
    /// The host that was asked for, with its port.
    pub authority: String,
}

impl Visitor {
    /// The host that was asked for, without its port.
    pub fn host(&self) -> String {
        host_name(&self.authority)
    }

    /// Where this server is, as the visitor sees it: `https://mft.example.com:8020`.
    pub fn origin(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }
}

/// A request's context.
#[derive(Clone, Debug)]
pub struct Context {
    /// Everything that can be reached.
    pub state: WebState,
    /// Who asks.
    pub visitor: Visitor,
    /// The path asked for.
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
    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.state.clock.now()
    }

    /// The name that changes are made in; empty for a stranger.
    pub fn who(&self) -> &str {
        &self.visitor.who
    }

    /// Whether the visitor's role reaches `role`.
    pub fn may(&self, role: Role) -> bool {
        self.visitor.session.as_ref().is_some_and(|session| session.administrator.role >= role)
    }

    /// Runs `work` with who changes what, for the audit.
    pub async fn changing<T>(&self, work: impl AsyncFnOnce(&Change<'_>) -> T) -> T {
        let remote = self.visitor.remote.to_string();
        let change = Change { who: self.who(), remote: &remote, at: self.now(), ids: &self.state.ids };
        work(&change).await
    }

    /// Leaves a note for the page at `path`.
    pub fn leave(&self, path: &str, note: Note) {
        self.state.notes.leave(self.visitor.token.reveal(), path, note, self.now());
    }

    /// Takes the note that waits for this page.
    pub fn note(&self) -> Option<Note> {
        self.state.notes.take(self.visitor.token.reveal(), &self.path, self.now())
    }
}
