//! A moment as people type it, absolute or so long ago.

use std::time::Duration;

use crate::base::clock::Timestamp;

/// A moment as people type it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// That moment.
    At(Timestamp),
    /// So long ago.
    Ago(Duration),
}

impl Since {
    /// Reads RFC 3339, or a whole number of seconds, minutes, hours, days or weeks: `30s`, `10m`, `2h`, `3d`, `1w`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(at) = Timestamp::parse_rfc3339(text) {
            return Ok(Self::At(at));
        }
        let wrong = || format!("{text} is no time: type 2026-11-25T09:00:00Z, or 10m, 2h, 3d for so long ago");
        let unit = text.chars().last().ok_or_else(wrong)?;
        let unit_s = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(wrong()),
        };
        let count = &text[..text.len() - unit.len_utf8()];
        if !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let seconds = count.parse::<u64>().ok().and_then(|count| count.checked_mul(unit_s)).ok_or_else(wrong)?;
        Ok(Self::Ago(Duration::from_secs(seconds)))
    }

    /// The moment it means.
    pub fn moment(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(age) => now.minus(age),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_moments_or_ages() {
        let now = Timestamp::from_us(10_000_000_000);
        let ago = |text| Since::parse(text).unwrap().moment(now).seconds();
        assert_eq!([ago("30s"), ago("10m"), ago("2h"), ago("0d")], [9_970, 9_400, 2_800, 10_000]);
        let at = Since::parse("2026-11-25T09:41:52.000123Z").unwrap().moment(now);
        assert_eq!(at.to_string(), "2026-11-25T09:41:52.000123Z");
        for wrong in ["", "m", "-3d", "+3d", "3", "3y", "99999999999999999999d", "3\u{b5}", "18446744073709551615w"] {
            assert!(Since::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Since::parse("99999999999999d").unwrap().moment(now) < Timestamp::default());
    }
}
