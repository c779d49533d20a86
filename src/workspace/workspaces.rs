//! Every connector's workspace, opened when first needed and again when its folders change.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use super::folder::OpenFolder;
use super::upload::{self, FoundPart};
use crate::base::clock::Timestamp;
use crate::base::id::ReceiptId;
use crate::base::lock::lock;
use crate::base::sync::Syncer;
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

    fn is_at(&self, paths: &Paths) -> bool {
        self.send.is_at(&paths.send) && self.receive.is_at(&paths.receive)
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
    /// From profile and connector: relative folders are below the root, a relative root below the data folder.
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
    used: Arc<Mutex<Used>>,
    is_recovered: Arc<AtomicBool>,
}

/// A folder that files are passed along into.
#[derive(Clone, Debug)]
pub struct Shelf {
    /// Where it is.
    pub path: PathBuf,
    /// The open folder.
    pub folder: Arc<OpenFolder>,
}

/// The paths of an open workspace, and the workspace.
type Open = (Paths, Arc<Workspace>);
/// Partners' folders in use, by device and inode: a transfer may outlive the setting that led to its folder, and
/// another path may lead to the same one.
type Used = HashMap<(u64, u64), Weak<OpenFolder>>;

impl Workspaces {
    /// None is open yet. `data` is the appliance's data folder.
    pub fn new(data: PathBuf) -> Self {
        Self {
            data,
            syncer: Syncer::default(),
            open: Arc::default(),
            kept: Arc::default(),
            used: Arc::default(),
            is_recovered: Arc::default(),
        }
    }

    /// Recovery is finished: from now on, opening a folder finds its unfinished uploads.
    pub fn recovered(&self) {
        self.is_recovered.store(true, Ordering::Relaxed);
    }

    /// Lets go of the folders of connectors that no longer exist.
    pub fn close_others(&self, is_connector: impl Fn(&str) -> bool) {
        lock(&self.open).retain(|key, _| is_connector(key));
        lock(&self.kept).retain(|key, _| is_connector(key));
        lock(&self.used).retain(|_, folder| folder.strong_count() > 0);
    }

    /// Runs the syncs.
    pub fn syncer(&self) -> &Syncer {
        &self.syncer
    }

    /// The connector's own folder below the root, which contains `copies` (Sent or Log). An error if they would be
    /// within the partner's reach.
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

    /// Free bytes and all bytes of the file system of the root directory, which may still be missing.
    pub fn room(&self, profile: &Profile) -> io::Result<(u64, u64)> {
        let root = self.data.join(profile.root_directory.as_str());
        let stat = rustix::fs::statvfs(&root).or_else(|_| rustix::fs::statvfs(&self.data))?;
        Ok((stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize)))
    }

    /// The connector's workspace; its folders are made if missing.
    pub fn get(&self, profile: &Profile, connector: &Connector) -> io::Result<Arc<Workspace>> {
        let paths = Paths::of(&self.data, profile, connector);
        // No disk is accessed while others wait for their folders.
        let known = lock(&self.open).get(connector.id.key()).filter(|(known, _)| *known == paths).cloned();
        if let Some((_, workspace)) = known.as_ref().filter(|(paths, workspace)| workspace.is_at(paths)) {
            return Ok(Arc::clone(workspace));
        }
        if let Some((_, before)) = &known {
            still_mounted(&before.send, &paths.send)?;
            still_mounted(&before.receive, &paths.receive)?;
        }
        let folder = |path, side| self.folder(path, side, connector);
        let (send, receive) = (folder(&paths.send, Folder::Send)?, folder(&paths.receive, Folder::Receive)?);
        let workspace = Arc::new(Workspace { send, receive });
        lock(&self.open).insert(connector.id.key().to_owned(), (paths, Arc::clone(&workspace)));
        Ok(workspace)
    }

    /// Whether that workspace is still at the connector's present folders.
    pub fn is_current(&self, profile: &Profile, connector: &Connector, workspace: &Workspace) -> bool {
        workspace.is_at(&Paths::of(&self.data, profile, connector))
    }

    /// One of a partner's folders: the one in use, or opened anew.
    fn folder(&self, path: &Path, side: Folder, connector: &Connector) -> io::Result<Arc<OpenFolder>> {
        let mut used = lock(&self.used);
        let folder = Arc::new(OpenFolder::open(path)?);
        let known = used.get(&folder.which()).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| known.is_at(path)) {
            return Ok(known);
        }
        if self.is_recovered.load(Ordering::Relaxed) {
            find_unfinished(&folder, side, connector)?;
        }
        used.insert(folder.which(), Arc::downgrade(&folder));
        Ok(folder)
    }

    /// Removes uploads that clients broke off in a former folder of a partner, if nothing was written to them since
    /// `before`: nothing without a client's name, and nothing while somebody uses the folder. Returns how many there
    /// were.
    pub fn clear_left(&self, folder: &Path, before: Timestamp) -> io::Result<u64> {
        let folder = match OpenFolder::existing(&self.data.join(folder)) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(0);
            }
            opened => opened?,
        };
        let old = || -> io::Result<Vec<_>> {
            let is_old = |part: &FoundPart| {
                part.client_path.is_some() && part.since < before && ReceiptId::parse(&part.name).is_some()
            };
            Ok(upload::parts(&folder)?.into_iter().filter(is_old).collect())
        };
        // Nobody waits for a disk without anything to remove.
        if old()?.is_empty() {
            return Ok(0);
        }
        // Whoever begins to use it waits, and finds what is left.
        let used = lock(&self.used);
        if used.get(&folder.which()).is_some_and(|known| known.strong_count() > 0) {
            return Ok(0);
        }
        let old = old()?;
        for part in &old {
            folder.remove_part(&part.name);
        }
        Ok(old.len() as u64)
    }

    /// The folder that files for the connector are put into: a partner's Send, a Folder's folder. Made if missing.
    pub fn shelf(&self, profile: &Profile, connector: &Connector) -> io::Result<Shelf> {
        if connector.is_partner() {
            let path = Paths::of(&self.data, profile, connector).send;
            return Ok(Shelf { path, folder: Arc::clone(&self.get(profile, connector)?.send) });
        }
        let path = self.data.join(profile.root_directory.as_str()).join(connector.folder_text());
        let mut kept = lock(&self.kept);
        let known = kept.get(connector.id.key());
        if let Some(shelf) = known.filter(|shelf| shelf.path == path && shelf.folder.is_at(&path)) {
            return Ok(shelf.clone());
        }
        if let Some(before) = known.filter(|shelf| shelf.path == path) {
            still_mounted(&before.folder, &path)?;
        }
        let opened = Shelf { folder: Arc::new(OpenFolder::open(&path)?), path };
        kept.insert(connector.id.key().to_owned(), opened.clone());
        Ok(opened)
    }
}

/// What lies in the empty place beneath an unmounted disk is out of sight once that is back: nothing is put there, nor is
/// the folder made there (decision 0130).
fn still_mounted(before: &OpenFolder, path: &Path) -> io::Result<()> {
    if !before.is_unmounted(path) {
        return Ok(());
    }
    let path = path.display();
    let why =
        format!("the disk of {path} is not mounted any more; mount it, or start Waybill anew to go on without it");
    Err(io::Error::other(why))
}

/// Uploads broken off in a folder that nobody has used for a while can be resumed, and are purged in time. One without
/// a client's name belongs to somebody else.
fn find_unfinished(folder: &OpenFolder, side: Folder, connector: &Connector) -> io::Result<()> {
    for part in upload::parts(folder)? {
        if let Some((names, unfinished)) = part.unfinished(connector, side) {
            folder.keep_unfinished(names, unfinished);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::path::{Name, VirtualPath};
    use crate::domain::connector::{ConnectorId, ConnectorSettings};
    use crate::domain::setting::Texts;
    use crate::workspace::folder::mounts;
    use crate::workspace::upload::Part;

    struct Desk {
        _data: tempfile::TempDir,
        all: Workspaces,
        profile: Profile,
    }

    impl Desk {
        fn new() -> Self {
            let data = tempfile::tempdir().unwrap();
            let all = Workspaces::new(data.path().to_owned());
            all.recovered();
            Self { _data: data, all, profile: Profile::default() }
        }

        fn get(&self, receive: &str) -> Arc<Workspace> {
            self.all.get(&self.profile, &acme(receive)).unwrap()
        }
    }

    fn acme(receive: &str) -> Connector {
        let texts = Texts::from([("output_folder".to_owned(), receive.to_owned())]);
        let settings = ConnectorSettings::parse(&texts).unwrap();
        Connector { id: ConnectorId::parse("acme").unwrap(), version: 1, settings }
    }

    #[test]
    fn an_unfinished_upload_is_found_when_its_folder_is_used_again() {
        let desk = Desk::new();
        let names = vec![Name::parse("a").unwrap()];
        let path = VirtualPath::root().resolve("/Receive/a").unwrap();
        {
            let first = desk.get("one");
            let folder = first.folder(Folder::Receive);
            let mut part = Part::create(folder, "part", &path).unwrap();
            part.write(b"some").unwrap();
            assert!(desk.get("two").folder(Folder::Receive).all_unfinished().is_empty());
            // It is still being written.
            let again = desk.get("one");
            assert!(Arc::ptr_eq(&first.receive, &again.receive));
            assert_eq!(again.folder(Folder::Receive).unfinished(&names), None);
            part.keep(folder, names.clone(), Clock::System.now());
        }
        desk.get("two");
        let found = desk.get("one").folder(Folder::Receive).unfinished(&names).unwrap();
        assert_eq!((found.part.as_str(), found.size_bytes), ("part", 4));
    }

    #[test]
    fn another_path_leads_to_the_same_folder_and_its_uploads_under_way() {
        let desk = Desk::new();
        let first = desk.get("one");
        let folder = first.folder(Folder::Receive);
        let path = VirtualPath::root().resolve("/Receive/a").unwrap();
        let mut part = Part::create(folder, "part", &path).unwrap();
        part.write(b"some").unwrap();
        let of = |receive| Paths::of(&desk.all.data, &desk.profile, &acme(receive)).receive;
        std::os::unix::fs::symlink(of("one"), of("alias")).unwrap();
        let other = desk.get("alias");
        assert!(Arc::ptr_eq(&first.receive, &other.receive));
        assert_eq!(other.folder(Folder::Receive).all_unfinished(), []);
        // What has the path afterwards is another folder.
        let aside = of("aside");
        std::fs::rename(of("one"), &aside).unwrap();
        let made_again = desk.get("one");
        assert!(!Arc::ptr_eq(&first.receive, &made_again.receive));
        assert!(Arc::ptr_eq(&first.receive, &desk.get("aside").receive));
    }

    #[test]
    fn a_folder_whose_path_leads_elsewhere_by_now_is_opened_anew() {
        let desk = Desk::new();
        let connector = acme("one");
        let first = desk.get("one");
        assert!(desk.all.is_current(&desk.profile, &connector, &first));
        let path = Paths::of(&desk.all.data, &desk.profile, &connector).receive;
        std::fs::rename(&path, path.with_extension("old")).unwrap();
        assert!(!desk.all.is_current(&desk.profile, &connector, &first));
        let second = desk.get("one");
        assert!(path.join(".waybill").is_dir() && !Arc::ptr_eq(&first.receive, &second.receive));
        assert!(Arc::ptr_eq(&first.send, &second.send));

        let texts = Texts::from([("type".to_owned(), "folder".to_owned())]);
        let settings = ConnectorSettings::parse(&texts).unwrap();
        let archive = Connector { id: ConnectorId::parse("archive").unwrap(), version: 1, settings };
        let shelf = || desk.all.shelf(&desk.profile, &archive).unwrap();
        let first = shelf();
        assert!(Arc::ptr_eq(&first.folder, &shelf().folder));
        std::fs::rename(&first.path, first.path.with_extension("old")).unwrap();
        assert!(!Arc::ptr_eq(&first.folder, &shelf().folder) && first.path.is_dir());
    }

    /// A link to another file system, and then none, is as good as a mount here.
    #[test]
    fn nothing_is_made_in_the_place_of_an_unmounted_disk() {
        let Ok(other_disk) = tempfile::tempdir_in("/dev/shm") else {
            println!("this machine has no other file system to write to");
            return;
        };
        let desk = Desk::new();
        let root = desk.all.data.join("partners/acme");
        std::fs::create_dir_all(&root).unwrap();
        let mount = || std::os::unix::fs::symlink(other_disk.path(), root.join("disk")).unwrap();
        let unmount = || std::fs::remove_file(root.join("disk")).unwrap();
        mount();
        if mounts(&root.join("disk")) == mounts(&root) {
            println!("this machine has no other file system to write to");
            return;
        }
        let texts =
            Texts::from([("type".to_owned(), "folder".to_owned()), ("folder".to_owned(), "acme/disk/kept".to_owned())]);
        let settings = ConnectorSettings::parse(&texts).unwrap();
        let archive = Connector { id: ConnectorId::parse("archive").unwrap(), version: 1, settings };
        let shelf = || desk.all.shelf(&desk.profile, &archive);
        let receive = || desk.all.get(&desk.profile, &acme("acme/disk/in"));
        let (first, kept) = (receive().unwrap(), shelf().unwrap());
        unmount();
        let (one, other) = (receive().unwrap_err().to_string(), shelf().unwrap_err().to_string());
        assert!(one.contains("acme/disk/in is not mounted any more; mount it, or "), "{one}");
        assert!(other.contains("acme/disk/kept is not mounted any more"), "{other}");
        assert!(!root.join("disk").exists());
        mount();
        assert!(Arc::ptr_eq(&first, &receive().unwrap()) && Arc::ptr_eq(&kept.folder, &shelf().unwrap().folder));
        // Another path is another folder, wherever it lies.
        unmount();
        desk.get("here");
    }

    #[test]
    fn a_folder_that_somebody_removed_is_made_again_and_one_of_nobody_is_closed() {
        let desk = Desk::new();
        let first = desk.get("one");
        assert!(Arc::ptr_eq(&first, &desk.get("one")));
        let path = Paths::of(&desk.all.data, &desk.profile, &acme("one")).receive;
        std::fs::remove_dir_all(path.join(".waybill")).unwrap();
        let second = desk.get("one");
        assert!(path.join(".waybill").is_dir() && !Arc::ptr_eq(&first, &second));
        Part::create_nameless(second.folder(Folder::Receive), "part").unwrap();
        let (send, receive) = (Arc::downgrade(&first.send), Arc::downgrade(&second.receive));
        drop((first, second));
        desk.all.close_others(|key| key == "acme");
        assert!(receive.upgrade().is_some());
        desk.all.close_others(|_| false);
        assert!(send.upgrade().is_none() && receive.upgrade().is_none());
        assert!(lock(&desk.all.used).len() <= 2 && lock(&desk.all.open).is_empty());
    }
}
