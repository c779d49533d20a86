//! Addresses and names blocked by the guard: why, for how long, and how to unblock them.

use std::net::IpAddr;

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};

use crate::access::guard::{Block, Door};
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::domain::administrator::Role;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};
use crate::web::tone::Tone;
use crate::web::view::Time;

const PATH: &str = "/activity/blocked";
/// Blocks on the page, those ending first.
const SHOWN_MAX: usize = 500;

struct Row {
    address: String,
    name: String,
    door: &'static str,
    why: String,
    left: String,
    until: Time,
}

impl Row {
    fn new(block: Block, now: Timestamp) -> Self {
        let (one, many) = match block.door {
            Door::Ftp | Door::Web => ("failed sign-in", "failed sign-ins"),
            Door::Api => ("request with no good token", "requests with no good token"),
        };
        let failures = human::count(u64::from(block.failures), one, many);
        Self {
            door: match block.door {
                Door::Ftp => "FTP server",
                Door::Web => "Web interface",
                Door::Api => "API",
            },
            address: block.address.to_string(),
            why: match (block.by_hand, block.name.is_empty()) {
                (true, _) => "Blocked by an administrator".to_owned(),
                (false, true) => format!("{failures} from this address"),
                (false, false) => format!("{failures} with this name from this address"),
            },
            name: block.name,
            left: human::duration(block.until.since(now)),
            until: Time::seen(block.until, now),
        }
    }
}

#[derive(Template)]
#[template(path = "blocked.html")]
struct BlockedPage {
    shell: Shell,
    rows: Vec<Row>,
    total: usize,
    may_edit: bool,
}

/// The table.
pub async fn show(context: Context) -> Result<Response, WebError> {
    let (blocks, now) = (context.state.gate.blocks(), context.now());
    let page = BlockedPage {
        shell: Shell::new(&context, "Blocked", Nav::Activity).await?,
        total: blocks.len(),
        rows: blocks.into_iter().take(SHOWN_MAX).map(|block| Row::new(block, now)).collect(),
        may_edit: context.may(Role::Editor),
    };
    Ok(html(&page)?.into_response())
}

/// Unblocks an address with every name.
pub async fn unblock(context: Context, posted: Posted) -> Result<Response, WebError> {
    let typed = posted.text("address");
    let note = match typed.parse::<IpAddr>() {
        Ok(address) => {
            context.state.gate.unblock(address);
            tracing::info!(client.address = %address, administrator.name = context.who(), "Unblocked");
            Note::done(format!("{address} may sign in again. What failed before is forgotten."))
        }
        Err(_) => Note {
            tone: Tone::Warning,
            text: format!("{typed:?} is no address. Nobody was unblocked."),
            password: None,
        },
    };
    context.leave(PATH, note);
    Ok(Redirect::to(PATH).into_response())
}
