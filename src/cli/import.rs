//! `export` and `import`: all settings as one text, and back.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::arguments::ImportVerb;
use super::follow;
use super::output;
use super::verb::{Desk, Failure};
use crate::access::lacking::{Lacking, lacking};
use crate::access::reading_in::{left_waiting, read_in};
use crate::base::human;
use crate::domain::setting::Texts;
use crate::store::import::{Checks, Mode};
use crate::store::settings_file::{FILE_BYTES_MAX, SettingsFile};

/// Lines about what lacks a password or secret.
const LACKING_TOLD_MAX: usize = 100;

pub(super) async fn export(desk: &mut Desk<'_>) -> Result<(), Failure> {
    let file = SettingsFile::read(&desk.db).await?;
    Ok(write!(desk.out, "{}", file.text())?)
}

pub(super) async fn run(desk: &mut Desk<'_>, verb: &ImportVerb) -> Result<(), Failure> {
    let text = read(desk, &verb.file)?;
    let file = SettingsFile::parse(&text).map_err(|mistake| Failure::Failed(mistake.message))?;
    let mode = if verb.dry_run { Mode::Try } else { Mode::Do };
    let programs = desk.programs().await?;
    let connector = |stored: &Texts, values: &Texts| programs.check(stored, values);
    let action = |stored: &Texts, values: &Texts| programs.check_action_texts(stored, values);
    let checks = Checks { connector: &connector, action: &action };
    let waits = left_waiting(&desk.db, &file).await?;
    if mode == Mode::Do && !verb.anyway && !waits.is_empty() {
        let words = format!("{}. Nothing was done; --anyway does it all the same", waits.join(". "));
        return Err(Failure::Failed(words));
    }
    let lacked = lacking(&desk.db, desk.clock.now()).await?;
    let changes = read_in(&desk.db, &file, (mode, &checks), &desk.change()).await?;
    let cells = |text: &str| output::printable(if text.is_empty() { "-" } else { text });
    let rows: Vec<_> = changes
        .iter()
        .map(|one| [output::printable(&one.subject), one.key.clone(), cells(&one.before), cells(&one.after)])
        .collect();
    if !rows.is_empty() {
        output::columns(desk.out, ["WHAT", "SETTING", "BEFORE", "AFTER"], &rows)?;
    }
    for words in &waits {
        writeln!(desk.out, "{words}.")?;
    }
    match (mode, changes.len() as u64) {
        (_, 0) => Ok(writeln!(desk.out, "Nothing differs from what is in force.")?),
        (Mode::Try, count) => {
            let words = human::count(count, "change", "changes");
            Ok(writeln!(desk.out, "{words} would be made. Nothing was changed.")?)
        }
        (Mode::Do, count) => {
            let words = human::count(count, "change", "changes");
            follow::saved(desk, &format!("{words} made.")).await?;
            let lack = lacking(&desk.db, desk.clock.now()).await?;
            tell_lacking(desk, &lack.difference(&lacked).collect::<Vec<_>>())
        }
    }
}

/// What the import left without a password or secret, each with the verb that gives it one.
fn tell_lacking(desk: &mut Desk<'_>, lack: &[&Lacking]) -> Result<(), Failure> {
    if lack.is_empty() {
        return Ok(());
    }
    writeln!(desk.out, "\nNo password and no secret is in such a text. Still to be done:")?;
    for one in lack.iter().take(LACKING_TOLD_MAX) {
        writeln!(desk.out, "{}: {}", output::printable(&one.words()), one.verb())?;
    }
    if let Some(more @ 1..) = lack.len().checked_sub(LACKING_TOLD_MAX) {
        writeln!(desk.out, "and {more} more: Settings, Export and import has them all.")?;
    }
    Ok(())
}

/// All of a file, or of standard input, bounded.
fn read(desk: &mut Desk<'_>, path: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::Failed(format!("could not read {}: {error}", path.display()));
    let mut text = String::new();
    let limit = FILE_BYTES_MAX as u64 + 1;
    if path == Path::new("-") {
        Read::take(&mut *desk.input, limit).read_to_string(&mut text).map_err(failed)?;
    } else {
        File::open(path).map_err(failed)?.take(limit).read_to_string(&mut text).map_err(failed)?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use crate::cli::verb::tests::{refused, say};

    #[tokio::test]
    async fn what_is_exported_sets_another_appliance_up() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        say(one.path(), &["connector", "add", "acme", "password=long enough indeed", "timeout_s=90"], "")
            .await
            .unwrap();
        say(one.path(), &["profile", "set", "port=2121"], "").await.unwrap();
        let text = say(one.path(), &["export"], "").await.unwrap();
        assert!(text.contains("\n[connectors.\"acme\"]\n") && text.contains("\ntimeout_s = \"90\"\n"), "{text}");
        assert!(!text.contains("long enough") && !text.contains("argon2"));

        let tried = say(two.path(), &["import", "-", "--dry-run"], &text).await.unwrap();
        assert!(tried.starts_with("WHAT") && tried.contains("port       8021    2121"), "{tried}");
        assert!(tried.ends_with("3 changes would be made. Nothing was changed.\n"), "{tried}");
        let file = two.path().join("settings.toml");
        std::fs::write(&file, &text).unwrap();
        let line = ["import", file.to_str().unwrap()];
        let done = say(two.path(), &line, "").await.unwrap();
        let lacks = "acme has no password and cannot sign in: waybill connector set acme password=…\n";
        assert!(done.contains("3 changes made.\n") && done.ends_with(lacks), "{done}");
        assert_eq!(say(two.path(), &line, "").await.unwrap(), "Nothing differs from what is in force.\n");
        assert_eq!(say(two.path(), &["export"], "").await.unwrap(), text);
    }

    #[tokio::test]
    async fn what_has_no_password_or_secret_afterwards_is_told_with_the_verb_that_gives_it_one() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for line in [
            "connector add acme",
            "connector add hook type=webhook url=https://hook.example.com/",
            "connector add archive type=folder",
            &format!(
                "connector add sealed client_certificate=or_password client_certificate_match=sha256:{}",
                "ab".repeat(32)
            ),
            "action add acme kind=webhook url=https://erp.example.com/",
            "action add acme kind=mail mail_to=a@example.com",
            "event-target add url=https://siem.example.com/",
        ] {
            say(one.path(), &line.split(' ').collect::<Vec<_>>(), "").await.unwrap();
        }
        let text = say(one.path(), &["export"], "").await.unwrap();
        let done = say(two.path(), &["import", "-"], &text).await.unwrap();
        let (_, told) = done.split_once("Still to be done:\n").expect(&done);
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines.len(), 4, "{told}");
        assert_eq!(lines[0], "acme has no password and cannot sign in: waybill connector set acme password=…");
        assert_eq!(lines[1], "hook has no secret to sign with and posts nothing: waybill connector set hook secret=…");
        assert!(lines[2].starts_with("An action of acme has no secret to sign with (After a file is received: post"));
        assert!(
            lines[3].starts_with("An event target has no secret to sign with (All events to https://siem"),
            "{told}"
        );
        // Each verb does it.
        for line in &lines[..2] {
            let (_, verb) = line.rsplit_once(": waybill ").unwrap();
            let verb = verb.replace('…', "long-enough-indeed");
            say(two.path(), &verb.split(' ').collect::<Vec<_>>(), "").await.unwrap();
        }
        for line in &lines[2..] {
            let (_, verb) = line.rsplit_once(": waybill ").unwrap();
            let made = say(two.path(), &verb.split(' ').collect::<Vec<_>>(), "").await.unwrap();
            assert!(made.contains("secret="), "{made}");
        }
        say(two.path(), &["connector", "set", "acme", "timeout_s=77"], "").await.unwrap();
        let again = say(two.path(), &["import", "-"], &text).await.unwrap();
        assert!(!again.contains("Still to be done"), "{again}");
    }

    #[tokio::test]
    async fn what_cannot_be_read_in_is_told_and_nothing_is_changed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("wrong.toml"), "[profile]\nport = \"70000\"\nprot = \"1\"\n").unwrap();
        let path = folder.path().join("wrong.toml");
        let words = refused(folder.path(), &["import", path.to_str().unwrap()]).await;
        assert!(
            words.contains("profile.port: 70000") && words.contains("profile.prot: There is no setting prot"),
            "{words}"
        );
        assert!(
            refused(folder.path(), &["import", "/nowhere/at.all"]).await.starts_with("could not read /nowhere/at.all")
        );
    }
}
