//! `admin`: people in the web interface, also for somebody locked out of it.

use super::arguments::AdminVerb;
use super::connector::{PASSWORD, new_password, read_password, tell_once};
use super::output;
use super::verb::{Desk, Failure};
use crate::access::password;
use crate::domain::administrator::Role;
use crate::store::administrator::{self, New};
use crate::store::second_factor::{self, Owner};

pub(super) async fn run(desk: &mut Desk<'_>, verb: &AdminVerb) -> Result<(), Failure> {
    match verb {
        AdminVerb::List => list(desk).await,
        AdminVerb::Add { name, password_stdin } => add(desk, name, *password_stdin).await,
        AdminVerb::ResetPassword { name, password_stdin } => reset_password(desk, name, *password_stdin).await,
        AdminVerb::SecondFactorOff { name } => second_factor_off(desk, name).await,
    }
}

async fn list(desk: &mut Desk<'_>) -> Result<(), Failure> {
    let all = administrator::list(&desk.db).await?;
    if all.is_empty() {
        return Ok(writeln!(desk.out, "There is no administrator yet. Add one: waybill admin add NAME")?);
    }
    let rows: Vec<_> = all
        .iter()
        .map(|one| [output::printable(&one.name), one.role.name().to_owned(), one.created_at.to_string()])
        .collect();
    Ok(output::columns(desk.out, ["NAME", "ROLE", "ADDED"], &rows)?)
}

async fn add(desk: &mut Desk<'_>, name: &str, from_stdin: bool) -> Result<(), Failure> {
    let chosen = if from_stdin { Some(read_password(desk.input)?) } else { None };
    let password = new_password(chosen.as_ref(), name)?;
    let hash = password::hash_now(&password)?;
    let new = New { name, role: Role::Admin, password_hash: &hash, only_first: false };
    administrator::add(&desk.db, &new, &desk.change()).await?;
    writeln!(desk.out, "Added administrator {}.", name.trim())?;
    if chosen.is_none() {
        tell_once(desk, PASSWORD, &password)?;
    }
    Ok(())
}

async fn reset_password(desk: &mut Desk<'_>, name: &str, from_stdin: bool) -> Result<(), Failure> {
    let chosen = if from_stdin { Some(read_password(desk.input)?) } else { None };
    let password = new_password(chosen.as_ref(), name)?;
    let hash = password::hash_now(&password)?;
    if !administrator::set_password(&desk.db, name, &hash, &desk.change()).await? {
        return Err(Failure::Failed(format!("There is no administrator {name}")));
    }
    writeln!(desk.out, "The password of {name} is changed, and every browser of that administrator is signed out.")?;
    if chosen.is_none() {
        tell_once(desk, PASSWORD, &password)?;
    }
    Ok(())
}

async fn second_factor_off(desk: &mut Desk<'_>, name: &str) -> Result<(), Failure> {
    let found = administrator::find(&desk.db, name).await?;
    let found = found.ok_or_else(|| Failure::Failed(format!("There is no administrator {name}")))?;
    let owner = Owner { id: &found.id, name: &found.name };
    let was_on = second_factor::remove(&desk.db, owner, &desk.change()).await?;
    let now = if was_on { "is off" } else { "was off already" };
    Ok(writeln!(desk.out, "The second factor of {} {now}.", output::printable(&found.name))?)
}

#[cfg(test)]
mod tests {
    use crate::cli::verb::tests::{refused, say};

    #[tokio::test]
    async fn an_administrator_is_added_and_gets_a_new_password() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let said = say(data, &["admin", "add", "mira"], "").await.unwrap();
        assert!(said.starts_with("Added administrator mira.\npassword="), "{said}");
        assert!(refused(data, &["admin", "add", "Mira"]).await.contains("already"));
        let list = say(data, &["admin", "list"], "").await.unwrap();
        assert!(list.lines().nth(1).unwrap().starts_with("mira  admin  20"), "{list}");
        let said =
            say(data, &["admin", "reset-password", "MIRA", "--password-stdin"], "long enough indeed\n").await.unwrap();
        assert!(!said.contains("password=") && said.contains("signed out"), "{said}");
        assert_eq!(refused(data, &["admin", "reset-password", "noone"]).await, "There is no administrator noone");
        assert!(refused(data, &["admin", "add", "two words"]).await.starts_with("name: "));
        assert!(say(data, &["admin", "add", "kim", "--password-stdin"], "short\n").await.is_err());
    }
}
