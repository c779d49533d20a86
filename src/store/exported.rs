//! Everything that leaves Waybill as JSON: for the command line, the API and webhooks. Names and order of the fields do
//! not change.

use serde::{Deserialize, Serialize, Serializer};

use super::connector::StoredConnector;
use super::setting::Stored;
use super::{delivery_page, event, receipt, refusal, session, transfer};
use crate::base::id::ReceiptId;
use crate::domain::connector::ConnectorSettings;
use crate::domain::flow::{self, Map};
use crate::domain::setting::{Setting, Texts};

/// Every setting of a table with its value in force, in the order of the pages.
pub struct Settings<'a> {
    table: &'static [Setting],
    texts: &'a Texts,
}

impl<'a> Settings<'a> {
    /// The settings of `table`, whose stored values are `texts`.
    pub const fn of(table: &'static [Setting], texts: &'a Texts) -> Self {
        Self { table, texts }
    }

    /// Each key with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Setting, &'a str)> {
        self.table.iter().map(|setting| (setting, self.texts.get(setting.key).map_or(setting.default, String::as_str)))
    }

    /// The value of one; empty if there is no such setting.
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
    /// Its type.
    pub r#type: &'a str,
    /// `on` or `off`.
    pub enabled: &'a str,
    /// Its label.
    pub group: &'a str,
    /// Its description.
    pub description: &'a str,
    created_at: String,
}

impl<'a> Connector<'a> {
    /// Its form in a list.
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

/// One connector with all its settings, but no password or secret.
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

/// An action or an event target. Names and order of the fields do not change.
#[derive(Serialize)]
pub struct SetOff<'a> {
    /// Its id.
    pub id: &'a str,
    /// The connector whose files an action concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connector: Option<&'a str>,
    /// All its settings, but no secret.
    pub settings: Settings<'a>,
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
    path: Option<&'a str>,
    size_bytes: Option<u64>,
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
            path: row.file.as_ref().map(|file| file.path.as_str()),
            size_bytes: row.file.as_ref().map(|file| file.size_bytes),
        }
    }
}

/// An upload or download as exported. Names and order of the fields do not change.
#[derive(Serialize)]
pub struct Transfer<'a> {
    id: &'a str,
    direction: &'static str,
    connector: &'a str,
    path: &'a str,
    bytes_moved: u64,
    offset_bytes: u64,
    begun_at: String,
    ended_at: String,
    ending: &'static str,
    complete: bool,
    remote: &'a str,
    tls: &'a str,
    session_id: &'a str,
    receipt_id: Option<&'a str>,
    reply: &'a str,
}

impl<'a> Transfer<'a> {
    /// All of it.
    pub fn of(row: &'a transfer::Transfer) -> Self {
        Self {
            id: row.id.as_str(),
            direction: row.direction.name(),
            connector: &row.connector,
            path: &row.path,
            bytes_moved: row.bytes_moved,
            offset_bytes: row.offset_bytes,
            begun_at: row.begun_at.to_string(),
            ended_at: row.ended_at.to_string(),
            ending: row.ending.name(),
            complete: row.complete,
            remote: &row.remote,
            tls: &row.tls,
            session_id: &row.session_id,
            receipt_id: row.receipt_id.as_ref().map(ReceiptId::as_str),
            reply: &row.reply,
        }
    }
}

/// An ended session as exported. Names and order of the fields do not change.
#[derive(Serialize)]
pub struct Session<'a> {
    id: &'a str,
    connector: &'a str,
    remote: &'a str,
    client: &'a str,
    tls: &'a str,
    begun_at: String,
    ended_at: String,
    ending: &'static str,
    received_files: u64,
    received_bytes: u64,
    sent_files: u64,
    sent_bytes: u64,
    failures: u64,
}

impl<'a> Session<'a> {
    /// All of it except the transcript.
    pub fn of(row: &'a session::Session) -> Self {
        let tally = row.tally;
        Self {
            id: row.id.as_str(),
            connector: &row.connector,
            remote: &row.remote,
            client: &row.client,
            tls: &row.tls,
            begun_at: row.begun_at.to_string(),
            ended_at: row.ended_at.to_string(),
            ending: row.ending.name(),
            received_files: tally.received_files,
            received_bytes: tally.received_bytes,
            sent_files: tally.sent_files,
            sent_bytes: tally.sent_bytes,
            failures: tally.failures,
        }
    }
}

/// A refusal as exported. Names and order of the fields do not change.
#[derive(Serialize)]
pub struct Refusal<'a> {
    id: &'a str,
    rule: &'static str,
    connector: &'a str,
    remote: &'a str,
    command: &'a str,
    reply: &'a str,
    detail: &'a str,
    session_id: &'a str,
    first_at: String,
    last_at: String,
    times: u64,
    transcript: &'a str,
}

impl<'a> Refusal<'a> {
    /// All of it.
    pub fn of(row: &'a refusal::Refusal) -> Self {
        Self {
            id: row.id.as_str(),
            rule: row.rule.name(),
            connector: &row.connector,
            remote: &row.remote,
            command: &row.command,
            reply: &row.reply,
            detail: &row.detail,
            session_id: &row.session_id,
            first_at: row.first_at.to_string(),
            last_at: row.last_at.to_string(),
            times: row.times,
            transcript: &row.transcript,
        }
    }
}

/// A delivery as exported, with its latest attempts. Names and order of the fields do not change.
#[derive(Serialize)]
pub struct Delivery<'a> {
    id: i64,
    receipt_id: Option<&'a str>,
    source: &'a str,
    target: &'a str,
    state: &'static str,
    attempts: u32,
    next_at: Option<String>,
    ended_at: Option<String>,
    on_error: bool,
    tries: Vec<Try<'a>>,
}

/// One attempt of a delivery.
#[derive(Serialize)]
struct Try<'a> {
    number: u32,
    at: String,
    took_ms: u64,
    outcome: &'a str,
    answer: &'a str,
}

impl<'a> Delivery<'a> {
    /// All of it.
    pub fn of(row: &'a delivery_page::Delivery, tries: &'a [delivery_page::Try]) -> Self {
        let one = |one: &'a delivery_page::Try| Try {
            number: one.number,
            at: one.at.to_string(),
            took_ms: one.took_us / 1_000,
            outcome: &one.outcome,
            answer: &one.answer,
        };
        Self {
            id: row.id,
            receipt_id: row.receipt_id.as_ref().map(ReceiptId::as_str),
            source: &row.source_key,
            target: &row.target,
            state: row.state.name(),
            attempts: row.attempts,
            next_at: row.ended_at.is_none().then(|| row.next_at.to_string()),
            ended_at: row.ended_at.map(|at| at.to_string()),
            on_error: row.on_error,
            tries: tries.iter().map(one).collect(),
        }
    }
}

/// An arrow as exported. Names and order of the fields do not change.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(deny_unknown_fields)]
pub struct Arrow {
    /// The id of the connector that receives the files.
    pub from: String,
    /// The id of the connector they are passed along to.
    pub to: String,
    /// Takes only what another arrow has given up.
    #[serde(default)]
    pub on_error: bool,
}

impl Arrow {
    /// Every arrow of the map, by the ids of its ends.
    pub fn all(map: &Map) -> Vec<Self> {
        let of = |arrow: &flow::Arrow| Self {
            from: map.written(&arrow.from),
            to: map.written(&arrow.to),
            on_error: arrow.on_error,
        };
        let mut all: Vec<_> = map.arrows.iter().map(of).collect();
        all.sort();
        all
    }
}
