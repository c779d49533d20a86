//! Imports settings from a file: all or nothing, or as a dry run. It never removes anything.

use std::collections::BTreeMap;

use sqlx::{Row, Sqlite, Transaction};

use super::audit::{self, Entered};
use super::connector::{Edit, Reached};
use super::open::Db;
use super::setting::{self, Change, SaveError, Scope, audit_id};
use super::settings_file::SettingsFile;
use super::{arrow, connector, folders, import_parts, profile};
use crate::domain::connector::ConnectorId;
use crate::domain::flow;
use crate::domain::folders::Clash;
use crate::domain::setting::{Mistake, Texts};

const KNOWN: &str = "SELECT id FROM connectors";

/// Whether to import, or only try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything is done.
    Do,
    /// Nothing is kept; the changes are reported all the same.
    Try,
}

/// The mistakes in a connector's programs, from its stored and its imported settings.
pub type Check<'a> = dyn Fn(&Texts, &Texts) -> Vec<Mistake> + Send + Sync + 'a;

/// Checks of what is imported.
#[derive(Clone, Copy)]
pub struct Checks<'a> {
    /// Of connectors.
    pub connector: &'a Check<'a>,
    /// Of actions.
    pub action: &'a Check<'a>,
}

/// Imports `file`; returns what changed, or would change, in the words of the audit.
///
/// # Errors
/// Every mistake with its place, such as `profile.port`; or the database failed. Nothing is changed then.
pub async fn import(
    db: &Db,
    file: &SettingsFile,
    (mode, checks): (Mode, &Checks<'_>),
    change: &Change<'_>,
) -> Result<Vec<Entered>, SaveError> {
    let mut tx = db.begin().await?;
    let first = audit_id(change);
    let mut mistakes = Vec::new();
    let mut moved = Moved::default();
    if !file.settings.is_empty() {
        let saved = profile::save_appliance_in(&mut tx, &file.settings, None, change).await;
        moved.backups = collect(saved, "settings", &mut mistakes)? == Some(true);
    }
    if !file.profile.is_empty() {
        let saved = profile::save_in(&mut tx, (&file.profile, None), change).await;
        moved.root = collect(saved, "profile", &mut mistakes)? == Some(true);
    }
    moved.connectors = connectors(&mut tx, (file, checks.connector), change, &mut mistakes).await?;
    moved.check(&mut tx, db, &mut mistakes).await?;
    if mistakes.is_empty() {
        flows(&mut tx, file, change, &mut mistakes).await?;
        import_parts::import(&mut tx, (file, checks.action), change, &mut mistakes).await?;
    }
    if !mistakes.is_empty() {
        return Err(SaveError::Mistakes(mistakes));
    }
    let mut changes = audit::since(&mut tx, first.as_str()).await?;
    // Another process may have made an id within the same millisecond.
    changes.retain(|one| one.at == change.at && one.who == change.who);
    if mode == Mode::Do {
        tx.commit().await?;
    }
    Ok(changes)
}

fn refused(mistakes: Vec<Mistake>) -> Result<(), SaveError> {
    if mistakes.is_empty() { Ok(()) } else { Err(SaveError::Mistakes(mistakes)) }
}

/// The outcome of one part; mistakes are collected, other errors end the import.
fn collect<T>(saved: Result<T, SaveError>, place: &str, mistakes: &mut Vec<Mistake>) -> Result<Option<T>, SaveError> {
    match saved {
        Ok(done) => Ok(Some(done)),
        Err(SaveError::Mistakes(more)) => {
            mistakes.extend(more.into_iter().map(|one| at(place, one)));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn at(place: &str, one: Mistake) -> Mistake {
    Mistake { key: format!("{place}.{}", one.key), message: one.message }
}

/// What may have a new place. It is checked once, when everything is in its place.
#[derive(Default)]
struct Moved {
    backups: bool,
    root: bool,
    /// Connectors by their place in the file.
    connectors: BTreeMap<String, ConnectorId>,
}

impl Moved {
    async fn check(
        self,
        tx: &mut Transaction<'_, Sqlite>,
        db: &Db,
        mistakes: &mut Vec<Mistake>,
    ) -> Result<(), SaveError> {
        let folders = folders::read(tx, db.folder()).await?;
        let laid = folders.as_written();
        if self.backups {
            mistakes.extend(laid.of_backups().map(|clash| at("settings", clash.mistake())));
        }
        let before = mistakes.len();
        for (place, id) in &self.connectors {
            mistakes.extend(laid.of_connector(id.key()).iter().map(Clash::mistake).map(|one| at(place, one)));
        }
        // A mistake in a connector of the file is reported there.
        if self.root && mistakes.len() == before {
            mistakes.extend(laid.below_root().map(|mistake| at("profile", mistake)));
        }
        Ok(())
    }
}

/// Adds and saves the connectors of the file. Returns those whose folders may have moved.
async fn connectors(
    tx: &mut Transaction<'_, Sqlite>,
    (file, programs): (&SettingsFile, &Check<'_>),
    change: &Change<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Result<BTreeMap<String, ConnectorId>, SaveError> {
    let mut moved = BTreeMap::new();
    let mut known = BTreeMap::new();
    for row in sqlx::query(KNOWN).fetch_all(&mut **tx).await? {
        let id: String = row.try_get(0)?;
        known.insert(id.to_ascii_lowercase(), id);
    }
    for (id, values) in &file.connectors {
        let place = format!("connectors.{id}");
        let there = known.get(&id.to_ascii_lowercase()).unwrap_or(id);
        let id = match ConnectorId::parse(there) {
            Ok(id) => id,
            Err(message) => {
                mistakes.push(Mistake { key: place, message });
                continue;
            }
        };
        let stored = setting::read(&mut *tx, Scope::Connector(id.key())).await?;
        collect(refused(programs(&stored.texts, values)), &place, mistakes)?;
        let saved = if known.contains_key(id.key()) {
            let edit = Edit { values: values.clone(), ..Edit::default() };
            connector::save_in(tx, (&id, &edit), change).await
        } else {
            connector::add_in(tx, (&id, values, None), change).await.map(|()| Reached::Folders)
        };
        if collect(saved, &place, mistakes)? == Some(Reached::Folders) {
            moved.insert(place, id);
        }
    }
    Ok(moved)
}

/// Draws the missing arrows.
async fn flows(
    tx: &mut Transaction<'_, Sqlite>,
    file: &SettingsFile,
    change: &Change<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Result<(), SaveError> {
    let there = arrow::read(tx).await?.arrows;
    for one in &file.flows {
        let (from, to) = (one.from.to_ascii_lowercase(), one.to.to_ascii_lowercase());
        if there.contains(&flow::Arrow { from, to, on_error: one.on_error }) {
            continue;
        }
        let drawn = arrow::connect_in(tx, (&one.from, &one.to), (one.on_error, flow::Map::fits), change).await;
        collect(drawn, &format!("flows.{}", one.from), mistakes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, Timestamp};
    use crate::base::id::IdSource;

    async fn opened() -> (tempfile::TempDir, Db, IdSource) {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        (folder, db, IdSource::random(Clock::System))
    }

    fn change(ids: &IdSource) -> Change<'_> {
        Change { who: "test", remote: "", at: Timestamp::from_us(1), ids }
    }

    /// No connector names a program.
    fn none(_: &Texts, _: &Texts) -> Vec<Mistake> {
        Vec::new()
    }

    const FINE: Checks<'_> = Checks { connector: &none, action: &none };

    const FILE: &str = "[settings]\ntime_zone = \"Europe/Berlin\"\n[profile]\nport = \"2121\"\n\
        [connectors.\"Acme.EDI\"]\ndescription = \"Ghent\"\n[connectors.archive]\ntype = \"folder\"\n\
        [[flows]]\nfrom = \"acme.edi\"\nto = \"archive\"\n";

    #[tokio::test]
    async fn what_was_exported_is_the_same_on_another_appliance_and_changes_nothing_on_its_own() {
        let (_one, db, ids) = opened().await;
        let file = SettingsFile::parse(FILE).unwrap();
        let tried = import(&db, &file, (Mode::Try, &FINE), &change(&ids)).await.unwrap();
        assert!(connector::all(&db).await.unwrap().is_empty(), "a try was kept");
        let done = import(&db, &file, (Mode::Do, &FINE), &change(&ids)).await.unwrap();
        let told = |changes: &[Entered]| -> Vec<String> {
            changes.iter().map(|one| format!("{} {}: {} -> {}", one.subject, one.key, one.before, one.after)).collect()
        };
        assert_eq!(told(&tried), told(&done));
        assert_eq!(
            told(&done),
            [
                "settings time_zone: UTC -> Europe/Berlin",
                "profile port: 8021 -> 2121",
                "connector Acme.EDI added:  -> Acme.EDI",
                "connector Acme.EDI description:  -> Ghent",
                "connector archive added:  -> archive",
                "connector archive type: ftp_server -> folder",
                "connector Acme.EDI passes along to:  -> archive",
            ]
        );
        let exported = SettingsFile::read(&db).await.unwrap();
        assert!(
            import(&db, &exported, (Mode::Do, &FINE), &change(&ids)).await.unwrap().is_empty(),
            "it differs from itself"
        );

        let (_two, other, ids) = opened().await;
        import(&other, &SettingsFile::parse(&exported.text()).unwrap(), (Mode::Do, &FINE), &change(&ids))
            .await
            .unwrap();
        assert_eq!(SettingsFile::read(&other).await.unwrap(), exported);
    }

    #[tokio::test]
    async fn every_mistake_is_told_with_its_place_and_nothing_is_changed() {
        let (_folder, db, ids) = opened().await;
        let text = "[settings]\ntime_zone = \"Mars/Base\"\n[profile]\nport = \"2121\"\nprot = \"1\"\n\
            [connectors.\"../up\"]\n[connectors.acme]\ntimeout_s = \"0\"\n[connectors.fine]\n";
        let refused = import(&db, &SettingsFile::parse(text).unwrap(), (Mode::Do, &FINE), &change(&ids)).await;
        let Err(SaveError::Mistakes(mistakes)) = refused else { panic!("{refused:?}") };
        let places: Vec<_> = mistakes.iter().map(|one| one.key.as_str()).collect();
        assert_eq!(places, ["settings.time_zone", "profile.prot", "connectors.../up", "connectors.acme.timeout_s"]);
        let command = SettingsFile::parse("[connectors.scan]\ntype = \"folder\"\n").unwrap();
        let says_no = |stored: &Texts, values: &Texts| vec![Mistake::new("program", format!("{stored:?} {values:?}"))];
        let refused = import(&db, &command, (Mode::Do, &Checks { connector: &says_no, ..FINE }), &change(&ids))
            .await
            .unwrap_err();
        assert_eq!(refused.to_string(), "connectors.scan.program: {} {\"type\": \"folder\"}");
        let loop_of_one = "[connectors.a]\ntype = \"folder\"\n[[flows]]\nfrom = \"a\"\nto = \"a\"\n";
        let refused = import(&db, &SettingsFile::parse(loop_of_one).unwrap(), (Mode::Do, &FINE), &change(&ids)).await;
        assert!(matches!(refused, Err(SaveError::Mistakes(_))), "{refused:?}");
        assert!(connector::all(&db).await.unwrap().is_empty());
        assert_eq!(profile::load(&db).await.unwrap().version, 0);
    }

    #[tokio::test]
    async fn what_was_switched_off_since_it_was_drawn_is_read_in_with_its_arrow() {
        let (_folder, db, ids) = opened().await;
        let text = "[connectors.acme]\n[connectors.archive]\ntype = \"folder\"\nenabled = \"off\"\n\
            [[flows]]\nfrom = \"acme\"\nto = \"archive\"\n";
        import(&db, &SettingsFile::parse(text).unwrap(), (Mode::Do, &FINE), &change(&ids)).await.unwrap();
        assert_eq!(arrow::map(&db).await.unwrap().arrows.len(), 1);
        let off = Texts::from([("enabled".to_owned(), "off".to_owned())]);
        connector::add(&db, &ConnectorId::parse("other").unwrap(), &off, None, &change(&ids)).await.unwrap();
        let refused = arrow::connect(&db, ("acme", "other"), false, &change(&ids)).await.unwrap_err();
        assert!(refused.to_string().contains("other is disabled"), "{refused}");
    }

    #[tokio::test]
    async fn an_error_arrow_that_was_left_alone_is_exported_and_read_in() {
        let (_one, db, ids) = opened().await;
        let text = "[connectors.acme]\n[connectors.dead]\ntype = \"folder\"\n[connectors.gone]\ntype = \"folder\"\n\
            [connectors.saved]\ntype = \"folder\"\n";
        import(&db, &SettingsFile::parse(text).unwrap(), (Mode::Do, &FINE), &change(&ids)).await.unwrap();
        arrow::connect(&db, ("acme", "dead"), false, &change(&ids)).await.unwrap();
        arrow::connect(&db, ("acme", "saved"), true, &change(&ids)).await.unwrap();
        arrow::disconnect(&db, "acme", "dead", &change(&ids)).await.unwrap().unwrap();
        let exported = SettingsFile::read(&db).await.unwrap();
        let (_two, other, ids) = opened().await;
        let text = exported.text();
        import(&other, &SettingsFile::parse(&text).unwrap(), (Mode::Do, &FINE), &change(&ids)).await.unwrap();
        assert_eq!(SettingsFile::read(&other).await.unwrap(), exported);
        let refused = arrow::connect(&other, ("acme", "gone"), true, &change(&ids)).await.unwrap_err();
        assert!(refused.to_string().contains("acme passes files along to nobody yet"), "{refused}");
    }

    #[tokio::test]
    async fn folders_are_looked_at_once_everything_is_where_the_file_wants_it() {
        let (_folder, db, ids) = opened().await;
        let read = async |text: &str| {
            let done = import(&db, &SettingsFile::parse(text).unwrap(), (Mode::Do, &FINE), &change(&ids)).await;
            done.map(|_| ()).map_err(|error| error.to_string())
        };
        read("[connectors.a]\ninput_folder = \"/srv/a\"\n[connectors.b]\ninput_folder = \"/srv/b\"\n").await.unwrap();
        let change_places = "[connectors.a]\ninput_folder = \"/srv/b\"\n[connectors.b]\ninput_folder = \"/srv/a\"\n";
        read(change_places).await.unwrap();
        let wrong =
            read("[settings]\nbackup_folder = \"/srv/a/old\"\n[connectors.c]\ninput_folder = \"/srv/b\"\n").await;
        let wrong = wrong.unwrap_err();
        assert!(
            wrong.contains("settings.backup_folder: /srv/a/old is, holds or lies in /srv/a, a folder of b"),
            "{wrong}"
        );
        assert!(
            wrong.contains("connectors.c.input_folder: /srv/b is, holds or lies in /srv/b, a folder of a"),
            "{wrong}"
        );
        read("[connectors.srv]\ninput_folder = \"/data/a/Receive\"\n").await.unwrap();
        let wrong = read("[profile]\nroot_directory = \"/data\"\n").await.unwrap_err();
        assert!(wrong.starts_with("profile.root_directory: With it a/"), "{wrong}");
    }
}
