//! LIST, NLST, MLSD, STAT: entries to lines, streaming, in constant memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::Engine;
use super::mode::DataConnection;
use super::refusal::About;
use super::transfers::Job;
use crate::base::clock::Timestamp;
use crate::base::path::Name;
use crate::domain::authorise::{Granted, Operation, Reach, authorise, is_listed};
use crate::domain::place::Folder;
use crate::domain::receipt::Ending;
use crate::domain::value::AppendRule;
use crate::ftp::listing::{Entry, Format, Kind, Rights, Unique};
use crate::ftp::session::{Listing, STAT_LINES_MAX};
use crate::store::receipt;
use crate::transfer::copy::{self, Sent, Watch};
use crate::transfer::depot::{Party, TransferError};
use crate::transfer::plan::is_kept;
use crate::transfer::send::{self, RECENT_FOR};
use crate::workspace::download::Version;
use crate::workspace::folder::{OpenFolder, Unfinished};
use crate::workspace::listing::{Entries, EntryKind, Found, LookingAhead};

/// How deep `-R` goes below the first folder.
pub const DEPTH_MAX: usize = 8;
/// Lines of one listing with `-R` or with wildcards.
pub const LINES_MAX: usize = 100_000;
/// Folders that `-R` remembers for later.
const WAITING_MAX: usize = 1_000;
/// Bytes collected before they are sent.
const CHUNK_BYTES: usize = 32 * 1024;
/// How long a line may wait for others to be sent with it. The first one does not wait at all.
const LINE_WAIT_MAX: Duration = Duration::from_millis(100);
/// Entries read before other tasks have their turn, and ABOR is checked.
const TURN_ENTRIES: usize = 512;

/// The subject of a listing.
#[derive(Debug)]
pub enum Listed {
    /// The partner's root.
    Root,
    /// A single file.
    File(Entry),
    /// A folder.
    Folder(Side),
}

/// A folder to be listed.
#[derive(Clone, Debug)]
pub struct Side {
    /// Which of the two it is in.
    pub folder: Folder,
    /// The names below that.
    pub names: Vec<Name>,
    /// Whether everything is shown, or only the partner's own uploads.
    pub reach: Reach,
}

/// A missing path has another code for LIST than for MLSD (PRODUCT section 12).
pub fn about(listing: &Listing) -> About {
    match listing.format {
        Format::List | Format::Names => About::Listing,
        Format::Machine => About::File,
    }
}

/// Whether it may be listed and exists: a literal name takes precedence over a pattern. Also returns what to list.
pub async fn prepare(engine: &Engine, party: &Party, listing: Listing) -> Result<(Listed, Listing), TransferError> {
    if let Some(plain) = listing.to_the_letter()
        && let Ok(found) = listed(engine, party, &plain).await
    {
        return Ok((found, plain));
    }
    Ok((listed(engine, party, &listing).await?, listing))
}

async fn listed(engine: &Engine, party: &Party, listing: &Listing) -> Result<Listed, TransferError> {
    let granted = authorise(&party.snapshot.profile, party.connector(), Operation::List, &listing.path)?;
    let Granted::Within { folder, names, reach } = granted else { return Ok(Listed::Root) };
    let workspace = party.workspace(&engine.depot)?;
    let open = workspace.folder(folder);
    match open.jail().folder(&names) {
        Ok(_) => Ok(Listed::Folder(Side { folder, names, reach })),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory && listing.format != Format::Machine => {
            let entry = super::files::entry(engine, party, &listing.path).await?;
            Ok(Listed::File(entry))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && listing.format != Format::Machine => {
            // An unfinished upload, or a recent one under another name, is a file to its own partner.
            super::files::entry(engine, party, &listing.path).await.map(Listed::File)
        }
        Err(error) => Err(error.into()),
    }
}

/// Sends the lines and closes the data connection.
pub async fn send(
    listed: Listed,
    job: &Job,
    listing: &Listing,
    to: &mut DataConnection,
    watch: &Watch<'_>,
) -> Result<(), TransferError> {
    let now = job.engine.depot.clock.now();
    let zone = list_zone(&job.party);
    let mut out =
        Lines { job, listing: listing.clone(), now, zone, buffer: Vec::new(), count: 0, seen: 0, sent_at: None };
    match listed {
        Listed::Root => {
            for entry in root_entries(&job.engine, &job.party)? {
                out.add(&entry);
            }
            if listing.recursive {
                let sides = Folder::ALL.into_iter().filter_map(|folder| whole_side(&job.party, folder));
                folders(&mut out, sides.map(|side| (side, 1)).collect(), (to, watch)).await?;
            }
        }
        Listed::File(entry) => {
            let line = listing.line_of_file(&entry, now, zone);
            out.raw(&line);
        }
        Listed::Folder(side) => folders(&mut out, VecDeque::from([(side, 0)]), (to, watch)).await?,
    }
    out.flush(to, watch).await?;
    match copy::close(to, watch).await {
        Ending::Closed => Ok(()),
        ending => Err(TransferError::Broken(ending)),
    }
}

/// The time zone of this partner's times in LIST.
pub fn list_zone(party: &Party) -> &TimeZone {
    party.connector().settings.list_time_zone.zone()
}

struct Lines<'a> {
    job: &'a Job,
    /// Of the folder that is being listed.
    listing: Listing,
    /// When it began.
    now: Timestamp,
    zone: &'a TimeZone,
    buffer: Vec<u8>,
    count: usize,
    /// Entries read, listed or not.
    seen: usize,
    sent_at: Option<Instant>,
}

impl Lines<'_> {
    fn add(&mut self, entry: &Entry) {
        if self.listing.wants(&entry.name) {
            let line = self.listing.line(entry, self.now, self.zone);
            self.raw(&line);
        }
    }

    fn raw(&mut self, line: &str) {
        self.buffer.extend_from_slice(&self.job.encoding.encode(line));
        self.buffer.extend_from_slice(b"\r\n");
        self.count += 1;
    }

    /// Sends what is due: a full chunk, or lines that have waited long enough.
    async fn go_on(&mut self, to: &mut DataConnection, watch: &Watch<'_>) -> Result<(), TransferError> {
        self.seen += 1;
        let waited = self.sent_at.is_none_or(|at| at.elapsed() >= LINE_WAIT_MAX);
        if self.buffer.len() >= CHUNK_BYTES || (waited && !self.buffer.is_empty()) {
            return self.flush(to, watch).await;
        }
        if self.seen.is_multiple_of(TURN_ENTRIES) {
            tokio::task::yield_now().await;
            if let Some(ending) = watch.abort.ending() {
                return Err(TransferError::Broken(ending));
            }
        }
        Ok(())
    }

    async fn flush(&mut self, to: &mut DataConnection, watch: &Watch<'_>) -> Result<(), TransferError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let sent = copy::send_bytes(&self.buffer, to, watch).await;
        self.buffer.clear();
        self.sent_at = Some(Instant::now());
        match sent {
            Sent::All => flush(to, watch).await,
            Sent::Ended(ending) => Err(TransferError::Broken(ending)),
            Sent::Short | Sent::Failed(_) => Err(TransferError::Broken(Ending::Failed)),
        }
    }
}

/// Flushes the connection's own buffers: otherwise MODE Z would make a client wait for its first line.
async fn flush(to: &mut DataConnection, watch: &Watch<'_>) -> Result<(), TransferError> {
    match watch.over(to.flush()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(TransferError::Broken(Ending::Cut)),
        Err(ending) => Err(TransferError::Broken(ending)),
    }
}

/// All of Send or Receive, as far as this partner may see it.
fn whole_side(party: &Party, folder: Folder) -> Option<Side> {
    let path = folder.path(&[]);
    match authorise(&party.snapshot.profile, party.connector(), Operation::List, &path) {
        Ok(Granted::Within { folder, names, reach }) => Some(Side { folder, names, reach }),
        Ok(Granted::Root) | Err(_) => None,
    }
}

/// Folders with their depth, and with `-R` their subfolders: breadth first, so that a deep tree holds no handles open.
async fn folders(
    out: &mut Lines<'_>,
    mut waiting: VecDeque<(Side, usize)>,
    (to, watch): (&mut DataConnection, &Watch<'_>),
) -> Result<(), TransferError> {
    let listing = out.listing.clone();
    let bounded = listing.recursive || listing.pattern.is_some();
    while let Some((side, depth)) = waiting.pop_front() {
        let mut walk = match Walk::open(&out.job.engine, &out.job.party, &side, listing.all).await {
            // Gone since it was listed above.
            Err(TransferError::NotFound | TransferError::NotFolder) if depth > 0 => continue,
            other => other?,
        };
        if depth > 0 {
            let path = side.folder.path(&side.names);
            let (_, below) = path.names().split_at(path.names().len() - depth);
            out.listing = listing.below(below);
            // Names have their folder with them, and nothing else is among what can be fetched.
            if listing.format != Format::Names {
                out.raw("");
                out.raw(&format!("{path}:"));
            }
        }
        while let Some(entry) = walk.next().await? {
            if bounded && out.count >= LINES_MAX {
                out.raw(&format!("(more than {LINES_MAX} lines: the rest is left out)"));
                return Ok(());
            }
            out.add(&entry);
            if listing.recursive && entry.kind == Kind::Folder && depth < DEPTH_MAX && waiting.len() < WAITING_MAX {
                let mut names = side.names.clone();
                names.extend(Name::parse(&entry.name));
                waiting.push_back((Side { names, ..side.clone() }, depth + 1));
            }
            out.go_on(to, watch).await?;
        }
    }
    Ok(())
}

/// At most [`STAT_LINES_MAX`] entries for the control connection, plus one if there are more.
pub async fn few(engine: &Engine, party: &Party, listing: Listing) -> Result<Vec<Entry>, TransferError> {
    let (listed, listing) = prepare(engine, party, listing).await?;
    match listed {
        Listed::Root => {
            let mut entries = root_entries(engine, party)?;
            entries.retain(|entry| listing.wants(&entry.name));
            Ok(entries)
        }
        Listed::File(entry) => Ok(vec![entry]),
        Listed::Folder(side) => {
            let mut walk = Walk::open(engine, party, &side, listing.all).await?;
            let mut entries = Vec::new();
            while entries.len() <= STAT_LINES_MAX
                && let Some(entry) = walk.next().await?
            {
                if listing.wants(&entry.name) {
                    entries.push(entry);
                }
            }
            Ok(entries)
        }
    }
}

/// The entries of one folder as this partner sees it.
struct Walk<'a> {
    party: &'a Party,
    side: &'a Side,
    open: std::sync::Arc<crate::workspace::workspaces::Workspace>,
    entries: Option<LookingAhead>,
    dots: Vec<Entry>,
    /// Uploads missing or incomplete on disk under their names: unfinished ones, and recent ones stored under other
    /// names.
    own: BTreeMap<String, Entry>,
    /// Names hidden from the partner: of files it has deleted or sees under its own name.
    unseen: BTreeSet<String>,
    now: Timestamp,
}

impl<'a> Walk<'a> {
    async fn open(engine: &Engine, party: &'a Party, side: &'a Side, dots: bool) -> Result<Self, TransferError> {
        let open = party.workspace(&engine.depot)?;
        let folder = open.folder(side.folder);
        let entries = match side.reach {
            Reach::All => Some(LookingAhead::of(Entries::open(folder, &side.names)?)),
            Reach::OwnUploads => {
                folder.jail().folder(&side.names)?;
                None
            }
        };
        let now = engine.depot.clock.now();
        let (mut own, unseen) = recent(engine, party, side, now).await?;
        own.extend(resumable(side, folder, now));
        let dots = if dots { dot_entries(party, side, folder)? } else { Vec::new() };
        Ok(Self { party, side, open, entries, dots, own, unseen, now })
    }

    async fn next(&mut self) -> Result<Option<Entry>, TransferError> {
        if let Some(dot) = self.dots.pop() {
            return Ok(Some(dot));
        }
        if let Some(entries) = &mut self.entries {
            while let Some(found) = entries.next().await? {
                if let Some(own) = self.own.remove(found.name.as_str()) {
                    return Ok(Some(own));
                }
                if self.unseen.contains(found.name.as_str()) {
                    continue;
                }
                if is_visible(self.party, self.side.folder, self.open.folder(self.side.folder), &found, self.now) {
                    return Ok(Some(entry_of(self.party, self.side.folder, found)));
                }
            }
            self.entries = None;
        }
        Ok(self.own.pop_first().map(|(_, entry)| entry))
    }
}

/// Files that the filter forbids, or that have not rested in Send long enough, are not listed.
fn is_visible(party: &Party, folder: Folder, open: &OpenFolder, found: &Found, now: Timestamp) -> bool {
    if found.kind == EntryKind::Folder {
        return true;
    }
    let settle = party.connector().settings.send_settle_s.seconds();
    is_listed(&party.snapshot.profile, party.connector(), found.name.as_str())
        && (folder == Folder::Receive || open.is_settled(&found.version, settle, now))
}

/// The entry for what was found on disk.
fn entry_of(party: &Party, folder: Folder, found: Found) -> Entry {
    let kind = match found.kind {
        EntryKind::File => Kind::File,
        EntryKind::Folder => Kind::Folder,
    };
    entry_from(party, folder, (found.name.into(), kind), &found.version)
}

/// The entry for a file or folder with these properties.
pub fn entry_from(party: &Party, folder: Folder, (name, kind): (String, Kind), version: &Version) -> Entry {
    let rights = rights(party, folder, (&name, kind));
    Entry {
        name,
        kind,
        size: version.size_bytes,
        modified: version.modified,
        rights,
        unique: Unique::Inode(version.inode),
    }
}

/// What the partner may really do (RFC 3659 section 7.5.5).
fn rights(party: &Party, folder: Folder, (name, kind): (&str, Kind)) -> Rights {
    let settings = &party.connector().settings;
    let (read, write) = match folder {
        Folder::Send => (settings.send_read, settings.send_write),
        Folder::Receive => (settings.receive_read, settings.receive_write),
    };
    let mut rights = Rights::NONE;
    match kind {
        Kind::File => {
            if read {
                rights = rights | Rights::RETRIEVE;
            }
            if write {
                rights = rights | may_be_replaced(party, folder, name);
                if read {
                    rights = rights | Rights::DELETE | Rights::RENAME;
                }
            }
        }
        Kind::Folder | Kind::This | Kind::Parent => {
            rights = rights | Rights::ENTER | Rights::LIST;
            if write {
                rights = rights | Rights::CREATE | Rights::MAKE_FOLDER | Rights::PURGE;
                if kind == Kind::Folder {
                    rights = rights | Rights::DELETE | Rights::RENAME;
                }
            }
        }
    }
    rights
}

/// Whether an existing file may be overwritten and appended to.
fn may_be_replaced(party: &Party, folder: Folder, name: &str) -> Rights {
    if is_kept(party, folder, name) {
        return Rights::NONE;
    }
    if party.connector().settings.append == AppendRule::Refuse && folder == Folder::Receive {
        return Rights::STORE;
    }
    Rights::APPEND | Rights::STORE
}

/// Send or Receive itself: it always exists, under its own name.
pub fn fixed(entry: Entry) -> Entry {
    let rights = entry.rights.without(Rights::DELETE | Rights::RENAME);
    Entry { rights, ..entry }
}

/// An unfinished upload as its own partner sees it: with its present size, to be continued or given up.
pub fn entry_of_unfinished(name: String, unfinished: Unfinished) -> Entry {
    Entry {
        name,
        kind: Kind::File,
        size: unfinished.size_bytes,
        modified: unfinished.since,
        rights: Rights::APPEND | Rights::STORE | Rights::DELETE,
        unique: Unique::Part(unfinished.part),
    }
}

/// Unfinished uploads directly in the folder: shown to their own partner with their present size.
fn resumable(side: &Side, folder: &OpenFolder, now: Timestamp) -> BTreeMap<String, Entry> {
    let all = folder.all_resumable(now).into_iter();
    all.filter_map(|(names, unfinished)| {
        let (name, above) = names.split_last()?;
        let name = name.as_str().to_owned();
        (above == side.names.as_slice()).then(|| (name.clone(), entry_of_unfinished(name, unfinished)))
    })
    .collect()
}

/// Recent uploads stored elsewhere: shown under the client's own name (PRODUCT 5.9), and only there. Also returns the
/// names of files that the partner has removed from its view.
async fn recent(
    engine: &Engine,
    party: &Party,
    side: &Side,
    now: Timestamp,
) -> Result<(BTreeMap<String, Entry>, BTreeSet<String>), TransferError> {
    if side.folder != Folder::Receive || side.reach != Reach::All {
        return Ok(Default::default());
    }
    // Where the database cannot be written, what lies there is listed all the same.
    let _ = engine.depot.recorder.catch_up().await;
    let above = side.folder.path(&side.names).to_string();
    let here =
        |path: &str| path.rsplit_once('/').filter(|(folder, _)| *folder == above).map(|(_, name)| name.to_owned());
    let (db, key) = (&engine.depot.db, party.connector().id.key());
    let mut unseen: BTreeSet<_> = receipt::hidden(db, key).await?.iter().filter_map(|path| here(path)).collect();
    let mut own = BTreeMap::new();
    for receipt in receipt::recent_elsewhere(db, key, now.minus(RECENT_FOR)).await? {
        unseen.extend(here(&receipt.stored_path));
        // Newest first: the last upload under that name counts.
        let Some(name) = here(&receipt.client_path).filter(|name| !own.contains_key(name)) else { continue };
        if let Some(located) = send::received(&engine.depot, party, receipt).await? {
            let entry = entry_from(party, side.folder, (name.clone(), Kind::File), &located.source.version());
            own.insert(name, entry);
        }
    }
    Ok((own, unseen))
}

/// `..` and `.`, in reverse order.
fn dot_entries(party: &Party, side: &Side, folder: &OpenFolder) -> Result<Vec<Entry>, TransferError> {
    let version = Version::of(&rustix::fs::fstat(folder.jail().folder(&side.names)?).map_err(std::io::Error::from)?);
    Ok([("..", Kind::Parent), (".", Kind::This)]
        .map(|(name, kind)| entry_from(party, side.folder, (name.to_owned(), kind), &version))
        .into())
}

/// The two folders of the root.
fn root_entries(engine: &Engine, party: &Party) -> Result<Vec<Entry>, TransferError> {
    let workspace = party.workspace(&engine.depot)?;
    Folder::ALL
        .into_iter()
        .map(|side| {
            let stat = rustix::fs::fstat(workspace.folder(side).jail().root()).map_err(std::io::Error::from)?;
            let entry = entry_from(party, side, (side.name().to_owned(), Kind::Folder), &Version::of(&stat));
            Ok(fixed(entry))
        })
        .collect()
}
