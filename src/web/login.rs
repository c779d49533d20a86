//! Signing in and out. The cookie holds 32 random bytes, the database their digest only; a new one is made at each
//! sign-in. Unknown names take the words and the time of known ones.

use std::time::Duration;

use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::CookieJar;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::context::{Ctx, Guest, Theme, local, page};
use super::csrf::Posted;
use super::error::WebError;
use super::layers::append_cookie;
use super::pages::sign_in::SignInPage;
use super::state::WebState;
use crate::access::gate::Verdict;
use crate::access::guard::{Caller, Door, Known, Limits};
use crate::base::human;
use crate::base::id::AdministratorId;
use crate::base::secret::Secret;
use crate::domain::event::EventKind;
use crate::store::administrator::{self, NewSession};
use crate::store::event::Event;

/// The cookie of a session.
pub(super) const SESSION: &str = "waybill-session";
/// The cookie of a visit before sign-in.
pub(super) const VISIT: &str = "waybill-visit";
/// The cookie of the theme.
pub(super) const THEME: &str = "waybill-theme";
/// Letters of a name that belongs to nobody which are recorded: people type passwords there.
const UNKNOWN_NAME_CHARS: usize = 3;

/// 32 random bytes as text.
pub(super) fn random_token() -> Secret {
    let bytes: [u8; 32] = rand::random();
    Secret::new(URL_SAFE_NO_PAD.encode(bytes))
}

/// The name of a cookie: with TLS the browser itself keeps it to this host.
pub(super) fn cookie_name(name: &str, tls: bool) -> String {
    if tls { format!("__Host-{name}") } else { name.to_owned() }
}

/// A cookie that scripts cannot read, until the browser is closed.
pub(super) fn cookie(name: &str, value: &str, tls: bool) -> String {
    let secure = if tls { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}")
}

/// Where the reader wanted to go.
#[derive(Debug, Default, Deserialize)]
pub struct To {
    /// An address of this site.
    #[serde(default)]
    to: String,
}

/// The sign-in page.
pub async fn show(guest: Guest, Query(query): Query<To>) -> Result<Response, WebError> {
    if guest.visitor.session.is_some() {
        return Ok(Redirect::to(local(&query.to)).into_response());
    }
    if administrator::count(&guest.state.db).await? == 0 {
        return Ok(Redirect::to("/setup").into_response());
    }
    page(StatusCode::OK, &SignInPage::new(&guest, local(&query.to)))
}

/// Checks name and password.
pub async fn submit(guest: Guest, posted: Posted) -> Result<Response, WebError> {
    let name = posted.text("name").trim().to_lowercase();
    let found = administrator::find(&guest.state.db, &name).await?;
    let known = if found.is_some() { Known::Yes } else { Known::No };
    let caller = Caller { door: Door::Web, name: &name, known, address: guest.visitor.remote };
    let hashes = found.iter().map(|administrator| administrator.password_hash.clone()).collect();
    let limits = limits(&guest.state);
    let verdict = guest.state.gate.check(&caller, &posted.secret("password"), hashes, Some(&limits)).await?;
    if let (Verdict::Accepted, Some(found)) = (&verdict, found) {
        record(&guest, EventKind::AdministratorSignedIn, format!("{} signed in", found.name)).await;
        return begin(&guest, &found.id, local(posted.text("to"))).await;
    }
    let shown = if known == Known::Yes { name.clone() } else { name.chars().take(UNKNOWN_NAME_CHARS).collect() };
    record(&guest, EventKind::AdministratorSignInFailed, format!("Sign-in as {shown} failed")).await;
    let message = match verdict {
        Verdict::Blocked(until) => {
            let wait = human::duration(until.since(guest.now()).max(Duration::from_mins(1)));
            format!("Too many sign-ins failed from here. Wait {wait}, then try again.")
        }
        Verdict::Wrong(delay) => {
            tokio::time::sleep(delay).await;
            let wait = if delay >= Duration::from_secs(1) {
                format!(" After each failure the answer takes longer, now {}.", human::duration(delay))
            } else {
                String::new()
            };
            format!("Name or password is wrong.{wait}")
        }
        Verdict::Accepted => "Name or password is wrong.".to_owned(),
    };
    let page_again = SignInPage::new(&guest, local(posted.text("to"))).refused(posted.text("name"), message);
    page(StatusCode::UNPROCESSABLE_ENTITY, &page_again)
}

/// The guard's limits, as the profile has them.
fn limits(state: &WebState) -> Limits {
    let profile = &state.live.snapshot().profile;
    Limits {
        failures_max: u32::try_from(profile.block_after_failures.get()).unwrap_or(u32::MAX),
        window: profile.block_window_s.seconds(),
        block_for: profile.block_for_s.seconds(),
    }
}

async fn record(guest: &Guest, kind: EventKind, summary: String) {
    let mut event = Event::new(&guest.state.ids, kind, guest.now(), summary);
    event.remote = guest.visitor.remote.to_string();
    guest.state.recorder.event(event).await;
}

/// Begins a session with a new cookie and goes to `to`.
pub(super) async fn begin(guest: &Guest, id: &AdministratorId, to: &str) -> Result<Response, WebError> {
    let token = random_token();
    let csrf_token = random_token();
    let remote = guest.visitor.remote.to_string();
    let new = NewSession { token: &token, csrf_token: csrf_token.reveal(), remote: &remote };
    administrator::begin_session(&guest.state.db, id, &new, guest.now()).await?;
    let mut response = Redirect::to(to).into_response();
    let tls = guest.state.tls;
    append_cookie(&mut response, &cookie(&cookie_name(SESSION, tls), token.reveal(), tls));
    append_cookie(&mut response, &format!("{}; Max-Age=0", cookie(&cookie_name(VISIT, tls), "", tls)));
    Ok(response)
}

/// Ends the session.
pub async fn sign_out(ctx: Ctx, jar: CookieJar, _posted: Posted) -> Result<Response, WebError> {
    let name = cookie_name(SESSION, ctx.state.tls);
    if let Some(token) = jar.get(&name) {
        administrator::end_session(&ctx.state.db, &Secret::new(token.value())).await?;
    }
    let mut response = Redirect::to("/sign-in").into_response();
    append_cookie(&mut response, &format!("{}; Max-Age=0", cookie(&name, "", ctx.state.tls)));
    Ok(response)
}

/// Keeps the choice of light or dark and goes back to the page.
pub async fn theme(guest: Guest, posted: Posted) -> Response {
    let theme = Theme::parse(posted.text("theme"));
    let mut response = Redirect::to(local(posted.text("to"))).into_response();
    let secure = if guest.state.tls { "; Secure" } else { "" };
    let cookie = format!("{THEME}={}; Path=/; Max-Age=31536000; SameSite=Lax{secure}", theme.name());
    append_cookie(&mut response, &cookie);
    response
}
