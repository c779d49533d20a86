//! Days and time zones. Zones come from the built-in table, so that a rule is the same on every host.

use std::sync::LazyLock;

use jiff::civil::{Date, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::typed;
use crate::base::clock::Timestamp;
use crate::domain::setting::{Input, Value, nearest};

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone by its IANA name.
#[derive(Clone, Debug)]
pub struct ZoneName {
    name: String,
    zone: TimeZone,
}

impl PartialEq for ZoneName {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for ZoneName {}

impl ZoneName {
    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The zone, for calendar arithmetic.
    pub const fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// How far its clocks are ahead of UTC at `at`, in seconds.
    pub fn offset_s_at(&self, at: Timestamp) -> i32 {
        self.zone.to_offset(at.calendar()).seconds()
    }
}

impl Value for ZoneName {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        let typed_name = text.trim();
        if let Ok(zone) = ZONES.get(typed_name) {
            let name = zone.iana_name().unwrap_or(typed_name).to_owned();
            return Ok(Self { name, zone });
        }
        let known: Vec<String> = ZONES.available().map(|name| name.to_string()).collect();
        let near = nearest(typed_name, known.iter().map(String::as_str))
            .map_or_else(|| ", such as UTC or Europe/Berlin".to_owned(), |near| format!("; did you mean {near}?"));
        Err(format!("{} isn't a time zone that is known here{near}", typed(text)))
    }

    fn text(&self) -> String {
        self.name.clone()
    }
}

/// When a validity begins or ends: a day in UTC, or a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValidityDate {
    /// A whole day.
    Day(Date),
    /// A moment.
    Moment(Timestamp),
}

impl ValidityDate {
    /// The first moment of it: the start of the day, or the moment itself.
    pub fn start(self) -> Timestamp {
        match self {
            Self::Day(day) => midnight(day),
            Self::Moment(at) => at,
        }
    }

    /// The first moment after it: the end of the day, or the moment itself.
    pub fn end(self) -> Timestamp {
        match self {
            Self::Day(day) => midnight(day.tomorrow().unwrap_or(day)),
            Self::Moment(at) => at,
        }
    }
}

/// The first moment of `day` in UTC.
fn midnight(day: Date) -> Timestamp {
    let zoned = TimeZone::UTC.to_timestamp(day.to_datetime(Time::midnight()));
    Timestamp::from_us(zoned.map_or(i64::MAX, jiff::Timestamp::as_microsecond))
}

impl Value for ValidityDate {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let in_reach = |day: Date| (1970..=9_998).contains(&day.year());
        let day = |text: &str| (text.len() == 10).then(|| text.parse::<Date>().ok()).flatten().filter(|d| in_reach(*d));
        if let Some(day) = day(trimmed) {
            return Ok(Self::Day(day));
        }
        Timestamp::parse_rfc3339(trimmed)
            .filter(|at| in_reach(TimeZone::UTC.to_datetime(at.calendar()).date()))
            .map(Self::Moment)
            .ok_or_else(|| {
                format!("{} isn't a day or a moment, such as 2026-11-25 or 2026-11-25T18:00:00Z", typed(text))
            })
    }

    fn text(&self) -> String {
        match self {
            Self::Day(day) => day.to_string(),
            Self::Moment(at) => at.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn a_zone_knows_daylight_saving() {
        let berlin = ZoneName::parse("europe/berlin").unwrap();
        assert_eq!(berlin.text(), "Europe/Berlin");
        assert_eq!(berlin.offset_s_at(at("2026-01-01T00:00:00Z")), 3_600);
        assert_eq!(berlin.offset_s_at(at("2026-07-01T00:00:00Z")), 7_200);
        assert_eq!(ZoneName::parse("UTC").map(|zone| zone.offset_s_at(at("2026-07-01T00:00:00Z"))), Ok(0));
    }

    #[test]
    fn an_unknown_zone_gets_a_suggestion() {
        assert_eq!(
            ZoneName::parse("Europe/Berln"),
            Err("Europe/Berln isn't a time zone that is known here; did you mean Europe/Berlin?".to_owned())
        );
        assert!(ZoneName::parse("Middle-earth").unwrap_err().ends_with("such as UTC or Europe/Berlin"));
        assert!(ZoneName::parse("").is_err());
    }

    #[test]
    fn a_day_counts_from_its_start_to_its_end() {
        let day = ValidityDate::parse("2026-11-25").unwrap();
        assert_eq!((day.start(), day.end()), (at("2026-11-25T00:00:00Z"), at("2026-11-26T00:00:00Z")));
        let moment = ValidityDate::parse("2026-11-25T18:00:00+02:00").unwrap();
        assert_eq!((moment.start(), moment.text()), (moment.end(), "2026-11-25T16:00:00.000000Z".to_owned()));
        for wrong in ["", "25.11.2026", "2026-02-30", "2026-11-25T18:00", "tomorrow", "1969-12-31", "9999-01-01"] {
            assert!(ValidityDate::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn days_and_moments_read_back(us in 0_i64..253_000_000_000_000_000) {
            let moment = ValidityDate::Moment(Timestamp::from_us(us));
            prop_assert_eq!(ValidityDate::parse(&moment.text()), Ok(moment));
            let day = ValidityDate::parse(&moment.text()[..10]).unwrap();
            prop_assert!(day.start() <= moment.start() && moment.start() < day.end());
            prop_assert_eq!(ValidityDate::parse(&day.text()), Ok(day));
        }
    }
}
