//! What follows when the clock is set while Waybill runs, detected by a monotonic clock (decision 0135).
//!
//! Set back, everything waiting for a time of day would wait for as long as the clock was ahead. Set ahead, everything
//! is suddenly past its retention, and nobody can restore what was removed by mistake.

use std::time::{Duration, Instant};

use crate::base::clock::{Clock, Timestamp};
use crate::store::delivery;
use crate::transfer::depot::Depot;

/// How often to check whether the clock was set back.
const EVERY: Duration = Duration::from_secs(1);
/// Ahead-and-back changes in between are detected by then.
const LATEST: Duration = Duration::from_mins(10);
/// If it was set back by no more than this, nobody waits long.
const BACK_US: i64 = 1_000_000;
/// If it was set ahead by more than this, ages are doubted.
const AHEAD_US: i64 = 3_600_000_000;
/// For this long: a mistake is corrected by then.
const DOUBTED_FOR: Duration = Duration::from_hours(24);

/// A moment by the clock, and by the monotonic clock.
pub(super) type Moment = (Timestamp, Instant);

/// The present moment.
pub(super) fn moment(clock: &Clock) -> Moment {
    (clock.now(), Instant::now())
}

/// How far the clock has drifted from the monotonic clock, in microseconds; negative if it was set back.
fn drift_us((clock, time): Moment, (now, time_now): Moment) -> i64 {
    let passed = time_now.saturating_duration_since(time).as_micros();
    now.us().saturating_sub(clock.us()).saturating_sub(i64::try_from(passed).unwrap_or(i64::MAX))
}

/// Whether the clock can be trusted for ages.
#[derive(Debug)]
pub(super) struct Ages {
    begun: Moment,
    trusted_us: i64,
    doubted_since: Option<Instant>,
}

impl Ages {
    /// The present clock is trusted.
    pub(super) const fn begin(now: Moment) -> Self {
        Self { begun: now, trusted_us: 0, doubted_since: None }
    }

    /// Whether items that are old by the clock may be removed.
    pub(super) fn are_trusted(&mut self, now: Moment) -> bool {
        let drift_us = drift_us(self.begun, now);
        if drift_us.saturating_sub(self.trusted_us) > AHEAD_US {
            let since = *self.doubted_since.get_or_insert_with(|| {
                tracing::warn!("The clock was set ahead; for a day nothing is removed by its age");
                now.1
            });
            if now.1.saturating_duration_since(since) < DOUBTED_FOR {
                return false;
            }
            self.trusted_us = drift_us;
        }
        // If set back, everything is younger.
        self.trusted_us = self.trusted_us.min(drift_us);
        self.doubted_since = None;
        true
    }
}

/// Checks whether the clock was set back, for ever; also once at first, since that may have happened while Waybill did
/// not run.
pub(super) async fn follow(depot: Depot) {
    loop {
        match delivery::catch_up(&depot.db, depot.clock.now()).await {
            Ok(0) => {}
            Ok(count) => {
                tracing::warn!(
                    count,
                    "Deliveries were put off while the clock was ahead; they wait no longer for that"
                );
            }
            Err(error) => {
                tracing::error!(%error, "Could not look for deliveries that wait too long; it is tried again");
                tokio::time::sleep(EVERY).await;
                continue;
            }
        }
        was_set_back(&depot.clock).await;
    }
}

/// Waits for that, or until it is time to check anyway.
async fn was_set_back(clock: &Clock) {
    let begun = moment(clock);
    let mut before = begun;
    while before.1.saturating_duration_since(begun.1) < LATEST {
        tokio::time::sleep(EVERY).await;
        let now = moment(clock);
        if drift_us(before, now) < -BACK_US {
            return;
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: Duration = Duration::from_hours(365 * 24);
    const HOUR: Duration = Duration::from_hours(1);

    fn begun() -> Moment {
        (Timestamp::from_us(1_800_000_000_000_000), Instant::now())
    }

    /// A moment after that time has passed, with the clock ahead of it.
    fn after((clock, time): Moment, passed: Duration, ahead: Duration) -> Moment {
        (clock.plus(passed).plus(ahead), time + passed)
    }

    #[test]
    fn after_the_clock_was_set_ahead_ages_are_doubted_for_a_day() {
        let begun = begun();
        let mut ages = Ages::begin(begun);
        assert!(ages.are_trusted(after(begun, YEAR, Duration::ZERO)), "a year has passed");
        assert!(ages.are_trusted(after(begun, YEAR, HOUR)));
        for hour in 0..24 {
            assert!(!ages.are_trusted(after(begun, YEAR + HOUR * hour, YEAR)), "{hour}");
        }
        assert!(ages.are_trusted(after(begun, YEAR + HOUR * 24, YEAR)), "it is that late");
        assert!(!ages.are_trusted(after(begun, YEAR + HOUR * 24, YEAR * 2)));
    }

    #[test]
    fn once_the_clock_is_set_right_again_ages_are_trusted() {
        let begun = begun();
        let mut ages = Ages::begin(begun);
        assert!(!ages.are_trusted(after(begun, HOUR, YEAR)));
        assert!(ages.are_trusted(after(begun, HOUR, Duration::ZERO)));
        // It was ahead from the beginning, and is corrected.
        let right = (begun.0.minus(YEAR), begun.1 + HOUR);
        assert!(ages.are_trusted(right));
        assert!(!ages.are_trusted(begun), "and ahead again");
    }

    #[test]
    fn a_clock_that_goes_as_time_does_has_no_drift() {
        let begun = begun();
        assert_eq!(drift_us(begun, after(begun, HOUR, Duration::ZERO)), 0);
        assert_eq!(drift_us(begun, (begun.0.minus(HOUR), begun.1 + HOUR)), -7_200_000_000);
    }
}
