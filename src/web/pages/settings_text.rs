//! Export and import: all settings as one text, and the changes such a text would make, before it does.

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect, Response};

use super::settings::shut_out;
use super::users::ask_again;
use crate::access::lacking::{Lacking, lacking};
use crate::access::reading_in;
use crate::base::human;
use crate::domain::setting::Texts;
use crate::store::audit::Entered;
use crate::store::import::{Checks, Mode};
use crate::store::setting::SaveError;
use crate::store::settings_file::SettingsFile;
use crate::web::context::Context;
use crate::web::csrf::Uploaded;
use crate::web::error::WebError;
use crate::web::form::Problem;
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};

const PATH: &str = "/settings/export";
/// Lines about what has no password or secret.
const LACKING_SHOWN_MAX: usize = 100;

#[derive(Template)]
#[template(path = "settings_text.html")]
struct SettingsTextPage {
    shell: Shell,
    /// The text sent; empty at first.
    text: String,
    /// What it would change; shown once it was inspected.
    preview: Option<Vec<Entered>>,
    /// What it would leave waiting, which needs confirmation.
    waits: Vec<String>,
    problems: Vec<Problem>,
    /// What has no password or secret, at most [`LACKING_SHOWN_MAX`].
    lacking: Vec<Lacking>,
    /// How many more there are.
    lacking_more: usize,
}

impl SettingsTextPage {
    fn error(&self, key: &str) -> &str {
        Problem::text_of(&self.problems, key)
    }

    /// Whether there is something to import.
    fn may_import(&self) -> bool {
        self.preview.as_ref().is_some_and(|rows| !rows.is_empty())
    }
}

/// The effect of a text.
#[derive(Debug, Default)]
struct Preview {
    changes: Vec<Entered>,
    waits: Vec<String>,
}

async fn page(
    context: &Context,
    text: String,
    preview: Option<Preview>,
    problems: Vec<Problem>,
) -> Result<Response, WebError> {
    let (title, status) = Problem::title(&problems, "Export and import");
    let shell = Shell::new(context, title, Nav::Settings).await?;
    let (preview, waits) = preview.map(|preview| (preview.changes, preview.waits)).unzip();
    let mut lacking: Vec<_> = lacking(&context.state.db, context.now()).await?.into_iter().collect();
    let lacking_more = lacking.len().saturating_sub(LACKING_SHOWN_MAX);
    lacking.truncate(LACKING_SHOWN_MAX);
    let waits = waits.unwrap_or_default();
    let page = SettingsTextPage { shell, text, preview, waits, problems, lacking, lacking_more };
    Ok((status, html(&page)?).into_response())
}

/// The page.
pub async fn show(context: Context) -> Result<Response, WebError> {
    page(&context, String::new(), None, Vec::new()).await
}

/// The text, to be kept.
pub async fn export(context: Context) -> Result<Response, WebError> {
    let file = SettingsFile::read(&context.state.db).await?;
    let headers = [
        (CONTENT_TYPE, "application/toml; charset=utf-8"),
        (CONTENT_DISPOSITION, "attachment; filename=\"waybill-settings.toml\""),
    ];
    Ok((headers, file.text()).into_response())
}

/// Shows what a text would change, or changes it.
pub async fn import(context: Context, uploaded: Uploaded) -> Result<Response, WebError> {
    let posted = &uploaded.posted;
    let text = match uploaded.file("file") {
        Some(bytes) => std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| {
            let text = "Settings are text in UTF-8, as Download settings gives it. Nothing was changed.";
            WebError::new(StatusCode::UNPROCESSABLE_ENTITY, "This file is no text", text)
        })?,
        None => posted.text("text").to_owned(),
    };
    let file = match SettingsFile::parse(&text) {
        Ok(file) => file,
        Err(mistake) => return page(&context, text, None, vec![mistake.into()]).await,
    };
    let preview = match run(&context, &file, Mode::Try).await? {
        Ok(changes) => Preview { changes, waits: reading_in::left_waiting(&context.state.db, &file).await? },
        Err(problems) => return page(&context, text, None, problems).await,
    };
    // A chosen file is inspected first: otherwise the import would not be what was shown.
    if posted.get("apply").is_none() || uploaded.file("file").is_some() {
        return page(&context, text, Some(preview), Vec::new()).await;
    }
    let mut problems = Vec::new();
    ask_again(&context, &posted.secret("own_password"), "own_password", &mut problems).await?;
    if !preview.waits.is_empty() && posted.get("anyway").is_none() {
        problems.push(Problem::new(
            "anyway",
            "Files wait for connectors that it would disable. Tick that it may, or take them out of the text",
        ));
    }
    if !problems.is_empty() {
        return page(&context, text, Some(preview), problems).await;
    }
    let lacked = lacking(&context.state.db, context.now()).await?;
    let changes = match run(&context, &file, Mode::Do).await? {
        Ok(changes) => human::count(changes.len() as u64, "change", "changes"),
        Err(problems) => return page(&context, text, None, problems).await,
    };
    context.state.live.refresh().await?;
    let lack = lacking(&context.state.db, context.now()).await?.difference(&lacked).count();
    let still = match lack {
        0 => String::new(),
        1 => " 1 of what was added has no password or secret yet; it is below.".to_owned(),
        many => format!(" {many} of what was added have no password or secret yet; they are below."),
    };
    context.leave(PATH, Note::done(format!("{changes} made. In force now.{still}")));
    Ok(Redirect::to(PATH).into_response())
}

/// What changes, or would; or the mistakes, each with its place in the file.
async fn run(
    context: &Context,
    file: &SettingsFile,
    mode: Mode,
) -> Result<Result<Vec<Entered>, Vec<Problem>>, WebError> {
    if let Some(mistake) = shut_out(context, &file.settings).await? {
        return Ok(Err(vec![Problem::new("text", format!("settings.{mistake}"))]));
    }
    let (db, programs) = (&context.state.db, &context.state.programs);
    let connector = |stored: &Texts, values: &Texts| programs.check(stored, values);
    let action = |stored: &Texts, values: &Texts| programs.check_action_texts(stored, values);
    let checks = Checks { connector: &connector, action: &action };
    match context.changing(async |change| reading_in::read_in(db, file, (mode, &checks), change).await).await {
        Ok(changes) => Ok(Ok(changes)),
        Err(SaveError::Mistakes(mistakes)) => {
            Ok(Err(mistakes.iter().map(|mistake| Problem::new("text", mistake.to_string())).collect()))
        }
        Err(error) => Err(WebError::internal(error)),
    }
}
