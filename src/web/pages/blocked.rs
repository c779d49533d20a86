//! Who is blocked at the door, why, for how long, and the way to let them in again.

use std::net::IpAddr;

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};

use crate::access::guard::{Block, Door};
use crate::base::human;
use crate::domain::administrator::Role;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};
use crate::web::view::Time;

const PATH: &str = "/activity/blocked";
/// Blocks on the page; those that end first are shown.
const BLOCKS_SHOWN_MAX: usize = 500;

struct Row {
    address: String,
    name: String,
    door: &'static str,
    why: String,
    left: String,
    until: Time,
}

#[derive(Template)]
#[template(path = "blocked.html")]
struct BlockedPage {
    shell: Shell,
    rows: Vec<Row>,
    hidden: usize,
    may_edit: bool,
}

fn row(context: &Context, block: Block) -> Row {
    let failures = human::count(u64::from(block.failures), "failed login", "failed logins");
    let why = if block.name.is_empty() {
        format!("{failures}, of names that nobody has or of too many in all")
    } else {
        format!("{failures} as {}", block.name)
    };
    Row {
        address: block.address.to_string(),
        name: block.name,
        door: match block.door {
            Door::Ftp => "FTP server",
            Door::Web => "Web interface",
        },
        why,
        left: human::duration(block.until.since(context.now())),
        until: block.until.into(),
    }
}

/// The table.
pub async fn show(context: Context) -> Result<Response, WebError> {
    let mut blocks = context.state.gate.blocks();
    let hidden = blocks.len().saturating_sub(BLOCKS_SHOWN_MAX);
    blocks.truncate(BLOCKS_SHOWN_MAX);
    let page = BlockedPage {
        shell: Shell::new(&context, "Blocked addresses", Nav::Activity).await?,
        rows: blocks.into_iter().map(|block| row(&context, block)).collect(),
        hidden,
        may_edit: context.may(Role::Editor),
    };
    Ok(html(&page)?.into_response())
}

/// Lifts every block of an address.
pub async fn unblock(context: Context, posted: Posted) -> Result<Response, WebError> {
    let address: IpAddr = posted.text("address").trim().parse().map_err(|_| WebError::not_found())?;
    context.state.gate.unblock(address);
    tracing::info!(administrator = context.who(), remote = %address, "The blocks of {address} were lifted");
    context.leave(PATH, Note::done(format!("{address} may try again at once.")));
    Ok(Redirect::to(PATH).into_response())
}
