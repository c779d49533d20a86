//! The Receive table as CSV: every row of a filter, newest first.

use crate::base::clock::Timestamp;
use crate::store::receipt::{self, Beside, Cursor, Receipt, Search};
use crate::store::{Db, StoreError};
use crate::web::csv::Paged;

impl Paged for Search {
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
    type Row = Receipt;

    async fn page(&self, db: &Db, before: Option<&Cursor>, count: i64) -> Result<Vec<Receipt>, StoreError> {
        receipt::page(db, self, before.map(Beside::Older), count).await
    }

    fn place(row: &Receipt) -> (Timestamp, &str) {
        (row.completed_at, row.id.as_str())
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
}
