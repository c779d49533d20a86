//! My account: one's own password, second factor and signed-in browsers. Everybody has this page.

use askama::Template;
use axum::http::header::SET_COOKIE;
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use qrcode::QrCode;

use super::users::ask_again;
use crate::access::second_factor;
use crate::base::id::AdministratorId;
use crate::base::secret::Secret;
use crate::domain::administrator::check_password;
use crate::store::administrator::{self, Administrator, Edit};
use crate::store::second_factor::{self as store, Owner};
use crate::store::setting::SaveError;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::form::Problem;
use crate::web::login;
use crate::web::looks;
use crate::web::notes::Note;
use crate::web::second_factor::{Enrolling, Taken, check_new};
use crate::web::shell::{Nav, Shell, html};
use crate::web::view::Time;

const PATH: &str = "/me";
/// White modules around a QR code (ISO/IEC 18004, section 6.3.8).
const QUIET_ZONE: usize = 4;

/// A signed-in browser, as a page shows it.
pub struct Row {
    /// Identifies it in forms.
    pub mark: String,
    /// Its user agent.
    pub agent: String,
    /// Its address.
    pub remote: String,
    /// When it signed in.
    pub since: Time,
    /// When it was last seen.
    pub seen: Time,
    /// Whether it is the one viewing the page.
    pub own: bool,
}

/// The browsers of an administrator.
pub async fn browsers(context: &Context, id: &AdministratorId) -> Result<Vec<Row>, WebError> {
    let (now, own) = (context.now(), administrator::mark(&context.visitor.token));
    let all = administrator::browsers(&context.state.db, id, now).await?;
    let row = |one: administrator::Browser| Row {
        own: one.mark == own,
        mark: one.mark,
        agent: if one.agent.is_empty() { "Unknown browser".to_owned() } else { one.agent },
        remote: one.remote,
        since: Time::seen(one.since, now),
        seen: Time::seen(one.seen, now),
    };
    Ok(all.into_iter().map(row).collect())
}

/// A key waiting for its first code.
struct Offer {
    key: String,
    /// The QR code: modules per side, including the quiet zone, and the path of the black ones.
    side: usize,
    path: String,
}

impl Offer {
    fn of(key: &Secret, name: &str, host: &str) -> Option<Self> {
        let address = second_factor::address(key, name, host)?;
        let code = QrCode::new(address.reveal().as_bytes()).ok()?;
        let width = code.width();
        let black = code.to_colors().into_iter().enumerate().filter(|(_, color)| *color == qrcode::Color::Dark);
        let square = |(at, _)| format!("M{} {}h1v1h-1z", at % width + QUIET_ZONE, at / width + QUIET_ZONE);
        let grouped = key.reveal().as_bytes().chunks(4).map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ");
        Some(Self { key: grouped, side: width + 2 * QUIET_ZONE, path: black.map(square).collect() })
    }
}

/// The second factor, as the page shows it.
struct Factor {
    since: Time,
    codes_left: u64,
}

#[derive(Template)]
#[template(path = "me.html")]
struct MePage {
    shell: Shell,
    name: String,
    role: &'static str,
    factor: Option<Factor>,
    offer: Option<Offer>,
    browsers: Vec<Row>,
    problems: Vec<Problem>,
}

impl MePage {
    fn error(&self, key: &str) -> &str {
        Problem::text_of(&self.problems, key)
    }
}

/// New recovery codes, shown only this once.
#[derive(Template)]
#[template(path = "me_codes.html")]
struct CodesPage {
    shell: Shell,
    codes: Vec<String>,
}

fn own(context: &Context) -> Result<&Administrator, WebError> {
    let session = context.visitor.session.as_ref().ok_or_else(WebError::stale_form)?;
    Ok(&session.administrator)
}

async fn page(context: &Context, problems: Vec<Problem>) -> Result<Response, WebError> {
    let own = own(context)?;
    let (title, status) = Problem::title(&problems, "My account");
    let factor = store::get(&context.state.db, &own.id).await?;
    let public = context.state.live.snapshot().appliance.public_host.as_ref().map(ToString::to_string);
    let host = public.unwrap_or_else(|| context.visitor.host());
    let key = context.state.enrolling.key(&administrator::mark(&context.visitor.token), context.now());
    let page = MePage {
        shell: Shell::new(context, title, Nav::Elsewhere).await?,
        name: own.name.clone(),
        role: own.role.name(),
        offer: key.filter(|_| factor.is_none()).and_then(|key| Offer::of(&key, &own.name, &host)),
        factor: factor.map(|factor| Factor { since: factor.since.into(), codes_left: factor.codes_left }),
        browsers: browsers(context, &own.id).await?,
        problems,
    };
    Ok((status, html(&page)?).into_response())
}

/// The page.
pub async fn show(context: Context) -> Result<Response, WebError> {
    page(&context, Vec::new()).await
}

fn back(context: &Context, words: &str) -> Response {
    context.leave(PATH, Note::done(words));
    Redirect::to(PATH).into_response()
}

/// Sets one's own password. Every other browser is signed out; this one continues under a new token.
pub async fn password(context: Context, posted: Posted) -> Result<Response, WebError> {
    let (state, own) = (&context.state, own(&context)?);
    let typed = posted.secret("password");
    let mut problems = Vec::new();
    if let Err(words) = check_password(typed.reveal(), &own.name) {
        problems.push(Problem::new("password", words));
    }
    ask_again(&context, &posted.secret("old_password"), "old_password", &mut problems).await?;
    if !problems.is_empty() {
        return page(&context, problems).await;
    }
    let hash = state.gate.hasher().hash(&typed).await?;
    let edit = Edit { role: None, password_hash: Some(&hash) };
    match context.changing(async |change| administrator::edit(&state.db, &own.id, &edit, change).await).await {
        Ok(()) => {}
        Err(SaveError::Mistakes(mistakes)) => {
            return page(&context, mistakes.into_iter().map(Problem::from).collect()).await;
        }
        Err(error) => return Err(WebError::internal(error)),
    }
    let signed_in = login::sign_in(&context, &own.id).await?;
    let note = Note::done("Your password is changed. Every other browser of yours is signed out.");
    state.notes.leave(signed_in.token.reveal(), PATH, note, context.now());
    Ok(([signed_in.cookie], Redirect::to(PATH)).into_response())
}

/// Makes a key and shows it, until a code proves that an app has it.
pub async fn begin(context: Context, _: Posted) -> Result<Response, WebError> {
    own(&context)?;
    let mark = administrator::mark(&context.visitor.token);
    context.state.enrolling.begin(&mark, second_factor::new_key(), context.now());
    Ok(Redirect::to("/me#factor").into_response())
}

/// The app has the key: codes are required from the next sign-in on.
pub async fn confirm(context: Context, posted: Posted) -> Result<Response, WebError> {
    let (state, own) = (&context.state, own(&context)?);
    let mark = administrator::mark(&context.visitor.token);
    let Some(key) = state.enrolling.key(&mark, context.now()) else {
        let words = format!("That took longer than {} minutes: begin again", Enrolling::LIFE.as_secs() / 60);
        return page(&context, vec![Problem::new("begin", words)]).await;
    };
    let mut problems = Vec::new();
    let step = match check_new(&context, own, &key, posted.text("code")).await {
        Ok(step) => Some(step),
        Err(Taken::Blocked(wait)) => {
            problems.push(Problem::new("code", format!("Too many wrong codes. Wait {wait}, then try again")));
            None
        }
        Err(_) => {
            let words = "That is not the code of this key: type the six digits that the app shows now, and see that \
                         the clock of the device is right";
            problems.push(Problem::new("code", words));
            None
        }
    };
    ask_again(&context, &posted.secret("own_password"), "own_password", &mut problems).await?;
    let Some(step) = step.filter(|_| problems.is_empty()) else { return page(&context, problems).await };
    let (codes, digests) = new_codes();
    let owner = Owner { id: &own.id, name: &own.name };
    context
        .changing(async |change| {
            let subject = format!("administrator {}", own.name);
            state.secrets.put(&store::key_name(&own.id), &key, &subject, change).await.map_err(WebError::internal)?;
            store::put(&state.db, owner, step, &digests, change).await.map_err(WebError::from)
        })
        .await?;
    state.enrolling.end(&mark);
    codes_page(&context, &codes).await
}

fn new_codes() -> (Vec<Secret>, Vec<String>) {
    let codes = second_factor::recovery_codes();
    let digests = codes.iter().map(|code| second_factor::digest(code.reveal())).collect();
    (codes, digests)
}

async fn codes_page(context: &Context, codes: &[Secret]) -> Result<Response, WebError> {
    let page = CodesPage {
        shell: Shell::new(context, "Recovery codes", Nav::Elsewhere).await?,
        codes: codes.iter().map(|code| code.reveal().to_owned()).collect(),
    };
    Ok(html(&page)?.into_response())
}

/// New recovery codes, replacing the earlier ones.
pub async fn codes(context: Context, posted: Posted) -> Result<Response, WebError> {
    let own = own(&context)?;
    let mut problems = Vec::new();
    ask_again(&context, &posted.secret("codes_password"), "codes_password", &mut problems).await?;
    if !problems.is_empty() {
        return page(&context, problems).await;
    }
    if store::get(&context.state.db, &own.id).await?.is_none() {
        return Ok(back(&context, "Your second factor is off, so there are no recovery codes."));
    }
    let (codes, digests) = new_codes();
    let owner = Owner { id: &own.id, name: &own.name };
    let db = &context.state.db;
    context.changing(async |change| store::put_codes(db, owner, &digests, change).await).await?;
    codes_page(&context, &codes).await
}

/// The second factor is no longer required.
pub async fn off(context: Context, posted: Posted) -> Result<Response, WebError> {
    let own = own(&context)?;
    let mut problems = Vec::new();
    ask_again(&context, &posted.secret("off_password"), "off_password", &mut problems).await?;
    if !problems.is_empty() {
        return page(&context, problems).await;
    }
    let owner = Owner { id: &own.id, name: &own.name };
    let db = &context.state.db;
    context.changing(async |change| store::remove(db, owner, change).await).await?;
    Ok(back(&context, "Your second factor is off."))
}

/// Sets this browser's preferences.
pub async fn looks(context: Context, posted: Posted) -> Result<Response, WebError> {
    let times = looks::keep(looks::TIMES, if posted.text("times") == "local" { "local" } else { "utc" })?;
    let keys = looks::keep(looks::KEYS, if posted.get("keys").is_some() { "on" } else { "off" })?;
    let cookies = AppendHeaders([(SET_COOKIE, times), (SET_COOKIE, keys)]);
    Ok((cookies, back(&context, "Saved, for this browser.")).into_response())
}

/// Signs out one of one's own browsers, or all others.
pub async fn end_browsers(context: Context, posted: Posted) -> Result<Response, WebError> {
    let (db, own) = (&context.state.db, own(&context)?);
    let mark = administrator::mark(&context.visitor.token);
    if posted.get("others").is_some() {
        let count = administrator::end_other_browsers(db, &own.id, &mark).await?;
        let words = if count == 1 { "1 other browser is".to_owned() } else { format!("{count} other browsers are") };
        return Ok(back(&context, &format!("{words} signed out.")));
    }
    let chosen = posted.text("mark");
    if chosen == mark {
        return super::sign_in::sign_out(context.clone(), posted).await;
    }
    let there = administrator::end_browser(db, &own.id, chosen).await?;
    Ok(back(&context, if there { "That browser is signed out." } else { "That browser was signed out already." }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_holds_the_address_within_its_quiet_zone() {
        let offer = Offer::of(&second_factor::new_key(), "mira.okafor", "mft.example.com").unwrap();
        assert_eq!(offer.key.replace(' ', "").len(), 32);
        let corner = format!("M{QUIET_ZONE} {QUIET_ZONE}h1v1h-1z");
        assert!(offer.path.starts_with(&corner), "the finder pattern begins in the corner");
        let places = offer.path.split('M').skip(1).map(|one| {
            let (x, rest) = one.split_once(' ').unwrap();
            (x.parse::<usize>().unwrap(), rest.split('h').next().unwrap().parse::<usize>().unwrap())
        });
        let within = QUIET_ZONE..offer.side - QUIET_ZONE;
        assert!(places.into_iter().all(|(x, y)| within.contains(&x) && within.contains(&y)));
    }
}
