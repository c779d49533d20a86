//! The Receive table as CSV: every row of a filter, newest first.

use super::Asked;
use crate::store::receipt::{self, Cursor, Direction, Receipt, Search};
use crate::web::context::Context;
use crate::web::csv::{STEP_ROWS, Source};
use crate::web::error::WebError;

/// The rows of a filter.
pub struct Rows {
    context: Context,
    search: Search,
    before: Option<Cursor>,
}

impl Rows {
    /// From the newest on.
    pub async fn new(context: Context, asked: &Asked) -> Result<Self, WebError> {
        let search = asked.search(&context).await?;
        Ok(Self { context, search, before: None })
    }
}

impl Source for Rows {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "connector",
        "name",
        "path",
        "stored_path",
        "size_bytes",
        "sha256",
        "status",
        "ending",
        "proof",
        "begun_at",
        "completed_at",
        "remote",
        "tls",
        "session_id",
        "resumed_from",
        "ascii",
        "duplicate_of",
    ];

    async fn step(&mut self) -> Result<Vec<Vec<String>>, WebError> {
        let from = self.before.as_ref().map(|before| (Direction::Older, before));
        let found = receipt::page(&self.context.state.db, &self.search, from, STEP_ROWS).await?;
        if let Some(last) = found.last() {
            self.before = Some(Cursor { completed_at: last.completed_at, id: last.id.as_str().to_owned() });
        }
        Ok(found.into_iter().map(cells).collect())
    }
}

fn cells(one: Receipt) -> Vec<String> {
    vec![
        one.id.to_string(),
        one.connector,
        one.name,
        one.client_path,
        one.stored_path,
        one.size_bytes.to_string(),
        one.sha256,
        one.status.name().to_owned(),
        one.ending.name().to_owned(),
        one.proof.name().to_owned(),
        one.begun_at.to_string(),
        one.completed_at.to_string(),
        one.remote_address,
        one.tls,
        one.session_id.to_string(),
        one.resumed_from.to_string(),
        one.ascii.to_string(),
        one.duplicate_of.map(|id| id.to_string()).unwrap_or_default(),
    ]
}
