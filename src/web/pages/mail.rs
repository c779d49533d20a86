//! Profiles, Mail: the mail server, and who is told of what.

use std::time::Duration;

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};

use crate::access::mail::{Letter, MailServer, PASSWORD};
use crate::base::id::EventId;
use crate::domain::administrator::Role;
use crate::domain::appliance::ApplianceSettings;
use crate::domain::connector::ConnectorSettings;
use crate::domain::setting::Mistake;
use crate::domain::value::{MailAddress, MailAddresses};
use crate::store::profile;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::draft::{Draft, DraftView};
use crate::web::error::WebError;
use crate::web::form::{Field, Kind};
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell};
use crate::web::tone::Tone;

const PATH: &str = "/profiles/mail";
const SERVER: &[&str] = &["mail_host", "mail_port", "mail_tls", "mail_user"];
const SENDER: &[&str] = &["mail_from"];
const ALERTS: &[&str] =
    &["mail_to", "alert_on", "alert_subject", "alerts_per_hour_max", "alert_refusals_per_hour", "alert_not_seen_days"];
/// Characters of a password for a mail server.
const PASSWORD_CHARS_MAX: usize = 1_000;

#[derive(Template)]
#[template(path = "mail.html")]
struct MailPage {
    shell: Shell,
    server: Vec<Field>,
    sender: Vec<Field>,
    alerts: Vec<Field>,
    keys: String,
    draft: DraftView,
    password_error: String,
    may_edit: bool,
    /// Whether a test letter can be sent.
    is_set: bool,
}

async fn page(context: &Context, draft: &Draft) -> Result<MailPage, WebError> {
    let fields = |keys: &[&str]| draft.form.fields(ApplianceSettings::SETTINGS, keys);
    let settings = &context.state.live.snapshot().appliance;
    Ok(MailPage {
        shell: Shell::new(context, draft.title("Mail"), Nav::Profiles).await?,
        server: fields(SERVER),
        sender: fields(SENDER),
        alerts: fields(ALERTS),
        keys: [SERVER, SENDER, ALERTS].concat().join(","),
        draft: draft.view(),
        password_error: draft.form.mistakes.get("password").cloned().unwrap_or_default(),
        may_edit: context.may(Role::Admin),
        is_set: is_set(settings) && !settings.mail_to.is_empty(),
    })
}

/// The form with the stored settings.
pub async fn show(context: Context) -> Result<Response, WebError> {
    let draft = Draft::stored(profile::load_appliance(&context.state.db).await?, ApplianceSettings::SETTINGS);
    draft.answer(&page(&context, &draft).await?)
}

/// Saves.
pub async fn save(context: Context, posted: Posted) -> Result<Response, WebError> {
    let state = &context.state;
    let mut draft = Draft::typed(&posted, ApplianceSettings::SETTINGS);
    let password = posted.secret("password");
    if password.reveal().chars().count() > PASSWORD_CHARS_MAX {
        let words = format!("A password has at most {PASSWORD_CHARS_MAX} characters");
        draft.form.refuse(vec![Mistake::new("password", words)]);
        return draft.answer(&page(&context, &draft).await?);
    }
    if !draft.save_appliance(&context).await? {
        draft.miss_secret(&posted);
        return draft.answer(&page(&context, &draft).await?);
    }
    if !password.is_empty() {
        let put = context.changing(async |change| state.secrets.put(PASSWORD, &password, "settings", change).await);
        put.await.map_err(WebError::internal)?;
    }
    state.live.refresh().await?;
    context.leave(PATH, Note::done("Saved. In force now."));
    Ok(Redirect::to(PATH).into_response())
}

/// *Send test*: a letter to everybody who gets alerts, and the mail server's answer.
pub async fn test(context: Context, _: Posted) -> Result<Response, WebError> {
    let note = send_test(&context, None).await;
    context.leave(PATH, note);
    Ok(Redirect::to(PATH).into_response())
}

/// Who gets alerts: all of them, or those about one connector.
pub fn alerted<'a>(settings: &'a ApplianceSettings, connector: Option<&'a ConnectorSettings>) -> &'a MailAddresses {
    let own = connector.and_then(ConnectorSettings::own_alerts).map(|own| &own.alert_to);
    own.filter(|own| !own.is_empty()).unwrap_or(&settings.mail_to)
}

/// Whether there is a mail server and a sender.
pub fn is_set(settings: &ApplianceSettings) -> bool {
    settings.mail_host.is_some() && settings.mail_from.is_some()
}

/// How long *Send test* waits: less than a request may take, so that the page can say whose fault it is.
const TEST_WITHIN: Duration = Duration::from_secs(20);

async fn in_time(within: Duration, sending: impl Future<Output = Result<String, String>>) -> Result<String, String> {
    tokio::time::timeout(within, sending).await.unwrap_or_else(|_| {
        let seconds = within.as_secs();
        Err(format!(
            "the mail server has not taken the letter within {seconds} s; see whether host, port and TLS are right"
        ))
    })
}

/// Sends a letter like an alert, general or about one connector; returns the outcome.
pub async fn send_test(context: &Context, connector: Option<&ConnectorSettings>) -> Note {
    let settings = &context.state.live.snapshot().appliance;
    let own = connector.and_then(ConnectorSettings::own_alerts).and_then(|own| own.alert_subject.as_ref());
    let letter = Letter {
        to: alerted(settings, connector).iter().cloned().collect(),
        subject: format!("{} a test", own.unwrap_or(&settings.alert_subject).as_str()),
        text: format!("{} sent this letter to see whether mail arrives. Nothing is wrong.\n", context.who()),
        id: EventId::new(&context.state.ids).to_string(),
    };
    let sent = match MailServer::of(settings, &context.state.secrets).await {
        Ok(server) if !letter.to.is_empty() => in_time(TEST_WITHIN, server.send(&letter)).await,
        Ok(_) => Err("There are no recipients".to_owned()),
        Err(why) => Err(why),
    };
    match sent {
        Ok(said) => {
            let to = letter.to.iter().map(MailAddress::as_str).collect::<Vec<_>>().join(", ");
            Note::done(format!("Sent to {to}. The mail server said: {said}"))
        }
        Err(why) => Note { tone: Tone::Warning, text: format!("Not sent: {why}"), password: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_mail_server_that_says_nothing_is_told_as_that() {
        let sent = in_time(Duration::from_millis(5), std::future::pending()).await;
        assert!(sent.unwrap_err().starts_with("the mail server has not taken the letter"));
        assert_eq!(in_time(TEST_WITHIN, async { Ok("250 ok".to_owned()) }).await, Ok("250 ok".to_owned()));
        assert!(TEST_WITHIN < crate::web::routes::REQUEST_WITHIN, "else the page cannot say it");
    }
}
