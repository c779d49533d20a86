//! What the engine made of the wish to listen. Pages and the command line, which may be another process, read it here.

use sqlx::Row;

use super::open::{Db, StoreError};
use crate::base::clock::Timestamp;
use crate::base::words::words;

const PUT: &str = "INSERT INTO listener_states (listener, state, address, message, since_us, followed_version) \
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (listener) DO UPDATE SET state = excluded.state, \
     address = excluded.address, message = excluded.message, since_us = excluded.since_us, \
     followed_version = excluded.followed_version";
const GET: &str = "SELECT state, address, message, since_us, followed_version FROM listener_states WHERE listener = $1";

words! {
    /// Which listener.
    pub enum Listener {
        /// The FTP server.
        Ftp = "ftp";
        /// The web interface.
        Web = "web";
    }
}

words! {
    /// The outcome.
    pub enum State {
        /// Clients can connect.
        Listening = "listening";
        /// Not running.
        Stopped = "stopped";
        /// The wish could not be met; an older listener may still run.
        CouldNotBind = "could_not_bind";
    }
}

/// A listener's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerState {
    /// The outcome.
    pub state: State,
    /// Where clients can connect: `[::]:8021`; empty if nowhere. After a failed change, the old address.
    pub address: String,
    /// An explanation with remedies; empty if all is well.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
    /// The version of the configuration this answers.
    pub followed_version: i64,
}

/// Writes the outcome.
pub async fn put(db: &Db, listener: Listener, state: &ListenerState) -> Result<(), StoreError> {
    sqlx::query(PUT)
        .bind(listener.name())
        .bind(state.state.name())
        .bind(&state.address)
        .bind(&state.message)
        .bind(state.since.us())
        .bind(state.followed_version)
        .execute(db.writer())
        .await?;
    Ok(())
}

/// Reads it; stopped if it never ran.
pub async fn get(db: &Db, listener: Listener) -> Result<ListenerState, StoreError> {
    let Some(row) = sqlx::query(GET).bind(listener.name()).fetch_optional(db.reader()).await? else {
        return Ok(ListenerState {
            state: State::Stopped,
            address: String::new(),
            message: String::new(),
            since: Timestamp::default(),
            followed_version: 0,
        });
    };
    let state: String = row.try_get(0)?;
    Ok(ListenerState {
        state: State::parse(&state).unwrap_or(State::Stopped),
        address: row.try_get(1)?,
        message: row.try_get(2)?,
        since: Timestamp::from_us(row.try_get(3)?),
        followed_version: row.try_get(4)?,
    })
}
