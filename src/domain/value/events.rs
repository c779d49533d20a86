//! Chosen kinds of events.

use super::{list, typed};
use crate::domain::event::EventKind;
use crate::domain::setting::{Input, Value};

/// Chosen kinds of events; may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventKinds(Vec<EventKind>);

impl EventKinds {
    /// Every kind that can be chosen: a test is for the one it was asked for.
    const ALL: [Named; 29] = [
        (EventKind::AfterReceive, "A file was received"),
        (EventKind::AfterSend, "A file was collected"),
        (EventKind::BeforeSend, "An action was asked before a file was sent"),
        (EventKind::DeliveryFailed, "A delivery was given up"),
        (EventKind::ActionFailed, "What an action does was given up"),
        (EventKind::SlaAtRisk, "An SLA is at risk"),
        (EventKind::SlaViolated, "An SLA was violated"),
        (EventKind::SlaLate, "An SLA was met late"),
        (EventKind::SlaMet, "An SLA that was at risk was met"),
        (EventKind::RefusalsMany, "A partner was refused often"),
        (EventKind::PartnerNotSeen, "A partner has not signed in for long"),
        (EventKind::StoredNameIncomplete, "A stored name lacks a part"),
        (EventKind::LoginFailed, "A partner’s login failed"),
        (EventKind::AdministratorSignedIn, "An administrator signed in"),
        (EventKind::AdministratorSignInFailed, "An administrator’s sign-in failed"),
        (EventKind::BackupMade, "A backup was made"),
        (EventKind::BackupFailed, "A backup could not be made"),
        (EventKind::CertificateIssued, "An authority issued a certificate"),
        (EventKind::CertificateFailed, "An authority did not issue a certificate"),
        (EventKind::CertificateExpiring, "A certificate expires"),
        (EventKind::StorageFailing, "Storage fails"),
        (EventKind::DiskLow, "The disk fills up"),
        (EventKind::PassiveAddressUnresolved, "The Passive Address could not be resolved"),
        (EventKind::ListenerChanged, "The FTP server began to listen, or stopped"),
        (EventKind::ListenerNotBound, "The FTP server could not listen"),
        (EventKind::Recovered, "What was found and done at start"),
        (EventKind::Expired, "Old records were removed"),
        (EventKind::UnfinishedPurged, "Unfinished uploads were removed"),
        (EventKind::UnfinishedDropped, "An unfinished upload made room for another"),
    ];
    const OFFERED: [Offered; Self::ALL.len()] = offered(Self::ALL);

    /// Whether that kind was chosen.
    pub fn contains(&self, kind: EventKind) -> bool {
        self.0.contains(&kind)
    }
}

impl Value for EventKinds {
    const INPUT: Input = Input::Choices(&Self::OFFERED);

    fn parse(text: &str) -> Result<Self, String> {
        chosen(text, &Self::ALL).map(Self)
    }

    fn text(&self) -> String {
        names(EventKind::ALL.into_iter().filter(|kind| self.contains(*kind)))
    }
}

/// A kind of event, and words for people.
pub(super) type Named = (EventKind, &'static str);
/// The same as a page offers it.
pub(super) type Offered = (&'static str, &'static str);

/// What a page offers of these.
pub(super) const fn offered<const N: usize>(named: [Named; N]) -> [Offered; N] {
    let mut offered = [("", ""); N];
    let mut at = 0;
    while at < N {
        offered[at] = (named[at].0.name(), named[at].1);
        at += 1;
    }
    offered
}

/// The kinds that a list names, each once, out of those that are `known`.
pub(super) fn chosen(text: &str, known: &[Named]) -> Result<Vec<EventKind>, String> {
    let mut kinds = Vec::new();
    for (place, item) in list(text) {
        let found = known.iter().map(|(kind, _)| *kind).find(|kind| kind.name() == item);
        let kind = found.ok_or_else(|| {
            let all = known.iter().map(|(kind, _)| kind.name()).collect::<Vec<_>>().join(", ");
            format!("{place}{} isn't one of {all}", typed(item))
        })?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

/// Their names, as they are stored.
pub(super) fn names(kinds: impl Iterator<Item = EventKind>) -> String {
    kinds.map(EventKind::name).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_but_a_test_can_be_chosen() {
        let all = names(EventKind::ALL.into_iter().filter(|kind| *kind != EventKind::Test));
        assert_eq!(EventKinds::parse(&all).map(|kinds| kinds.text()), Ok(all));
        assert!(EventKinds::parse("test").is_err() && EventKinds::parse("").unwrap().text().is_empty());
    }
}
