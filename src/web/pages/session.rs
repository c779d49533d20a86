//! One session, live or past: whose it is, what it did, its transcript.

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::base::clock::Timestamp;
use crate::base::human;
use crate::base::id::SessionId;
use crate::domain::administrator::Role;
use crate::store::session::{self, Session, SessionEnd, Tally};
use crate::transfer::presence::LiveSession;
use crate::web::context::Context;
use crate::web::error::WebError;
use crate::web::live::Followed;
use crate::web::shell::{Nav, Shell, html};
use crate::web::table::address;
use crate::web::tone::Tone;
use crate::web::view::Time;

/// Which session a stream of live updates follows.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// Its id.
    session: String,
}

/// Only the session: it is replaced while somebody looks.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/session.html")]
pub struct SessionPart {
    id: String,
    connector: String,
    known: bool,
    remote: String,
    client: String,
    tls: String,
    begun: Time,
    /// When it ended and how; not for a live one.
    ended: Option<(Time, &'static str)>,
    lasted: String,
    did: String,
    transcript: String,
    may_edit: bool,
    csrf: String,
}

impl SessionPart {
    /// The present session; none if it is neither live nor kept.
    pub async fn now(context: &Context, asked: &Asked) -> Result<Option<Self>, WebError> {
        let Some(id) = SessionId::parse(&asked.session) else { return Ok(None) };
        if let Some((live, transcript)) = context.state.presence.find(&id) {
            return Ok(Some(Self::live(context, live, transcript)));
        }
        Ok(session::find(&context.state.db, &id).await?.map(|session| Self::ended(context, session)))
    }

    fn live(context: &Context, session: LiveSession, transcript: String) -> Self {
        let doing = session.doing;
        let connector = doing.connector.unwrap_or_default();
        Self {
            id: session.id.to_string(),
            known: !connector.is_empty(),
            connector,
            remote: session.remote.to_string(),
            client: doing.client.unwrap_or_default(),
            tls: doing.tls,
            begun: session.since.into(),
            ended: None,
            lasted: human::duration(context.now().since(session.since)),
            did: doing.file.unwrap_or_default(),
            transcript,
            may_edit: context.may(Role::Editor),
            csrf: context.visitor.csrf.clone(),
        }
    }

    fn ended(context: &Context, session: Session) -> Self {
        Self {
            id: session.id.to_string(),
            known: context.state.live.written_id(&session.connector).is_some(),
            connector: session.connector,
            remote: session.remote,
            client: session.client,
            tls: session.tls,
            begun: session.begun_at.into(),
            ended: Some((session.ended_at.into(), session.ending.label())),
            lasted: human::duration(session.ended_at.since(session.begun_at)),
            did: did(session.tally),
            transcript: session.transcript,
            may_edit: false,
            csrf: String::new(),
        }
    }
}

/// The id of a session if it has a page; otherwise empty.
pub async fn known(context: &Context, id: &str) -> Result<String, WebError> {
    let Some(id) = SessionId::parse(id) else { return Ok(String::new()) };
    let is_there = context.state.presence.find(&id).is_some() || session::find(&context.state.db, &id).await?.is_some();
    Ok(if is_there { id.to_string() } else { String::new() })
}

/// An ended session, as shown in lists.
pub struct Past {
    /// Its page.
    pub link: String,
    /// Empty, or trouble.
    pub tone: Tone,
    /// How it ended, and after how long.
    pub what: String,
    /// What it did.
    pub did: String,
    /// Its encryption, and the client's name for itself.
    pub by: String,
    /// When it ended.
    pub time: Time,
}

impl Past {
    /// Its words at `now`.
    pub fn new(one: &Session, now: Timestamp) -> Self {
        let lasted = human::duration(one.ended_at.since(one.begun_at));
        let client = if one.client.is_empty() { String::new() } else { format!(", {}", one.client) };
        let tls = if one.tls.is_empty() { "In clear text" } else { &one.tls };
        Self {
            link: format!("/activity/sessions/{}", one.id),
            tone: if one.ending == SessionEnd::Quit && one.tally.failures == 0 { Tone::Good } else { Tone::Warning },
            what: format!("{} after {lasted}", one.ending.label()),
            did: did(one.tally),
            by: format!("{tls}{client}"),
            time: Time::seen(one.ended_at, now),
        }
    }
}

/// What a session did, in words.
fn did(tally: Tally) -> String {
    let moved = |files: u64, bytes: u64, word: &str| {
        let files = human::count(files, "file", "files");
        (bytes > 0 || files != "0 files").then(|| format!("{files} {word}, {}", human::size(bytes)))
    };
    let parts = [
        moved(tally.received_files, tally.received_bytes, "received"),
        moved(tally.sent_files, tally.sent_bytes, "sent"),
        (tally.failures > 0).then(|| human::count(tally.failures, "refusal or error", "refusals or errors")),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "Nothing was moved".to_owned() } else { parts.join("; ") }
}

#[derive(Template)]
#[template(path = "session.html")]
struct SessionPage {
    shell: Shell,
    part: SessionPart,
}

/// The page.
pub async fn show(context: Context, Path(id): Path<String>) -> Result<Response, WebError> {
    let asked = Asked { session: id };
    let part = SessionPart::now(&context, &asked).await?.ok_or_else(WebError::not_found)?;
    let whose = if part.connector.is_empty() { &part.remote } else { &part.connector };
    let mut shell = Shell::new(&context, format!("Session of {whose}"), Nav::Activity).await?;
    if part.ended.is_none() {
        shell.live = address(&Followed::Session.address(""), &[("session", &asked.session)]);
    }
    Ok(html(&SessionPage { shell, part })?.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_session_did_is_told_in_words() {
        assert_eq!(did(Tally::default()), "Nothing was moved");
        let tally = Tally { received_files: 1, received_bytes: 2_048, failures: 2, ..Tally::default() };
        assert_eq!(did(tally), "1 file received, 2.0 KB; 2 refusals or errors");
        assert_eq!(did(Tally { sent_bytes: 10, ..Tally::default() }), "0 files sent, 10 bytes");
    }
}
