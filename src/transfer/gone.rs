//! Files that another program has taken out of Receive: their receipts say so. What waits for a delivery is left alone: its
//! bytes are held, and its delivery ends.

use std::io;
use std::sync::Arc;

use super::depot::{Depot, TransferError};
use super::send::received_names;
use crate::base::path::Name;
use crate::domain::place::Folder;
use crate::store::live::{LiveConnector, Snapshot};
use crate::store::{gone, renaming};
use crate::workspace::jail::Jail;
use crate::workspace::workspaces::Workspace;

/// Files looked for in one go.
const LOOKED_FOR_MAX: i64 = 1_000;
/// Files, and connectors, looked at in one [`round`].
const ROUND_MAX: u64 = 10_000;

/// What is to be said of a file whose folder is not there, either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Folderless {
    /// It takes no room: who has taken the folder has taken it.
    Gone,
    /// Nothing: the folder may come back.
    Unknown,
}

/// Where the next [`round`] goes on.
#[derive(Debug, Default)]
pub struct Looked {
    /// With this connector, by its id in lower case, or the first behind it.
    connector_key: String,
    /// Behind this path of it.
    path: String,
}

/// What came of a look.
pub(super) struct Look {
    /// How many files were looked for.
    looked: u64,
    /// How many of them are gone.
    pub(super) gone: u64,
    /// The path to go on behind: empty where it is to begin anew.
    pub(super) next: String,
}

/// Looks for some of all partners' received files and marks those that are not there: so many that all have their turn in time,
/// and so few that nobody notices.
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
            // A folder that cannot be opened has told so elsewhere.
            let Ok(workspace) = depot.workspaces.get(&snapshot.profile, &live.connector) else { break };
            match look(depot, (live, &workspace), &path, Folderless::Unknown).await {
                Ok(found) => {
                    left = left.saturating_sub(found.looked + 1);
                    path = found.next;
                }
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

/// Looks for the next of a partner's received files, behind the path `after`, and marks those that are not there.
pub(super) async fn look(
    depot: &Depot,
    (live, workspace): (&Arc<LiveConnector>, &Arc<Workspace>),
    after: &str,
    folderless: Folderless,
) -> Result<Look, TransferError> {
    let (db, key) = (&depot.db, live.connector.id.key());
    // A disk that is away leaves an empty place, in which everything would seem to have been taken (decision 0112): only
    // what was received in this very folder is looked for.
    let staging_inode = workspace.folder(Folder::Receive).staging_inode()?;
    let lying = gone::in_receive(db, key, after, (staging_inode, LOOKED_FOR_MAX)).await?;
    let is_last = i64::try_from(lying.len()).is_ok_and(|count| count < LOOKED_FOR_MAX);
    let next = lying.last().filter(|_| !is_last).map(|(_, path)| path.clone()).unwrap_or_default();
    let looked = u64::try_from(lying.len()).unwrap_or(u64::MAX);
    let (connector, place) = (Arc::clone(live), Arc::clone(workspace));
    let looking = tokio::task::spawn_blocking(move || {
        let jail = place.folder(Folder::Receive).jail();
        let named = lying.into_iter().filter_map(|one| Some((received_names(&connector.connector, &one.1)?, one)));
        named.filter(|(names, _)| is_missing(jail, names, folderless)).collect::<Vec<_>>()
    });
    let missing = looking.await.map_err(io::Error::other)?;
    if missing.is_empty() {
        return Ok(Look { looked, gone: 0, next });
    }
    // Who has removed or renamed one since it was asked for has said so before these are marked.
    for (names, _) in &missing {
        drop(workspace.folder(Folder::Receive).naming(names).await);
    }
    depot.recorder.flush().await?;
    if renaming::begun(db).await?.iter().any(|rename| rename.connector_key == key) {
        // The same are looked for again, but for now that is all.
        return Ok(Look { looked: ROUND_MAX, gone: 0, next: after.to_owned() });
    }
    let missing: Vec<_> = missing.into_iter().map(|(_, one)| one).collect();
    Ok(Look { looked, gone: gone::mark(db, &missing).await?, next })
}

/// Whether nothing is at `names`. Beneath a folder on which another disk lies now nothing is known.
fn is_missing(jail: &Jail, names: &[Name], folderless: Folderless) -> bool {
    let is_away = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
    if !jail.stat(names).is_err_and(is_away) {
        return false;
    }
    let above = names.split_last().map_or(names, |(_, above)| above);
    match (jail.stat(above), jail.stat(&[])) {
        (Ok(above), Ok(top)) => above.st_dev == top.st_dev,
        (Err(error), _) => folderless == Folderless::Gone && is_away(error),
        (_, Err(_)) => false,
    }
}
