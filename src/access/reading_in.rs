//! Imports a text of all settings as carefully as the forms save: what it names is tried first, and what it would leave
//! waiting is reported.

use std::collections::BTreeMap;

use super::usable;
use crate::domain::connector::ConnectorId;
use crate::store::audit::Entered;
use crate::store::delivery_page;
use crate::store::import::{self, Checks, Mode};
use crate::store::open::{Db, StoreError};
use crate::store::setting::{self, Change, SaveError, Scope};
use crate::store::settings_file::SettingsFile;

/// Imports `file`, or reports what that would change.
///
/// # Errors
/// Every mistake with its place, such as `profile.port`, and every unusable folder or host name; or the database
/// failed. Nothing is changed then.
pub async fn read_in(
    db: &Db,
    file: &SettingsFile,
    (mode, checks): (Mode, &Checks<'_>),
    change: &Change<'_>,
) -> Result<Vec<Entered>, SaveError> {
    let unusable = usable::settings_file(db, file).await?;
    if unusable.is_empty() {
        return import::import(db, file, (mode, checks), change).await;
    }
    let mut mistakes = match import::import(db, file, (Mode::Try, checks), change).await {
        Ok(_) => Vec::new(),
        Err(SaveError::Mistakes(mistakes)) => mistakes,
        Err(error) => return Err(error),
    };
    mistakes.extend(unusable);
    Err(SaveError::Mistakes(mistakes))
}

/// What `file` would leave waiting, in words: the connectors it disables while files wait for them.
pub async fn left_waiting(db: &Db, file: &SettingsFile) -> Result<Vec<String>, StoreError> {
    let mut stored = BTreeMap::new();
    let named = file.connectors.iter().filter(|(_, values)| values.contains_key("enabled"));
    for id in named.filter_map(|(id, _)| ConnectorId::parse(id).ok()) {
        let texts = setting::load(db, Scope::Connector(id.key())).await?.texts;
        stored.insert(id.to_string(), (id, texts));
    }
    let disabled = file.connectors.iter().filter_map(|(id, values)| {
        let (id, texts) = stored.get(id)?;
        Some((id, (texts, values)))
    });
    delivery_page::before_disabling_each(db, disabled).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, Timestamp};
    use crate::base::id::IdSource;
    use crate::domain::setting::Texts;

    #[tokio::test]
    async fn what_a_text_names_is_tried_first_and_told_with_all_else_that_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(folder.path()).await.unwrap();
        let ids = IdSource::random(Clock::System);
        let change = Change { who: "test", remote: "", at: Timestamp::from_us(1), ids: &ids };
        let none = |_: &Texts, _: &Texts| Vec::new();
        let checks = Checks { connector: &none, action: &none };
        let read = async |text: &str, mode| {
            let file = SettingsFile::parse(text).unwrap();
            read_in(&db, &file, (mode, &checks), &change).await
        };
        let wrong = "[profile]\nroot_directory = \"/proc/partners\"\nport = \"70000\"\n\
             [connectors.acme]\noutput_folder = \"/proc/in\"\n[connectors.own]\n";
        for mode in [Mode::Try, Mode::Do] {
            let refused = read(wrong, mode).await;
            let Err(SaveError::Mistakes(mistakes)) = refused else { panic!("{refused:?}") };
            let places: Vec<_> = mistakes.iter().map(|one| one.key.as_str()).collect();
            let below = ["connectors.acme.input_folder", "connectors.own.input_folder", "connectors.own.output_folder"];
            assert_eq!(places[0], "profile.port");
            for place in ["profile.root_directory", "connectors.acme.output_folder"].into_iter().chain(below) {
                assert!(places.contains(&place), "{place} is not among {places:?}: they lie below the new root");
            }
        }
        let fine = "[profile]\nroot_directory = \"elsewhere\"\n[connectors.acme]\n";
        assert!(!read(fine, Mode::Try).await.unwrap().is_empty());
        assert!(!folder.path().join("elsewhere").exists());
        assert!(!read(fine, Mode::Do).await.unwrap().is_empty());
    }
}
