//! Signing in and out, and the choice of the theme.

use std::time::Duration;

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::access::gate::Verdict;
use crate::access::guard::{Caller, Door, Known, Limits};
use crate::base::human;
use crate::domain::event::EventKind;
use crate::store::administrator::Administrator;
use crate::store::event::Event;
use crate::store::{self, administrator};
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::landing;
use crate::web::login;
use crate::web::looks;
use crate::web::second_factor::{self, Taken};
use crate::web::shell::{Nav, Shell, html};

/// Failures of one name from one address before it must wait.
pub(super) const LIMITS: Limits = Limits {
    failures_max: 10,
    window: std::time::Duration::from_mins(5),
    block_for: std::time::Duration::from_mins(5),
};

/// The answer to a wrong name and a wrong password.
const WRONG: &str = "Name or password is wrong.";
/// A wait of at least this long is explained.
const WAIT_IS_SAID_FROM: Duration = Duration::from_secs(2);

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    shell: Shell,
    host: String,
    name: String,
    to: String,
    error: String,
    /// What was sent without a sign-in was not saved.
    lost: bool,
}

/// The page requested before the sign-in.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    to: String,
}

/// The form, after `error` if there was one: `name` as typed, and where to go next.
async fn page(context: &Context, (name, to): (&str, &str), error: &str) -> Result<Response, WebError> {
    let (title, status) = match error {
        "" => ("Sign in", StatusCode::OK),
        _ => ("Error: Sign in", StatusCode::UNPROCESSABLE_ENTITY),
    };
    let form = form(context, title, to).await?;
    let page = SignInPage { name: name.to_owned(), error: error.to_owned(), ..form };
    Ok((status, html(&page)?).into_response())
}

/// The form for somebody who sent one without being signed in, mostly after a long absence: it says that nothing was
/// saved, and leads back to the page `to`.
pub async fn again(context: &Context, to: &str) -> Result<Response, WebError> {
    let page = SignInPage { lost: true, ..form(context, "Nothing was saved: sign in", to).await? };
    Ok((StatusCode::FORBIDDEN, html(&page)?).into_response())
}

async fn form(context: &Context, title: &str, to: &str) -> Result<SignInPage, WebError> {
    let public = context.state.live.snapshot().appliance.public_host.as_ref().map(ToString::to_string);
    Ok(SignInPage {
        shell: Shell::new(context, title, Nav::Elsewhere).await?,
        host: public.unwrap_or_else(|| context.visitor.host()),
        name: String::new(),
        to: landing::page(to).to_owned(),
        error: String::new(),
        lost: false,
    })
}

/// The form. While there is no administrator, the first run comes before it.
pub async fn show(context: Context, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    if administrator::count(&context.state.db).await? == 0 {
        return Ok(Redirect::to("/setup").into_response());
    }
    if context.visitor.session.is_some() {
        return Ok(Redirect::to(landing::page(&asked.to)).into_response());
    }
    page(&context, ("", &asked.to), "").await
}

/// The same words and time for a wrong name and a wrong password.
pub async fn submit(context: Context, posted: Posted) -> Result<Response, WebError> {
    let state = &context.state;
    let name = posted.text("name").trim();
    let to = posted.text(landing::FIELD);
    let found = administrator::find(&state.db, name).await?;
    let key = name.to_lowercase();
    let known = if found.is_some() { Known::Yes } else { Known::No };
    let caller = Caller { door: Door::Web, name: &key, known, address: context.visitor.remote };
    let hashes = found.iter().map(|one| one.password_hash.clone()).collect();
    let verdict = state.gate.check(&caller, &posted.secret("password"), hashes, Some(&LIMITS)).await?;
    match (verdict, found) {
        (Verdict::Accepted, Some(administrator)) => {
            if store::second_factor::get(&state.db, &administrator.id).await?.is_some() {
                return code_page(&context, (&second_factor::ticket(&context, &administrator), to), "").await;
            }
            enter(&context, &administrator, ("", to)).await
        }
        (Verdict::Blocked(until), _) => {
            let wait = human::duration(until.since(context.now()));
            page(&context, (name, to), &format!("Too many failed tries. Wait {wait}, then try again.")).await
        }
        (Verdict::Wrong(delay), found) => {
            tokio::time::sleep(delay).await;
            // Only the beginning of an unknown name: people type passwords there.
            let shown: String = if found.is_some() { name.to_owned() } else { name.chars().take(3).collect() };
            record(&context, EventKind::AdministratorSignInFailed, format!("Sign-in as {shown} failed")).await;
            page(&context, (name, to), &wrong(delay)).await
        }
        (Verdict::Accepted, None) => page(&context, (name, to), WRONG).await,
    }
}

/// The same answer for a wrong name and a wrong password; after a wait it explains why.
fn wrong(delay: Duration) -> String {
    if delay < WAIT_IS_SAID_FROM {
        return WRONG.to_owned();
    }
    let (waited, block) = (human::duration(delay), human::duration(LIMITS.block_for));
    let most = LIMITS.failures_max;
    format!(
        "{WRONG} Each further try is answered later, this one after {waited}; after {most} wrong tries the wait is {block}."
    )
}

/// Signs in; `how` is added to the event's words, `to` is the next page.
async fn enter(
    context: &Context,
    administrator: &Administrator,
    (how, to): (&str, &str),
) -> Result<Response, WebError> {
    let signed_in = login::sign_in(context, &administrator.id).await?;
    record(context, EventKind::AdministratorSignedIn, format!("{} signed in{how}", administrator.name)).await;
    Ok(([signed_in.cookie], Redirect::to(landing::page(to))).into_response())
}

#[derive(Template)]
#[template(path = "sign_in_code.html")]
struct CodePage {
    shell: Shell,
    ticket: String,
    to: String,
    error: String,
}

async fn code_page(context: &Context, (ticket, to): (&str, &str), error: &str) -> Result<Response, WebError> {
    let title = if error.is_empty() { "Code" } else { "Error: Code" };
    let shell = Shell::new(context, title, Nav::Elsewhere).await?;
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let to = landing::page(to).to_owned();
    let page = CodePage { shell, ticket: ticket.to_owned(), to, error: error.to_owned() };
    Ok((status, html(&page)?).into_response())
}

/// The second factor, after a right password.
pub async fn code(context: Context, posted: Posted) -> Result<Response, WebError> {
    let (ticket, to) = (posted.text("ticket"), posted.text(landing::FIELD));
    let Some(administrator) = second_factor::admitted(&context, ticket).await? else {
        return page(&context, ("", to), "That took longer than five minutes. Sign in again.").await;
    };
    let wrong = match second_factor::take(&context, &administrator, posted.text("code")).await? {
        Taken::Code => return enter(&context, &administrator, (" with a second factor", to)).await,
        Taken::RecoveryCode { left } => {
            let how = format!(" with a recovery code; {left} are left");
            return enter(&context, &administrator, (&how, to)).await;
        }
        Taken::Blocked(wait) => format!("Too many wrong codes. Wait {wait}, then try again."),
        Taken::Wrong => {
            let summary = format!("The second factor of {} was wrong", administrator.name);
            record(&context, EventKind::AdministratorSignInFailed, summary).await;
            "That code is wrong, or was used already. Each is good once, for about a minute.".to_owned()
        }
    };
    code_page(&context, (ticket, to), &wrong).await
}

async fn record(context: &Context, kind: EventKind, summary: String) {
    let event = Event::new(&context.state.ids, kind, context.now(), summary);
    context.state.recorder.event(Event { remote: context.visitor.remote.to_string(), ..event }).await;
}

/// Ends the session.
pub async fn sign_out(context: Context, _: Posted) -> Result<Response, WebError> {
    let state = &context.state;
    administrator::end_session(&state.db, &context.visitor.token).await?;
    let gone = login::set_cookie(login::session_cookie(context.visitor.tls), "", (context.visitor.tls, 0))?;
    Ok(([(SET_COOKIE, gone)], Redirect::to("/sign-in")).into_response())
}

/// Toggles between light and dark, and returns to the reader's page.
pub async fn theme(context: Context, posted: Posted) -> Result<Response, WebError> {
    let next = if context.visitor.looks.theme == Some("dark") { "light" } else { "dark" };
    let cookie = looks::keep(looks::THEME, next)?;
    Ok(([(SET_COOKIE, cookie)], Redirect::to(landing::page(posted.text(landing::FIELD)))).into_response())
}
