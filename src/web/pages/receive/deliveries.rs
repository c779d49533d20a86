//! The deliveries of a received file: every target with its attempts, and an administrator's actions on them.

use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};

use crate::base::clock::Timestamp;
use crate::base::human;
use crate::base::id::ReceiptId;
use crate::domain::flow::{DeliveryState, Target};
use crate::domain::value::ActionMoment;
use crate::store::delivery::{self, Lane};
use crate::store::delivery_page::{self, Delivery};
use crate::store::live::Snapshot;
use crate::store::receipt::Receipt;
use crate::store::renaming;
use crate::transfer::depot::TransferError;
use crate::transfer::held;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::notes::Note;
use crate::web::tone::Tone;
use crate::web::view::Time;

/// One attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub number: u32,
    pub at: Time,
    pub took: String,
    pub outcome: &'static str,
    pub tone: Tone,
    pub answer: String,
}

/// One delivery.
#[derive(Clone, Debug)]
pub struct Row {
    pub id: i64,
    /// Its target, in words.
    pub target: String,
    /// Its page; empty for none.
    pub link: String,
    /// How it gets there, in words; may be empty.
    pub way: String,
    pub state: &'static str,
    pub tone: Tone,
    /// What happens next, and when.
    pub next: String,
    pub has_ended: bool,
    /// It can be stopped: it is under way, or was given up and its file is still kept for it.
    pub may_stop: bool,
    /// What beginning it anew is called; empty if that is impossible.
    pub again: &'static str,
    pub attempts: Vec<Attempt>,
}

impl Row {
    /// What stopping it is called.
    pub fn stop(&self) -> &'static str {
        if self.has_ended { "Give up for good" } else { "Stop retrying" }
    }
}

/// Every delivery of a receipt.
pub async fn of(context: &Context, receipt: &Receipt) -> Result<Vec<Row>, WebError> {
    let all = delivery_page::of_receipt(&context.state.db, &receipt.id).await?;
    rows(context, (&receipt.connector, Some(&receipt.id)), all).await
}

/// These deliveries; `connector` is the one whose file or event they deliver, `receipt` the one it concerns.
pub async fn rows(
    context: &Context,
    (connector, receipt): (&str, Option<&ReceiptId>),
    all: Vec<Delivery>,
) -> Result<Vec<Row>, WebError> {
    let is_temporary = match receipt {
        Some(id) => renaming::temporary_since(&context.state.db, id).await?.is_some(),
        None => false,
    };
    let mut rows = Vec::new();
    for one in all {
        // Deliveries of the appliance about a file do not wait for its names.
        let is_held = is_temporary && !one.source_key.is_empty();
        rows.push(row(context, (connector, is_held), one).await?);
    }
    Ok(rows)
}

/// A target in words, and its page; empty if there is none.
pub fn target(snapshot: &Snapshot, target: &str) -> (String, String) {
    let written = |key: &str| snapshot.connectors.get(key).map(|live| live.connector.id.to_string());
    match Target::parse(target) {
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
        Some(Target::Events(id)) => {
            let address = snapshot.event_target(&id).map(|target| target.settings.address());
            let words = address.map_or("An event target that was removed".to_owned(), |url| format!("Event to {url}"));
            (words, "/profiles/events".to_owned())
        }
        Some(Target::AlertMail) => ("Alert by mail".to_owned(), "/profiles/mail".to_owned()),
        None => (target.to_owned(), String::new()),
    }
}

async fn row(context: &Context, (connector, is_held): (&str, bool), one: Delivery) -> Result<Row, WebError> {
    let (snapshot, now) = (context.state.live.snapshot(), context.now());
    let written = |key: &str| snapshot.connectors.get(key).map(|live| live.connector.id.to_string());
    let (target, link) = target(&snapshot, &one.target);
    let rests = Target::parse(&one.target).is_some_and(|target| snapshot.rests(&target));
    let asks = asks(&snapshot, &one.target);
    let is_passed = one.target.starts_with("connector:");
    let from = (is_passed && one.source_key != connector.to_ascii_lowercase())
        .then(|| format!("through {}", written(&one.source_key).unwrap_or_else(|| one.source_key.clone())));
    let way = if one.on_error { Some("after another target was given up".to_owned()) } else { from };
    let tries = delivery_page::tries(&context.state.db, one.id).await?;
    let attempt = |one: delivery_page::Try| {
        let (outcome, tone) = match one.outcome.as_str() {
            "delivered" => ("Delivered", Tone::Good),
            "stopped" => ("Stopped", Tone::Plain),
            _ => ("Failed", Tone::Bad),
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
        tone: tone(one.state),
        next: match one.ended_at {
            Some(at) => Time::seen(at, now).words,
            None if is_held => "waits until its partner renames it from its temporary name".to_owned(),
            None if rests => "waits until it is enabled again".to_owned(),
            None if one.next_at <= now => due(context, &snapshot, &one).await?,
            None => format!("next attempt in {}", human::duration(one.next_at.since(now))),
        },
        has_ended: one.state.has_ended(),
        may_stop: one.may_stop(),
        again: match (is_passed, asks) {
            (true, _) => "Pass along again",
            // The partner has had its answer.
            (false, true) => "",
            (false, false) => "Do it again",
        },
        attempts: tries.into_iter().map(attempt).collect(),
    })
}

/// What holds up one that is due: another ahead of it, if their order is kept.
async fn due(context: &Context, snapshot: &Snapshot, one: &Delivery) -> Result<String, WebError> {
    let now = context.now();
    let target = Target::parse(&one.target).filter(|target| snapshot.keeps_order(target));
    let first = match target {
        Some(target) => {
            let lane = Lane { source_key: one.source_key.clone(), target };
            delivery::next(&context.state.db, &lane, false, Timestamp::default(), 1).await?.pop()
        }
        None => None,
    };
    Ok(match first.filter(|first| first.id != one.id && first.next_at > now) {
        Some(first) => format!(
            "waits for one before it in the same flow, whose next attempt is in {}",
            human::duration(first.next_at.since(now))
        ),
        None => "due now".to_owned(),
    })
}

/// Whether a delivery to that target was a question before a file was sent, or belongs to an action that is gone:
/// nothing begins it anew, because the partner has had its answer.
pub fn asks(snapshot: &Snapshot, target: &str) -> bool {
    matches!(Target::parse(target), Some(Target::Action(id)) if snapshot.action(&id)
        .is_none_or(|action| action.settings.moment == ActionMoment::BeforeSend))
}

/// The tone of a state; its words are beside it.
pub fn tone(state: DeliveryState) -> Tone {
    match state {
        DeliveryState::Delivered => Tone::Good,
        DeliveryState::Failed => Tone::Bad,
        DeliveryState::Waiting | DeliveryState::Retrying => Tone::Warning,
        DeliveryState::Stopped => Tone::Plain,
    }
}

/// The delivery of that number.
pub async fn find(context: &Context, id: &str) -> Result<Delivery, WebError> {
    let id = id.parse().map_err(|_| WebError::not_found())?;
    delivery_page::find(&context.state.db, id).await?.ok_or_else(WebError::not_found)
}

/// An administrator's action on a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// *Fire now*.
    Fire,
    /// *Stop retrying*.
    Stop,
    /// *Pass along again*.
    Again,
}

/// Does it. Returns what was done, in words; or why nothing was.
pub async fn act(
    context: &Context,
    delivery: &Delivery,
    act: Act,
) -> Result<Result<&'static str, &'static str>, WebError> {
    const ENDED: &str = "It has ended meanwhile; nothing was changed.";
    let db = &context.state.db;
    Ok(match (act, delivery.state.has_ended()) {
        (Act::Stop, true) if !delivery.may_stop() => Err(ENDED),
        (Act::Fire, true) => Err(ENDED),
        (Act::Fire, false) => {
            context.changing(async |change| delivery_page::fire(db, delivery, change).await).await?;
            Ok("It is tried within a second, after those before it.")
        }
        (Act::Stop, _) => {
            let stopped = context.changing(async |change| delivery_page::stop(db, delivery, change).await).await?;
            if stopped { Ok("Stopped. A received file stays in Receive.") } else { Err(ENDED) }
        }
        (Act::Again, false) => Err("It is under way already."),
        (Act::Again, true) => again_from_held(context, delivery).await?,
    })
}

/// Refused if the bytes are gone.
async fn again_from_held(
    context: &Context,
    delivery: &Delivery,
) -> Result<Result<&'static str, &'static str>, WebError> {
    let state = &context.state;
    if !is_held(context, delivery.receipt_id.as_ref()).await? {
        return Ok(Err(
            "It cannot be passed along again: its bytes are not here any more. Whoever has it now can send it.",
        ));
    }
    context.changing(async |change| delivery_page::again(&state.db, delivery, change).await).await?;
    Ok(Ok("It is begun anew, with the same event id."))
}

/// Holds the bytes of a receipt, if there is one; returns whether they still exist.
pub async fn is_held(context: &Context, receipt: Option<&ReceiptId>) -> Result<bool, WebError> {
    let (state, Some(receipt)) = (&context.state, receipt) else { return Ok(true) };
    match held::hold(&state.depot, &state.live.snapshot(), receipt).await {
        Ok(()) => Ok(true),
        Err(TransferError::Storage(error)) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(WebError::internal(error))
        }
        Err(_) => Ok(false),
    }
}

/// Does it and returns to the page of the receipt.
async fn act_and_go_back(context: &Context, id: &str, what: Act) -> Result<Response, WebError> {
    let delivery = find(context, id).await?;
    let page = delivery.receipt_id.as_ref().map_or_else(
        || format!("/activity/events/{}", delivery.event_id),
        |receipt| format!("/activity/receive/{receipt}"),
    );
    let note = match act(context, &delivery, what).await? {
        Ok(words) => Note::done(words),
        Err(words) => Note { tone: Tone::Warning, text: words.to_owned(), password: None },
    };
    context.leave(&page, note);
    Ok(Redirect::to(&page).into_response())
}

/// *Fire now*.
pub async fn fire(context: Context, Path(id): Path<String>, _: Posted) -> Result<Response, WebError> {
    act_and_go_back(&context, &id, Act::Fire).await
}

/// *Stop retrying*.
pub async fn stop(context: Context, Path(id): Path<String>, _: Posted) -> Result<Response, WebError> {
    act_and_go_back(&context, &id, Act::Stop).await
}

/// *Pass along again*.
pub async fn again(context: Context, Path(id): Path<String>, _: Posted) -> Result<Response, WebError> {
    act_and_go_back(&context, &id, Act::Again).await
}
