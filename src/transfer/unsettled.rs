//! Receipts whose files have their final names in folders that could not be synced (PRODUCT 5.10): the partner was told 451,
//! and the file lies there. Once storage works again they are settled as at a start, so that pages and flows know of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::depot::{Depot, TransferError};
use super::recovery::{Report, finish};
use super::send::stored_names;
use crate::base::id::ReceiptId;
use crate::domain::connector::Connector;
use crate::domain::place::Folder;
use crate::store::live::Snapshot;
use crate::store::receipt;
use crate::workspace::folder::OpenFolder;

/// Those of each connector, by its id in lower case. Cheap to clone; what is forgotten at a stop is found at the start.
#[derive(Clone, Debug, Default)]
pub struct Unsettled(Arc<Mutex<HashMap<String, Vec<ReceiptId>>>>);

impl Unsettled {
    /// One more.
    pub(super) fn add(&self, connector_key: &str, id: ReceiptId) {
        self.lock().entry(connector_key.to_owned()).or_default().push(id);
    }

    fn take(&self, connector_key: &str) -> Vec<ReceiptId> {
        self.lock().remove(connector_key).unwrap_or_default()
    }

    fn connectors(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<ReceiptId>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Settles what can be, of all connectors. Whether any is left.
pub async fn settle(depot: &Depot, snapshot: &Snapshot) -> bool {
    for key in depot.unsettled.connectors() {
        let Some(live) = snapshot.partner(&key) else {
            // Its connector was removed: that it is settled is up to the next start.
            depot.unsettled.take(&key);
            continue;
        };
        let Ok(workspace) = depot.workspaces.get(&snapshot.profile, &live.connector) else { continue };
        let folder = workspace.folder(Folder::Receive);
        if depot.writable(folder).await.is_ok() {
            settle_of(depot, &live.connector, folder).await;
        }
    }
    !depot.unsettled.connectors().is_empty()
}

/// The same of one connector, where storage works again; `folder` is its Receive. The caller has no turn at a name in it.
pub(super) async fn settle_of(depot: &Depot, connector: &Connector, folder: &OpenFolder) {
    let key = connector.id.key();
    for id in depot.unsettled.take(key) {
        match settle_one(depot, connector, folder, &id).await {
            Ok(true) => {}
            Ok(false) => depot.unsettled.add(key, id),
            Err(error) => {
                tracing::warn!(connector.id = key, %error, "A receipt could not be settled; it is tried again");
                depot.unsettled.add(key, id);
            }
        }
    }
}

async fn settle_one(
    depot: &Depot,
    connector: &Connector,
    folder: &OpenFolder,
    id: &ReceiptId,
) -> Result<bool, TransferError> {
    let _ways = folder.ways_stay().await;
    // What was said of its place before.
    depot.recorder.flush().await?;
    let Some(names) = receipt::find(&depot.db, id).await?.and_then(|found| stored_names(connector, &found)) else {
        return Ok(true);
    };
    let _turn = folder.naming(&names).await;
    match receipt::find(&depot.db, id).await? {
        Some(found) if found.publishing => Ok(finish(depot, connector, folder, &found, &mut Report::default()).await?),
        _ => Ok(true),
    }
}
