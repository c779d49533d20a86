//! The SLAs, actions and event targets in a file of settings. Each is recognised by its id; one without an id is the
//! same as one with the same contents. Files contain no secrets: a signing part gets a new one where it is added.

use sqlx::{Sqlite, Transaction};

use super::import::Check;
use super::open::StoreError;
use super::setting::{Change, SaveError};
use super::settings_file::{Part, SettingsFile};
use super::{action, arrow, event_target, sla};
use crate::base::id::EventId;
use crate::domain::action::ActionSettings;
use crate::domain::connector::ConnectorId;
use crate::domain::event_target::EventTargetSettings;
use crate::domain::flow::Map;
use crate::domain::setting::{Mistake, Setting, Texts};
use crate::domain::sla::SlaSettings;
use crate::domain::value::ConnectorType;

/// The kind of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An SLA of a connector.
    Sla,
    /// An action of a connector.
    Action,
    /// An event target.
    EventTarget,
}

/// One as stored.
struct Row {
    id: String,
    connector_key: String,
    texts: Texts,
}

impl Kind {
    /// All of them, in the order of a file.
    pub const ALL: [Self; 3] = [Self::Sla, Self::Action, Self::EventTarget];

    /// The name of their tables in a file.
    pub const fn place(self) -> &'static str {
        match self {
            Self::Sla => "slas",
            Self::Action => "actions",
            Self::EventTarget => "event_targets",
        }
    }

    /// Their settings, in the order of the pages.
    pub const fn table(self) -> &'static [Setting] {
        match self {
            Self::Sla => SlaSettings::SETTINGS,
            Self::Action => ActionSettings::SETTINGS,
            Self::EventTarget => EventTargetSettings::SETTINGS,
        }
    }

    /// Those in a file.
    pub fn of(self, file: &SettingsFile) -> &[Part] {
        match self {
            Self::Sla => &file.slas,
            Self::Action => &file.actions,
            Self::EventTarget => &file.event_targets,
        }
    }

    /// Whether each belongs to a connector.
    const fn is_owned(self) -> bool {
        !matches!(self, Self::EventTarget)
    }

    /// The most there can be, per connector if each belongs to one.
    const fn most(self) -> i64 {
        match self {
            Self::Sla => sla::SLAS_MAX,
            Self::Action => action::ACTIONS_MAX,
            Self::EventTarget => event_target::TARGETS_MAX,
        }
    }

    /// All its settings as they will be stored.
    fn parse(self, texts: &Texts) -> Result<Texts, Vec<Mistake>> {
        match self {
            Self::Sla => SlaSettings::parse(texts).map(|(settings, _)| settings.texts()),
            Self::Action => ActionSettings::parse(texts).map(|settings| settings.texts()),
            Self::EventTarget => EventTargetSettings::parse(texts).map(|settings| settings.texts()),
        }
    }

    async fn rows(self, tx: &mut Transaction<'_, Sqlite>) -> Result<Vec<Row>, SaveError> {
        let row = |(id, connector_key, texts): (String, String, Texts)| Row { id, connector_key, texts };
        Ok(match self {
            Self::Sla => {
                let all = sla::all_in(tx).await?;
                all.into_iter().map(|one| row((one.id, one.connector_key, one.texts))).collect()
            }
            Self::Action => {
                let all = action::all_in(tx).await?;
                all.into_iter().map(|one| row((one.id, one.connector_key, one.texts))).collect()
            }
            Self::EventTarget => {
                let all = event_target::all_in(tx).await?;
                all.into_iter().map(|one| row((one.id, String::new(), one.texts))).collect()
            }
        })
    }

    async fn put(
        self,
        tx: &mut Transaction<'_, Sqlite>,
        row: Row,
        map: &Map,
        change: &Change<'_>,
    ) -> Result<(), SaveError> {
        let Row { id, connector_key, texts } = row;
        let owner = || ConnectorId::parse(&map.written(&connector_key)).map_err(StoreError::Unreadable);
        match self {
            Self::Sla => sla::put_in(tx, (&id, None), &owner()?, &texts, change).await,
            Self::Action => {
                let owner = owner()?;
                let stored = action::StoredAction { id, connector_key, texts, version: 0 };
                action::put_in(tx, &stored, &owner, change).await
            }
            Self::EventTarget => {
                event_target::put_in(tx, &event_target::StoredTarget { id, texts, version: 0 }, change).await
            }
        }
    }
}

/// Imports the SLAs, actions and event targets of a file. `check` finds mistakes in an action's program.
pub(super) async fn import(
    tx: &mut Transaction<'_, Sqlite>,
    (file, check): (&SettingsFile, &Check<'_>),
    change: &Change<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Result<(), SaveError> {
    let map = arrow::read(tx).await?;
    for kind in Kind::ALL {
        for (number, part) in (1..).zip(kind.of(file)) {
            let place = format!("{}.{number}", kind.place());
            match prepare(tx, kind, (part, &map, check), change).await? {
                Err(wrong) => mistakes.extend(
                    wrong.into_iter().map(|one| Mistake { key: format!("{place}.{}", one.key), message: one.message }),
                ),
                Ok(Some(row)) => kind.put(tx, row, &map, change).await?,
                // Nothing changes.
                Ok(None) => {}
            }
        }
    }
    Ok(())
}

/// What to store for a part; nothing if it is stored already.
async fn prepare(
    tx: &mut Transaction<'_, Sqlite>,
    kind: Kind,
    (part, map, check): (&Part, &Map, &Check<'_>),
    change: &Change<'_>,
) -> Result<Result<Option<Row>, Vec<Mistake>>, SaveError> {
    let wrong = |key: &str, words: String| Ok(Err(vec![Mistake::new(key, words)]));
    let connector_key = match owner(kind, part, map) {
        Ok(key) => key,
        Err(words) => return wrong("connector", words),
    };
    let rows = kind.rows(tx).await?;
    let given = match kind.parse(&part.texts) {
        // The other settings of an existing one stay.
        Ok(texts) => Some(texts),
        Err(mistakes) if part.id.is_empty() => return Ok(Err(mistakes)),
        Err(_) => None,
    };
    let same =
        |row: &&Row| row.connector_key == connector_key && given.is_some() && kind.parse(&row.texts).ok() == given;
    let there = if part.id.is_empty() { rows.iter().find(same) } else { rows.iter().find(|row| row.id == part.id) };
    if there.is_some_and(|row| row.connector_key != connector_key) {
        return wrong("id", format!("{} is another connector’s; leave the id out for a new one", part.id));
    }
    let mut texts = there.map(|row| row.texts.clone()).unwrap_or_default();
    let stored = texts.clone();
    texts.extend(part.texts.clone());
    let texts = match kind.parse(&texts) {
        Ok(parsed) => parsed,
        Err(mistakes) => return Ok(Err(mistakes)),
    };
    if there.is_some() && kind.parse(&stored).is_ok_and(|before| before == texts) {
        return Ok(Ok(None));
    }
    if kind == Kind::Action {
        let mistakes = check(&stored, &texts);
        if !mistakes.is_empty() {
            return Ok(Err(mistakes));
        }
    }
    let beside = rows.iter().filter(|row| row.connector_key == connector_key).count();
    let is_full = i64::try_from(beside).is_ok_and(|beside| beside >= kind.most());
    let id = match there {
        Some(row) => row.id.clone(),
        None if is_full => {
            return wrong("id", format!("There are {} already, the most there can be", kind.most()));
        }
        None if part.id.is_empty() => EventId::new(change.ids).to_string(),
        None if EventId::parse(&part.id).is_some() => part.id.clone(),
        None => return wrong("id", format!("{:?} is no id as an export has it; leave it out for a new one", part.id)),
    };
    Ok(Ok(Some(Row { id, connector_key, texts })))
}

/// Its owner: the connector's id in lower case; or the mistake in its name.
fn owner(kind: Kind, part: &Part, map: &Map) -> Result<String, String> {
    let key = part.connector.to_ascii_lowercase();
    match (kind.is_owned(), map.nodes.get(&key)) {
        (false, _) if part.connector.is_empty() => Ok(key),
        (false, _) => Err("An event target is no connector’s; leave it out".to_owned()),
        (true, Some(node)) if node.kind == ConnectorType::FtpServer => Ok(key),
        (true, Some(node)) => Err(format!("{} is a {}; only partners have them", node.id, node.kind.label())),
        (true, None) if part.connector.is_empty() => Err("It needs the connector whose it is".to_owned()),
        (true, None) => Err(format!("There is no connector {}", part.connector)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, Timestamp};
    use crate::base::id::IdSource;
    use crate::store::Db;
    use crate::store::import::{Checks, Mode, import};

    fn none(_: &Texts, _: &Texts) -> Vec<Mistake> {
        Vec::new()
    }

    const FILE: &str = "[connectors.acme]\n[connectors.archive]\ntype = \"folder\"\n\
        [[slas]]\nconnector = \"ACME\"\nat_least = \"2\"\n\
        [[actions]]\nconnector = \"acme\"\nkind = \"mail\"\nmail_to = \"a@b\"\n\
        [[event_targets]]\nurl = \"https://siem.example.com/\"\n";

    #[tokio::test]
    async fn slas_actions_and_event_targets_come_along_and_are_known_again() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let ids = IdSource::random(Clock::System);
        let change = Change { who: "test", remote: "", at: Timestamp::from_us(1), ids: &ids };
        let checks = Checks { connector: &none, action: &none };
        let db = Db::open(folders[0].path()).await.unwrap();
        let read = async |db: &Db, text: &str| {
            let file = SettingsFile::parse(text).unwrap();
            let done = import(db, &file, (Mode::Do, &checks), &change).await.unwrap();
            done.iter().map(|one| format!("{} {}: {}", one.subject, one.key, one.after)).collect::<Vec<_>>()
        };
        let done = read(&db, FILE).await;
        let parts = [
            "connector acme SLA: At least 2 files received by 09:00, Mon–Fri, UTC",
            "connector acme SLA at_least: 2",
            "connector acme action: After a file is received: mail to a@b",
            "connector acme action kind: mail",
            "connector acme action mail_to: a@b",
        ];
        let first = done.iter().position(|one| one == parts[0]).unwrap_or_default();
        assert_eq!(done[first..first + parts.len()], parts);
        assert!(read(&db, FILE).await.is_empty(), "without an id it is the same as one that says the same");
        let exported = SettingsFile::read(&db).await.unwrap();
        assert_eq!((exported.slas.len(), exported.actions.len(), exported.event_targets.len()), (1, 1, 1));
        assert_eq!(exported.slas[0].connector, "acme");
        assert!(read(&db, &exported.text()).await.is_empty(), "it differs from itself");
        let changed = exported.text().replace("mail_to = \"a@b\"", "mail_to = \"c@d\"");
        let told = ["action: After a file is received: mail to c@d", "action mail_to: c@d"];
        assert_eq!(read(&db, &changed).await, told.map(|one| format!("connector acme {one}")));
        assert_eq!(SettingsFile::read(&db).await.unwrap().actions.len(), 1, "its id says which it is");
        let other = Db::open(folders[1].path()).await.unwrap();
        read(&other, &exported.text()).await;
        assert_eq!(SettingsFile::read(&other).await.unwrap(), exported);
    }

    #[tokio::test]
    async fn what_cannot_be_is_told_with_its_place_and_nothing_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::random(Clock::System);
        let change = Change { who: "test", remote: "", at: Timestamp::from_us(1), ids: &ids };
        let says_no = |_: &Texts, _: &Texts| vec![Mistake::new("program", "gone".to_owned())];
        let checks = Checks { connector: &none, action: &says_no };
        let text = "[connectors.acme]\n[connectors.archive]\ntype = \"folder\"\n\
            [[slas]]\nconnector = \"nobody\"\n[[slas]]\nconnector = \"archive\"\n[[slas]]\nconnector = \"acme\"\nat_least = \"0\"\n\
            [[actions]]\nconnector = \"acme\"\nkind = \"mail\"\nmail_to = \"a@b\"\n\
            [[event_targets]]\nid = \"../x\"\nurl = \"https://a.example/\"\n[[event_targets]]\nconnector = \"acme\"\n";
        let file = SettingsFile::parse(text).unwrap();
        let Err(SaveError::Mistakes(mistakes)) = import(&db, &file, (Mode::Do, &checks), &change).await else {
            panic!("it is refused")
        };
        let places: Vec<_> = mistakes.iter().map(|one| one.key.as_str()).collect();
        let expected = [
            "slas.1.connector",
            "slas.2.connector",
            "slas.3.at_least",
            "actions.1.program",
            "event_targets.1.id",
            "event_targets.2.connector",
        ];
        assert_eq!(places, expected);
        assert!(sla::all(&db).await.unwrap().is_empty());
    }
}
