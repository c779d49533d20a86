//! An SLA as an administrator types it.

use std::time::Duration;

use super::{Counted, EmptyFiles, Schedule, Sla};
use crate::domain::filter::Filter;
use crate::domain::setting::{Input, Mistake, Texts, Value};
use crate::domain::value::{DaysOff, TimeOfDay, Weekdays, Whole, ZoneName};
use crate::settings;

impl Value for Counted {
    const INPUT: Input = Input::Choice(&[
        ("received", "Received: the partner uploads them"),
        ("collected", "Collected: the partner downloads them"),
    ]);

    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(&text.trim().to_ascii_lowercase())
            .ok_or_else(|| format!("{} isn't one of received, collected", text.trim()))
    }

    fn text(&self) -> String {
        self.name().to_owned()
    }
}

settings! {
    /// The settings of one SLA.
    pub struct SlaSettings {
        counted: Counted = "received", "Files that are",
            "Which way the files go.";
        at_least: Whole<1, 1_000_000> = "1", "At least",
            "How many files are due in each window.";
        names: Filter = "", "Names",
            "Which names count, such as *.x12. Empty: all.";
        empty_files: bool = "off", "Empty files count",
            "Whether a file without a byte counts as one.";
        from: Option<TimeOfDay> = "00:00", "From",
            "When the window begins on each of its days. Empty: at midnight.";
        until: Option<TimeOfDay> = "09:00", "By",
            "When it ends: a file that comes at this moment is too late. Up to 24:00.";
        every_min: Option<Whole<5, 1_440>> = "", "Or every",
            "Minutes: a window for each such piece of the day, instead of From and By. 60 is every hour.";
        days: Weekdays = "Mon–Fri", "Days",
            "Days of the week, such as Mon–Fri or Mon, Thu.";
        zone: ZoneName = "UTC", "Time zone",
            "Whose clock the times are of, such as Europe/Berlin. Daylight saving is followed.";
        days_off: DaysOff = "", "Days off",
            "Days on which nothing is due, such as 2026-12-25.";
        lead_min: Option<Whole<1, 1_440>> = "30", "Warn before",
            "Minutes before the end at which a window that lacks files is at risk. Empty: no warning.";
        grace_min: Whole<0, 1_440> = "0", "Grace",
            "Minutes after the end in which files make a window late rather than violated.";
    }
}

impl SlaSettings {
    /// Reads and checks all of it.
    ///
    /// # Errors
    /// Every mistake, in words.
    pub fn parse(texts: &Texts) -> Result<(Self, Sla), Vec<Mistake>> {
        let settings = Self::read(texts)?;
        let sla = settings.sla().map_err(|mistake| vec![mistake])?;
        Ok((settings, sla))
    }

    fn sla(&self) -> Result<Sla, Mistake> {
        let (days, zone, days_off) = (self.days, self.zone.clone(), self.days_off.clone());
        let schedule = match &self.every_min {
            Some(minutes) => {
                let minutes = u16::try_from(minutes.get()).unwrap_or(u16::MAX);
                Schedule::every(minutes, days, zone, days_off).map_err(|words| Mistake::new("every_min", words))
            }
            None => self
                .until
                .ok_or_else(|| "Give the time it ends, such as 09:00, or minutes in Or every".to_owned())
                .and_then(|until| Schedule::from_to((self.begins(), until), days, zone, days_off))
                .map_err(|words| Mistake::new("until", words)),
        };
        Ok(Sla {
            at_least: self.at_least,
            counted: self.counted,
            names: self.names.clone(),
            empty_files: if self.empty_files { EmptyFiles::Count } else { EmptyFiles::Ignored },
            schedule: schedule?,
            lead: self.lead_min.map(|minutes| Duration::from_mins(minutes.get())),
            grace: Duration::from_mins(self.grace_min.get()),
        })
    }

    /// When a window that has an end begins.
    fn begins(&self) -> TimeOfDay {
        self.from.unwrap_or(TimeOfDay::MIDNIGHT)
    }

    /// `At least 2 files matching *.x12 received by 09:00, Mon–Fri, Europe/Berlin`.
    pub fn in_words(&self) -> String {
        let due = self.at_least.get();
        let files = if due == 1 { "file" } else { "files" };
        let names = self.names.text();
        let matching = if names.is_empty() { String::new() } else { format!(" matching {names}") };
        let when = match &self.every_min {
            Some(minutes) => format!("every {} minutes", minutes.get()),
            None if self.begins() == TimeOfDay::MIDNIGHT => format!("by {}", self.until.text()),
            None => format!("from {} to {}", self.from.text(), self.until.text()),
        };
        let (counted, days, zone) = (self.counted.name(), self.days.text(), self.zone.text());
        format!("At least {due} {files}{matching} {counted} {when}, {days}, {zone}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> Texts {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn an_sla_says_in_words_what_is_due() {
        let (usual, _) = SlaSettings::parse(&texts(&[])).unwrap();
        assert_eq!(usual.in_words(), "At least 1 file received by 09:00, Mon–Fri, UTC");
        let pairs =
            [("at_least", "2"), ("names", "*.x12"), ("counted", "Collected"), ("every_min", "60"), ("days", "Mon–Sun")];
        let (hourly, _) = SlaSettings::parse(&texts(&pairs)).unwrap();
        assert_eq!(hourly.in_words(), "At least 2 files matching *.x12 collected every 60 minutes, Mon–Sun, UTC");
        assert_eq!(SlaSettings::read(&hourly.texts()), Ok(hourly));
    }

    #[test]
    fn times_that_do_not_apply_may_be_empty() {
        let none = [("from", ""), ("until", ""), ("every_min", "60")];
        let (hourly, _) = SlaSettings::parse(&texts(&none)).unwrap();
        assert_eq!(hourly.in_words(), "At least 1 file received every 60 minutes, Mon–Fri, UTC");
        assert_eq!(SlaSettings::read(&hourly.texts()), Ok(hourly));
        let (daily, _) = SlaSettings::parse(&texts(&[("from", ""), ("until", "10:00")])).unwrap();
        assert_eq!(daily.in_words(), "At least 1 file received by 10:00, Mon–Fri, UTC");
        let neither = SlaSettings::parse(&texts(&[("until", "")])).unwrap_err();
        let words = "Give the time it ends, such as 09:00, or minutes in Or every";
        assert_eq!(neither, [Mistake::new("until", words)]);
    }

    #[test]
    fn what_cannot_be_is_told_at_its_field() {
        for (key, value) in
            [("until", "00:00"), ("every_min", "7"), ("days", "Never"), ("at_least", "0"), ("counted", "x")]
        {
            let mistakes = SlaSettings::parse(&texts(&[(key, value)])).unwrap_err();
            assert_eq!(mistakes[0].key, key, "{mistakes:?}");
        }
    }
}
