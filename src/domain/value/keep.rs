//! How long something of one connector is kept.

use super::number::Whole;
use super::typed;
use crate::domain::setting::{Input, Value};

/// The text of [`KeepDays::Forever`].
const FOREVER: &str = "forever";

/// Days that something of one connector is kept, if different from the settings of the appliance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepDays {
    /// As the settings of the appliance say.
    AsSettings,
    /// For ever.
    Forever,
    /// That many days.
    Days(Whole<1, 36_500>),
}

impl KeepDays {
    /// The days in force, where the appliance's setting is `settings`; `None` is for ever.
    pub fn or(self, settings: Option<u64>) -> Option<u64> {
        match self {
            Self::AsSettings => settings,
            Self::Forever => None,
            Self::Days(days) => Some(days.get()),
        }
    }

    /// Whether the connector has a retention of its own.
    pub fn is_own(self) -> bool {
        self != Self::AsSettings
    }
}

impl Value for KeepDays {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "" => Ok(Self::AsSettings),
            word if word.eq_ignore_ascii_case(FOREVER) => Ok(Self::Forever),
            days => Whole::parse(days).map(Self::Days).map_err(|_| {
                let typed = typed(days);
                format!("{typed} is neither a number of days from 1 to 36500 nor forever; empty is as in Settings")
            }),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::AsSettings => String::new(),
            Self::Forever => FOREVER.to_owned(),
            Self::Days(days) => days.text(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_for_ever_or_as_the_settings_say() {
        for (text, in_force) in [("", Some(90)), ("forever", None), ("7", Some(7)), (" Forever ", None)] {
            let keep = KeepDays::parse(text).unwrap();
            assert_eq!(keep.or(Some(90)), in_force, "{text:?}");
            assert_eq!(KeepDays::parse(&keep.text()), Ok(keep));
            assert_eq!(keep.is_own(), !text.is_empty());
        }
        let wrong = KeepDays::parse("0").unwrap_err();
        assert!(wrong.starts_with("0 is neither a number of days from 1 to 36500 nor forever"), "{wrong}");
    }
}
