//! Mail: who it is from, who it is for, and what it is about.

use super::events::{Named, Offered, chosen, names, offered};
use super::{list, typed};
use crate::domain::event::EventKind;
use crate::domain::setting::{Input, Value};

/// Addresses in one list.
const ADDRESSES_MAX: usize = 50;
/// Bytes of the part before the `@` and of the whole (RFC 5321, section 4.5.3.1).
const LOCAL_BYTES_MAX: usize = 64;
const ADDRESS_BYTES_MAX: usize = 254;
/// Characters of a [`Subject`].
const SUBJECT_CHARS_MAX: usize = 80;

/// One mail address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailAddress(String);

impl MailAddress {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for MailAddress {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        let address = text.trim();
        let wrong = || format!("{} isn't a mail address such as transfers@example.com", typed(text));
        let (local, host) = address.rsplit_once('@').ok_or_else(wrong)?;
        let is_local = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+/=?^_`{|}~.-".contains(c);
        let local_fits = !local.is_empty() && local.len() <= LOCAL_BYTES_MAX && local.chars().all(is_local);
        let dots_fit = !local.starts_with('.') && !local.ends_with('.') && !local.contains("..");
        let label_fits = |label: &str| {
            let inner = label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
            !label.is_empty() && inner && !label.starts_with('-') && !label.ends_with('-')
        };
        if local_fits && dots_fit && host.split('.').all(label_fits) && address.len() <= ADDRESS_BYTES_MAX {
            Ok(Self(address.to_owned()))
        } else {
            Err(wrong())
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// Recipients of mail; may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailAddresses(Vec<MailAddress>);

impl MailAddresses {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &MailAddress> {
        self.0.iter()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Value for MailAddresses {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        let mut addresses: Vec<MailAddress> = Vec::new();
        for (place, item) in list(text) {
            let address = MailAddress::parse(item).map_err(|words| place.clone() + &words)?;
            if addresses.len() >= ADDRESSES_MAX {
                return Err(format!("{place}{item} is one address too many: at most {ADDRESSES_MAX} fit"));
            }
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Ok(Self(addresses))
    }

    fn text(&self) -> String {
        self.0.iter().map(MailAddress::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// How the subject of a letter begins: never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject(String);

impl Subject {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Subject {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        let subject = text.trim();
        if subject.is_empty() {
            return Err("An alert needs a subject to begin with, such as Waybill:".to_owned());
        }
        if subject.chars().count() > SUBJECT_CHARS_MAX || subject.chars().any(char::is_control) {
            return Err(format!("{} doesn't fit: {SUBJECT_CHARS_MAX} characters on one line", typed(text)));
        }
        Ok(Self(subject.to_owned()))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// The kinds of events that alerts are sent about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertKinds(Vec<EventKind>);

impl AlertKinds {
    /// Every event that can be one.
    const ALL: [Named; 13] = [
        (EventKind::DeliveryFailed, "A delivery was given up"),
        (EventKind::ActionFailed, "What an action does was given up"),
        (EventKind::SlaAtRisk, "An SLA is at risk"),
        (EventKind::SlaViolated, "An SLA was violated"),
        (EventKind::SlaLate, "An SLA was met late"),
        (EventKind::RefusalsMany, "A partner was refused often"),
        (EventKind::PartnerNotSeen, "A partner has not signed in for long"),
        (EventKind::StorageFailing, "Storage fails"),
        (EventKind::DiskLow, "The disk fills up"),
        (EventKind::ListenerNotBound, "The FTP server could not listen"),
        (EventKind::CertificateExpiring, "A certificate expires"),
        (EventKind::CertificateFailed, "An authority did not issue a certificate"),
        (EventKind::BackupFailed, "A backup could not be made"),
    ];
    const OFFERED: [Offered; Self::ALL.len()] = offered(Self::ALL);

    /// Whether that kind is chosen.
    pub fn contains(&self, kind: EventKind) -> bool {
        self.0.contains(&kind)
    }
}

impl Value for AlertKinds {
    const INPUT: Input = Input::Choices(&Self::OFFERED);

    fn parse(text: &str) -> Result<Self, String> {
        chosen(text, &Self::ALL).map(Self)
    }

    fn text(&self) -> String {
        written(&Self::ALL, &self.0)
    }
}

/// The kinds of events that alerts about one partner are sent about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartnerAlertKinds(Vec<EventKind>);

impl PartnerAlertKinds {
    /// Every event that can be one: those of [`AlertKinds`] that concern a partner.
    const ALL: [Named; 9] = [
        (EventKind::DeliveryFailed, "A delivery was given up"),
        (EventKind::ActionFailed, "What an action does was given up"),
        (EventKind::SlaAtRisk, "An SLA is at risk"),
        (EventKind::SlaViolated, "An SLA was violated"),
        (EventKind::SlaLate, "An SLA was met late"),
        (EventKind::RefusalsMany, "It was refused often"),
        (EventKind::PartnerNotSeen, "It has not signed in for long"),
        (EventKind::StorageFailing, "Its storage fails"),
        (EventKind::CertificateExpiring, "A certificate that it is presented expires"),
    ];
    const OFFERED: [Offered; Self::ALL.len()] = offered(Self::ALL);

    /// Whether that kind is chosen; `None` if it does not concern a partner.
    pub fn tells(&self, kind: EventKind) -> Option<bool> {
        Self::ALL.iter().any(|(known, _)| *known == kind).then(|| self.0.contains(&kind))
    }
}

impl Value for PartnerAlertKinds {
    const INPUT: Input = Input::Choices(&Self::OFFERED);

    fn parse(text: &str) -> Result<Self, String> {
        chosen(text, &Self::ALL).map(Self)
    }

    fn text(&self) -> String {
        written(&Self::ALL, &self.0)
    }
}

/// The names of those chosen, in the order of all.
fn written(all: &[Named], chosen: &[EventKind]) -> String {
    names(all.iter().map(|(kind, _)| *kind).filter(|kind| chosen.contains(kind)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_addresses_are_read_one_or_several() {
        for good in ["a@b", "transfers+edi@mail.example.com", "o'brien@example.com"] {
            assert_eq!(MailAddress::parse(&format!(" {good} ")).map(|one| one.text()), Ok(good.to_owned()));
        }
        for wrong in
            ["", "a", "a@", "@b", "a b@c", "a@b..c", ".a@b", "a..b@c", "a@-b", "a@b\r\nBcc: c@d", "ü@b", "a@b@c d"]
        {
            assert!(MailAddress::parse(wrong).is_err(), "{wrong}");
        }
        let several = MailAddresses::parse("a@b, c@d\na@b").unwrap();
        assert_eq!(several.text(), "a@b, c@d");
        assert!(MailAddresses::parse("").unwrap().is_empty());
        assert!(MailAddresses::parse("a@b\nc").unwrap_err().starts_with("line 2: c isn't a mail address"));
    }

    #[test]
    fn every_alert_about_a_partner_is_one_of_all() {
        let all = names(PartnerAlertKinds::ALL.into_iter().map(|(kind, _)| kind));
        assert_eq!(AlertKinds::parse(&all).map(|kinds| kinds.text()), Ok(all));
        assert!(AlertKinds::parse("disk_low").is_ok() && PartnerAlertKinds::parse("disk_low").is_err());
        assert!(AlertKinds::parse("login_failed").is_err());
        let one = PartnerAlertKinds::parse("sla_late").unwrap();
        let kinds = [EventKind::SlaLate, EventKind::SlaAtRisk, EventKind::DiskLow];
        assert_eq!(kinds.map(|kind| one.tells(kind)), [Some(true), Some(false), None]);
        assert!(!AlertKinds::parse("").unwrap().contains(EventKind::SlaLate));
    }
}
