//! Live updates: one stream per visible tab, each a few pieces of HTML that say by their id what they replace. At most
//! one round a second; a piece that did not change is not sent again.

use std::convert::Infallible;
use std::time::Duration;

use askama::Template;
use axum::Extension;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::context::Ctx;
use super::error::WebError;
use super::pages::receive::Asked;
use super::pages::sessions::SessionsTable;
use super::shell::Lamp;
use super::state::Closing;
use super::view::cursor;
use crate::base::human;
use crate::domain::administrator::Role;
use crate::store::listener::{self, Listener};
use crate::store::receipt::{self, Cursor, Direction};

/// Streams at a time; one more is told to come back later.
pub const STREAMS_MAX: usize = 64;
/// How often a stream looks.
pub const ROUND: Duration = Duration::from_secs(1);
/// A quiet stream says so, so that nothing between closes it.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// A stream ends after this time; the browser opens it again, and who was signed out is not let in.
pub const LIFE_MAX: Duration = Duration::from_mins(10);
/// The browser's pause before it opens a stream again.
const RETRY: Duration = Duration::from_secs(1);
/// New rows that are counted.
const NEW_ROWS_MAX: i64 = 1_000;

/// What a page wants to follow.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    /// `receive`, `sessions` or empty.
    table: String,
}

/// The state of the FTP listener.
#[derive(Debug, Template)]
#[template(path = "parts/lamp.html")]
struct LampPart {
    lamp: Lamp,
}

/// The bar that says how many newer rows there are.
#[derive(Debug, Template)]
#[template(path = "parts/newrows.html")]
struct NewRowsPart {
    words: String,
    address: String,
}

/// The stream of a page.
pub async fn stream(
    ctx: Ctx,
    closing: Option<Extension<Closing>>,
    Query(wanted): Query<Wanted>,
    Query(asked): Query<Asked>,
) -> Result<Response, WebError> {
    let Ok(permit) = std::sync::Arc::clone(&ctx.state.streams).try_acquire_owned() else {
        return Ok((StatusCode::SERVICE_UNAVAILABLE, "Too many live pages are open.\n").into_response());
    };
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let until = Instant::now() + LIFE_MAX;
    let closing = closing.map(|Extension(closing)| closing.0).unwrap_or_default();
    let (sent, queue) = (Vec::new(), Vec::new());
    let follower = Follower { ctx, closing, wanted, asked, sent, queue, rounds, until, _permit: permit };
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response())
}

struct Follower {
    ctx: Ctx,
    closing: CancellationToken,
    wanted: Wanted,
    asked: Asked,
    /// What the page shows now.
    sent: Vec<String>,
    queue: Vec<String>,
    rounds: Interval,
    until: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(html) = self.queue.pop() {
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
                Ok(pieces) => pieces,
                Err(error) => {
                    tracing::warn!(cause = error.cause, "Live updates of a page ended");
                    return None;
                }
            };
            self.queue = now.iter().filter(|piece| !self.sent.contains(piece)).cloned().collect();
            self.sent = now;
        }
    }

    async fn pieces(&self) -> Result<Vec<String>, WebError> {
        let state = listener::get(&self.ctx.state.db, Listener::Ftp).await?;
        let mut pieces = vec![LampPart { lamp: Lamp::of(&self.ctx, &state) }.render()?];
        match self.wanted.table.as_str() {
            "receive" => pieces.push(self.new_rows().await?.render()?),
            "sessions" => pieces.push(SessionsTable::of(&self.ctx, self.ctx.role() >= Role::Editor).render()?),
            _ => {}
        }
        Ok(pieces)
    }

    async fn new_rows(&self) -> Result<NewRowsPart, WebError> {
        let nothing = NewRowsPart { words: String::new(), address: String::new() };
        let Some((completed_at, id)) = cursor(&self.asked.after) else { return Ok(nothing) };
        let from = Cursor { completed_at, id };
        let search = self.asked.search(self.ctx.now());
        let newer = receipt::page(&self.ctx.state.db, &search, Some((Direction::Newer, &from)), NEW_ROWS_MAX).await?;
        if newer.is_empty() {
            return Ok(nothing);
        }
        let count = human::count(u64::try_from(newer.len()).unwrap_or(u64::MAX), "newer file", "newer files");
        let them = if newer.len() == 1 { "it" } else { "them" };
        Ok(NewRowsPart { words: format!("{count}. Show {them}"), address: self.asked.newest() })
    }
}
