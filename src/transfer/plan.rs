//! Before an upload: whether it is allowed, under which name, starting with which bytes, and how large. Makes nothing
//! on disk.

use std::io;
use std::sync::Arc;

use rustix::fs::FileType;

use super::depot::{Depot, Party, TransferError};
use super::quota::{Allowance, Wanted};
use super::receive::is_temporary;
use super::room::taken;
use super::send::{Located, locate};
use crate::base::path::{Name, VirtualPath};
use crate::domain::authorise::{Granted, Operation, authorise};
use crate::domain::connector::Connector;
use crate::domain::place::Folder;
use crate::domain::receipt::Status;
use crate::domain::refusal::Rule;
use crate::domain::scheme::marked;
use crate::domain::value::{AppendRule, DiskReserve, Overwrite};
use crate::ftp::session::StoreMode;
use crate::store::receipt::Receipt;
use crate::workspace::download::Source;
use crate::workspace::folder::{OpenFolder, Unfinished};
use crate::workspace::jail;
use crate::workspace::workspaces::Workspace;

/// Attempts at a free name for `STOU`.
const UNIQUE_TRIES_MAX: u32 = 100;

/// The bytes that an upload starts with.
#[derive(Debug)]
pub enum Base {
    /// None.
    Empty,
    /// An unfinished upload, up to `offset`.
    Unfinished {
        /// The upload to continue.
        unfinished: Unfinished,
        /// Where to continue.
        offset: u64,
    },
    /// A complete file, up to `offset`: a new version is built from its bytes.
    Complete {
        /// The file.
        source: Source,
        /// Where to continue.
        offset: u64,
    },
}

impl Base {
    /// Where the upload begins.
    pub fn offset(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Unfinished { offset, .. } | Self::Complete { offset, .. } => *offset,
        }
    }
}

/// An allowed upload.
#[derive(Debug)]
pub struct Plan {
    /// The partner's folders.
    pub workspace: Arc<Workspace>,
    /// Which of them.
    pub side: Folder,
    /// The client's name, below that folder; never empty.
    pub names: Vec<Name>,
    /// The bytes it starts with.
    pub base: Base,
    /// Where the complete file lies that it continues and will replace, under that name or a scheme's: in the same
    /// folder.
    pub in_place_of: Option<Vec<Name>>,
    /// How large it may become.
    pub allowance: Allowance,
    /// Whether the command was `STOU`: the name must be told.
    pub unique: bool,
}

impl Plan {
    /// The open folder.
    pub fn folder(&self) -> &OpenFolder {
        self.workspace.folder(self.side)
    }

    /// The client's path.
    pub fn client_path(&self) -> VirtualPath {
        self.side.path(&self.names)
    }

    /// The last of the client's names.
    pub fn name(&self) -> &str {
        self.names.last().map_or("", Name::as_str)
    }
}

/// Whether this upload is allowed. Order as in PRODUCT 5.1: the first no is the answer.
pub async fn plan(depot: &Depot, party: &Party, path: &VirtualPath, mode: StoreMode) -> Result<Plan, TransferError> {
    let connector = party.connector();
    let path = if mode == StoreMode::Unique { unique_path(depot, party, path)? } else { path.clone() };
    let operation = if mode == StoreMode::Append { Operation::Append } else { Operation::Store };
    let (side, names) = match authorise(&party.snapshot.profile, connector, operation, &path)? {
        Granted::Within { folder, names, .. } if !names.is_empty() => (folder, names),
        _ => return Err(TransferError::refused(Rule::OutsideFolders, format!("{path} is a folder"))),
    };
    let workspace = party.workspace(depot)?;
    let folder = workspace.folder(side);
    depot.writable(folder).await?;
    // A client that reconnects finds the part of its dead session.
    folder.active().end_dead(&names, depot.clock.now()).await;
    not_own(&names)?;
    // The folder must exist, and must be a folder.
    folder.jail().parent(&names)?;
    let there = is_there(party, folder, (side, &names))?;
    let name = names.last().map_or("", Name::as_str);
    if there && mode != StoreMode::Unique && is_kept(party, side, name) {
        return Err(taken(name));
    }
    let (base, file) = base(depot, party, &workspace, (side, &names), mode).await?;
    let beside = |place: &Vec<Name>| place.split_last().map(|last| last.1) == names.split_last().map(|last| last.1);
    let in_place_of = file.filter(beside);
    check_reserve(party.snapshot.profile.disk_reserve, folder, 0)?;
    // With a name scheme it is known only at the end which file is replaced.
    let settings = &connector.settings;
    let replaces = is_temporary(party, side, name)
        || in_place_of.is_some()
        || (settings.overwrite == Overwrite::Replace && settings.local_file_scheme.is_filename());
    let place = in_place_of.as_ref().unwrap_or(&names);
    let wanted = Wanted { side, names: place, replaces, size_bytes: base.offset() };
    let allowance = Allowance::of(depot, party, wanted).await?;
    Ok(Plan { workspace, side, names, base, in_place_of, allowance, unique: mode == StoreMode::Unique })
}

/// The name for `STOU`: the client's proposal if it is free, otherwise made by us.
fn unique_path(depot: &Depot, party: &Party, path: &VirtualPath) -> Result<VirtualPath, TransferError> {
    let connector = party.connector();
    let filter = connector.filter(&party.snapshot.profile);
    let workspace = party.workspace(depot)?;
    let is_folder = |path: &VirtualPath| match authorise(&party.snapshot.profile, connector, Operation::Enter, path) {
        Ok(Granted::Root) => true,
        Ok(Granted::Within { folder, names, .. }) => workspace.folder(folder).jail().folder(&names).is_ok(),
        Err(_) => false,
    };
    let (folder, proposed) = match path.name() {
        Some(name) if !is_folder(path) => (path.parent(), name.to_string()),
        _ => {
            let extension = filter.first_extension().map(|extension| format!(".{extension}")).unwrap_or_default();
            (path.clone(), format!("file{extension}"))
        }
    };
    let proposed = Name::parse(&proposed).map_err(|_| TransferError::Exists)?;
    for _ in 0..UNIQUE_TRIES_MAX {
        // The tail of a fresh id: unique under load without accessing the disk, and short enough to read.
        let id = crate::base::id::TransferId::new(&depot.ids);
        let tail = id.as_str().rsplit('-').next().unwrap_or_default();
        let candidate = folder.child(marked(&proposed, tail));
        let free = match authorise(&party.snapshot.profile, connector, Operation::Store, &candidate)? {
            Granted::Within { folder, names, .. } => workspace.folder(folder).jail().stat(&names).is_err(),
            Granted::Root => false,
        };
        if free {
            return Ok(candidate);
        }
    }
    Err(TransferError::Exists)
}

/// Nobody may give a file or folder one of Waybill's own names: it could not be found again.
pub fn not_own(names: &[Name]) -> Result<(), TransferError> {
    if jail::are_own(names) {
        return Err(TransferError::refused(Rule::NameNotStorable, "the name is Waybill's own"));
    }
    Ok(())
}

/// Whether there is a file to replace. If the name will be the stored one, nothing else may have it: a link, a pipe or
/// a socket, which partners cannot see, would be in the way when the bytes have arrived.
fn is_there(party: &Party, folder: &OpenFolder, (side, names): (Folder, &[Name])) -> Result<bool, TransferError> {
    let name = names.last().map_or("", Name::as_str);
    let as_sent = is_stored_as_sent(party.connector(), side) || is_temporary(party, side, name);
    match folder.jail().stat(names).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        Ok(FileType::RegularFile) => Ok(true),
        Ok(FileType::Directory) => Err(TransferError::IsFolder),
        Ok(_) if as_sent => {
            Err(TransferError::refused(Rule::NameNotStorable, format!("{name} is taken by something else")))
        }
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether a final name is stored as the client sent it.
fn is_stored_as_sent(connector: &Connector, side: Folder) -> bool {
    side == Folder::Send || connector.settings.local_file_scheme.is_filename()
}

/// Whether *Overwrite* protects a file of that name. It is judged on the stored name: here as far as that is the
/// client's own, and again when the file is complete.
pub fn is_kept(party: &Party, side: Folder, name: &str) -> bool {
    let connector = party.connector();
    let is_asked = is_stored_as_sent(connector, side) && !is_temporary(party, side, name);
    is_asked && connector.settings.overwrite == Overwrite::Refuse
}

/// The bytes it starts with, and the place of the complete file that they belong to.
async fn base(
    depot: &Depot,
    party: &Party,
    workspace: &Workspace,
    (side, names): (Folder, &[Name]),
    mode: StoreMode,
) -> Result<(Base, Option<Vec<Name>>), TransferError> {
    let (connector, folder) = (party.connector(), workspace.folder(side));
    if matches!(mode, StoreMode::From(_) | StoreMode::Append) && folder.active().is_running(names) {
        // What the client saw under that name is about to be replaced.
        return Err(TransferError::Busy);
    }
    let complete = complete(depot, party, side, names);
    // A file that was passed along is in nobody's place any longer.
    let is_here = |receipt: Option<Receipt>| receipt.is_none_or(|receipt| receipt.status != Status::PassedAlong);
    let goes_on = |Located { source, names, receipt, .. }, offset| {
        (Base::Complete { source, offset }, is_here(receipt).then_some(names))
    };
    match mode {
        StoreMode::Replace | StoreMode::Unique => Ok((Base::Empty, None)),
        StoreMode::From(offset) => {
            if let Some(unfinished) = folder.unfinished(names) {
                return if offset <= unfinished.size_bytes {
                    Ok((Base::Unfinished { unfinished, offset }, None))
                } else {
                    Err(TransferError::Restart)
                };
            }
            match complete.await? {
                Some(file) if offset <= file.source.version().size_bytes => Ok(goes_on(file, offset)),
                _ => Err(TransferError::Restart),
            }
        }
        StoreMode::Append => {
            if let Some(unfinished) = folder.unfinished(names) {
                let offset = unfinished.size_bytes;
                return Ok((Base::Unfinished { unfinished, offset }, None));
            }
            match complete.await? {
                Some(_) if side == Folder::Receive && connector.settings.append == AppendRule::Refuse => {
                    Err(TransferError::refused(Rule::AppendRefused, "Append is set to refuse for this partner"))
                }
                Some(file) => {
                    let offset = file.source.version().size_bytes;
                    Ok(goes_on(file, offset))
                }
                None => Ok((Base::Empty, None)),
            }
        }
    }
}

/// The complete file that the client means by that name, wherever it is now (PRODUCT 5.9). Without Read, only the
/// partner's own files may be continued: sizes and digests of the result would reveal the bytes of another.
async fn complete(
    depot: &Depot,
    party: &Party,
    side: Folder,
    names: &[Name],
) -> Result<Option<Located>, TransferError> {
    let located = match locate(depot, party, side, names).await {
        Ok(located) => located,
        Err(TransferError::NotFound) => return Ok(None),
        Err(error) => return Err(error),
    };
    let settings = &party.connector().settings;
    let reads = if side == Folder::Send { settings.send_read } else { settings.receive_read };
    let own = located.receipt.is_some() || is_temporary(party, side, names.last().map_or("", Name::as_str));
    if !reads && !own {
        let detail =
            format!("{} is not readable for this partner, so a file there cannot be gone on with", side.name());
        return Err(TransferError::refused(Rule::NoRead, detail));
    }
    Ok(Some(located))
}

/// The disk reserve must be free before a byte is written, or after all bytes to come, if their number is known.
pub(super) fn check_reserve(reserve: DiskReserve, folder: &OpenFolder, coming: u64) -> Result<(), TransferError> {
    let (free, total) = folder.room().map_err(TransferError::Storage)?;
    let reserve = reserve.bytes(total);
    if free.saturating_sub(coming) >= reserve {
        return Ok(());
    }
    let coming = if coming == 0 { String::new() } else { format!("{coming} are to come, ") };
    let detail = format!("{free} bytes are free, {coming}{reserve} are kept in reserve");
    Err(TransferError::refused(Rule::DiskFull, detail))
}
