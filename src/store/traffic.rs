//! Bytes moved by minute and direction, for charts. A transfer's bytes are spread over the minutes it took.

use std::collections::BTreeMap;

use sqlx::Row;

use super::cell::{Cell, cells};
use super::commit::signed;
use super::open::{Db, StoreError};
use super::transfer::{Direction, Transfer};
use crate::base::clock::Timestamp;

/// The most rows that one transfer adds to: those of a longer transfer are spaced further apart.
const ROWS_MAX: i64 = 60;
/// Minutes are kept this long; then each hour becomes one row.
const MINUTES_KEPT: i64 = 48 * 60;
/// Hours are kept this long.
const HOURS_KEPT: i64 = 366 * 24 * 60;
const MINUTE_US: i64 = 60_000_000;

const SUMS: &str = "SELECT (minute - $1) / $2, direction, SUM(bytes), SUM(files) FROM traffic WHERE minute >= $1 \
     GROUP BY (minute - $1) / $2, direction ORDER BY 1, 2";
const FOLD: &str = "INSERT INTO traffic (minute, direction, bytes, files) SELECT minute - minute % 60, direction, \
     SUM(bytes), SUM(files) FROM traffic WHERE minute < $1 AND minute % 60 <> 0 GROUP BY minute - minute % 60, direction \
     ON CONFLICT (minute, direction) DO UPDATE SET bytes = traffic.bytes + excluded.bytes, \
     files = traffic.files + excluded.files";
const DROP_FOLDED: &str = "DELETE FROM traffic WHERE minute < $1 AND (minute % 60 <> 0 OR minute < $2)";

/// The bytes moved one way in a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Which span, counted from the first.
    pub span: i64,
    /// Which way.
    pub direction: Direction,
    /// Bytes.
    pub bytes: u64,
    /// Completed transfers.
    pub files: u64,
}

/// The unix minute of a moment.
pub const fn minute(at: Timestamp) -> i64 {
    at.us().div_euclid(MINUTE_US)
}

/// The names of the cells of [`Sums::rows`].
pub(super) const CELLS: &str = "minute direction bytes files";

/// The contribution of transfers: the bytes and files of each minute and direction.
#[derive(Debug, Default)]
pub(super) struct Sums(BTreeMap<(i64, &'static str), (i64, i64)>);

impl Sums {
    /// Adds a transfer.
    pub(super) fn add(&mut self, transfer: &Transfer) {
        let (first, last) = (minute(transfer.begun_at), minute(transfer.ended_at));
        for (minute, bytes) in spread(first, last, signed(transfer.bytes_moved)) {
            let sum = self.0.entry((minute, transfer.direction.name())).or_default();
            sum.0 = sum.0.saturating_add(bytes);
            sum.1 += i64::from(transfer.complete && minute == last);
        }
    }

    /// The number of rows.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// One row for each, for a group commit.
    pub(super) fn rows(self) -> Vec<Vec<Cell>> {
        self.0
            .into_iter()
            .map(|((minute, direction), (bytes, files))| cells![minute, direction, bytes, files])
            .collect()
    }
}

/// `bytes` spread evenly from one minute to another; the last gets the remainder.
fn spread(from: i64, to: i64, bytes: i64) -> Vec<(i64, i64)> {
    let minutes = (to - from).max(0) + 1;
    let step = (minutes + ROWS_MAX - 1) / ROWS_MAX;
    let rows = (minutes + step - 1) / step;
    let each = bytes / rows;
    (0..rows).rev().map(|row| (to - row * step, if row == 0 { bytes - each * (rows - 1) } else { each })).collect()
}

/// Everything since the minute `first`, summed over spans of that many minutes, oldest first.
pub async fn sums(db: &Db, first: i64, minutes: i64) -> Result<Vec<Traffic>, StoreError> {
    let rows = sqlx::query(SUMS).bind(first).bind(minutes).fetch_all(db.reader()).await?;
    let decode = |row: &sqlx::sqlite::SqliteRow| -> Result<Traffic, StoreError> {
        let direction: String = row.try_get(1)?;
        let unreadable = || StoreError::Unreadable(format!("traffic in the direction {direction}"));
        Ok(Traffic {
            span: row.try_get(0)?,
            direction: Direction::parse(&direction).ok_or_else(unreadable)?,
            bytes: row.try_get::<i64, _>(2)?.unsigned_abs(),
            files: row.try_get::<i64, _>(3)?.unsigned_abs(),
        })
    };
    rows.iter().map(decode).collect()
}

/// Merges the minutes past their retention into hours, and forgets everything older than a year.
pub async fn fold(db: &Db, now: Timestamp) -> Result<(), StoreError> {
    let oldest = minute(now) - MINUTES_KEPT;
    let before = oldest - oldest.rem_euclid(60);
    let mut tx = db.begin().await?;
    sqlx::query(FOLD).bind(before).execute(&mut *tx).await?;
    sqlx::query(DROP_FOLDED).bind(before).bind(minute(now) - HOURS_KEPT).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_by_spreading() {
        assert_eq!(spread(7, 7, 10), [(7, 10)]);
        assert_eq!(spread(5, 7, 10), [(5, 3), (6, 3), (7, 4)]);
        assert_eq!(spread(9, 7, 10), [(7, 10)], "a clock that was set back");
        let long = spread(0, 100_000, 1_000_003);
        assert!(i64::try_from(long.len()).unwrap() <= ROWS_MAX);
        assert_eq!(long.iter().map(|(_, bytes)| bytes).sum::<i64>(), 1_000_003);
        assert_eq!(long.last().unwrap().0, 100_000);
        assert!(long[0].0 >= 0);
    }

    #[tokio::test]
    async fn old_minutes_become_hours_and_keep_their_sum() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let now = Timestamp::from_us(100 * 24 * 60 * MINUTE_US);
        let old = minute(now) - MINUTES_KEPT - 600;
        for (minute, bytes) in [(old, 1_i64), (old + 1, 2), (old + 61, 4), (minute(now), 8), (1 - HOURS_KEPT, 16)] {
            let add = "INSERT INTO traffic (minute, direction, bytes, files) VALUES ($1, 'receive', $2, 1)";
            sqlx::query(add).bind(minute).bind(bytes).execute(db.writer()).await.unwrap();
        }
        for _ in 0..2 {
            fold(&db, now).await.unwrap();
            let kept: Vec<_> = sums(&db, old - 60, 1).await.unwrap();
            let kept: Vec<_> = kept.iter().map(|one| (one.span + old - 60, one.bytes, one.files)).collect();
            assert_eq!(kept, [(old, 3, 2), (old + 60, 4, 1), (minute(now), 8, 1)]);
        }
    }
}
