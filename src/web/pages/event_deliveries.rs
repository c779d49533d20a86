//! Acts on all deliveries of the events in a filter: a page with their number, then the deed, piece by piece, for as
//! long as a page may take.

use std::time::Duration;

use askama::Template;
use axum::extract::Query;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::events::{self, words};
use super::list::Asked;
use super::receive::{Act, SINCE, deliveries};
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::domain::event::EventKind;
use crate::domain::flow::Target;
use crate::domain::value::ActionMoment;
use crate::store::delivery_bulk::{self, COUNTED_MAX, Chosen, One, Which};
use crate::store::live::Snapshot;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};
use crate::web::tone::Tone;

const PATH: &str = "/activity/events/deliveries";
/// How long one press of the button works; the page tells what is left.
const WORK_WITHIN: Duration = Duration::from_secs(10);
/// Targets listed one by one.
const TARGETS_SHOWN_MAX: usize = 20;

/// The query besides the filter.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Deed {
    /// `fire`, `stop` or `again`.
    act: String,
}

/// The words of each deed.
struct Wording {
    act: Act,
    name: &'static str,
    title: &'static str,
    /// What happens to them.
    text: &'static str,
    button: &'static str,
    /// What was done, after a number: singular, plural.
    done: [&'static str; 2],
}

const FIRE: Wording = Wording {
    act: Act::Fire,
    name: "fire",
    title: "Fire now",
    text: "Each is tried within a second, in the order of its flow; those before it in the same flow go first.",
    button: "Fire now",
    done: ["delivery that waited for a retry is due now", "deliveries that waited for a retry are due now"],
};
const STOP: Wording = Wording {
    act: Act::Stop,
    name: "stop",
    title: "Stop retrying",
    text: "None of them is tried again. Received files stay in Receive, or where they are.",
    button: "Stop retrying",
    done: ["delivery was stopped", "deliveries were stopped"],
};
const AGAIN: Wording = Wording {
    act: Act::Again,
    name: "again",
    title: "Pass along again",
    text: "Each is begun anew, with the same event id and a higher attempt, as far as its bytes are still here.",
    button: "Pass along again",
    done: ["delivery was begun anew", "deliveries were begun anew"],
};

impl Wording {
    fn of(name: &str) -> Result<&'static Self, WebError> {
        [&FIRE, &STOP, &AGAIN].into_iter().find(|one| one.name == name).ok_or_else(WebError::not_found)
    }
}

/// Every deed for the events in a filter: its words and the address that asks first.
pub fn deeds(asked: &Asked) -> Vec<(&'static str, String)> {
    [&FIRE, &STOP, &AGAIN].map(|one| (one.title, asked.at(PATH, "size", &[("act", one.name)]))).to_vec()
}

/// How many go to one target.
struct Row {
    target: String,
    link: String,
    count: String,
}

#[derive(Template)]
#[template(path = "event_deliveries.html")]
struct DeliveriesPage {
    shell: Shell,
    asked: Asked,
    wording: &'static Wording,
    /// Whose deliveries, in words.
    of: String,
    /// How many are pending, or have ended undelivered.
    count: u64,
    counted: String,
    rows: Vec<Row>,
    /// Targets beyond those shown.
    more: usize,
    /// How many were delivered, if they can be passed along again too.
    delivered: u64,
    delivered_words: String,
    until: i64,
    back: String,
}

/// `events of the kind Delivery failed of acme-edi, last 24 hours`.
fn of(context: &Context, asked: &Asked) -> String {
    let kind = EventKind::parse(&asked.kind).map(|kind| format!("events of the kind {}", words(kind)));
    let connector = asked.connector(context).map(|id| format!(" of {id}")).unwrap_or_default();
    let since = SINCE.iter().find(|(value, _)| *value == asked.since);
    let since = since.map(|(_, words)| format!(", {}", words.to_lowercase())).unwrap_or_default();
    format!("{}{connector}{since}", kind.unwrap_or_else(|| "all events".to_owned()))
}

/// The targets with which deliveries can begin anew: those that still exist and are not questions already answered.
fn targets(snapshot: &Snapshot) -> Vec<String> {
    let connectors = snapshot.connectors.keys().map(|key| Target::Connector(key.clone()));
    let acts = snapshot.actions.values().flatten().filter(|one| one.settings.moment != ActionMoment::BeforeSend);
    let actions = acts.map(|action| Target::Action(action.id.clone()));
    let told = snapshot.event_targets.iter().map(|target| Target::Events(target.id.clone()));
    connectors.chain(actions).chain(told).chain([Target::AlertMail]).map(|target| target.text()).collect()
}

fn chosen(context: &Context, asked: &Asked, which: Which, until: Timestamp) -> Chosen {
    let targets = targets(&context.state.live.snapshot());
    Chosen { events: events::filter(context, asked), which, until, targets }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    let over = if count >= COUNTED_MAX { "over " } else { "" };
    format!("{over}{}", human::count(count, one, many))
}

/// What would be done, in numbers.
pub async fn ask(context: Context, Query(asked): Query<Asked>, Query(deed): Query<Deed>) -> Result<Response, WebError> {
    let wording = Wording::of(&deed.act)?;
    let (db, until, snapshot) = (&context.state.db, context.now(), context.state.live.snapshot());
    let which = if wording.act == Act::Again { Which::NotDelivered } else { Which::Pending };
    let found = chosen(&context, &asked, which, until).count(db).await?;
    let sum = |found: &[(String, u64)]| found.iter().map(|(_, count)| count).sum::<u64>();
    let delivered = match wording.act {
        Act::Again => sum(&chosen(&context, &asked, Which::Delivered, until).count(db).await?),
        Act::Fire | Act::Stop => 0,
    };
    let row = |(target, count): &(String, u64)| {
        let (target, link) = deliveries::target(&snapshot, target);
        Row { target, link, count: human::thousands(*count) }
    };
    let count = sum(&found);
    let page = DeliveriesPage {
        shell: Shell::new(&context, wording.title, Nav::Activity).await?,
        wording,
        of: of(&context, &asked),
        count,
        counted: counted(count, "delivery", "deliveries"),
        rows: found.iter().take(TARGETS_SHOWN_MAX).map(row).collect(),
        more: found.len().saturating_sub(TARGETS_SHOWN_MAX),
        delivered,
        delivered_words: counted(delivered, "that was delivered", "that were delivered"),
        until: until.us(),
        back: asked.at("/activity/events", "size", &[]),
        asked,
    };
    Ok(html(&page)?.into_response())
}

/// Does it.
pub async fn act(context: Context, posted: Posted) -> Result<Response, WebError> {
    let wording = Wording::of(posted.text("act"))?;
    let typed = |name: &str| posted.text(name).to_owned();
    let asked = Asked { kind: typed("kind"), connector: typed("connector"), since: typed("since"), ..Asked::default() };
    let until = posted.text("until").parse().map_err(|_| WebError::not_found())?;
    let until = Timestamp::from_us(until).min(context.now());
    let which = match wording.act {
        Act::Fire | Act::Stop => &[Which::Pending][..],
        Act::Again if posted.get("delivered").is_some() => &[Which::NotDelivered, Which::Delivered],
        Act::Again => &[Which::NotDelivered],
    };
    let mut work = Work { deadline: context.now().plus(WORK_WITHIN), of: of(&context, &asked), ..Work::default() };
    for which in which {
        work.run(&context, wording.act, &chosen(&context, &asked, *which, until)).await?;
    }
    let [one, many] = wording.done;
    let mut text = format!("{}.", human::count(work.done, one, many));
    if work.gone > 0 {
        let gone = human::count(work.gone, "stays as it is: its bytes are", "stay as they are: their bytes are");
        text = format!("{text} {gone} not here any more.");
    }
    if work.is_cut_short {
        text.push_str(" There are more; press the button again for the rest.");
    }
    let is_done = work.gone == 0 && !work.is_cut_short;
    let note = Note { tone: if is_done { Tone::Good } else { Tone::Warning }, text, password: None };
    let (page, with) =
        if work.is_cut_short { (PATH, vec![("act", wording.name)]) } else { ("/activity/events", vec![]) };
    context.leave(page, note);
    Ok(Redirect::to(&asked.at(page, "", &with)).into_response())
}

/// The progress so far.
#[derive(Default)]
struct Work {
    deadline: Timestamp,
    /// Their description for the audit.
    of: String,
    done: u64,
    /// Those whose bytes are gone.
    gone: u64,
    is_cut_short: bool,
}

impl Work {
    async fn run(&mut self, context: &Context, act: Act, chosen: &Chosen) -> Result<(), WebError> {
        let db = &context.state.db;
        let mut after = One::default();
        loop {
            let mut piece = chosen.piece(db, &after).await?;
            let Some(last) = piece.last() else { return Ok(()) };
            if context.now() >= self.deadline {
                self.is_cut_short = true;
                return Ok(());
            }
            after = last.clone();
            if act == Act::Again {
                piece = self.held(context, piece).await?;
            }
            let done = context.changing(async |change| match act {
                Act::Fire => delivery_bulk::fire(db, &piece, &self.of, change).await,
                Act::Stop => delivery_bulk::stop(db, &piece, &self.of, change).await,
                Act::Again => delivery_bulk::again(db, &piece, &self.of, change).await,
            });
            self.done += done.await?;
        }
    }

    /// Those whose bytes are held, as far as time allows.
    async fn held(&mut self, context: &Context, piece: Vec<One>) -> Result<Vec<One>, WebError> {
        let mut held = Vec::new();
        for one in piece {
            if context.now() >= self.deadline {
                self.is_cut_short = true;
                break;
            }
            if deliveries::is_held(context, one.receipt_id.as_ref()).await? {
                held.push(one);
            } else {
                self.gone += 1;
            }
        }
        Ok(held)
    }
}
