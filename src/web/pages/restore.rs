//! Settings, Backup, *Restore*: a page that says what would be lost, in numbers; then the backup replaces the data in
//! use, and the appliance begins anew.

use std::path::Path;

use askama::Template;
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
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};
use crate::web::tone::Tone;

/// The word typed to confirm.
const CONFIRM: &str = "restore";
/// A page that redirects by itself.
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

/// Says what would happen; once confirmed, does it.
pub async fn restore(context: Context, posted: Posted) -> Result<Response, WebError> {
    let backups = &context.state.backups;
    let name = posted.text("name").to_owned();
    let file = file(&context, &name)?;
    let passphrase = match backups.passphrase(posted.secret("passphrase")).await {
        Ok(passphrase) => passphrase,
        Err(BackupError::NoPassphrase) => Secret::new(""),
        Err(error) => return Err(WebError::internal(error)),
    };
    let mut problems = Vec::new();
    let is_sure = posted.text("sure") == "on";
    if is_sure {
        if posted.text("confirm").trim() != CONFIRM {
            problems.push(Problem::new("confirm", format!("Type {CONFIRM} to confirm. Nothing was changed.")));
        }
        ask_again(&context, &posted.secret("own_password"), "own_password", &mut problems).await?;
        if problems.is_empty() {
            match begin_anew(&context, (&name, &file), &passphrase).await {
                Ok(()) => return restoring(&context, name).await,
                // Asked for again below, with everything else there is to say.
                Err(BackupError::WrongPassphrase) => {}
                Err(error) => return Ok(cannot_be(&context, &name, &error)),
            }
        }
    }
    let tried = match backups.try_one(&file, Some(passphrase.clone())).await {
        Ok(tried) => Comparison::new(name.clone(), &tried),
        // It may have been made under another one, which is asked for.
        Err(BackupError::WrongPassphrase | BackupError::NoPassphrase) => Comparison::closed(name.clone()),
        Err(error) => return Ok(cannot_be(&context, &name, &error)),
    };
    if is_sure && tried.is_closed() {
        problems.insert(0, Problem::new("passphrase", BackupError::WrongPassphrase.to_string()));
    }
    let (title, status) = Problem::title(&problems, "Put a backup back");
    let page = RestorePage { shell: Shell::new(&context, title, Nav::Settings).await?, tried, problems };
    Ok((status, html(&page)?).into_response())
}

fn cannot_be(context: &Context, name: &str, error: &BackupError) -> Response {
    let text = format!("{name} cannot be put back: {error}.");
    context.leave(PATH, Note { tone: Tone::Warning, text, password: None });
    Redirect::to(PATH).into_response()
}

/// Lays the backup beside the data in use and begins anew: both or neither, whether or not the browser waits. One that
/// was only laid there would take its place at whatever start comes next.
async fn begin_anew(context: &Context, (name, file): (&str, &Path), passphrase: &Secret) -> Result<(), BackupError> {
    let (context, name) = (context.clone(), name.to_owned());
    let (file, passphrase) = (file.to_owned(), passphrase.clone());
    let work = tokio::spawn(async move {
        let remote = context.visitor.remote.to_string();
        let wanted = Wanted { file: &file, passphrase: &passphrase, who: context.who(), remote: &remote };
        context.state.backups.prepare(wanted).await?;
        tracing::warn!(backup.name = name, administrator.name = context.who(), "A backup is put back");
        context.state.restart.ask();
        Ok(())
    });
    work.await.map_err(std::io::Error::other)?
}

async fn restoring(context: &Context, name: String) -> Result<Response, WebError> {
    let page = RestoringPage { shell: Shell::new(context, "Beginning anew", Nav::Settings).await?, name };
    Ok(([(REFRESH, "5; url=/sign-in")], html(&page)?).into_response())
}
