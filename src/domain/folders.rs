//! Where all folders lie. A partner sees its own folders and nothing else: none of them may be, contain or lie in
//! another partner's, the folder of programs, or Waybill's own: keys, database, backups.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::connector::Connector;
use super::setting::Mistake;
use super::value::FolderText;

/// Waybill's own folders, beneath the data folder.
const OWN: [&str; 4] = ["keys", "backups", "scratch", "logs"];
/// The prefixes of its other own names there.
const OWN_BEGIN: [&str; 5] = ["waybill.db", "serve.lock", "migrate.lock", ".waybill-", "before-restore-"];

const ROOT: &str = "root_directory";
const BACKUPS: &str = "backup_folder";

/// Folders of a connector, each with the key of the setting that names it.
type Named = Vec<(&'static str, String)>;

/// Folders as the settings name them.
#[derive(Clone, Debug)]
pub struct Folders {
    /// Absolute; relative folders lie below it, a connector's below the Root Directory.
    data: String,
    root: String,
    backups: String,
    /// Absolute; anyone who can write there can run anything.
    programs: Option<String>,
    /// By ids in lower case: the id as written, and its folders.
    connectors: BTreeMap<String, (String, Named)>,
}

impl Folders {
    /// Without connectors yet.
    pub fn new(data: &str, (root, backups): (&str, &str), programs: Option<String>) -> Self {
        let (data, root, backups) = (data.to_owned(), root.to_owned(), backups.to_owned());
        Self { data, root, backups, programs, connectors: BTreeMap::new() }
    }

    /// Changes the Root Directory.
    pub fn set_root(&mut self, root: &str) {
        root.clone_into(&mut self.root);
    }

    /// Changes the folder of backups.
    pub fn set_backups(&mut self, backups: &str) {
        backups.clone_into(&mut self.backups);
    }

    /// Adds a connector, or replaces what was known of it.
    pub fn put(&mut self, connector: &Connector) {
        self.connectors.insert(connector.id.key().to_owned(), (connector.id.to_string(), connector.folders()));
    }

    /// As written, without following links.
    pub fn as_written(&self) -> Laid<'_> {
        self.laid(ToOwned::to_owned)
    }

    /// Where they really lie: `leads` resolves an absolute path.
    pub fn laid(&self, leads: impl Fn(&str) -> String) -> Laid<'_> {
        // So that the text of every path below the top of the disk begins with it.
        let leads = |path: &str| leads(path).trim_end_matches('/').to_owned();
        let root = below(&self.data, &self.root);
        let paths: BTreeMap<_, Vec<_>> = self
            .connectors
            .iter()
            .map(|(key, (_, folders))| {
                (key.as_str(), folders.iter().map(|(_, text)| leads(&below(&root, text))).collect())
            })
            .collect();
        let mut held: BTreeMap<String, Vec<(&str, usize)>> = BTreeMap::new();
        for (key, folders) in &paths {
            for (number, path) in folders.iter().enumerate() {
                held.entry(path.clone()).or_default().push((key, number));
            }
        }
        Laid {
            of: self,
            data: leads(&self.data),
            own: OWN.map(|name| leads(&below(&self.data, name))),
            root: leads(&root),
            backups: leads(&below(&self.data, &self.backups)),
            programs: self.programs.as_deref().map(leads),
            paths,
            held,
        }
    }
}

fn below(folder: &str, text: &str) -> String {
    if text.starts_with('/') { text.to_owned() } else { format!("{folder}/{text}").trim_end_matches('/').to_owned() }
}

/// A folder in a forbidden place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// The setting that names it.
    pub key: &'static str,
    /// The folder, as its setting has it.
    pub folder: String,
    /// What it is, contains or lies in.
    pub what: String,
    /// What would be right.
    right: &'static str,
}

impl Clash {
    /// What is wrong with its setting.
    pub fn mistake(&self) -> Mistake {
        Mistake::new(self.key, format!("{} {}; {}", self.folder, self.what, self.right))
    }
}

/// Folders and where they lie.
#[derive(Clone, Debug)]
pub struct Laid<'a> {
    of: &'a Folders,
    data: String,
    own: [String; OWN.len()],
    root: String,
    backups: String,
    programs: Option<String>,
    /// By a connector's id in lower case: where each of its folders lies.
    paths: BTreeMap<&'a str, Vec<String>>,
    /// By path: the connectors whose folders lie there, and which of theirs.
    held: BTreeMap<String, Vec<(&'a str, usize)>>,
}

impl Laid<'_> {
    /// What is wrong with the folders of a connector, by its id in lower case: at most one clash for each.
    pub fn of_connector(&self, key: &str) -> Vec<Clash> {
        let Some(((_, folders), paths)) = self.of.connectors.get(key).zip(self.paths.get(key)) else {
            return Vec::new();
        };
        let clash = |(number, ((setting, text), path)): (usize, (&(&'static str, String), &String))| {
            let (what, right) = self
                .own(path, true)
                .map(|what| (what, "choose one below the Root Directory, or outside the data folder"))
                .or_else(|| self.among_programs(path))
                .or_else(|| self.beside(key, number, path))?;
            let written = below(&below(&self.of.data, &self.of.root), text);
            let folder = if *path == written { text.clone() } else { format!("{text}, which leads to {path},") };
            Some(Clash { key: setting, folder, what, right })
        };
        folders.iter().zip(paths).enumerate().filter_map(clash).collect()
    }

    /// What is wrong with the Root Directory by itself.
    pub fn of_root(&self) -> Option<Clash> {
        let right = "choose another, such as partners or /srv/partners";
        let found = self.own(&self.root, true).map(|what| (what, right)).or_else(|| self.among_programs(&self.root));
        found.map(|(what, right)| self.clash_of_root(what, right))
    }

    /// What another Root Directory breaks: itself, or a folder that would lie in a forbidden place.
    pub fn below_root(&self) -> Option<Mistake> {
        self.of_root().map(|clash| clash.mistake()).or_else(|| {
            let (id, clash) = self.of.connectors.iter().find_map(|(key, (id, _))| {
                let clash = self.of_connector(key).into_iter().next()?;
                Some((id, clash))
            })?;
            let Clash { folder, what, .. } = clash;
            let words = format!("With it {folder} of {id} {what}; choose another, or change that connector first");
            Some(Mistake::new(ROOT, words))
        })
    }

    /// The first folder that is, contains or lies in the folder of programs.
    pub fn with_programs(&self) -> Option<Clash> {
        let root = self.among_programs(&self.root).map(|(what, right)| self.clash_of_root(what, right));
        root.or_else(|| {
            let all = self.of.connectors.iter().zip(self.paths.values());
            let mut each = all.flat_map(|((_, (_, folders)), paths)| folders.iter().zip(paths));
            each.find_map(|((key, text), path)| {
                let (what, right) = self.among_programs(path)?;
                Some(Clash { key, folder: text.clone(), what, right })
            })
        })
    }

    fn clash_of_root(&self, what: String, right: &'static str) -> Clash {
        Clash { key: ROOT, folder: self.of.root.clone(), what, right }
    }

    /// What is wrong with the folder of backups.
    pub fn of_backups(&self) -> Option<Clash> {
        let path = &self.backups;
        let partners = || {
            let root = || FolderText::overlap(path, &self.root).then(|| is("the Root Directory", &self.root));
            let held = self.overlapping(path).next();
            root().or_else(|| held.map(|(key, number)| self.named(key, number)))
        };
        let right = "choose another, such as backups or /srv/backups";
        let found = self.own(path, false).or_else(partners).map(|what| (what, right));
        let (what, right) = found.or_else(|| self.among_programs(path))?;
        let folder = if self.of.backups.is_empty() { "An empty value" } else { &self.of.backups };
        Some(Clash { key: BACKUPS, folder: folder.to_owned(), what, right })
    }

    /// Whether it is, contains or lies in one of Waybill's own folders; backups count if `with_backups`.
    fn own(&self, path: &str, with_backups: bool) -> Option<String> {
        if lies_in(&self.data, path) {
            return Some(format!("is or holds {}, the data folder with its keys and database", self.data));
        }
        let own = self.own.iter().zip(OWN).filter(|(_, name)| with_backups || *name != "backups").map(|(own, _)| own);
        let mut own = own.chain(with_backups.then_some(&self.backups));
        if let Some(own) = own.find(|own| FolderText::overlap(path, own)) {
            return Some(is("a folder of Waybill’s own", own));
        }
        let name = path.strip_prefix(&self.data)?.trim_start_matches('/').split('/').next()?;
        let is_own = lies_in(path, &self.data) && OWN_BEGIN.iter().any(|begin| name.starts_with(begin));
        is_own.then(|| is("Waybill’s own", &below(&self.data, name)))
    }

    fn among_programs(&self, path: &str) -> Option<(String, &'static str)> {
        let programs = self.programs.as_deref().filter(|programs| FolderText::overlap(path, programs))?;
        let what = format!("is, holds or lies in {programs}, whose programs are run");
        Some((what, "whoever writes there could run anything, so choose a folder apart from it"))
    }

    /// Whether it is, contains or lies in another connector's folder, or an earlier one of the same connector.
    fn beside(&self, key: &str, number: usize, path: &str) -> Option<(String, &'static str)> {
        let mut same = None;
        for (other, which) in self.overlapping(path) {
            if other != key {
                return Some((self.named(other, which), "choose one of its own"));
            }
            same = same.or((which < number).then_some(which));
        }
        let (_, folders) = self.of.connectors.get(key)?;
        let what = format!("is, holds or lies in {}, another folder of this connector", folders.get(same?)?.1);
        Some((what, "choose one apart from it"))
    }

    fn named(&self, key: &str, number: usize) -> String {
        let (id, folders) =
            self.of.connectors.get(key).map(|(id, folders)| (id.as_str(), &**folders)).unwrap_or_default();
        let text = folders.get(number).map_or("", |(_, text)| text);
        format!("is, holds or lies in {text}, a folder of {id}")
    }

    /// Connectors' folders that are, contain or lie in `path`; looks only at those above and below it.
    fn overlapping(&self, path: &str) -> impl Iterator<Item = (&str, usize)> {
        let above = std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(above, _)| above));
        let above: Vec<_> = above.filter_map(|path| self.held.get(path)).collect();
        let inside = format!("{path}/");
        let from = (Bound::Included(inside.as_str()), Bound::Unbounded);
        let held = self.held.range::<str, _>(from).take_while(|(path, _)| path.starts_with(&inside));
        let within: Vec<_> = held.map(|(_, whose)| whose).collect();
        above.into_iter().chain(within).flatten().copied()
    }
}

fn lies_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is(what: &str, path: &str) -> String {
    format!("is, holds or lies in {path}, {what}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::connector::{ConnectorId, ConnectorSettings};
    use crate::domain::setting::Texts;

    fn connector(id: &str, pairs: &[(&str, &str)]) -> Connector {
        let texts: Texts = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let settings = ConnectorSettings::parse(&texts).unwrap();
        Connector { id: ConnectorId::parse(id).unwrap(), version: 1, settings }
    }

    fn folders(root: &str, connectors: &[Connector]) -> Folders {
        let mut folders = Folders::new("/data", (root, "backups"), Some("/opt/programs".to_owned()));
        for one in connectors {
            folders.put(one);
        }
        folders
    }

    /// The settings of `id` that are refused.
    fn refused(folders: &Folders, id: &str) -> Vec<&'static str> {
        folders.as_written().of_connector(id).iter().map(|clash| clash.key).collect()
    }

    #[test]
    fn no_two_connectors_share_a_folder() {
        let acme = connector("ACME", &[]);
        let with = |pairs: &[(&str, &str)]| folders("partners", &[acme.clone(), connector("other", pairs)]);
        assert_eq!(refused(&with(&[]), "other"), [""; 0]);
        for shared in
            ["ACME/Receive", "ACME", "ACME/Send/deeper", "/data/partners/ACME/Receive", "/data/partners/ACME/Send/x"]
        {
            let both = with(&[("output_folder", shared)]);
            assert_eq!(refused(&both, "other"), ["output_folder"], "{shared}");
            assert!(!refused(&both, "acme").is_empty(), "{shared}");
            let words = both.as_written().of_connector("other")[0].mistake().to_string();
            assert!(words.starts_with(&format!("output_folder: {shared} is, holds or lies in ACME/")), "{words}");
            assert!(words.ends_with(", a folder of ACME; choose one of its own"), "{words}");
        }
        for apart in ["ACME-too", "ACME/Received", "/srv/ACME/Receive"] {
            assert_eq!(refused(&with(&[("output_folder", apart)]), "other"), [""; 0], "{apart}");
        }
        assert_eq!(refused(&with(&[("type", "folder"), ("folder", "ACME")]), "other"), ["folder"]);
    }

    #[test]
    fn nor_do_two_folders_of_one() {
        let twice = connector("acme", &[("input_folder", "/data/partners/acme/Receive/deeper")]);
        let copies = connector("globex", &[("output_folder", "globex/Sent/x"), ("save_to_sent_folder", "on")]);
        let folders = folders("partners", &[twice, copies]);
        assert_eq!(refused(&folders, "acme"), ["output_folder"]);
        assert_eq!(refused(&folders, "globex"), ["save_to_sent_folder"]);
    }

    #[test]
    fn what_is_waybills_own_is_nobodys_folder() {
        let own = [
            "/data",
            "/data/keys",
            "/data/keys/deeper",
            "/data/backups",
            "/data/scratch",
            "/data/logs/x",
            "/data/waybill.db",
            "/data/before-restore-20260101T000000Z",
            "/data/.waybill-backup-1",
        ];
        for own in own {
            for (key, pairs) in
                [("input_folder", vec![("input_folder", own)]), ("folder", vec![("type", "folder"), ("folder", own)])]
            {
                let folders = folders("partners", &[connector("leak", &pairs)]);
                assert_eq!(refused(&folders, "leak")[0], key, "{own}");
            }
            let mut folders = folders(own, &[]);
            assert!(folders.as_written().of_root().is_some(), "{own}");
            folders.set_root("partners");
            folders.set_backups(own);
            assert_eq!(folders.as_written().of_backups().is_some(), own != "/data/backups", "{own}");
        }
        let below = folders("partners", &[connector("fine", &[("input_folder", "/data/keys-of-acme/Send")])]);
        assert_eq!(refused(&below, "fine"), [""; 0]);
        assert_eq!((below.as_written().of_root(), below.as_written().of_backups()), (None, None));
        // If the root lies in a forbidden place, a connector's id alone can lead there.
        assert_eq!(refused(&folders("/data", &[connector("keys", &[("type", "folder")])]), "keys"), ["folder"]);
    }

    #[test]
    fn backups_lie_where_no_partner_is_and_no_partner_where_they_lie() {
        let mut folders = folders("partners", &[connector("acme", &[("input_folder", "/srv/acme")])]);
        for wrong in ["partners", "/data/partners/acme/Send", "/srv/acme/old", "/srv", "/opt/programs"] {
            folders.set_backups(wrong);
            assert_eq!(folders.as_written().of_backups().map(|clash| clash.folder), Some(wrong.to_owned()));
        }
        folders.set_backups("/srv/backups");
        assert_eq!(folders.as_written().of_backups(), None);
        folders.set_root("/srv/backups/partners");
        assert!(folders.as_written().of_root().is_some());
        folders.put(&connector("acme", &[("output_folder", "/srv/backups")]));
        assert_eq!(refused(&folders, "acme"), ["input_folder", "output_folder"]);
    }

    #[test]
    fn another_root_may_bring_a_folder_into_anothers() {
        let all = [connector("acme", &[]), connector("globex", &[("input_folder", "/srv/acme/Send")])];
        let mut folders = folders("partners", &all);
        assert_eq!(folders.as_written().below_root(), None);
        folders.set_root("/srv");
        let words = folders.as_written().below_root().map(|mistake| mistake.to_string()).unwrap_or_default();
        assert!(
            words.starts_with("root_directory: With it acme/Send of acme is, holds or lies in /srv/acme/Send"),
            "{words}"
        );
        folders.set_root("/opt/programs");
        assert!(folders.as_written().below_root().is_some());
    }

    #[test]
    fn a_link_is_where_it_leads() {
        let all = [connector("acme", &[]), connector("globex", &[("output_folder", "link"), ("input_folder", "way")])];
        let folders = folders("partners", &all);
        assert_eq!(refused(&folders, "globex"), [""; 0]);
        let leads = |path: &str| {
            path.replace("/data/partners/link", "/data/partners/acme/Send").replace("/data/partners/way", "/data/keys")
        };
        let found = folders.laid(leads).of_connector("globex");
        let told: Vec<_> = found.iter().map(|clash| (clash.key, clash.folder.as_str())).collect();
        let expected = [
            ("input_folder", "way, which leads to /data/keys,"),
            ("output_folder", "link, which leads to /data/partners/acme/Send,"),
        ];
        assert_eq!(told, expected);
        let top = folders.laid(|path| if path.ends_with("link") { "/".to_owned() } else { path.to_owned() });
        assert_eq!(top.of_connector("globex").len(), 1, "the top of the disk holds everything");
    }
}
