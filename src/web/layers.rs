//! What every request passes: the check of the host, who asks, and the headers of every answer. Here errors become
//! pages of the site, and their causes are logged once.

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, REFERRER_POLICY, SET_COOKIE, STRICT_TRANSPORT_SECURITY,
    USER_AGENT, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use tower_http::csrf::{CsrfLayer, ProtectionError};

use super::context::{Context, Visitor};
use super::error::WebError;
use super::looks::Looks;
use super::pages::sign_in;
use super::state::{Peer, WebState};
use super::{csrf, landing, login, shell};
use crate::domain::setting::Value;
use crate::domain::value::HostNames;
use crate::store::administrator;

/// UI.md section 2.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Characters kept of a user agent.
const AGENT_CHARS_MAX: usize = 200;

/// Only over HTTPS (RFC 6797 section 7.2); browsers ignore it while they do not trust the certificate.
const HTTPS_ONLY: &str = "max-age=31536000";

/// Headers of every answer. Pages are never stored; answers that may be kept say so themselves.
pub async fn headers(request: Request, next: Next) -> Response {
    let secured = Peer::is_secured(request.extensions());
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if secured {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HTTPS_ONLY));
    }
    // Without any referrer a browser sends `Origin: null` with our forms, which cannot be distinguished from foreign
    // ones (0119).
    let fixed: [(HeaderName, &'static str); 3] =
        [(CONTENT_SECURITY_POLICY, POLICY), (REFERRER_POLICY, "same-origin"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Refuses requests that a foreign page makes a browser send, before a form is read. The refusal also explains this to
/// somebody whose proxy changes the browser's headers.
pub fn same_site() -> CsrfLayer<fn(ProtectionError) -> Response> {
    CsrfLayer::new().with_rejection_response(|_| {
        WebError::new(
            StatusCode::FORBIDDEN,
            "This request came from another site",
            "Nothing was saved. Open the page here and repeat it there. If you did: a proxy before this server has to pass \
             the Host header of the browser on, as it is.",
        )
        .into_response()
    })
}

/// A name that is not this server's is refused, so that a foreign name cannot be pointed here (DNS rebinding).
pub async fn known_host(State(state): State<WebState>, request: Request, next: Next) -> Response {
    let host = host_name(&authority(&request));
    if state.live.snapshot().appliance.answers_to(&host) {
        return next.run(request).await;
    }
    WebError::new(StatusCode::MISDIRECTED_REQUEST, "Unknown host name", unknown_host(&host)).into_response()
}

/// The message for requests to a name that is not this server's.
pub fn unknown_host(host: &str) -> String {
    let names = HostNames::parse(host).ok().filter(|names| names.iter().count() == 1);
    let Some(name) = names.as_ref().and_then(|names| names.iter().next()) else {
        return "The Host header of this request names no host, or several; send the name or the address of this server.".to_owned();
    };
    format!(
        "This server does not go by the name {name}. If it should, add it to its Web host names: web_hosts of \
         waybill settings show, then waybill settings set web_hosts=OTHERS,{name}"
    )
}

/// The requested host, with its port. HTTP/2 has it in the address, which takes precedence if it names one (RFC 9112
/// section 3.2.2). Empty if there is none, or several.
pub fn authority(request: &Request) -> String {
    let mut hosts = request.headers().get_all(HOST).iter();
    let of_header = match (hosts.next(), hosts.next()) {
        (Some(one), None) => one.to_str().ok(),
        _ => None,
    };
    let asked = request.uri().authority().map(Authority::as_str).or(of_header);
    asked.unwrap_or_default().to_owned()
}

/// The host without its port, which is digits: `name:80@elsewhere` is not a name with a port.
pub fn host_name(asked: &str) -> String {
    match asked.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host.to_owned(),
        _ => asked.to_owned(),
    }
}

/// Identifies the visitor. A visit without a cookie gets one, so that its first form can be distinguished from a
/// foreign one.
pub async fn know_visitor(State(state): State<WebState>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let tls = Peer::is_secured(request.extensions());
    let token = login::session_token(headers, tls);
    let visit = login::cookie(headers, login::VISIT).filter(|visit| visit.len() >= 32).map(str::to_owned);
    let looks = Looks::of(headers);
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let agent: String = agent.chars().take(AGENT_CHARS_MAX).collect();
    let authority = authority(&request);
    let remote = Peer::of(request.extensions());
    let session = if token.is_empty() {
        None
    } else {
        let now = state.clock.now();
        // A page that merely stays open does not count as activity.
        let found = if request.uri().path().starts_with("/live/") {
            administrator::peek_session(&state.db, &token, now).await
        } else {
            administrator::session(&state.db, &token, now).await
        };
        match found {
            Ok(session) => session,
            Err(error) => return WebError::from(error).into_response(),
        }
    };
    let new_visit = (session.is_none() && visit.is_none()).then(login::random_token);
    let csrf = match &session {
        Some(session) => session.csrf_token.clone(),
        None => csrf::visit_token(&state.visit_key, new_visit.as_ref().or(visit.as_ref()).map_or("", String::as_str)),
    };
    let who = session.as_ref().map(|session| session.administrator.name.clone()).unwrap_or_default();
    request.extensions_mut().insert(Visitor { session, who, token, csrf, remote, tls, looks, agent, authority });
    let mut response = next.run(request).await;
    if let Some(visit) = new_visit
        && let Ok(header) = login::set_cookie(login::VISIT, &visit, (tls, 24 * 3_600))
    {
        response.headers_mut().append(SET_COOKIE, header);
    }
    response
}

/// An error becomes a page of the site; its cause is logged.
pub async fn dress(State(state): State<WebState>, request: Request, next: Next) -> Response {
    let visitor = request.extensions().get::<Visitor>().cloned();
    let path = request.uri().path().to_owned();
    let looks = [Method::GET, Method::HEAD].contains(request.method());
    let from = visitor.as_ref().map(|visitor| landing::came_from(request.headers(), &visitor.authority));
    let response = next.run(request).await;
    let status = response.status();
    let error = match response.extensions().get::<WebError>() {
        Some(error) => error.clone(),
        // The router's own refusals have no words yet.
        None if [
            StatusCode::BAD_REQUEST,
            StatusCode::METHOD_NOT_ALLOWED,
            StatusCode::NOT_FOUND,
            StatusCode::REQUEST_TIMEOUT,
        ]
        .contains(&status) =>
        {
            WebError::status(status)
        }
        None => return response,
    };
    if let Some(cause) = &error.cause {
        tracing::error!(request.path = path, error = cause, "A page could not be given");
    }
    if let Some(above) = landing::above(&path).filter(|_| looks && status == StatusCode::METHOD_NOT_ALLOWED) {
        return Redirect::to(above).into_response();
    }
    let (Some(visitor), Some(from)) = (visitor, from) else { return response };
    let context = Context { state, visitor, path };
    let page = if error.status == StatusCode::UNAUTHORIZED {
        sign_in::again(&context, &from).await
    } else {
        shell::error_page(&context, &error).await.map(|page| (error.status, page).into_response())
    };
    match page {
        Ok(page) => page,
        Err(cause) => {
            tracing::error!(error = ?cause, "An error page could not be given");
            response
        }
    }
}
