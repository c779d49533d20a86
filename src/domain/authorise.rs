//! The one authorisation point for all commands: (connector, operation, path) to yes, or the rule that says no.
//! Pure: it does not look at the disk.

use std::borrow::Cow;

use crate::base::path::{Name, VirtualPath};
use crate::domain::connector::Connector;
use crate::domain::filter::Verdict;
use crate::domain::place::{Folder, Place};
use crate::domain::profile::Profile;
use crate::domain::refusal::Rule;

/// What a partner wants to do with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `CWD`.
    Enter,
    /// Listings.
    List,
    /// `SIZE`, `MDTM`, `MLST`…
    Look,
    /// `HASH`, `XCRC`…: with RANG they reveal every byte.
    Digest,
    /// `RETR`.
    Retrieve,
    /// `STOR`, `STOU`.
    Store,
    /// `APPE`.
    Append,
    /// `DELE`.
    Delete,
    /// `MKD`.
    MakeFolder,
    /// `RMD`.
    RemoveFolder,
    /// `RNFR`.
    RenameFrom,
    /// `RNTO`.
    RenameTo,
    /// `MFMT`, `SITE UTIME`.
    Touch,
}

/// How far a yes reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Anything there.
    All,
    /// Only the partner's own unfinished, temporary and recent uploads.
    OwnUploads,
}

/// Yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Granted {
    /// In the root, which shows two folders.
    Root,
    /// In one of the folders.
    Within {
        /// Which.
        folder: Folder,
        /// The names below it.
        names: Vec<Name>,
        /// How far the permission reaches.
        reach: Reach,
    },
}

/// No, by this rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct No {
    /// The rule.
    pub rule: Rule,
    /// What the administrator should know beyond the rule's own words.
    pub detail: String,
}

impl No {
    /// Refused by that rule, with that detail.
    pub fn new(rule: Rule, detail: impl Into<String>) -> Self {
        Self { rule, detail: detail.into() }
    }
}

/// Whether the connector may do `operation` at `path`.
pub fn authorise(
    profile: &Profile,
    connector: &Connector,
    operation: Operation,
    path: &VirtualPath,
) -> Result<Granted, No> {
    use Operation as Op;
    let settings = &connector.settings;
    let (folder, names) = match Place::of(settings, path) {
        Place::Root => return root(operation),
        Place::Outside => {
            return Err(No::new(Rule::OutsideFolders, format!("{path} is neither in Send nor in Receive")));
        }
        Place::Within(folder, names) => (folder, names),
    };
    let (read, write) = match folder {
        Folder::Send => (settings.send_read, settings.send_write),
        Folder::Receive => (settings.receive_read, settings.receive_write),
    };
    let top = names.is_empty();
    let reach = match operation {
        Op::List | Op::Look | Op::Digest if !read => Reach::OwnUploads,
        Op::Retrieve if !read => {
            return Err(No::new(Rule::NoRead, format!("{} is not readable for this partner", folder.name())));
        }
        Op::Enter | Op::List | Op::Look | Op::Digest | Op::Retrieve => Reach::All,
        Op::MakeFolder | Op::RemoveFolder | Op::RenameFrom | Op::RenameTo | Op::Store | Op::Append if top => {
            return Err(No::new(Rule::OutsideFolders, format!("{path} itself cannot be changed")));
        }
        // Deleting a collected file needs no Write (PRODUCT section 2): the caller knows which files those are.
        Op::Delete if !write && settings.delete_collected && folder == Folder::Send => Reach::OwnUploads,
        _ if !write => {
            return Err(No::new(Rule::NoWrite, format!("{} is not writable for this partner", folder.name())));
        }
        Op::Delete | Op::RenameFrom | Op::Touch if !read => Reach::OwnUploads,
        _ => Reach::All,
    };
    filter(profile, connector, operation, folder, &names)?;
    Ok(Granted::Within { folder, names, reach })
}

fn root(operation: Operation) -> Result<Granted, No> {
    match operation {
        Operation::Enter | Operation::List | Operation::Look | Operation::Digest => Ok(Granted::Root),
        _ => Err(No::new(Rule::OutsideFolders, "The root holds only the folders Send and Receive")),
    }
}

/// The Allowed Files Filter (PRODUCT section 6): for files only, by the last component of the name.
fn filter(
    profile: &Profile,
    connector: &Connector,
    operation: Operation,
    folder: Folder,
    names: &[Name],
) -> Result<(), No> {
    let stores = matches!(operation, Operation::Store | Operation::Append | Operation::RenameTo);
    let reads = matches!(operation, Operation::Retrieve | Operation::Digest);
    let Some(name) = names.last().filter(|_| stores || reads) else { return Ok(()) };
    let judged = match operation {
        Operation::Retrieve => Cow::Borrowed(name.as_str()),
        _ => without_temporary_part(connector, folder, name.as_str()),
    };
    match connector.filter(profile).judge(&judged) {
        Verdict::Accepted { .. } => Ok(()),
        Verdict::Excluded { by } => Err(No::new(Rule::NameFilter, format!("{judged} is excluded by {by}"))),
        Verdict::NoMatch => Err(No::new(Rule::NameFilter, format!("{judged} matches no pattern of the filter"))),
    }
}

/// A temporary name uploaded to Receive is judged without its temporary part, also when asked about later.
fn without_temporary_part<'a>(connector: &Connector, folder: Folder, name: &'a str) -> Cow<'a, str> {
    let stripped = match folder {
        Folder::Receive => connector.settings.temp_receive_extensions.strip(name),
        Folder::Send => None,
    };
    stripped.map_or(Cow::Borrowed(name), Cow::Owned)
}

/// Whether listings show a file of that name (PRODUCT section 6: files forbidden by the filter are not listed).
pub fn is_listed(profile: &Profile, connector: &Connector, name: &str) -> bool {
    connector.filter(profile).accepts(name)
}

/// Whether a question about a file of that name may find it: a listed file, or a temporary one that may be uploaded.
pub fn is_known(profile: &Profile, connector: &Connector, folder: Folder, name: &str) -> bool {
    connector.filter(profile).accepts(&without_temporary_part(connector, folder, name))
}
