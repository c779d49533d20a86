//! Receipts and events as they leave Waybill: for the command line and for webhooks. Names and order of the fields do not
//! change.

use serde::{Serialize, Serializer};

use super::{event, receipt};
use crate::base::id::ReceiptId;

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
