//! The four figures of the day, each leading to the list it counts.

use askama::Template;

use super::midnight;
use crate::base::human;
use crate::domain::event::EventKind;
use crate::store::traffic::{self, minute};
use crate::store::transfer::Direction;
use crate::store::{event, receipt, refusal};
use crate::web::context::Context;
use crate::web::error::WebError;

/// Rules named below the number of refusals.
const RULES_SHOWN: usize = 2;
/// Rules and connectors that are summed.
const GROUPS_MAX: i64 = 1_000;

/// One figure.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The list it counts.
    pub address: &'static str,
    /// What it counts.
    pub label: &'static str,
    /// The number.
    pub number: String,
    /// More about it.
    pub more: String,
}

/// The figures.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/figures.html")]
pub struct Figures {
    figures: Vec<Figure>,
}

impl Figures {
    /// The present figures.
    pub async fn now(context: &Context) -> Result<Self, WebError> {
        let (db, today) = (&context.state.db, midnight(context.now()));
        let moved = traffic::sums(db, minute(today), 24 * 60).await?;
        let bytes = |way| human::size(moved.iter().filter(|one| one.direction == way).map(|one| one.bytes).sum());
        let received = receipt::count_since(db, today).await?;
        let collected = event::count_since(db, EventKind::AfterSend, today).await?;
        let sessions = context.state.presence.sessions();
        let moving = sessions.iter().filter(|session| session.doing.file.is_some()).count();
        let allowed = context.state.live.snapshot().profile.sessions_max.get();
        Ok(Self {
            figures: vec![
                Figure {
                    address: "/activity/receive?since=today",
                    label: "Received today",
                    number: human::thousands(received),
                    more: format!("{} moved", bytes(Direction::Receive)),
                },
                Figure {
                    address: "/activity/events?kind=after_send&since=today",
                    label: "Collected today",
                    number: human::thousands(collected),
                    more: format!("{} moved", bytes(Direction::Send)),
                },
                Figure {
                    address: "/activity/sessions",
                    label: "Sessions now",
                    number: human::thousands(sessions.len() as u64),
                    more: format!("of {} allowed, {moving} transferring", human::thousands(allowed)),
                },
                refused(context).await?,
            ],
        })
    }
}

async fn refused(context: &Context) -> Result<Figure, WebError> {
    let groups = refusal::frequent(&context.state.db, midnight(context.now()), GROUPS_MAX).await?;
    let mut by_rule: Vec<(&'static str, u64)> = Vec::new();
    for group in &groups {
        match by_rule.iter_mut().find(|(label, _)| *label == group.rule.label()) {
            Some((_, times)) => *times += group.times,
            None => by_rule.push((group.rule.label(), group.times)),
        }
    }
    by_rule.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    let told = |(label, times): &(&str, u64)| format!("{} {}", human::thousands(*times), human::lower_first(label));
    let shown: Vec<_> = by_rule.iter().take(RULES_SHOWN).map(told).collect();
    Ok(Figure {
        address: "/activity/refusals?since=today",
        label: "Refused today",
        number: human::thousands(groups.iter().map(|group| group.times).sum()),
        more: if shown.is_empty() { "Nothing was refused".to_owned() } else { shown.join(", ") },
    })
}
