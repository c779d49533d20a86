//! `connector`: list, show, add, set, remove.

use std::io::BufRead;

use super::arguments::ConnectorVerb;
use super::follow;
use super::output;
use super::verb::{Desk, Failure};
use crate::access::connecting::{Connecting, Credential, Wanted};
use crate::access::password;
use crate::base::secret::Secret;
use crate::domain::administrator::{PASSWORD_BYTES_MAX, check_password};
use crate::domain::connector::{ConnectorId, ConnectorSettings, no_such_credential, take_credential, type_of};
use crate::domain::setting::{Mistake, Texts, merged};
use crate::domain::value::{ConnectorType, CredentialKind};
use crate::store::connector::{self, StoredConnector};
use crate::store::setting::SaveError;
use crate::store::{delivery_page, exported};

/// The key that is no setting: it is hashed, never stored or shown.
pub(super) const PASSWORD: &str = CredentialKind::Password.name();

pub(super) async fn run(desk: &mut Desk<'_>, verb: &ConnectorVerb) -> Result<(), Failure> {
    match verb {
        ConnectorVerb::List { json } => list(desk, *json).await,
        ConnectorVerb::Show { id, json } => {
            let found = find(desk, id).await?;
            Ok(output::settings(desk.out, ConnectorSettings::SETTINGS, &found.stored.texts, *json)?)
        }
        ConnectorVerb::Add { id, pairs, password_stdin } => {
            let values = output::texts(ConnectorSettings::SETTINGS, pairs)?;
            add(desk, id, values, *password_stdin).await
        }
        ConnectorVerb::Set { id, pairs, password_stdin, anyway } => {
            let values = output::texts(ConnectorSettings::SETTINGS, pairs)?;
            let found = find(desk, id).await?;
            let texts = (&found.stored.texts, &values);
            ask_first(delivery_page::before_disabling(&desk.db, &found.id, texts).await?, *anyway)?;
            set(desk, found, values, *password_stdin).await
        }
        ConnectorVerb::Remove { id, anyway } => {
            let found = find(desk, id).await?;
            ask_first(delivery_page::before_removing(&desk.db, &found.id).await?, *anyway)?;
            remove(desk, &found.id).await
        }
    }
}

async fn list(desk: &mut Desk<'_>, json: bool) -> Result<(), Failure> {
    let all = connector::all(&desk.db).await?;
    if !json && all.is_empty() {
        return Ok(writeln!(desk.out, "There is no connector yet. Add one: waybill connector add ID")?);
    }
    let rows = all.iter().map(exported::Connector::of);
    if json {
        return Ok(rows.into_iter().try_for_each(|row| output::json_line(desk.out, &row))?);
    }
    let rows: Vec<_> =
        rows.map(|row| [row.id, row.r#type, row.enabled, row.group, row.description].map(output::printable)).collect();
    Ok(output::columns(desk.out, ["ID", "TYPE", "ENABLED", "GROUP", "DESCRIPTION"], &rows)?)
}

async fn add(desk: &mut Desk<'_>, id: &str, mut values: Texts, from_stdin: bool) -> Result<(), Failure> {
    let id = parse_id(id)?;
    let kind = type_of(&values);
    let chosen = chosen_credential(desk, &mut values, (&Texts::new(), kind, id.as_str()), from_stdin)?;
    let credential = match kind.credential() {
        Some(_) => Some(new_password(chosen.as_ref(), id.as_str())?),
        None => None,
    };
    let sealed = sealed(desk, kind, credential.as_ref()).await?;
    let connecting = Connecting { db: &desk.db, programs: &desk.programs().await? };
    connecting.add(&id, &values, sealed, &desk.change()).await?;
    follow::saved(desk, &format!("Added connector {id}.")).await?;
    match (chosen, kind.credential(), credential) {
        (None, Some(kind), Some(made)) => tell_once(desk, kind.name(), &made),
        _ => Ok(()),
    }
}

/// Affecting files that wait needs confirmation.
fn ask_first(waits: Option<String>, anyway: bool) -> Result<(), Failure> {
    match waits.filter(|_| !anyway) {
        None => Ok(()),
        Some(words) => Err(Failure::Failed(format!("{words}. Nothing was done; --anyway does it all the same"))),
    }
}

async fn set(desk: &mut Desk<'_>, found: StoredConnector, mut values: Texts, from_stdin: bool) -> Result<(), Failure> {
    let kind = type_of(&found.stored.texts);
    let of = (&found.stored.texts, kind, found.id.as_str());
    let chosen = chosen_credential(desk, &mut values, of, from_stdin)?;
    if let Some(credential) = &chosen {
        check(credential, found.id.as_str())?;
    }
    let credential = sealed(desk, kind, chosen.as_ref()).await?;
    let connecting = Connecting { db: &desk.db, programs: &desk.programs().await? };
    connecting.save(&found, Wanted { values, version: None, credential }, &desk.change()).await?;
    follow::saved(desk, "Saved.").await.map(drop)
}

/// The stored form of a password or secret.
async fn sealed(
    desk: &Desk<'_>,
    kind: ConnectorType,
    credential: Option<&Secret>,
) -> Result<Option<Credential>, Failure> {
    Ok(match (credential, kind.credential()) {
        (Some(password), Some(CredentialKind::Password)) => Some(Credential::Password(password::hash_now(password)?)),
        (Some(secret), Some(CredentialKind::Secret)) => Some(Credential::Secret(secret.clone(), desk.secrets().await?)),
        (None, _) | (_, None) => None,
    })
}

async fn remove(desk: &mut Desk<'_>, id: &ConnectorId) -> Result<(), Failure> {
    if !connector::remove(&desk.db, id, &desk.change()).await? {
        return Err(unknown(id.as_str()));
    }
    let words = format!("Removed connector {id}. Its files, receipts and events stay.");
    follow::saved(desk, &words).await.map(drop)
}

pub(super) async fn find(desk: &Desk<'_>, typed: &str) -> Result<StoredConnector, Failure> {
    let id = parse_id(typed)?;
    connector::find(&desk.db, id.key()).await?.ok_or_else(|| unknown(typed))
}

fn unknown(id: &str) -> Failure {
    Failure::Failed(format!("There is no connector {id}"))
}

fn parse_id(typed: &str) -> Result<ConnectorId, Failure> {
    ConnectorId::parse(typed).map_err(|words| Failure::Failed(Mistake::new("id", words).to_string()))
}

/// The given password or secret, taken out of the values.
fn chosen_credential(
    desk: &mut Desk<'_>,
    values: &mut Texts,
    (stored, kind, owner): (&Texts, ConnectorType, &str),
    from_stdin: bool,
) -> Result<Option<Secret>, Failure> {
    let failed = |mistake: Mistake| Failure::Failed(mistake.to_string());
    if from_stdin && kind.credential().is_none() {
        return Err(failed(no_such_credential(kind, CredentialKind::Password)));
    }
    if from_stdin && kind.credential().is_some_and(|own| values.contains_key(own.name())) {
        return Err(Failure::Usage("the password is given twice: password=… and --password-stdin".to_owned()));
    }
    match take_credential(values, kind, owner) {
        Ok(None) if from_stdin => Ok(Some(read_password(desk.input)?)),
        Ok(taken) => Ok(taken),
        Err(mistake) => {
            // What else is wrong is told at the same time.
            values.remove(&mistake.key);
            let more = ConnectorSettings::parse(&merged(stored, values)).err().unwrap_or_default();
            Err(SaveError::Mistakes(std::iter::once(mistake).chain(more).collect()).into())
        }
    }
}

/// The chosen password once it is checked, otherwise a new one.
pub(super) fn new_password(chosen: Option<&Secret>, owner: &str) -> Result<Secret, Failure> {
    let Some(password) = chosen else { return Ok(password::generate()) };
    check(password, owner)?;
    Ok(password.clone())
}

fn check(password: &Secret, owner: &str) -> Result<(), Failure> {
    check_password(password.reveal(), owner).map_err(|words| Failure::Failed(Mistake::new(PASSWORD, words).to_string()))
}

/// Reads the first line of `input`, bounded: one byte over the limit suffices to refuse it.
pub(super) fn read_password(input: &mut dyn BufRead) -> Result<Secret, Failure> {
    let failed = |error| Failure::Failed(format!("could not read the password from standard input: {error}"));
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    let limit = PASSWORD_BYTES_MAX as u64 + 3;
    std::io::Read::take(input, limit).read_until(b'\n', &mut bytes).map_err(failed)?;
    let line = std::str::from_utf8(&bytes)
        .map_err(|_| Failure::Failed("could not read the password from standard input: it is not UTF-8".to_owned()))?;
    let line = line.strip_suffix('\n').unwrap_or(line);
    Ok(Secret::new(line.strip_suffix('\r').unwrap_or(line)))
}

/// Prints a generated password, which is only possible now.
pub(super) fn tell_once(desk: &mut Desk<'_>, key: &str, password: &Secret) -> Result<(), Failure> {
    writeln!(desk.out, "{key}={}", password.reveal())?;
    Ok(writeln!(desk.out, "The {key} is shown only now: no page and no command shows it again.")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::cli::verb::tests::{refused, say};
    use crate::store::{Db, audit};

    #[tokio::test]
    async fn a_connector_is_added_shown_changed_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let said = say(data, &["connector", "add", "Acme-EDI", "description=Acme, Ghent"], "").await.unwrap();
        let password = said.lines().find_map(|line| line.strip_prefix("password=")).unwrap();
        assert_eq!(password.len(), 24);
        let words = refused(data, &["connector", "add", "acme-edi"]).await;
        assert!(words.contains("There is a connector Acme-EDI already"), "{words}");

        assert_eq!(say(data, &["connector", "set", "ACME-edi", "enabled=off"], "").await.unwrap(), "Saved.\n");
        let shown = say(data, &["connector", "show", "acme-edi"], "").await.unwrap();
        assert!(shown.contains("\nenabled=off\n") && shown.contains("\ndescription=Acme, Ghent\n"), "{shown}");
        assert!(!shown.contains("\npassword="), "{shown}");
        let list = say(data, &["connector", "list"], "").await.unwrap();
        let row: Vec<_> = list.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["Acme-EDI", "ftp_server", "off", "Acme,", "Ghent"]);
        let json: serde_json::Value =
            serde_json::from_str(&say(data, &["connector", "list", "--json"], "").await.unwrap()).unwrap();
        assert_eq!(json["type"], "ftp_server");

        let removed = say(data, &["connector", "remove", "acme-edi"], "").await.unwrap();
        assert!(removed.starts_with("Removed connector Acme-EDI."), "{removed}");
        assert_eq!(refused(data, &["connector", "show", "acme-edi"]).await, "There is no connector acme-edi");
        let db = Db::open(data).await.unwrap();
        let entries = audit::latest(&db, Some("connector Acme-EDI"), 100).await.unwrap();
        assert!(entries.iter().all(|entry| entry.who == "command line" && entry.remote.is_empty()));
        assert!(entries.len() >= 4, "{entries:?}");
    }

    #[tokio::test]
    async fn what_files_wait_for_is_disabled_and_removed_only_when_said_twice() {
        use crate::base::clock::{Clock, Timestamp};
        use crate::base::id::IdSource;
        use crate::domain::event::EventKind;
        use crate::domain::flow::Target;
        use crate::store::event::Event;
        use crate::store::set_off::{self, New};

        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let said = async |line: &str| say(data, &line.split(' ').collect::<Vec<_>>(), "").await.unwrap();
        let no = async |line: &str| refused(data, &line.split(' ').collect::<Vec<_>>()).await;
        said("connector add archive type=folder").await;
        let db = Db::open(data).await.unwrap();
        let event = Event::new(&IdSource::random(Clock::System), EventKind::AfterReceive, Timestamp::from_us(1), "");
        let new = New {
            event_id: event.id.clone(),
            receipt_id: None,
            source_key: "acme".to_owned(),
            target: Target::Connector("archive".to_owned()),
            due: Timestamp::from_us(1),
        };
        set_off::begin(&db, &event, &new).await.unwrap();
        db.close().await;
        assert_eq!(said("connector set archive description=x").await, "Saved.\n");
        let waits = "1 file waits for archive, and would wait until it is enabled again. Nothing was done; --anyway does it \
                     all the same";
        assert_eq!(no("connector set archive enabled=no").await, waits);
        assert!(said("connector show archive").await.contains("\nenabled=on\n"));
        std::fs::write(data.join("off.toml"), "[connectors.archive]\nenabled = \"off\"\n").unwrap();
        let file = data.join("off.toml");
        let import = format!("import {}", file.display());
        assert_eq!(no(&import).await, waits);
        let tried = said(&format!("{import} --dry-run")).await;
        assert!(tried.contains("\n1 file waits for archive, and would wait until it is enabled again.\n"), "{tried}");
        assert!(said(&format!("{import} --anyway")).await.ends_with("1 change made.\n"));
        assert_eq!(said("connector set archive enabled=on").await, "Saved.\n");
        assert_eq!(said("connector set archive enabled=off --anyway").await, "Saved.\n");
        assert_eq!(said("connector set archive enabled=off").await, "Saved.\n", "it is off already");
        assert!(no("connector remove archive").await.starts_with("1 file waits to leave archive or to come to it"));
        assert!(said("connector remove archive --anyway").await.starts_with("Removed connector archive."));
    }

    #[tokio::test]
    async fn a_password_is_taken_as_a_value_or_from_standard_input_and_checked() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let add = say(data, &["connector", "add", "a", "password=long enough indeed"], "").await.unwrap();
        assert_eq!(add, "Added connector a.\n");
        let add =
            say(data, &["connector", "add", "b", "--password-stdin"], "long enough indeed\r\nrest").await.unwrap();
        assert_eq!(add, "Added connector b.\n");
        let set = ["connector", "set", "a", "--password-stdin", "password_overlap_h=24"];
        assert_eq!(say(data, &set, "another long one\n").await.unwrap(), "Saved.\n");
        let db = Db::open(data).await.unwrap();
        let now = crate::base::clock::Clock::System.now();
        let passwords = connector::passwords(&db, now).await.unwrap();
        assert_eq!((passwords["a"].len(), passwords["b"].len()), (2, 1));
        assert!(passwords["a"][1].valid_until.unwrap() > now.plus(Duration::from_hours(23)));

        let words = refused(data, &["connector", "add", "c", "password=short"]).await;
        assert!(words.starts_with("password: Password needs at least 12 characters"), "{words}");
        let hook = ["connector", "add", "c", "type=webhook", "url=nowhere", "secret=short"];
        let words = refused(data, &hook).await;
        let lines: Vec<_> = words.lines().collect();
        assert!(lines[0].starts_with("secret: Secret needs at least 12 characters"), "{words}");
        assert!(lines.len() == 2 && lines[1].starts_with("url: "), "{words}");
        let words = refused(data, &["connector", "set", "a", "type=folder", "secret=short"]).await;
        assert!(words.starts_with("secret: An FTP Server has a password, no secret"), "{words}");
        let both = ["connector", "add", "c", "password=long enough indeed", "--password-stdin"];
        assert!(matches!(say(data, &both, "x\n").await, Err(Failure::Usage(_))));
        let long = "x".repeat(PASSWORD_BYTES_MAX + 100);
        assert!(say(data, &["connector", "add", "c", "--password-stdin"], &long).await.is_err());
        assert_eq!(refused(data, &["connector", "show", "c"]).await, "There is no connector c");
    }

    #[tokio::test]
    async fn an_id_that_cannot_be_is_refused_in_the_words_of_the_form() {
        let folder = tempfile::tempdir().unwrap();
        for id in ["Send", "..", "a/b", ""] {
            let words = refused(folder.path(), &["connector", "add", id]).await;
            assert!(words.starts_with("id: "), "{words}");
        }
    }
}
