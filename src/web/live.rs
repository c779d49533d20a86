//! Live updates: one stream per visible tab, each a few pieces of HTML whose ids say what they replace.
//!
//! It never changes anything and never counts as activity: a page left open does not keep its session from ending.
//! Always: at most one round a second, an unchanged piece is not sent again, a new stream gets every piece, and a
//! stream ends with the sign-in that opened it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query};
use axum::http::{StatusCode, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::error::WebError;
use super::pages::app_log::{self, AppLogPart};
use super::pages::receive::{Asked, new_rows};
use super::pages::session::SessionPart;
use super::pages::sessions::SessionsTable;
use super::pages::{dashboard, session};
use super::shell::Lamp;
use super::state::Closing;
use super::unseen;
use crate::base::words::words;
use crate::store::administrator;

/// Streams at a time; further ones are told to come back later.
pub const STREAMS_MAX: usize = 64;
/// How often a stream checks.
pub const ROUND: Duration = Duration::from_secs(1);
/// How often a quiet stream sends a sign of life, so that nothing in between closes it.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// A stream ends after this time; the browser reopens it.
pub const LIFE_MAX: Duration = Duration::from_mins(10);
/// The browser's pause before it reopens a stream.
const RETRY: Duration = Duration::from_secs(1);

words! {
    /// What a page follows besides the lamp, which every page follows.
    pub enum Followed {
        /// The whole dashboard.
        Dashboard = "dashboard";
        /// The Receive table: how many newer files there are.
        Receive = "receive";
        /// Who is connected.
        Sessions = "sessions";
        /// One session.
        Session = "session";
        /// The application log.
        AppLog = "log";
        /// Nothing.
        Shell = "shell";
    }
}

impl Followed {
    /// The address of its stream; `query` is the page's own.
    pub fn address(self, query: &str) -> String {
        let and = if query.is_empty() { "" } else { "?" };
        format!("/live/{}{and}{query}", self.name())
    }
}

#[derive(Debug, Template)]
#[template(path = "parts/lamp.html")]
struct LampPart {
    lamp: Lamp,
}

#[derive(Debug, Template)]
#[template(path = "parts/lamp_small.html")]
struct SmallLampPart {
    lamp: Lamp,
}

/// The stream for a page.
pub async fn stream(
    context: Context,
    closing: Option<Extension<Closing>>,
    Path(page): Path<String>,
    uri: Uri,
) -> Result<Response, WebError> {
    let followed = Followed::parse(&page).ok_or_else(WebError::not_found)?;
    let place = Place::new(followed, &uri);
    let Ok(permit) = Arc::clone(&context.state.streams).try_acquire_owned() else {
        return Ok((StatusCode::SERVICE_UNAVAILABLE, "Too many live pages are open.\n").into_response());
    };
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let until = Instant::now() + LIFE_MAX;
    let closing = closing.map(|Extension(closing)| closing.0).unwrap_or_default();
    let (sent, queue) = (Vec::new(), VecDeque::new());
    let state = Follower { context, closing, place, sent, queue, rounds, round: 0, until, _permit: permit };
    let events = stream::unfold(state, |mut state| async move {
        let event = state.next().await?;
        Some((Ok::<_, Infallible>(event), state))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response())
}

/// What is followed, with the query of its page.
struct Place {
    followed: Followed,
    receive: Asked,
    dashboard: dashboard::Asked,
    session: session::Asked,
    app_log: app_log::Asked,
}

impl Place {
    /// An unreadable query counts as none.
    fn new(followed: Followed, uri: &Uri) -> Self {
        Self { followed, receive: asked(uri), dashboard: asked(uri), session: asked(uri), app_log: asked(uri) }
    }
}

fn asked<T: DeserializeOwned + Default>(uri: &Uri) -> T {
    Query::try_from_uri(uri).map(|Query(asked)| asked).unwrap_or_default()
}

struct Follower {
    context: Context,
    closing: CancellationToken,
    place: Place,
    /// What the page shows now.
    sent: Vec<String>,
    queue: VecDeque<String>,
    rounds: Interval,
    round: u64,
    until: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(html) = self.queue.pop_front() {
                return Some(Event::default().event("fragment").retry(RETRY).data(html));
            }
            tokio::select! {
                () = self.closing.cancelled() => return None,
                _ = self.rounds.tick() => {}
            }
            if Instant::now() >= self.until {
                return None;
            }
            let now = match self.pieces().await {
                Ok(Some(pieces)) => pieces,
                Ok(None) => return None,
                Err(error) => {
                    tracing::warn!(cause = error.cause, "Live updates of a page ended");
                    return None;
                }
            };
            self.round += 1;
            self.queue = now.iter().filter(|piece| !self.sent.contains(piece)).cloned().collect();
            self.sent = now;
        }
    }

    /// What the page should show now; nothing once whoever opened it is signed out.
    async fn pieces(&mut self) -> Result<Option<Vec<String>>, WebError> {
        let state = &self.context.state;
        let session = administrator::peek_session(&state.db, &self.context.visitor.token, state.clock.now()).await?;
        if session.is_none() {
            return Ok(None);
        }
        // The role may have changed meanwhile.
        self.context.visitor.session = session;
        let lamp = Lamp::now(&self.context).await?;
        let mut pieces = vec![SmallLampPart { lamp: lamp.clone() }.render()?, LampPart { lamp }.render()?];
        let place = &self.place;
        match place.followed {
            Followed::Dashboard => {
                let with_chart = self.round.is_multiple_of(dashboard::CHART_EVERY);
                pieces.extend(dashboard::pieces(&self.context, &place.dashboard, with_chart).await?);
            }
            Followed::Receive => pieces.push(new_rows(&self.context, &place.receive).await?.render()?),
            Followed::Sessions => pieces.push(SessionsTable::now(&self.context).render()?),
            Followed::Session => {
                let part = SessionPart::now(&self.context, &place.session).await?;
                pieces.extend(part.map(|part| part.render()).transpose()?);
            }
            Followed::AppLog => pieces.push(AppLogPart::now(&self.context, &place.app_log).render()?),
            Followed::Shell => {}
        }
        Ok(Some(pieces.into_iter().map(unseen::mark).collect()))
    }
}
