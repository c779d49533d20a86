//! The bar that shows how many newer files there are: new rows never push away what somebody is reading.

use askama::Template;

use super::Asked;
use crate::base::human;
use crate::store::receipt;
use crate::web::context::Context;
use crate::web::error::WebError;
use crate::web::view::cursor;

/// New rows that are counted.
const NEW_ROWS_MAX: i64 = 1_000;

/// The bar; invisible without words.
#[derive(Debug, Template)]
#[template(path = "parts/newrows.html")]
pub struct NewRows {
    words: String,
    address: String,
}

/// How many files of this filter came after the page's first row.
pub async fn new_rows(context: &Context, asked: &Asked) -> Result<NewRows, WebError> {
    let nothing = NewRows { words: String::new(), address: String::new() };
    let Some(from) = cursor(&asked.after) else { return Ok(nothing) };
    let search = asked.search(context).await?;
    let count = receipt::count_newer(&context.state.db, &search, &from, NEW_ROWS_MAX + 1).await?;
    let most = NEW_ROWS_MAX.unsigned_abs();
    let words = match count {
        0 => return Ok(nothing),
        1 => "1 newer file. Show it".to_owned(),
        _ if count > most => format!("More than {} newer files. Show them", human::thousands(most)),
        _ => format!("{} newer files. Show them", human::thousands(count)),
    };
    // Relative to the page that shows it.
    let query = asked.at("", "", &[]);
    Ok(NewRows { words, address: if query.is_empty() { "?".to_owned() } else { query } })
}
