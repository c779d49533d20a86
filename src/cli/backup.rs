//! `backup` and `restore`: the database and its keys in one encrypted file.

use std::io::{BufRead, Write};
use std::path::Path;

use super::arguments::BackupVerb;
use super::connector::read_password;
use super::output;
use super::verb::{COMMAND_LINE, Desk, Failure};
use crate::access::backup::{self, BackupError, Backups, PASSPHRASE, Wanted};
use crate::base::clock::Clock;
use crate::base::human;
use crate::domain::administrator::check_password;
use crate::domain::appliance::ApplianceSettings;
use crate::store::backup::Contents;
use crate::store::event::{self, Event};
use crate::store::profile;

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        Self::Failed(error.to_string())
    }
}

pub(super) async fn run(desk: &mut Desk<'_>, verb: &BackupVerb) -> Result<(), Failure> {
    let secrets = desk.secrets().await?;
    let backups = Backups::new(desk.db.clone(), desk.data.to_owned(), secrets.clone(), desk.clock.clone());
    let stored = profile::load_appliance(&desk.db).await?.texts;
    let settings = ApplianceSettings::parse(&stored).unwrap_or_default();
    match verb {
        BackupVerb::List => list(desk, &backups, &settings),
        BackupVerb::Now => {
            let made = backups.make(&settings).await;
            if !matches!(made, Err(BackupError::NoPassphrase)) {
                let (kind, summary) = backup::told(&made);
                event::record(&desk.db, &Event::new(&desk.ids, kind, desk.clock.now(), summary)).await?;
            }
            let made = made?;
            let file = backups.folder(&settings).join(&made.name);
            Ok(writeln!(desk.out, "Made {}, {}.", file.display(), human::size(made.size_bytes))?)
        }
        BackupVerb::Passphrase { .. } => {
            let typed = read_password(desk.input)?;
            check_password(typed.reveal(), "")
                .map_err(|words| Failure::Failed(words.replace("Password", "Passphrase")))?;
            let put = secrets.put(PASSPHRASE, &typed, "backups", &desk.change()).await;
            put.map_err(|error| Failure::Failed(error.to_string()))?;
            Ok(writeln!(desk.out, "Backups made from now on open with it. Keep it: nobody can read them without.")?)
        }
        BackupVerb::Try { file, passphrase_stdin } => {
            let passphrase = if *passphrase_stdin { Some(read_password(desk.input)?) } else { None };
            // A list has names only.
            let listed = file.to_str().and_then(|name| backups.file(&settings, name)).filter(|_| !file.exists());
            let tried = backups.try_one(listed.as_ref().unwrap_or(file), passphrase).await;
            let tried = tried.map_err(|error| about(file, &error, "; waybill backup list has those there are"))?;
            writeln!(desk.out, "The backup is whole. It holds {}.", in_words(tried.backup))?;
            Ok(writeln!(desk.out, "In use now: {}.", in_words(tried.now))?)
        }
    }
}

fn list(desk: &mut Desk<'_>, backups: &Backups, settings: &ApplianceSettings) -> Result<(), Failure> {
    let there = backups.list(settings)?;
    if there.is_empty() {
        return Ok(writeln!(desk.out, "There is no backup in {} yet.", backups.folder(settings).display())?);
    }
    let rows: Vec<_> =
        there.iter().map(|one| [one.made_at.to_string(), human::size(one.size_bytes), one.name.clone()]).collect();
    Ok(output::columns(desk.out, ["MADE", "SIZE", "FILE"], &rows)?)
}

/// A failure with the file that it concerns, and what helps to find another.
fn about(file: &Path, error: &BackupError, others: &str) -> Failure {
    let file = file.display();
    Failure::Failed(match error {
        BackupError::Unreadable(_) => format!("{file}: {error}{others}"),
        BackupError::WrongPassphrase | BackupError::NotABackup | BackupError::Damaged | BackupError::Incomplete(_) => {
            format!("{file}: {error}")
        }
        _ => error.to_string(),
    })
}

/// `12 connectors, 3 administrators, 2 certificates, 1,204 receipts`.
fn in_words(contents: Contents) -> String {
    let counts = [
        (contents.connectors, "connectors"),
        (contents.administrators, "administrators"),
        (contents.certificates, "certificates"),
        (contents.receipts, "receipts"),
    ];
    counts.map(|(count, what)| format!("{} {what}", human::thousands(count))).join(", ")
}

/// `restore`.
pub(super) async fn restore(
    (data, file): (&Path, &Path),
    clock: &Clock,
    out: &mut dyn Write,
    input: &mut dyn BufRead,
) -> Result<(), Failure> {
    let passphrase = read_password(input)?;
    let wanted = Wanted { file, passphrase: &passphrase, who: COMMAND_LINE, remote: "" };
    let restored = backup::restore(data, wanted, clock).await.map_err(|error| about(file, &error, ""))?;
    writeln!(out, "Put back: {}.", in_words(restored.contents))?;
    if let Some(before) = restored.before {
        writeln!(out, "What was there before lies in {}.", before.display())?;
    }
    Ok(writeln!(out, "Partners' files are no part of a backup; those in the partners' folders stay as they are.")?)
}

#[cfg(test)]
mod tests {
    use crate::cli::verb::Failure;
    use crate::cli::verb::tests::{refused, say};

    #[tokio::test]
    async fn a_backup_goes_from_one_data_folder_to_another() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let data = one.path();
        say(data, &["connector", "add", "acme"], "").await.unwrap();
        assert!(refused(data, &["backup", "now"]).await.contains("no passphrase is set"));
        let short = say(data, &["backup", "passphrase", "--passphrase-stdin"], "short\n").await;
        assert!(matches!(&short, Err(Failure::Failed(words)) if words.contains("at least 12 characters")), "{short:?}");
        say(data, &["backup", "passphrase", "--passphrase-stdin"], "a long passphrase\n").await.unwrap();
        let made = say(data, &["backup", "now"], "").await.unwrap();
        let file = made.strip_prefix("Made ").unwrap().split(',').next().unwrap().to_owned();
        let told = say(data, &["events", "--json"], "").await.unwrap();
        assert!(told.lines().count() == 1 && told.contains("\"backup_made\""), "{told}");
        assert!(say(data, &["backup", "list"], "").await.unwrap().contains("tar.gz.age"));
        let tried = say(data, &["backup", "try", &file], "").await.unwrap();
        assert!(tried.starts_with("The backup is whole. It holds 1 connectors"), "{tried}");
        let name = file.rsplit_once('/').unwrap().1;
        assert_eq!(say(data, &["backup", "try", name], "").await.unwrap(), tried);
        let nope = refused(data, &["backup", "try", "nope"]).await;
        assert_eq!(
            nope,
            "nope: it cannot be read (No such file or directory); waybill backup list has those there are"
        );
        let nope = say(two.path(), &["restore", "nope", "--passphrase-stdin"], "x\n").await;
        let Err(Failure::Failed(nope)) = nope else { panic!("{nope:?}") };
        assert_eq!(nope, "nope: it cannot be read (No such file or directory)");
        let restore = ["restore", file.as_str(), "--passphrase-stdin"];
        let wrong = say(two.path(), &restore, "another passphrase\n").await;
        assert!(matches!(&wrong, Err(Failure::Failed(words)) if words.contains("doesn't open it")), "{wrong:?}");
        let put_back = say(two.path(), &restore, "a long passphrase\n").await.unwrap();
        assert!(put_back.starts_with("Put back: 1 connectors"), "{put_back}");
        assert!(say(two.path(), &["connector", "list"], "").await.unwrap().contains("acme"));
        let again = say(two.path(), &restore, "a long passphrase\n").await.unwrap();
        assert!(again.contains("What was there before lies in"), "{again}");
    }
}
