//! Refusals: every no, the rule that said it, and where it is set.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::Response;

use super::activity::{Asked, Pager, cut};
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::base::id::RefusalId;
use crate::domain::connector::{ConnectorSettings, PASSWORD};
use crate::domain::profile::Profile;
use crate::domain::refusal::Rule;
use crate::store::refusal::{self, Refusal};
use crate::web::context::{Ctx, ok};
use crate::web::error::WebError;
use crate::web::layout::CONNECTOR_ADVANCED;
use crate::web::shell::{Nav, Shell, sample_ids};
use crate::web::view::{Moment, address, rows};

/// One refusal in the list.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// The rule in a few words.
    pub rule: &'static str,
    /// The command.
    pub command: String,
    /// The connector's id, or the beginning of an unknown name.
    pub connector: String,
    /// Whether there is such a connector.
    pub known: bool,
    /// The client's address.
    pub remote: String,
    /// How often.
    pub times: String,
    /// When last.
    pub at: Moment,
}

/// The list.
#[derive(Debug, Template)]
#[template(path = "refusals.html")]
pub struct RefusalsPage {
    shell: Shell,
    rows: Vec<Row>,
    connector: String,
    pager: Pager,
}

impl RefusalsPage {
    /// A page for tests.
    pub fn sample() -> Self {
        let row = Row {
            id: "01996a4e-5d4c-7a10-9c3e-2f1b8d7c6a55".to_owned(),
            rule: Rule::NameFilter.label(),
            command: "STOR <b>.zip".to_owned(),
            connector: "acme-edi".to_owned(),
            known: true,
            remote: "198.51.100.7".to_owned(),
            times: "6 times".to_owned(),
            at: Moment::new(Timestamp::default(), Timestamp::default()),
        };
        Self {
            shell: Shell::sample(Nav::Activity),
            rows: vec![row],
            connector: "acme-edi".to_owned(),
            pager: Pager::default(),
        }
    }
}

/// Shows the list, of one connector or of all.
pub async fn list(ctx: Ctx, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let (count, start) = (rows(asked.n), asked.start());
    let before = start.as_ref().map(|(at, id)| (*at, id.as_str()));
    let connector = Some(asked.connector.as_str()).filter(|id| !id.is_empty());
    let mut found = refusal::newest_first(&ctx.state.db, connector, before, count + 1).await?;
    let more = cut(&mut found, count);
    let path = "/activity/refusals";
    let older = found.last().filter(|_| more).map(|last| asked.older(path, last.last_at, last.id.as_str()));
    let snapshot = ctx.state.live.snapshot();
    let row = |refusal: &Refusal| Row {
        id: refusal.id.to_string(),
        rule: refusal.rule.label(),
        command: refusal.command.clone(),
        connector: refusal.connector.clone(),
        known: snapshot.connector(&refusal.connector).is_some(),
        remote: refusal.remote.clone(),
        times: human::count(refusal.times, "time", "times"),
        at: Moment::new(refusal.last_at, ctx.now()),
    };
    let rows = found.iter().map(row).collect();
    let newest = if start.is_some() { address(path, &[("connector", &asked.connector)]) } else { String::new() };
    let pager = Pager { older: older.unwrap_or_default(), newest };
    ok(&RefusalsPage { shell: Shell::of(&ctx, Nav::Activity).await?, rows, connector: asked.connector, pager })
}

/// One line of a transcript.
#[derive(Clone, Debug)]
pub struct Line {
    /// `→` from the client, `←` from the server, `·` a note.
    pub arrow: &'static str,
    /// Who says it, for screen readers.
    pub who: &'static str,
    /// The line.
    pub text: String,
    /// The class of the text.
    pub class: &'static str,
    /// It is the reply that refused.
    pub hit: bool,
}

impl Line {
    fn new(line: &str, reply: &str) -> Self {
        let (arrow, who, class, text) = if let Some(text) = line.strip_prefix("C: ") {
            ("→", "Client", "c", text)
        } else if let Some(text) = line.strip_prefix("S: ") {
            ("←", "Server", "s", text)
        } else {
            ("·", "Note", "s", line)
        };
        Self { arrow, who, text: text.to_owned(), class, hit: class == "s" && text == reply }
    }
}

/// Where the rule is set.
#[derive(Clone, Debug)]
pub struct Fix {
    /// The setting's name.
    pub label: &'static str,
    /// Its control.
    pub link: String,
}

/// One refusal.
#[derive(Debug, Template)]
#[template(path = "refusal.html")]
pub struct RefusalPage {
    shell: Shell,
    title: String,
    rule: &'static str,
    explain: &'static str,
    detail: String,
    fix: Option<Fix>,
    facts: Vec<(&'static str, String)>,
    lines: Vec<Line>,
    connector: String,
    known: bool,
    others: String,
}

impl RefusalPage {
    /// A page for tests.
    pub fn sample() -> Self {
        let refusal = Refusal {
            id: RefusalId::new(&sample_ids()),
            rule: Rule::NameFilter,
            connector: "acme-edi".to_owned(),
            remote: "198.51.100.7".to_owned(),
            command: "STOR <script>.zip".to_owned(),
            reply: "553 Name not accepted.".to_owned(),
            detail: "The filter is *.x12.".to_owned(),
            transcript: "C: STOR <script>.zip\nS: 553 Name not accepted.\nTLS 1.3".to_owned(),
            session_id: "01996a4e".to_owned(),
            first_at: Timestamp::default(),
            last_at: Timestamp::default(),
            times: 6,
        };
        Self::new(Shell::sample(Nav::Activity), &refusal, true, Timestamp::default())
    }

    fn new(shell: Shell, refusal: &Refusal, known: bool, now: Timestamp) -> Self {
        let facts = vec![
            ("Answered", refusal.reply.clone()),
            ("Client", refusal.remote.clone()),
            ("Session", refusal.session_id.clone()),
            ("First", Moment::whole(refusal.first_at, now).text),
            ("Last", Moment::whole(refusal.last_at, now).text),
            ("How often", human::count(refusal.times, "time", "times")),
        ];
        let mut lines: Vec<Line> = refusal.transcript.lines().map(|line| Line::new(line, &refusal.reply)).collect();
        // The transcript was taken before the answer went out.
        if !lines.is_empty() && !lines.iter().any(|line| line.hit) {
            lines.push(Line::new(&format!("S: {}", refusal.reply), &refusal.reply));
        }
        Self {
            shell,
            title: question(refusal),
            rule: refusal.rule.label(),
            explain: refusal.rule.explain(),
            detail: refusal.detail.clone(),
            fix: fix(refusal, known),
            facts: facts.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
            lines,
            connector: refusal.connector.clone(),
            known,
            others: address("/activity/refusals", &[("connector", &refusal.connector)]),
        }
    }
}

/// The question that the page answers.
fn question(refusal: &Refusal) -> String {
    let what = match refusal.command.split_once(' ') {
        Some(("STOR" | "STOU" | "APPE" | "RETR" | "RNTO" | "RNFR" | "DELE" | "MKD" | "RMD", name)) => name.to_owned(),
        _ if refusal.command.is_empty() => "the connection".to_owned(),
        _ if refusal.command.starts_with("PASS") || refusal.command.starts_with("USER") => "the login".to_owned(),
        _ => refusal.command.clone(),
    };
    format!("Why was {what} refused?")
}

/// Where the rule is set, as a link to the control.
fn fix(refusal: &Refusal, known: bool) -> Option<Fix> {
    let (scope, key) = refusal.rule.setting_key()?;
    if scope == "profile" {
        let label = Profile::setting(key)?.label;
        return Some(Fix { label, link: format!("/profiles/ftp#{key}") });
    }
    if !known {
        return None;
    }
    let advanced = CONNECTOR_ADVANCED.iter().any(|section| section.keys.contains(&key));
    let tab = if advanced { "advanced" } else { "settings" };
    let label = if key == PASSWORD.key { PASSWORD.label } else { ConnectorSettings::setting(key)?.label };
    Some(Fix { label, link: format!("/connectors/{}/{tab}#{key}", refusal.connector) })
}

/// Shows one refusal.
pub async fn one(ctx: Ctx, Path(id): Path<String>) -> Result<Response, WebError> {
    let id = RefusalId::parse(&id).ok_or_else(WebError::not_found)?;
    let refusal = refusal::find(&ctx.state.db, &id).await?.ok_or_else(WebError::not_found)?;
    let known = ctx.state.live.snapshot().connector(&refusal.connector).is_some();
    let shell = Shell::of(&ctx, Nav::Activity).await?;
    ok(&RefusalPage::new(shell, &refusal, known, ctx.now()))
}
