//! Uploads without a network: a partner, its folders, and bytes that come through a pipe.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;

use super::abort::Abort;
use super::copy::{Inbound, Watch};
use super::depot::{Depot, Party, TransferError};
use super::gone::{self, Looked};
use super::plan::plan;
use super::presence::Presence;
use super::publish::publish_temporary;
use super::receive::{Control, Done, Upload};
use super::send::locate;
use crate::base::clock::Clock;
use crate::base::id::SessionId;
use crate::base::path::{Name, VirtualPath};
use crate::domain::connector::ConnectorId;
use crate::domain::place::Folder;
use crate::domain::receipt::{Ending, Status};
use crate::domain::refusal::Rule;
use crate::ftp::session::StoreMode;
use crate::store::commit::Recorder;
use crate::store::journal::Journal;
use crate::store::live::Live;
use crate::store::renaming::Rename;
use crate::store::setting::Change;
use crate::store::{connector, receipt};
use crate::workspace::temporary;

/// The end of a pipe that an upload reads.
impl Inbound for DuplexStream {
    fn ending(&self, error: Option<&io::Error>) -> Ending {
        if error.is_some() { Ending::Cut } else { Ending::Closed }
    }

    fn is_by_tls(&self) -> bool {
        false
    }

    fn ends_tolerantly(&self) -> bool {
        false
    }
}

struct Alive;

impl Control for Alive {
    fn is_alive(&self) -> bool {
        true
    }
}

/// The partner `acme` and what it needs to upload.
pub(super) struct Desk {
    pub(super) data: tempfile::TempDir,
    pub(super) depot: Depot,
    pub(super) party: Party,
}

type Running = JoinHandle<Result<Done, TransferError>>;

impl Desk {
    pub(super) async fn new(settings: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let depot = Depot::for_tests(data.path(), Clock::System).await;
        let change = Change { who: "test", remote: "", at: depot.clock.now(), ids: &depot.ids };
        let texts = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        connector::add(&depot.db, &ConnectorId::parse("acme").unwrap(), &texts, None, &change).await.unwrap();
        let snapshot = Live::open(depot.db.clone(), Clock::System).await.unwrap().snapshot();
        let connector = Arc::clone(&snapshot.connectors["acme"]);
        let session = SessionId::new(&depot.ids);
        let party = Party::new(snapshot, connector, session, Ipv4Addr::LOCALHOST.into(), String::new());
        Self { data, depot, party }
    }

    /// One of the partner's folders.
    pub(super) fn path(&self, folder: &str) -> PathBuf {
        self.data.path().join("partners/acme").join(folder)
    }

    /// An upload that continues until the returned end of its pipe is shut.
    fn begin(&self, mode: StoreMode, name: &str) -> (DuplexStream, Running) {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let (depot, party) = (self.depot.clone(), self.party.clone());
        let path = VirtualPath::root().resolve("/Receive").unwrap().resolve(name).unwrap();
        let running = tokio::spawn(async move {
            let plan = plan(&depot, &party, &path, mode).await?;
            let abort = Abort::default();
            let upload = Upload::begin(&depot, &party, plan, &abort).await?;
            let here = IpAddr::from(Ipv4Addr::LOCALHOST);
            let place = Presence::default().enter(party.session.clone(), (here, here), depot.clock.now());
            let watch = Watch { place: &place, abort: &abort, stall: Duration::from_mins(1), ends: None };
            Ok(upload.run(&depot, &party, &mut theirs, (&watch, &Alive, false)).await)
        });
        (ours, running)
    }

    async fn upload(&self, mode: StoreMode, name: &str, bytes: usize) -> Result<(), TransferError> {
        let (mut pipe, running) = self.begin(mode, name);
        // A refused upload is not read to its end.
        let _ = pipe.write_all(&vec![7; bytes]).await;
        let _ = pipe.shutdown().await;
        running.await.unwrap()?.result
    }

    pub(super) async fn store(&self, name: &str, bytes: usize) -> Result<(), TransferError> {
        self.upload(StoreMode::Replace, name, bytes).await
    }

    /// Waits until that many bytes are arriving.
    async fn until_arriving(&self, bytes: u64) {
        while self.depot.quotas.arriving("acme") != (1, bytes) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn lying(&self) -> (u64, u64) {
        self.depot.recorder.flush().await.unwrap();
        receipt::usage(&self.depot.db, "acme").await.unwrap()
    }

    /// The partner or an administrator has removed it.
    async fn remove(&self, name: &str) {
        self.depot.recorder.flush().await.unwrap();
        let path = format!("/Receive/{name}");
        let receipt = receipt::latest_stored_at(&self.depot.db, "acme", &path).await.unwrap().unwrap();
        receipt::set_status(&self.depot.db, &receipt.id, Status::Removed).await.unwrap();
    }
}

fn is_over(result: &Result<(), TransferError>) -> bool {
    matches!(result, Err(TransferError::Refused(no)) if no.rule == Rule::Quota)
}

#[tokio::test]
async fn uploads_at_once_hold_the_quota_together() {
    let desk = Desk::new(&[("quota_bytes", "100000")]).await;
    let names = ["a", "b", "c", "d", "e"];
    let told = futures_util::future::join_all(names.map(|name| desk.store(name, 52_000))).await;
    assert_eq!(told.iter().filter(|told| told.is_ok()).count(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|told| is_over(told)).count(), 4, "{told:?}");
    assert_eq!(desk.lying().await, (1, 52_000));
    desk.store("f", 48_000).await.unwrap();
    assert!(is_over(&desk.store("g", 1).await));
}

#[tokio::test]
async fn uploads_at_once_hold_the_quota_of_files_together() {
    let desk = Desk::new(&[("quota_files", "2")]).await;
    let (mut pipe, running) = desk.begin(StoreMode::Replace, "slow");
    pipe.write_all(b"some").await.unwrap();
    desk.until_arriving(0).await;
    desk.store("a", 1).await.unwrap();
    assert!(is_over(&desk.store("b", 1).await));
    desk.store("a", 2).await.unwrap();
    drop(pipe);
    running.await.unwrap().unwrap().result.unwrap();
    assert_eq!(desk.lying().await, (2, 6));
}

#[tokio::test]
async fn an_upload_whose_folder_is_no_longer_where_it_was_is_not_received() {
    let desk = Desk::new(&[("quota_bytes", "100000")]).await;
    let (mut pipe, running) = desk.begin(StoreMode::Replace, "a");
    pipe.write_all(b"some").await.unwrap();
    desk.until_arriving(4).await;
    std::fs::rename(desk.path("Receive"), desk.path("away")).unwrap();
    drop(pipe);
    let result = running.await.unwrap().unwrap().result;
    assert!(matches!(result, Err(TransferError::Storage(_))), "{result:?}");
    assert_eq!(desk.lying().await, (0, 0));
    assert!(!desk.path("away").join("a").exists());
}

#[tokio::test]
async fn a_file_that_is_replaced_does_not_count_beside_the_new_one() {
    let desk = Desk::new(&[("quota_bytes", "100000"), ("quota_files", "1")]).await;
    for bytes in [60_000, 60_000, 100_000, 60_000] {
        desk.store("a", bytes).await.unwrap();
    }
    desk.upload(StoreMode::Append, "a", 1).await.unwrap();
    assert_eq!(desk.lying().await, (1, 60_001));
    assert!(is_over(&desk.upload(StoreMode::Append, "a", 40_000).await));
    desk.upload(StoreMode::Append, "a", 39_999).await.unwrap();
    desk.upload(StoreMode::From(50_000), "a", 50_000).await.unwrap();
    assert!(is_over(&desk.store("a", 100_001).await) && is_over(&desk.store("b", 1).await));
    assert_eq!(desk.lying().await, (1, 100_000));
}

#[tokio::test]
async fn what_stays_beside_the_new_one_counts() {
    let desk = Desk::new(&[("quota_bytes", "100000"), ("overwrite", "keep_both")]).await;
    desk.store("a", 60_000).await.unwrap();
    assert!(is_over(&desk.store("a", 60_000).await));
    desk.store("a", 40_000).await.unwrap();
    assert_eq!(desk.lying().await, (2, 100_000));
}

#[tokio::test]
async fn a_file_that_goes_while_it_is_replaced_makes_room_only_once() {
    let desk = Desk::new(&[("quota_bytes", "100000")]).await;
    desk.store("a", 60_000).await.unwrap();
    let (mut pipe, running) = desk.begin(StoreMode::Replace, "a");
    pipe.write_all(&vec![7; 30_000]).await.unwrap();
    desk.until_arriving(30_000).await;
    desk.remove("a").await;
    desk.store("b", 70_000).await.unwrap();
    pipe.write_all(&vec![7; 30_000]).await.unwrap();
    drop(pipe);
    let told = running.await.unwrap().unwrap().result;
    assert!(is_over(&told), "{told:?}");
    assert_eq!(desk.lying().await, (1, 70_000));
}

#[tokio::test]
async fn a_file_under_a_temporary_name_counts_until_and_after_it_has_its_final_one() {
    let desk = Desk::new(&[("quota_bytes", "100000"), ("quota_files", "2")]).await;
    desk.store("a.tmp", 60_000).await.unwrap();
    assert!(is_over(&desk.store("b", 40_001).await));
    desk.store("a.tmp", 70_000).await.unwrap();
    desk.store("b", 30_000).await.unwrap();
    assert!(is_over(&desk.store("c", 0).await));
    let names = |name| [Name::parse(name).unwrap()];
    publish_temporary(&desk.depot, &desk.party, &names("a.tmp"), &names("a")).await.unwrap();
    assert_eq!(desk.lying().await, (2, 100_000));
    assert!(is_over(&desk.store("a.tmp", 1).await));
    desk.remove("b").await;
    desk.store("a.tmp", 30_000).await.unwrap();
    assert!(is_over(&desk.store("d", 1).await));
}

#[tokio::test]
async fn what_another_program_took_does_not_count() {
    let desk = Desk::new(&[("quota_bytes", "100000"), ("quota_files", "2")]).await;
    for name in ["a", "b"] {
        desk.store(name, 40_000).await.unwrap();
    }
    assert!(is_over(&desk.store("c", 1).await));
    std::fs::remove_file(desk.path("Receive").join("a")).unwrap();
    let gone = receipt::latest_stored_at(&desk.depot.db, "acme", "/Receive/a").await.unwrap().unwrap();
    desk.store("c", 1).await.unwrap();
    assert_eq!(receipt::find(&desk.depot.db, &gone.id).await.unwrap().unwrap().status, Status::Gone);
    assert_eq!(desk.lying().await, (2, 40_001));
    // If there is room for one file and one byte, it becomes known only with a refusal.
    for name in ["b", "c"] {
        std::fs::remove_file(desk.path("Receive").join(name)).unwrap();
    }
    desk.remove("c").await;
    assert!(is_over(&desk.store("d", 70_000).await));
    desk.store("d", 70_000).await.unwrap();
    assert_eq!(desk.lying().await, (1, 70_000));
}

#[tokio::test]
async fn what_another_program_took_is_gone_without_a_quota_but_not_with_the_whole_folder() {
    let desk = Desk::new(&[]).await;
    std::fs::create_dir_all(desk.path("Receive/sub/deep")).unwrap();
    std::fs::create_dir_all(desk.path("Receive/other")).unwrap();
    for name in ["a", "b", "c", "sub/d", "sub/deep/e", "other/f"] {
        desk.store(name, 1).await.unwrap();
    }
    desk.depot.recorder.flush().await.unwrap();
    let mut looked = Looked::default();
    let lying = async |looked: &mut Looked| {
        gone::round(&desk.depot, &desk.party.snapshot, looked).await;
        desk.lying().await
    };
    std::fs::remove_file(desk.path("Receive/a")).unwrap();
    assert_eq!(lying(&mut looked).await, (5, 5));
    // A folder with everything in it; and one that is now a file.
    std::fs::rename(desk.path("Receive/sub"), desk.path("elsewhere")).unwrap();
    assert_eq!(lying(&mut looked).await, (3, 3));
    std::fs::remove_dir_all(desk.path("Receive/other")).unwrap();
    std::fs::write(desk.path("Receive/other"), "a file").unwrap();
    assert_eq!(lying(&mut looked).await, (2, 2));
    // While the partner is renaming something nothing is reported.
    std::fs::remove_file(desk.path("Receive/b")).unwrap();
    let way = ("/Receive/x".to_owned(), "/Receive/y".to_owned());
    let rename = Rename::begin(&desk.depot.db, ("acme", None), way, desk.depot.clock.now()).await.unwrap();
    assert_eq!(lying(&mut looked).await, (2, 2));
    rename.give_up(&desk.depot.db).await.unwrap();
    assert_eq!(lying(&mut looked).await, (1, 1));
    // Its Receive folder as a whole is away, and another is in its place.
    std::fs::rename(desk.path("Receive"), desk.path("away")).unwrap();
    desk.depot.workspaces.close_others(|_| false);
    assert_eq!(lying(&mut looked).await, (1, 1));
}

#[tokio::test]
async fn nothing_is_gone_from_a_folder_that_it_was_not_received_in() {
    let desk = Desk::new(&[("quota_files", "1")]).await;
    desk.store("a", 1).await.unwrap();
    desk.depot.recorder.flush().await.unwrap();
    std::fs::remove_file(desk.path("Receive").join("a")).unwrap();
    // As when a disk is away: what is there now is another folder.
    std::fs::remove_dir_all(desk.path("Receive").join(".waybill")).unwrap();
    assert!(is_over(&desk.store("b", 1).await));
    assert_eq!(desk.lying().await, (1, 1));
}

#[tokio::test]
async fn a_quota_is_of_receive() {
    let desk = Desk::new(&[("quota_files", "1"), ("send_write", "on")]).await;
    desk.store("a", 1).await.unwrap();
    desk.store("/Send/a", 1).await.unwrap();
    assert!(is_over(&desk.store("b", 1).await));
}

fn names(name: &str) -> [Name; 1] {
    [Name::parse(name).unwrap()]
}

#[tokio::test]
async fn what_is_held_is_secured_only_where_a_name_is_taken_from_a_file() {
    let desk = Desk::new(&[]).await;
    desk.store("a", 1).await.unwrap();
    desk.store("a.tmp", 2).await.unwrap();
    // A folder of held bytes that cannot be synced.
    std::fs::write(desk.path("Receive/.waybill/held"), "").unwrap();
    desk.store("b", 2).await.unwrap();
    desk.store("b.tmp", 2).await.unwrap();
    publish_temporary(&desk.depot, &desk.party, &names("b.tmp"), &names("c")).await.unwrap();
    desk.store("a", 3).await.unwrap_err();
    desk.store("a.tmp", 3).await.unwrap_err();
    publish_temporary(&desk.depot, &desk.party, &names("a.tmp"), &names("a")).await.unwrap_err();
    let size = |name: &str| std::fs::metadata(desk.path("Receive").join(name)).unwrap().len();
    assert_eq!((size("a"), size("a.tmp"), size("b"), size("c")), (1, 2, 2, 2), "nothing was replaced");
}

#[tokio::test]
async fn a_rename_that_is_not_recorded_leaves_the_upload_what_it_was() {
    let desk = Desk::new(&[]).await;
    desk.store("a.tmp", 2).await.unwrap();
    let how = || temporary::marked(std::fs::File::open(desk.path("Receive/a.tmp")).unwrap());
    let Some(before) = how() else { return };
    // As after a start: only the file itself tells what it is.
    desk.depot.workspaces.close_others(|_| false);
    desk.depot.db.set_read_only(true).await;
    let refused = publish_temporary(&desk.depot, &desk.party, &names("a.tmp"), &names("a")).await;
    assert!(matches!(refused, Err(TransferError::NotRecorded(_))), "{refused:?}");
    desk.depot.db.set_read_only(false).await;
    assert_eq!(how().as_ref(), Some(&before));
    publish_temporary(&desk.depot, &desk.party, &names("a.tmp"), &names("a")).await.unwrap();
    let marked = temporary::marked(std::fs::File::open(desk.path("Receive/a")).unwrap());
    assert_eq!(marked, None, "it has a receipt");
}

#[tokio::test]
async fn an_upload_is_marked_as_one_without_a_final_name_until_its_receipt_is_committed() {
    let desk = Desk::new(&[]).await;
    desk.store("a.tmp", 2).await.unwrap();
    desk.depot.recorder.flush().await.unwrap();
    let how = |name: &str| temporary::marked(std::fs::File::open(desk.path("Receive").join(name)).unwrap());
    let Some(before) = how("a.tmp") else { return };
    // Nothing is committed while another process writes.
    let writing = desk.depot.db.keep_busy().await;
    let (depot, party) = (desk.depot.clone(), desk.party.clone());
    let renaming = tokio::spawn(async move { publish_temporary(&depot, &party, &names("a.tmp"), &names("a")).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(how("a.tmp"), Some(before), "a kill here would lose how it came");
    drop(writing);
    renaming.await.unwrap().unwrap();
    assert_eq!(how("a"), None, "it has a receipt");
}

#[tokio::test]
async fn while_the_database_cannot_be_written_what_lies_in_receive_is_there_all_the_same() {
    let mut desk = Desk::new(&[]).await;
    let db = desk.depot.db.clone();
    let live = Live::open(db.clone(), Clock::System).await.unwrap();
    let (recorder, writer) = Recorder::with_journal(db.clone(), Journal::made(&db).await, live);
    tokio::spawn(writer.run());
    desk.depot.recorder = recorder;
    db.set_read_only(true).await;
    desk.store("a", 7).await.unwrap();
    desk.depot.recorder.catch_up().await.unwrap_err();
    let found = locate(&desk.depot, &desk.party, Folder::Receive, &names("a")).await.unwrap();
    assert_eq!(found.source.version().size_bytes, 7);
    // It may lie there under another name.
    let unknown = locate(&desk.depot, &desk.party, Folder::Receive, &names("b")).await.unwrap_err();
    assert!(matches!(unknown, TransferError::NotRecorded(_)), "{unknown:?}");
}

#[tokio::test]
async fn what_may_not_be_replaced_in_send_is_refused_before_its_bytes_whatever_it_is_called() {
    let desk = Desk::new(&[("send_write", "on"), ("overwrite", "refuse")]).await;
    for name in ["/Send/a", "/Send/a.tmp"] {
        desk.store(name, 1).await.unwrap();
        let (_pipe, running) = desk.begin(StoreMode::Replace, name);
        let told = running.await.unwrap();
        assert!(matches!(told, Err(TransferError::Refused(no)) if no.rule == Rule::FileExists), "{name}");
    }
}
