//! Alerts: letters about events, limited per hour.

use sqlx::Row;

use super::open::{Db, StoreError};
use crate::base::clock::Timestamp;
use crate::domain::flow::Target;

const SENT: &str = "SELECT COUNT(*) FROM attempts a JOIN deliveries d ON d.id = a.delivery_id \
     WHERE d.source_key = '' AND d.target = $1 AND d.state = 'delivered' AND d.ended_at_us IS NOT NULL \
     AND d.ended_at_us >= $2 AND a.outcome = 'delivered' AND a.letter = 1 AND a.at_us >= $2 \
     AND a.at_us <= $3";

/// How many letters were sent from `since` to `now`. Later times come from a clock that was ahead.
pub async fn sent_since(db: &Db, since: Timestamp, now: Timestamp) -> Result<u64, StoreError> {
    let query = sqlx::query(SENT).bind(Target::AlertMail.text()).bind(since.us()).bind(now.us());
    Ok(query.fetch_one(db.reader()).await?.try_get::<i64, _>(0)?.unsigned_abs())
}
