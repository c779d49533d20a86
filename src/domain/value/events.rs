//! Chosen kinds of events.

use super::{list, typed};
use crate::domain::event::EventKind;
use crate::domain::setting::{Input, Value};

/// Chosen kinds of events; may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventKinds(Vec<EventKind>);

impl EventKinds {
    /// Whether that kind was chosen.
    pub fn contains(&self, kind: EventKind) -> bool {
        self.0.contains(&kind)
    }
}

impl Value for EventKinds {
    const INPUT: Input = Input::Choices(&[
        ("after_receive", "A file was received"),
        ("after_send", "A file was collected"),
        ("before_send", "An action was asked before a file was sent"),
        ("delivery_failed", "A delivery was given up"),
        ("action_failed", "What an action does was given up"),
        ("sla_at_risk", "An SLA is at risk"),
        ("sla_violated", "An SLA was violated"),
        ("sla_late", "An SLA was met late"),
        ("sla_met", "An SLA that was at risk was met"),
        ("refusals_many", "A partner was refused often"),
        ("partner_not_seen", "A partner has not signed in for long"),
        ("stored_name_incomplete", "A stored name lacks a part"),
        ("login_failed", "A partner’s login failed"),
        ("administrator_signed_in", "An administrator signed in"),
        ("administrator_sign_in_failed", "An administrator’s sign-in failed"),
        ("backup_made", "A backup was made"),
        ("backup_failed", "A backup could not be made"),
        ("certificate_issued", "An authority issued a certificate"),
        ("certificate_failed", "An authority did not issue a certificate"),
        ("certificate_expiring", "A certificate expires"),
        ("storage_failing", "Storage fails"),
        ("disk_low", "The disk fills up"),
        ("passive_address_unresolved", "The Passive Address could not be resolved"),
        ("listener_changed", "The FTP server began to listen, or stopped"),
        ("listener_not_bound", "The FTP server could not listen"),
        ("recovered", "What was found and done at start"),
        ("expired", "Old records were removed"),
        ("unfinished_purged", "Unfinished uploads were removed"),
        ("unfinished_dropped", "An unfinished upload made room for another"),
    ]);

    fn parse(text: &str) -> Result<Self, String> {
        chosen(text, &Self::known()).map(Self)
    }

    fn text(&self) -> String {
        let chosen = Self::known().into_iter().filter(|kind| self.contains(*kind));
        chosen.map(EventKind::name).collect::<Vec<_>>().join(",")
    }
}

impl EventKinds {
    /// Every kind that can be chosen: a test is only for the target it was requested for.
    fn known() -> Vec<EventKind> {
        EventKind::ALL.into_iter().filter(|kind| *kind != EventKind::Test).collect()
    }
}

/// The kinds named in a list, each once, if they are `known`.
pub(super) fn chosen(text: &str, known: &[EventKind]) -> Result<Vec<EventKind>, String> {
    let mut kinds = Vec::new();
    for (place, item) in list(text) {
        let kind = known.iter().copied().find(|kind| kind.name() == item).ok_or_else(|| {
            let all = known.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
            format!("{place}{} isn't one of {all}", typed(item))
        })?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_can_be_chosen() {
        let Input::Choices(offered) = EventKinds::INPUT else { panic!("they are choices") };
        let mut offered: Vec<_> = offered.iter().map(|(name, _)| *name).collect();
        let mut all: Vec<_> = EventKinds::known().into_iter().map(EventKind::name).collect();
        let text = EventKinds::parse(&all.join(",")).unwrap().text();
        assert_eq!(text, all.join(","));
        offered.sort_unstable();
        all.sort_unstable();
        assert_eq!(offered, all);
        assert!(EventKinds::parse("test").is_err() && EventKinds::parse("").unwrap().text().is_empty());
    }
}
