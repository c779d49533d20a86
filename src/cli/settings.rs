//! `settings` and `profile`: show and set. After a change of the profile it reports the state of a running server's
//! listener.

use super::arguments::Pair;
use super::follow;
use super::output;
use super::verb::{Desk, Failure};
use crate::access::usable::{self, Passphrase};
use crate::domain::appliance::ApplianceSettings;
use crate::domain::profile::Profile;
use crate::store::listener::{ListenerState, State};
use crate::store::profile;

pub(super) async fn show_appliance(desk: &mut Desk<'_>, json: bool) -> Result<(), Failure> {
    let stored = profile::load_appliance(&desk.db).await?;
    Ok(output::settings(desk.out, ApplianceSettings::SETTINGS, &stored.texts, json)?)
}

pub(super) async fn show_profile(desk: &mut Desk<'_>, json: bool) -> Result<(), Failure> {
    let stored = profile::load(&desk.db).await?;
    Ok(output::settings(desk.out, Profile::SETTINGS, &stored.texts, json)?)
}

pub(super) async fn set_appliance(desk: &mut Desk<'_>, pairs: &[Pair]) -> Result<(), Failure> {
    let values = output::texts(ApplianceSettings::SETTINGS, pairs)?;
    usable::appliance(&desk.db, &values, Passphrase::Stored).await?;
    profile::save_appliance(&desk.db, &values, None, &desk.change()).await?;
    follow::saved(desk, "Saved.").await.map(drop)
}

pub(super) async fn set_profile(desk: &mut Desk<'_>, pairs: &[Pair]) -> Result<(), Failure> {
    let values = output::texts(Profile::SETTINGS, pairs)?;
    usable::profile(&desk.db, &values).await?;
    profile::save(&desk.db, &values, None, &desk.change()).await?;
    match follow::saved(desk, "Saved.").await? {
        Some(state) => tell(desk, &state),
        None => Ok(()),
    }
}

fn tell(desk: &mut Desk<'_>, ftp: &ListenerState) -> Result<(), Failure> {
    match ftp.state {
        State::Listening => Ok(writeln!(desk.out, "The FTP server listens on {}.", ftp.address)?),
        State::Stopped => Ok(writeln!(desk.out, "The FTP server is stopped. {}", ftp.message)?),
        State::CouldNotBind => Err(Failure::Failed(unbound(ftp))),
    }
}

/// An unavailable port, in words.
pub(super) fn unbound(state: &ListenerState) -> String {
    if state.address.is_empty() {
        state.message.clone()
    } else {
        format!("{}\nThe old listener goes on: {}.", state.message, state.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::verb::tests::{refused, say};

    #[tokio::test]
    async fn what_is_set_is_shown_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let set = ["profile", "set", "welcome_message=One\\ntwo", "port=2121"];
        assert_eq!(say(data, &set, "").await.unwrap(), "Saved.\n");
        let shown = say(data, &["profile", "show"], "").await.unwrap();
        assert!(shown.contains("\nwelcome_message=One\\ntwo\n"), "{shown}");
        assert!(shown.starts_with("port=2121\n"), "{shown}");
        assert_eq!(shown.lines().count(), Profile::SETTINGS.len());
        let json = say(data, &["profile", "show", "--json"], "").await.unwrap();
        let object: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(object["welcome_message"], "One\ntwo");
        assert_eq!(object["require_tls"], "login_and_data");
        let settings = say(data, &["settings", "show"], "").await.unwrap();
        assert_eq!(settings.lines().count(), ApplianceSettings::SETTINGS.len());
    }

    #[tokio::test]
    async fn a_mistake_is_told_in_the_words_of_the_form_and_nothing_is_saved() {
        let folder = tempfile::tempdir().unwrap();
        let words = refused(folder.path(), &["profile", "set", "port=70000", "welcome_message=New"]).await;
        assert!(words.starts_with("port: ") && words.contains("70000"), "{words}");
        let shown = say(folder.path(), &["profile", "show"], "").await.unwrap();
        assert!(!shown.contains("New"), "{shown}");
        let words = refused(folder.path(), &["profile", "set", "prot=21"]).await;
        assert!(words.contains("Did you mean port?"), "{words}");
        assert_eq!(refused(folder.path(), &["profile", "set", "port=1", "port=2"]).await, "port is given twice");
    }
}
