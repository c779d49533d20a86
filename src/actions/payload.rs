//! What a receiver of events gets: JSON, in one form with a version, the same at each attempt.

use serde::Serialize;

use super::attempt::Shipment;
use crate::store::exported;

/// Counts changes that a receiver must know of; a new field is none.
pub const VERSION: u32 = 1;

#[derive(Serialize)]
struct Payload<'a> {
    version: u32,
    #[serde(flatten)]
    event: exported::Event<'a>,
    receipt: Option<exported::Receipt<'a>>,
}

/// The body of one event.
pub fn json(shipment: &Shipment) -> String {
    let event = exported::Event::of(&shipment.event);
    let receipt = shipment.receipt.as_ref().map(exported::Receipt::of);
    // Texts and numbers always have a form in JSON.
    serde_json::to_string(&Payload { version: VERSION, event, receipt }).unwrap_or_default()
}
