//! What the rows of the Receive table say about what came next: where each file went, and whether event targets were
//! told.

use std::collections::HashMap;

use crate::base::id::ReceiptId;
use crate::domain::flow::{DeliveryState, Target};
use crate::store::delivery_page::{self, Delivery};
use crate::store::live::Snapshot;
use crate::store::receipt::Receipt;
use crate::web::context::Context;
use crate::web::error::WebError;
use crate::web::tone::Tone;

/// Deliveries read for one page; with more, a row may be incomplete.
const DELIVERIES_MAX: i64 = 5_000;
/// Connectors that a row names.
const NAMED_MAX: usize = 3;

/// What came after one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// The connectors it goes to.
    pub to: String,
    /// The state of its After Receive event, in words; empty if nobody is told.
    pub told: &'static str,
    /// The tone of that.
    pub tone: Tone,
}

/// What came after each of these.
pub async fn after(context: &Context, receipts: &[Receipt]) -> Result<HashMap<ReceiptId, Steps>, WebError> {
    let ids: Vec<_> = receipts.iter().map(|receipt| receipt.id.clone()).collect();
    let mut of: HashMap<ReceiptId, Vec<Delivery>> = HashMap::new();
    for one in delivery_page::of_receipts(&context.state.db, &ids, DELIVERIES_MAX).await? {
        if let Some(receipt) = one.receipt_id.clone() {
            of.entry(receipt).or_default().push(one);
        }
    }
    let snapshot = context.state.live.snapshot();
    Ok(of.into_iter().map(|(id, deliveries)| (id, steps(&snapshot, &deliveries))).collect())
}

fn steps(snapshot: &Snapshot, deliveries: &[Delivery]) -> Steps {
    let mut to = Vec::new();
    let mut told: Option<DeliveryState> = None;
    for one in deliveries {
        match Target::parse(&one.target) {
            Some(Target::Connector(key)) => {
                let name = snapshot.connectors.get(&key).map_or(key, |live| live.connector.id.to_string());
                if !to.contains(&name) {
                    to.push(name);
                }
            }
            _ if told.is_none_or(|worst| gravity(one.state) > gravity(worst)) => told = Some(one.state),
            _ => {}
        }
    }
    let more = to.len().saturating_sub(NAMED_MAX);
    to.truncate(NAMED_MAX);
    let named = to.join(", ");
    let to = if more > 0 { format!("{named} and {more} more") } else { named };
    let (told, tone) = told.map_or(("", Tone::Plain), |state| (state.label(), super::deliveries::tone(state)));
    Steps { to, told, tone }
}

/// What needs attention comes first.
fn gravity(state: DeliveryState) -> u8 {
    match state {
        DeliveryState::Failed => 4,
        DeliveryState::Retrying => 3,
        DeliveryState::Waiting => 2,
        DeliveryState::Stopped => 1,
        DeliveryState::Delivered => 0,
    }
}
