//! Profiles, FTP Server: the settings of the server itself.

use std::time::Duration;

use askama::Template;
use axum::Json;
use axum::extract::Query;
use axum::response::{IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};

use super::{audit as audit_page, outside};
use crate::access::usable;
use crate::base::human;
use crate::domain::administrator::Role;
use crate::domain::filter::{Filter, Verdict};
use crate::domain::profile::Profile;
use crate::domain::setting::{Mistake, Texts, Value as _};
use crate::domain::value::{AsProfile, ConnectorTls, FtpOverTls};
use crate::store::listener::{self, Listener, ListenerState, State};
use crate::store::live::Snapshot;
use crate::store::{audit, profile, session};
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::draft::{Draft, DraftView};
use crate::web::error::WebError;
use crate::web::form::{Kind, Problem, Section, SectionView, choose_certificates, warnings};
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell};
use crate::web::tone::Tone;
use crate::web::view::Time;

/// The page shows the outcome of a new port within this time.
const LISTENER_WITHIN: Duration = Duration::from_secs(2);
/// Partners who have not signed in for longer are not counted among those that a stricter setting shuts out.
const SIGNED_IN_WITHIN: Duration = Duration::from_hours(30 * 24);
/// Less than this free below the Root Directory causes a warning.
const FREE_LITTLE_BYTES: u64 = 1 << 30;
/// Partners named in a sentence.
const NAMED_MAX: usize = 5;
const PATH: &str = "/profiles/ftp";

const SECTIONS: &[Section] = &[
    Section::new(
        "Server",
        &[
            "port",
            "listen_address",
            "ftp_over_tls",
            "explicit_port",
            "require_tls",
            "certificates",
            "welcome_message",
            "root_directory",
            "allowed_files_filter",
        ],
    ),
    Section::new(
        "Data connections",
        &[
            "active_mode",
            "passive_port_range",
            "passive_address",
            "passive_address_exceptions",
            "mode_z",
            "tls_session_reuse",
            "tls_end",
        ],
    ),
    Section::new("Time-outs and TLS versions", &["inactivity_timeout_s", "tls_protocols"]),
    Section::new(
        "Limits",
        &[
            "sessions_max",
            "sessions_per_address_max",
            "sessions_per_connector_max",
            "block_after_failures",
            "block_window_s",
            "block_for_s",
            "guard_allow",
            "proxy_protocol_from",
            "disk_reserve",
            "unfinished_keep_h",
        ],
    ),
    Section::new("Logging", &["log_level", "log_keep_days"]),
];

struct Changed {
    at: Time,
    who: String,
    key: String,
    before: String,
    after: String,
}

#[derive(Template)]
#[template(path = "profile.html")]
struct ProfilePage {
    shell: Shell,
    sections: Vec<SectionView>,
    keys: String,
    draft: DraftView,
    warnings: Vec<Problem>,
    state: ListenerState,
    state_words: &'static str,
    since: Time,
    sessions: usize,
    changes: Vec<Changed>,
    may_save: bool,
    outside: Vec<outside::Line>,
    /// The typed settings shut partners out, who are among the problems.
    asks_first: bool,
}

async fn page(context: &Context, draft: &Draft) -> Result<ProfilePage, WebError> {
    let state = listener::get(&context.state.db, Listener::Ftp).await?;
    let snapshot = context.state.live.snapshot();
    let held = context.state.certificates.list();
    let certificates: Vec<_> = held.iter().map(|held| held.stored.name.to_string()).collect();
    let free = free(context);
    let mut sections = draft.form.sections(Profile::SETTINGS, SECTIONS);
    for field in sections.iter_mut().flat_map(|section| &mut section.fields) {
        match field.key {
            "certificates" => choose_certificates(field, &certificates),
            "inactivity_timeout_s" => field.note = in_words(&field.value),
            "root_directory" => field.note.clone_from(&free.0),
            _ => {}
        }
    }
    let changes = audit::latest(&context.state.db, Some("profile"), 5).await?.into_iter().map(|entered| Changed {
        at: entered.at.into(),
        who: entered.who,
        key: audit_page::named(&entered.subject, entered.key),
        before: audit_page::shown(entered.before),
        after: audit_page::shown(entered.after),
    });
    let state_words = match state.state {
        State::Listening => "Listening",
        State::Stopped => "Stopped",
        State::CouldNotBind => "Could not bind",
    };
    Ok(ProfilePage {
        shell: Shell::new(context, draft.title("FTP Server profile"), Nav::Profiles).await?,
        sections,
        keys: Section::keys(SECTIONS).join(","),
        draft: draft.view(),
        warnings: warnings(snapshot.profile.warnings().into_iter().chain(free.1).collect(), Profile::SETTINGS),
        since: state.since.into(),
        state,
        state_words,
        sessions: context.state.presence.count(),
        changes: changes.collect(),
        may_save: context.may(Role::Admin),
        outside: outside::lines(context).await,
        asks_first: false,
    })
}

/// Free space below the present Root Directory, and a warning if that is little.
fn free(context: &Context) -> (String, Option<Mistake>) {
    let Ok((free, all)) = context.state.depot.workspaces.room(&context.state.live.snapshot().profile) else {
        return (String::new(), None);
    };
    let little = (free < FREE_LITTLE_BYTES)
        .then(|| Mistake::new("root_directory", format!("Only {} are free there; make room soon", human::size(free))));
    (format!("{} of {} are free there now.", human::size(free), human::size(all)), little)
}

/// Seconds in larger units; empty if the seconds say it already.
fn in_words(seconds: &str) -> String {
    match seconds.parse() {
        Ok(0) => "Never.".to_owned(),
        Ok(seconds) if seconds % 3_600 == 0 || (seconds < 3_600 && seconds % 60 == 0) => {
            format!("{}.", human::duration(Duration::from_secs(seconds)))
        }
        _ => String::new(),
    }
}

/// The form with the stored settings.
pub async fn show(context: Context) -> Result<Response, WebError> {
    let draft = Draft::stored(profile::load(&context.state.db).await?, Profile::SETTINGS);
    draft.answer(&page(&context, &draft).await?)
}

/// Saves, then waits for a moment to report the outcome.
pub async fn save(context: Context, posted: Posted) -> Result<Response, WebError> {
    let state = &context.state;
    let mut draft = Draft::typed(&posted, Profile::SETTINGS);
    let texts = draft.form.texts.clone();
    let shut_out = shut_out(&context, &texts).await?;
    // A button beside the form sends only one value: the form shown again needs the others.
    draft.form.fill(&state.live.snapshot().profile.texts());
    if !shut_out.is_empty() && posted.get("anyway").is_none() {
        draft.form.refuse(shut_out);
        let page = ProfilePage { asks_first: true, ..page(&context, &draft).await? };
        return draft.answer(&page);
    }
    let version = draft.version();
    let saved = match usable::profile(&state.db, &texts).await {
        Ok(()) => context.changing(async |change| profile::save(&state.db, &texts, version, change).await).await,
        Err(error) => Err(error),
    };
    if !draft.settle(saved)? {
        return draft.answer(&page(&context, &draft).await?);
    }
    state.live.refresh().await?;
    let became = wait_for_listener(&context).await?;
    let note = match became.state {
        State::Listening => Note::done(format!("Saved. The FTP server listens on {}.", became.address)),
        State::Stopped => {
            Note { tone: Tone::Warning, text: "Saved. The FTP server is stopped.".to_owned(), password: None }
        }
        State::CouldNotBind => {
            Note { tone: Tone::Warning, text: format!("Saved, but: {}", became.message), password: None }
        }
    };
    context.leave(PATH, note);
    Ok(Redirect::to(PATH).into_response())
}

/// Partners that the typed settings would shut out, judged by their last sign-in.
async fn shut_out(context: &Context, typed: &Texts) -> Result<Vec<Mistake>, WebError> {
    let snapshot = context.state.live.snapshot();
    let mut texts = snapshot.profile.texts();
    texts.extend(typed.clone());
    // Invalid values are refused by the save.
    let Ok(wanted) = Profile::parse(&texts) else { return Ok(Vec::new()) };
    let now = &snapshot.profile;
    let mut mistakes: Vec<_> = without_tls(&snapshot, &wanted).into_iter().collect();
    let clear = wanted.require_tls > now.require_tls;
    let old = now.tls_protocols.tls12 && !wanted.tls_protocols.tls12;
    if !clear && !old {
        return Ok(mistakes);
    }
    let since = context.now().minus(SIGNED_IN_WITHIN);
    let last = session::last_tls(&context.state.db, since).await?;
    let follows = |id: &str| {
        snapshot.partner(id).is_some_and(|live| live.connector.settings.require_tls == ConnectorTls::AsProfile)
    };
    let in_clear = last.iter().filter(|(id, tls)| clear && tls.is_empty() && follows(id));
    let in_old = last.iter().filter(|(_, tls)| old && tls.starts_with("TLS 1.2"));
    for (key, how, who) in [
        ("require_tls", "without TLS", in_clear.map(|(id, _)| id.as_str()).collect::<Vec<_>>()),
        ("tls_protocols", "with TLS 1.2", in_old.map(|(id, _)| id.as_str()).collect()),
    ] {
        if !who.is_empty() {
            let words = format!(
                "{} signed in {how} last and would be shut out; tell them first, or save all the same below",
                named(&who)
            );
            mistakes.push(Mistake::new(key, words));
        }
    }
    Ok(mistakes)
}

/// Partners whose own settings require encryption although there would be none.
fn without_tls(snapshot: &Snapshot, wanted: &Profile) -> Option<Mistake> {
    if wanted.ftp_over_tls != FtpOverTls::None || snapshot.profile.ftp_over_tls == FtpOverTls::None {
        return None;
    }
    let needs = |tls| matches!(tls, ConnectorTls::Login | ConnectorTls::LoginAndData);
    let partners = snapshot.partners().map(|live| &live.connector).filter(|one| one.settings.enabled);
    let who: Vec<_> = partners.filter(|one| needs(one.settings.require_tls)).map(|one| one.id.as_str()).collect();
    let words = format!(
        "Without TLS nobody could sign in as {}, where encryption is required; change that first, or save all the same below",
        named(&who)
    );
    (!who.is_empty()).then(|| Mistake::new("ftp_over_tls", words))
}

/// Names in a sentence: the first few, and how many more.
fn named(names: &[&str]) -> String {
    let first = names.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// The outcome for the listener, within [`LISTENER_WITHIN`].
pub async fn wait_for_listener(context: &Context) -> Result<ListenerState, WebError> {
    let version = context.state.live.snapshot().version;
    let until = tokio::time::Instant::now() + LISTENER_WITHIN;
    loop {
        let state = listener::get(&context.state.db, Listener::Ftp).await?;
        if state.followed_version >= version || tokio::time::Instant::now() >= until {
            return Ok(state);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A filter and a name to try on it.
#[derive(Debug, Deserialize)]
pub struct Trial {
    #[serde(default)]
    filter: String,
    #[serde(default)]
    name: String,
}

/// The verdict of the engine's own rule.
#[derive(Debug, Serialize)]
pub struct Said {
    accepted: bool,
    text: String,
}

/// The filter tester. A connector whose filter follows the profile's is answered with that.
pub async fn filter_test(context: Context, Query(trial): Query<Trial>) -> Json<Said> {
    let said = |accepted, text: String| Json(Said { accepted, text });
    if trial.name.is_empty() {
        return said(false, "Type a file name to try the filter.".to_owned());
    }
    let filter = match AsProfile::<Filter>::parse(&trial.filter) {
        Ok(AsProfile::AsProfile) if !trial.filter.is_empty() => {
            Ok(context.state.live.snapshot().profile.allowed_files_filter.clone())
        }
        _ => Filter::parse(&trial.filter),
    };
    match filter.map(|filter| filter.judge(&trial.name)) {
        Err(message) => said(false, message),
        Ok(Verdict::Accepted { by: Some(by) }) => said(true, format!("Accepted: matches {by}")),
        Ok(Verdict::Accepted { by: None }) => said(true, "Accepted: nothing excludes it".to_owned()),
        Ok(Verdict::Excluded { by }) => said(false, format!("Refused: excluded by {by}")),
        Ok(Verdict::NoMatch) => said(false, "Refused: no pattern matches it".to_owned()),
    }
}
