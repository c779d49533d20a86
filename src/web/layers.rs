//! What stands around every handler: who may come in, under which host name, and how errors look.

use std::any::Any;
use std::net::IpAddr;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::CookieJar;
use tower_http::csrf::ProtectionError;

use super::context::{Theme, Visitor, host_of};
use super::csrf::visit_token;
use super::error::WebError;
use super::login::{self, SESSION, THEME, VISIT};
use super::pages::error::ErrorPage;
use super::routes::Access;
use super::state::{Peer, WebState};
use crate::base::secret::Secret;
use crate::domain::administrator::Role;
use crate::domain::value::HostOrAddress;
use crate::store::administrator::{self, WebSession};

/// Bytes of a request's body.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

/// What a page may load: its own files, nothing else, nothing inline.
pub const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Lets a request through to its handler, or says why not.
pub(super) async fn admit(
    State((state, access)): State<(WebState, Access)>,
    mut request: Request,
    next: Next,
) -> Result<Response, WebError> {
    let jar = CookieJar::from_headers(request.headers());
    let session = session_of(&state, &jar).await?;
    let role = session.as_ref().map(|session| session.administrator.role);
    let wish = Wish {
        reads: matches!(*request.method(), Method::GET | Method::HEAD),
        to: request.uri().path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
    };
    if let Some(answer) = turned_away(&state, access, role, &wish).await? {
        return Ok(answer);
    }
    let known = jar.get(&login::cookie_name(VISIT, state.tls)).map(|cookie| cookie.value().to_owned());
    let mut fresh = None;
    let csrf = if let Some(session) = &session {
        session.csrf_token.clone()
    } else {
        let visit = known.unwrap_or_else(|| fresh.insert(login::random_token()).reveal().to_owned());
        visit_token(&state.visit_key, &visit)
    };
    let theme = jar.get(THEME).map_or(Theme::System, |cookie| Theme::parse(cookie.value()));
    let remote = Peer::of(request.extensions());
    request.extensions_mut().insert(Visitor { session, csrf, remote, theme });
    let mut response = next.run(request).await;
    if let Some(visit) = fresh {
        let cookie = login::cookie(&login::cookie_name(VISIT, state.tls), visit.reveal(), state.tls);
        append_cookie(&mut response, &cookie);
    }
    Ok(response)
}

/// Adds a cookie to an answer.
pub(super) fn append_cookie(response: &mut Response, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

async fn session_of(state: &WebState, jar: &CookieJar) -> Result<Option<WebSession>, WebError> {
    let Some(cookie) = jar.get(&login::cookie_name(SESSION, state.tls)) else { return Ok(None) };
    Ok(administrator::session(&state.db, &Secret::new(cookie.value()), state.clock.now()).await?)
}

/// What a browser asks for.
struct Wish {
    reads: bool,
    to: String,
}

/// The answer to who may not come in.
async fn turned_away(
    state: &WebState,
    access: Access,
    role: Option<Role>,
    wish: &Wish,
) -> Result<Option<Response>, WebError> {
    let needed = match access {
        Access::Anyone => return Ok(None),
        Access::Setup => {
            let first = administrator::count(&state.db).await? == 0;
            let answer =
                if wish.reads { Redirect::to("/flows").into_response() } else { WebError::not_found().into_response() };
            return Ok((!first).then_some(answer));
        }
        Access::Viewer => Role::Viewer,
        Access::Editor => Role::Editor,
        Access::Admin => Role::Admin,
    };
    match role {
        Some(role) if role >= needed => Ok(None),
        Some(_) => Err(WebError::status(StatusCode::FORBIDDEN)),
        None if !wish.reads => Err(WebError::status(StatusCode::UNAUTHORIZED)),
        None if administrator::count(&state.db).await? == 0 => Ok(Some(Redirect::to("/setup").into_response())),
        None => {
            let query = serde_urlencoded::to_string([("to", &wish.to)]).unwrap_or_default();
            Ok(Some(Redirect::to(&format!("/sign-in?{query}")).into_response()))
        }
    }
}

/// Answers only under names that this appliance is known by: another name may be somebody else's page that was pointed
/// here to read what is local.
pub(super) async fn check_host(State(state): State<WebState>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let host = host_of(&parts);
    if !host_allowed(&state, &host) {
        let text = format!(
            "This appliance does not answer under the name {host}. If it should, add it to Web host names: \
             waybill settings set web_hosts={host}"
        );
        return WebError::new(StatusCode::MISDIRECTED_REQUEST, "Unknown host name", text).into_response();
    }
    next.run(Request::from_parts(parts, body)).await
}

fn host_allowed(state: &WebState, host: &str) -> bool {
    if host == "localhost" || host.ends_with(".localhost") {
        return true;
    }
    let appliance = &state.live.snapshot().appliance;
    if let Ok(address) = host.parse::<IpAddr>()
        && (address.is_loopback() || !state.address.ip().is_loopback())
    {
        return true;
    }
    let public = match &appliance.public_host {
        Some(HostOrAddress::Host(name)) => name.eq_ignore_ascii_case(host),
        Some(HostOrAddress::Address(address)) => address.to_string() == host,
        None => false,
    };
    public || appliance.web_hosts.contains(host)
}

/// Turns errors into pages of the site and writes their cause to the log, once.
pub(super) async fn dress(State(state): State<WebState>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let jar = CookieJar::from_headers(&parts.headers);
    let path = parts.uri.path().to_owned();
    let mut response = next.run(Request::from_parts(parts, body)).await;
    let error = response.extensions_mut().remove::<WebError>().or_else(|| bare(&response));
    let Some(error) = error else { return response };
    if let Some(cause) = &error.cause {
        tracing::error!(web.path = path, web.status = error.status.as_u16(), "{cause}");
    }
    let session = session_of(&state, &jar).await.unwrap_or_default();
    let theme = jar.get(THEME).map_or(Theme::System, |cookie| Theme::parse(cookie.value()));
    let page = ErrorPage::new(&error, theme, session.is_some());
    let headers: Vec<_> = response.headers().get_all(header::SET_COOKIE).iter().cloned().collect();
    let mut dressed = match super::context::page(error.status, &page) {
        Ok(dressed) => dressed,
        Err(_) => error.status.into_response(),
    };
    for cookie in headers {
        dressed.headers_mut().append(header::SET_COOKIE, cookie);
    }
    dressed
}

/// The error behind an answer that a layer gave without words of ours.
fn bare(response: &Response) -> Option<WebError> {
    if response.extensions().get::<ProtectionError>().is_some() {
        return Some(WebError::new(
            StatusCode::FORBIDDEN,
            "This form came from another site",
            "Nothing was saved. Forms are taken from this site's own pages only.",
        ));
    }
    let bare = [StatusCode::METHOD_NOT_ALLOWED, StatusCode::PAYLOAD_TOO_LARGE, StatusCode::REQUEST_TIMEOUT];
    bare.contains(&response.status()).then(|| WebError::status(response.status()))
}

/// The answer to a handler that panicked: a bug of ours.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
pub(super) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response<Body> {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
    WebError::internal(format!("a page panicked: {said}")).into_response()
}

/// Headers that every answer carries.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let always: [(HeaderName, &'static str); 3] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in always {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
