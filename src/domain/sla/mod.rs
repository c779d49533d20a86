//! SLAs: how many files are due in which windows, and how each window stands (PRODUCT 10).
//!
//! Always: windows are half-open, so that a file completed at the moment one ends belongs to the next. The state of a
//! window follows from the moment and the counts alone, so it can be reconstructed afterwards.

mod schedule;
mod settings;

use std::time::Duration;

pub use schedule::{Schedule, Window, Windows};
pub use settings::SlaSettings;

use super::filter::Filter;
use super::value::{Whole, ZoneName};
use crate::base::clock::Timestamp;
use crate::base::words::words;

words! {
    /// Which files count.
    pub enum Counted {
        /// Files that partners collected from Send.
        Collected = "collected";
        /// Files that were received.
        Received = "received";
    }
}

/// Whether empty files count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyFiles {
    /// Like any other.
    Count,
    /// Not at all.
    Ignored,
}

/// A moment in the local time of `zone`: `Fri 27 Nov 09:00`.
pub fn shown(at: Timestamp, zone: &ZoneName) -> String {
    zone.zone().to_datetime(at.calendar()).strftime("%a %-d %b %H:%M").to_string()
}

words! {
    /// The state of a window.
    pub enum State {
        /// Not ended, and nothing to warn about.
        Pending = "pending";
        /// Enough files in time.
        Met = "met";
        /// Short of files with no more than the lead time left, or in its grace.
        AtRisk = "at_risk";
        /// Ended, including its grace, without enough files.
        Violated = "violated";
        /// Enough files, the last of them in the grace.
        Late = "late";
    }
}

impl State {
    /// Whether this state never changes again.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Met | Self::Violated | Self::Late)
    }
}

/// Files that counted, by the time they were completed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Within the window.
    pub in_window: u64,
    /// After its end, within the grace.
    pub in_grace: u64,
}

/// What is due from or to one partner. In words: at least `at_least` files matching `names` `counted` in each window.
#[derive(Clone, Debug)]
pub struct Sla {
    /// Files due in each window.
    pub at_least: Whole<1, 1_000_000>,
    /// Which way they go.
    pub counted: Counted,
    /// Which names count; empty: all.
    pub names: Filter,
    /// Whether empty files count.
    pub empty_files: EmptyFiles,
    /// The windows.
    pub schedule: Schedule,
    /// How long before its end a window that lacks files is at risk; none: never before its end.
    pub lead: Option<Duration>,
    /// How long after its end files make a window late rather than violated; zero: never.
    pub grace: Duration,
}

impl Sla {
    /// Whether a file of that name and size counts. The name is the last component of its path, and never a temporary
    /// one.
    pub fn counts(&self, name: &str, size_bytes: u64) -> bool {
        (size_bytes > 0 || self.empty_files == EmptyFiles::Count) && self.names.accepts(name)
    }

    /// When the state of `window` is final.
    pub fn settled_at(&self, window: Window) -> Timestamp {
        window.end.plus(self.grace)
    }

    /// The state of `window` at `now`, if `counts` files were completed by then.
    pub fn state(&self, window: Window, counts: Counts, now: Timestamp) -> State {
        let due = self.at_least.get();
        if counts.in_window >= due {
            return State::Met;
        }
        if counts.in_window.saturating_add(counts.in_grace) >= due {
            return State::Late;
        }
        if now >= self.settled_at(window) {
            return State::Violated;
        }
        match self.lead {
            // The lead time may be longer than the window: then it is at risk from the beginning.
            Some(lead) if now >= window.start && now >= window.end.minus(lead) => State::AtRisk,
            _ => State::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::setting::Value;
    use crate::domain::value::{DaysOff, TimeOfDay, Weekdays};

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    const MINUTE: Duration = Duration::from_mins(1);

    fn sla(at_least: u64, lead: Option<Duration>, grace: Duration) -> Sla {
        let days = Weekdays::parse("Mon–Fri").unwrap();
        let until = TimeOfDay::parse("09:00").unwrap();
        let zone = ZoneName::parse("Europe/Berlin").unwrap();
        Sla {
            at_least: Whole::new(at_least).unwrap(),
            counted: Counted::Received,
            names: Filter::parse("").unwrap(),
            empty_files: EmptyFiles::Ignored,
            schedule: Schedule::from_to((TimeOfDay::MIDNIGHT, until), days, zone, DaysOff::default()).unwrap(),
            lead,
            grace,
        }
    }

    fn friday(sla: &Sla) -> Window {
        let window = sla.schedule.between(at("2026-11-26T23:00:00Z"), at("2026-11-26T23:00:01Z")).next().unwrap();
        assert_eq!((window.start, window.end), (at("2026-11-26T23:00:00Z"), at("2026-11-27T08:00:00Z")));
        window
    }

    #[test]
    fn one_file_by_nine_is_at_risk_half_an_hour_before_and_violated_at_nine() {
        let sla = sla(1, Some(30 * MINUTE), Duration::ZERO);
        let window = friday(&sla);
        let none = Counts::default();
        let just_before = |moment: &str| at(moment).minus(Duration::from_micros(1));
        assert_eq!(sla.state(window, none, just_before("2026-11-27T07:30:00Z")), State::Pending);
        assert_eq!(sla.state(window, none, at("2026-11-27T07:30:00Z")), State::AtRisk);
        assert_eq!(sla.state(window, none, just_before("2026-11-27T08:00:00Z")), State::AtRisk);
        assert_eq!(sla.state(window, none, at("2026-11-27T08:00:00Z")), State::Violated);
        let one = Counts { in_window: 1, in_grace: 0 };
        assert_eq!(sla.state(window, one, at("2026-11-27T07:45:00Z")), State::Met);
    }

    #[test]
    fn a_grace_makes_late_of_violated() {
        let sla = sla(2, Some(30 * MINUTE), 60 * MINUTE);
        let window = friday(&sla);
        let one = Counts { in_window: 1, in_grace: 0 };
        assert_eq!(sla.state(window, one, at("2026-11-27T08:30:00Z")), State::AtRisk, "there is time yet");
        assert_eq!(sla.state(window, Counts { in_grace: 1, ..one }, at("2026-11-27T08:30:00Z")), State::Late);
        assert_eq!(sla.state(window, one, at("2026-11-27T09:00:00Z")), State::Violated);
    }

    #[test]
    fn without_a_lead_time_nothing_is_at_risk() {
        let sla = sla(1, None, 60 * MINUTE);
        assert_eq!(sla.state(friday(&sla), Counts::default(), at("2026-11-27T08:59:59Z")), State::Pending);
    }

    #[test]
    fn files_count_by_name_and_size() {
        let mut sla = sla(1, None, Duration::ZERO);
        sla.names = Filter::parse("*.x12").unwrap();
        assert!(sla.counts("po.X12", 1) && !sla.counts("po.edi", 1) && !sla.counts("po.x12", 0));
        sla.empty_files = EmptyFiles::Count;
        assert!(sla.counts("po.x12", 0));
    }

    #[test]
    fn names_never_change() {
        assert_eq!(State::ALL.map(State::name).join(" "), "pending met at_risk violated late");
        for state in State::ALL {
            assert_eq!(State::parse(state.name()), Some(state));
        }
        assert_eq!(Counted::parse("received"), Some(Counted::Received));
        assert_eq!(Counted::parse("collected"), Some(Counted::Collected));
        assert_eq!(Counted::parse("sent"), None);
    }

    proptest! {
        /// Time and files only increase: a final state stays, and no state comes back.
        #[test]
        fn a_window_never_goes_back(
            due in 1_u64..4,
            lead in proptest::option::of(0_u32..2_000),
            grace in 0_u32..300,
            files in proptest::collection::vec(-700_i64..400, 0..6),
        ) {
            let sla = sla(due, lead.map(|minutes| minutes * MINUTE), grace * MINUTE);
            let window = friday(&sla);
            let settled = sla.settled_at(window);
            let completed: Vec<_> = files.iter().map(|m| Timestamp::from_us(window.end.us() + m * 60_000_000)).collect();
            let order = |state: State| match state {
                State::Pending => 0,
                State::AtRisk => 1,
                State::Met | State::Late | State::Violated => 2,
            };
            let mut last = State::Pending;
            for minute in -800_i64..=500 {
                let now = Timestamp::from_us(window.end.us() + minute * 60_000_000);
                let counted = |from, to| completed.iter().filter(|at| (from..to).contains(*at) && **at <= now).count() as u64;
                let counts = Counts {
                    in_window: counted(window.start, window.end),
                    in_grace: counted(window.end, settled),
                };
                let state = sla.state(window, counts, now);
                prop_assert!(order(state) >= order(last), "{last:?} became {state:?}");
                prop_assert!(!last.is_final() || state == last, "{last:?} became {state:?}");
                prop_assert!(state.is_final() || now < settled);
                last = state;
            }
        }
    }
}
