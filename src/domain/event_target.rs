//! Event targets: who is told of events by webhook, whichever connector they concern.

use super::event::EventKind;
use super::setting::{Mistake, Texts, Value};
use super::value::{AlertKinds, EventChoice, EventKinds, Label, WebAddress};
use crate::settings;

settings! {
    /// The settings of one event target.
    pub struct EventTargetSettings {
        description: Label = "", "Description",
            "Who receives them; for you only.";
        url: Option<WebAddress> = "", "Address",
            "Where each event is posted to, such as https://monitor.example.com/waybill.";
        which: EventChoice = "all", "Events",
            "Which events are posted.";
        kinds: EventKinds = "", "Chosen events",
            "Those that are posted when only chosen ones are.";
        enabled: bool = "on", "Event target enabled",
            "Off makes no new deliveries; those that wait go on.";
    }
}

/// One event target.
#[derive(Clone, Debug, PartialEq)]
pub struct EventTarget {
    /// Its id.
    pub id: String,
    /// Its settings.
    pub settings: EventTargetSettings,
}

impl EventTarget {
    /// Whether an event of that kind is posted to it. `alerts` are the kinds that somebody is alerted of.
    pub fn wants(&self, kind: EventKind, alerts: &AlertKinds) -> bool {
        // A test is only for the target it was requested for.
        self.settings.enabled
            && kind != EventKind::Test
            && match self.settings.which {
                EventChoice::All => true,
                EventChoice::Alerts => alerts.contains(kind),
                EventChoice::Chosen => self.settings.kinds.contains(kind),
            }
    }
}

impl EventTargetSettings {
    /// Reads and checks all of it.
    ///
    /// # Errors
    /// Every mistake, in words.
    pub fn parse(texts: &Texts) -> Result<Self, Vec<Mistake>> {
        let settings = Self::read(texts)?;
        if settings.url.is_none() {
            let words = "An event target needs the address it posts to, such as https://monitor.example.com/waybill";
            return Err(vec![Mistake::new("url", words)]);
        }
        if settings.which == EventChoice::Chosen && settings.kinds.text().is_empty() {
            return Err(vec![Mistake::new("kinds", "No event is chosen; choose one, or all of them above")]);
        }
        Ok(settings)
    }

    /// `All events to https://…`.
    pub fn in_words(&self) -> String {
        let what = match self.which {
            EventChoice::All => "All events".to_owned(),
            EventChoice::Alerts => "Alerts".to_owned(),
            EventChoice::Chosen => self.kinds.text().replace(',', ", "),
        };
        format!("{what} to {}", self.address())
    }

    /// Where it posts to.
    pub fn address(&self) -> String {
        self.url.text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<EventTarget, Vec<Mistake>> {
        let texts = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        EventTargetSettings::parse(&texts).map(|settings| EventTarget { id: "1".to_owned(), settings })
    }

    #[test]
    fn a_target_gets_all_events_alerts_or_chosen_ones_and_no_test_of_another() {
        let url = ("url", "https://m.example.com/");
        let alerts = AlertKinds::parse("disk_low").unwrap();
        let wants = |pairs: &[(&str, &str)]| {
            let target = parse(&[&[url], pairs].concat()).unwrap();
            [EventKind::AfterReceive, EventKind::DiskLow, EventKind::Test].map(|kind| target.wants(kind, &alerts))
        };
        assert_eq!(wants(&[]), [true, true, false]);
        assert_eq!(wants(&[("which", "alerts")]), [false, true, false]);
        let chosen = [("which", "chosen"), ("kinds", "after_receive")];
        assert_eq!(wants(&chosen), [true, false, false]);
        assert_eq!(wants(&[("enabled", "off")]), [false; 3]);
        let words = parse(&[&[url], &chosen[..]].concat()).unwrap().settings.in_words();
        assert_eq!(words, "after_receive to https://m.example.com/");
        assert_eq!(parse(&[]).unwrap_err()[0].key, "url");
        assert_eq!(parse(&[url, ("which", "chosen")]).unwrap_err()[0].key, "kinds");
    }
}
