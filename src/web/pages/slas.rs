//! The SLAs tab of a connector: what is due, its state, and a month of it.

use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::ToSpan;
use jiff::civil::Date;
use serde::Deserialize;

use super::head::Head;
use super::send::in_force;
use super::sla_files;
use crate::base::clock::Timestamp;
use crate::base::id::EventId;
use crate::domain::administrator::Role;
use crate::domain::connector::Connector;
use crate::domain::sla::{Sla, SlaSettings, State, Window, shown};
use crate::store::setting::SaveError;
use crate::store::sla::{self, SLAS_MAX, Stand, StoredSla};
use crate::web::change::Ended;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::draft::{Draft, DraftView};
use crate::web::error::WebError;
use crate::web::form::{Field, Kind};
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};
use crate::web::table::address;
use crate::web::tone::Tone;

/// The query.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// `2026-11`.
    month: String,
    /// An SLA to change.
    edit: String,
}

/// One day of a month.
struct Day {
    number: i8,
    /// Its tone.
    tone: Tone,
    words: String,
    /// The address of the files that count in its windows; empty while none has begun.
    files: String,
}

/// One SLA.
struct Row {
    id: String,
    words: String,
    state: &'static str,
    tone: Tone,
    detail: String,
    /// The address of the files that count in the current window; empty if there is none.
    files: String,
    /// Weeks from Monday; days of other months are empty.
    weeks: Vec<Vec<Option<Day>>>,
}

#[derive(Template)]
#[template(path = "slas.html")]
struct SlasPage {
    shell: Shell,
    head: Head,
    rows: Vec<Row>,
    month: String,
    before: String,
    after: String,
    fields: Vec<Field>,
    keys: String,
    /// Which SLA the form changes; empty: it adds one.
    editing: String,
    draft: DraftView,
    may_edit: bool,
}

/// The tab.
pub async fn show(context: Context, Path(id): Path<String>, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let (_, live) = in_force(&context, &id)?;
    let stored = find(&context, &live.connector, &asked.edit).await?;
    let draft = Draft::one(stored.as_ref().map(|one| (&one.texts, one.version)), SlaSettings::SETTINGS);
    Ok(html(&page(&context, &live.connector, &asked, &draft).await?)?.into_response())
}

async fn find(context: &Context, connector: &Connector, id: &str) -> Result<Option<StoredSla>, WebError> {
    let all = sla::of_connector(&context.state.db, connector.id.key()).await?;
    Ok(all.into_iter().find(|one| one.id == id))
}

async fn page(context: &Context, connector: &Connector, asked: &Asked, draft: &Draft) -> Result<SlasPage, WebError> {
    let now = context.now();
    let first = month(&asked.month, now);
    let mut rows = Vec::new();
    for stored in sla::of_connector(&context.state.db, connector.id.key()).await? {
        if let Ok((settings, due)) = SlaSettings::parse(&stored.texts) {
            rows.push(row(context, (&stored, &settings, &due), first, now).await?);
        }
    }
    let base = format!("/connectors/{}/slas", connector.id);
    let beside = |months: i8| {
        let other = first.checked_add(i32::from(months).months()).unwrap_or(first);
        address(&base, &[("month", &other.strftime("%Y-%m").to_string())])
    };
    let keys: Vec<&str> = SlaSettings::SETTINGS.iter().map(|setting| setting.key).collect();
    let title = draft.title(&format!("{} SLAs", connector.id));
    Ok(SlasPage {
        shell: Shell::new(context, title, Nav::Flows).await?,
        head: Head::new(context, &connector.id, "slas").await?,
        rows,
        month: first.strftime("%B %Y").to_string(),
        before: beside(-1),
        after: beside(1),
        fields: draft.form.fields(SlaSettings::SETTINGS, &keys),
        keys: keys.join(","),
        editing: if draft.is_gone { String::new() } else { asked.edit.clone() },
        draft: draft.view(),
        may_edit: context.may(Role::Editor),
    })
}

/// The first day of the requested month, or of this one.
fn month(asked: &str, now: Timestamp) -> Date {
    let today = now.calendar().to_zoned(jiff::tz::TimeZone::UTC).date();
    format!("{asked}-01").parse().unwrap_or_else(|_| today.first_of_month())
}

async fn row(
    context: &Context,
    (stored, settings, due): (&StoredSla, &SlaSettings, &Sla),
    first: Date,
    now: Timestamp,
) -> Result<Row, WebError> {
    let days = first.days_in_month();
    let of_day = |number: i8| first.checked_add(i32::from(number - 1).days()).unwrap_or(first);
    let all: Vec<Window> = (1..=days).flat_map(|number| due.schedule.of_day(of_day(number))).collect();
    let known = match (all.first(), all.last()) {
        (Some(one), Some(last)) => sla::windows(&context.state.db, &stored.id, one.start, last.end).await?,
        _ => Vec::new(),
    };
    let mut weeks: Vec<Vec<Option<Day>>> = Vec::new();
    for number in 1..=days {
        let date = of_day(number);
        let weekday = usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or(0);
        if weeks.is_empty() || weekday == 0 {
            weeks.push((0..7).map(|_| None).collect());
        }
        let windows: Vec<Window> = due.schedule.of_day(date).collect();
        if let Some(cell) = weeks.last_mut().and_then(|week| week.get_mut(weekday)) {
            *cell = Some(day(number, &windows, &known, (stored, due), now));
        }
    }
    let (state, tone, detail) = current(context, (stored, settings, due), now).await?;
    let open = due.schedule.between(now, now.plus(Duration::from_micros(1))).next();
    let files = files(open.as_slice(), (stored, due), now);
    Ok(Row { id: stored.id.clone(), words: settings.in_words(), state, tone, detail, files, weeks })
}

/// The address of the files that count in these windows of a day, including late ones.
fn files(windows: &[Window], (stored, due): (&StoredSla, &Sla), now: Timestamp) -> String {
    let mut begun = windows.iter().filter(|window| window.start >= stored.made_at && window.start <= now);
    let Some(first) = begun.next() else { return String::new() };
    let within = Window { start: first.start, end: due.settled_at(*begun.next_back().unwrap_or(first)) };
    sla_files::place(&stored.id, due.counted, within)
}

/// The state of one day: the worst of its windows.
fn day(number: i8, windows: &[Window], known: &[Stand], (stored, due): (&StoredSla, &Sla), now: Timestamp) -> Day {
    let judged: Vec<&Window> = windows.iter().filter(|window| window.start >= stored.made_at).collect();
    let states: Vec<State> = judged
        .iter()
        .map(|window| known.iter().find(|one| one.window == **window).map_or(State::Pending, |one| one.state))
        .collect();
    let count = |wanted: State| states.iter().filter(|state| **state == wanted).count();
    let (violated, late, risky, met) =
        (count(State::Violated), count(State::Late), count(State::AtRisk), count(State::Met));
    let (tone, words) = match () {
        () if states.is_empty() => (Tone::Plain, String::new()),
        () if violated > 0 && states.len() == 1 => (Tone::Bad, "Violated".to_owned()),
        () if violated > 0 => (Tone::Bad, format!("{violated} of {} violated", states.len())),
        () if risky > 0 => (Tone::Warning, "At risk".to_owned()),
        () if late > 0 => (Tone::Warning, if states.len() == 1 { "Late".to_owned() } else { format!("{late} late") }),
        () if met == states.len() => (Tone::Good, if met == 1 { "Met".to_owned() } else { format!("All {met} met") }),
        () if met > 0 => (Tone::Plain, format!("{met} of {} met so far", states.len())),
        () if judged.iter().all(|window| window.start > now) => (Tone::Plain, "Due".to_owned()),
        () => (Tone::Plain, "Pending".to_owned()),
    };
    Day { number, tone, words, files: files(windows, (stored, due), now) }
}

/// The state of the current window, or when the next one begins.
async fn current(
    context: &Context,
    (stored, settings, due): (&StoredSla, &SlaSettings, &Sla),
    now: Timestamp,
) -> Result<(&'static str, Tone, String), WebError> {
    let year = now.plus(Duration::from_hours(24 * 366));
    let Some(window) = due.schedule.between(now, year).find(|window| window.start >= stored.made_at) else {
        return Ok(("Nothing due", Tone::Plain, "No window in the next year".to_owned()));
    };
    let end = shown(window.end, &settings.zone);
    if window.start > now {
        return Ok(("Waiting", Tone::Plain, format!("The next window begins {}", shown(window.start, &settings.zone))));
    }
    let known = sla::windows(&context.state.db, &stored.id, window.start, window.end).await?;
    let stand = known.iter().find(|one| one.window == window);
    let files = stand.map_or(0, |one| one.files);
    let so_far = format!("{files} of {} so far, due by {end}", due.at_least.get());
    Ok(match stand.map_or(State::Pending, |one| one.state) {
        State::Met => ("Met", Tone::Good, format!("The window until {end} has its files")),
        State::AtRisk => ("At risk", Tone::Warning, so_far),
        State::Violated => ("Violated", Tone::Bad, so_far),
        State::Late => ("Late", Tone::Warning, so_far),
        State::Pending => ("Pending", Tone::Plain, so_far),
    })
}

/// Adds or changes one.
pub async fn save(context: Context, Path(id): Path<String>, posted: Posted) -> Result<Response, WebError> {
    let (_, live) = in_force(&context, &id)?;
    let connector = &live.connector;
    let asked = Asked { edit: posted.text("sla").to_owned(), ..Asked::default() };
    let mut draft = Draft::typed(&posted, SlaSettings::SETTINGS);
    let saved = put(&context, connector, &asked.edit, &draft).await?;
    let Some(words) = draft.settle_one(saved)? else {
        return draft.answer(&page(&context, connector, &asked, &draft).await?);
    };
    let base = format!("/connectors/{}/slas", connector.id);
    context.leave(&base, Note::done(format!("Saved: {words}.")));
    Ok(Redirect::to(&base).into_response())
}

/// Saves what was typed; returns it in words.
async fn put(context: &Context, connector: &Connector, edit: &str, draft: &Draft) -> Ended<String> {
    let db = &context.state.db;
    let there = find(context, connector, edit).await?;
    if !edit.is_empty() && there.is_none() {
        return Ok(Err(SaveError::Stale(Box::default())));
    }
    let settings = match SlaSettings::parse(&draft.form.texts) {
        Ok((settings, _)) => settings,
        Err(mistakes) => return Ok(Err(SaveError::Mistakes(mistakes))),
    };
    if there.is_none() && sla::count(db, connector.id.key()).await? >= SLAS_MAX {
        let words = format!("{} has {SLAS_MAX} SLAs, the most there can be; remove one", connector.id);
        return Ok(Err(SaveError::mistake("counted", words)));
    }
    let expected = there.as_ref().map(|one| draft.version().unwrap_or(one.version));
    let id = there.map_or_else(|| EventId::new(&context.state.ids).to_string(), |one| one.id);
    let texts = settings.texts();
    let saved = context.changing(async |change| sla::save(db, (&id, expected), &connector.id, &texts, change).await);
    Ok(saved.await.map(|()| settings.in_words()))
}

/// Removes one.
pub async fn remove(context: Context, Path(id): Path<String>, posted: Posted) -> Result<Response, WebError> {
    let (_, live) = in_force(&context, &id)?;
    let connector = &live.connector;
    let base = format!("/connectors/{}/slas", connector.id);
    let Some(stored) = find(&context, connector, posted.text("sla")).await? else {
        context.leave(&base, Note::done("That SLA was removed already."));
        return Ok(Redirect::to(&base).into_response());
    };
    let words = SlaSettings::parse(&stored.texts).map(|(settings, _)| settings.in_words()).unwrap_or_default();
    let db = &context.state.db;
    context.changing(async |change| sla::remove(db, &stored, &connector.id, change).await).await?;
    context.leave(&base, Note::done(format!("Removed: {words}. What was told of it stays among the events.")));
    Ok(Redirect::to(&base).into_response())
}
