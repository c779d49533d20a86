//! Audit: who changed what, newest first.

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::list;
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::domain::action::ActionSettings;
use crate::domain::appliance::ApplianceSettings;
use crate::domain::connector::ConnectorSettings;
use crate::domain::event_target::EventTargetSettings;
use crate::domain::profile::Profile;
use crate::domain::setting::Setting;
use crate::domain::sla::SlaSettings;
use crate::store::audit::{self, Entered};
use crate::store::receipt::Cursor;
use crate::store::{Db, StoreError};
use crate::web::context::Context;
use crate::web::csv::{self, Paged};
use crate::web::error::WebError;
use crate::web::shell::{Nav, Shell, html};
use crate::web::table::address;
use crate::web::view::{PAGE_SIZE, Time, place, typed_moment};

/// Which changes.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Asked {
    /// Part of the subject's name.
    #[serde(default)]
    subject: String,
    /// The row beside the page.
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

/// The changed setting, by its name on the form; without a form, as stored.
pub(super) fn named(subject: &str, key: String) -> String {
    const PARTS: [(&str, &[Setting]); 3] = [
        ("SLA", SlaSettings::SETTINGS),
        ("action", ActionSettings::SETTINGS),
        ("event target", EventTargetSettings::SETTINGS),
    ];
    let label = |table: &[Setting], key: &str| table.iter().find(|one| one.key == key).map(|one| one.label.to_owned());
    let own = match subject.split(' ').next() {
        Some("profile") => Profile::SETTINGS,
        Some("settings") => ApplianceSettings::SETTINGS,
        Some("connector") => ConnectorSettings::SETTINGS,
        _ => return key,
    };
    let of_part = |(what, table): &(&str, &'static [Setting])| {
        let label = label(table, key.strip_prefix(what)?.trim_start())?;
        Some(format!("{what}: {}", human::lower_first(&label)))
    };
    label(own, &key).or_else(|| PARTS.iter().find_map(of_part)).unwrap_or(key)
}

/// A value beside the one that replaced it.
pub(super) fn shown(value: String) -> String {
    if value.is_empty() { "empty".to_owned() } else { value }
}

struct Row {
    at: Time,
    who: String,
    remote: String,
    subject: String,
    name: String,
    /// Its name on the command line, if the form has another.
    key: String,
    before: String,
    after: String,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    shell: Shell,
    subject: String,
    /// The time that the page lies before, if one was requested.
    before: String,
    rows: Vec<Row>,
    older: String,
    csv: String,
}

/// The table.
pub async fn show(context: Context, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let before = place(&asked.before);
    let subject = OfSubject(asked.subject);
    let (found, older) = list::page(&context, &subject, before.as_ref(), PAGE_SIZE).await?;
    let older = older.map(|before| [("subject", subject.0.clone()), ("before", before)]);
    let older = older.map(serde_urlencoded::to_string).transpose().map_err(WebError::internal)?;
    let rows = found.into_iter().map(|one| {
        let name = named(&one.subject, one.key.clone());
        Row {
            at: one.at.into(),
            who: one.who,
            remote: one.remote,
            key: if name == one.key { String::new() } else { one.key },
            name,
            subject: one.subject,
            before: one.before,
            after: one.after,
        }
    });
    let page = AuditPage {
        shell: Shell::new(&context, "Audit", Nav::Administrators).await?,
        subject: subject.0.trim().to_owned(),
        before: typed_moment(&asked.before),
        rows: rows.collect(),
        csv: address("/audit.csv", &[("subject", subject.0.trim())]),
        older: older.map(|query| format!("/audit?{query}")).unwrap_or_default(),
    };
    Ok(html(&page)?.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_by_the_name_that_forms_have_for_it() {
        for (subject, key, name) in [
            ("profile", "sessions_max", "Sessions in all"),
            ("settings", "time_zone", "Time zone"),
            ("connector Acme", "settle_s", "Settle"),
            ("connector Acme", "SLA grace_min", "SLA: grace"),
            ("connector Acme", "action", "action"),
            ("connector Acme", "action mail_to", "action: recipients"),
            ("settings", "event target url", "event target: address"),
            ("connector Acme", "added", "added"),
            ("administrator mira", "role", "role"),
            ("certificate port", "port", "port"),
        ] {
            assert_eq!(named(subject, key.to_owned()), name, "{subject}: {key}");
        }
    }
}
