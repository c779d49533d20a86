//! Where a client's path lies: in the root that shows two folders, or within one of these.

use super::connector::ConnectorSettings;
use crate::base::path::{Name, VirtualPath};
use crate::base::words::words;

words! {
    /// A partner's two folders, named from Waybill's side.
    pub enum Folder {
        /// What the partner downloads.
        Send = "Send";
        /// What the partner uploads.
        Receive = "Receive";
    }
}

impl Folder {
    /// The client's path for `names` within it.
    pub fn path(self, names: &[Name]) -> VirtualPath {
        std::iter::once(Name::fixed(self.name())).chain(names.iter().cloned()).collect()
    }
}

/// Where a path lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `/` itself.
    Root,
    /// One of the folders, or something below it.
    Within(Folder, Vec<Name>),
    /// Beside the two folders, where nothing exists.
    Outside,
}

impl Place {
    /// Reads a path as this partner means it: the two folders are matched without regard to case, and by their aliases.
    pub fn of(settings: &ConnectorSettings, path: &VirtualPath) -> Self {
        let Some((first, below)) = path.names().split_first() else { return Self::Root };
        let is = |folder: Folder| {
            let alias = match folder {
                Folder::Send => &settings.send_alias,
                Folder::Receive => &settings.receive_alias,
            };
            first.as_str().eq_ignore_ascii_case(folder.name()) || alias.matches(first.as_str())
        };
        match Folder::ALL.into_iter().find(|folder| is(*folder)) {
            Some(folder) => Self::Within(folder, below.to_vec()),
            None => Self::Outside,
        }
    }

    /// The path with the folder's real name, as in `PWD`.
    pub fn path(&self) -> Option<VirtualPath> {
        match self {
            Self::Root => Some(VirtualPath::root()),
            Self::Within(folder, names) => Some(folder.path(names)),
            Self::Outside => None,
        }
    }
}
