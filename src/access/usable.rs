//! Whether what a change names can be used, seen before it is stored: new folders are written to, a new host name is
//! looked up. What stays as it was is not tried again, so that a disk that is away keeps nobody from saving the rest.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::hosts;
use crate::domain::connector::{Connector, ConnectorId, ConnectorSettings};
use crate::domain::profile::Profile;
use crate::domain::setting::{Mistake, Texts, Value};
use crate::domain::value::{FolderText, HostOrAddress, PortRange};
use crate::store::listener::{self, Listener};
use crate::store::open::{Db, StoreError};
use crate::store::profile;
use crate::store::setting::{self, SaveError, Scope};
use crate::store::settings_file::SettingsFile;
use crate::workspace::jail::STAGING;

/// The setting below which connectors' folders lie.
const ROOT: &str = "root_directory";
/// How the name of a file begins that tries a folder; chance goes on, so that it is nobody else's.
const TRIED: &str = "probe.waybill-";

/// Tries what `values` change in the FTP server's settings.
///
/// # Errors
/// Something cannot be used; every other mistake of `values` is told with it.
pub async fn profile(db: &Db, values: &Texts) -> Result<(), SaveError> {
    let stored = profile::load(db).await?.texts;
    let mistakes = of_profile(db, &stored, values).await?;
    told(mistakes, || Profile::parse(&merged(stored, values)).err())
}

async fn of_profile(db: &Db, stored: &Texts, values: &Texts) -> Result<Vec<Mistake>, StoreError> {
    let mut mistakes = Vec::new();
    if let Some(root) = changed::<FolderText>(stored, values, (ROOT, Profile::SETTINGS)) {
        mistakes.extend(try_folders(vec![(ROOT.to_owned(), db.folder().join(root.as_str()))]).await?);
    }
    let address = changed::<Option<HostOrAddress>>(stored, values, ("passive_address", Profile::SETTINGS));
    if let Some(Some(HostOrAddress::Host(host))) = address
        && let Err(why) = look_up(&host).await
    {
        mistakes.push(Mistake::new("passive_address", why));
    }
    let range = changed::<Option<PortRange>>(stored, values, ("passive_port_range", Profile::SETTINGS));
    if let Some(Some(range)) = range
        && let Some(port) = web_port(db).await?.filter(|port| range.contains(*port))
    {
        let words = format!(
            "{} holds port {port}, where the web interface answers; choose a range without it, such as 50000-50199",
            range.text()
        );
        mistakes.push(Mistake::new("passive_port_range", words));
    }
    Ok(mistakes)
}

/// Tries the folders that `values` give a connector, new or not.
///
/// # Errors
/// One cannot be written to; every other mistake of `values` is told with it.
pub async fn connector(db: &Db, id: &ConnectorId, values: &Texts) -> Result<(), SaveError> {
    let root = root(db, &profile::load(db).await?.texts);
    let (new, all) = new_folders(db, id, values).await?;
    let tried = try_folders(new.into_iter().map(|(key, folder)| (key.to_owned(), root.join(folder))).collect()).await?;
    told(tried, || ConnectorSettings::parse(&all).err())
}

/// Tries what a text of all settings changes; what is wrong has its place, such as `profile.root_directory`. Other mistakes
/// are not told: reading it in tells them.
pub async fn settings_file(db: &Db, file: &SettingsFile) -> Result<Vec<Mistake>, StoreError> {
    let stored = profile::load(db).await?.texts;
    let mut mistakes = of_profile(db, &stored, &file.profile).await?;
    for mistake in &mut mistakes {
        mistake.key = format!("profile.{}", mistake.key);
    }
    // Connectors lie below the root that the text gives.
    let root = root(db, &merged(stored, &file.profile));
    let mut folders = Vec::new();
    for (id, values) in &file.connectors {
        let Ok(parsed) = ConnectorId::parse(id) else { continue };
        let (new, _) = new_folders(db, &parsed, values).await?;
        folders.extend(new.into_iter().map(|(key, folder)| (format!("connectors.{id}.{key}"), root.join(folder))));
    }
    mistakes.extend(try_folders(folders).await?);
    Ok(mistakes)
}

fn root(db: &Db, profile: &Texts) -> PathBuf {
    db.folder().join(text(profile, (ROOT, Profile::SETTINGS)))
}

/// The folders that `values` give a connector and that it had not before; and all of its settings then.
async fn new_folders(
    db: &Db,
    id: &ConnectorId,
    values: &Texts,
) -> Result<(Vec<(&'static str, String)>, Texts), StoreError> {
    let stored = setting::load(db, Scope::Connector(id.key())).await?;
    let before = if stored.version == 0 { Vec::new() } else { folders(id, &stored.texts) };
    let all = merged(stored.texts, values);
    let new = folders(id, &all).into_iter().filter(|folder| !before.contains(folder)).collect();
    Ok((new, all))
}

/// The mistakes found here behind those that the save itself would find.
fn told(found: Vec<Mistake>, others: impl FnOnce() -> Option<Vec<Mistake>>) -> Result<(), SaveError> {
    if found.is_empty() {
        return Ok(());
    }
    Err(SaveError::Mistakes(others().into_iter().flatten().chain(found).collect()))
}

fn merged(mut stored: Texts, values: &Texts) -> Texts {
    stored.extend(values.clone());
    stored
}

/// Which setting, of which table.
type Of = (&'static str, &'static [crate::domain::setting::Setting]);

fn text(texts: &Texts, (key, table): Of) -> &str {
    let default = || table.iter().find(|setting| setting.key == key).map_or("", |setting| setting.default);
    texts.get(key).map_or_else(default, String::as_str)
}

/// The value of a setting, where it is another one than the stored one, and can be read.
fn changed<T: Value>(stored: &Texts, values: &Texts, of: Of) -> Option<T> {
    let new = T::parse(values.get(of.0)?).ok()?;
    let same = T::parse(text(stored, of)).is_ok_and(|old| old.text() == new.text());
    (!same).then_some(new)
}

/// The folders of a connector, as far as what names them can be read.
fn folders(id: &ConnectorId, texts: &Texts) -> Vec<(&'static str, String)> {
    const NAMED_BY: [&str; 6] =
        ["type", "input_folder", "output_folder", "folder", "save_to_sent_folder", "log_messages"];
    let named = texts.iter().filter(|(key, _)| NAMED_BY.contains(&key.as_str()));
    let settings = ConnectorSettings::read(&named.map(|(key, text)| (key.clone(), text.clone())).collect());
    let connector = settings.map(|settings| Connector { id: id.clone(), version: 0, settings });
    connector.map(|connector| connector.folders()).unwrap_or_default()
}

/// Tries folders away from the threads that serve requests; a disk may be slow. Many of them may begin in one place: each
/// place is tried once.
async fn try_folders(folders: Vec<(String, PathBuf)>) -> Result<Vec<Mistake>, StoreError> {
    let all = move || {
        let mut places = HashMap::new();
        let tried =
            folders.iter().filter_map(|(key, folder)| Some(Mistake::new(key, try_folder(folder, &mut places).err()?)));
        tried.collect()
    };
    tokio::task::spawn_blocking(all).await.map_err(|error| StoreError::Unreadable(error.to_string()))
}

/// Whether files can be made, synced, renamed and removed in `folder`, or, where it is not there yet, in the one it would
/// be made in. Nothing of that stays.
fn try_folder(folder: &Path, places: &mut HashMap<PathBuf, Result<(), String>>) -> Result<(), String> {
    // A partner would see the trial there. It lies in a folder in use, which the save refuses.
    if folder.ancestors().skip(1).any(|above| above.join(STAGING).is_dir()) {
        return Ok(());
    }
    let shown = folder.display();
    let Some(place) = folder.ancestors().find(|at| at.symlink_metadata().is_ok()) else { return Ok(()) };
    let at = place.display();
    if !place.metadata().is_ok_and(|found| found.is_dir()) {
        return Err(format!("{shown} cannot be a folder: {at} is a file or leads nowhere; choose another"));
    }
    // Nobody sees what lies in the staging folder of one that is in use.
    let staging = place.join(STAGING);
    let trial = if place == folder && staging.is_dir() { &staging } else { place };
    let tried = places.entry(trial.to_owned()).or_insert_with(|| {
        try_in(trial).map_err(|(what, error)| {
            let error = error.to_string();
            format!("a file could not be {what} ({})", error.split(" (os error").next().unwrap_or_default())
        })
    });
    tried
        .clone()
        .map_err(|why| format!("{shown} cannot be used: in {at} {why}; choose a folder that Waybill may write to"))
}

/// The error says what could not be done. It touches nothing but a file that it made.
fn try_in(folder: &Path) -> Result<(), (&'static str, io::Error)> {
    let [one, two] = [(); 2].map(|()| folder.join(format!("{TRIED}{:016x}", rand::random::<u64>())));
    let made = std::fs::File::create_new(&one).map_err(|error| ("made", error))?;
    let tried = made.sync_all().map_err(|error| ("synced", error));
    let tried = tried.and_then(|()| std::fs::rename(&one, &two).map_err(|error| ("renamed", error)));
    let removed = std::fs::remove_file(if tried.is_ok() { &two } else { &one });
    tried.and(removed.map_err(|error| ("removed", error)))?;
    std::fs::File::open(folder).and_then(|open| open.sync_all()).map_err(|error| ("synced", error))
}

/// Whether a host name has an IPv4 address; the error says what would be right.
async fn look_up(host: &str) -> Result<(), String> {
    let right = "write the IPv4 address itself, or a name that has one";
    let found = hosts::look_up(host, hosts::WITHIN).await.map_err(|why| format!("{why}; {right}"))?;
    let has_one = found.iter().any(IpAddr::is_ipv4);
    has_one.then_some(()).ok_or_else(|| format!("{host} has IPv6 addresses only; {right}"))
}

/// Where the web interface answers, if it does.
async fn web_port(db: &Db) -> Result<Option<u16>, StoreError> {
    let web = listener::get(db, Listener::Web).await?;
    Ok(web.address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, Timestamp};

    fn texts(pairs: &[(&str, &str)]) -> Texts {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn said(result: Result<(), SaveError>) -> Vec<String> {
        let Err(SaveError::Mistakes(mistakes)) = result else { panic!("{result:?}") };
        mistakes.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_to_is_refused_with_all_else_that_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        std::fs::write(folder.path().join("taken"), "").unwrap();
        let refused = said(profile(&db, &texts(&[("root_directory", "taken/here"), ("port", "70000")])).await);
        assert!(refused[0].starts_with("port: 70000"), "{refused:?}");
        assert!(refused[1].contains("root_directory: ") && refused[1].contains("is a file"), "{refused:?}");
        let refused = said(profile(&db, &texts(&[("root_directory", "/proc/partners")])).await);
        assert!(refused[0].contains("in /proc a file could not be made"), "{refused:?}");
        let id = ConnectorId::parse("acme").unwrap();
        let refused = said(connector(&db, &id, &texts(&[("output_folder", "/proc/in"), ("settle_s", "x")])).await);
        assert!(refused[0].starts_with("settle_s: ") && refused[1].starts_with("output_folder: "), "{refused:?}");
        assert!(!folder.path().join("partners").exists(), "a refused folder was made");
    }

    #[tokio::test]
    async fn what_can_be_used_passes_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let in_use = folder.path().join("in-use");
        std::fs::create_dir_all(in_use.join(STAGING)).unwrap();
        std::fs::write(folder.path().join("probe.waybill-0"), "somebody's").unwrap();
        let id = ConnectorId::parse("acme").unwrap();
        profile(&db, &texts(&[("root_directory", "new/partners")])).await.unwrap();
        connector(&db, &id, &texts(&[("input_folder", in_use.to_str().unwrap())])).await.unwrap();
        // Within a folder in use a partner would see it: nothing is tried, and so nothing found out.
        std::fs::write(in_use.join("taken"), "").unwrap();
        let within = in_use.join("taken/in");
        connector(&db, &id, &texts(&[("output_folder", within.to_str().unwrap())])).await.unwrap();
        for at in [folder.path().to_path_buf(), in_use.clone(), in_use.join(STAGING)] {
            let left = std::fs::read_dir(&at).unwrap().flatten().find(|entry| {
                entry.file_name().to_string_lossy().starts_with(TRIED) && entry.metadata().unwrap().len() == 0
            });
            assert!(left.is_none(), "{left:?}");
        }
        assert!(!folder.path().join("new").exists());
        assert_eq!(std::fs::read(folder.path().join("probe.waybill-0")).unwrap(), b"somebody's");
    }

    #[tokio::test]
    async fn what_stays_as_it_is_is_not_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = crate::base::id::IdSource::random(Clock::System);
        let change = setting::Change { who: "test", remote: "", at: Timestamp::default(), ids: &ids };
        let away = texts(&[("root_directory", "/proc/partners")]);
        profile::save(&db, &away, None, &change).await.unwrap();
        profile(&db, &away).await.unwrap();
        assert!(profile(&db, &texts(&[("root_directory", "/proc/others")])).await.is_err());
    }

    #[tokio::test]
    async fn a_name_without_an_address_and_the_port_of_the_pages_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let web = listener::ListenerState {
            state: listener::State::Listening,
            address: "127.0.0.1:8020".to_owned(),
            message: String::new(),
            since: Timestamp::default(),
            followed_version: 0,
        };
        listener::put(&db, Listener::Web, &web).await.unwrap();
        let refused = said(profile(&db, &texts(&[("passive_port_range", "7900-8020")])).await);
        assert!(refused[0].contains("7900-8020 holds port 8020, where the web interface answers"), "{refused:?}");
        profile(&db, &texts(&[("passive_port_range", "8022-8100"), ("passive_address", "localhost")])).await.unwrap();
        let refused = said(profile(&db, &texts(&[("passive_address", "nowhere.invalid")])).await);
        assert!(refused[0].contains("nowhere.invalid") && refused[0].contains("write the IPv4 address"), "{refused:?}");
    }
}
