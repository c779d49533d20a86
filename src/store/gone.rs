//! Received files that another program has taken out of Receive: what is looked for, and what is said of their receipts.

use sqlx::Row;

use super::StoreError;
use super::open::Db;
use crate::base::id::ReceiptId;

const IN_RECEIVE: &str = "SELECT id, stored_path FROM receipts WHERE connector_key = $1 AND stored_path > $2 \
     AND status = 'in_receive' AND publishing = 0 AND staging_inode = $3 ORDER BY stored_path LIMIT $4";
const MARK: &str = "UPDATE receipts SET status = 'gone' WHERE id = $1 AND stored_path = $2 \
     AND status = 'in_receive' AND publishing = 0";

/// Receipts whose files should lie in a connector's Receive folder, with their stored paths, in the order of these and behind
/// `after`. Only those committed in the folder of that staging inode.
pub async fn in_receive(
    db: &Db,
    connector_key: &str,
    after: &str,
    (staging_inode, most): (u64, i64),
) -> Result<Vec<(ReceiptId, String)>, StoreError> {
    let query = sqlx::query(IN_RECEIVE).bind(connector_key).bind(after).bind(staging_inode.cast_signed()).bind(most);
    let rows = query.fetch_all(db.reader()).await?;
    rows.iter()
        .map(|row| {
            let id: String = row.try_get(0)?;
            let unreadable = || StoreError::Unreadable(format!("receipt {id}"));
            Ok((ReceiptId::parse(&id).ok_or_else(unreadable)?, row.try_get(1)?))
        })
        .collect()
}

/// Those of them that are where they were have nothing there any more. Gives how many these are.
pub async fn mark(db: &Db, receipts: &[(ReceiptId, String)]) -> Result<u64, StoreError> {
    let mut tx = db.begin().await?;
    let mut marked = 0;
    for (id, stored_path) in receipts {
        let done = sqlx::query(MARK).bind(id.as_str()).bind(stored_path).execute(&mut *tx).await?;
        marked += done.rows_affected();
    }
    tx.commit().await?;
    Ok(marked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::AssertSqlSafe;

    #[tokio::test]
    async fn where_a_look_goes_on_is_found_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let sql = format!("EXPLAIN QUERY PLAN {IN_RECEIVE}");
        let plan = sqlx::query(AssertSqlSafe(sql)).fetch_all(db.reader()).await.unwrap();
        let steps: Vec<String> = plan.iter().map(|row| row.get(3)).collect();
        assert!(steps.len() == 1 && steps[0].contains("stored_path>?"), "{steps:?}");
    }
}
