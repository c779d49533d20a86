//! Files that another program has taken out of Receive: their receipts say so. What waits for a delivery is left alone, its
//! bytes are held, and its delivery ends; unless a temporary name holds it back, for which nothing would end that.

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

/// Where the next [`round`] goes on.
#[derive(Debug, Default)]
pub struct Looked {
    /// With this connector, by its id in lower case, or the first behind it.
    connector_key: String,
    /// Behind this path of it.
    path: String,
}

/// What came of a look.
pub(super) enum Look {
    /// So many were looked for, so many are gone; the next look goes on behind that path, or begins anew where it is empty.
    Done { looked: u64, gone: u64, next: String },
    /// A rename of the partner's is under way: the same are to be looked for later.
    Renaming,
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
            match look(depot, (live, &workspace), &path).await {
                Ok(Look::Done { looked, next, .. }) => {
                    left = left.saturating_sub(looked + 1);
                    path = next;
                }
                // The others are not kept waiting.
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

/// Looks for the next of a partner's received files, behind the path `after`, and marks those that are not there.
pub(super) async fn look(
    depot: &Depot,
    (live, workspace): (&Arc<LiveConnector>, &Arc<Workspace>),
    after: &str,
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
        named.filter(|(names, _)| is_missing(jail, names)).collect::<Vec<_>>()
    });
    let missing = looking.await.map_err(io::Error::other)?;
    if missing.is_empty() {
        return Ok(Look::Done { looked, gone: 0, next });
    }
    // Who has removed or renamed one since it was asked for has said so before these are marked.
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

/// Whether nothing is at `names`: who has taken a folder has taken what was in it. Beneath a folder on which another disk lies
/// now nothing is known.
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
