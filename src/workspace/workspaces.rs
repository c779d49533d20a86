//! Every connector's workspace, opened when first needed and again when its folders change.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::folder::OpenFolder;
use super::sync::Syncer;
use crate::domain::connector::Connector;
use crate::domain::place::Folder;
use crate::domain::profile::Profile;

/// A connector's two open folders.
#[derive(Debug)]
pub struct Workspace {
    send: Arc<OpenFolder>,
    receive: Arc<OpenFolder>,
}

impl Workspace {
    /// One of the two.
    pub fn folder(&self, folder: Folder) -> &OpenFolder {
        match folder {
            Folder::Send => &self.send,
            Folder::Receive => &self.receive,
        }
    }
}

/// Where a connector's folders are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// What the partner downloads.
    pub send: PathBuf,
    /// What the partner uploads.
    pub receive: PathBuf,
}

impl Paths {
    /// As profile and connector say: relative folders lie below the root, a relative root below the data folder.
    pub fn of(data: &Path, profile: &Profile, connector: &Connector) -> Self {
        let root = data.join(profile.root_directory.as_str());
        Self { send: root.join(connector.input_folder_text()), receive: root.join(connector.output_folder_text()) }
    }
}

/// The open workspaces.
#[derive(Clone, Debug)]
pub struct Workspaces {
    data: PathBuf,
    syncer: Syncer,
    open: Arc<Mutex<HashMap<String, Open>>>,
    /// The folders of Folder connectors.
    kept: Arc<Mutex<HashMap<String, Shelf>>>,
}

/// A folder that files are passed along into.
#[derive(Clone, Debug)]
pub struct Shelf {
    /// Where it is.
    pub path: PathBuf,
    /// It, open.
    pub folder: Arc<OpenFolder>,
}

/// Where a workspace was opened, and the workspace.
type Open = (Paths, Arc<Workspace>);

impl Workspaces {
    /// None is open yet. `data` is the appliance's data folder.
    pub fn new(data: PathBuf) -> Self {
        Self { data, syncer: Syncer::default(), open: Arc::default(), kept: Arc::default() }
    }

    /// Who syncs.
    pub fn syncer(&self) -> &Syncer {
        &self.syncer
    }

    /// The connector's own folder below the root, which holds `copies` (Sent or Log). An error where those would be within
    /// the partner's reach.
    pub fn copies_parent(&self, profile: &Profile, connector: &Connector, copies: &str) -> io::Result<PathBuf> {
        let paths = Paths::of(&self.data, profile, connector);
        let parent = self.data.join(profile.root_directory.as_str()).join(connector.id.as_str());
        let folder = parent.join(copies);
        let reaches = |of_partner: &PathBuf| of_partner.starts_with(&folder) || folder.starts_with(of_partner);
        if reaches(&paths.send) || reaches(&paths.receive) {
            return Err(io::Error::other(format!("Send or Receive is, holds or lies in the {copies} folder")));
        }
        Ok(parent)
    }

    /// The connector's Receive folder, as a path of this machine.
    pub fn receive_path(&self, profile: &Profile, connector: &Connector) -> String {
        Paths::of(&self.data, profile, connector).receive.to_string_lossy().into_owned()
    }

    /// Free bytes and all bytes of the file system that holds the root directory, or will hold it.
    pub fn room(&self, profile: &Profile) -> io::Result<(u64, u64)> {
        let root = self.data.join(profile.root_directory.as_str());
        let stat = rustix::fs::statvfs(&root).or_else(|_| rustix::fs::statvfs(&self.data))?;
        Ok((stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize)))
    }

    /// The connector's workspace; its folders are made if missing.
    pub fn get(&self, profile: &Profile, connector: &Connector) -> io::Result<Arc<Workspace>> {
        let paths = Paths::of(&self.data, profile, connector);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, workspace)) = open.get(connector.id.key())
            && *known == paths
        {
            return Ok(Arc::clone(workspace));
        }
        let folder = |path| OpenFolder::open(path).map(Arc::new);
        let workspace = Arc::new(Workspace { send: folder(&paths.send)?, receive: folder(&paths.receive)? });
        open.insert(connector.id.key().to_owned(), (paths, Arc::clone(&workspace)));
        Ok(workspace)
    }
    /// Where files land that are passed along to the connector: a partner's Send, a Folder's folder. Made if missing.
    pub fn shelf(&self, profile: &Profile, connector: &Connector) -> io::Result<Shelf> {
        if connector.is_partner() {
            let path = Paths::of(&self.data, profile, connector).send;
            return Ok(Shelf { path, folder: Arc::clone(&self.get(profile, connector)?.send) });
        }
        let path = self.data.join(profile.root_directory.as_str()).join(connector.folder_text());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shelf) = kept.get(connector.id.key()).filter(|shelf| shelf.path == path) {
            return Ok(shelf.clone());
        }
        let opened = Shelf { folder: Arc::new(OpenFolder::open(&path)?), path };
        kept.insert(connector.id.key().to_owned(), opened.clone());
        Ok(opened)
    }
}
