//! Everything as it leaves Waybill in JSON: for the command line, the API and webhooks. Names and order of the fields do not
//! change.

use serde::{Serialize, Serializer};

use super::connector::StoredConnector;
use super::setting::Stored;
use super::{event, receipt};
use crate::base::id::ReceiptId;
use crate::domain::connector::ConnectorSettings;
use crate::domain::setting::{Setting, Texts};

/// Every setting of a table with the value that is in force, in the order of the pages.
pub struct Settings<'a> {
    table: &'static [Setting],
    texts: &'a Texts,
}

impl<'a> Settings<'a> {
    /// Those of `table`, where `texts` is stored.
    pub const fn of(table: &'static [Setting], texts: &'a Texts) -> Self {
        Self { table, texts }
    }

    /// Each key with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Setting, &'a str)> {
        self.table.iter().map(|setting| (setting, self.texts.get(setting.key).map_or(setting.default, String::as_str)))
    }

    /// The value of one; empty where there is no such setting.
    fn value(&self, key: &str) -> &'a str {
        self.iter().find(|(setting, _)| setting.key == key).map_or("", |(_, value)| value)
    }
}

impl Serialize for Settings<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(setting, value)| (setting.key, value)))
    }
}

/// A group of settings with its version.
#[derive(Serialize)]
pub struct Group<'a> {
    version: i64,
    changed_at: Option<String>,
    changed_by: &'a str,
    settings: Settings<'a>,
}

impl<'a> Group<'a> {
    /// All of it.
    pub fn of(stored: &'a Stored, table: &'static [Setting]) -> Self {
        Self {
            version: stored.version,
            changed_at: (stored.version > 0).then(|| stored.changed_at.to_string()),
            changed_by: &stored.changed_by,
            settings: Settings::of(table, &stored.texts),
        }
    }
}

/// A connector in a list. Names and order of the fields do not change.
#[derive(Serialize)]
pub struct Connector<'a> {
    /// Its id as written.
    pub id: &'a str,
    /// What stands behind it.
    pub r#type: &'a str,
    /// `on` or `off`.
    pub enabled: &'a str,
    /// Its label.
    pub group: &'a str,
    /// Who it is.
    pub description: &'a str,
    created_at: String,
}

impl<'a> Connector<'a> {
    /// What a list tells of it.
    pub fn of(found: &'a StoredConnector) -> Self {
        let settings = Settings::of(ConnectorSettings::SETTINGS, &found.stored.texts);
        Self {
            id: found.id.as_str(),
            r#type: settings.value("type"),
            enabled: settings.value("enabled"),
            group: settings.value("group"),
            description: settings.value("description"),
            created_at: found.created_at.to_string(),
        }
    }
}

/// One connector with all its settings. No password and no secret is among them.
#[derive(Serialize)]
pub struct WholeConnector<'a> {
    id: &'a str,
    created_at: String,
    #[serde(flatten)]
    group: Group<'a>,
}

impl<'a> WholeConnector<'a> {
    /// All of it.
    pub fn of(found: &'a StoredConnector) -> Self {
        Self {
            id: found.id.as_str(),
            created_at: found.created_at.to_string(),
            group: Group::of(&found.stored, ConnectorSettings::SETTINGS),
        }
    }
}

/// A receipt as exported. Names and order of the fields do not change.
#[derive(Serialize)]
pub struct Receipt<'a> {
    id: &'a str,
    connector: &'a str,
    name: &'a str,
    path: &'a str,
    size_bytes: u64,
    sha256: &'a str,
    status: &'static str,
    ending: &'static str,
    proof: &'static str,
    begun_at: String,
    completed_at: String,
    remote_address: &'a str,
    tls: &'a str,
    stored_path: &'a str,
    session_id: &'a str,
    #[serde(serialize_with = "as_object")]
    headers: &'a [(String, String)],
    resumed_from: u64,
    r#type: &'static str,
    duplicate_of: Option<&'a str>,
}

impl<'a> Receipt<'a> {
    /// All of it.
    pub fn of(row: &'a receipt::Receipt) -> Self {
        Self {
            id: row.id.as_str(),
            connector: &row.connector,
            name: &row.name,
            path: &row.client_path,
            size_bytes: row.size_bytes,
            sha256: &row.sha256,
            status: row.status.name(),
            ending: row.ending.name(),
            proof: row.proof.name(),
            begun_at: row.begun_at.to_string(),
            completed_at: row.completed_at.to_string(),
            remote_address: &row.remote_address,
            tls: &row.tls,
            stored_path: &row.stored_path,
            session_id: row.session_id.as_str(),
            headers: &row.headers,
            resumed_from: row.resumed_from,
            r#type: if row.ascii { "A" } else { "I" },
            duplicate_of: row.duplicate_of.as_ref().map(ReceiptId::as_str),
        }
    }
}

fn as_object<S: Serializer>(headers: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(headers.iter().map(|(name, value)| (name, value)))
}

/// An event as exported. Names and order of the fields do not change.
#[derive(Serialize)]
pub struct Event<'a> {
    id: &'a str,
    kind: &'static str,
    at: String,
    connector: &'a str,
    session_id: &'a str,
    receipt_id: Option<&'a str>,
    remote: &'a str,
    summary: &'a str,
}

impl<'a> Event<'a> {
    /// All of it.
    pub fn of(row: &'a event::Event) -> Self {
        Self {
            id: row.id.as_str(),
            kind: row.kind.name(),
            at: row.at.to_string(),
            connector: &row.connector,
            session_id: &row.session_id,
            receipt_id: row.receipt_id.as_ref().map(ReceiptId::as_str),
            remote: &row.remote,
            summary: &row.summary,
        }
    }
}
