//! The Receive table: of all connectors or of one; one receipt in full, within the table or on a page of its own.

mod asked;
mod bytes;
mod chosen;
pub mod deliveries;
mod detail;
mod export;
mod fetch;
mod newer;
mod steps;
mod table;

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Response};

use super::head::Head;
use super::send::in_force;
use crate::base::id::ReceiptId;
use crate::domain::administrator::Role;
use crate::store::receipt;
use crate::web::context::Context;
use crate::web::csv;
use crate::web::error::WebError;
use crate::web::shell::{Nav, Shell, html};

pub use asked::{Asked, SINCE, since};
pub use bytes::{ZIPS_MAX, one as file};
pub use chosen::choose;
pub use deliveries::{Act, act, again, find as find_delivery, fire, stop};
use detail::Detail;
pub use detail::Fact;
pub use fetch::{fetch, place};
pub use newer::new_rows;
use table::Table;

#[derive(Template)]
#[template(path = "receive.html")]
struct ReceivePage {
    shell: Shell,
    /// For one connector.
    head: Option<Head>,
    table: Table,
}

/// A recorded path below Receive.
fn below(path: &str) -> &str {
    path.strip_prefix("/Receive/").unwrap_or(path)
}

/// All connectors.
pub async fn show(context: Context, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    page(&context, "/activity/receive", Asked { at_one: false, ..asked }, None).await
}

/// One connector.
pub async fn of_connector(
    context: Context,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, WebError> {
    let (_, live) = in_force(&context, &id)?;
    let id = &live.connector.id;
    let asked = Asked { connector: id.to_string(), at_one: true, ..asked };
    let head = Head::new(&context, id, "receive").await?;
    page(&context, &format!("/connectors/{id}/receive"), asked, Some(head)).await
}

async fn page(context: &Context, base: &str, asked: Asked, head: Option<Head>) -> Result<Response, WebError> {
    let (title, nav) = if asked.at_one {
        (format!("{} receive", asked.connector), Nav::Flows)
    } else {
        ("Receive table".to_owned(), Nav::Activity)
    };
    let mut shell = Shell::new(context, title, nav).await?;
    let table = Table::new(context, base, asked).await?;
    if !table.live.is_empty() {
        shell.live.clone_from(&table.live);
    }
    Ok(html(&ReceivePage { shell, head, table })?.into_response())
}

/// The table as CSV, unlimited.
pub async fn export(context: Context, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let search = asked.search(&context).await?;
    Ok(csv::file(&context, "receive", search))
}

#[derive(Template)]
#[template(path = "receipt.html")]
struct ReceiptPage {
    shell: Shell,
    id: String,
    name: String,
    detail: Detail,
    /// Whether its connector still exists.
    known: bool,
    deliveries: Vec<deliveries::Row>,
    may_edit: bool,
}

/// One receipt.
pub async fn one(context: Context, Path(id): Path<String>) -> Result<Response, WebError> {
    let id = ReceiptId::parse(&id).ok_or_else(WebError::not_found)?;
    let receipt = receipt::find(&context.state.db, &id).await?.filter(|receipt| !receipt.publishing);
    let receipt = receipt.ok_or_else(WebError::not_found)?;
    let page = ReceiptPage {
        shell: Shell::new(&context, receipt.name.clone(), Nav::Activity).await?,
        id: receipt.id.to_string(),
        name: receipt.name.clone(),
        known: context.state.live.written_id(&receipt.connector).is_some(),
        detail: Detail::of(&receipt).in_full(&context).await?,
        deliveries: deliveries::of(&context, &receipt).await?,
        may_edit: context.may(Role::Editor),
    };
    Ok(html(&page)?.into_response())
}
