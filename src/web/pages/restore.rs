//! Settings, Backup, *Restore*: a page that says what would be lost, in numbers; then the backup takes the place of what is
//! in use, and the appliance begins anew.

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::HeaderName;
use axum::response::{IntoResponse, Redirect, Response};

use super::backup::{Comparison, PATH, file};
use super::users::ask_again;
use crate::access::backup::{BackupError, Wanted};
use crate::base::secret::Secret;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::form::Problem;
use crate::web::notes::{Note, Tone};
use crate::web::shell::{Nav, Shell, html};

/// What is typed to confirm.
const CONFIRM: &str = "restore";
/// A page that leads on by itself.
const REFRESH: HeaderName = HeaderName::from_static("refresh");

#[derive(Template)]
#[template(path = "restore.html")]
struct RestorePage {
    shell: Shell,
    tried: Comparison,
    problems: Vec<Problem>,
}

impl RestorePage {
    fn error(&self, key: &str) -> &str {
        self.problems.iter().find(|problem| problem.key == key).map_or("", |problem| problem.text.as_str())
    }
}

#[derive(Template)]
#[template(path = "restoring.html")]
struct RestoringPage {
    shell: Shell,
    name: String,
}

/// Says what would become of it; when that was read, does it.
pub async fn restore(context: Context, posted: Posted) -> Result<Response, WebError> {
    let backups = &context.state.backups;
    let name = posted.text("name").to_owned();
    let file = file(&context, &name)?;
    let typed = posted.secret("passphrase");
    let passphrase = match backups.passphrase(typed.clone()).await {
        Ok(passphrase) => passphrase,
        Err(BackupError::NoPassphrase) => Secret::new(""),
        Err(error) => return Err(WebError::internal(error)),
    };
    let tried = match backups.try_one(&file, Some(passphrase.clone())).await {
        Ok(tried) => Comparison::new(name.clone(), &tried),
        // It may have been made under another one, which is asked for.
        Err(BackupError::WrongPassphrase | BackupError::NoPassphrase) => Comparison::closed(name.clone()),
        Err(error) => {
            let text = format!("{name} cannot be put back: {error}.");
            context.leave(PATH, Note { tone: Tone::Warning, text, password: None });
            return Ok(Redirect::to(PATH).into_response());
        }
    };
    let mut problems = Vec::new();
    let is_sure = posted.text("sure") == "on";
    if is_sure {
        if tried.is_closed() {
            problems.push(Problem::new("passphrase", BackupError::WrongPassphrase.to_string()));
        }
        if posted.text("confirm").trim() != CONFIRM {
            problems.push(Problem::new("confirm", format!("Type {CONFIRM} to confirm. Nothing was changed.")));
        }
        ask_again(&context, &posted.secret("own_password"), "own_password", &mut problems).await?;
    }
    if !is_sure || !problems.is_empty() {
        let (title, status) = if problems.is_empty() {
            ("Put a backup back", StatusCode::OK)
        } else {
            ("Error: Put a backup back", StatusCode::UNPROCESSABLE_ENTITY)
        };
        let page = RestorePage { shell: Shell::new(&context, title, Nav::Settings).await?, tried, problems };
        return Ok((status, html(&page)?).into_response());
    }
    let remote = context.visitor.remote.to_string();
    let wanted = Wanted { file: &file, passphrase: &passphrase, who: context.who(), remote: &remote };
    backups.prepare(wanted).await.map_err(WebError::internal)?;
    tracing::warn!(backup.name = name, administrator.name = context.who(), "A backup is put back");
    let page = RestoringPage { shell: Shell::new(&context, "Beginning anew", Nav::Settings).await?, name };
    context.state.restart.ask();
    Ok(([(REFRESH, "5; url=/sign-in")], html(&page)?).into_response())
}
