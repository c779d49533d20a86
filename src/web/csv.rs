//! Tables as CSV (RFC 4180): the rows of a filter, read in steps and sent as they come, so that a million of them need
//! no more memory than one step.
//!
//! Always: a cell that a spreadsheet would take for a formula begins with an apostrophe; names come from partners.

use std::collections::VecDeque;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::error::WebError;

/// Rows read at a time.
pub const STEP_ROWS: i64 = 500;

/// Where rows come from.
pub trait Source: Send + 'static {
    /// The names of the columns.
    const COLUMNS: &'static [&'static str];

    /// The next rows; none when there are no more.
    fn step(&mut self) -> impl Future<Output = Result<Vec<Vec<String>>, WebError>> + Send;
}

/// A file of that name, its bytes made while it is sent.
pub fn file<S: Source>(name: &str, source: S) -> Response {
    let columns: Vec<_> = S::COLUMNS.iter().map(|column| (*column).to_owned()).collect();
    let state = (source, VecDeque::from([line(&columns)]));
    let lines = stream::try_unfold(state, async |(mut source, mut waiting)| {
        if let Some(text) = waiting.pop_front() {
            return Ok(Some((Bytes::from(text), (source, waiting))));
        }
        // The browser sees that the file is not whole: the connection breaks off.
        let rows = source.step().await.map_err(|error| {
            tracing::error!(cause = error.cause, "An export was broken off");
            std::io::Error::other(error.title)
        })?;
        if rows.is_empty() {
            return Ok::<_, std::io::Error>(None);
        }
        let text: String = rows.iter().map(|row| line(row)).collect();
        Ok(Some((Bytes::from(text), (source, waiting))))
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

/// One cell: no formula, and quoted where it must be.
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
