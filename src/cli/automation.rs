//! `action` and `event-target`: what files and events set off, as on the pages.

use super::arguments::{ActionVerb, EventTargetVerb, SetOne, ShowOne};
use super::connector::{find, tell_once};
use super::follow;
use super::output;
use super::verb::{Desk, Failure};
use crate::access::automation::{Keeper, Kept};
use crate::domain::action::ActionSettings;
use crate::domain::event_target::EventTargetSettings;
use crate::domain::setting::{Setting, Texts};
use crate::store::action::{self, StoredAction};
use crate::store::event_target::{self, StoredTarget};
use crate::store::{connector, exported};

/// The key under which a secret is printed.
const SECRET: &str = "secret";

pub(super) async fn actions(desk: &mut Desk<'_>, verb: &ActionVerb) -> Result<(), Failure> {
    match verb {
        ActionVerb::List { connector, json } => list_actions(desk, connector.as_deref(), *json).await,
        ActionVerb::Show(ShowOne { id, json }) => {
            let stored = find_action(desk, id).await?;
            Ok(output::settings(desk.out, ActionSettings::SETTINGS, &stored.texts, *json)?)
        }
        ActionVerb::Add { connector, pairs } => {
            let owner = find(desk, connector).await?;
            let texts = output::texts(ActionSettings::SETTINGS, pairs)?;
            let programs = desk.programs().await?;
            let secrets = desk.secrets().await?;
            let keeper = Keeper { db: &desk.db, secrets: &secrets, programs: &programs };
            let kept = keeper.put_action(&owner.id, (None, &texts), false, &desk.change()).await?;
            told(desk, "Added", &kept).await
        }
        ActionVerb::Set(SetOne { id, pairs, new_secret }) => {
            let stored = find_action(desk, id).await?;
            let owner = find(desk, &stored.connector_key).await?;
            let texts =
                changed(ActionSettings::SETTINGS, &stored.texts, output::texts(ActionSettings::SETTINGS, pairs)?);
            let programs = desk.programs().await?;
            let secrets = desk.secrets().await?;
            let keeper = Keeper { db: &desk.db, secrets: &secrets, programs: &programs };
            let kept = keeper.put_action(&owner.id, (Some(&stored), &texts), *new_secret, &desk.change()).await?;
            told(desk, "Saved", &kept).await
        }
        ActionVerb::Remove { id } => {
            let stored = find_action(desk, id).await?;
            let owner = find(desk, &stored.connector_key).await?;
            let words = ActionSettings::parse(&stored.texts).map(|one| one.in_words()).unwrap_or_default();
            action::remove(&desk.db, &stored, &owner.id, &desk.change()).await?;
            removed(desk, &words).await
        }
    }
}

pub(super) async fn event_targets(desk: &mut Desk<'_>, verb: &EventTargetVerb) -> Result<(), Failure> {
    match verb {
        EventTargetVerb::List { json } => list_targets(desk, *json).await,
        EventTargetVerb::Show(ShowOne { id, json }) => {
            let stored = find_target(desk, id).await?;
            Ok(output::settings(desk.out, EventTargetSettings::SETTINGS, &stored.texts, *json)?)
        }
        EventTargetVerb::Add { pairs } => {
            let texts = output::texts(EventTargetSettings::SETTINGS, pairs)?;
            put_target(desk, (None, &texts), false, "Added").await
        }
        EventTargetVerb::Set(SetOne { id, pairs, new_secret }) => {
            let stored = find_target(desk, id).await?;
            let given = output::texts(EventTargetSettings::SETTINGS, pairs)?;
            let texts = changed(EventTargetSettings::SETTINGS, &stored.texts, given);
            put_target(desk, (Some(&stored), &texts), *new_secret, "Saved").await
        }
        EventTargetVerb::Remove { id } => {
            let stored = find_target(desk, id).await?;
            let words = EventTargetSettings::parse(&stored.texts).map(|one| one.in_words()).unwrap_or_default();
            event_target::remove(&desk.db, &stored, &desk.change()).await?;
            removed(desk, &words).await
        }
    }
}

async fn put_target(
    desk: &mut Desk<'_>,
    target: (Option<&StoredTarget>, &Texts),
    anew: bool,
    done: &str,
) -> Result<(), Failure> {
    let (programs, secrets) = (desk.programs().await?, desk.secrets().await?);
    let keeper = Keeper { db: &desk.db, secrets: &secrets, programs: &programs };
    let kept = keeper.put_event_target(target, anew, &desk.change()).await?;
    told(desk, done, &kept).await
}

async fn list_actions(desk: &mut Desk<'_>, of: Option<&str>, json: bool) -> Result<(), Failure> {
    let wanted = match of {
        Some(id) => Some(find(desk, id).await?.id),
        None => None,
    };
    let connectors = connector::all(&desk.db).await?;
    let owner = |key: &str| connectors.iter().find(|one| one.id.key() == key).map_or("", |one| one.id.as_str());
    let mut all = action::stored(&desk.db).await?;
    all.retain(|one| wanted.as_ref().is_none_or(|id| id.key() == one.connector_key));
    if json {
        let listed = all.iter().map(|one| exported::SetOff {
            id: &one.id,
            connector: Some(owner(&one.connector_key)),
            settings: exported::Settings::of(ActionSettings::SETTINGS, &one.texts),
        });
        return Ok(listed.into_iter().try_for_each(|one| output::json_line(desk.out, &one))?);
    }
    if all.is_empty() {
        let words = "There is no action yet. Add one: waybill action add CONNECTOR kind=mail mail_to=edi@example.com";
        return Ok(writeln!(desk.out, "{words}")?);
    }
    let row = |one: &StoredAction| {
        let words = ActionSettings::parse(&one.texts).map(|settings| settings.in_words());
        let words = words.unwrap_or_else(|_| "This version cannot read it".to_owned());
        [one.id.clone(), output::printable(owner(&one.connector_key)), output::printable(&words)]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    Ok(output::columns(desk.out, ["ID", "CONNECTOR", "WHAT"], &rows)?)
}

async fn list_targets(desk: &mut Desk<'_>, json: bool) -> Result<(), Failure> {
    let all = event_target::all(&desk.db).await?;
    if json {
        let listed = all.iter().map(|one| exported::SetOff {
            id: &one.id,
            connector: None,
            settings: exported::Settings::of(EventTargetSettings::SETTINGS, &one.texts),
        });
        return Ok(listed.into_iter().try_for_each(|one| output::json_line(desk.out, &one))?);
    }
    if all.is_empty() {
        let words = "There is no event target yet. Add one: waybill event-target add url=https://siem.example.com/";
        return Ok(writeln!(desk.out, "{words}")?);
    }
    let row = |one: &StoredTarget| {
        let words = EventTargetSettings::parse(&one.texts).map(|settings| settings.in_words());
        [one.id.clone(), output::printable(&words.unwrap_or_else(|_| "This version cannot read it".to_owned()))]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    Ok(output::columns(desk.out, ["ID", "WHAT"], &rows)?)
}

/// The stored settings overlaid with the given ones.
fn changed(table: &'static [Setting], stored: &Texts, given: Texts) -> Texts {
    // An unknown key must be reported, so everything given goes in.
    let mut texts: Texts = stored.clone();
    texts.retain(|key, _| table.iter().any(|setting| setting.key == key));
    texts.extend(given);
    texts
}

async fn find_action(desk: &Desk<'_>, id: &str) -> Result<StoredAction, Failure> {
    let none = || Failure::Failed(format!("There is no action {id}; list them: waybill action list"));
    action::find(&desk.db, id).await?.ok_or_else(none)
}

async fn find_target(desk: &Desk<'_>, id: &str) -> Result<StoredTarget, Failure> {
    let none = || Failure::Failed(format!("There is no event target {id}; list them: waybill event-target list"));
    event_target::find(&desk.db, id).await?.ok_or_else(none)
}

async fn told(desk: &mut Desk<'_>, done: &str, kept: &Kept) -> Result<(), Failure> {
    follow::saved(desk, &format!("{done} {}: {}", kept.id, output::printable(&kept.words))).await?;
    match &kept.secret {
        Some(secret) => tell_once(desk, SECRET, secret),
        None => Ok(()),
    }
}

async fn removed(desk: &mut Desk<'_>, words: &str) -> Result<(), Failure> {
    let words = format!("Removed: {}. What waited for it has stopped.", output::printable(words));
    follow::saved(desk, &words).await.map(drop)
}

#[cfg(test)]
mod tests {
    use crate::cli::verb::tests::{refused, say};

    #[tokio::test]
    async fn actions_and_event_targets_are_added_listed_changed_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let said = async |line: &str| say(data, &line.split(' ').collect::<Vec<_>>(), "").await.unwrap();
        let no = async |line: &str| refused(data, &line.split(' ').collect::<Vec<_>>()).await;
        said("connector add Acme password=long-enough-indeed").await;
        said("connector add archive type=folder").await;
        assert!(said("action list").await.starts_with("There is no action yet."));
        assert!(no("action add archive kind=mail mail_to=a@b").await.starts_with("connector: archive is no partner"));
        assert!(no("action add acme kind=mail").await.starts_with("mail_to: A letter needs somebody"));
        assert!(no("action add acme kind=command program=x").await.starts_with("kind: There are no Commands here"));
        let added = said("action add acme url=https://erp.example.com/in names=*.x12").await;
        assert!(added.contains("After *.x12 is received: post to https://erp.example.com/in\nsecret="), "{added}");
        let id = added.split([' ', ':']).nth(1).unwrap().to_owned();
        assert!(said("action list --connector ACME").await.contains(&format!("{id}  Acme       After *.x12")));
        let changed = said(&format!("action set {id} moment=after_send")).await;
        assert!(changed.contains("After *.x12 is collected") && !changed.contains("secret="), "{changed}");
        assert!(no(&format!("action set {id} colour=red")).await.starts_with("colour: There is no setting colour"));
        assert!(said(&format!("action set {id} --new-secret")).await.contains("\nsecret="));
        assert!(said(&format!("action show {id}")).await.contains("\nnames=*.x12\n"));
        assert!(
            said("action list --json").await.contains("\"connector\":\"Acme\",\"settings\":{\"moment\":\"after_send\"")
        );
        assert!(said(&format!("action remove {id}")).await.starts_with("Removed: After *.x12 is collected"));
        assert!(no(&format!("action remove {id}")).await.starts_with(&format!("There is no action {id}")));

        let added = said("event-target add url=https://siem.example.com/ which=alerts").await;
        assert!(added.starts_with("Added ") && added.contains("\nsecret="), "{added}");
        let id = added.split([' ', ':']).nth(1).unwrap().to_owned();
        assert!(!said(&format!("event-target set {id} which=all")).await.contains("secret="));
        assert!(said("event-target list").await.contains(&id));
        said(&format!("event-target remove {id}")).await;
        assert!(said("event-target list").await.starts_with("There is no event target yet."));
    }
}
