//! The last seven days of each connector as small bars. Past days do not change, so they are counted once a day.

use std::sync::Arc;

use super::Row;
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::domain::value::ConnectorType;
use crate::store::busy::{self, Days};
use crate::web::context::Context;
use crate::web::error::WebError;

/// Days shown, including today; they are UTC days.
const DAYS: i64 = 7;
const DAY_US: i64 = 24 * 3_600 * 1_000_000;
/// The distance between bars, a bar's width, and the height of the highest.
const STEP: usize = 11;
const WIDTH: usize = 9;
const HEIGHT: u64 = 22;

/// Today, and the counts of the days before it.
#[derive(Clone, Debug, Default)]
pub struct Week {
    today: i64,
    before: Option<Arc<Days>>,
}

/// One day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    pub x: usize,
    pub y: u64,
    pub width: usize,
    pub height: u64,
}

/// Fills in the last days of each row.
pub async fn show(context: &Context, rows: &mut [Row]) -> Result<(), WebError> {
    let db = &context.state.db;
    let today = context.now().us().div_euclid(DAY_US);
    let begin = |day: i64| Timestamp::from_us(day * DAY_US);
    // Others who come meanwhile wait for the same answer.
    let mut week = context.state.week.lock().await;
    let known = week.before.clone().filter(|_| week.today == today);
    let before = if let Some(before) = known {
        before
    } else {
        let days: Vec<_> = (today - DAYS + 1..today).map(begin).collect();
        let before = Arc::new(busy::by_day(db, &days).await?);
        *week = Week { today, before: Some(Arc::clone(&before)) };
        before
    };
    drop(week);
    let now = busy::by_day(db, &[begin(today)]).await?;
    for row in rows {
        let of = |days: &Days| match row.kind {
            ConnectorType::FtpServer => days.received.get(&row.key).cloned(),
            ConnectorType::Folder | ConnectorType::Webhook | ConnectorType::Command => {
                days.delivered.get(&row.key).cloned()
            }
        };
        let before = of(&before).unwrap_or_else(|| vec![0; usize::try_from(DAYS - 1).unwrap_or_default()]);
        let files: Vec<u64> = before.into_iter().chain(of(&now).unwrap_or_else(|| vec![0])).collect();
        row.week = bars(&files);
        row.week_words = words(&files);
    }
    Ok(())
}

/// Bars scaled to the highest; a day with a file shows at least a line.
fn bars(files: &[u64]) -> Vec<Bar> {
    let most = files.iter().copied().max().unwrap_or(0).max(1);
    let bar = |(day, count): (usize, &u64)| {
        let height = if *count == 0 { 0 } else { (count * HEIGHT / most).max(1) };
        Bar { x: day * STEP, y: HEIGHT - height, width: WIDTH, height }
    };
    files.iter().enumerate().map(bar).collect()
}

/// `In the last 7 days, the oldest first: 3, 0, 5, 2, 0, 0, and today 9 files`.
fn words(files: &[u64]) -> String {
    let Some((today, before)) = files.split_last() else { return String::new() };
    let before: Vec<_> = before.iter().map(|count| human::thousands(*count)).collect();
    format!("{}, and today {}", before.join(", "), human::count(*today, "file", "files"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_bar_is_the_busiest_day_and_one_file_is_seen() {
        let bars = bars(&[0, 1, 100, 50]);
        assert_eq!(bars.iter().map(|bar| bar.height).collect::<Vec<_>>(), [0, 1, 22, 11]);
        assert_eq!(bars.iter().map(|bar| bar.y).collect::<Vec<_>>(), [22, 21, 0, 11]);
        assert_eq!(words(&[0, 1_000, 1]), "0, 1,000, and today 1 file");
        assert!(super::bars(&[0; 7]).iter().all(|bar| bar.height == 0));
    }
}
