//! The unfinished uploads of all partners, for the administrator: what there is, and the way to drop one.

use super::depot::Depot;
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::domain::event::EventKind;
use crate::domain::place::{Folder, path_of};
use crate::store::event::Event;
use crate::store::live::Snapshot;

/// One upload that was broken off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The connector's id.
    pub connector: String,
    /// As the partner sees it: `/Receive/a`.
    pub path: String,
    /// Bytes that arrived.
    pub size_bytes: u64,
    /// When the last of them did.
    pub since: Timestamp,
    /// When it is removed, if nobody goes on with it.
    pub until: Timestamp,
    /// Names it among the connector's.
    pub part: String,
}

/// Every one, the oldest first.
pub fn all(depot: &Depot, snapshot: &Snapshot) -> Vec<Row> {
    let keep = snapshot.profile.unfinished_keep_h.hours();
    let mut rows = Vec::new();
    for live in snapshot.partners() {
        // A folder that cannot be opened has told so elsewhere; the others are shown all the same.
        let Ok(workspace) = depot.workspaces.get(&snapshot.profile, &live.connector) else { continue };
        for side in Folder::ALL {
            rows.extend(workspace.folder(side).all_unfinished().into_iter().map(|(names, unfinished)| Row {
                connector: live.connector.id.as_str().to_owned(),
                path: path_of(side, &names).unwrap_or_default().to_string(),
                size_bytes: unfinished.size_bytes,
                since: unfinished.since,
                until: unfinished.since.plus(keep),
                part: unfinished.part,
            }));
        }
    }
    rows.sort_by(|a, b| (a.since, &a.part).cmp(&(b.since, &b.part)));
    rows
}

/// Drops one; `false` when it is not there any more: gone on with, finished or removed meanwhile.
pub async fn discard(depot: &Depot, snapshot: &Snapshot, (connector, part): (&str, &str), who: &str) -> bool {
    let Some(live) = snapshot.connector(connector) else { return false };
    let Ok(workspace) = depot.workspaces.get(&snapshot.profile, &live.connector) else { return false };
    for side in Folder::ALL {
        let folder = workspace.folder(side);
        let found = folder.all_unfinished().into_iter().find(|(_, unfinished)| unfinished.part == part);
        let Some((names, taken)) = found else { continue };
        if !folder.take_this(&names, &taken) {
            return false;
        }
        folder.remove_part(&taken.part);
        let path = path_of(side, &names).unwrap_or_default();
        let size = human::size(taken.size_bytes);
        let summary = format!("{who} removed the unfinished upload {path} of {}, {size}", live.connector.id);
        let mut event = Event::new(&depot.ids, EventKind::UnfinishedPurged, depot.clock.now(), summary);
        live.connector.id.as_str().clone_into(&mut event.connector);
        depot.recorder.event(event).await;
        return true;
    }
    false
}
