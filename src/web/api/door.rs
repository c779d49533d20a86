//! Who may come in: `Authorization: Bearer` and a token (RFC 6750).
//!
//! A good token is never kept waiting. Bad ones are answered with growing delays and then not at all for a time,
//! counted apart from sign-ins, so that a program with an old token locks no administrator out.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::access::gate::Verdict;
use crate::access::guard::{Caller, Door, Known, Limits};
use crate::base::human;
use crate::base::secret::Secret;
use crate::domain::administrator::Role;
use crate::domain::api_token::{Area, Deed};
use crate::domain::value::TokenScope;
use crate::store::administrator::WebSession;
use crate::store::api_token::{self, Token};
use crate::web::context::Visitor;
use crate::web::error::WebError;
use crate::web::layers::authority;
use crate::web::login::random_token;
use crate::web::looks::Looks;
use crate::web::state::{Peer, WebState};

/// The prefix of every token, so that a leaked one is recognised.
const PREFIX: &str = "waybill_";
/// Bytes of a header's value that are examined.
const VALUE_BYTES_MAX: usize = 256;
/// Bad tokens from one address; the guard's general limits for addresses apply besides.
pub(super) const LIMITS: Limits =
    Limits { failures_max: 10, window: Duration::from_mins(5), block_for: Duration::from_mins(5) };

/// The token of a request.
#[derive(Clone, Debug)]
struct Bearer {
    name: String,
    scope: TokenScope,
}

/// What a route requires.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// Its part of the API.
    pub area: Area,
    /// Whether it changes something.
    pub deed: Deed,
    /// The least role of the token's owner.
    pub role: Role,
}

/// 32 random bytes as text, with the prefix of a token.
pub fn new_token() -> String {
    format!("{PREFIX}{}", random_token())
}

/// Lets in requests with a good token, which act as its owner.
pub async fn authenticate(State(state): State<WebState>, mut request: Request, next: Next) -> Response {
    let (secret, remote) = (bearer(request.headers()), Peer::of(request.extensions()));
    let token = match admit(&state, secret, remote).await {
        Ok(token) => token,
        Err(refused) => return refused.into_response(),
    };
    let visitor = Visitor {
        who: token.acts_as(),
        // Nothing that a browser could send is valid here: no cookie, and no form's token.
        token: Secret::new(""),
        csrf: String::new(),
        remote,
        tls: Peer::is_secured(request.extensions()),
        looks: Looks::default(),
        agent: String::new(),
        authority: authority(&request),
        session: Some(WebSession { administrator: token.owner.clone(), csrf_token: String::new() }),
    };
    request.extensions_mut().insert(visitor);
    request.extensions_mut().insert(Bearer { name: token.name.clone(), scope: token.scope });
    request.extensions_mut().insert(token);
    next.run(request).await
}

async fn admit(state: &WebState, secret: Option<Secret>, remote: IpAddr) -> Result<Token, Refused> {
    let Some(secret) = secret else {
        let detail = "Send a token: Authorization: Bearer, then what API tokens showed.";
        return Err(Refused::unauthorized("Token missing", detail, NOT_CLAIMED));
    };
    let Some(token) = api_token::find(&state.db, &secret).await? else { return Err(wrong(state, remote).await) };
    let now = state.clock.now();
    if token.is_expired(now) {
        let detail = format!("The token {} has expired. Make another one under API tokens.", token.name);
        return Err(Refused::unauthorized("Token expired", detail, INVALID));
    }
    if !token.addresses.is_empty() && !token.addresses.contains(remote) {
        let detail = format!("The token {} may not be used from {remote}. Make one that may.", token.name);
        return Err(WebError::new(StatusCode::FORBIDDEN, "Address not allowed", detail).into());
    }
    api_token::used(&state.db, &token, &remote.to_string(), now).await?;
    Ok(token)
}

/// RFC 6750 section 3: without credentials, no details are given.
const NOT_CLAIMED: HeaderValue = HeaderValue::from_static("Bearer realm=\"waybill\"");
/// RFC 6750 section 3.1.
const INVALID: HeaderValue = HeaderValue::from_static("Bearer realm=\"waybill\", error=\"invalid_token\"");

/// Why a request is refused.
struct Refused {
    error: WebError,
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl Refused {
    fn unauthorized(title: &str, detail: impl Into<String>, challenge: HeaderValue) -> Self {
        let error = WebError::new(StatusCode::UNAUTHORIZED, title, detail);
        Self { error, header: Some(Box::new((WWW_AUTHENTICATE, challenge))) }
    }
}

impl<E: Into<WebError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self { error: error.into(), header: None }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = self.error.into_response();
        if let Some(header) = self.header {
            response.headers_mut().insert(header.0, header.1);
        }
        response
    }
}

/// Answers an invalid token, with growing delays.
async fn wrong(state: &WebState, address: IpAddr) -> Refused {
    let caller = Caller { door: Door::Api, name: "", known: Known::No, address };
    match state.gate.refused(&caller, &LIMITS) {
        Verdict::Blocked(until) => {
            let left = until.since(state.clock.now());
            let detail =
                format!("Too many bad tokens from {address}. Wait {}, or use a good one.", human::duration(left));
            let error = WebError::new(StatusCode::TOO_MANY_REQUESTS, "Blocked", detail);
            Refused { error, header: Some(Box::new((RETRY_AFTER, HeaderValue::from(left.as_secs() + 1)))) }
        }
        verdict => {
            tracing::info!(client.address = %address, "A request to the API came with a token that is none");
            if let Verdict::Wrong(delay) = verdict {
                tokio::time::sleep(delay).await;
            }
            let detail = "This token is none, or it was revoked. API tokens makes another one.";
            Refused::unauthorized("No such token", detail, INVALID)
        }
    }
}

/// The text after `Bearer`; the scheme in any case (RFC 9110 section 11.1).
fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok().filter(|value| value.len() <= VALUE_BYTES_MAX)?;
    let (scheme, rest) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(rest.trim()))
}

/// Nobody passes whose scope or role is not in the table.
pub async fn guard(needs: Needs, request: Request, next: Next) -> Response {
    let bearer = request.extensions().get::<Bearer>();
    let role = request.extensions().get::<Visitor>().and_then(|visitor| visitor.session.as_ref());
    let (Some(bearer), Some(role)) = (bearer, role.map(|session| session.administrator.role)) else {
        return WebError::status(StatusCode::UNAUTHORIZED).into_response();
    };
    if !bearer.scope.reaches(needs.area, needs.deed) {
        let right: Vec<_> =
            TokenScope::ALL.iter().filter(|one| one.reaches(needs.area, needs.deed)).map(|one| one.name()).collect();
        let (name, scope, right) = (&bearer.name, bearer.scope, right.join(" or "));
        let detail = format!("The scope of token {name} is {scope}; this needs {right}. Nothing was done.");
        return WebError::new(StatusCode::FORBIDDEN, "Outside this token's scope", detail).into_response();
    }
    if role < needs.role {
        let (is, needed) = (role.name(), needs.role.name());
        let detail = format!("The owner of token {} is {is}; this needs {needed}. Nothing was done.", bearer.name);
        return WebError::new(StatusCode::FORBIDDEN, "The owner's role does not allow this", detail).into_response();
    }
    next.run(request).await
}
