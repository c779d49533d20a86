//! When the windows of an SLA are. Times are local to the zone: a day is a calendar day, of 23 or 25 hours when the
//! clocks change.
//!
//! Always: windows of one schedule come in order, are never empty and never overlap. A time that the clocks skip means
//! the moment they are put forward, one that they show twice the first of the two.

use std::collections::VecDeque;

use jiff::civil::{Date, DateTime};
use jiff::{Timestamp as Moment, ToSpan};

use crate::base::clock::Timestamp;
use crate::domain::value::{DaysOff, TimeOfDay, Weekdays, ZoneName};

/// The shortest interval, in minutes: 288 windows a day.
const INTERVAL_MIN: u16 = 5;
/// The longest interval, in minutes: a calendar day.
const INTERVAL_MAX: u16 = 24 * 60;

/// One window: from `start` until just before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// The first moment within.
    pub start: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
}

/// When windows begin and end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The local times at which the windows of a day begin and end, in order.
    edges: Vec<(TimeOfDay, TimeOfDay)>,
    days: Weekdays,
    zone: ZoneName,
    days_off: DaysOff,
}

impl Schedule {
    /// One window on each of `days`, between two times of it.
    ///
    /// # Errors
    /// In words, if the window would end before it begins or at once.
    pub fn from_to(
        (from, until): (TimeOfDay, TimeOfDay),
        days: Weekdays,
        zone: ZoneName,
        days_off: DaysOff,
    ) -> Result<Self, String> {
        if from >= until {
            return Err(
                "The window ends before it begins: its end must be later on the same day, up to 24:00".to_owned()
            );
        }
        Ok(Self { edges: vec![(from, until)], days, zone, days_off })
    }

    /// A window for every `minutes` of local time, from each midnight of `days` on.
    ///
    /// # Errors
    /// In words, if a day cannot be divided so.
    pub fn every(minutes: u16, days: Weekdays, zone: ZoneName, days_off: DaysOff) -> Result<Self, String> {
        if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&minutes) || !INTERVAL_MAX.is_multiple_of(minutes) {
            return Err(format!(
                "{minutes} minutes don't divide a day into equal windows of {INTERVAL_MIN} minutes or more; \
                 15, 30, 60, 240 or 1440 do"
            ));
        }
        let starts = (0..INTERVAL_MAX).step_by(usize::from(minutes));
        let edge = |start| TimeOfDay::from_minutes(start).zip(TimeOfDay::from_minutes(start + minutes));
        Ok(Self { edges: starts.filter_map(edge).collect(), days, zone, days_off })
    }

    /// The windows that overlap the time from `from` until just before `until`, earliest first. They are computed
    /// lazily, day by day.
    pub fn between(&self, from: Timestamp, until: Timestamp) -> Windows<'_> {
        let calendar = from.calendar();
        // A moment outside the calendar would become 1970, and every day since would be visited.
        let is_held = calendar.as_microsecond() == from.us();
        let day = self.zone.zone().to_datetime(calendar).date();
        // The clocks can go back across midnight: then a window of the day before is not over yet.
        let day = (is_held && from < until).then(|| day.yesterday().unwrap_or(day));
        Windows { schedule: self, day, from, until, ready: VecDeque::new() }
    }

    /// The windows of one day, earliest first: none on a day off, nor on a day that the zone's calendar skips.
    pub fn of_day(&self, day: Date) -> impl Iterator<Item = Window> {
        let is_due = self.days.contains(day.weekday()) && !self.days_off.contains(day);
        let edges = if is_due { self.edges.as_slice() } else { &[] };
        edges.iter().filter_map(move |(from, until)| {
            let window = Window { start: self.moment(day, *from)?, end: self.moment(day, *until)? };
            (window.start < window.end).then_some(window)
        })
    }

    /// The first moment at which the clocks show `time` of `day` or later; none beyond the end of the calendar.
    fn moment(&self, day: Date, time: TimeOfDay) -> Option<Timestamp> {
        let shown: DateTime = day.at(0, 0, 0, 0).checked_add(i64::from(time.minutes()).minutes()).ok()?;
        let zone = self.zone.zone();
        let ambiguous = zone.to_ambiguous_timestamp(shown);
        let is_skipped = matches!(ambiguous.offset(), jiff::tz::AmbiguousOffset::Gap { .. });
        let earlier = ambiguous.earlier().ok()?;
        let moment = if is_skipped { zone.following(earlier).next()?.timestamp() } else { earlier };
        Some(Timestamp::from_us(Moment::as_microsecond(moment)))
    }
}

/// Windows of a schedule, earliest first.
#[derive(Clone, Debug)]
pub struct Windows<'s> {
    schedule: &'s Schedule,
    day: Option<Date>,
    from: Timestamp,
    until: Timestamp,
    ready: VecDeque<Window>,
}

impl Iterator for Windows<'_> {
    type Item = Window;

    fn next(&mut self) -> Option<Window> {
        loop {
            if let Some(window) = self.ready.pop_front() {
                if window.start >= self.until {
                    self.day = None;
                    self.ready.clear();
                    return None;
                }
                if window.end > self.from {
                    return Some(window);
                }
                continue;
            }
            let day = self.day?;
            let begins = self.schedule.moment(day, TimeOfDay::MIDNIGHT);
            // Days that begin after the end are not needed, nor the day beyond the calendar.
            self.day = begins.filter(|begins| *begins < self.until).and_then(|_| day.tomorrow().ok());
            self.ready.extend(self.schedule.of_day(day));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::setting::Value;

    const ZONES: [&str; 8] = [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe", // by half an hour
        "America/Sao_Paulo",   // at midnight, until 2019
        "Pacific/Apia",        // skipped 2011-12-30
        "Africa/Cairo",        // at midnight
        "Asia/Kathmandu",
    ];

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn zone(name: &str) -> ZoneName {
        ZoneName::parse(name).unwrap()
    }

    fn every(minutes: u16, name: &str) -> Schedule {
        Schedule::every(minutes, Weekdays::ALL, zone(name), DaysOff::default()).unwrap()
    }

    fn from_to(from: &str, until: &str, name: &str) -> Schedule {
        let times = (TimeOfDay::parse(from).unwrap(), TimeOfDay::parse(until).unwrap());
        Schedule::from_to(times, Weekdays::parse("Mon–Fri").unwrap(), zone(name), DaysOff::default()).unwrap()
    }

    fn lengths(schedule: &Schedule, day: Date) -> Vec<u64> {
        schedule.of_day(day).map(|window| window.end.since(window.start).as_secs() / 60).collect()
    }

    #[test]
    fn a_day_is_as_long_as_its_clocks_make_it() {
        let days = every(24 * 60, "Europe/Berlin");
        assert_eq!(lengths(&days, date(2026, 3, 29)), [23 * 60]);
        assert_eq!(lengths(&days, date(2026, 10, 25)), [25 * 60]);
        assert_eq!(lengths(&days, date(2028, 2, 29)), [24 * 60]);
    }

    #[test]
    fn an_hour_that_is_skipped_has_no_window_and_one_shown_twice_has_one() {
        let hours = every(60, "Europe/Berlin");
        assert_eq!(lengths(&hours, date(2026, 3, 29)), [60; 23]);
        let autumn = lengths(&hours, date(2026, 10, 25));
        assert_eq!((autumn.len(), autumn[1], autumn[2], autumn[3]), (24, 60, 120, 60));
        // The clocks go from 2:00 to 3:00: half of a window that spans it is left.
        assert_eq!(lengths(&every(120, "Europe/Berlin"), date(2026, 3, 29))[..3], [120, 60, 120]);
    }

    #[test]
    fn a_time_that_is_skipped_is_the_moment_of_the_change() {
        let spring = from_to("01:00", "02:30", "America/New_York");
        assert_eq!(spring.of_day(date(2026, 3, 8)).count(), 0, "a Sunday");
        let sunday = Schedule { days: Weekdays::ALL, ..spring };
        let window = sunday.of_day(date(2026, 3, 8)).next().unwrap();
        assert_eq!((window.start, window.end), (at("2026-03-08T06:00:00Z"), at("2026-03-08T07:00:00Z")));
        // Entirely within the skipped hour: there is no such time.
        let within = Schedule { days: Weekdays::ALL, ..from_to("02:10", "02:50", "America/New_York") };
        assert_eq!(within.of_day(date(2026, 3, 8)).count(), 0);
        assert_eq!(within.of_day(date(2026, 3, 9)).count(), 1);
    }

    #[test]
    fn a_day_that_never_was_has_no_window() {
        let days = every(24 * 60, "Pacific/Apia");
        assert_eq!(days.of_day(date(2011, 12, 30)).count(), 0);
        let around: Vec<_> = days.between(at("2011-12-29T00:00:00Z"), at("2012-01-01T00:00:00Z")).collect();
        assert!(around.windows(2).all(|pair| pair[0].end == pair[1].start));
    }

    #[test]
    fn windows_are_half_open() {
        let schedule = from_to("00:00", "09:00", "Europe/Berlin");
        let (start, end) = (at("2026-11-26T23:00:00Z"), at("2026-11-27T08:00:00Z"));
        let instant = Duration::from_micros(1);
        let of = |from, until| schedule.between(from, until).map(|window| window.start).collect::<Vec<_>>();
        assert_eq!(of(start.minus(instant), start), [], "it begins with the moment that is not asked for");
        assert_eq!(of(start, start.plus(instant)), [start]);
        assert_eq!(of(end.minus(instant), end), [start]);
        assert_eq!(of(end, end.plus(instant)), [], "its end is no more within");
        assert_eq!(of(end, start), [], "nothing is between the later and the earlier");
        assert_eq!(of(start, start), []);
    }

    #[test]
    fn days_of_the_week_and_days_off_are_those_of_the_zone() {
        let mut schedule = from_to("00:00", "09:00", "Pacific/Apia");
        schedule.days_off = DaysOff::parse("2026-11-26").unwrap();
        let due: Vec<_> = schedule.between(at("2026-11-24T00:00:00Z"), at("2026-12-01T00:00:00Z")).collect();
        let day = |window: &Window| schedule.zone.zone().to_datetime(window.start.calendar()).date().day();
        // There it is already past 9:00 on the 24th, and the 1st has begun before it does in UTC.
        assert_eq!(due.iter().map(day).collect::<Vec<_>>(), [25, 27, 30, 1]);
    }

    #[test]
    fn what_makes_no_window_is_refused_in_words() {
        let nine = TimeOfDay::parse("09:00").unwrap();
        let same = Schedule::from_to((nine, nine), Weekdays::ALL, zone("UTC"), DaysOff::default());
        assert!(same.unwrap_err().starts_with("The window ends before it begins"));
        for wrong in [0, 1, 4, 7, 25, 1_441, 2_880, u16::MAX] {
            let refused = Schedule::every(wrong, Weekdays::ALL, zone("UTC"), DaysOff::default());
            assert!(refused.unwrap_err().starts_with(&format!("{wrong} minutes don't divide a day")));
        }
    }

    #[test]
    fn the_ends_of_time_have_no_windows_and_no_panic() {
        let schedule = every(24 * 60, "Pacific/Apia");
        assert_eq!(schedule.between(Timestamp::from_us(i64::MAX - 1), Timestamp::from_us(i64::MAX)).count(), 0);
        // The calendar ends within the last day, which therefore has no end and no window.
        assert_eq!(schedule.between(at("9999-12-30T00:00:00Z"), Timestamp::from_us(i64::MAX)).count(), 1);
    }

    /// Up to two days before a change of the zone's clocks; for zones without one, any moment.
    fn near_a_change() -> impl Strategy<Value = (&'static str, Timestamp)> {
        let zones = proptest::sample::select(&ZONES[..]);
        (zones, 946_684_800_i64..2_145_916_800, 0_u64..48 * 60).prop_map(|(name, start_s, minutes)| {
            let start = Timestamp::from_us(start_s * 1_000_000);
            let change = zone(name).zone().following(start.calendar()).next().map(|change| change.timestamp());
            let near = change.map_or(start, |change| Timestamp::from_us(change.as_microsecond()));
            (name, near.minus(Duration::from_mins(minutes)))
        })
    }

    proptest! {
        /// Intervals leave no gap and never overlap, whatever the clocks do: each moment is in exactly one of them.
        #[test]
        fn every_moment_is_in_one_interval(
            (zone, from) in near_a_change(),
            minutes in proptest::sample::select(&[5_u16, 15, 60, 90, 240, 720, 1_440][..]),
            hours in 1_u64..80,
        ) {
            let schedule = every(minutes, zone);
            let until = from.plus(Duration::from_hours(hours));
            let windows: Vec<_> = schedule.between(from, until).collect();
            prop_assert!(windows[0].start <= from && windows[windows.len() - 1].end >= until);
            for pair in windows.windows(2) {
                prop_assert_eq!(pair[0].end, pair[1].start);
            }
            prop_assert!(windows.iter().all(|window| window.start < window.end));
        }

        /// Querying in pieces gives the same windows as querying at once, none lost and none twice.
        #[test]
        fn pieces_make_the_whole(
            (zone, from) in near_a_change(),
            (from_m, length_m) in (0_u16..1_440, 1_u16..1_440),
            hours in 1_u64..400,
            cut in 0_u64..400,
        ) {
            let times = (TimeOfDay::from_minutes(from_m), TimeOfDay::from_minutes((from_m + length_m).min(1_440)));
            let times = (times.0.unwrap(), times.1.unwrap());
            let days = Weekdays::parse("Sat–Tue").unwrap();
            let schedule = Schedule::from_to(times, days, ZoneName::parse(zone).unwrap(), DaysOff::default()).unwrap();
            let (middle, until) = (from.plus(Duration::from_hours(cut.min(hours))), from.plus(Duration::from_hours(hours)));
            let whole: Vec<_> = schedule.between(from, until).collect();
            let mut pieces: Vec<_> = schedule.between(from, middle).chain(schedule.between(middle, until)).collect();
            // The window that spans the cut is in both.
            pieces.dedup();
            prop_assert_eq!(&pieces, &whole);
            for pair in whole.windows(2) {
                prop_assert!(pair[0].end <= pair[1].start);
            }
            for window in whole {
                let shown = schedule.zone.zone().to_datetime(window.start.calendar());
                prop_assert!(days.contains(shown.date().weekday()));
            }
        }
    }
}
