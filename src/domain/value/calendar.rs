//! Times of the day, days of the week and days off, which make up the windows of an SLA.

use std::collections::BTreeSet;

use jiff::civil::{Date, Weekday};

use super::{list, typed};
use crate::domain::setting::{Input, Value};

/// Minutes of a day by its clock.
const DAY_MINUTES: u16 = 24 * 60;
/// Days off in one calendar: some years of holidays of several countries.
const DAYS_OFF_MAX: usize = 1_000;
/// The days of the week as written.
const WEEK: [(Weekday, &str); 7] = [
    (Weekday::Monday, "Mon"),
    (Weekday::Tuesday, "Tue"),
    (Weekday::Wednesday, "Wed"),
    (Weekday::Thursday, "Thu"),
    (Weekday::Friday, "Fri"),
    (Weekday::Saturday, "Sat"),
    (Weekday::Sunday, "Sun"),
];

/// A time of the day on the clock, from `00:00` to `24:00`, the end of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay(u16);

impl TimeOfDay {
    /// The beginning of the day.
    pub const MIDNIGHT: Self = Self(0);

    /// `minutes` after midnight on the clock; none beyond the end of the day.
    pub const fn from_minutes(minutes: u16) -> Option<Self> {
        if minutes <= DAY_MINUTES { Some(Self(minutes)) } else { None }
    }

    /// Minutes after midnight on the clock.
    pub const fn minutes(self) -> u16 {
        self.0
    }
}

impl Value for TimeOfDay {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        let number = |part: &str, digits: usize| {
            let fits = (1..=digits).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
            fits.then(|| part.parse::<u16>().ok()).flatten()
        };
        let read = || {
            let (hours, minutes) = text.trim().split_once(':')?;
            let minutes = number(minutes, 2).filter(|read| *read < 60 && minutes.len() == 2)?;
            Self::from_minutes(number(hours, 2)? * 60 + minutes)
        };
        read().ok_or_else(|| format!("{} isn't a time of the day such as 09:00, up to 24:00", typed(text)))
    }

    fn text(&self) -> String {
        format!("{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// A set of weekdays, never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Weekdays(u8);

impl Weekdays {
    /// Every day.
    pub const ALL: Self = Self(0b111_1111);

    /// Whether `day` is one of them.
    pub fn contains(self, day: Weekday) -> bool {
        WEEK.iter().enumerate().any(|(i, (other, _))| *other == day && self.has(i))
    }

    const fn has(self, index: usize) -> bool {
        self.0 >> index & 1 == 1
    }
}

impl Value for Weekdays {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        let mut days = 0;
        for (place, item) in list(text) {
            let index = |name: &str| WEEK.iter().position(|(_, short)| short.eq_ignore_ascii_case(name.trim()));
            let wrong = || format!("{} isn't a day of the week such as Mon, nor days such as Mon–Fri", typed(item));
            let read = match item.split_once(['-', '–']) {
                Some((first, last)) => index(first).zip(index(last)),
                None => index(item).map(|day| (day, day)),
            };
            let (first, last) = read.ok_or_else(|| place + &wrong())?;
            // Sat–Mon wraps around the end of the week.
            let count = (last + WEEK.len() - first) % WEEK.len();
            days |= (0..=count).fold(0, |days, step| days | 1 << ((first + step) % WEEK.len()));
        }
        if days == 0 {
            Err(format!("{} has no day of the week in it, such as Mon–Fri", typed(text)))
        } else {
            Ok(Self(days))
        }
    }

    fn text(&self) -> String {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for day in (0..WEEK.len()).filter(|day| self.has(*day)) {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == day => *last = day,
                _ => runs.push((day, day)),
            }
        }
        let words = runs.iter().map(|(first, last)| match last - first {
            0 => WEEK[*first].1.to_owned(),
            1 => format!("{}, {}", WEEK[*first].1, WEEK[*last].1),
            _ => format!("{}–{}", WEEK[*first].1, WEEK[*last].1),
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

/// Days on which nothing is due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaysOff(BTreeSet<Date>);

impl DaysOff {
    /// Whether nothing is due on `day`.
    pub fn contains(&self, day: Date) -> bool {
        self.0.contains(&day)
    }
}

impl Value for DaysOff {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        let mut days = BTreeSet::new();
        for (place, item) in list(text) {
            let day = (item.len() == "2026-12-25".len()).then(|| item.parse().ok()).flatten();
            days.insert(day.ok_or_else(|| format!("{place}{} isn't a day such as 2026-12-25", typed(item)))?);
            if days.len() > DAYS_OFF_MAX {
                return Err(format!("{place}{item} is one day too many: at most {DAYS_OFF_MAX} fit"));
            }
        }
        Ok(Self(days))
    }

    fn text(&self) -> String {
        self.0.iter().map(Date::to_string).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_of_the_day_are_hours_and_minutes() {
        assert_eq!(TimeOfDay::parse(" 9:05 ").map(|time| (time.minutes(), time.text())), Ok((545, "09:05".to_owned())));
        assert_eq!(TimeOfDay::parse("24:00"), Ok(TimeOfDay(DAY_MINUTES)));
        for wrong in ["", "9", "24:01", "9:60", "9:5", "+9:00", "99:99", "009:00", "9:00 pm"] {
            assert!(TimeOfDay::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(TimeOfDay::parse("9am"), Err("9am isn't a time of the day such as 09:00, up to 24:00".to_owned()));
    }

    #[test]
    fn days_of_the_week_are_listed_or_from_to() {
        let read = |text| Weekdays::parse(text).map(|days| days.text());
        assert_eq!(read("mon - fri"), Ok("Mon–Fri".to_owned()));
        assert_eq!(read("Sat-Mon, Wed"), Ok("Mon, Wed, Sat, Sun".to_owned()));
        assert_eq!(Weekdays::parse("Mon–Sun"), Ok(Weekdays::ALL));
        assert!(Weekdays::parse("Sun").unwrap().contains(Weekday::Sunday));
        assert!(!Weekdays::parse("Mon–Sat").unwrap().contains(Weekday::Sunday));
        assert_eq!(
            read("Mon, Someday").unwrap_err(),
            "Someday isn't a day of the week such as Mon, nor days such as Mon–Fri"
        );
        assert!(read(" , ").is_err());
    }

    #[test]
    fn days_off_are_days_of_the_calendar() {
        let days = DaysOff::parse("2026-12-25\n2028-02-29, 2026-12-25").unwrap();
        assert_eq!(days.text(), "2026-12-25\n2028-02-29");
        assert!(days.contains(jiff::civil::date(2028, 2, 29)) && !days.contains(jiff::civil::date(2026, 12, 26)));
        assert_eq!(DaysOff::parse("").map(|days| days.text()), Ok(String::new()));
        assert_eq!(
            DaysOff::parse("2026-12-25\n2027-02-29").unwrap_err(),
            "line 2: 2027-02-29 isn't a day such as 2026-12-25"
        );
        let many: Vec<_> = (0..=1_000).map(|n| jiff::civil::date(2026, 1, 1) + jiff::Span::new().days(n)).collect();
        let text = |days: &[Date]| days.iter().map(Date::to_string).collect::<Vec<_>>().join(",");
        assert!(DaysOff::parse(&text(&many[..1_000])).is_ok());
        assert!(DaysOff::parse(&text(&many)).unwrap_err().contains("one day too many"));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(minutes in 0_u16..=1_440, days in 1_u8..128) {
            let time = TimeOfDay::from_minutes(minutes).unwrap();
            prop_assert_eq!(TimeOfDay::parse(&time.text()), Ok(time));
            let days = Weekdays(days);
            prop_assert_eq!(Weekdays::parse(&days.text()), Ok(days));
        }
    }
}
