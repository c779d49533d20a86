//! Audit: who changed what, newest first.

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::list;
use crate::base::clock::Timestamp;
use crate::store::audit::{self, Entered};
use crate::store::receipt::Cursor;
use crate::store::{Db, StoreError};
use crate::web::context::Context;
use crate::web::csv::{self, Paged};
use crate::web::error::WebError;
use crate::web::shell::{Nav, Shell, html};
use crate::web::table::address;
use crate::web::view::{PAGE_SIZE, Time, cursor};

/// Which changes.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Asked {
    /// Part of the subject's name.
    #[serde(default)]
    subject: String,
    /// The row beside it.
    #[serde(default)]
    before: String,
}

/// The same changes as CSV, all of them.
pub async fn export(context: Context, Query(asked): Query<Asked>) -> Response {
    csv::file(&context, "audit", OfSubject(asked.subject))
}

/// Part of the subject's name.
struct OfSubject(String);

impl Paged for OfSubject {
    const COLUMNS: &'static [&'static str] = &["id", "at", "who", "remote", "subject", "key", "before", "after"];
    type Row = Entered;

    async fn page(&self, db: &Db, before: Option<&Cursor>, count: i64) -> Result<Vec<Entered>, StoreError> {
        audit::newest_first(db, &self.0, before, count).await
    }

    fn place(row: &Entered) -> (Timestamp, &str) {
        (row.at, &row.id)
    }

    fn cells(one: Entered) -> Vec<String> {
        vec![one.id, one.at.to_string(), one.who, one.remote, one.subject, one.key, one.before, one.after]
    }
}

struct Row {
    at: Time,
    who: String,
    remote: String,
    subject: String,
    key: String,
    before: String,
    after: String,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    shell: Shell,
    subject: String,
    rows: Vec<Row>,
    older: String,
    csv: String,
}

/// The table.
pub async fn show(context: Context, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let before = cursor(&asked.before);
    let subject = OfSubject(asked.subject);
    let (found, older) = list::page(&context, &subject, before.as_ref(), PAGE_SIZE).await?;
    let older = older.map(|before| [("subject", subject.0.clone()), ("before", before)]);
    let older = older.map(serde_urlencoded::to_string).transpose().map_err(WebError::internal)?;
    let rows = found.into_iter().map(|one| Row {
        at: one.at.into(),
        who: one.who,
        remote: one.remote,
        subject: one.subject,
        key: one.key,
        before: one.before,
        after: one.after,
    });
    let page = AuditPage {
        shell: Shell::new(&context, "Audit", Nav::Administrators).await?,
        subject: subject.0.trim().to_owned(),
        rows: rows.collect(),
        csv: address("/audit.csv", &[("subject", subject.0.trim())]),
        older: older.map(|query| format!("/audit?{query}")).unwrap_or_default(),
    };
    Ok(html(&page)?.into_response())
}
