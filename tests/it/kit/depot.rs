//! The store and the partners' folders of an appliance, used from beside it like another process.

use std::sync::Arc;

use waybill::base::clock::Clock;
use waybill::base::id::{IdSource, ReceiptId};
use waybill::store::Db;
use waybill::store::commit::Recorder;
use waybill::store::live::{Live, Snapshot};
use waybill::transfer::collections::Collections;
use waybill::transfer::consent::Consents;
use waybill::transfer::copy::Buffers;
use waybill::transfer::depot::Depot;
use waybill::transfer::held;
use waybill::transfer::lacking::Lacking;
use waybill::transfer::quota::Quotas;
use waybill::transfer::throttle::Throttles;
use waybill::workspace::workspaces::Workspaces;

use super::appliance::Appliance;

/// A depot over an appliance's data folder, and the configuration of the moment it was opened.
pub(crate) struct Beside {
    pub(crate) depot: Depot,
    pub(crate) snapshot: Arc<Snapshot>,
}

impl Beside {
    pub(crate) async fn of(appliance: &Appliance) -> Self {
        let clock = Clock::System;
        let db = Db::open(&appliance.data()).await.expect("the database opens");
        let live = Live::open(db.clone(), clock.clone()).await.expect("the configuration is read");
        let (recorder, writer) = Recorder::new(db.clone());
        tokio::spawn(writer.run());
        let depot = Depot {
            db,
            recorder,
            workspaces: Workspaces::new(appliance.data()),
            ids: IdSource::random(clock.clone()),
            clock,
            buffers: Buffers::default(),
            collections: Collections::default(),
            consents: Consents::default(),
            quotas: Quotas::default(),
            lacking: Lacking::default(),
            throttles: Throttles::new(live.clone(), Clock::System),
        };
        Self { depot, snapshot: live.snapshot() }
    }

    /// What is held for that receipt.
    pub(crate) async fn held(&self, id: &ReceiptId) -> Option<Vec<u8>> {
        let source = held::open_held(&self.depot, id).await.ok()?;
        let mut bytes = vec![0; usize::try_from(source.version().size_bytes).expect("a small file")];
        let count = source.read_at(&mut bytes, 0).expect("held bytes can be read");
        bytes.truncate(count);
        Some(bytes)
    }
}

/// The id of a receipt as the command line prints it.
pub(crate) fn id_of(receipt: &serde_json::Value) -> ReceiptId {
    ReceiptId::parse(receipt["id"].as_str().expect("an id")).expect("a receipt's id")
}
