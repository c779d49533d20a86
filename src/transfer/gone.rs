//! Files that another program has taken out of Receive: their receipts are marked. Those waiting for a delivery are
//! left alone: their bytes are held, and the delivery ends in time; unless a temporary name holds them back, which
//! nothing would end.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use super::depot::{Depot, TransferError};
use super::send::{is_file_of, received_names};
use crate::base::path::Name;
use crate::domain::place::Folder;
use crate::store::gone::Lying;
use crate::store::live::{LiveConnector, Snapshot};
use crate::store::receipt::Receipt;
use crate::store::{gone, receipt, renaming};
use crate::workspace::download::Version;
use crate::workspace::jail::Jail;
use crate::workspace::workspaces::Workspace;

/// Files looked for at a time.
const LOOKED_FOR_MAX: i64 = 1_000;
/// Files, and connectors, checked in one [`round`].
const ROUND_MAX: u64 = 10_000;

/// Where the next [`round`] continues.
#[derive(Debug, Default)]
pub struct Looked {
    /// At this connector, by its id in lower case, or the first after it.
    connector_key: String,
    /// After this path of it.
    path: String,
}

/// The outcome of a look.
pub(super) enum Look {
    /// How many were looked for and how many are gone; the next look continues after that path, or begins anew if it is
    /// empty.
    Done { looked: u64, gone: u64, next: String },
    /// The partner is renaming something: look for the same files later.
    Renaming,
}

/// Looks for some of all partners' received files and marks missing ones: enough that all have their turn in time, and
/// few enough that nobody notices.
pub async fn round(depot: &Depot, snapshot: &Snapshot, looked: &mut Looked) {
    let mut partners: Vec<_> = snapshot.partners().collect();
    partners.sort_by_key(|live| live.connector.id.key());
    let from = std::mem::take(looked);
    let mut left = ROUND_MAX;
    for live in partners.into_iter().filter(|live| live.connector.id.key() >= from.connector_key.as_str()) {
        let key = live.connector.id.key();
        let mut path = if key == from.connector_key { from.path.clone() } else { String::new() };
        loop {
            if left == 0 {
                *looked = Looked { connector_key: key.to_owned(), path };
                return;
            }
            // A folder that cannot be opened was reported elsewhere.
            let Ok(workspace) = depot.workspaces.get(&snapshot.profile, &live.connector) else { break };
            match look(depot, (live, &workspace), &path).await {
                Ok(Look::Done { looked, next, .. }) => {
                    left = left.saturating_sub(looked + 1);
                    path = next;
                }
                // The others need not wait.
                Ok(Look::Renaming) => break,
                Err(error) => {
                    tracing::warn!(connector.id = key, %error, "Could not look for received files");
                    break;
                }
            }
            if path.is_empty() {
                break;
            }
        }
    }
}

/// Looks for the next of a partner's received files, after the path `after`, and marks missing ones.
pub(super) async fn look(
    depot: &Depot,
    (live, workspace): (&Arc<LiveConnector>, &Arc<Workspace>),
    after: &str,
) -> Result<Look, TransferError> {
    let (db, key) = (&depot.db, live.connector.id.key());
    // If a disk is away, its place is empty, and everything would seem to be taken (decision 0112): only files received
    // in this very folder are looked for.
    let staging_inode = workspace.folder(Folder::Receive).staging_inode();
    let lying = gone::in_receive(db, key, after, (staging_inode, LOOKED_FOR_MAX)).await?;
    let is_last = i64::try_from(lying.len()).is_ok_and(|count| count < LOOKED_FOR_MAX);
    let next = lying.last().filter(|_| !is_last).map(|one| one.stored_path.clone()).unwrap_or_default();
    let looked = u64::try_from(lying.len()).unwrap_or(u64::MAX);
    // Few have a temporary name. What replaced such a file may be unrecorded since a crash, and would hold it back for
    // ever.
    let held_back: Vec<_> = lying.iter().filter(|one| one.is_held_back).map(|one| one.id.clone()).collect();
    let held_back = if held_back.is_empty() { Vec::new() } else { receipt::all_of(db, &held_back).await? };
    let (connector, place) = (Arc::clone(live), Arc::clone(workspace));
    let looking = tokio::task::spawn_blocking(move || {
        let jail = place.folder(Folder::Receive).jail();
        let held_back: HashMap<_, _> = held_back.iter().map(|receipt| (&receipt.id, receipt)).collect();
        let is_anothers = |names: &[Name], one: &Lying| {
            held_back.get(&one.id).is_some_and(|receipt| is_anothers(jail, names, receipt))
        };
        let named =
            lying.into_iter().filter_map(|one| Some((received_names(&connector.connector, &one.stored_path)?, one)));
        named.filter(|(names, one)| is_missing(jail, names) || is_anothers(names, one)).collect::<Vec<_>>()
    });
    let missing = looking.await.map_err(io::Error::other)?;
    if missing.is_empty() {
        return Ok(Look::Done { looked, gone: 0, next });
    }
    // Whoever has removed or renamed one since it was looked for has recorded that before these are marked.
    for (names, _) in &missing {
        drop(workspace.folder(Folder::Receive).naming(names).await);
    }
    depot.recorder.flush().await?;
    if renaming::begun(db).await?.iter().any(|rename| rename.connector_key == key) {
        return Ok(Look::Renaming);
    }
    let missing: Vec<_> = missing.into_iter().map(|(_, one)| one).collect();
    Ok(Look::Done { looked, gone: gone::mark(db, &missing).await?, next })
}

/// Whether `names` leads to another file than the receipt's.
fn is_anothers(jail: &Jail, names: &[Name], receipt: &Receipt) -> bool {
    jail.stat(names).is_ok_and(|stat| !is_file_of(receipt, &Version::of(&stat), jail.born(names)))
}

/// Whether `names` leads to nothing: if a folder was taken, so was everything in it. Beneath a folder with another disk
/// mounted on it nothing is known.
fn is_missing(jail: &Jail, names: &[Name]) -> bool {
    let is_away = |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    let mut there = jail.stat(names);
    let mut above = names;
    while there.as_ref().is_err_and(is_away)
        && let Some((_, up)) = above.split_last()
    {
        (there, above) = (jail.stat(up), up);
    }
    let is_there = above.len() == names.len();
    !is_there && there.and_then(|lowest| Ok(lowest.st_dev == jail.stat(&[])?.st_dev)).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::receipt::Status;
    use crate::store::renaming::{NewName, Rename};
    use crate::transfer::upload_tests::Desk;

    #[tokio::test]
    async fn what_is_held_back_under_a_name_that_is_anothers_by_now_is_gone() {
        let desk = Desk::new(&[]).await;
        let (db, receive) = (&desk.depot.db, desk.path("Receive"));
        let mut ids = Vec::new();
        for name in ["its", "others"] {
            desk.store(name, 9).await.unwrap();
            desk.depot.recorder.flush().await.unwrap();
            let (from, to) = (format!("/Receive/{name}"), format!("/Receive/{name}.tmp"));
            let id = receipt::latest_stored_at(db, "acme", &from).await.unwrap().unwrap().id;
            let whose = (id.clone(), NewName { is_temporary: true, sets_off: None });
            let rename = Rename::begin(db, ("acme", Some(whose)), (from, to), desk.depot.clock.now()).await.unwrap();
            std::fs::rename(receive.join(name), receive.join(format!("{name}.tmp"))).unwrap();
            rename.settle(db).await.unwrap();
            ids.push(id);
        }
        // As if a crash had left unrecorded what another upload replaced.
        std::fs::write(receive.join("new"), "another").unwrap();
        std::fs::rename(receive.join("new"), receive.join("others.tmp")).unwrap();
        round(&desk.depot, &desk.party.snapshot, &mut Looked::default()).await;
        let found = receipt::all_of(db, &ids).await.unwrap();
        let found: Vec<_> = found.iter().map(|one| (one.stored_path.as_str(), one.status)).collect();
        assert_eq!(found, [("/Receive/its.tmp", Status::InReceive), ("/Receive/others", Status::Gone)]);
    }
}
