//! The rows of one page of the Receive table: in their plain order, in another one, or by inspecting them one by one.

use super::Asked;
use crate::base::human;
use crate::base::id::ReceiptId;
use crate::store::receipt::{self, Beside, Cursor, Receipt, Search};
use crate::store::receipt_page::{self, Looked};
use crate::web::context::Context;
use crate::web::error::WebError;
use crate::web::view::{Time, cursor, cursor_text, page_size, place as begins, typed_moment};

/// Counting stops here: "more than 10,000".
pub const COUNTED_MAX: i64 = 10_000;
/// Rows that a search inspects at a time.
const WINDOW_ROWS: i64 = 5_000;
/// The same for one connector's: others' rows lie between them, so that each costs more.
const WINDOW_ROWS_OF_ONE: i64 = 2_000;
/// How often it continues for one page; then the reader decides.
const WINDOWS_MAX: usize = 3;

/// Rows with their surroundings.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// The rows.
    pub receipts: Vec<Receipt>,
    /// How many there are, in words.
    pub count: String,
    /// How far the search got, in words; empty if it inspected everything.
    pub note: String,
    /// The place of the next older page; empty if there is none.
    pub older: String,
    /// The place of the next newer page.
    pub newer: String,
}

/// The requested page.
pub async fn fetch(context: &Context, asked: &Asked, search: &Search) -> Result<Fetched, WebError> {
    if asked.sorted().is_some() {
        return sorted(context, asked).await;
    }
    if search.is_looking() {
        return look(context, asked, search).await;
    }
    plain(context, asked, search).await
}

/// Removes the row that only showed that there are more.
fn cut(receipts: &mut Vec<Receipt>, size: i64, upwards: bool) -> bool {
    let more = i64::try_from(receipts.len()).is_ok_and(|len| len > size);
    if more {
        receipts.remove(if upwards { 0 } else { receipts.len() - 1 });
    }
    more
}

async fn plain(context: &Context, asked: &Asked, search: &Search) -> Result<Fetched, WebError> {
    let (db, size) = (&context.state.db, page_size(asked.size));
    let from = match (begins(&asked.before), cursor(&asked.after)) {
        (Some(before), _) => Some(Beside::Older(before)),
        (None, Some(after)) => Some(Beside::Newer(after)),
        (None, None) => None,
    };
    let upwards = matches!(from, Some(Beside::Newer(_)));
    let mut receipts = receipt::page(db, search, from.as_ref().map(Beside::as_ref), size + 1).await?;
    let more = cut(&mut receipts, size, upwards);
    // On a page that begins at a given time, a total that includes later files would mean nothing.
    let count = if typed_moment(&asked.before).is_empty() {
        counted(receipt::count(db, search, COUNTED_MAX + 1).await?)
    } else {
        on_this_page(&receipts)
    };
    let (older, newer) = beside(&receipts, (from.is_some(), upwards, more), place);
    Ok(Fetched { receipts, count, note: String::new(), older, newer })
}

async fn sorted(context: &Context, asked: &Asked) -> Result<Fetched, WebError> {
    let (db, size) = (&context.state.db, page_size(asked.size));
    let Some(by) = asked.sorted() else { return Ok(Fetched::default()) };
    // Such an address contains only the row beside the page.
    let from = match (ReceiptId::parse(&asked.before), ReceiptId::parse(&asked.after)) {
        (Some(id), _) => receipt::find(db, &id).await?.map(Beside::Older),
        (None, Some(id)) => receipt::find(db, &id).await?.map(Beside::Newer),
        (None, None) => None,
    };
    let upwards = matches!(from, Some(Beside::Newer(_)));
    let mut receipts = receipt_page::sorted(db, by, from.as_ref().map(Beside::as_ref), size + 1).await?;
    let more = cut(&mut receipts, size, upwards);
    let count = receipt::count(db, &Search::default(), COUNTED_MAX + 1).await?;
    let id = |receipt: &Receipt| receipt.id.to_string();
    let (older, newer) = beside(&receipts, (from.is_some(), upwards, more), id);
    Ok(Fetched { receipts, count: counted(count), note: String::new(), older, newer })
}

/// The places of the neighbouring pages.
fn beside(
    receipts: &[Receipt],
    (moved, upwards, more): (bool, bool, bool),
    place: impl Fn(&Receipt) -> String,
) -> (String, String) {
    let older = receipts.last().filter(|_| more || upwards).map(&place);
    let newer = receipts.first().filter(|_| if upwards { more } else { moved }).map(&place);
    (older.unwrap_or_default(), newer.unwrap_or_default())
}

async fn look(context: &Context, asked: &Asked, search: &Search) -> Result<Fetched, WebError> {
    let (db, size) = (&context.state.db, page_size(asked.size));
    if let Some(id) = search.text.as_deref().and_then(|text| ReceiptId::parse(&text.to_lowercase())) {
        let found = receipt::find(db, &id).await?.filter(|receipt| !receipt.publishing);
        let receipts: Vec<_> = found.into_iter().collect();
        return Ok(Fetched { count: counted(receipts.len() as u64), receipts, ..Fetched::default() });
    }
    let rows_max = if search.connector_key.is_some() { WINDOW_ROWS_OF_ONE } else { WINDOW_ROWS };
    let mut from = begins(&asked.before);
    let mut receipts = Vec::new();
    for _ in 0..WINDOWS_MAX {
        let wanted = size + 1 - i64::try_from(receipts.len()).unwrap_or(size);
        let Looked { receipts: found, stopped_at } =
            receipt_page::look(db, search, from.as_ref(), (rows_max, wanted)).await?;
        receipts.extend(found);
        from = stopped_at;
        if from.is_none() || i64::try_from(receipts.len()).is_ok_and(|len| len > size) {
            break;
        }
    }
    let more = cut(&mut receipts, size, false);
    let stopped: Option<Cursor> = if more { None } else { from };
    let whole = asked.before.is_empty() && !more && stopped.is_none();
    let note = stopped.as_ref().map(|at| {
        let until = Time::seen(at.completed_at, context.now()).words;
        format!("Looked at files received since {until}. Older looks further back.")
    });
    Ok(Fetched {
        count: if whole { counted(receipts.len() as u64) } else { on_this_page(&receipts) },
        note: note.unwrap_or_default(),
        older: match (more, stopped) {
            (true, _) => receipts.last().map(place).unwrap_or_default(),
            (false, Some(at)) => cursor_text(at.completed_at, &at.id),
            (false, None) => String::new(),
        },
        newer: String::new(),
        receipts,
    })
}

fn counted(count: u64) -> String {
    let most = COUNTED_MAX.unsigned_abs();
    if count > most {
        format!("More than {} files", human::thousands(most))
    } else {
        human::count(count, "file", "files")
    }
}

fn on_this_page(receipts: &[Receipt]) -> String {
    format!("{} on this page", counted(receipts.len() as u64))
}

/// The place of a receipt in the plain order.
pub fn place(receipt: &Receipt) -> String {
    cursor_text(receipt.completed_at, receipt.id.as_str())
}
