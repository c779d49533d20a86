//! Profiles, FTP Server: every setting of the server, what it warns of, and what the listener does right now.

use std::time::Duration;

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{Redirect, Response};
use serde::Deserialize;

use crate::base::clock::Timestamp;
use crate::base::human;
use crate::domain::filter::{Filter, Verdict};
use crate::domain::profile::Profile;
use crate::domain::setting::{Texts, Value};
use crate::store::audit;
use crate::store::listener::{self, Listener, ListenerState, State};
use crate::store::profile;
use crate::store::setting::SaveError;
use crate::web::context::{Ctx, ok, page};
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::form::{self, FormState, Kind, OWN, Section};
use crate::web::layout::PROFILE;
use crate::web::notes::{Note, Tone};
use crate::web::shell::{Nav, Shell};
use crate::web::view::{Badge, Moment};

/// How long a save waits for the listener to follow.
pub const FOLLOW_TIME_MAX: Duration = Duration::from_secs(2);
/// How often it looks.
const FOLLOW_EVERY: Duration = Duration::from_millis(40);
/// Changes listed.
const CHANGES_SHOWN: i64 = 8;

/// What the listener does.
#[derive(Clone, Debug)]
pub struct RightNow {
    /// In a word.
    pub badge: Badge,
    /// The bound address.
    pub address: String,
    /// Since when.
    pub since: Option<Moment>,
    /// How many sessions there are.
    pub sessions: String,
    /// In words, with the ways out; empty when all is well.
    pub message: String,
}

/// One change of a setting.
#[derive(Clone, Debug)]
pub struct Change {
    /// When.
    pub at: Moment,
    /// Who.
    pub who: String,
    /// The setting's key.
    pub key: String,
    /// Before.
    pub before: String,
    /// After.
    pub after: String,
}

/// A try of the filter.
#[derive(Clone, Debug, Default)]
pub struct FilterTry {
    /// The name that was tried.
    pub name: String,
    /// Whether it may pass.
    pub passes: bool,
    /// What the filter says; empty before a try.
    pub said: String,
}

/// The page.
#[derive(Debug, Template)]
#[template(path = "profile.html")]
pub struct ProfilePage {
    shell: Shell,
    form: FormState,
    now: RightNow,
    changes: Vec<Change>,
    tried: FilterTry,
}

impl ProfilePage {
    /// A page for tests.
    pub fn sample() -> Self {
        let texts = Texts::from([("port".to_owned(), "70000".to_owned())]);
        let mut form = FormState::new(PROFILE, Profile::SETTINGS, &texts, 3);
        form.refuse(vec![crate::domain::setting::Mistake::new("port", "70000 is too much")], Profile::SETTINGS);
        form.warn(vec![crate::domain::setting::Mistake::new("require_tls", "clear text")]);
        Self {
            shell: Shell::sample(Nav::Profiles),
            form,
            now: RightNow {
                badge: Badge::new("bad", "Could not bind"),
                address: "[::]:8021".to_owned(),
                since: Some(Moment::new(Timestamp::default(), Timestamp::default())),
                sessions: "7 sessions".to_owned(),
                message: "Port 21 is in use".to_owned(),
            },
            changes: vec![Change {
                at: Moment::new(Timestamp::default(), Timestamp::default()),
                who: "mira".to_owned(),
                key: "port".to_owned(),
                before: "8021".to_owned(),
                after: "2121".to_owned(),
            }],
            tried: FilterTry { name: "a.x12".to_owned(), passes: true, said: "Accepted".to_owned() },
        }
    }
}

/// `/profiles` leads to the one profile there is.
pub async fn home() -> Redirect {
    Redirect::to("/profiles/ftp")
}

/// A name to try against a filter.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Try {
    filter: Option<String>,
    name: String,
}

/// Shows the page. With `?name=` the stored filter is tried, for browsers without a script.
pub async fn show(ctx: Ctx, Query(asked): Query<Try>) -> Result<Response, WebError> {
    let stored = profile::load(&ctx.state.db).await?;
    let mut form = FormState::new(PROFILE, Profile::SETTINGS, &stored.texts, stored.version);
    if let Ok(profile) = Profile::parse(&stored.texts) {
        form.warn(profile.warnings());
    }
    let filter = stored.texts.get("allowed_files_filter").cloned().unwrap_or_default();
    ok(&build(&ctx, form, judged(&filter, &asked.name)).await?)
}

async fn build(ctx: &Ctx, mut form: FormState, tried: FilterTry) -> Result<ProfilePage, WebError> {
    if let Some(field) = form.field_mut("passive_port_range")
        && let Ok(Some(range)) = <Option<crate::domain::value::PortRange> as Value>::parse(&field.value)
    {
        let count = human::count(u64::from(range.count()), "port", "ports");
        field.note = format!("{count}, about as many transfers at a time");
    }
    let shell = Shell::of(ctx, Nav::Profiles).await?;
    let state = listener::get(&ctx.state.db, Listener::Ftp).await?;
    let now = ctx.now();
    let entries = audit::latest(&ctx.state.db, Some("profile"), CHANGES_SHOWN).await?;
    let change = |entry: audit::Entered| Change {
        at: Moment::whole(entry.at, now),
        who: entry.who,
        key: entry.key,
        before: entry.before,
        after: entry.after,
    };
    Ok(ProfilePage {
        shell,
        form,
        now: right_now(ctx, &state),
        changes: entries.into_iter().map(change).collect(),
        tried,
    })
}

fn right_now(ctx: &Ctx, state: &ListenerState) -> RightNow {
    let badge = match state.state {
        State::Listening => Badge::new("ok", "Listening"),
        State::Stopped => Badge::new("", "Stopped"),
        State::CouldNotBind => Badge::new("bad", "Could not bind"),
    };
    let sessions = u64::try_from(ctx.state.presence.count()).unwrap_or(u64::MAX);
    RightNow {
        badge,
        address: if state.address.is_empty() { "not bound".to_owned() } else { state.address.clone() },
        since: (state.since.us() != 0).then(|| Moment::whole(state.since, ctx.now())),
        sessions: human::count(sessions, "session", "sessions"),
        message: state.message.clone(),
    }
}

/// Saves every setting at once, then shows what the listener made of it.
pub async fn save(ctx: Ctx, posted: Posted) -> Result<Response, WebError> {
    let typed = form::typed(PROFILE, Profile::SETTINGS, &posted);
    let stored = profile::load(&ctx.state.db).await?;
    let changed = form::changed(&typed, &stored.texts, Profile::SETTINGS);
    if changed.is_empty() {
        return Ok(ctx.go("/profiles/ftp", Note::done("Nothing was changed, so nothing was saved.")));
    }
    let remote = ctx.remote();
    match profile::save(&ctx.state.db, &changed, form::version(&posted), &ctx.change(&remote)).await {
        Ok(()) => {
            ctx.state.live.refresh().await?;
            Ok(ctx.go("/profiles/ftp", followed(&ctx).await?))
        }
        Err(SaveError::Mistakes(mistakes)) => {
            let version = form::version(&posted).unwrap_or(stored.version);
            let mut form = FormState::new(PROFILE, Profile::SETTINGS, &typed, version);
            form.refuse(mistakes, Profile::SETTINGS);
            form.count_dirty(&stored.texts, Profile::SETTINGS);
            page(StatusCode::UNPROCESSABLE_ENTITY, &build(&ctx, form, FilterTry::default()).await?)
        }
        Err(SaveError::Stale(stored)) => {
            let mut form = FormState::new(PROFILE, Profile::SETTINGS, &typed, stored.version);
            form.meet(&stored, Profile::SETTINGS, Moment::whole(stored.changed_at, ctx.now()).text);
            form.count_dirty(&stored.texts, Profile::SETTINGS);
            page(StatusCode::CONFLICT, &build(&ctx, form, FilterTry::default()).await?)
        }
        Err(error @ SaveError::Store(_)) => Err(WebError::internal(error)),
    }
}

/// Waits until the listener has followed what was saved, and says what came of it.
async fn followed(ctx: &Ctx) -> Result<Note, WebError> {
    let wanted = ctx.state.live.snapshot().version;
    let until = tokio::time::Instant::now() + FOLLOW_TIME_MAX;
    loop {
        let state = listener::get(&ctx.state.db, Listener::Ftp).await?;
        // No engine has ever written a state: there is nothing to wait for.
        let never = state.state == State::Stopped && state.followed_version == 0;
        let done = state.followed_version >= wanted;
        if !(done || never) && tokio::time::Instant::now() < until {
            tokio::time::sleep(FOLLOW_EVERY).await;
            continue;
        }
        return Ok(match state.state {
            State::CouldNotBind => Note {
                tone: Tone::Warning,
                text: format!("Saved, but the server could not listen as asked. {}", state.message),
                password: None,
            },
            State::Listening if done => {
                Note::done(format!("Saved. Listening on {}. Sessions in progress stay.", state.address))
            }
            State::Listening => Note {
                tone: Tone::Warning,
                text: "Saved. The server has not followed yet; look again in a moment.".to_owned(),
                password: None,
            },
            State::Stopped => Note::done("Saved. Applies when the FTP server runs."),
        });
    }
}

/// What a filter says to a name, as text for the script.
pub async fn filter_test(Query(asked): Query<Try>) -> Response {
    let tried = judged(asked.filter.as_deref().unwrap_or_default(), &asked.name);
    axum::response::IntoResponse::into_response(tried.said)
}

/// What a filter says to a name.
pub(super) fn judged(filter: &str, name: &str) -> FilterTry {
    let name = name.trim();
    let said = |passes: bool, said: String| FilterTry { name: name.to_owned(), passes, said };
    if name.is_empty() {
        return FilterTry::default();
    }
    match Filter::parse(filter) {
        Err(message) => said(false, format!("Not a filter: {message}")),
        Ok(filter) => match filter.judge(name) {
            Verdict::Accepted { by: Some(by) } => said(true, format!("Accepted: matches {by}")),
            Verdict::Accepted { by: None } => said(true, "Accepted: nothing excludes it".to_owned()),
            Verdict::Excluded { by } => said(false, format!("Refused: excluded by {by}")),
            Verdict::NoMatch => said(false, "Refused: no pattern matches it".to_owned()),
        },
    }
}

/// The parts that the contents list leads to.
impl ProfilePage {
    /// Every part.
    pub fn sections(&self) -> &[Section] {
        &self.form.sections
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tester_asks_the_one_filter_there_is() {
        let said = |filter, name| judged(filter, name).said;
        assert_eq!(said("*.x12,-*.tmp", "a.X12"), "Accepted: matches *.x12");
        assert_eq!(said("*.x12,-*.tmp", "a.tmp"), "Refused: excluded by -*.tmp");
        assert_eq!(said("*.x12", "a.zip"), "Refused: no pattern matches it");
        assert_eq!(said("", "a.zip"), "Accepted: nothing excludes it");
        assert!(said("[a", "a").starts_with("Not a filter: "));
        assert_eq!(said("*.x12", " "), "");
    }
}
