//! Renames in Receive: written down before the disk knows of them, carried over into the receipts afterwards.

use sqlx::{Row, Sqlite, Transaction};

use super::StoreError;
use super::open::Db;
use crate::base::clock::Timestamp;
use crate::base::id::ReceiptId;

const ADD: &str =
    "INSERT INTO renamings (connector_key, receipt_id, from_path, to_path, at_us) VALUES ($1, $2, $3, $4, $5)";
const ALL: &str = "SELECT id, connector_key, receipt_id, from_path, to_path, at_us FROM renamings ORDER BY id";
const FORGET: &str = "DELETE FROM renamings WHERE id = $1";
const ADD_NAME: &str = "INSERT INTO receipt_names (receipt_id, at_us, from_path, to_path) \
     SELECT id, $2, client_path, $3 FROM receipts WHERE id = $1";
const REPLACE: &str = "UPDATE receipts SET status = 'replaced' WHERE connector_key = $1 AND stored_path = $2 \
     AND status IN ('in_receive', 'waiting') AND publishing = 0 AND id <> $3";
const FOLLOW: &str = "UPDATE receipts SET name = $2, client_path = $3, stored_path = $3 WHERE id = $1";
// Where a receipt has a SubFolder header, which is its only one, that follows too.
const FOLLOW_HEADER: &str = "UPDATE receipts SET headers = json_array(json_array('SubFolder', $2)) \
     WHERE id = $1 AND json_extract(headers, '$[0][0]') = 'SubFolder'";
const FOLLOW_BELOW: &str = "UPDATE receipts SET stored_path = $3 || substr(stored_path, $4), \
     client_path = $3 || substr(client_path, $4), \
     headers = CASE WHEN json_extract(headers, '$[0][0]') = 'SubFolder' \
     THEN json_array(json_array('SubFolder', $5 || substr(json_extract(headers, '$[0][1]'), $6))) ELSE headers END \
     WHERE connector_key = $1 AND status IN ('in_receive', 'waiting') AND substr(stored_path, 1, $4) = $2 || '/'";

/// One rename: of a received file, or of a folder with all below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// The number it is written down under.
    id: i64,
    /// The connector's id in lower case.
    pub connector_key: String,
    /// The file's receipt; `None`: a folder.
    pub receipt_id: Option<ReceiptId>,
    /// What it was called, as the partner sees it: `/Receive/a`.
    pub from: String,
    /// What it is called then.
    pub to: String,
    /// When.
    pub at: Timestamp,
}

impl Rename {
    /// Writes down that this is about to be done. From here on it must be [`Self::give_up`] or handed to
    /// [`super::commit::Recorder::renamed`]; what ends in between is settled at the next start.
    pub async fn begin(
        db: &Db,
        (connector_key, receipt_id): (&str, Option<ReceiptId>),
        (from, to): (String, String),
        at: Timestamp,
    ) -> Result<Self, StoreError> {
        let added = sqlx::query(ADD)
            .bind(connector_key)
            .bind(receipt_id.as_ref().map(ReceiptId::as_str))
            .bind(&from)
            .bind(&to)
            .bind(at.us())
            .execute(db.writer())
            .await?;
        let (id, connector_key) = (added.last_insert_rowid(), connector_key.to_owned());
        Ok(Self { id, connector_key, receipt_id, from, to, at })
    }

    /// It was not done.
    pub async fn give_up(self, db: &Db) -> Result<(), StoreError> {
        sqlx::query(FORGET).bind(self.id).execute(db.writer()).await?;
        Ok(())
    }

    /// It was done: receipts follow. What a file was called before is kept, and older receipts of its new place are replaced.
    pub(super) async fn carry_over(&self, tx: &mut Transaction<'_, Sqlite>) -> sqlx::Result<()> {
        if let Some(id) = &self.receipt_id {
            let name = self.to.rsplit('/').next().unwrap_or_default();
            sqlx::query(ADD_NAME).bind(id.as_str()).bind(self.at.us()).bind(&self.to).execute(&mut **tx).await?;
            sqlx::query(FOLLOW).bind(id.as_str()).bind(name).bind(&self.to).execute(&mut **tx).await?;
            let above = below_receive(&self.to).rsplit_once('/').map_or("", |(above, _)| above);
            sqlx::query(FOLLOW_HEADER).bind(id.as_str()).bind(above).execute(&mut **tx).await?;
            let replaced = sqlx::query(REPLACE).bind(&self.connector_key).bind(&self.to).bind(id.as_str());
            replaced.execute(&mut **tx).await?;
        } else {
            let beyond = |path: &str| i64::try_from(path.chars().count()).unwrap_or(i64::MAX).saturating_add(1);
            let below = sqlx::query(FOLLOW_BELOW).bind(&self.connector_key).bind(&self.from).bind(&self.to);
            let below = below.bind(beyond(&self.from)).bind(below_receive(&self.to));
            below.bind(beyond(below_receive(&self.from))).execute(&mut **tx).await?;
        }
        sqlx::query(FORGET).bind(self.id).execute(&mut **tx).await?;
        Ok(())
    }

    /// The same at start, before there is a writer.
    pub async fn settle(self, db: &Db) -> Result<(), StoreError> {
        let mut tx = db.begin().await?;
        self.carry_over(&mut tx).await?;
        Ok(tx.commit().await?)
    }
}

/// `orders/2026` of `/Receive/orders/2026`.
fn below_receive(path: &str) -> &str {
    path.trim_start_matches('/').split_once('/').map_or("", |(_, below)| below)
}

/// Those that were begun and of which nobody knows what came, the oldest first.
pub async fn begun(db: &Db) -> Result<Vec<Rename>, StoreError> {
    let rows = sqlx::query(ALL).fetch_all(db.reader()).await?;
    rows.iter()
        .map(|row| {
            let receipt_id = row.try_get::<Option<String>, _>(2)?.as_deref().and_then(ReceiptId::parse);
            Ok(Rename {
                id: row.try_get(0)?,
                connector_key: row.try_get(1)?,
                receipt_id,
                from: row.try_get(3)?,
                to: row.try_get(4)?,
                at: Timestamp::from_us(row.try_get(5)?),
            })
        })
        .collect()
}
