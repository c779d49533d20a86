//! From a complete, synced part to a file under its final name: one commit for receipt and event, rename, folder sync.
//! Also the way from a temporary name to "received".

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::came::Came;
use super::depot::{Depot, Party, TransferError};
use super::plan::{Base, Plan};
use super::receive::is_temporary;
use super::room::Room;
use super::send::{is_file_of, lies_at, stored_names};
use super::{lacking, logged};
use crate::base::fault::{self, Point};
use crate::base::hex::hex;
use crate::base::id::{EventId, ReceiptId};
use crate::base::path::Name;
use crate::domain::connector::Connector;
use crate::domain::place::Folder;
use crate::domain::receipt::{Ending, Proof, Status};
use crate::domain::refusal::Rule;
use crate::domain::scheme::Facts;
use crate::domain::value::{ActionMoment, Overwrite};
use crate::store::commit::{Published, Received};
use crate::store::receipt::Receipt;
use crate::store::{StoreError, held as store_held, receipt, sequence};
use crate::workspace::download::{Source, Version};
use crate::workspace::folder::{OpenFolder, Turns};
use crate::workspace::held::{self, HeldFolder};
use crate::workspace::removal::remove_file;
use crate::workspace::upload::Part;

/// What is known of a complete file.
#[derive(Clone, Debug)]
pub struct Whole {
    /// How its bytes came.
    pub came: Came,
    /// Its size.
    pub size_bytes: u64,
    /// Its digest.
    pub sha256: [u8; 32],
}

/// Publishes a synced part. Returns the receipt's id, if there is one: uploads to Send and under temporary names have
/// none.
pub async fn publish(
    depot: &Depot,
    party: &Party,
    plan: &Plan,
    part: &mut Part,
    whole: &Whole,
) -> Result<Option<ReceiptId>, TransferError> {
    let folder = plan.folder();
    if !depot.workspaces.is_current(&party.snapshot.profile, party.connector(), &plan.workspace) {
        // Moved away, or mounted over: nobody would find the file that 226 confirms.
        return Err(TransferError::Storage(io::Error::other(
            "its folder is not the one any more that its upload began in",
        )));
    }
    part.dress(party.connector().settings.received_file_mode.bits())?;
    let _ways = folder.ways_stay().await;
    let parent = folder.jail().parent(&plan.names)?.0;
    let silent = plan.side == Folder::Send || is_temporary(party, plan.side, plan.name());
    if silent {
        publish_silently(depot, party, plan, (part, &parent), whole.sha256).await?;
        return Ok(None);
    }
    let id = ReceiptId::parse(part.name()).unwrap_or_else(|| ReceiptId::new(&depot.ids));
    let goes_on = match (&plan.base, &plan.in_place_of) {
        (Base::Complete { source, .. }, Some(place)) => Some((&**place, source.version())),
        _ => None,
    };
    let (inode, name) = (part.inode()?, part.name().to_owned());
    let staged = Staged { id, inode, name, names: &plan.names, from: None, goes_on };
    let Given { receipt, stored, room, older, turns: _turns } = named(depot, party, folder, &staged, whole).await?;
    let id = receipt.id.clone();
    logged::keep(depot, party, &receipt, part.file()).await;
    let committed = match commit(depot, party, folder, (receipt, older.as_ref())).await {
        Ok(committed) => committed,
        Err(error) => {
            // A commit without an answer may have happened: the bytes are no longer that receipt's.
            begin_anew(depot, plan, part)?;
            return Err(error);
        }
    };
    let (from, to) = ((folder.staging().as_fd(), part.name()), (parent.as_fd(), stored.as_str()));
    let placed = async {
        part.forget_client_path()?;
        place(depot, folder, (&committed, room), from, to).await
    };
    if let Err(error) = placed.await {
        lost(depot, folder, &committed).await;
        // The receipt keeps its id, whatever happens to the bytes: an upload that continues them gets a receipt of its
        // own.
        begin_anew(depot, plan, part)?;
        return Err(not_named(error));
    }
    folder.supersede(&plan.names, id.as_str());
    fault::pass(Point::Renamed)?;
    let synced = folder.sync_folder(depot.workspaces.syncer(), parent).await;
    depot.synced(party.whose(), folder, synced).await?;
    if let Some(older) = &older {
        let gone = take_away(depot, party.connector(), folder, older).await;
        depot.synced(party.whose(), folder, gone).await?;
    }
    finish(depot, committed.published).await?;
    Ok(Some(id))
}

/// The part continues under a new receipt id.
fn begin_anew(depot: &Depot, plan: &Plan, part: &mut Part) -> Result<(), TransferError> {
    let id = ReceiptId::new(&depot.ids);
    part.begin_anew(plan.folder(), id.as_str(), &plan.client_path()).map_err(TransferError::Storage)
}

/// Into Send, or under a temporary name: by the same safe steps, without a receipt.
async fn publish_silently(
    depot: &Depot,
    party: &Party,
    plan: &Plan,
    (part, parent): (&Part, &Arc<OwnedFd>),
    sha256: [u8; 32],
) -> Result<(), TransferError> {
    let folder = plan.folder();
    let syncer = depot.workspaces.syncer();
    let mut names = plan.names.clone();
    let _turn = folder.naming(&names).await;
    // Temporary names are the client's own: an upload under one always replaces what is there. And an upload that
    // continues a complete file replaces it (PRODUCT 5.6): with a number, the next one to continue the file would miss
    // this one's bytes.
    let is_anew = plan.side == Folder::Send && !matches!(plan.base, Base::Complete { .. });
    let overwrite = if is_anew { party.connector().settings.overwrite } else { Overwrite::Replace };
    let room = Room::make(folder, &mut names, overwrite)?;
    let Some(name) = names.last() else { return Err(TransferError::NotFound) };
    let (from, to) = ((folder.staging().as_fd(), part.name()), (parent.as_fd(), name.as_str()));
    part.forget_client_path()?;
    let before = Source::shared(Arc::clone(part.file()))?.version();
    let has_replaced = room.give(folder, syncer, from, to).await.map_err(not_named)?;
    folder.supersede(&plan.names, part.name());
    fault::pass(Point::Renamed)?;
    folder.published(before.inode, depot.clock.now());
    folder.remember(sha256, before, Source::shared(Arc::clone(part.file()))?.version());
    folder.sync_folder(syncer, Arc::clone(parent)).await.map_err(TransferError::Storage)?;
    if plan.side == Folder::Receive && has_replaced {
        // A file with a receipt may have been renamed to this name.
        let path = plan.client_path().to_string();
        depot.recorder.moved(party.connector().id.key(), &path, Status::Replaced).await;
    }
    Ok(())
}

/// A complete file without a receipt.
struct Staged<'a> {
    id: ReceiptId,
    inode: u64,
    /// Its place: the part's name in staging, or the client's path of a temporary name, which begins with a slash.
    name: String,
    /// The client's final name below Receive.
    names: &'a [Name],
    /// Its temporary name below Receive, locked as long as the final one.
    from: Option<&'a [Name]>,
    /// The file that it continues and replaces (PRODUCT 5.6), and its place.
    goes_on: Option<(&'a [Name], Version)>,
}

/// What a complete file is given.
struct Given {
    receipt: Receipt,
    /// Its name in the folder, the last component of its stored path.
    stored: Name,
    room: Room,
    /// The receipt whose file is removed once this one has its name.
    older: Option<Receipt>,
    /// Meanwhile nobody else touches the names.
    turns: Turns,
}

/// Chooses the stored name and locks it until the returned turns are dropped; makes the receipt.
async fn named(
    depot: &Depot,
    party: &Party,
    folder: &OpenFolder,
    staged: &Staged<'_>,
    whole: &Whole,
) -> Result<Given, TransferError> {
    let settings = &party.connector().settings;
    let client_path = Folder::Receive.path(staged.names);
    let (last, above) = staged.names.split_last().ok_or(TransferError::NotFound)?;
    let mut headers = Vec::new();
    if settings.save_subfolder {
        let sub = above.iter().map(Name::as_str).collect::<Vec<_>>().join("/");
        headers.push(("SubFolder".to_owned(), sub));
    }
    let stored = apply_scheme(depot, party, last, (staged, whole), &headers).await?;
    let mut names = above.to_vec();
    names.push(stored);
    let place = staged.goes_on.map(|(place, _)| place);
    let turns = folder.naming_both(&names, staged.from.or(place).unwrap_or(&names)).await;
    let inode_at = |place: &[Name]| folder.jail().stat(place).map(|stat| Version::of(&stat).inode);
    let goes_on = staged.goes_on.filter(|(place, file)| inode_at(place).is_ok_and(|inode| inode == file.inode));
    let overwrite = match goes_on {
        // A number would leave one more file each time. A name from a scheme belongs to the new receipt.
        Some((place, _)) if settings.local_file_scheme.is_filename() => {
            place.clone_into(&mut names);
            Overwrite::Replace
        }
        _ => settings.overwrite,
    };
    let room = Room::make(folder, &mut names, overwrite)?;
    let older = match goes_on {
        Some((place, file)) if place != names => older(depot, party, folder, (place, file)).await?,
        _ => None,
    };
    let stored = names.last().ok_or(TransferError::NotFound)?.clone();
    let receipt = Receipt {
        id: staged.id.clone(),
        connector: party.connector().id.as_str().to_owned(),
        name: last.as_str().to_owned(),
        client_path: client_path.to_string(),
        stored_path: Folder::Receive.path(&names).to_string(),
        size_bytes: whole.size_bytes,
        sha256: hex(&whole.sha256),
        headers,
        begun_at: whole.came.begun_at,
        completed_at: depot.clock.now(),
        remote_address: party.remote.to_string(),
        tls: party.tls.clone(),
        session_id: party.session.clone(),
        ending: whole.came.ending,
        resumed_from: whole.came.resumed_from,
        ascii: whole.came.ascii,
        proof: proof(&whole.came),
        duplicate_of: None,
        status: Status::InReceive,
        publishing: true,
        inode: staged.inode,
        staged_name: staged.name.clone(),
        hidden: false,
        taken_over: false,
    };
    Ok(Given { receipt, stored, room, older, turns })
}

/// The receipt of the file that another one replaces under a different name; the caller has that file's turn.
async fn older(
    depot: &Depot,
    party: &Party,
    folder: &OpenFolder,
    (place, file): (&[Name], Version),
) -> Result<Option<Receipt>, TransferError> {
    // Until its mark is cleared, recovery looks for it in its old place.
    depot.recorder.flush().await?;
    let path = Folder::Receive.path(place).to_string();
    let latest = receipt::latest_stored_at(&depot.db, party.connector().id.key(), &path).await?;
    Ok(latest.filter(|older| !older.publishing && is_file_of(older, &file, folder.jail().born(place))))
}

/// Removes the name of a receipt's file that another one has replaced under a different name, if it is still that file.
pub(super) async fn take_away(
    depot: &Depot,
    connector: &Connector,
    folder: &OpenFolder,
    older: &Receipt,
) -> io::Result<()> {
    let Some(names) = stored_names(connector, older) else { return Ok(()) };
    let (parent, name) = match folder.jail().parent(&names) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !lies_at(parent.as_fd(), name, older).await? {
        return Ok(());
    }
    held::secure(folder, depot.workspaces.syncer()).await?;
    remove_file(&parent, name)?;
    folder.sync_folder(depot.workspaces.syncer(), parent).await
}

fn proof(came: &Came) -> Proof {
    match (came.ending, came.signed) {
        (Ending::Unsigned, _) => Proof::D,
        (_, true) => Proof::B,
        (_, false) => Proof::C,
    }
}

async fn apply_scheme(
    depot: &Depot,
    party: &Party,
    client_name: &Name,
    (staged, whole): (&Staged<'_>, &Whole),
    headers: &[(String, String)],
) -> Result<Name, TransferError> {
    let settings = &party.connector().settings;
    let scheme = &settings.local_file_scheme;
    if scheme.is_filename() {
        return Ok(client_name.clone());
    }
    let key = party.connector().id.key();
    let seq = if scheme.needs_seq() { sequence::next(&depot.db, key).await? } else { 0 };
    let sha256 = hex(&whole.sha256);
    let guid = EventId::new(&depot.ids);
    let facts = Facts {
        connector_id: party.connector().id.as_str(),
        filename: client_name,
        message_id: staged.id.as_str(),
        at: depot.clock.now(),
        zone: &party.snapshot.appliance.time_zone,
        sha256: &sha256,
        seq,
        remote_ip: party.remote,
        guid: guid.as_str(),
        headers,
    };
    let (name, warnings) = scheme.apply(&facts);
    lacking::tell(depot, party, (client_name, &name), warnings).await;
    Ok(name)
}

/// Why a file could not get its final name.
fn not_named(error: io::Error) -> TransferError {
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            TransferError::refused(Rule::FileExists, "a file of that name came up meanwhile")
        }
        // Only this folder is affected; others take what comes.
        io::ErrorKind::PermissionDenied => {
            TransferError::refused(Rule::NameNotStorable, "Waybill may not write in that folder")
        }
        _ => TransferError::from(error),
    }
}

/// A committed receipt whose file does not have its final name yet.
struct Recorded {
    published: Published,
    /// Whether a delivery needs its bytes, whatever happens to the name.
    held: bool,
}

async fn commit(
    depot: &Depot,
    party: &Party,
    place: &OpenFolder,
    (receipt, older): (Receipt, Option<&Receipt>),
) -> Result<Recorded, TransferError> {
    let staging_inode = place.staging_inode();
    let event_id = EventId::new(&depot.ids);
    let in_place_of = older.map(|older| older.id.clone());
    let published = Published { in_place_of: in_place_of.clone(), ..Published::of(&receipt, event_id.clone()) };
    let folder = depot.workspaces.receive_path(&party.snapshot.profile, party.connector());
    let deliver_at = party.connector().settles_at(receipt.completed_at);
    let file = (receipt.client_path.as_str(), receipt.size_bytes);
    let actions = party.snapshot.set_off(ActionMoment::AfterReceive, &receipt.connector, file);
    let actions = actions.map(|action| action.id.clone()).collect();
    let received = Received { receipt, event_id, folder, staging_inode, deliver_at, actions, in_place_of };
    let committed = depot.recorder.receive(received).await?;
    fault::pass(Point::Committed)?;
    Ok(Recorded { published, held: committed.held })
}

/// The file gets its final name. Before that, its own bytes are held if a delivery needs them.
async fn place(
    depot: &Depot,
    folder: &OpenFolder,
    (recorded, room): (&Recorded, Room),
    from: (BorrowedFd<'_>, &str),
    to: (BorrowedFd<'_>, &str),
) -> io::Result<()> {
    if recorded.held {
        HeldFolder::of(folder)?.hold(from, recorded.published.id.as_str()).await?;
        fault::pass(Point::Held)?;
    }
    room.give(folder, depot.workspaces.syncer(), from, to).await.map(drop)
}

/// Commits the receipt of a file under a temporary name, then gives that its final one.
async fn commit_and_place(
    depot: &Depot,
    party: &Party,
    (folder, receipt, room): (&OpenFolder, Receipt, Room),
    from: (BorrowedFd<'_>, &str),
    to: (BorrowedFd<'_>, &str),
) -> Result<Recorded, TransferError> {
    let committed = commit(depot, party, folder, (receipt, None)).await?;
    if let Err(error) = place(depot, folder, (&committed, room), from, to).await {
        lost(depot, folder, &committed).await;
        let why = not_named(error);
        if matches!(why, TransferError::Storage(_)) {
            depot.storage_failed(party.whose(), folder, &why).await;
        }
        return Err(why);
    }
    Ok(committed)
}

/// The file has its name, durably.
async fn finish(depot: &Depot, published: Published) -> Result<(), TransferError> {
    fault::pass(Point::FolderSynced)?;
    depot.recorder.publish(published).await;
    Ok(())
}

/// The rename failed after the commit: the receipt is marked, and its event never appears.
async fn lost(depot: &Depot, folder: &OpenFolder, recorded: &Recorded) {
    let id = &recorded.published.id;
    let done = async {
        depot.recorder.catch_up().await.map_err(|error| StoreError::Unreadable(error.to_string()))?;
        store_held::lost(&depot.db, id).await?;
        if recorded.held {
            // Without the row the bytes are nobody's.
            HeldFolder::of(folder)
                .and_then(|held| held.free(id.as_str()))
                .map_err(|error| StoreError::Unreadable(format!("held bytes that could not be freed: {error}")))?;
            store_held::forget(&depot.db, std::slice::from_ref(id)).await?;
        }
        Ok::<_, StoreError>(())
    };
    if let Err(error) = done.await {
        tracing::error!(receipt.id = id.as_str(), %error, "Could not mark a receipt as lost before 226");
    }
}

/// A temporary name becomes final: only now the receipt and the event, by the same steps (PRODUCT section 7).
pub async fn publish_temporary(
    depot: &Depot,
    party: &Party,
    from: &[Name],
    to: &[Name],
) -> Result<ReceiptId, TransferError> {
    let workspace = party.workspace(depot)?;
    let folder = workspace.folder(Folder::Receive);
    let source = Source::open(folder, from)?;
    let version = source.version();
    let known = folder.known(version);
    // Another program may have put it there, or written to it: only what Waybill synced and nobody touched since is on
    // disk.
    if !known.is_some_and(|known| known.is_synced) {
        let synced = depot.workspaces.syncer().file(Arc::clone(source.file())).await;
        depot.synced(party.whose(), folder, synced).await?;
    }
    let sha256 = match known {
        Some(known) => known.sha256,
        None => super::digest::of_file(Arc::clone(source.file())).await?,
    };
    // If it is unknown how its bytes came, the rename says that they are complete, and counts as how they came.
    let came = Came::read(source.file()).unwrap_or(Came {
        begun_at: version.modified,
        ending: Ending::Closed,
        signed: !party.tls.is_empty(),
        ascii: false,
        resumed_from: 0,
    });
    let whole = Whole { came, size_bytes: version.size_bytes, sha256 };
    let _ways = folder.ways_stay().await;
    let from_path = Folder::Receive.path(from).to_string();
    let staged = Staged {
        id: ReceiptId::new(&depot.ids),
        inode: version.inode,
        name: from_path,
        names: to,
        from: Some(from),
        goes_on: None,
    };
    let (from_folder, from_name) = folder.jail().parent(from)?;
    let (to_folder, _) = folder.jail().parent(to)?;
    let Given { receipt, stored, room, turns: _turns, .. } = named(depot, party, folder, &staged, &whole).await?;
    // Another session may have put another file under that name, or published this one, while we waited for the turn.
    let now = Version::of(&folder.jail().stat(from)?);
    if (now.inode, now.size_bytes, now.modified) != (version.inode, version.size_bytes, version.modified) {
        return Err(TransferError::Busy);
    }
    let id = receipt.id.clone();
    logged::keep(depot, party, &receipt, source.file()).await;
    let (from_place, to_place) = ((from_folder.as_fd(), from_name), (to_folder.as_fd(), stored.as_str()));
    let committed = commit_and_place(depot, party, (folder, receipt, room), from_place, to_place).await?;
    // Not earlier: until its receipt is committed, it remains an upload without a final name, whatever happens.
    if let Err(error) = folder.temporaries().leave(from, source.file()) {
        tracing::warn!(receipt.id = id.as_str(), %error, "A received file is still marked as one under a temporary name");
    }
    folder.supersede(to, id.as_str());
    fault::pass(Point::Renamed)?;
    let synced = folder.sync_both(depot.workspaces.syncer(), to_folder, from_folder).await;
    depot.synced(party.whose(), folder, synced).await?;
    finish(depot, committed.published).await?;
    Ok(id)
}
