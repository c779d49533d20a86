//! Received files that their partners have given a temporary name are held back until they are renamed again, or until
//! a changed setting makes the name final (PRODUCT P5). This module does the latter: at start, and at each change.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::filter::TempExtensions;
use crate::store::live::{Live, LiveConnector, Snapshot};
use crate::store::{Db, StoreError, renaming};

/// Releases files that are no longer held back, for ever.
pub async fn run(db: Db, live: Live) {
    let (mut changes, mut judged) = (live.watch(), HashMap::new());
    loop {
        let snapshot = live.snapshot();
        let extensions = extensions(&snapshot);
        if extensions != judged {
            match release(&db, &snapshot).await {
                Ok(()) => judged = extensions,
                Err(error) => {
                    tracing::error!(%error, "Could not look which received files have a temporary name no more; it is tried \
                        again at the next change");
                }
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// The temporary extensions of each connector.
fn extensions(snapshot: &Snapshot) -> HashMap<String, TempExtensions> {
    let of = |(key, live): (&String, &Arc<LiveConnector>)| (key.clone(), temporary(live).clone());
    snapshot.connectors.iter().map(of).collect()
}

fn temporary(live: &LiveConnector) -> &TempExtensions {
    &live.connector.settings.temp_receive_extensions
}

async fn release(db: &Db, snapshot: &Snapshot) -> Result<(), StoreError> {
    let mut released = renaming::held_back(db).await?;
    let is_final =
        |key: &str, name: &str| snapshot.connector(key).is_some_and(|live| !temporary(live).is_temporary(name));
    released.retain(|one| is_final(&one.connector_key, &one.name));
    if released.is_empty() {
        return Ok(());
    }
    for one in &released {
        tracing::info!(receipt.id = one.id, "{} is no temporary name any more: its deliveries begin", one.name);
    }
    renaming::release(db, &released).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::clock::Clock;
    use crate::domain::connector::ConnectorId;
    use crate::domain::setting::Texts;
    use crate::store::commit::Received;
    use crate::store::connector::{self, Edit};
    use crate::store::renaming::{NewName, Rename};
    use crate::store::setting::Change;
    use crate::transfer::depot::Depot;

    #[tokio::test]
    async fn what_has_a_temporary_name_no_more_is_released_when_the_setting_changes_and_at_start() {
        let folder = tempfile::tempdir().unwrap();
        let Depot { db, ids, clock, recorder, .. } = Depot::for_tests(folder.path(), Clock::System).await;
        let (id, at) = (ConnectorId::parse("Acme").unwrap(), clock.now());
        let change = Change { who: "test", remote: "", at, ids: &ids };
        connector::add(&db, &id, &Texts::new(), None, &change).await.unwrap();
        let mut receipts = Vec::new();
        for name in ["a.tmp", "b.part", "c.new"] {
            let received = Received::at("/Receive/a", &ids, at);
            let receipt = received.receipt.id.clone();
            recorder.receive(received).await.unwrap();
            let way = ("/Receive/a".to_owned(), format!("/Receive/{name}"));
            let whose = (receipt.clone(), NewName { is_temporary: true, sets_off: None });
            Rename::begin(&db, ("acme", Some(whose)), way, at).await.unwrap().settle(&db).await.unwrap();
            receipts.push(receipt);
        }
        let live = Live::open(db.clone(), clock).await.unwrap();
        let until = async |held: [bool; 3]| {
            let mut now = [true; 3];
            for _ in 0..500 {
                for (held, receipt) in now.iter_mut().zip(&receipts) {
                    *held = renaming::temporary_since(&db, receipt).await.unwrap().is_some();
                }
                if now == held {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            panic!("{now:?} are held back, not {held:?}");
        };
        // The extension was temporary when the file was renamed.
        let running = tokio::spawn(run(db.clone(), live.clone()));
        until([true, true, false]).await;
        let values = [("temp_receive_extensions".to_owned(), ".tmp".to_owned())].into();
        connector::save(&db, &id, &Edit { values, ..Edit::default() }, &change).await.unwrap();
        live.refresh().await.unwrap();
        until([true, false, false]).await;
        running.abort();
    }
}
