//! The Logs tab of a connector: its sessions, refusals and changes in one timeline.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::audit as audit_page;
use super::connectors;
use super::head::Head;
use super::list::cut;
use super::session::Past;
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::domain::connector::ConnectorId;
use crate::store::audit::{self, Entered};
use crate::store::refusal::{self, Refusal};
use crate::store::session::{self, Session};
use crate::web::context::Context;
use crate::web::error::WebError;
use crate::web::shell::{Nav, Shell, html};
use crate::web::table::{Offer, Pager, address};
use crate::web::tone::Tone;
use crate::web::view::{PAGE_SIZE, Time, cursor_text, place, typed_moment};

const KINDS: [(&str, &str); 4] =
    [("", "Everything"), ("session", "Sessions"), ("refusal", "Refusals"), ("change", "Changes")];

/// Which entries.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// A kind of entry; empty: every kind.
    kind: String,
    /// The page begins older than this entry.
    before: String,
}

/// One entry of the time line.
struct Entry {
    at: Timestamp,
    id: String,
    kind: &'static str,
    tone: Tone,
    what: String,
    more: String,
    /// The page with the full story; empty if this is all.
    link: String,
    who: String,
    time: Time,
}

impl Entry {
    fn session(one: Session, now: Timestamp) -> Self {
        let past = Past::new(&one, now);
        Self {
            at: one.ended_at,
            kind: "Session",
            tone: past.tone,
            what: past.what,
            more: format!("{}. {}", past.did, past.by),
            link: past.link,
            id: one.id.to_string(),
            who: one.remote,
            time: past.time,
        }
    }

    fn refusal(one: Refusal, now: Timestamp) -> Self {
        let times = if one.times > 1 { format!(", {} times", human::thousands(one.times)) } else { String::new() };
        Self {
            at: one.last_at,
            kind: "Refusal",
            tone: Tone::Bad,
            what: format!("{}{times}", one.rule.label()),
            more: [one.command, one.detail]
                .into_iter()
                .filter(|words| !words.is_empty())
                .collect::<Vec<_>>()
                .join(": "),
            link: format!("/refusals/{}", one.id),
            id: one.id.to_string(),
            who: one.remote,
            time: Time::seen(one.last_at, now),
        }
    }

    fn change(one: Entered, now: Timestamp) -> Self {
        Self {
            at: one.at,
            kind: "Change",
            tone: Tone::Info,
            what: audit_page::named(&one.subject, one.key),
            more: format!("{} → {}", audit_page::shown(one.before), audit_page::shown(one.after)),
            link: String::new(),
            id: one.id,
            who: one.who,
            time: Time::seen(one.at, now),
        }
    }
}

#[derive(Template)]
#[template(path = "logs.html")]
struct LogsPage {
    shell: Shell,
    head: Head,
    kinds: Vec<(Offer, String)>,
    kind: String,
    /// The time that the page lies before, if one was requested.
    before: String,
    is_whole: bool,
    entries: Vec<Entry>,
    pager: Pager,
}

/// The tab.
pub async fn of_connector(
    context: Context,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, WebError> {
    let id = connectors::find(&context, &id).await?.id;
    let base = format!("/connectors/{id}/logs");
    let mut entries = entries(&context, &id, &asked).await?;
    let older = cut(&mut entries, PAGE_SIZE, |one| cursor_text(one.at, &one.id));
    let before = typed_moment(&asked.before);
    let at = |before: &str| address(&base, &[("kind", &asked.kind), ("before", before)]);
    let page = LogsPage {
        shell: Shell::new(&context, format!("{id} logs"), Nav::Flows).await?,
        head: Head::new(&context, &id, "logs").await?,
        kinds: Offer::all(KINDS, &asked.kind)
            .into_iter()
            .map(|offer| (offer.clone(), address(&base, &[("kind", &offer.value), ("before", &before)])))
            .collect(),
        is_whole: asked.kind.is_empty() && asked.before.is_empty(),
        entries,
        pager: Pager {
            newest: if asked.before.is_empty() { String::new() } else { at("") },
            newer: String::new(),
            older: older.map(|place| at(&place)).unwrap_or_default(),
        },
        kind: asked.kind,
        before,
    };
    Ok(html(&page)?.into_response())
}

/// The newest entries of each kind in one order, one more than fit on a page.
async fn entries(context: &Context, id: &ConnectorId, asked: &Asked) -> Result<Vec<Entry>, WebError> {
    let (db, now, before) = (&context.state.db, context.now(), place(&asked.before));
    let (before, count) = (before.as_ref(), PAGE_SIZE + 1);
    let wanted = |kind: &str| asked.kind.is_empty() || asked.kind == kind;
    let mut entries = Vec::new();
    if wanted("session") {
        let filter = session::Filter { connector: Some(id.key().to_owned()), ..session::Filter::default() };
        let found = session::page(db, &filter, before, count).await?;
        entries.extend(found.into_iter().map(|one| Entry::session(one, now)));
    }
    if wanted("refusal") {
        let filter = refusal::Filter { connector: Some(id.to_string()), ..refusal::Filter::default() };
        let found = refusal::page(db, &filter, before, count).await?;
        entries.extend(found.into_iter().map(|one| Entry::refusal(one, now)));
    }
    if wanted("change") {
        let found = audit::of_subject(db, &format!("connector {id}"), before, count).await?;
        entries.extend(found.into_iter().map(|one| Entry::change(one, now)));
    }
    entries.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
    Ok(entries)
}
