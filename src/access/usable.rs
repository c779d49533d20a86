//! Checks that what a change names is usable, before it is stored: new folders are written to, a new host name is
//! looked up, and links are followed to where folders really lie. Unchanged values are not tried again, so that a disk
//! that is away keeps nobody from saving the rest.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::backup::PASSPHRASE;
use super::hosts;
use crate::domain::appliance::ApplianceSettings;
use crate::domain::connector::{Connector, ConnectorId, ConnectorSettings};
use crate::domain::folders::{Clash, Folders, Laid};
use crate::domain::profile::Profile;
use crate::domain::setting::{Mistake, Texts, Value, merged};
use crate::domain::value::{FolderText, HostOrAddress, ListenAddress, PortRange, TimeOfDay, Whole};
use crate::store::folders;
use crate::store::listener::{self, Listener};
use crate::store::open::{Db, StoreError};
use crate::store::profile;
use crate::store::secret;
use crate::store::setting::{self, SaveError, Scope};
use crate::store::settings_file::SettingsFile;
use crate::workspace::jail::STAGING;

/// The setting for the folder above connectors' folders.
const ROOT: &str = "root_directory";
/// The setting for the folder of backups.
const BACKUPS: &str = "backup_folder";
/// The setting that says when one is made every night.
const NIGHTLY: &str = "backup_at";
/// How the name of a file begins that tries a folder; chance goes on, so that it is nobody else's.
const TRIED: &str = "probe.waybill-";

/// Tries what `values` change in the FTP server's settings.
///
/// # Errors
/// Something is unusable; every other mistake in `values` is reported with it.
pub async fn profile(db: &Db, values: &Texts) -> Result<(), SaveError> {
    let stored = profile::load(db).await?.texts;
    let mistakes = of_profile(db, &stored, values).await?;
    told(mistakes, || Profile::parse(&merged(&stored, values)).err())
}

async fn of_profile(db: &Db, stored: &Texts, values: &Texts) -> Result<Vec<Mistake>, StoreError> {
    let mut mistakes = Vec::new();
    if let Some(root) = changed::<FolderText>(stored, values, (ROOT, Profile::SETTINGS)) {
        mistakes.extend(try_folders(vec![(ROOT.to_owned(), db.folder().join(root.as_str()))]).await?);
        let mut folders = folders::stored(db).await?;
        folders.set_root(root.as_str());
        mistakes.extend(behind_links(folders, |laid| laid.below_root().into_iter().collect()).await?);
    }
    let address = changed::<Option<HostOrAddress>>(stored, values, ("passive_address", Profile::SETTINGS));
    if let Some(Some(HostOrAddress::Host(host))) = address
        && let Err(why) = look_up(&host).await
    {
        mistakes.push(Mistake::new("passive_address", why));
    }
    if let Some(web) = web_address(db).await? {
        mistakes.extend(where_the_pages_are(stored, values, web));
    }
    Ok(mistakes)
}

/// Ports that `values` newly give the FTP server although the web interface answers there.
fn where_the_pages_are(stored: &Texts, values: &Texts, web: SocketAddr) -> Vec<Mistake> {
    let of = |key| (key, Profile::SETTINGS);
    let (mut mistakes, taken) = (Vec::new(), web.port());
    if let Some(Some(range)) = changed::<Option<PortRange>>(stored, values, of("passive_port_range"))
        && range.contains(taken)
    {
        let words = format!(
            "{} holds port {taken}, where the web interface answers; choose a range without it, such as 50000-50199",
            range.text()
        );
        mistakes.push(Mistake::new("passive_port_range", words));
    }
    let all = merged(stored, values);
    let Ok(listen) = ListenAddress::parse(text(&all, of("listen_address"))) else { return mistakes };
    let moved = changed::<ListenAddress>(stored, values, of("listen_address")).is_some();
    let meet = covers(listen.ip(), web.ip()) || covers(web.ip(), listen.ip());
    for key in ["port", "explicit_port"].into_iter().filter(|_| meet) {
        let new = changed::<Option<Whole<1, 65_535>>>(stored, values, of(key)).is_some();
        let port = Option::<Whole<1, 65_535>>::parse(text(&all, of(key))).ok().flatten().map(Whole::port);
        if (new || moved) && port == Some(taken) {
            let other = if key == "port" { "8021" } else { "990" };
            let words = format!("{taken} is where the web interface answers ({web}); choose another, such as {other}");
            mistakes.push(Mistake::new(key, words));
        }
    }
    mistakes
}

/// Whether who listens on `wide` hears what comes to `one`. Of IPv6, every address includes those of IPv4.
fn covers(wide: IpAddr, one: IpAddr) -> bool {
    wide == one || wide.is_unspecified() && (wide.is_ipv6() || one.is_ipv4())
}

/// Where the passphrase of backups is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passphrase {
    /// Stored, if there is one.
    Stored,
    /// In the same form; it is stored once the settings are.
    Typed,
}

/// Tries what `values` change in the appliance's settings.
///
/// # Errors
/// Something cannot be used; every other mistake of `values` is told with it.
pub async fn appliance(db: &Db, values: &Texts, passphrase: Passphrase) -> Result<(), SaveError> {
    let stored = profile::load_appliance(db).await?.texts;
    let mistakes = of_appliance(db, &stored, values, passphrase).await?;
    told(mistakes, || ApplianceSettings::parse(&merged(&stored, values)).err())
}

async fn of_appliance(
    db: &Db,
    stored: &Texts,
    values: &Texts,
    passphrase: Passphrase,
) -> Result<Vec<Mistake>, StoreError> {
    let mut mistakes = Vec::new();
    if let Some(backups) = changed::<FolderText>(stored, values, (BACKUPS, ApplianceSettings::SETTINGS)) {
        mistakes.extend(try_folders(vec![(BACKUPS.to_owned(), db.folder().join(backups.as_str()))]).await?);
        let mut folders = folders::stored(db).await?;
        folders.set_backups(backups.as_str());
        mistakes.extend(behind_links(folders, |laid| laid.of_backups().iter().map(Clash::mistake).collect()).await?);
    }
    let nightly = changed::<Option<TimeOfDay>>(stored, values, (NIGHTLY, ApplianceSettings::SETTINGS));
    if nightly.flatten().is_some() && passphrase == Passphrase::Stored && secret::get(db, PASSPHRASE).await?.is_none() {
        let words = "Backups need a passphrase first: set one in Settings, Backup, or with waybill backup passphrase \
                     --passphrase-stdin";
        mistakes.push(Mistake::new(NIGHTLY, words));
    }
    Ok(mistakes)
}

/// Tries the folders that `values` give a connector, new or not.
///
/// # Errors
/// One cannot be written to; every other mistake in `values` is reported with it.
pub async fn connector(db: &Db, id: &ConnectorId, values: &Texts) -> Result<(), SaveError> {
    let root = root(db, &profile::load(db).await?.texts);
    let (new, all) = new_folders(db, id, values).await?;
    let keys: Vec<_> = new.iter().map(|(key, _)| *key).collect();
    let mut found =
        try_folders(new.into_iter().map(|(key, folder)| (key.to_owned(), root.join(folder))).collect()).await?;
    if let Some(connector) = named(id, &all).filter(|_| !keys.is_empty()) {
        let mut folders = folders::stored(db).await?;
        folders.put(&connector);
        let of_new = move |laid: &Laid<'_>| {
            let clashes = laid.of_connector(connector.id.key());
            clashes.iter().filter(|clash| keys.contains(&clash.key)).map(Clash::mistake).collect()
        };
        found.extend(behind_links(folders, of_new).await?);
    }
    told(found, || ConnectorSettings::parse(&all).err())
}

/// Tries what a text of all settings changes; mistakes have their place, such as `profile.root_directory`. Other
/// mistakes are left to the import.
pub async fn settings_file(db: &Db, file: &SettingsFile) -> Result<Vec<Mistake>, StoreError> {
    let appliance = profile::load_appliance(db).await?.texts;
    let mut mistakes = placed("settings", of_appliance(db, &appliance, &file.settings, Passphrase::Stored).await?);
    let stored = profile::load(db).await?.texts;
    mistakes.extend(placed("profile", of_profile(db, &stored, &file.profile).await?));
    // Connectors lie below the root that the text gives.
    let profile = merged(&stored, &file.profile);
    let root = root(db, &profile);
    let (mut new, mut laid) = (Vec::new(), folders::stored(db).await?);
    laid.set_root(text(&profile, (ROOT, Profile::SETTINGS)));
    let mut moved = Vec::new();
    for (id, values) in &file.connectors {
        let Ok(parsed) = ConnectorId::parse(id) else { continue };
        let (folders, all) = new_folders(db, &parsed, values).await?;
        if let Some(connector) = named(&parsed, &all).filter(|_| !folders.is_empty()) {
            laid.put(&connector);
            moved.push((format!("connectors.{id}"), connector.id));
        }
        new.extend(folders.into_iter().map(|(key, folder)| (format!("connectors.{id}.{key}"), root.join(folder))));
    }
    mistakes.extend(try_folders(new).await?);
    if !moved.is_empty() {
        let of_moved = move |laid: &Laid<'_>| {
            let of = |(place, id): &(String, ConnectorId)| {
                placed(place, laid.of_connector(id.key()).iter().map(Clash::mistake).collect())
            };
            moved.iter().flat_map(of).collect()
        };
        mistakes.extend(behind_links(laid, of_moved).await?);
    }
    Ok(mistakes)
}

/// Mistakes with the place of their subject before their keys.
fn placed(place: &str, mistakes: Vec<Mistake>) -> Vec<Mistake> {
    mistakes.into_iter().map(|one| Mistake { key: format!("{place}.{}", one.key), ..one }).collect()
}

/// Mistakes that `look` finds only once links are followed. The save itself finds those in the written paths.
async fn behind_links(
    folders: Folders,
    look: impl Fn(&Laid<'_>) -> Vec<Mistake> + Send + 'static,
) -> Result<Vec<Mistake>, StoreError> {
    let looked = move || {
        let written = look(&folders.as_written());
        let mut found = look(&folders.laid(|path| real(Path::new(path)).to_string_lossy().into_owned()));
        found.retain(|one| written.iter().all(|other| other.key != one.key));
        found
    };
    tokio::task::spawn_blocking(looked).await.map_err(|error| StoreError::Unreadable(error.to_string()))
}

/// Where a path really leads, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let there = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    there.map_or_else(
        || path.to_owned(),
        |(above, real)| match path.strip_prefix(above) {
            Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
            _ => real,
        },
    )
}

fn root(db: &Db, profile: &Texts) -> PathBuf {
    db.folder().join(text(profile, (ROOT, Profile::SETTINGS)))
}

/// The folders that `values` newly give a connector, and all its settings then.
async fn new_folders(
    db: &Db,
    id: &ConnectorId,
    values: &Texts,
) -> Result<(Vec<(&'static str, String)>, Texts), StoreError> {
    let stored = setting::load(db, Scope::Connector(id.key())).await?;
    let before = if stored.version == 0 { Vec::new() } else { folders_of(id, &stored.texts) };
    let all = merged(&stored.texts, values);
    let new = folders_of(id, &all).into_iter().filter(|folder| !before.contains(folder)).collect();
    Ok((new, all))
}

/// The mistakes found here after those that the save itself would find.
fn told(found: Vec<Mistake>, others: impl FnOnce() -> Option<Vec<Mistake>>) -> Result<(), SaveError> {
    if found.is_empty() {
        return Ok(());
    }
    Err(SaveError::Mistakes(others().into_iter().flatten().chain(found).collect()))
}

/// Which setting, of which table.
type Of = (&'static str, &'static [crate::domain::setting::Setting]);

fn text(texts: &Texts, (key, table): Of) -> &str {
    let default = || table.iter().find(|setting| setting.key == key).map_or("", |setting| setting.default);
    texts.get(key).map_or_else(default, String::as_str)
}

/// The value of a setting, if it differs from the stored one and is valid.
fn changed<T: Value>(stored: &Texts, values: &Texts, of: Of) -> Option<T> {
    let new = T::parse(values.get(of.0)?).ok()?;
    let same = T::parse(text(stored, of)).is_ok_and(|old| old.text() == new.text());
    (!same).then_some(new)
}

/// A connector with just the settings that name its folders, if they are valid.
fn named(id: &ConnectorId, texts: &Texts) -> Option<Connector> {
    const NAMED_BY: [&str; 6] =
        ["type", "input_folder", "output_folder", "folder", "save_to_sent_folder", "log_messages"];
    let named = texts.iter().filter(|(key, _)| NAMED_BY.contains(&key.as_str()));
    let settings = ConnectorSettings::read(&named.map(|(key, text)| (key.clone(), text.clone())).collect());
    settings.ok().map(|settings| Connector { id: id.clone(), version: 0, settings })
}

fn folders_of(id: &ConnectorId, texts: &Texts) -> Vec<(&'static str, String)> {
    named(id, texts).map(|connector| connector.folders()).unwrap_or_default()
}

/// Tries folders away from the threads that serve requests, since a disk may be slow. Many of them may start from one
/// place: each place is tried once.
async fn try_folders(folders: Vec<(String, PathBuf)>) -> Result<Vec<Mistake>, StoreError> {
    let all = move || {
        let mut places = HashMap::new();
        let tried =
            folders.iter().filter_map(|(key, folder)| Some(Mistake::new(key, try_folder(folder, &mut places).err()?)));
        tried.collect()
    };
    tokio::task::spawn_blocking(all).await.map_err(|error| StoreError::Unreadable(error.to_string()))
}

/// Whether files can be made, synced, renamed and removed in `folder`, or, if it does not exist yet, where it would be
/// made. Leaves nothing behind.
fn try_folder(folder: &Path, places: &mut HashMap<PathBuf, Result<(), String>>) -> Result<(), String> {
    // A partner would see the trial: this is in a folder in use, which the save refuses.
    if folder.ancestors().skip(1).any(|above| above.join(STAGING).is_dir()) {
        return Ok(());
    }
    let shown = folder.display();
    let Some(place) = folder.ancestors().find(|at| at.symlink_metadata().is_ok()) else { return Ok(()) };
    let at = place.display();
    if !place.metadata().is_ok_and(|found| found.is_dir()) {
        return Err(format!("{shown} cannot be a folder: {at} is a file or leads nowhere; choose another"));
    }
    // Nobody sees the contents of the staging folder of one that is in use.
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

/// The error says what failed. It touches nothing but its own file.
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

/// Where the web interface answers, if it runs.
async fn web_address(db: &Db) -> Result<Option<SocketAddr>, StoreError> {
    Ok(listener::get(db, Listener::Web).await?.address.parse().ok())
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
        let refused = async |values| said(appliance(&db, &texts(values), Passphrase::Stored).await);
        let away = refused(&[("backup_folder", "/proc/backups"), ("backup_keep", "0")]).await;
        assert!(away[0].starts_with("backup_keep: "), "{away:?}");
        let words = "backup_folder: /proc/backups cannot be used: in /proc a file could not be made";
        assert!(away[1].starts_with(words), "{away:?}");
        let file = refused(&[("backup_folder", "taken")]).await;
        assert!(file[0].contains("is a file or leads nowhere; choose another"), "{file:?}");
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
        // Within a folder in use a partner would see it: nothing is tried, and so nothing found.
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
    async fn links_are_followed_to_where_folders_really_lie() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = crate::base::id::IdSource::random(Clock::System);
        let change = setting::Change { who: "test", remote: "", at: Timestamp::default(), ids: &ids };
        let (acme, globex) = (ConnectorId::parse("acme").unwrap(), ConnectorId::parse("globex").unwrap());
        crate::store::connector::add(&db, &acme, &Texts::new(), None, &change).await.unwrap();
        let root = folder.path().join("partners");
        for made in ["partners/acme/Send", "keys", "away"] {
            std::fs::create_dir_all(folder.path().join(made)).unwrap();
        }
        symlink(root.join("acme/Send"), root.join("link")).unwrap();
        symlink(folder.path().join("keys"), folder.path().join("way")).unwrap();
        for (name, leads) in [("partners/link", "acme/Send"), ("way", "keys")] {
            let name = db.folder().join(name);
            let refused = said(connector(&db, &globex, &texts(&[("input_folder", name.to_str().unwrap())])).await);
            assert!(refused[0].starts_with("input_folder: ") && refused[0].contains(leads), "{refused:?}");
        }
        symlink(&root, folder.path().join("round")).unwrap();
        let refused = said(appliance(&db, &texts(&[("backup_folder", "round/acme")]), Passphrase::Stored).await);
        assert!(refused[0].starts_with("backup_folder: "), "{refused:?}");
        let refused = said(profile(&db, &texts(&[("root_directory", "way")])).await);
        assert!(refused[0].starts_with("root_directory: way is, holds or lies in "), "{refused:?}");
        // In a text of all settings each has its place.
        let text = "[settings]\nbackup_folder = \"round\"\n[connectors.globex]\noutput_folder = \"link/in\"\n";
        let found = settings_file(&db, &SettingsFile::parse(text).unwrap()).await.unwrap();
        let places: Vec<_> = found.iter().map(|one| one.key.as_str()).collect();
        assert_eq!(places, ["settings.backup_folder", "connectors.globex.output_folder"]);
        // A root that is itself a link is fine.
        symlink(folder.path().join("away"), folder.path().join("linked")).unwrap();
        profile(&db, &texts(&[("root_directory", "linked")])).await.unwrap();
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
        for (key, address) in [("port", "::"), ("port", "0.0.0.0"), ("port", "127.0.0.1"), ("explicit_port", "::")] {
            let values = texts(&[(key, "8020"), ("listen_address", address), ("ftp_over_tls", "implicit")]);
            let refused = said(profile(&db, &values).await);
            let words = format!("{key}: 8020 is where the web interface answers (127.0.0.1:8020); choose another");
            assert!(refused.len() == 1 && refused[0].starts_with(&words), "{refused:?}");
        }
        for elsewhere in ["::1", "192.0.2.1"] {
            profile(&db, &texts(&[("port", "8020"), ("listen_address", elsewhere)])).await.unwrap();
        }
        let refused = said(profile(&db, &texts(&[("passive_address", "nowhere.invalid")])).await);
        assert!(refused[0].contains("nowhere.invalid") && refused[0].contains("write the IPv4 address"), "{refused:?}");
    }

    #[tokio::test]
    async fn backups_at_night_are_refused_until_there_is_a_passphrase() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = crate::base::id::IdSource::random(Clock::System);
        let change = setting::Change { who: "test", remote: "", at: Timestamp::default(), ids: &ids };
        let tried = async |values: &Texts| appliance(&db, values, Passphrase::Stored).await;
        let nightly = texts(&[("backup_at", "02:30")]);
        let refused = said(tried(&nightly).await);
        assert!(refused[0].starts_with("backup_at: Backups need a passphrase first"), "{refused:?}");
        let file = SettingsFile::parse("[settings]\nbackup_at = \"02:30\"\n").unwrap();
        assert_eq!(settings_file(&db, &file).await.unwrap()[0].key, "settings.backup_at");
        tried(&texts(&[("backup_at", "")])).await.unwrap();
        appliance(&db, &nightly, Passphrase::Typed).await.unwrap();
        // One that was saved before keeps nobody from saving the rest.
        profile::save_appliance(&db, &nightly, None, &change).await.unwrap();
        tried(&texts(&[("backup_at", "2:30"), ("time_zone", "Europe/Berlin")])).await.unwrap();
        secret::put(&db, PASSPHRASE, b"sealed", "backups", &change).await.unwrap();
        tried(&texts(&[("backup_at", "03:30")])).await.unwrap();
    }
}
