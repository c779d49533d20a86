//! Acts on many received files at once: those chosen in the table, or all of its filter.
//!
//! Always: first a page says what will happen, in numbers; each file is one change of its own, so that whatever
//! interrupts the work leaves every file either untouched or done.

use std::collections::BTreeMap;

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use super::deliveries::{self, Act};
use super::{Asked, bytes};
use crate::base::human;
use crate::base::id::ReceiptId;
use crate::base::words::words;
use crate::domain::flow::Target;
use crate::domain::receipt::Status;
use crate::store::audit::{self, Entry};
use crate::store::delivery_page::{self, Delivery};
use crate::store::live::Snapshot;
use crate::store::receipt::{self, Beside, Cursor, Receipt};
use crate::transfer::depot::TransferError;
use crate::transfer::received;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};
use crate::web::tone::Tone;
use crate::web::view::cursor;

/// Files in one choice.
pub const CHOSEN_MAX: usize = 10_000;
/// Receipts read at a time.
const STEP_ROWS: i64 = 500;
/// Files that the page names; it counts the others.
const NAMED_MAX: usize = 10;

words! {
    /// The deed.
    enum Deed {
        /// All of them in one file.
        Zip = "zip";
        /// Begins every delivery to another connector anew or at once.
        PassAlong = "again";
        /// Begins every action and event delivery about them anew or at once.
        Fire = "fire";
        /// Removes them from Receive.
        Delete = "delete";
    }
}

impl Deed {
    /// Whether the deed applies to a delivery with that target.
    fn is_of(self, snapshot: &Snapshot, target: &str) -> bool {
        match Target::parse(target) {
            Some(Target::Connector(_)) => self == Self::PassAlong,
            _ => self == Self::Fire && !deliveries::asks(snapshot, target),
        }
    }
}

/// What will happen to one file.
enum Plan {
    /// It is taken out of Receive.
    Remove,
    /// These deliveries are begun.
    Begin(Vec<Delivery>),
    /// Nothing, and why.
    Leave(&'static str),
}

/// The outcome for the chosen files, past or future.
#[derive(Debug, Default)]
struct Sum {
    done: u64,
    left: BTreeMap<&'static str, u64>,
}

impl Sum {
    fn left(&mut self, why: &'static str) {
        *self.left.entry(why).or_default() += 1;
    }

    /// Each reason with its number.
    fn reasons(&self) -> Vec<String> {
        self.left
            .iter()
            .map(|(why, n)| format!("{}: {why}.", human::count(*n, "file is left", "files are left")))
            .collect()
    }
}

#[derive(Template)]
#[template(path = "receive_chosen.html")]
struct ChosenPage {
    shell: Shell,
    deed: &'static str,
    title: String,
    button: String,
    /// What it means.
    meaning: &'static str,
    /// `12 files, 3.4 MB, of acme-edi and globex`.
    of: String,
    reasons: Vec<String>,
    names: Vec<String>,
    more: String,
    /// Fields that repeat the choice.
    fields: Vec<(String, String)>,
    back: String,
    /// The number to be typed; empty if none is.
    number: String,
    error: String,
    nothing: bool,
}

/// Says what will happen; once confirmed, does it.
pub async fn choose(context: Context, posted: Posted) -> Result<Response, WebError> {
    let deed = Deed::parse(posted.text("act")).ok_or_else(WebError::not_found)?;
    let back = back(&posted);
    let (receipts, more) = chosen(&context, &posted).await?;
    if receipts.is_empty() || more {
        let text = if more {
            format!(
                "That is more than {} files. Choose fewer, such as by a filter.",
                human::thousands(CHOSEN_MAX as u64)
            )
        } else {
            "No file was chosen. Tick the files first, or all of the filter.".to_owned()
        };
        return Ok(go_back(&context, &back, Tone::Warning, text));
    }
    if deed == Deed::Zip {
        return bytes::zip(&context, receipts).await;
    }
    let typed = posted.text("number").trim().replace([',', ' '], "");
    let mut error = String::new();
    if posted.text("sure") == "on" {
        if deed != Deed::Delete || typed == receipts.len().to_string() {
            return done(context, deed, receipts, &back).await;
        }
        error = format!(
            "Type {} to delete them; what you typed was {:?}. Nothing was deleted.",
            receipts.len(),
            posted.text("number")
        );
    }
    let refused = !error.is_empty();
    let page = page(&context, deed, &receipts, (&posted, error)).await?;
    let status = if refused { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok((status, html(&page)?).into_response())
}

/// Runs to its end even if the browser does not wait.
async fn done(context: Context, deed: Deed, receipts: Vec<Receipt>, back: &str) -> Result<Response, WebError> {
    let worker = context.clone();
    let work = tokio::spawn(async move {
        let mut sum = Sum::default();
        for receipt in receipts {
            carry_out(&worker, deed, &receipt, &mut sum).await?;
        }
        Ok::<_, WebError>(sum)
    });
    let sum = work.await.map_err(WebError::internal)??;
    let files = human::count(sum.done, "file", "files");
    let what = match deed {
        Deed::Delete => format!("Deleted {files}."),
        Deed::PassAlong => format!("{files} passed along again; each is tried within a second, in their order."),
        Deed::Fire | Deed::Zip => format!("Events of {files} fired again; each is tried within a second."),
    };
    let text = std::iter::once(what).chain(sum.reasons()).collect::<Vec<_>>().join(" ");
    let tone = if sum.left.is_empty() { Tone::Good } else { Tone::Warning };
    Ok(go_back(&context, back, tone, text))
}

/// Back to the table, with a message.
fn go_back(context: &Context, back: &str, tone: Tone, text: String) -> Response {
    context.leave(back.split('?').next().unwrap_or_default(), Note { tone, text, password: None });
    Redirect::to(back).into_response()
}

async fn carry_out(context: &Context, deed: Deed, receipt: &Receipt, sum: &mut Sum) -> Result<(), WebError> {
    match plan(context, deed, receipt).await? {
        Plan::Leave(why) => sum.left(why),
        Plan::Remove => match remove(context, &receipt.id).await? {
            Ok(()) => sum.done += 1,
            Err(why) => sum.left(why),
        },
        Plan::Begin(deliveries) => {
            let mut begun = Err("nothing could be begun");
            for one in &deliveries {
                let act = if one.state.has_ended() { Act::Again } else { Act::Fire };
                match deliveries::act(context, one, act).await? {
                    Ok(_) => begun = Ok(()),
                    Err(_) if begun.is_err() => begun = Err("its bytes are not here any more, or it ended meanwhile"),
                    Err(_) => {}
                }
            }
            match begun {
                Ok(()) => sum.done += 1,
                Err(why) => sum.left(why),
            }
        }
    }
    Ok(())
}

const WAITS: &str = "it waits to be passed along; stop that first";
const NOT_THERE: &str = "it is not in Receive any more";

async fn remove(context: &Context, id: &ReceiptId) -> Result<Result<(), &'static str>, WebError> {
    let state = &context.state;
    let removed = match received::remove(&state.depot, &state.live.snapshot(), id).await {
        Ok(removed) => removed,
        Err(TransferError::Busy) => return Ok(Err(WAITS)),
        Err(TransferError::NotFound) => return Ok(Err(NOT_THERE)),
        Err(error) => return Err(WebError::internal(error)),
    };
    let subject = format!("receipt {id}");
    let entry = Entry { subject: &subject, key: "removed", before: &removed.stored_path, after: "" };
    context.changing(async |change| audit::note(&state.db, change, &entry).await).await?;
    Ok(Ok(()))
}

async fn plan(context: &Context, deed: Deed, receipt: &Receipt) -> Result<Plan, WebError> {
    if deed == Deed::Delete {
        return Ok(match receipt.status {
            Status::InReceive => Plan::Remove,
            Status::Waiting => Plan::Leave(WAITS),
            _ => Plan::Leave(NOT_THERE),
        });
    }
    let snapshot = context.state.live.snapshot();
    let mut all = delivery_page::of_receipt(&context.state.db, &receipt.id).await?;
    all.retain(|one| deed.is_of(&snapshot, &one.target));
    Ok(match (all.is_empty(), deed) {
        (false, _) => Plan::Begin(all),
        (true, Deed::PassAlong) => Plan::Leave("it was never passed to another connector"),
        (true, _) => Plan::Leave("no action or event target was told of it"),
    })
}

async fn page(
    context: &Context,
    deed: Deed,
    receipts: &[Receipt],
    (posted, error): (&Posted, String),
) -> Result<ChosenPage, WebError> {
    let mut sum = Sum::default();
    for receipt in receipts {
        match plan(context, deed, receipt).await? {
            Plan::Leave(why) => sum.left(why),
            Plan::Remove | Plan::Begin(_) => sum.done += 1,
        }
    }
    let files = human::count(sum.done, "file", "files");
    let (title, button, meaning) = match deed {
        Deed::Delete => (
            format!("Delete {files}?"),
            format!("Delete {files}"),
            "They leave Receive and cannot be brought back. Their receipts stay and say Removed.",
        ),
        Deed::PassAlong => (
            format!("Pass {files} along again?"),
            format!("Pass {files} along again"),
            "Every connector that was to have them gets them once more, with the same event id; what still waits is tried now.",
        ),
        Deed::Fire | Deed::Zip => (
            format!("Fire the events of {files} again?"),
            "Fire them again".to_owned(),
            "Every action and event target that was told of them is told once more, with the same event id and a higher \
             attempt.",
        ),
    };
    let mut partners: Vec<_> = receipts.iter().map(|receipt| receipt.connector.as_str()).collect();
    partners.sort_unstable();
    partners.dedup();
    let partners = match partners.as_slice() {
        [one] => (*one).to_owned(),
        many => human::count(many.len() as u64, "connector", "connectors"),
    };
    let bytes = receipts.iter().map(|receipt| receipt.size_bytes).sum();
    let count = receipts.len() as u64;
    let mark = if error.is_empty() { "" } else { "Error: " };
    Ok(ChosenPage {
        shell: Shell::new(context, format!("{mark}{title}"), Nav::Activity).await?,
        deed: deed.name(),
        button,
        meaning,
        of: format!("Chosen: {}, {}, of {partners}.", human::count(count, "file", "files"), human::size(bytes)),
        reasons: sum.reasons(),
        names: receipts.iter().take(NAMED_MAX).map(|one| format!("{}: {}", one.connector, one.client_path)).collect(),
        more: match receipts.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => format!("and {} more", human::thousands(more as u64)),
        },
        fields: fields(posted),
        back: back(posted),
        number: if deed == Deed::Delete { receipts.len().to_string() } else { String::new() },
        nothing: sum.done == 0,
        error,
        title,
    })
}

/// The filter of the table in which the choice was made.
fn filter(posted: &Posted) -> Asked {
    Asked {
        q: posted.text("q").to_owned(),
        connector: posted.text("connector").to_owned(),
        status: posted.text("status").to_owned(),
        since: posted.text("since").to_owned(),
        sla: posted.text("sla").to_owned(),
        at_one: posted.text("at_one") == "true",
        ..Asked::default()
    }
}

fn back(posted: &Posted) -> String {
    let asked = filter(posted);
    let base =
        if asked.at_one { format!("/connectors/{}/receive", asked.connector) } else { "/activity/receive".to_owned() };
    asked.at(&base, "", &[])
}

fn fields(posted: &Posted) -> Vec<(String, String)> {
    let once = ["q", "connector", "status", "since", "sla", "at_one", "all", "until"];
    let once = once.into_iter().filter_map(|key| Some((key, posted.get(key)?)));
    let ids = posted.all("id").filter(|_| posted.text("all") != "on").map(|id| ("id", id));
    once.chain(ids).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The chosen receipts, newest first, and whether there are more than [`CHOSEN_MAX`].
async fn chosen(context: &Context, posted: &Posted) -> Result<(Vec<Receipt>, bool), WebError> {
    let db = &context.state.db;
    if posted.text("all") != "on" {
        let ids: Vec<_> = posted.all("id").filter_map(ReceiptId::parse).collect();
        let mut receipts = receipt::all_of(db, &ids).await?;
        receipts.retain(|receipt| !receipt.publishing);
        receipts.sort_by(|a, b| (b.completed_at, b.id.as_str()).cmp(&(a.completed_at, a.id.as_str())));
        return Ok((receipts, false));
    }
    // Files that came after the page was made were not seen, and are not chosen.
    let mut from = cursor(posted.text("until")).ok_or_else(WebError::not_found)?;
    let search = filter(posted).search(context).await?;
    let mut receipts = Vec::new();
    loop {
        let found = receipt::page(db, &search, Some(Beside::Older(&from)), STEP_ROWS).await?;
        let Some(last) = found.last() else { return Ok((receipts, false)) };
        from = Cursor { completed_at: last.completed_at, id: last.id.as_str().to_owned() };
        receipts.extend(found);
        if receipts.len() > CHOSEN_MAX {
            return Ok((receipts, true));
        }
    }
}
