//! Files that another program has taken out of Receive: their receipts say so. What waits for a delivery is left alone: its
//! bytes are held, and its delivery ends.

use std::io;

use rustix::fs::Stat;

use super::depot::{Depot, Party, TransferError};
use super::send::received_names;
use crate::domain::place::Folder;
use crate::store::{gone, renaming};

/// Files looked for in one go.
const LOOKED_FOR_MAX: i64 = 1_000;

/// Looks for the next of a partner's received files, behind the path `after`, and marks those that are not there. Gives how
/// many these are, and the path to go on behind: empty where it is to begin anew.
pub(super) async fn look(depot: &Depot, party: &Party, after: &str) -> Result<(u64, String), TransferError> {
    let (db, key) = (&depot.db, party.connector().id.key());
    let workspace = party.workspace(depot)?;
    // A disk that is away leaves an empty place, in which everything would seem to have been taken (decision 0112): only
    // what was received in this very folder is looked for.
    let staging_inode = workspace.folder(Folder::Receive).staging_inode()?;
    let lying = gone::in_receive(db, key, after, (staging_inode, LOOKED_FOR_MAX)).await?;
    let is_last = i64::try_from(lying.len()).is_ok_and(|count| count < LOOKED_FOR_MAX);
    let next = lying.last().filter(|_| !is_last).map(|(_, path)| path.clone()).unwrap_or_default();
    let (connector, place) = (party.connector().clone(), workspace.clone());
    let looking = tokio::task::spawn_blocking(move || {
        let jail = place.folder(Folder::Receive).jail();
        let named = lying.into_iter().filter_map(|one| Some((received_names(&connector, &one.1)?, one)));
        let is_missing = |found: io::Result<Stat>| found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        named.filter(|(names, _)| is_missing(jail.stat(names))).collect::<Vec<_>>()
    });
    let missing = looking.await.map_err(io::Error::other)?;
    if missing.is_empty() {
        return Ok((0, next));
    }
    // Who has removed or renamed one since it was asked for has said so before these are marked.
    for (names, _) in &missing {
        drop(workspace.folder(Folder::Receive).naming(names).await);
    }
    depot.recorder.flush().await?;
    if renaming::begun(db).await?.iter().any(|rename| rename.connector_key == key) {
        return Ok((0, after.to_owned()));
    }
    let missing: Vec<_> = missing.into_iter().map(|(_, one)| one).collect();
    Ok((gone::mark(db, &missing).await?, next))
}
