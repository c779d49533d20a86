//! Tables as CSV (RFC 4180): the rows of a filter, read in steps and sent as they come, so that a million of them need
//! no more memory than one step.
//!
//! Always: a cell that a spreadsheet would take for a formula begins with an apostrophe; names come from partners.

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::context::Context;
use super::error::WebError;
use crate::base::clock::Timestamp;
use crate::store::receipt::Cursor;
use crate::store::{Db, StoreError};

/// Rows read at a time.
const STEP_ROWS: i64 = 500;

/// Which rows to read, and how to write one.
pub trait Paged: Send + Sync + 'static {
    /// The names of the columns.
    const COLUMNS: &'static [&'static str];
    /// One as stored.
    type Row: Send;

    /// The next `count` rows before `before`, newest first; none if there are no more.
    fn page(
        &self,
        db: &Db,
        before: Option<&Cursor>,
        count: i64,
    ) -> impl Future<Output = Result<Vec<Self::Row>, StoreError>> + Send;

    /// The place of a row.
    fn place(row: &Self::Row) -> (Timestamp, &str);

    /// A row's cells, one for each column.
    fn cells(row: Self::Row) -> Vec<String>;
}

/// Before the first cell: without it spreadsheets assume the code page of their machine (decision 0128).
const UTF_8: &str = "\u{feff}";

/// A file of that name, its bytes made while it is sent.
pub fn file<S: Paged>(context: &Context, name: &str, table: S) -> Response {
    let columns: Vec<_> = S::COLUMNS.iter().map(|column| (*column).to_owned()).collect();
    let state = (context.state.db.clone(), table, Some(format!("{UTF_8}{}", line(&columns))), None);
    let lines = stream::try_unfold(state, async |(db, table, heading, before): (_, S, _, Option<Cursor>)| {
        if let Some(text) = heading {
            return Ok(Some((Bytes::from(text), (db, table, None, before))));
        }
        // The connection breaks off, so the browser sees that the file is incomplete.
        let rows = table.page(&db, before.as_ref(), STEP_ROWS).await.map_err(|error| {
            let error = WebError::from(error);
            tracing::error!(cause = error.cause, "An export was broken off");
            std::io::Error::other(error.title)
        })?;
        let Some((completed_at, id)) = rows.last().map(S::place) else {
            return Ok::<_, std::io::Error>(None);
        };
        let before = Cursor { completed_at, id: id.to_owned() };
        let text: String = rows.into_iter().map(|row| line(&S::cells(row))).collect();
        Ok(Some((Bytes::from(text), (db, table, None, Some(before)))))
    });
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8; header=present".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.csv\"")),
    ];
    (headers, Body::from_stream(lines)).into_response()
}

fn line(cells: &[String]) -> String {
    let cells: Vec<_> = cells.iter().map(|text| cell(text)).collect();
    format!("{}\r\n", cells.join(","))
}

/// One cell: not a formula, and quoted if necessary.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\r', '\n', ';', '\t']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_every_cell_reads_back() {
        assert_eq!(cell("=HYPERLINK(\"http://x\")"), "\"'=HYPERLINK(\"\"http://x\"\")\"");
        assert_eq!([cell("+1"), cell("-1"), cell("@a"), cell("\ta")], ["'+1", "'-1", "'@a", "\"'\ta\""]);
        assert_eq!([cell("a,b"), cell("a;b"), cell("po 1.x12"), cell("")], ["\"a,b\"", "\"a;b\"", "po 1.x12", ""]);
        assert_eq!(line(&["a".to_owned(), "two\nlines".to_owned()]), "a,\"two\nlines\"\r\n");
    }
}
