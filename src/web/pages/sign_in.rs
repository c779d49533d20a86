//! Signing in and out, and the choice of the theme.

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::{REFERER, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Redirect, Response};

use crate::access::gate::Verdict;
use crate::access::guard::{Caller, Door, Known, Limits};
use crate::domain::event::EventKind;
use crate::store::administrator;
use crate::store::event::Event;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::login;
use crate::web::shell::{Nav, Shell, html};

/// Failures of one name from one address before it must wait.
pub(super) const LIMITS: Limits = Limits {
    failures_max: 10,
    window: std::time::Duration::from_mins(5),
    block_for: std::time::Duration::from_mins(5),
};

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    shell: Shell,
    host: String,
    name: String,
    error: String,
}

async fn page(context: &Context, name: &str, error: &str) -> Result<Response, WebError> {
    let title = if error.is_empty() { "Sign in" } else { "Error: Sign in" };
    let shell = Shell::new(context, title, Nav::Elsewhere).await?;
    let public = context.state.live.snapshot().appliance.public_host.as_ref().map(ToString::to_string);
    let host = public.unwrap_or_else(|| context.visitor.host());
    let page = SignInPage { shell, host, name: name.to_owned(), error: error.to_owned() };
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok((status, html(&page)?).into_response())
}

/// The form. While nobody administers, the first run comes before it.
pub async fn show(context: Context) -> Result<Response, WebError> {
    if administrator::count(&context.state.db).await? == 0 {
        return Ok(Redirect::to("/setup").into_response());
    }
    if context.visitor.session.is_some() {
        return Ok(Redirect::to("/").into_response());
    }
    page(&context, "", "").await
}

/// The same words and time for a wrong name and a wrong password.
pub async fn submit(context: Context, posted: Posted) -> Result<Response, WebError> {
    let state = &context.state;
    let name = posted.text("name").trim();
    let found = administrator::find(&state.db, name).await?;
    let key = name.to_lowercase();
    let known = if found.is_some() { Known::Yes } else { Known::No };
    let caller = Caller { door: Door::Web, name: &key, known, address: context.visitor.remote };
    let hashes = found.iter().map(|one| one.password_hash.clone()).collect();
    let verdict = state.gate.check(&caller, &posted.secret("password"), hashes, Some(&LIMITS)).await?;
    match (verdict, found) {
        (Verdict::Accepted, Some(administrator)) => {
            let cookie = login::sign_in(&context, &administrator.id).await?;
            record(&context, EventKind::AdministratorSignedIn, format!("{} signed in", administrator.name)).await;
            Ok(([cookie], Redirect::to("/")).into_response())
        }
        (Verdict::Blocked(until), _) => {
            let wait = crate::base::human::duration(until.since(context.now()));
            page(&context, name, &format!("Too many failed tries. Wait {wait}, then try again.")).await
        }
        (Verdict::Wrong(delay), found) => {
            tokio::time::sleep(delay).await;
            // Of an unknown name only the beginning: people type passwords there.
            let shown: String = if found.is_some() { name.to_owned() } else { name.chars().take(3).collect() };
            record(&context, EventKind::AdministratorSignInFailed, format!("Sign-in as {shown} failed")).await;
            page(&context, name, "Name or password is wrong.").await
        }
        (Verdict::Accepted, None) => page(&context, name, "Name or password is wrong.").await,
    }
}

async fn record(context: &Context, kind: EventKind, summary: String) {
    let mut event = Event::new(&context.state.ids, kind, context.now(), summary);
    event.remote = context.visitor.remote.to_string();
    context.state.recorder.event(event).await;
}

/// Ends the session.
pub async fn sign_out(context: Context, _: Posted) -> Result<Response, WebError> {
    let state = &context.state;
    administrator::end_session(&state.db, &context.visitor.token).await?;
    let gone = login::set_cookie(login::session_cookie(context.visitor.tls), "", (context.visitor.tls, 0))?;
    Ok(([(SET_COOKIE, gone)], Redirect::to("/sign-in")).into_response())
}

/// Flips between light and dark, and goes back to where the reader was.
pub async fn theme(context: Context, headers: HeaderMap, _: Posted) -> Result<Response, WebError> {
    let next = if context.visitor.theme == Some("dark") { "light" } else { "dark" };
    let cookie = HeaderValue::from_str(&format!("{}={next}; Path=/; SameSite=Lax; Max-Age=31536000", login::THEME))
        .map_err(WebError::internal)?;
    // Only the path of the page before: an address elsewhere would be an open redirect.
    let back = headers
        .get(REFERER)
        .and_then(|referer| referer.to_str().ok())
        .and_then(|referer| referer.parse::<axum::http::Uri>().ok())
        .map_or_else(|| "/".to_owned(), |uri| uri.path().to_owned());
    let back = if back.starts_with("//") { "/".to_owned() } else { back };
    Ok(([(SET_COOKIE, cookie)], Redirect::to(&back)).into_response())
}
