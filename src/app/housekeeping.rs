//! Removes in time: unfinished uploads older than the profile keeps them, replaced certificates, held bytes, and
//! records by the settings of the appliance.

use std::time::Duration;

use super::clock_set::{Ages, moment};
use crate::access::backup::{self, Backups};
use crate::access::certificate::Certificates;
use crate::base::human;
use crate::domain::event::EventKind;
use crate::store::live::{Live, Snapshot};
use crate::store::{StoreError, certificate, collected, traffic, watched};
use crate::transfer::collect;
use crate::transfer::depot::Depot;
use crate::transfer::gone::{self, Looked};
use crate::transfer::held;
use crate::transfer::retention;
use crate::transfer::unfinished;

/// How often to look for them.
const EVERY: Duration = Duration::from_mins(10);

/// How often to check how full the disk is.
const DISK_EVERY: Duration = Duration::from_mins(1);

/// Announced once until it is over.
const DISK_LOW: &str = "disk_low";

/// How often to check whether a backup is due.
const BACKUP_LOOKED_EVERY: Duration = Duration::from_secs(20);

/// How often records past their retention are removed, and expiring certificates announced; the last warning comes
/// three days before the end.
const HOURLY: Duration = Duration::from_hours(1);

/// Announces expiring certificates and removes records past their retention, for ever: as a separate task, since that
/// may take long.
pub(super) async fn hourly(depot: Depot, live: Live, (certificates, backups): (Certificates, Backups)) {
    let mut ages = Ages::begin(moment(&depot.clock));
    loop {
        if let Err(error) = certificates.tell_expiring().await {
            tracing::error!(%error, "Could not record which certificates expire; it is tried again");
        }
        if let Err(error) = backups.sweep(&live.snapshot().appliance) {
            tracing::warn!(%error, "Could not remove what a backup that was cut off left; it is tried again");
        }
        // A service that corrects the clock after boot has done so by then.
        tokio::time::sleep(EVERY).await;
        if ages.are_trusted(moment(&depot.clock))
            && let Err(error) = retention::run(&depot, &live.snapshot()).await
        {
            tracing::error!(%error, "Could not remove what is older than it is kept; it is tried again");
        }
        tokio::time::sleep(HOURLY).await;
    }
}

/// Announces that the disk nears its reserve, for ever.
pub(super) async fn watch_disk(depot: Depot, live: Live) {
    loop {
        let profile = &live.snapshot().profile;
        match depot.workspaces.room(profile) {
            Ok((free, all)) => {
                let reserve = profile.disk_reserve.bytes(all);
                if let Err(error) = look_at_disk(&depot, (free, all), reserve).await {
                    tracing::error!(%error, "Could not record how full the disk is; it is tried again");
                }
            }
            Err(error) => tracing::warn!(%error, "Could not look how full the disk is; it is tried again"),
        }
        tokio::time::sleep(DISK_EVERY).await;
    }
}

/// Announces that it nears its reserve: once until there was space again, over restarts too.
async fn look_at_disk(depot: &Depot, (free, all): (u64, u64), reserve: u64) -> Result<(), StoreError> {
    let was_low = watched::all(&depot.db).await?.contains_key(DISK_LOW);
    let is_low = near((free, all), reserve, was_low);
    if is_low && !was_low {
        let (free, reserve) = (human::size(free), human::size(reserve));
        let summary = format!("The disk has {free} free; below {reserve}, its reserve, uploads are refused");
        tracing::warn!("{summary}");
        watched::tell(&depot.db, DISK_LOW, &depot.event(EventKind::DiskLow, summary)).await?;
    } else if was_low && !is_low {
        watched::end(&depot.db, DISK_LOW).await?;
    }
    Ok(())
}

/// Makes a backup every night, for ever: one delayed by a stop or a failure is made later.
pub(super) async fn nightly(depot: Depot, live: Live, backups: Backups) {
    let mut is_wanted = true;
    loop {
        tokio::time::sleep(BACKUP_LOOKED_EVERY).await;
        let settings = &live.snapshot().appliance;
        let Some(at) = settings.backup_at else {
            if is_wanted && let Err(error) = backups.forget_failed().await {
                tracing::error!(%error, "Could not record that no backup is wanted; it is tried again");
            } else {
                is_wanted = false;
            }
            continue;
        };
        is_wanted = true;
        let now = depot.clock.now();
        let newest = match backups.newest(settings) {
            Ok(newest) => newest,
            Err(error) => {
                tracing::error!(%error, "Could not look which backups there are; it is tried again");
                continue;
            }
        };
        if !backup::is_due(newest, at.minutes(), (now, settings.time_zone.offset_s_at(now))) {
            continue;
        }
        let made = backups.make(settings).await;
        let (kind, summary) = backup::told(&made);
        let event = depot.event(kind, summary);
        let Err(error) = made else {
            depot.recorder.event(event).await;
            continue;
        };
        tracing::error!(%error, "Could not make a backup; it is tried again");
        if let Err(error) = backups.tell_failed(&event).await {
            tracing::error!(%error, "Could not record that no backup could be made; it is tried again");
        }
        tokio::time::sleep(HOURLY).await;
    }
}

/// It is low below the reserve and as much again, at most a twentieth of the disk; it stays low until there is twice
/// that margin, so that there is no message for every other file.
fn near((free, all): (u64, u64), reserve: u64, is_low: bool) -> bool {
    let margin = reserve.min(all / 20);
    free < reserve.saturating_add(if is_low { margin.saturating_mul(2) } else { margin })
}

/// Looks after the rest, for ever.
pub(super) async fn run(depot: Depot, live: Live) {
    let (mut looked, mut ages) = (Looked::default(), Ages::begin(moment(&depot.clock)));
    loop {
        tokio::time::sleep(EVERY).await;
        let are_trusted = ages.are_trusted(moment(&depot.clock));
        round(&depot, &live, (are_trusted, &mut looked)).await;
    }
}

async fn round(depot: &Depot, live: &Live, (ages_are_trusted, looked): (bool, &mut Looked)) {
    let snapshot = live.snapshot();
    depot.workspaces.close_others(|key| snapshot.connectors.contains_key(key));
    if ages_are_trusted {
        remove_by_age(depot, &snapshot).await;
    }
    gone::round(depot, &snapshot, looked).await;
    // Copies and removals that failed are tried again.
    if let Err(error) = collect::finish_pending(depot, &live.snapshot()).await {
        tracing::error!(%error, "Could not look after collected files; it is tried again");
    }
    if let Err(error) = held::free_ended(depot, &live.snapshot()).await {
        tracing::error!(%error, "Could not look for held bytes to free; it is tried again");
    }
}

/// What is older than it is kept, but for what [`hourly`] removes.
async fn remove_by_age(depot: &Depot, snapshot: &Snapshot) {
    unfinished::purge(depot, snapshot).await;
    let now = depot.clock.now();
    if let Err(error) = collected::forget(&depot.db, now.minus(collect::COVERED_FOR)).await {
        tracing::error!(%error, "Could not forget what was collected long ago; it is tried again");
    }
    if let Err(error) = traffic::fold(&depot.db, now).await {
        tracing::error!(%error, "Could not fold the traffic of old minutes; it is tried again");
    }
    if let Err(error) = certificate::forget_previous(&depot.db, now).await {
        tracing::error!(%error, "Could not forget replaced certificates; it is tried again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, Timestamp};
    use crate::base::file_id::FileId;
    use crate::store::collected::FileInSend;
    use crate::store::event;

    #[tokio::test]
    async fn a_disk_that_is_low_is_told_once_until_there_was_room() {
        let folder = tempfile::tempdir().unwrap();
        let depot = Depot::for_tests(folder.path(), Clock::System).await;
        let mut told = Vec::new();
        for free in [500, 199, 199, 299, 300, 199] {
            look_at_disk(&depot, (free, 10_000), 100).await.unwrap();
            let since = Timestamp::default();
            told.push(event::count_since(&depot.db, EventKind::DiskLow, since).await.unwrap());
        }
        assert_eq!(told, [0, 1, 1, 1, 1, 2]);
    }

    #[tokio::test]
    async fn while_ages_are_doubted_nothing_is_removed_by_them() {
        let folder = tempfile::tempdir().unwrap();
        let depot = Depot::for_tests(folder.path(), Clock::System).await;
        let live = Live::open(depot.db.clone(), Clock::System).await.unwrap();
        let id = FileId { inode: 1, size_bytes: 9, modified: Timestamp::default() };
        let file = FileInSend { connector_key: "acme".to_owned(), path: "/Send/a".to_owned(), id };
        let long_ago = depot.clock.now().minus(collect::COVERED_FOR * 2);
        collected::cover(&depot.db, &file, 7, long_ago).await.unwrap();
        let is_known = async |ages_are_trusted| {
            round(&depot, &live, (ages_are_trusted, &mut Looked::default())).await;
            collected::one(&depot.db, &file).await.unwrap().is_some()
        };
        assert!(is_known(false).await);
        assert!(!is_known(true).await);
    }

    #[test]
    fn a_disk_that_is_low_stays_so_until_there_is_room() {
        assert!(!near((200, 10_000), 100, false) && near((199, 10_000), 100, false));
        assert!(near((299, 10_000), 100, true) && !near((300, 10_000), 100, true));
        assert!(!near((0, 10_000), 0, false), "no reserve is never near");
        assert!(
            near((9_499, 10_000), 9_000, false) && !near((9_500, 10_000), 9_000, false),
            "a large reserve has a margin"
        );
    }
}
