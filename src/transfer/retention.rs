//! Removes what is past its retention: records, copies in Sent and in the log. It takes small steps with pauses, so
//! that no 226 waits for it. Held bytes go when their deliveries have ended; here they are only counted.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use super::depot::Depot;
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::base::path::Name;
use crate::domain::appliance::ApplianceSettings;
use crate::domain::connector::{Connector, ConnectorSettings};
use crate::domain::copies;
use crate::domain::event::EventKind;
use crate::domain::value::{ConnectorType, KeepDays};
use crate::store::kept::{self, KeptFile};
use crate::store::live::Snapshot;
use crate::store::retention::{self as records, Kept, Progress, Records};
use crate::store::{StoreError, held};
use crate::workspace::aged::{self, Aged};
use crate::workspace::folder::OpenFolder;
use crate::workspace::jail;
use crate::workspace::removal::remove_file;

/// Between steps, others have the writer to themselves.
const PAUSE: Duration = Duration::from_millis(25);
/// Files removed per step.
const STEP_FILES: u64 = 100;
/// The files kept in Folders, for people.
const KEPT_FILES: &str = "Files in Folders";
const DAY: Duration = Duration::from_hours(24);

/// Something with a retention, and how much is past it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// In words: `Receipts`.
    pub what: &'static str,
    /// How many.
    pub count: u64,
    /// Their bytes on disk, if they are files.
    pub bytes: Option<u64>,
}

/// Records, and how many days they are kept; `None`: for ever.
type Term = (Kept, Option<u64>);

fn terms(settings: &ApplianceSettings, snapshot: &Snapshot) -> Vec<Term> {
    let general = |records| (Kept::Generally(records), generally(records, settings, snapshot));
    let mut terms: Vec<_> = Records::ALL.map(general).into();
    let own = snapshot.partners().flat_map(|live| of_one(&live.connector)).filter(|(_, keep)| keep.is_own());
    terms.extend(own.map(|(kept, keep)| (kept, keep.or(None))));
    terms
}

/// How many days records are kept unless their connector says otherwise.
fn generally(records: Records, settings: &ApplianceSettings, snapshot: &Snapshot) -> Option<u64> {
    match records {
        Records::Receipts => settings.receipts_keep_days.as_ref().map(|days| days.get()),
        Records::Transfers => settings.transfers_keep_days.as_ref().map(|days| days.get()),
        Records::Events | Records::Refusals | Records::Deliveries | Records::Windows => {
            settings.events_keep_days.as_ref().map(|days| days.get())
        }
        Records::Transcripts | Records::Sessions => Some(snapshot.profile.log_keep_days.get()),
    }
}

/// The records for which a connector may have a retention of its own.
fn of_one(connector: &Connector) -> [(Kept, KeepDays); 2] {
    let own = &connector.settings;
    [
        (Kept::ReceiptsOf(connector.id.clone()), own.receipts_keep_days),
        (Kept::TransfersOf(connector.id.clone()), own.transfers_keep_days),
    ]
}

const fn in_words(records: Records) -> &'static str {
    match records {
        Records::Receipts => "Receipts",
        Records::Transfers => "Transfers",
        Records::Events => "Events",
        Records::Refusals => "Refusals",
        Records::Transcripts => "Transcripts of refusals",
        Records::Sessions => "Records of sessions",
        Records::Deliveries => "Deliveries",
        Records::Windows => "Windows of SLAs",
    }
}

fn before(depot: &Depot, days: u64) -> Timestamp {
    depot.clock.now().minus(DAY * u32::try_from(days).unwrap_or(u32::MAX))
}

/// What would be removed now under these settings, one line for each kind.
pub async fn preview(depot: &Depot, settings: &ApplianceSettings, snapshot: &Snapshot) -> Result<Vec<Due>, StoreError> {
    let mut due = counted(depot, &terms(settings, snapshot)).await?;
    let partners: Vec<_> = snapshot.partners().map(|live| &live.connector).collect();
    for kind in copies_kept(settings, snapshot) {
        due.push(kind.due(kind.count(depot, snapshot, &partners).await));
    }
    due.push(Due { what: KEPT_FILES, count: count_kept_files(depot, keeping(snapshot)).await?, bytes: None });
    Ok(due)
}

/// What would be removed now for one connector with these settings.
pub async fn preview_of(depot: &Depot, connector: &Connector, snapshot: &Snapshot) -> Result<Vec<Due>, StoreError> {
    if connector.settings.r#type == ConnectorType::Folder {
        let count = count_kept_files(depot, keeps_days(connector).into_iter()).await?;
        return Ok(vec![Due { what: KEPT_FILES, count, bytes: None }]);
    }
    let settings = &snapshot.appliance;
    let in_force = |(kept, keep): (Kept, KeepDays)| {
        let general = generally(kept.records(), settings, snapshot);
        (kept, keep.or(general))
    };
    let mut due = counted(depot, &of_one(connector).map(in_force)).await?;
    for kind in copies_kept(settings, snapshot) {
        due.push(kind.due(kind.count(depot, snapshot, &[connector]).await));
    }
    Ok(due)
}

async fn counted(depot: &Depot, terms: &[Term]) -> Result<Vec<Due>, StoreError> {
    let mut due = Vec::new();
    for (kept, days) in terms {
        let count = match days {
            Some(days) => records::count(&depot.db, kept, before(depot, *days)).await?,
            None => 0,
        };
        add(&mut due, kept.records(), count);
    }
    Ok(due)
}

/// Adds these; each kind is one line, whatever connector its records belong to.
fn add(due: &mut Vec<Due>, records: Records, count: u64) {
    let what = in_words(records);
    match due.iter_mut().find(|due| due.what == what) {
        Some(due) => due.count += count,
        None => due.push(Due { what, count, bytes: None }),
    }
}

async fn count_kept_files(depot: &Depot, keeping: impl Iterator<Item = (&Connector, u64)>) -> Result<u64, StoreError> {
    let mut count = 0;
    for (connector, days) in keeping {
        count += kept::count(&depot.db, connector.id.key(), before(depot, days)).await?;
    }
    Ok(count)
}

/// Receipts whose bytes are held for deliveries, and how many bytes: these go by themselves.
pub async fn held_now(depot: &Depot) -> Result<Due, StoreError> {
    let (count, bytes) = held::usage(&depot.db).await?;
    Ok(Due { what: "Held for deliveries", count, bytes: Some(bytes) })
}

/// Removes what is past its retention; an event tells what was removed.
pub async fn run(depot: &Depot, snapshot: &Snapshot) -> Result<Vec<Due>, StoreError> {
    let mut gone = Vec::new();
    for (kept, days) in terms(&snapshot.appliance, snapshot) {
        let Some(days) = days else { continue };
        let mut progress = Progress::begin(before(depot, days));
        loop {
            let removed = records::remove_some(&depot.db, &kept, &mut progress).await?;
            add(&mut gone, kept.records(), removed);
            if removed == 0 {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    let partners: Vec<_> = snapshot.partners().map(|live| &live.connector).collect();
    for kind in copies_kept(&snapshot.appliance, snapshot) {
        gone.push(kind.due(kind.remove(depot, snapshot, &partners).await));
    }
    gone.push(Due { what: KEPT_FILES, count: remove_kept_files(depot, snapshot).await?, bytes: None });
    gone.retain(|due| due.count > 0);
    if !gone.is_empty() {
        let all: Vec<_> = gone.iter().map(amount_in_words).collect();
        let summary = format!("Removed what is older than it is kept: {}", all.join(", "));
        tracing::info!("{summary}");
        depot.recorder.event(depot.event(EventKind::Expired, summary)).await;
    }
    Ok(gone)
}

/// Folder connectors that keep files for a time, and how many days.
fn keeping(snapshot: &Snapshot) -> impl Iterator<Item = (&Connector, u64)> {
    let all = snapshot.connectors.values().map(|live| &live.connector);
    let folders = all.filter(|connector| connector.settings.r#type == ConnectorType::Folder);
    folders.filter_map(keeps_days)
}

fn keeps_days(connector: &Connector) -> Option<(&Connector, u64)> {
    Some((connector, connector.settings.keep_days.as_ref()?.get()))
}

/// Removes files of Folder connectors past their retention, if they are still those that were put there. Returns how
/// many.
async fn remove_kept_files(depot: &Depot, snapshot: &Snapshot) -> Result<u64, StoreError> {
    let mut gone = 0;
    for (connector, days) in keeping(snapshot) {
        let shelf = match depot.workspaces.shelf(&snapshot.profile, connector) {
            Ok(shelf) => shelf,
            Err(error) => {
                tracing::warn!(connector.id = connector.id.as_str(), %error, "Could not open a folder; it is tried again");
                continue;
            }
        };
        let (key, mut after) = (connector.id.key(), None);
        loop {
            let range = (before(depot, days), after.as_ref());
            let older = kept::older(&depot.db, key, range, STEP_FILES.cast_signed()).await?;
            let Some(last) = older.last() else { break };
            after = Some(last.clone());
            let mut over = Vec::new();
            for file in older {
                let fate = remove_kept(&shelf.folder, &file).await;
                gone += u64::from(fate == Fate::Removed);
                if fate != Fate::Unsure || file.at < before(depot, days.saturating_mul(2)) {
                    over.push(file);
                }
            }
            kept::forget(&depot.db, key, &over).await?;
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(gone)
}

/// What happened to a file past its retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It was there and was removed.
    Removed,
    /// It is no longer there.
    Gone,
    /// It could not be removed, or is on a disk that is away: it is looked for again, for as long as it was to be kept.
    Unsure,
}

/// Removes it, unless somebody else has its name by now.
async fn remove_kept(folder: &OpenFolder, file: &KeptFile) -> Fate {
    let Ok(name) = Name::parse(&file.name) else { return Fate::Gone };
    let names = [name];
    let _turn = folder.naming(&names).await;
    let jail = folder.jail();
    // The inode of a file that somebody took may have been reused for a later one.
    let is_it = jail.stat(&names).is_ok_and(|stat| stat.st_ino == file.inode)
        && jail.born(&names).is_none_or(|born| born <= file.at);
    if !is_it {
        // If a disk is away, the empty folder in its place was made later.
        let is_away = jail::born(folder.staging().as_fd(), "").is_some_and(|born| born > file.at);
        return if is_away { Fate::Unsure } else { Fate::Gone };
    }
    match remove_file(jail.root(), names[0].as_str()) {
        Ok(()) => Fate::Removed,
        Err(error) => {
            tracing::warn!(file = file.name, %error, "Could not remove a file of a Folder; it is tried again");
            Fate::Unsure
        }
    }
}

/// A kind of copies.
struct Copies {
    /// The folder that contains them.
    folder: &'static str,
    /// What they are, for people.
    what: &'static str,
    /// How many days they are kept unless their connector says otherwise; `None`: for ever.
    days: Option<u64>,
    /// Their connector's setting.
    own: fn(&ConnectorSettings) -> KeepDays,
}

fn copies_kept(settings: &ApplianceSettings, snapshot: &Snapshot) -> [Copies; 2] {
    let sent_days = settings.sent_keep_days.as_ref().map(|days| days.get());
    let log_days = Some(snapshot.profile.log_keep_days.get());
    [
        Copies {
            folder: copies::SENT,
            what: "Copies in Sent folders",
            days: sent_days,
            own: |settings| settings.sent_keep_days,
        },
        Copies { folder: copies::LOG, what: "Copies in the log", days: log_days, own: |_| KeepDays::AsSettings },
    ]
}

impl Copies {
    async fn count(&self, depot: &Depot, snapshot: &Snapshot, of: &[&Connector]) -> Aged {
        let mut found = Aged::default();
        for (folder, before) in self.folders(depot, snapshot, of) {
            let counting = tokio::task::spawn_blocking(move || aged::count(&folder, before));
            match counting.await.map_err(std::io::Error::other).flatten() {
                Ok(aged) => found.add(aged),
                Err(error) => tracing::warn!(%error, "Could not look through a folder of copies"),
            }
        }
        found
    }

    async fn remove(&self, depot: &Depot, snapshot: &Snapshot, of: &[&Connector]) -> Aged {
        let mut gone = Aged::default();
        for (folder, before) in self.folders(depot, snapshot, of) {
            loop {
                let folder = folder.clone();
                let removing = tokio::task::spawn_blocking(move || aged::remove(&folder, before, STEP_FILES));
                match removing.await.map_err(std::io::Error::other).flatten() {
                    Ok(Aged { files: 0, .. }) => break,
                    Ok(aged) => gone.add(aged),
                    Err(error) => {
                        tracing::warn!(%error, "Could not remove old copies; it is tried again");
                        break;
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        gone
    }

    /// The folders of copies that may go, and from before when. A connector whose copies would be within its partner's
    /// reach has none.
    fn folders(&self, depot: &Depot, snapshot: &Snapshot, of: &[&Connector]) -> Vec<(PathBuf, Timestamp)> {
        let old = |connector: &&Connector| {
            let days = (self.own)(&connector.settings).or(self.days)?;
            let parent = depot.workspaces.copies_parent(&snapshot.profile, connector, self.folder).ok()?;
            Some((parent.join(self.folder), before(depot, days)))
        };
        of.iter().filter_map(old).collect()
    }

    const fn due(&self, aged: Aged) -> Due {
        Due { what: self.what, count: aged.files, bytes: Some(aged.bytes) }
    }
}

fn amount_in_words(due: &Due) -> String {
    let what = due.what.to_lowercase();
    let count = human::thousands(due.count);
    match due.bytes {
        Some(bytes) => format!("{count} {what} ({})", human::size(bytes)),
        None => format!("{count} {what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::id::{SessionId, TransferId};
    use crate::domain::connector::ConnectorId;
    use crate::domain::receipt::Ending;
    use crate::domain::setting::Texts;
    use crate::store::commit::{Published, Received};
    use crate::store::live::Live;
    use crate::store::receipt::{self, Receipt};
    use crate::store::session::{Session, SessionEnd, Tally};
    use crate::store::setting::Change;
    use crate::store::transfer::{Direction, Transfer};
    use crate::store::{connector, event, profile};
    use crate::workspace::workspaces::Workspaces;

    fn receipt_of(depot: &Depot, name: &str) -> Receipt {
        Receipt {
            name: name.to_owned(),
            client_path: format!("/Receive/{name}"),
            stored_path: format!("/Receive/{name}"),
            size_bytes: 5,
            publishing: false,
            inode: 1,
            ..Receipt::sample(&depot.ids, "acme", depot.clock.now())
        }
    }

    async fn receive(depot: &Depot, name: &str) -> Receipt {
        commit(depot, receipt_of(depot, name)).await
    }

    async fn commit(depot: &Depot, receipt: Receipt) -> Receipt {
        let received = Received::of(receipt.clone(), &depot.ids);
        let event_id = received.event_id.clone();
        depot.recorder.receive(received).await.unwrap();
        depot.recorder.publish(Published::of(&receipt, event_id)).await;
        depot.recorder.flush().await.unwrap();
        receipt
    }

    fn transfer(depot: &Depot) -> Transfer {
        let at = depot.clock.now();
        Transfer {
            id: TransferId::new(&depot.ids),
            direction: Direction::Send,
            connector: "acme".to_owned(),
            path: "/Send/a".to_owned(),
            bytes_moved: 1,
            offset_bytes: 0,
            begun_at: at,
            ended_at: at,
            ending: Ending::Closed,
            complete: true,
            remote: String::new(),
            tls: String::new(),
            session_id: String::new(),
            receipt_id: None,
            reply: String::new(),
        }
    }

    fn session(depot: &Depot) -> Session {
        let at = depot.clock.now();
        Session {
            id: SessionId::new(&depot.ids),
            connector: "acme".to_owned(),
            remote: String::new(),
            client: String::new(),
            tls: String::new(),
            begun_at: at,
            ended_at: at,
            ending: SessionEnd::Quit,
            tally: Tally::default(),
            transcript: String::new(),
        }
    }

    async fn left(depot: &Depot) -> [u64; 3] {
        let far = Timestamp::from_us(i64::MAX);
        let mut left = [0; 3];
        for (count, kind) in left.iter_mut().zip([Records::Receipts, Records::Transfers, Records::Events]) {
            *count = records::count(&depot.db, &Kept::Generally(kind), far).await.unwrap();
        }
        left
    }

    #[tokio::test]
    async fn what_is_older_goes_in_steps_and_what_a_delivery_needs_stays() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::fixed(Timestamp::from_us(1_774_000_000_000_000));
        let depot = Depot::for_tests(folder.path(), clock.clone()).await;
        let live = Live::open(depot.db.clone(), clock.clone()).await.unwrap();
        let change = Change { who: "test", remote: "", at: clock.now(), ids: &depot.ids };
        let days = Texts::from(["receipts_keep_days", "transfers_keep_days"].map(|key| (key.into(), "10".into())));
        profile::save_appliance(&depot.db, &days, None, &change).await.unwrap();
        connector::add(&depot.db, &ConnectorId::parse("acme").unwrap(), &Texts::new(), None, &change).await.unwrap();
        live.refresh().await.unwrap();
        let snapshot = live.snapshot();

        let held = receive(&depot, "held").await;
        crate::store::held::record(&depot.db, &held, "nowhere").await.unwrap();
        let many = u64::try_from(records::STEP_ROWS).unwrap() + 7;
        for n in 0..many {
            depot.recorder.transfer(transfer(&depot)).await;
            if n < 3 {
                receive(&depot, &format!("old-{n}")).await;
            }
        }
        depot.recorder.session(session(&depot)).await;
        clock.advance(DAY * 11);
        let young = receive(&depot, "young").await;
        depot.recorder.flush().await.unwrap();

        let due = preview(&depot, &snapshot.appliance, &snapshot).await.unwrap();
        let counts: Vec<_> = due.iter().map(|due| (due.what, due.count)).collect();
        assert_eq!(counts[..3], [("Receipts", 3), ("Transfers", many), ("Events", 0)]);
        assert!(!counts.contains(&("Records of sessions", 1)), "they are kept for 30 days: {counts:?}");
        let gone: Vec<_> = run(&depot, &snapshot).await.unwrap().iter().map(|due| due.count).collect();
        assert_eq!(gone, [3, many]);
        depot.recorder.flush().await.unwrap();
        // The young one; and five After Receive events plus the one about the removal, minus the held receipt's.
        assert_eq!(left(&depot).await, [1, 0, 5]);
        for kept in [&held, &young] {
            assert!(receipt::find(&depot.db, &kept.id).await.unwrap().is_some());
        }
        let told =
            event::oldest_first(&depot.db, Some(EventKind::Expired), Timestamp::default(), None, 9).await.unwrap();
        assert_eq!(told[0].summary, format!("Removed what is older than it is kept: 3 receipts, {many} transfers"));
        assert!(run(&depot, &snapshot).await.unwrap().is_empty());
        clock.advance(DAY * 20);
        let gone = run(&depot, &snapshot).await.unwrap();
        assert!(gone.contains(&Due { what: "Records of sessions", count: 1, bytes: None }), "{gone:?}");
        assert_eq!(held_now(&depot).await.unwrap().bytes, Some(5));
        assert!(records::count(&depot.db, &Kept::Generally(Records::Refusals), clock.now()).await.unwrap() == 0);
    }

    #[tokio::test]
    async fn a_folder_keeps_files_for_its_days_and_never_removes_what_is_not_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::fixed(Clock::System.now().plus(DAY));
        let depot = Depot::for_tests(folder.path(), clock.clone()).await;
        let change = Change { who: "test", remote: "", at: clock.now(), ids: &depot.ids };
        let texts =
            [("type", "folder"), ("keep_days", "90")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        connector::add(&depot.db, &ConnectorId::parse("archive").unwrap(), &texts, None, &change).await.unwrap();
        let snapshot = Live::open(depot.db.clone(), clock.clone()).await.unwrap().snapshot();
        let archive = folder.path().join("partners/archive");
        std::fs::create_dir_all(&archive).unwrap();
        let inode = |name: &str| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(archive.join(name)).unwrap());
        for name in ["kept", "theirs", "later"] {
            std::fs::write(archive.join(name), name).unwrap();
        }
        let (at, before_it_was_made) = (clock.now(), Timestamp::from_us(1));
        for (name, inode, at) in [
            ("kept", inode("kept"), at),
            ("theirs", inode("theirs") + 1, at),
            ("gone", 1, at),
            ("later", inode("later"), before_it_was_made),
        ] {
            let file = KeptFile { name: name.to_owned(), inode, at };
            kept::put_for_tests(&depot.db, "archive", &file).await.unwrap();
        }
        clock.advance(DAY * 90);
        assert_eq!(remove_kept_files(&depot, &snapshot).await.unwrap(), 0, "not yet");
        clock.advance(Duration::from_secs(1));
        let due = preview(&depot, &snapshot.appliance, &snapshot).await.unwrap();
        assert!(due.contains(&Due { what: KEPT_FILES, count: 3, bytes: None }), "{due:?}");
        assert_eq!(remove_kept_files(&depot, &snapshot).await.unwrap(), 1);
        assert!(!archive.join("kept").exists() && archive.join("theirs").exists());
        assert!(archive.join("later").exists(), "it has the inode of one that was taken before");
        assert_eq!(remove_kept_files(&depot, &snapshot).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_file_whose_disk_is_away_is_removed_when_it_is_back() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::fixed(Clock::System.now());
        let depot = Depot::for_tests(folder.path(), clock.clone()).await;
        let change = Change { who: "test", remote: "", at: clock.now(), ids: &depot.ids };
        let texts = [("type", "folder"), ("keep_days", "90")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        connector::add(&depot.db, &ConnectorId::parse("archive").unwrap(), &texts.into(), None, &change).await.unwrap();
        let snapshot = Live::open(depot.db.clone(), clock.clone()).await.unwrap().snapshot();
        let (archive, away) = (folder.path().join("partners/archive"), folder.path().join("away"));
        std::fs::create_dir_all(archive.join(".waybill")).unwrap();
        let name = "kept".to_owned();
        std::fs::write(archive.join(&name), "bytes").unwrap();
        let inode = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(archive.join(&name)).unwrap());
        let at = Clock::System.now().plus(Duration::from_millis(20));
        kept::put_for_tests(&depot.db, "archive", &KeptFile { name, inode, at }).await.unwrap();
        clock.advance(DAY * 91);
        std::fs::rename(&archive, &away).unwrap();
        // Made after the file arrived on the disk that is away.
        tokio::time::sleep(Duration::from_millis(40)).await;
        assert_eq!(remove_kept_files(&depot, &snapshot).await.unwrap(), 0);
        std::fs::remove_dir_all(&archive).unwrap();
        std::fs::rename(&away, &archive).unwrap();
        // As after a restart.
        let depot = Depot { workspaces: Workspaces::new(folder.path().to_owned()), ..depot };
        assert_eq!(remove_kept_files(&depot, &snapshot).await.unwrap(), 1);
        assert!(!archive.join("kept").exists());
    }

    #[tokio::test]
    async fn a_connector_may_keep_its_own_for_longer_or_shorter_than_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::fixed(Timestamp::from_us(4_102_444_800_000_000));
        let depot = Depot::for_tests(folder.path(), clock.clone()).await;
        let live = Live::open(depot.db.clone(), clock.clone()).await.unwrap();
        let change = Change { who: "test", remote: "", at: clock.now(), ids: &depot.ids };
        let pairs = |pairs: &[(&str, &str)]| -> Texts {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let general = pairs(&[("receipts_keep_days", "30"), ("transfers_keep_days", "30")]);
        profile::save_appliance(&depot.db, &general, None, &change).await.unwrap();
        let add = async |id: &str, own: &[(&str, &str)]| {
            connector::add(&depot.db, &ConnectorId::parse(id).unwrap(), &pairs(own), None, &change).await.unwrap();
        };
        add("Keeper", &[("receipts_keep_days", "forever"), ("sent_keep_days", "forever")]).await;
        add("Brief", &[("receipts_keep_days", "5"), ("transfers_keep_days", "5")]).await;
        add("plain", &[]).await;
        live.refresh().await.unwrap();
        let snapshot = live.snapshot();
        // Copies in Sent are removed by the time they came there: long before this clock.
        let copy = |id: &str| folder.path().join(format!("partners/{id}/Sent/po.edi"));
        for id in ["Keeper", "Brief"] {
            std::fs::create_dir_all(copy(id).parent().unwrap()).unwrap();
            std::fs::write(copy(id), "copy").unwrap();
        }
        for id in ["Keeper", "Brief", "plain", "deleted"] {
            for n in 0..3 {
                let mut receipt = receipt_of(&depot, &format!("{id}-{n}"));
                id.clone_into(&mut receipt.connector);
                commit(&depot, receipt).await;
                depot.recorder.transfer(Transfer { connector: id.to_owned(), ..transfer(&depot) }).await;
            }
        }
        depot.recorder.flush().await.unwrap();
        let counts = async |days: u32| {
            clock.advance(DAY * days);
            let due = preview(&depot, &snapshot.appliance, &snapshot).await.unwrap();
            let gone = run(&depot, &snapshot).await.unwrap();
            let of = |list: &[Due], what| list.iter().find(|due| due.what == what).map_or(0, |due| due.count);
            for what in ["Receipts", "Transfers"] {
                assert_eq!(of(&due, what), of(&gone, what), "the preview told it after {days} days");
            }
            (of(&gone, "Receipts"), of(&gone, "Transfers"))
        };
        assert_eq!(counts(6).await, (3, 3), "Brief's");
        assert_eq!(counts(25).await, (6, 9), "the receipts of plain and of the deleted one; all transfers");
        assert_eq!(left(&depot).await[..2], [0, 0], "of connectors without a time of their own");
        assert!(copy("Keeper").exists() && !copy("Brief").exists());
        let keeper = Kept::ReceiptsOf(ConnectorId::parse("keeper").unwrap());
        assert_eq!(records::count(&depot.db, &keeper, Timestamp::from_us(i64::MAX)).await.unwrap(), 3);

        let typed = |text| ConnectorSettings::parse(&pairs(&[("receipts_keep_days", text)])).unwrap();
        for (text, goes) in [("7", 3), ("", 3), ("60", 0), ("forever", 0)] {
            let connector = Connector { id: ConnectorId::parse("Keeper").unwrap(), version: 0, settings: typed(text) };
            let due = preview_of(&depot, &connector, &snapshot).await.unwrap();
            assert_eq!(due[0], Due { what: "Receipts", count: goes, bytes: None }, "{text:?}");
            assert_eq!(due.len(), 4, "{due:?}");
        }
    }
}
