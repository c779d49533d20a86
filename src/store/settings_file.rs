//! All settings as one text (TOML): `waybill export` prints it and `waybill import` reads it. It contains no passwords,
//! secrets, certificates or users, so it may be kept beside other configuration.
//!
//! Always: what is written reads back as the same settings.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;

use super::exported::{Arrow, Settings};
use super::import_parts::Kind;
use super::open::{Db, StoreError};
use super::{action, arrow, connector, event_target, profile, sla};
use crate::domain::appliance::ApplianceSettings;
use crate::domain::connector::ConnectorSettings;
use crate::domain::profile::Profile;
use crate::domain::setting::{Mistake, Texts};

/// Bytes of one file.
pub const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;

const HEAD: &str = "# Settings of Waybill. Passwords, secrets, certificates and users are not in it.\n\
     # Read in, it changes what is here and adds what is missing; what it leaves out stays as it is.\n";

/// The contents of a file. A part that is left out is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SettingsFile {
    /// The appliance's settings.
    pub settings: Texts,
    /// The FTP server's.
    pub profile: Texts,
    /// Connectors by their ids.
    pub connectors: BTreeMap<String, Texts>,
    /// What is passed along to whom.
    pub flows: Vec<Arrow>,
    /// SLAs of connectors.
    pub slas: Vec<Part>,
    /// Actions of connectors.
    pub actions: Vec<Part>,
    /// Event targets.
    pub event_targets: Vec<Part>,
}

/// One SLA, action or event target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Part {
    /// Identifies it; empty: its contents do.
    pub id: String,
    /// Its connector; empty for an event target.
    pub connector: String,
    /// Its settings.
    #[serde(flatten)]
    pub texts: Texts,
}

impl SettingsFile {
    /// Everything in force.
    pub async fn read(db: &Db) -> Result<Self, StoreError> {
        let whole = |table, texts: &Texts| -> Texts {
            Settings::of(table, texts)
                .iter()
                .map(|(setting, value)| (setting.key.to_owned(), value.to_owned()))
                .collect()
        };
        let found = connector::all(db).await?;
        let owner = |key: &str| found.iter().find(|one| one.id.key() == key).map(|one| one.id.to_string());
        let part = |kind: Kind, id: String, key: &str, texts: &Texts| {
            let connector = owner(key).unwrap_or_default();
            Part { id, connector, texts: whole(kind.table(), texts) }
        };
        let slas = sla::all(db).await?.into_iter();
        let slas = slas.map(|one| part(Kind::Sla, one.id, &one.connector_key, &one.texts)).collect();
        let actions = action::stored(db).await?.into_iter();
        let actions = actions.map(|one| part(Kind::Action, one.id, &one.connector_key, &one.texts)).collect();
        let targets = event_target::all(db).await?.into_iter();
        let event_targets = targets.map(|one| part(Kind::EventTarget, one.id, "", &one.texts)).collect();
        let connectors =
            found.iter().map(|found| (found.id.to_string(), whole(ConnectorSettings::SETTINGS, &found.stored.texts)));
        Ok(Self {
            settings: whole(ApplianceSettings::SETTINGS, &profile::load_appliance(db).await?.texts),
            profile: whole(Profile::SETTINGS, &profile::load(db).await?.texts),
            connectors: connectors.collect(),
            flows: Arrow::all(&arrow::map(db).await?),
            slas,
            actions,
            event_targets,
        })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It is not such a file: where, and what would be right.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        if text.len() > FILE_BYTES_MAX {
            return Err(Mistake::new("text", format!("The file has {} bytes; {FILE_BYTES_MAX} are read", text.len())));
        }
        basic_toml::from_str(text).map_err(|error| {
            Mistake::new("text", format!("This is no file of settings: {error}; values are texts in quotes"))
        })
    }

    /// The file as text: settings in the order of the pages.
    pub fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        let mut part = |head: &str, table: &'static [_], texts: &Texts| {
            if !texts.is_empty() {
                let _ = write!(text, "\n[{head}]\n");
            }
            let settings: &[crate::domain::setting::Setting] = table;
            for setting in settings {
                if let Some(value) = texts.get(setting.key) {
                    let _ = writeln!(text, "{} = {}", setting.key, quoted(value));
                }
            }
        };
        part("settings", ApplianceSettings::SETTINGS, &self.settings);
        part("profile", Profile::SETTINGS, &self.profile);
        for (id, texts) in &self.connectors {
            part(&format!("connectors.{}", quoted(id)), ConnectorSettings::SETTINGS, texts);
        }
        for Arrow { from, to, on_error } in &self.flows {
            let _ = write!(text, "\n[[flows]]\nfrom = {}\nto = {}\non_error = {on_error}\n", quoted(from), quoted(to));
        }
        for kind in Kind::ALL {
            for Part { id, connector, texts } in kind.of(self) {
                let _ = write!(text, "\n[[{}]]\n", kind.place());
                let named = [("id", id.as_str()), ("connector", connector)];
                let settings = kind.table().iter();
                let settings = settings.filter_map(|setting| Some((setting.key, texts.get(setting.key)?.as_str())));
                for (key, value) in named.into_iter().filter(|(_, value)| !value.is_empty()).chain(settings) {
                    let _ = writeln!(text, "{key} = {}", quoted(value));
                }
            }
        }
        text
    }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_file_of_settings_is_told_with_its_place() {
        for (text, words) in [
            ("[profile]\nport = 21\n", "expected a string"),
            ("[profil]\n", "unknown field `profil`"),
            ("[profile\n", "line 1"),
            ("[[flows]]\nfrom = \"a\"\n", "missing field `to`"),
        ] {
            let mistake = SettingsFile::parse(text).unwrap_err();
            assert!(mistake.message.contains(words), "{text}: {}", mistake.message);
        }
        assert_eq!(SettingsFile::parse("").unwrap(), SettingsFile::default());
        let large = "#".repeat(FILE_BYTES_MAX + 1);
        assert!(SettingsFile::parse(&large).unwrap_err().message.contains("bytes"));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(welcome in "(?s).{0,20}", id in "[A-Za-z0-9][A-Za-z0-9._-]{0,8}", on_error in any::<bool>()) {
            let one = |key: &str, value: &str| Texts::from([(key.to_owned(), value.to_owned())]);
            let file = SettingsFile {
                settings: one("public_host", &id),
                profile: one("welcome_message", &welcome),
                connectors: BTreeMap::from([(id.clone(), one("description", &welcome))]),
                actions: vec![Part { id: id.clone(), connector: String::new(), texts: one("names", &welcome) }],
                event_targets: vec![Part { texts: one("url", &welcome), ..Part::default() }],
                slas: vec![Part { connector: id.clone(), ..Part::default() }],
                flows: vec![Arrow { from: id, to: welcome, on_error }],
            };
            prop_assert_eq!(SettingsFile::parse(&file.text()), Ok(file));
        }
    }
}
