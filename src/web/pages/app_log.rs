//! The application log: its last lines by severity and words, followed live unless paused.

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::base::app_log::{Gravity, LINES_MAX};
use crate::base::human;
use crate::web::context::Context;
use crate::web::error::WebError;
use crate::web::live::Followed;
use crate::web::shell::{Nav, Shell, html};
use crate::web::table::{Offer, address};
use crate::web::tone::Tone;
use crate::web::view::Time;

const PATH: &str = "/activity/logs";
/// Lines on the page.
const SHOWN_MAX: usize = 300;
/// Characters of the search words.
const WORDS_CHARS_MAX: usize = 200;
const LEVELS: [(&str, &str); 4] = [
    ("error", "Errors"),
    ("warning", "Warnings and errors"),
    ("info", "Info and graver"),
    ("debug", "Debug and graver"),
];

/// Which lines.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// The least severe lines wanted; empty: every line.
    level: String,
    /// Words within the line.
    words: String,
    /// Whether the page is paused.
    paused: String,
}

impl Asked {
    fn query<'a>(&'a self, paused: &'a str) -> [(&'static str, &'a str); 3] {
        [("level", &self.level), ("words", &self.words), ("paused", paused)]
    }
}

struct Row {
    at: Time,
    level: &'static str,
    tone: Tone,
    text: String,
}

/// Only the lines: they are replaced while somebody looks.
#[derive(Template)]
#[template(path = "parts/app_log.html")]
pub struct AppLogPart {
    rows: Vec<Row>,
    filtered: bool,
    kept: String,
}

impl AppLogPart {
    /// The present lines.
    pub fn now(context: &Context, asked: &Asked) -> Self {
        let words: String = asked.words.trim().chars().take(WORDS_CHARS_MAX).collect();
        let gravity = Gravity::parse(&asked.level).unwrap_or(Gravity::Trace);
        let lines = context.state.app_log.newest(gravity, &words, SHOWN_MAX);
        let now = context.now();
        let row = |line: crate::base::app_log::Line| Row {
            at: Time::seen(line.at, now),
            level: line.gravity.name(),
            tone: match line.gravity {
                Gravity::Error => Tone::Bad,
                Gravity::Warning => Tone::Warning,
                Gravity::Info => Tone::Info,
                Gravity::Debug | Gravity::Trace => Tone::Plain,
            },
            text: line.text,
        };
        Self {
            rows: lines.into_iter().map(row).collect(),
            filtered: !asked.level.is_empty() || !words.is_empty(),
            kept: human::thousands(LINES_MAX as u64),
        }
    }
}

#[derive(Template)]
#[template(path = "app_log.html")]
struct AppLogPage {
    shell: Shell,
    levels: Vec<Offer>,
    words: String,
    paused: bool,
    /// The same lines, paused or followed.
    other: String,
    part: AppLogPart,
}

/// The page.
pub async fn show(context: Context, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let paused = asked.paused == "yes";
    let mut shell = Shell::new(&context, "Logs", Nav::Activity).await?;
    if !paused {
        shell.live = address(&Followed::AppLog.address(""), &asked.query(""));
    }
    let page = AppLogPage {
        shell,
        levels: Offer::all(LEVELS, &asked.level),
        words: asked.words.trim().to_owned(),
        paused,
        other: address(PATH, &asked.query(if paused { "" } else { "yes" })),
        part: AppLogPart::now(&context, &asked),
    };
    Ok(html(&page)?.into_response())
}
