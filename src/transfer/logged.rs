//! Log Messages (PRODUCT section 4): a copy of each received file beside the records of the sessions.
//!
//! Always: it is on disk before its receipt, so that every receipt made while this is on has one. A crash in between
//! leaves a copy of an upload that was never confirmed; it is removed in time, like all of them.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::depot::{Depot, Party};
use crate::domain::copies;
use crate::store::receipt::Receipt;
use crate::workspace::copies::CopiesFolder;
use crate::workspace::download::Source;

/// Makes the copy, if the connector wants one. A failure is reported, but does not refuse the upload.
pub(super) async fn keep(depot: &Depot, party: &Party, receipt: &Receipt, file: &Arc<OwnedFd>) {
    let (connector, snapshot) = (party.connector(), &party.snapshot);
    let settings = &connector.settings;
    if !settings.log_messages || snapshot.profile.log_keep_days.get() == 0 {
        return;
    }
    let dated = copies::folder(settings.log_subfolder_scheme, receipt.completed_at, &snapshot.appliance.time_zone);
    let stored = receipt.stored_path.rsplit('/').next().unwrap_or_default();
    let name = copies::logged(&receipt.id, stored);
    let made = match depot.workspaces.copies_parent(&snapshot.profile, connector, copies::LOG) {
        Ok(parent) => {
            let file = Arc::clone(file);
            let make =
                move || CopiesFolder::open(&parent, copies::LOG, &dated)?.make(&name, &Source::shared(file)?, None);
            tokio::task::spawn_blocking(make).await.map_err(std::io::Error::other).flatten()
        }
        Err(error) => Err(error),
    };
    let Err(error) = made else { return };
    let summary = format!("The log has no copy of {}, received from {}: {error}", receipt.name, connector.id);
    depot.tell_of_storage(party.whose(), summary).await;
}
