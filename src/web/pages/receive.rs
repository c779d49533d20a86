//! The Receive table, of all connectors or of one, and one receipt of it.

use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::Response;
use serde::Deserialize;

use super::connector::{Head, Tab, find};
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::base::id::{ReceiptId, SessionId};
use crate::domain::receipt::{Ending, Proof, Status};
use crate::store::receipt::{self, Cursor, Direction, Receipt, Search};
use crate::web::context::{Ctx, ok};
use crate::web::error::WebError;
use crate::web::shell::{Nav, Shell, sample_ids};
use crate::web::view::{Badge, Choice, Moment, ROWS, address, cursor, place, rows};

/// Receipts that are counted; more read "more than".
pub const COUNTED_MAX: i64 = 10_000;
/// Connectors offered in the filter.
const OFFERED_MAX: usize = 500;

/// What is asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// Part of name or path, or a whole id or SHA-256.
    pub q: String,
    /// A connector's id.
    pub connector: String,
    /// A status.
    pub status: String,
    /// `today`, `24h`, `7d`, `30d` or empty.
    pub since: String,
    /// Rows on a page.
    pub n: Option<i64>,
    /// The page begins older than this row.
    pub before: String,
    /// The page ends newer than this row.
    pub after: String,
    /// The row that is open.
    pub open: String,
    /// The table is of one connector, and the address says so already.
    pub at_one: bool,
}

/// Times that can be chosen.
const SINCE: [(&str, &str); 4] =
    [("today", "Today"), ("24h", "Last 24 hours"), ("7d", "Last 7 days"), ("30d", "Last 30 days")];

impl Asked {
    /// What the database is asked.
    pub fn search(&self, now: Timestamp) -> Search {
        let hours = |n: u64| Some(now.minus(Duration::from_secs(n * 3_600)));
        let text = self.q.trim();
        Search {
            connector_key: Some(self.connector.to_ascii_lowercase()).filter(|key| !key.is_empty()),
            status: Status::parse(&self.status),
            text: Some(text.to_owned()).filter(|text| !text.is_empty()),
            since: match self.since.as_str() {
                "today" => Some(now.minus(Duration::from_secs(now.seconds().unsigned_abs() % 86_400))),
                "24h" => hours(24),
                "7d" => hours(7 * 24),
                "30d" => hours(30 * 24),
                _ => None,
            },
        }
    }

    /// The page with this filter that begins at the newest row, as an address relative to the open page.
    pub fn newest(&self) -> String {
        let fixed = if self.at_one { "connector" } else { "" };
        let address = self.at("", fixed, &[]);
        if address.is_empty() { "?".to_owned() } else { address }
    }

    /// The address of this filter at `path` with one more value; places and the open row are left out.
    fn at(&self, path: &str, without: &str, with: &[(&str, &str)]) -> String {
        let n = self.n.filter(|n| ROWS.contains(n)).map(|n| n.to_string()).unwrap_or_default();
        let all = [
            ("q", self.q.as_str()),
            ("connector", self.connector.as_str()),
            ("status", self.status.as_str()),
            ("since", self.since.as_str()),
            ("n", n.as_str()),
        ];
        let mut query: Vec<(&str, &str)> = all.into_iter().filter(|(key, _)| *key != without).collect();
        query.extend(with);
        address(path, &query)
    }
}

/// One row.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its id, for links.
    pub id: String,
    /// The client's path below Receive.
    pub name: String,
    /// The stored name, if it differs; else empty.
    pub stored: String,
    /// The connector's id.
    pub connector: String,
    /// Its size.
    pub size: String,
    /// Where it is now.
    pub status: Badge,
    /// When it was complete.
    pub at: Moment,
    /// The address that opens or closes it.
    pub toggle: String,
    /// All of it, if it is open.
    pub open: Option<Box<Detail>>,
}

/// A filter that is in force.
#[derive(Clone, Debug)]
pub struct Chip {
    /// What it is.
    pub words: String,
    /// The address without it.
    pub without: String,
}

/// All of a receipt.
#[derive(Clone, Debug)]
pub struct Detail {
    /// Its id.
    pub id: String,
    /// Names and values, in order.
    pub facts: Vec<Fact>,
    /// Its digest.
    pub sha256: String,
    /// Its connector, if it is still there.
    pub connector: String,
}

/// One fact of a receipt.
#[derive(Clone, Debug)]
pub struct Fact {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Can be typed or copied.
    pub mono: bool,
    /// An address to follow; empty for none.
    pub link: String,
}

impl Detail {
    /// All of `receipt`, as it reads at `now`.
    pub fn of(receipt: &Receipt, now: Timestamp) -> Self {
        let mut facts = Vec::new();
        let mut add = |name: &str, value: String, mono: bool, link: String| {
            facts.push(Fact { name: name.to_owned(), value, mono, link });
        };
        let took = receipt.completed_at.since(receipt.begun_at);
        add("Receive Id", receipt.id.to_string(), true, String::new());
        add("Uploaded as", receipt.client_path.clone(), true, String::new());
        add("Stored as", receipt.stored_path.clone(), true, String::new());
        add("Size", size_words(receipt.size_bytes), false, String::new());
        let tls = if receipt.tls.is_empty() { "in clear text" } else { &receipt.tls };
        add("From", format!("{}, {tls}", receipt.remote_address), false, String::new());
        add("Begun", Moment::whole(receipt.begun_at, now).text, false, String::new());
        let completed = Moment::whole(receipt.completed_at, now).text;
        add("Completed", format!("{completed}, after {} ms", took.as_millis()), false, String::new());
        add("Ending", receipt.ending.label().to_owned(), false, String::new());
        add("Proof", format!("{}: {}", receipt.proof.name(), receipt.proof.label()), false, String::new());
        if receipt.resumed_from > 0 {
            add("Resumed from", size_words(receipt.resumed_from), false, String::new());
        }
        if receipt.ascii {
            add("Type", "ASCII (TYPE A)".to_owned(), false, String::new());
        }
        for (name, value) in &receipt.headers {
            let shown = if value.is_empty() { "none".to_owned() } else { value.clone() };
            add(name, shown, !value.is_empty(), String::new());
        }
        if let Some(first) = &receipt.duplicate_of {
            add("Duplicate of", first.to_string(), true, format!("/activity/receive/{first}"));
        }
        add("Session", receipt.session_id.to_string(), true, String::new());
        Self { id: receipt.id.to_string(), facts, sha256: receipt.sha256.clone(), connector: receipt.connector.clone() }
    }
}

fn size_words(bytes: u64) -> String {
    if bytes < 1_000 {
        human::size(bytes)
    } else {
        format!("{}, {} bytes", human::size(bytes), human::thousands(bytes))
    }
}

/// The table with its filters; a part of two pages.
#[derive(Clone, Debug)]
pub struct Table {
    /// Where the filter form leads.
    pub path: String,
    /// What is asked for.
    pub asked: Asked,
    /// Connectors to choose; empty: the table is of one.
    pub connectors: Vec<Choice>,
    /// Statuses to choose.
    pub statuses: Vec<Choice>,
    /// Times to choose.
    pub times: Vec<Choice>,
    /// Numbers of rows to choose.
    pub sizes: Vec<Choice>,
    /// Filters in force.
    pub chips: Vec<Chip>,
    /// How many match, in words.
    pub counted: String,
    /// The rows.
    pub rows: Vec<Row>,
    /// The address of the next older page; empty: there is none.
    pub older: String,
    /// The address of the next newer page; empty: there is none.
    pub newer: String,
    /// The address of the newest page with this filter.
    pub newest: String,
    /// The query of the stream of new rows.
    pub live: String,
}

impl Table {
    /// Whether something is filtered.
    pub fn is_filtered(&self) -> bool {
        !self.chips.is_empty()
    }

    /// Whether the table is of one connector.
    pub fn of_one(&self) -> bool {
        self.connectors.is_empty()
    }

    /// A table for tests.
    pub fn sample(path: &str) -> Self {
        let receipt = sample_receipt();
        let row = row(&receipt, Timestamp::default(), String::new(), true);
        Self {
            path: path.to_owned(),
            asked: Asked::default(),
            connectors: vec![Choice::new("acme-edi", "acme-edi", true)],
            statuses: vec![Choice::new("in_receive", "In Receive", false)],
            times: vec![Choice::new("today", "Today", true)],
            sizes: vec![Choice::new("50", "50", true)],
            chips: vec![Chip { words: "Received: today".to_owned(), without: path.to_owned() }],
            counted: "1 file".to_owned(),
            rows: vec![row],
            older: path.to_owned(),
            newer: path.to_owned(),
            newest: path.to_owned(),
            live: "table=receive".to_owned(),
        }
    }
}

/// A receipt for tests, with a hostile name.
pub fn sample_receipt() -> Receipt {
    let ids = sample_ids();
    Receipt {
        id: ReceiptId::new(&ids),
        connector: "acme-edi".to_owned(),
        name: "<script>alert(1)</script>.x12".to_owned(),
        client_path: "/Receive/<script>alert(1)</script>.x12".to_owned(),
        stored_path: "/Receive/orders-1.x12".to_owned(),
        size_bytes: 48_219,
        sha256: "b1946ac92492d2347c6235b4d2611184aa03c1f7e2d94b8c5f60718293a4a3f2".to_owned(),
        headers: vec![("SubFolder".to_owned(), String::new())],
        begun_at: Timestamp::default(),
        completed_at: Timestamp::default(),
        remote_address: "198.51.100.7".to_owned(),
        tls: String::new(),
        session_id: SessionId::new(&ids),
        ending: Ending::Closed,
        resumed_from: 1_000,
        ascii: true,
        proof: Proof::C,
        duplicate_of: Some(ReceiptId::new(&ids)),
        status: Status::InReceive,
        publishing: false,
        inode: 0,
        staged_name: String::new(),
    }
}

/// The page of all.
#[derive(Debug, Template)]
#[template(path = "receive.html")]
pub struct ReceivePage {
    shell: Shell,
    table: Table,
}

impl ReceivePage {
    /// A page for tests.
    pub fn sample() -> Self {
        Self { shell: Shell::sample(Nav::Activity), table: Table::sample("/activity/receive") }
    }
}

/// The page of one connector.
#[derive(Debug, Template)]
#[template(path = "connector_receive.html")]
pub struct ConnectorReceivePage {
    shell: Shell,
    head: Head,
    table: Table,
}

impl ConnectorReceivePage {
    /// A page for tests: an empty table.
    pub fn sample() -> Self {
        let table = Table {
            connectors: Vec::new(),
            rows: Vec::new(),
            chips: Vec::new(),
            ..Table::sample("/connectors/acme-edi/receive")
        };
        Self { shell: Shell::sample(Nav::Flows), head: Head::sample(Tab::Receive), table }
    }
}

/// The page of one receipt.
#[derive(Debug, Template)]
#[template(path = "receipt.html")]
pub struct ReceiptPage {
    shell: Shell,
    name: String,
    status: Badge,
    detail: Detail,
}

impl ReceiptPage {
    /// A page for tests.
    pub fn sample() -> Self {
        let receipt = sample_receipt();
        Self {
            shell: Shell::sample(Nav::Activity),
            name: receipt.name.clone(),
            status: Badge::of_status(receipt.status),
            detail: Detail::of(&receipt, Timestamp::default()),
        }
    }
}

/// Shows the table of all connectors.
pub async fn show(ctx: Ctx, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let snapshot = ctx.state.live.snapshot();
    let connectors = snapshot.connectors_sorted();
    let connectors = connectors.iter().take(OFFERED_MAX).map(|live| {
        let id = live.connector.id.as_str();
        Choice::new(id, id, id.eq_ignore_ascii_case(&asked.connector))
    });
    let mut choices: Vec<Choice> = vec![Choice::new("", "All connectors", asked.connector.is_empty())];
    choices.extend(connectors);
    let table = table(&ctx, "/activity/receive", asked, choices).await?;
    let mut shell = Shell::of(&ctx, Nav::Activity).await?;
    shell.live.clone_from(&table.live);
    ok(&ReceivePage { shell, table })
}

/// Shows the table of one connector.
pub async fn of_connector(ctx: Ctx, Path(id): Path<String>, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let live = find(&ctx, &id)?;
    let id = live.connector.id.as_str();
    let asked = Asked { connector: id.to_owned(), ..asked };
    let table = table(&ctx, &format!("/connectors/{id}/receive"), asked, Vec::new()).await?;
    let mut shell = Shell::of(&ctx, Nav::Flows).await?;
    shell.live.clone_from(&table.live);
    ok(&ConnectorReceivePage { shell, head: Head::of(&ctx, &live, Tab::Receive), table })
}

/// Shows one receipt.
pub async fn one(ctx: Ctx, Path(id): Path<String>) -> Result<Response, WebError> {
    let id = ReceiptId::parse(&id).ok_or_else(WebError::not_found)?;
    let receipt = receipt::find(&ctx.state.db, &id).await?;
    let receipt = receipt.filter(|receipt| !receipt.publishing).ok_or_else(WebError::not_found)?;
    ok(&ReceiptPage {
        shell: Shell::of(&ctx, Nav::Activity).await?,
        name: receipt.name.clone(),
        status: Badge::of_status(receipt.status),
        detail: Detail::of(&receipt, ctx.now()),
    })
}

async fn table(ctx: &Ctx, path: &str, asked: Asked, connectors: Vec<Choice>) -> Result<Table, WebError> {
    let (now, count) = (ctx.now(), rows(asked.n));
    let search = asked.search(now);
    let from = |text: &str| cursor(text).map(|(completed_at, id)| Cursor { completed_at, id });
    let (older_than, newer_than) = (from(&asked.before), from(&asked.after));
    let start = older_than.as_ref().map(|cursor| (Direction::Older, cursor));
    let start = start.or(newer_than.as_ref().map(|cursor| (Direction::Newer, cursor)));
    // One more than is shown tells whether there is another page.
    let mut found = receipt::page(&ctx.state.db, &search, start, count + 1).await?;
    let more = i64::try_from(found.len()).is_ok_and(|len| len > count);
    let upwards = older_than.is_none() && newer_than.is_some();
    if more {
        if upwards { drop(found.remove(0)) } else { drop(found.pop()) }
    }
    let is_fixed = connectors.is_empty();
    let fixed = if is_fixed { "connector" } else { "" };
    let link = |key: &str, receipt: &Receipt| {
        asked.at(path, fixed, &[(key, &place(receipt.completed_at, receipt.id.as_str()))])
    };
    let older = found.last().filter(|_| more || upwards).map(|last| link("before", last));
    let newer = found.first().filter(|_| if upwards { more } else { older_than.is_some() });
    let newer = newer.map(|first| link("after", first));
    let newest = if start.is_none() { found.first() } else { None };
    let top = newest.map_or_else(|| place(now, ""), |first| place(first.completed_at, first.id.as_str()));
    let one = if is_fixed { "true" } else { "false" };
    let live = if start.is_none() {
        asked.at("", "", &[("table", "receive"), ("at_one", one), ("after", &top)])
    } else {
        String::new()
    };
    let counted = receipt::count(&ctx.state.db, &search, COUNTED_MAX + 1).await?;
    let table_rows = found.iter().map(|receipt| {
        let open = receipt.id.as_str() == asked.open;
        let here = [("before", asked.before.as_str()), ("after", asked.after.as_str())];
        let opened = [here[0], here[1], ("open", receipt.id.as_str())];
        let toggle = asked.at(path, fixed, if open { &here } else { &opened });
        row(receipt, now, toggle, open)
    });
    Ok(Table {
        statuses: choices(&asked.status, "Any state", Status::ALL.iter().skip(1).map(|s| (s.name(), s.label()))),
        times: choices(&asked.since, "Any time", SINCE.into_iter()),
        sizes: ROWS.iter().map(|n| Choice::new(n.to_string(), n.to_string(), *n == count)).collect(),
        chips: chips(&asked, path, is_fixed),
        counted: counted_words(counted),
        rows: table_rows.collect(),
        older: older.unwrap_or_default(),
        newer: newer.unwrap_or_default(),
        newest: asked.at(path, fixed, &[]),
        live: live.trim_start_matches('?').to_owned(),
        path: path.to_owned(),
        connectors,
        asked,
    })
}

fn choices<'a>(chosen: &str, any: &str, all: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<Choice> {
    let mut choices = vec![Choice::new("", any, chosen.is_empty())];
    choices.extend(all.map(|(value, words)| Choice::new(value, words, value == chosen)));
    choices
}

fn counted_words(counted: u64) -> String {
    let most = COUNTED_MAX.unsigned_abs();
    if counted > most {
        format!("More than {} files", human::thousands(most))
    } else {
        human::count(counted, "file", "files")
    }
}

fn chips(asked: &Asked, path: &str, is_fixed: bool) -> Vec<Chip> {
    let fixed = if is_fixed { "connector" } else { "" };
    let since = SINCE.iter().find(|(value, _)| *value == asked.since).map(|(_, words)| words.to_lowercase());
    let status = Status::parse(&asked.status).map(|status| status.label().to_owned());
    let filters = [
        ("q", "Search", Some(asked.q.trim().to_owned())),
        ("connector", "Connector", Some(asked.connector.clone()).filter(|_| !is_fixed)),
        ("status", "State", status),
        ("since", "Received", since),
    ];
    let chip = |(key, name, value): (&str, &str, Option<String>)| {
        let value = value.filter(|value| !value.is_empty())?;
        let mut rest = asked.clone();
        match key {
            "q" => rest.q.clear(),
            "connector" => rest.connector.clear(),
            "status" => rest.status.clear(),
            _ => rest.since.clear(),
        }
        Some(Chip { words: format!("{name}: {value}"), without: rest.at(path, fixed, &[]) })
    };
    filters.into_iter().filter_map(chip).collect()
}

fn row(receipt: &Receipt, now: Timestamp, toggle: String, open: bool) -> Row {
    let name = receipt.client_path.strip_prefix("/Receive/").unwrap_or(&receipt.client_path);
    let stored = receipt.stored_path.strip_prefix("/Receive/").unwrap_or(&receipt.stored_path);
    Row {
        id: receipt.id.to_string(),
        name: name.to_owned(),
        stored: if stored == name { String::new() } else { stored.to_owned() },
        connector: receipt.connector.clone(),
        size: human::size(receipt.size_bytes),
        status: Badge::of_status(receipt.status),
        at: Moment::new(receipt.completed_at, now),
        toggle,
        open: open.then(|| Box::new(Detail::of(receipt, now))),
    }
}
