//! What if: would the FTP server let this client do that, and if not, by which rule.

mod action;
mod checks;
mod steps;
mod told;

use std::net::IpAddr;

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use self::action::Action;
use self::checks::{Case, Check, Stand, checks};
pub use self::told::{Told, told};
use super::refusals;
use crate::base::path::VirtualPath;
use crate::domain::connector::ConnectorId;
use crate::store::refusal::Refusal;
use crate::web::context::Context;
use crate::web::error::WebError;
use crate::web::form::Problem;
use crate::web::shell::{Nav, Shell, html};
use crate::web::tone::Tone;

/// Characters of a name or path in a question.
const ASKED_CHARS_MAX: usize = 4_096;

/// The address of the page.
const PATH: &str = "/what-if";

/// The question, from the address.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Asked {
    /// The name given as user.
    #[serde(default)]
    pub name: String,
    /// The client's address.
    #[serde(default)]
    pub address: String,
    /// `clear`, or TLS.
    #[serde(default)]
    pub by: String,
    /// The FTP command; empty: only sign in.
    #[serde(default)]
    pub command: String,
    /// The path.
    #[serde(default)]
    pub path: String,
}

/// A command to choose.
pub struct Choice {
    /// The FTP command.
    pub value: &'static str,
    /// In words.
    pub label: &'static str,
    /// Whether it is chosen.
    pub chosen: bool,
}

/// The form, on this page and others.
pub struct Form {
    /// Its values.
    pub asked: Asked,
    /// Whether the form's page determines the connector.
    pub at_one: bool,
    /// What is wrong with the address; empty if nothing is.
    pub address_error: String,
    /// What is wrong with the name; empty if nothing is.
    pub name_error: String,
}

impl Form {
    /// An empty form, for a page without a connector.
    pub fn empty() -> Self {
        let asked = Asked { command: "STOR".to_owned(), path: "/Receive/".to_owned(), ..Asked::default() };
        Self::of(asked)
    }

    /// A form about one connector.
    pub fn about(id: &ConnectorId) -> Self {
        let mut form = Self::empty();
        form.at_one = true;
        id.as_str().clone_into(&mut form.asked.name);
        form
    }

    fn of(asked: Asked) -> Self {
        Self { asked, at_one: false, address_error: String::new(), name_error: String::new() }
    }

    /// The commands to choose from.
    pub fn commands(&self) -> impl Iterator<Item = Choice> {
        let chosen = Action::of(&self.asked.command).unwrap_or(Action::SignIn);
        let choice = move |(value, label, action)| Choice { value, label, chosen: action == chosen };
        Action::ALL.into_iter().map(choice)
    }

    /// Whether the client would come in clear.
    pub fn is_clear(&self) -> bool {
        self.asked.by == "clear"
    }

    fn problems(&self) -> Vec<Problem> {
        let problem = |(key, text): (&'static str, &String)| {
            (!text.is_empty()).then(|| Problem { key: key.to_owned(), text: text.clone() })
        };
        [("wi-name", &self.name_error), ("wi-address", &self.address_error)].into_iter().filter_map(problem).collect()
    }

    /// The case it asks about; mistakes in it are recorded.
    fn case(&mut self) -> Option<Case> {
        let (name, address) = (self.asked.name.trim(), self.asked.address.trim());
        if name.is_empty() {
            "Give the user name that the client signs in with".clone_into(&mut self.name_error);
        } else if name.chars().count() > ASKED_CHARS_MAX || self.asked.path.chars().count() > ASKED_CHARS_MAX {
            self.name_error = format!("Name and path are {ASKED_CHARS_MAX} characters at most");
        }
        let remote = address.parse::<IpAddr>().map(|address| address.to_canonical());
        if remote.is_err() {
            let typed = if address.is_empty() { "An empty value" } else { address };
            self.address_error = format!("{typed} isn’t an IP address, such as 203.0.113.9 or 2001:db8::9");
        }
        let action = Action::of(&self.asked.command)?;
        let secure = !self.is_clear();
        let case = Case { name: name.to_owned(), remote: remote.ok()?, secure, action, path: self.asked.path.clone() };
        self.name_error.is_empty().then_some(case)
    }
}

/// Where to ask whether a refusal would happen now.
pub fn address_of(refusal: &Refusal) -> String {
    let (verb, rest) = refusal.command.split_once(' ').unwrap_or((&refusal.command, ""));
    let (command, path) = if Action::of(verb).is_some() { (verb, rest) } else { ("", "") };
    // The intended path, independent of the current folder.
    let stood = VirtualPath::root().resolve(&refusal.folder).and_then(|folder| folder.resolve(path));
    let path = stood.map_or_else(|_| path.to_owned(), |path| path.to_string());
    let path = if command.is_empty() || rest.is_empty() { "" } else { path.as_str() };
    let by = if refusal.rule.name().starts_with("tls_required") { "clear" } else { "tls" };
    let asked = [
        ("name", refusal.connector.as_str()),
        ("address", &refusal.remote),
        ("by", by),
        ("command", command),
        ("path", path),
    ];
    format!("{PATH}?{}", serde_urlencoded::to_string(asked).unwrap_or_default())
}

/// A step, as pages show it: the steps of *Test connection* look the same.
pub struct Row {
    /// `ok`, `bad`, `off` for one not reached; otherwise empty.
    pub tone: Tone,
    /// `Passed`.
    pub outcome: &'static str,
    /// The question.
    pub words: &'static str,
    /// What was found.
    pub detail: String,
    /// Where the refusing rule is set; empty if nowhere.
    pub fix: String,
    /// Empty: nothing is timed here.
    pub took: &'static str,
}

impl Row {
    /// A step in a case with `name`.
    fn of(context: &Context, name: &str, check: Check) -> Self {
        let (tone, outcome) = match &check.stand {
            Stand::Passed => (Tone::Good, "Passed"),
            Stand::Unknown => (Tone::Plain, "Not known here"),
            Stand::Refused(_) => (Tone::Bad, "Refused"),
            Stand::NotReached => (Tone::Off, "Not reached"),
        };
        let fix = match check.stand {
            Stand::Refused(Some(rule)) => refusals::fix(context, rule, name).0,
            _ => String::new(),
        };
        Self { tone, outcome, words: check.step.words(), detail: check.detail, fix, took: "" }
    }
}

/// The outcome.
struct Report {
    tone: Tone,
    /// In one sentence.
    verdict: String,
    /// The rule's meaning and remedy.
    explain: &'static str,
    fix: String,
    fix_words: &'static str,
    rows: Vec<Row>,
}

impl Report {
    async fn of(context: &Context, case: &Case) -> Self {
        let checks = checks(context, case).await;
        let no = checks.iter().find(|check| check.is_no()).map(|check| (check.stand.clone(), check.detail.clone()));
        let mut report = match no {
            Some((Stand::Refused(Some(rule)), _)) => {
                let (fix, fix_words) = refusals::fix(context, rule, &case.name);
                let verdict = format!("Refused: {}", rule.label());
                Self { tone: Tone::Bad, verdict, explain: rule.explain(), fix, fix_words, rows: Vec::new() }
            }
            Some((Stand::Refused(None), why)) => {
                let explain = "No setting says no: it is what lies there, or does not.";
                let (fix, fix_words) = (String::new(), "");
                Self { tone: Tone::Bad, verdict: format!("Refused: {why}"), explain, fix, fix_words, rows: Vec::new() }
            }
            _ => Self::allowed(),
        };
        report.rows = checks.into_iter().map(|check| Row::of(context, &case.name, check)).collect();
        report
    }

    fn allowed() -> Self {
        Self {
            tone: Tone::Good,
            verdict: "Allowed".to_owned(),
            explain: "Every step that can be tried from here says yes, with the settings in force and the sessions live now.",
            fix: String::new(),
            fix_words: "",
            rows: Vec::new(),
        }
    }
}

#[derive(Template)]
#[template(path = "what_if.html")]
struct WhatIfPage {
    shell: Shell,
    what_if: Form,
    problems: Vec<Problem>,
    report: Option<Report>,
}

/// The page: the form, and the answer once something was asked.
pub async fn show(context: Context, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let is_asked = !(asked.name.is_empty() && asked.address.is_empty() && asked.path.is_empty());
    let mut what_if = if is_asked { Form::of(asked) } else { Form::empty() };
    let report = match what_if.case().filter(|_| is_asked) {
        Some(case) => Some(Report::of(&context, &case).await),
        None => None,
    };
    let problems = if is_asked { what_if.problems() } else { Vec::new() };
    if !is_asked {
        what_if = Form::empty();
    }
    let (title, status) = if problems.is_empty() {
        ("What if", StatusCode::OK)
    } else {
        ("Error: What if", StatusCode::UNPROCESSABLE_ENTITY)
    };
    let page = WhatIfPage { shell: Shell::new(&context, title, Nav::Activity).await?, what_if, problems, report };
    Ok((status, html(&page)?).into_response())
}
