//! Where a received file is delivered to: every target with its attempts, and what an administrator does about them.

use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};

use crate::base::human;
use crate::domain::flow::{DeliveryState, Target};
use crate::store::delivery_page::{self, Delivery};
use crate::store::receipt::Receipt;
use crate::transfer::depot::TransferError;
use crate::transfer::held;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::notes::{Note, Tone};
use crate::web::view::Time;

/// One attempt.
pub struct Attempt {
    pub number: u32,
    pub at: Time,
    pub took: String,
    pub outcome: &'static str,
    pub tone: &'static str,
    pub answer: String,
}

/// One delivery.
pub struct Row {
    pub id: i64,
    /// Where it goes, in words.
    pub target: String,
    /// Its page; empty for none.
    pub link: String,
    /// How it gets there, in words; may be empty.
    pub way: String,
    pub state: &'static str,
    pub tone: &'static str,
    /// What happens next, and when.
    pub next: String,
    pub has_ended: bool,
    /// What begins it anew, in words.
    pub again: &'static str,
    pub attempts: Vec<Attempt>,
}

/// Every delivery of a receipt.
pub async fn of(context: &Context, receipt: &Receipt) -> Result<Vec<Row>, WebError> {
    rows(context, &receipt.connector, delivery_page::of_receipt(&context.state.db, &receipt.id).await?).await
}

/// Each of these deliveries; `connector` is the one whose file or event they are of.
pub async fn rows(context: &Context, connector: &str, all: Vec<Delivery>) -> Result<Vec<Row>, WebError> {
    let mut rows = Vec::new();
    for one in all {
        rows.push(row(context, connector, one).await?);
    }
    Ok(rows)
}

async fn row(context: &Context, connector: &str, one: Delivery) -> Result<Row, WebError> {
    let (snapshot, now) = (context.state.live.snapshot(), context.now());
    let written = |key: &str| snapshot.connectors.get(key).map(|live| live.connector.id.to_string());
    let (target, link) = match Target::parse(&one.target) {
        Some(Target::Connector(key)) => match written(&key) {
            Some(id) => (id.clone(), format!("/connectors/{id}/settings")),
            None => (key, String::new()),
        },
        Some(Target::Action(id)) => match snapshot.action(&id) {
            Some(action) => {
                let written = written(&action.connector_key).unwrap_or_default();
                (format!("Action: {}", action.settings.deed()), format!("/connectors/{written}/automation"))
            }
            None => ("An action that was removed".to_owned(), String::new()),
        },
        Some(Target::AlertMail) => ("Alert by mail".to_owned(), "/profiles/mail".to_owned()),
        None => (one.target.clone(), String::new()),
    };
    let is_passed = one.target.starts_with("connector:");
    let from = (is_passed && one.source_key != connector.to_ascii_lowercase())
        .then(|| format!("through {}", written(&one.source_key).unwrap_or(one.source_key)));
    let way = if one.on_error { Some("after another target was given up".to_owned()) } else { from };
    let tries = delivery_page::tries(&context.state.db, one.id).await?;
    let attempt = |one: delivery_page::Try| {
        let (outcome, tone) = match one.outcome.as_str() {
            "delivered" => ("Delivered", "ok"),
            "stopped" => ("Stopped", ""),
            _ => ("Failed", "bad"),
        };
        let took = format!("{} ms", one.took_us / 1_000);
        Attempt { number: one.number, at: Time::seen(one.at, now), took, outcome, tone, answer: one.answer }
    };
    Ok(Row {
        id: one.id,
        target,
        link,
        way: way.unwrap_or_default(),
        state: one.state.label(),
        tone: match one.state {
            DeliveryState::Delivered => "ok",
            DeliveryState::Failed => "bad",
            DeliveryState::Waiting | DeliveryState::Retrying => "warn",
            DeliveryState::Stopped => "",
        },
        next: match one.ended_at {
            Some(at) => Time::seen(at, now).words,
            None if one.next_at <= now => "due now".to_owned(),
            None => format!("next attempt in {}", human::duration(one.next_at.since(now))),
        },
        has_ended: one.state.has_ended(),
        again: if is_passed { "Pass along again" } else { "Do it again" },
        attempts: tries.into_iter().map(attempt).collect(),
    })
}

/// The delivery of that number, and the page to go back to.
async fn find(context: &Context, id: &str) -> Result<(Delivery, String), WebError> {
    let id = id.parse().map_err(|_| WebError::not_found())?;
    let delivery = delivery_page::find(&context.state.db, id).await?.ok_or_else(WebError::not_found)?;
    let page = delivery.receipt_id.as_ref().map_or_else(
        || format!("/activity/events/{}", delivery.event_id),
        |receipt| format!("/activity/receive/{receipt}"),
    );
    Ok((delivery, page))
}

fn back(context: &Context, page: &str, note: Note) -> Response {
    context.leave(page, note);
    Redirect::to(page).into_response()
}

/// *Fire now*.
pub async fn fire(context: Context, Path(id): Path<String>, _: Posted) -> Result<Response, WebError> {
    let (delivery, page) = find(&context, &id).await?;
    let db = &context.state.db;
    let note = if delivery.state.has_ended() {
        Note::done("It has ended meanwhile; nothing was changed.")
    } else {
        context.changing(async |change| delivery_page::fire(db, &delivery, change).await).await?;
        Note::done("It is tried within a second, after those before it.")
    };
    Ok(back(&context, &page, note))
}

/// *Stop retrying*.
pub async fn stop(context: Context, Path(id): Path<String>, _: Posted) -> Result<Response, WebError> {
    let (delivery, page) = find(&context, &id).await?;
    let db = &context.state.db;
    let stopped = context.changing(async |change| delivery_page::stop(db, &delivery, change).await).await?;
    let words = if stopped {
        "Stopped. A received file stays in Receive."
    } else {
        "It has ended meanwhile; nothing was changed."
    };
    Ok(back(&context, &page, Note::done(words)))
}

/// *Pass along again*: refused when the bytes are not here any more.
pub async fn again(context: Context, Path(id): Path<String>, _: Posted) -> Result<Response, WebError> {
    let (delivery, page) = find(&context, &id).await?;
    if !delivery.state.has_ended() {
        return Ok(back(&context, &page, Note::done("It is under way already.")));
    }
    let state = &context.state;
    if let Some(receipt) = &delivery.receipt_id {
        match held::hold(&state.depot, &state.live.snapshot(), receipt).await {
            Ok(()) => {}
            Err(TransferError::Storage(error)) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(WebError::internal(error));
            }
            Err(_) => {
                let text =
                    "It cannot be passed along again: its bytes are not here any more. Whoever has it now can send it.";
                let note = Note { tone: Tone::Warning, text: text.to_owned(), password: None };
                return Ok(back(&context, &page, note));
            }
        }
    }
    context.changing(async |change| delivery_page::again(&state.db, &delivery, change).await).await?;
    Ok(back(&context, &page, Note::done("It is begun anew, with the same event id.")))
}
