//! Refusals: every no with its rule; grouped, so that patterns show; and one of them in full: why, where it is set, and
//! its transcript.

use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Redirect, Response};

use super::list::{self, Asked, Filters};
use super::session;
use super::what_if;
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::base::id::RefusalId;
use crate::domain::administrator::Role;
use crate::domain::advice;
use crate::domain::refusal::Rule;
use crate::domain::setting::Texts;
use crate::domain::value::TlsEnd;
use crate::store::connector::{self, Edit};
use crate::store::receipt::Cursor;
use crate::store::refusal::{self, Filter, Refusal};
use crate::store::{Db, StoreError};
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::csv::{self, Paged};
use crate::web::error::WebError;
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};
use crate::web::table::{Offer, Pager, Select};
use crate::web::tone::Tone;
use crate::web::view::Time;

const PATH: &str = "/activity/refusals";
/// Rules and connectors shown as groups.
const GROUPS_MAX: i64 = 12;
/// Groups cover this time, and are compared with the same time before it.
const GROUPED_OVER: Duration = Duration::from_hours(24);
/// How many unsigned endings of one partner it takes to offer allowing them.
const UNSIGNED_OFFERED_FROM: u64 = 2;

struct Row {
    id: String,
    label: &'static str,
    connector: String,
    known: bool,
    remote: String,
    command: String,
    times: String,
    last: Time,
}

/// How often one rule said no to one connector.
struct Group {
    label: &'static str,
    connector: String,
    address: String,
    latest: String,
    times: String,
    hour: String,
    trend: String,
    tone: Tone,
}

#[derive(Template)]
#[template(path = "refusals.html")]
struct RefusalsPage {
    shell: Shell,
    groups: Vec<Group>,
    filters: Filters,
    rows: Vec<Row>,
    pager: Pager,
    what_if: what_if::Form,
}

/// The query for the database.
pub fn filter(context: &Context, asked: &Asked) -> Filter {
    Filter { connector: asked.connector(context), rule: Rule::parse(&asked.rule), since: asked.since(context.now()) }
}

/// The page.
pub async fn show(context: Context, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let (filter, now) = (filter(&context, &asked), context.now());
    let (found, older) = list::page(&context, &filter, asked.before().as_ref(), asked.size()).await?;
    let rows = found.into_iter().map(|one| Row {
        id: one.id.to_string(),
        label: one.rule.label(),
        known: context.state.live.written_id(&one.connector).is_some(),
        connector: one.connector,
        remote: one.remote,
        command: one.command,
        times: human::thousands(one.times),
        last: Time::seen(one.last_at, now),
    });
    let rules = Rule::ALL.iter().map(|rule| (rule.name(), rule.label()));
    let own = vec![Select::new(("rule", "Rule"), "Every rule", Offer::all(rules, &asked.rule))];
    let filters = Filters::new(&context, (PATH, "Refused"), &asked, own).await?;
    // Groups cover everything: beside a filter they would not match the list.
    let is_whole = filters.is_whole;
    let page = RefusalsPage {
        shell: Shell::new(&context, "Refusals", Nav::Activity).await?,
        groups: if is_whole { groups(&context).await? } else { Vec::new() },
        rows: rows.collect(),
        pager: asked.pager(PATH, older),
        filters,
        what_if: what_if::Form::empty(),
    };
    Ok(html(&page)?.into_response())
}

async fn groups(context: &Context) -> Result<Vec<Group>, WebError> {
    let (db, now) = (&context.state.db, context.now());
    let (day, before) = (now.minus(GROUPED_OVER), now.minus(GROUPED_OVER * 2));
    let hour = now.minus(Duration::from_hours(1));
    let mut groups = Vec::new();
    for one in refusal::frequent(db, day, GROUPS_MAX).await? {
        let earlier = refusal::times(db, &one.connector, one.rule, (before, day)).await?;
        let lately = refusal::times(db, &one.connector, one.rule, (hour, now)).await?;
        let asked = Asked { connector: one.connector.clone(), rule: one.rule.name().to_owned(), ..Asked::default() };
        let (trend, tone) = trend(one.times, earlier);
        groups.push(Group {
            label: one.rule.label(),
            connector: one.connector,
            address: asked.at(PATH, "", &[]),
            latest: one.latest.to_string(),
            times: human::thousands(one.times),
            hour: human::thousands(lately),
            trend,
            tone,
        });
    }
    Ok(groups)
}

/// How a day compares with the previous one, in words, and its tone.
fn trend(now: u64, before: u64) -> (String, Tone) {
    if before == 0 {
        return ("New".to_owned(), Tone::Warning);
    }
    if now >= before.saturating_mul(2) {
        return (format!("{} times as often as the day before", human::thousands(now / before)), Tone::Bad);
    }
    match now.cmp(&before) {
        std::cmp::Ordering::Greater => (format!("Up from {}", human::thousands(before)), Tone::Warning),
        std::cmp::Ordering::Equal => ("As the day before".to_owned(), Tone::Plain),
        std::cmp::Ordering::Less => (format!("Down from {}", human::thousands(before)), Tone::Good),
    }
}

/// The same as CSV, unlimited.
pub async fn export(context: Context, Query(asked): Query<Asked>) -> Response {
    let filter = filter(&context, &asked);
    csv::file(&context, "refusals", filter)
}

impl Paged for Filter {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "rule",
        "connector",
        "remote",
        "command",
        "reply",
        "detail",
        "session_id",
        "first_at",
        "last_at",
        "times",
    ];
    type Row = Refusal;

    async fn page(&self, db: &Db, before: Option<&Cursor>, count: i64) -> Result<Vec<Refusal>, StoreError> {
        refusal::page(db, self, before, count).await
    }

    fn place(row: &Refusal) -> (Timestamp, &str) {
        (row.last_at, row.id.as_str())
    }

    fn cells(one: Refusal) -> Vec<String> {
        vec![
            one.id.to_string(),
            one.rule.name().to_owned(),
            one.connector,
            one.remote,
            one.command,
            one.reply,
            one.detail,
            one.session_id,
            one.first_at.to_string(),
            one.last_at.to_string(),
            one.times.to_string(),
        ]
    }
}

/// A line of the transcript.
struct Line {
    at: String,
    /// From the client.
    asked: bool,
    text: String,
    /// The reply of this refusal.
    is_no: bool,
}

/// The transcript up to the refusal, and its reply.
struct Said {
    lines: Vec<Line>,
    /// Whether the data connection of the command was established: its 150 had been sent.
    opened: bool,
}

impl Said {
    /// Reads a transcript, whose lines begin `09:41:52.000 C: `. The refusing reply is marked if it follows the
    /// command; since a refusal is often recorded just before its reply is sent, it is otherwise added.
    fn of(refusal: &Refusal) -> Self {
        let reply = refusal.reply.lines().next().unwrap_or_default();
        let mut lines: Vec<_> = refusal.transcript.lines().map(Line::of).collect();
        let begun = lines.iter().rposition(|line| line.asked && line.text == refusal.command);
        let answers = &mut lines[begun.unwrap_or_default()..];
        let no = answers.iter().rposition(|line| !reply.is_empty() && !line.asked && line.text.starts_with(reply));
        let until = no.unwrap_or(answers.len());
        let is_150 = |line: &Line| !line.asked && line.text.starts_with("150");
        let opened = begun.is_some() && answers[..until].iter().any(is_150);
        match no {
            Some(no) => answers[no].is_no = true,
            None if !reply.is_empty() => {
                lines.push(Line { at: String::new(), asked: false, text: reply.to_owned(), is_no: true });
            }
            None => {}
        }
        Self { lines, opened }
    }
}

impl Line {
    fn of(line: &str) -> Self {
        let (at, said) = line.split_once(' ').filter(|(at, _)| at.contains(':')).unwrap_or(("", line));
        let (who, text) = said.split_once(": ").filter(|(who, _)| who.len() == 1).unwrap_or(("", said));
        Self { at: at.to_owned(), asked: who == "C", text: text.to_owned(), is_no: false }
    }
}

/// A rule that says no to the same connector again and again.
struct Pattern {
    hour: u64,
    day: u64,
    day_before: u64,
    /// The list of them.
    address: String,
}

async fn pattern(context: &Context, refusal: &Refusal) -> Result<Pattern, WebError> {
    let (db, now) = (&context.state.db, context.now());
    let (day, before) = (now.minus(GROUPED_OVER), now.minus(GROUPED_OVER * 2));
    let times = async |from, to| refusal::times(db, &refusal.connector, refusal.rule, (from, to)).await;
    let asked =
        Asked { connector: refusal.connector.clone(), rule: refusal.rule.name().to_owned(), ..Asked::default() };
    Ok(Pattern {
        hour: times(now.minus(Duration::from_hours(1)), now).await?,
        day: times(day, now).await?,
        day_before: times(before, day).await?,
        address: asked.at(PATH, "", &[]),
    })
}

/// A draft for the partner: what, when, the words they got, what they can do.
fn reply(refusal: &Refusal) -> String {
    let when = Time::from(refusal.last_at).title;
    let heard = refusal.reply.lines().next().unwrap_or_default();
    let heard = if heard.is_empty() { String::new() } else { format!(" Our server answered: {heard}") };
    format!("{} was refused ({when}).{heard}\n{}", advice::deed(&refusal.command), advice::advice(refusal.rule))
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct RefusalPage {
    shell: Shell,
    question: String,
    label: &'static str,
    explain: &'static str,
    refusal: Refusal,
    lines: Vec<Line>,
    /// How far the client got.
    report: what_if::Told,
    /// A draft for the partner.
    reply: String,
    pattern: Pattern,
    first: Time,
    last: Time,
    fix: String,
    fix_words: &'static str,
    /// Where to ask whether it would be refused now.
    again: String,
    /// Its session, if that is live or kept.
    session: String,
    /// How often uploads of this partner ended unsigned, if that may be allowed; 0: nothing is offered.
    unsigned: u64,
}

/// One refusal.
pub async fn one(context: Context, Path(id): Path<String>) -> Result<Response, WebError> {
    let id = RefusalId::parse(&id).ok_or_else(WebError::not_found)?;
    let refusal = refusal::find(&context.state.db, &id).await?.ok_or_else(WebError::not_found)?;
    let (fix, fix_words) = fix(&context, refusal.rule, &refusal.connector);
    let what = match refusal.command.as_str() {
        "" => "a connection".to_owned(),
        // Everything in a sign-in is hidden.
        command if command.starts_with("PASS ") => format!("the sign-in of {}", refusal.connector),
        command => command.to_owned(),
    };
    let question = format!("Why was {what} refused?");
    let said = Said::of(&refusal);
    let page = RefusalPage {
        shell: Shell::new(&context, question.clone(), Nav::Activity).await?,
        question,
        label: refusal.rule.label(),
        explain: refusal.rule.explain(),
        report: what_if::told(&context, &refusal, said.opened),
        lines: said.lines,
        reply: reply(&refusal),
        pattern: pattern(&context, &refusal).await?,
        first: refusal.first_at.into(),
        last: refusal.last_at.into(),
        fix,
        fix_words,
        again: what_if::address_of(&refusal),
        unsigned: unsigned(&context, &refusal).await?,
        session: session::known(&context, &refusal.session_id).await?,
        refusal,
    };
    Ok(html(&page)?.into_response())
}

/// Where a rule is set for a connector, and the words for it; empty if there is nothing to set.
pub fn fix(context: &Context, rule: Rule, connector: &str) -> (String, &'static str) {
    match (rule.setting_key(), context.state.live.written_id(connector)) {
        _ if rule == Rule::AddressBlocked => ("/activity/blocked".to_owned(), "Open the blocked addresses"),
        (Some(("profile", key)), _) => (format!("/profiles/ftp#{key}"), "Open the FTP Server profile"),
        (Some((_, key)), Some(id)) => {
            (format!("/connectors/{id}/{}#{key}", tab_of(key)), "Open this connector’s settings")
        }
        _ => (String::new(), ""),
    }
}

/// How often this partner's uploads ended like this one, if it was no accident and is not allowed yet (PRODUCT 5.3);
/// otherwise 0.
async fn unsigned(context: &Context, refusal: &Refusal) -> Result<u64, WebError> {
    let snapshot = context.state.live.snapshot();
    let Some(live) = snapshot.connector(&refusal.connector) else { return Ok(0) };
    let strict = *live.connector.settings.tls_end.or(&snapshot.profile.tls_end) == TlsEnd::Strict;
    if refusal.rule != Rule::TlsEndUnsigned || !strict || !context.may(Role::Editor) {
        return Ok(0);
    }
    let ever = (Timestamp::from_us(0), context.now());
    let times = refusal::times(&context.state.db, &refusal.connector, refusal.rule, ever).await?;
    Ok(if times < UNSIGNED_OFFERED_FROM { 0 } else { times })
}

/// Lets this partner's uploads end without TLS's own close, as the page offered.
pub async fn allow(context: Context, Path(id): Path<String>, _: Posted) -> Result<Response, WebError> {
    let id = RefusalId::parse(&id).ok_or_else(WebError::not_found)?;
    let refusal = refusal::find(&context.state.db, &id).await?.ok_or_else(WebError::not_found)?;
    let place = format!("/refusals/{id}");
    let connector = context.state.live.written_id(&refusal.connector);
    let Some(connector) = connector.filter(|_| refusal.rule == Rule::TlsEndUnsigned) else {
        return Err(WebError::not_found());
    };
    let values = Texts::from([("tls_end".to_owned(), TlsEnd::Tolerant.to_string())]);
    let edit = Edit { values, ..Edit::default() };
    let db = &context.state.db;
    context
        .changing(async |change| connector::save(db, &connector, &edit, change).await)
        .await
        .map_err(WebError::internal)?;
    context.state.live.refresh().await?;
    let note = format!("TLS end of upload is tolerant for {connector} now. It applies to the next upload.");
    context.leave(&place, Note::done(note));
    Ok(Redirect::to(&place).into_response())
}

/// The tab of a connector with a setting.
pub fn tab_of(key: &str) -> &'static str {
    let settings = [
        "send_read",
        "send_write",
        "receive_read",
        "receive_write",
        "require_tls",
        "allowed_addresses",
        "enabled",
        "valid_from",
        "valid_until",
        "password",
    ];
    if settings.contains(&key) { "settings" } else { "advanced" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(transcript: &str, command: &str, reply: &str) -> Said {
        let at = Timestamp::from_us(1);
        Said::of(&Refusal {
            id: RefusalId::new(&crate::base::id::IdSource::random(crate::base::clock::Clock::System)),
            rule: Rule::Quota,
            connector: String::new(),
            remote: String::new(),
            command: command.to_owned(),
            reply: reply.to_owned(),
            detail: String::new(),
            transcript: transcript.to_owned(),
            session_id: String::new(),
            first_at: at,
            last_at: at,
            times: 1,
            folder: String::new(),
        })
    }

    #[test]
    fn the_line_that_said_no_is_marked() {
        let transcript = "09:00:00.000 C: STOR a.zip\n09:00:00.001 S: 553 Not accepted.\n… 3 lines are left out …\n\
                    09:00:02.000 C: STOR b: c.zip\n09:00:02.001 S: 553 Not accepted.\n09:00:03.000 C: 553 Not accepted.";
        let lines = said(transcript, "STOR b: c.zip", "553 Not accepted.").lines;
        let marked: Vec<_> = lines.iter().filter(|line| line.is_no).map(|line| line.at.as_str()).collect();
        assert_eq!(marked, ["09:00:02.001"]);
        assert_eq!((lines[3].asked, lines[3].text.as_str(), lines[2].at.as_str()), (true, "STOR b: c.zip", ""));
        assert!(!said(transcript, "STOR b: c.zip", "").lines.iter().any(|line| line.is_no));
    }

    #[test]
    fn a_reply_that_was_sent_after_the_refusal_was_recorded_stands_at_the_end() {
        // The same words in reply to an earlier command are not the answer.
        let transcript = "09:00:00.000 C: STOR a\n09:00:00.001 S: 553 No.\n09:00:02.000 C: STOR b";
        let lines = said(transcript, "STOR b", "553 No.\nmore").lines;
        let marked: Vec<_> = lines.iter().map(|line| line.is_no).collect();
        assert_eq!((marked, lines[3].text.as_str()), (vec![false, false, false, true], "553 No."));
    }

    #[test]
    fn whether_the_data_connection_stood_is_seen_by_the_150_of_that_command() {
        let opened = |transcript: &str| said(transcript, "STOR b", "552 Too much.").opened;
        let first = "09:00:00.000 C: STOR a\n09:00:00.000 S: 150 Go on.\n09:00:00.001 S: 226 Done.\n";
        let begun = "09:00:02.000 C: STOR b\n";
        assert!(
            !opened(&format!("{first}{begun}")) && !opened(&format!("{first}{begun}09:00:02.001 S: 552 Too much."))
        );
        let flowed = "09:00:02.000 S: 150 Go on.\n09:00:02.001 C: NOOP\n";
        assert!(opened(&format!("{first}{begun}{flowed}")));
        assert!(opened(&format!("{first}{begun}{flowed}09:00:03.000 S: 552 Too much.")));
        assert!(!opened("") && !opened("09:00:03.000 S: 552 Too much."));
    }

    #[test]
    fn a_trend_compares_two_days() {
        let said = [(5, 0), (10, 5), (6, 5), (5, 5), (4, 5)].map(|(now, before)| trend(now, before).0);
        assert_eq!(said.join("|"), "New|2 times as often as the day before|Up from 5|As the day before|Down from 5");
    }
}
