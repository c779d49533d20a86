//! Certificates that expire soon: the warnings of alerts and pages.

use std::fmt;

use super::check::{Facts, date};
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::base::words::words;

words! {
    /// How near the end is. Reaching each level causes one message.
    pub enum Urgency {
        /// Within 30 days.
        Month = "month";
        /// Within 14 days.
        Fortnight = "fortnight";
        /// Within 3 days.
        Days = "days";
        /// It has expired.
        Expired = "expired";
    }
}

impl Urgency {
    /// How near the end is with that many whole days left; `None` if it is far.
    pub const fn of(days_left: i64) -> Option<Self> {
        match days_left {
            ..0 => Some(Self::Expired),
            0..3 => Some(Self::Days),
            3..14 => Some(Self::Fortnight),
            14..30 => Some(Self::Month),
            _ => None,
        }
    }
}

/// A certificate that expires soon, or has expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiring {
    /// Its name in the store.
    pub name: String,
    /// Its fingerprint: a replacement certificate gets warnings of its own.
    pub sha256: String,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// Whole days left; negative once it has expired.
    pub days_left: i64,
    /// How near that is.
    pub urgency: Urgency,
}

impl Expiring {
    pub(super) fn of(name: &str, facts: &Facts, now: Timestamp) -> Option<Self> {
        let days_left = facts.days_left(now);
        Some(Self {
            name: name.to_owned(),
            sha256: facts.sha256.clone(),
            not_after: facts.not_after,
            days_left,
            urgency: Urgency::of(days_left)?,
        })
    }
}

/// `Certificate files expires on 3 March 2027, in 12 days`
impl fmt::Display for Expiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, date) = (&self.name, date(self.not_after));
        match u64::try_from(self.days_left) {
            Ok(0) => write!(f, "Certificate {name} expires on {date}, within a day"),
            Ok(days) => write!(f, "Certificate {name} expires on {date}, in {}", human::count(days, "day", "days")),
            Err(_) => write!(f, "Certificate {name} expired on {date}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_30_14_and_3_days() {
        let at = [30, 29, 14, 13, 3, 2, 0, -1].map(Urgency::of);
        let (month, fortnight, days) = (Some(Urgency::Month), Some(Urgency::Fortnight), Some(Urgency::Days));
        assert_eq!(at, [None, month, month, fortnight, fortnight, days, days, Some(Urgency::Expired)]);
    }
}
