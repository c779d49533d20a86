//! Settings, Backup: when backups are made, the existing ones, making one now, trying one.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use askama::Template;
use axum::extract::Path;
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Redirect, Response};

use super::users::ask_again;
use crate::access::backup::{self, BackupError, PASSPHRASE, Tried};
use crate::access::usable::Passphrase;
use crate::base::human;
use crate::base::secret::Secret;
use crate::domain::administrator::check_password;
use crate::domain::appliance::ApplianceSettings;
use crate::domain::setting::{Mistake, merged};
use crate::store::audit::{self, Entry};
use crate::store::backup::Contents;
use crate::store::event::Event;
use crate::store::profile;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::download::{self, Served, Wanted};
use crate::web::draft::{Draft, DraftView};
use crate::web::error::WebError;
use crate::web::form::{Field, Kind, Problem};
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell};
use crate::web::tone::Tone;
use crate::web::view::Time;

pub(super) const PATH: &str = "/settings/backup";
const KEYS: &[&str] = &["backup_at", "backup_keep", "backup_folder"];

struct Row {
    name: String,
    size: String,
    made: Time,
}

/// The result of a try.
pub(super) struct Comparison {
    pub name: String,
    /// What, in the backup, in use now; none if it does not open.
    pub rows: Vec<(&'static str, String, String)>,
}

impl Comparison {
    /// For a backup that opens.
    pub fn new(name: String, tried: &Tried) -> Self {
        let row = |what: &'static str, count: fn(&Contents) -> u64| {
            (what, human::thousands(count(&tried.backup)), human::thousands(count(&tried.now)))
        };
        let rows = vec![
            row("Connectors", |contents| contents.connectors),
            row("Administrators", |contents| contents.administrators),
            row("Certificates", |contents| contents.certificates),
            row("Receipts", |contents| contents.receipts),
        ];
        Self { name, rows }
    }

    /// For one with another passphrase.
    pub fn closed(name: String) -> Self {
        Self { name, rows: Vec::new() }
    }

    /// Whether it does not open.
    pub fn is_closed(&self) -> bool {
        self.rows.is_empty()
    }
}

#[derive(Template)]
#[template(path = "backup.html")]
struct BackupPage {
    shell: Shell,
    fields: Vec<Field>,
    keys: String,
    draft: DraftView,
    has_passphrase: bool,
    passphrase_error: String,
    own_password_error: String,
    backups: Vec<Row>,
    folder: String,
    folder_error: String,
    tried: Option<Comparison>,
}

async fn page(context: &Context, draft: &Draft) -> Result<BackupPage, WebError> {
    let (state, now) = (&context.state, context.now());
    let settings = state.live.snapshot().appliance.clone();
    let (listed, folder_error) = match state.backups.list(&settings) {
        Ok(listed) => (listed, String::new()),
        Err(error) => (Vec::new(), error.to_string()),
    };
    let row = |one: backup::Backup| Row {
        size: human::size(one.size_bytes),
        made: Time::seen(one.made_at, now),
        name: one.name,
    };
    let error = |key: &str| draft.form.mistakes.get(key).cloned().unwrap_or_default();
    Ok(BackupPage {
        shell: Shell::new(context, draft.title("Backup"), Nav::Settings).await?,
        fields: draft.form.fields(ApplianceSettings::SETTINGS, KEYS),
        keys: KEYS.join(","),
        draft: draft.view(),
        has_passphrase: state.backups.has_passphrase().await.map_err(WebError::internal)?,
        passphrase_error: error("passphrase"),
        own_password_error: error("own_password"),
        backups: listed.into_iter().map(row).collect(),
        folder: state.backups.folder(&settings).display().to_string(),
        folder_error,
        tried: None,
    })
}

async fn stored(context: &Context) -> Result<Draft, WebError> {
    Ok(Draft::stored(profile::load_appliance(&context.state.db).await?, ApplianceSettings::SETTINGS))
}

/// The form and the existing backups.
pub async fn show(context: Context) -> Result<Response, WebError> {
    let draft = stored(&context).await?;
    draft.answer(&page(&context, &draft).await?)
}

/// Saves when backups are made and, if one is typed, the passphrase.
pub async fn save(context: Context, posted: Posted) -> Result<Response, WebError> {
    let state = &context.state;
    let mut draft = Draft::typed(&posted, ApplianceSettings::SETTINGS);
    let passphrase = posted.secret("passphrase");
    let mut mistakes = passphrase_mistakes(&context, &posted, &passphrase).await?;
    if !mistakes.is_empty() {
        // What else is wrong is told at the same time.
        let all = merged(&profile::load_appliance(&state.db).await?.texts, &draft.form.texts);
        mistakes.extend(ApplianceSettings::parse(&all).err().unwrap_or_default());
        draft.form.refuse(mistakes);
    }
    let given = if passphrase.is_empty() { Passphrase::Stored } else { Passphrase::Typed };
    if !draft.form.mistakes.is_empty() || !draft.save_appliance_with(&context, given).await? {
        return draft.answer(&page(&context, &draft).await?);
    }
    if !passphrase.is_empty() {
        let put = context.changing(async |change| state.secrets.put(PASSPHRASE, &passphrase, "backups", change).await);
        put.await.map_err(WebError::internal)?;
    }
    state.live.refresh().await?;
    context.leave(PATH, Note::done("Saved. In force from the next backup."));
    Ok(Redirect::to(PATH).into_response())
}

/// Setting a passphrase needs the visitor's own password again: whoever knows the passphrase can read every key of this
/// appliance.
async fn passphrase_mistakes(
    context: &Context,
    posted: &Posted,
    passphrase: &Secret,
) -> Result<Vec<Mistake>, WebError> {
    if passphrase.is_empty() {
        return Ok(Vec::new());
    }
    let mut problems = Vec::new();
    if let Err(words) = check_password(passphrase.reveal(), "") {
        problems.push(Problem::new("passphrase", words.replace("Password", "Passphrase")));
    }
    ask_again(context, &posted.secret("own_password"), "own_password", &mut problems).await?;
    Ok(problems.into_iter().map(|problem| Mistake::new(&problem.key, problem.text)).collect())
}

/// Makes one now, completely even if the browser does not wait.
pub async fn now(context: Context, _: Posted) -> Result<Response, WebError> {
    let work = tokio::spawn(async move {
        let state = &context.state;
        let made = state.backups.make(&state.live.snapshot().appliance).await;
        let (kind, summary) = backup::told(&made);
        let note = match &made {
            Ok(_) => Note::done(format!("{summary}.")),
            Err(_) => Note { tone: Tone::Warning, text: format!("{summary}."), password: None },
        };
        if !matches!(made, Err(BackupError::NoPassphrase)) {
            state.recorder.event(Event::new(&state.ids, kind, context.now(), summary)).await;
        }
        context.leave(PATH, note);
    });
    work.await.map_err(WebError::internal)?;
    Ok(Redirect::to(PATH).into_response())
}

pub(super) fn file(context: &Context, name: &str) -> Result<std::path::PathBuf, WebError> {
    let settings = context.state.live.snapshot();
    context.state.backups.file(&settings.appliance, name).ok_or_else(WebError::not_found)
}

/// Reads one and compares it with the data in use; changes nothing.
pub async fn try_one(context: Context, posted: Posted) -> Result<Response, WebError> {
    let name = posted.text("name").to_owned();
    let file = file(&context, &name)?;
    let tried = match context.state.backups.try_one(&file, None).await {
        Ok(tried) => tried,
        Err(error) => {
            let text = format!("{name} cannot be put back: {error}.");
            context.leave(PATH, Note { tone: Tone::Warning, text, password: None });
            return Ok(Redirect::to(PATH).into_response());
        }
    };
    let draft = stored(&context).await?;
    let mut page = page(&context, &draft).await?;
    page.tried = Some(Comparison::new(name, &tried));
    draft.answer(&page)
}

/// The file itself, or the part still wanted; it opens only with the passphrase. The audit records who took it.
pub async fn download(
    context: Context,
    method: Method,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<Response, WebError> {
    let file = File::open(file(&context, &name)?).map_err(WebError::internal)?;
    let file_is = file.metadata().map_err(WebError::internal)?;
    let (size_bytes, written) = (file_is.len(), (file_is.mtime(), file_is.mtime_nsec()));
    let etag = format!("\"{}-{size_bytes}-{}.{:09}\"", file_is.ino(), written.0, written.1);
    let served = Served { name: &name, size_bytes, etag: &etag };
    let wanted = Wanted::of(&method, &headers, served);
    if wanted.is_read(&method) {
        let entry = Entry { subject: "backups", key: "downloaded", before: "", after: &name };
        context.changing(async |change| audit::note(&context.state.db, change, &entry).await).await?;
    }
    download::answer(served, wanted, file)
}
