//! What a receiver of events gets: JSON, in one versioned form; a file has its name at the time of the attempt.

use serde::Serialize;

use super::attempt::Shipment;
use crate::store::exported;

/// Counts changes that matter to receivers; a new field does not count.
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
    // Texts and numbers can always be written as JSON.
    serde_json::to_string(&Payload { version: VERSION, event, receipt }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::base::clock::{Clock, Timestamp};
    use crate::base::id::{EventId, IdSource};
    use crate::domain::event::EventKind;
    use crate::domain::receipt::{Proof, Status};
    use crate::store::event::{Event, EventFile};
    use crate::store::receipt::Receipt;

    const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/EVENTS.md");
    const BEGIN: &str = "the_samples_of_the_documentation_are_what_is_sent -->\n";
    const END: &str = "<!-- end of samples -->";

    fn receipt(ids: &IdSource, at: Timestamp) -> Receipt {
        Receipt {
            name: "orders.x12".to_owned(),
            client_path: "/Receive/in/orders.x12".to_owned(),
            stored_path: "/Receive/in/orders.x12".to_owned(),
            size_bytes: 48_211,
            sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
            headers: vec![("SubFolder".to_owned(), "in".to_owned())],
            remote_address: "203.0.113.40".to_owned(),
            tls: "TLS 1.3 TLS13_AES_256_GCM_SHA384".to_owned(),
            proof: Proof::B,
            status: Status::Waiting,
            publishing: false,
            taken_over: true,
            ..Receipt::sample(ids, "acme-edi", at)
        }
    }

    fn samples() -> String {
        let at = Timestamp::from_us(1_774_000_000_000_000);
        let ids = IdSource::seeded(Clock::fixed(at), 1);
        let mut samples = String::new();
        for kind in EventKind::ALL {
            let receipt = receipt(&ids, at);
            let event = match kind {
                EventKind::AfterReceive => Event::after_receive(&receipt, EventId::new(&ids)),
                EventKind::AfterSend => Event {
                    file: Some(EventFile { path: "/Send/invoice.x12".to_owned(), size_bytes: 9_120 }),
                    connector: "acme-edi".to_owned(),
                    ..Event::new(&ids, kind, at, "acme-edi collected /Send/invoice.x12, 9.1 kB")
                },
                _ => Event::new(&ids, kind, at, "One sentence for people"),
            };
            let receipt = event.receipt_id.is_some().then_some(receipt);
            let shipment = Shipment { event, receipt, attempt: 1, at };
            let value: serde_json::Value = serde_json::from_str(&json(&shipment)).unwrap();
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let _ = write!(samples, "\n`{}`:\n\n```json\n{pretty}\n```\n", kind.name());
        }
        samples.push('\n');
        samples
    }

    /// With `WAYBILL_WRITE_DOCS` set it writes them.
    #[test]
    fn the_samples_of_the_documentation_are_what_is_sent() {
        let text = std::fs::read_to_string(DOCUMENT).unwrap();
        let (before, rest) = text.split_once(BEGIN).unwrap();
        let (there, after) = rest.split_once(END).unwrap();
        if std::env::var_os("WAYBILL_WRITE_DOCS").is_some() {
            std::fs::write(DOCUMENT, format!("{before}{BEGIN}{}{END}{after}", samples())).unwrap();
            return;
        }
        assert!(there == samples(), "run this test once with WAYBILL_WRITE_DOCS=1");
    }
}
