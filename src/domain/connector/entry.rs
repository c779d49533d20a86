//! One partner: its id, its settings, and their effect together with the profile's.

use std::net::IpAddr;

use super::{ConnectorId, ConnectorSettings};
use crate::base::clock::Timestamp;
use crate::domain::copies;
use crate::domain::filter::Filter;
use crate::domain::profile::Profile;
use crate::domain::refusal::Rule;
use crate::domain::value::{ConnectorTls, ConnectorType, FolderText, RequireTls, ValidityDate};

/// One trading partner.
#[derive(Clone, Debug, PartialEq)]
pub struct Connector {
    /// Its id, which is also the partner's user name.
    pub id: ConnectorId,
    /// Counts the saves; two people editing notice each other by it.
    pub version: i64,
    /// Its settings.
    pub settings: ConnectorSettings,
}

/// Why nobody can sign in with a connector now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyNot {
    /// It is switched off.
    Disabled,
    /// Its last day has passed.
    Expired {
        /// When it ended.
        since: Timestamp,
    },
    /// Its first day has not come.
    NotYetValid {
        /// When it begins.
        from: Timestamp,
    },
}

impl WhyNot {
    /// The rule that refuses the login.
    pub const fn rule(self) -> Rule {
        match self {
            Self::Disabled => Rule::ConnectorDisabled,
            Self::Expired { .. } => Rule::ConnectorExpired,
            Self::NotYetValid { .. } => Rule::ConnectorNotYetValid,
        }
    }
}

impl Connector {
    /// The folder for Send, absolute or below the Root Directory.
    pub fn input_folder_text(&self) -> String {
        self.folder(&self.settings.input_folder, "Send")
    }

    /// The folder for Receive, absolute or below the Root Directory.
    pub fn output_folder_text(&self) -> String {
        self.folder(&self.settings.output_folder, "Receive")
    }

    fn folder(&self, own: &FolderText, default: &str) -> String {
        if own.is_empty() { format!("{}/{default}", self.id) } else { own.as_str().to_owned() }
    }

    /// The filter in force: its own, or the profile's.
    pub const fn filter<'a>(&'a self, profile: &'a Profile) -> &'a Filter {
        self.settings.allowed_files_filter.or(&profile.allowed_files_filter)
    }

    /// What is refused in clear to a client at `remote`.
    pub fn tls_required(&self, profile: &Profile, remote: IpAddr) -> RequireTls {
        match self.settings.require_tls {
            ConnectorTls::Login => RequireTls::Login,
            ConnectorTls::LoginAndData => RequireTls::LoginAndData,
            ConnectorTls::PlainAllowed if self.settings.allowed_addresses.contains(remote) => RequireTls::None,
            ConnectorTls::PlainAllowed | ConnectorTls::AsProfile => profile.require_tls,
        }
    }

    /// Whether a client at `remote` may sign in, as far as its address goes.
    pub fn address_allowed(&self, remote: IpAddr) -> bool {
        self.settings.allowed_addresses.is_empty() || self.settings.allowed_addresses.contains(remote)
    }

    /// Whether anybody may sign in with it at `now`.
    pub fn valid_at(&self, now: Timestamp) -> Result<(), WhyNot> {
        if !self.settings.enabled {
            return Err(WhyNot::Disabled);
        }
        if let Some(from) = self.settings.valid_from.map(ValidityDate::start).filter(|from| now < *from) {
            return Err(WhyNot::NotYetValid { from });
        }
        match self.settings.valid_until.map(ValidityDate::end).filter(|end| *end <= now) {
            Some(since) => Err(WhyNot::Expired { since }),
            None => Ok(()),
        }
    }

    /// When a file received at that time has settled: from then on its event is delivered and it is passed along.
    pub fn settles_at(&self, received: Timestamp) -> Timestamp {
        received.plus(self.settings.settle_s.seconds())
    }

    /// The most sessions it may have: its own limit, or the profile's.
    pub fn sessions_max(&self, profile: &Profile) -> usize {
        self.settings.sessions_max.unwrap_or(profile.sessions_per_connector_max).count()
    }

    /// The folder of a Folder connector, absolute or below the Root Directory.
    pub fn folder_text(&self) -> String {
        let own = &self.settings.folder;
        if own.is_empty() { self.id.to_string() } else { own.as_str().to_owned() }
    }

    /// Every folder of this connector, each with the key of the setting that names it.
    pub fn folders(&self) -> Vec<(&'static str, String)> {
        match self.settings.r#type {
            ConnectorType::FtpServer => {
                let mut folders =
                    vec![("input_folder", self.input_folder_text()), ("output_folder", self.output_folder_text())];
                if self.settings.save_to_sent_folder {
                    folders.push(("save_to_sent_folder", format!("{}/{}", self.id, copies::SENT)));
                }
                if self.settings.log_messages {
                    folders.push(("log_messages", format!("{}/{}", self.id, copies::LOG)));
                }
                folders
            }
            ConnectorType::Folder => vec![("folder", self.folder_text())],
            ConnectorType::Webhook | ConnectorType::Command => Vec::new(),
        }
    }

    /// Whether a partner signs in with it.
    pub fn is_partner(&self) -> bool {
        self.settings.r#type == ConnectorType::FtpServer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::setting::Texts;

    fn connector(pairs: &[(&str, &str)]) -> Connector {
        let texts: Texts = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let settings = ConnectorSettings::parse(&texts).unwrap();
        Connector { id: ConnectorId::parse("ACME").unwrap(), version: 1, settings }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn folders_are_the_connectors_own_unless_named() {
        let usual = connector(&[]);
        assert_eq!(
            (usual.input_folder_text(), usual.output_folder_text()),
            ("ACME/Send".into(), "ACME/Receive".into())
        );
        let named = connector(&[("input_folder", "/srv/out"), ("output_folder", "ACME/Receive/in")]);
        assert_eq!(named.input_folder_text(), "/srv/out");
        let folder = connector(&[("type", "folder")]);
        assert_eq!(folder.folders(), [("folder", "ACME".to_owned())]);
    }

    #[test]
    fn encryption_is_the_profiles_unless_the_connector_has_its_own() {
        let profile = Profile::default();
        let (near, far) = ("::ffff:10.0.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap());
        assert_eq!(connector(&[]).tls_required(&profile, near), RequireTls::LoginAndData);
        assert_eq!(connector(&[("require_tls", "login")]).tls_required(&profile, near), RequireTls::Login);
        let plain = connector(&[("require_tls", "plain_allowed"), ("allowed_addresses", "10.0.0.0/8")]);
        assert_eq!(plain.tls_required(&profile, near), RequireTls::None);
        assert_eq!(plain.tls_required(&profile, far), RequireTls::LoginAndData);
        assert!(plain.address_allowed(near) && !plain.address_allowed(far) && connector(&[]).address_allowed(far));
    }

    #[test]
    fn a_connector_is_valid_from_its_first_day_to_the_end_of_its_last() {
        let spring = connector(&[("valid_from", "2026-03-01"), ("valid_until", "2026-05-31")]);
        let (from, since) = (at("2026-03-01T00:00:00Z"), at("2026-06-01T00:00:00Z"));
        let one = std::time::Duration::from_micros(1);
        assert_eq!(spring.valid_at(from.minus(one)), Err(WhyNot::NotYetValid { from }));
        assert_eq!(spring.valid_at(from), Ok(()));
        assert_eq!(spring.valid_at(since.minus(one)), Ok(()));
        assert_eq!(spring.valid_at(since), Err(WhyNot::Expired { since }));
        let off = connector(&[("enabled", "off")]);
        assert_eq!(off.valid_at(from).map_err(WhyNot::rule), Err(Rule::ConnectorDisabled));
        assert_eq!(WhyNot::Expired { since }.rule(), Rule::ConnectorExpired);
        assert_eq!(WhyNot::NotYetValid { from }.rule(), Rule::ConnectorNotYetValid);
    }

    #[test]
    fn an_own_filter_or_number_of_sessions_replaces_the_profiles() {
        let profile = Profile::default();
        let own = connector(&[("allowed_files_filter", "*.edi"), ("sessions_max", "3")]);
        assert!(own.filter(&profile).accepts("a.edi") && !own.filter(&profile).accepts("a.zip"));
        assert!(connector(&[]).filter(&profile).accepts("a.zip"));
        assert_eq!((own.sessions_max(&profile), connector(&[]).sessions_max(&profile)), (3, 50));
    }
}
