//! The Send tab of a connector: the files waiting for the partner, adding files, removing them.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::head::Head;
use crate::base::clock::Timestamp;
use crate::base::file_id::FileId;
use crate::base::human;
use crate::domain::administrator::Role;
use crate::domain::refusal::Rule;
use crate::domain::value::Overwrite;
use crate::store::audit::{self, Entry};
use crate::store::live::{LiveConnector, Snapshot};
use crate::transfer::depot::TransferError;
use crate::transfer::offer::{self, Fetchable, Offer, Offered, Owner, WaitingFile, WaitingFiles};
use crate::web::context::Context;
use crate::web::csrf::{Incoming, Part, Posted, Streamed};
use crate::web::error::WebError;
use crate::web::form::Problem;
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};
use crate::web::view::{PAGE_SIZE, Time};
use crate::workspace::listing::NotListed;

/// A file that nobody has collected for this long is marked.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(72);
/// Things that are never shown to the partner, listed by name.
const UNLISTED_SHOWN_MAX: usize = 20;
/// Files in one form; a browser that sends more is told so.
pub const FILES_MAX: usize = 1_000;

/// Where the list begins.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Asked {
    /// How many files come before the first.
    #[serde(default)]
    skip: usize,
}

struct Row {
    below: String,
    size: String,
    since: Time,
    age: String,
    last: Option<Time>,
    times: u64,
    forgotten: bool,
    resting: bool,
    hidden: bool,
    inode: u64,
    size_bytes: u64,
    modified_us: i64,
}

#[derive(Template)]
#[template(path = "send.html")]
struct SendPage {
    shell: Shell,
    head: Head,
    rows: Vec<Row>,
    count: String,
    unreadable: String,
    unlisted: Vec<(String, &'static str)>,
    /// How many there are; empty if none.
    unlisted_count: String,
    before: String,
    after: String,
    problems: Vec<Problem>,
    added: Vec<Offered>,
    clash: &'static str,
    may_edit: bool,
    removes: bool,
}

/// The partner's connector of that id as in force, with its configuration.
pub fn in_force(context: &Context, id: &str) -> Result<(Arc<Snapshot>, Arc<LiveConnector>), WebError> {
    let snapshot = context.state.live.snapshot();
    let live = snapshot.connector(id).cloned().ok_or_else(|| WebError::no_connector(id))?;
    if !live.connector.is_partner() {
        return Err(WebError::no_tab(&live.connector));
    }
    Ok((snapshot, live))
}

/// The tab.
pub async fn show(context: Context, Path(id): Path<String>, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let page = page(&context, &id, asked.skip).await?;
    Ok(html(&page)?.into_response())
}

async fn page(context: &Context, id: &str, skip: usize) -> Result<SendPage, WebError> {
    let (snapshot, live) = in_force(context, id)?;
    let connector = &live.connector;
    let owner = Owner { snapshot: &snapshot, connector };
    let (waiting, unreadable) = match offer::waiting(&context.state.depot, owner).await {
        Ok(waiting) => (waiting, String::new()),
        Err(error @ TransferError::NotRecorded(_)) => return Err(WebError::internal(error)),
        Err(error) => (WaitingFiles::default(), error.to_string()),
    };
    // Where Send cannot be read, that was said.
    let unlisted = offer::unlisted(&context.state.depot, owner, UNLISTED_SHOWN_MAX).await.unwrap_or_default();
    let size = usize::try_from(PAGE_SIZE).unwrap_or(usize::MAX);
    let total = waiting.files.len();
    let skip = if skip < total { skip - skip % size } else { 0 };
    let base = format!("/connectors/{}/send", connector.id);
    let count = match (waiting.more, total) {
        (true, _) => format!("More than {} files", human::thousands(total as u64)),
        (false, n) => human::count(n as u64, "file", "files"),
    };
    let now = context.now();
    Ok(SendPage {
        shell: Shell::new(context, format!("{} send", connector.id), Nav::Flows).await?,
        head: Head::new(context, &connector.id, "send").await?,
        rows: waiting.files.iter().skip(skip).take(size).map(|file| row(file, now)).collect(),
        count,
        unreadable,
        unlisted_count: unlisted_words(unlisted.count),
        unlisted: unlisted.first.into_iter().map(|one| (one.below, remedy(one.why))).collect(),
        before: if skip > 0 { format!("{base}?skip={}", skip - size) } else { String::new() },
        after: if skip + size < total { format!("{base}?skip={}", skip + size) } else { String::new() },
        problems: Vec::new(),
        added: Vec::new(),
        clash: "refuse",
        may_edit: context.may(Role::Editor),
        removes: connector.settings.remove_file_after_send,
    })
}

/// How many things the partner is never shown, in words; empty if there are none.
fn unlisted_words(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => "1 thing that lies in Send is never shown to the partner".to_owned(),
        many => format!("{} things that lie in Send are never shown to the partner", human::thousands(many as u64)),
    }
}

/// Why it is not shown, and what to do about that.
const fn remedy(why: NotListed) -> &'static str {
    match why {
        NotListed::Encoding => {
            "its name is not UTF-8. Rename it, and let the program that puts it there write names in UTF-8"
        }
        NotListed::ControlCharacter => {
            "its name has a control character, such as a tab or a line end. Rename it without"
        }
        NotListed::Link => "it is a symbolic link, and none is followed. Put the file itself there",
        NotListed::Special => "it is a pipe, a socket or a device. Put a regular file there",
    }
}

fn row(file: &WaitingFile, now: Timestamp) -> Row {
    let since = file.version.changed;
    let times = file.known.as_ref().map_or(0, |known| known.times);
    Row {
        below: file.below.clone(),
        size: human::size(file.version.size_bytes),
        age: human::ago(since, now),
        since: since.into(),
        last: file.known.as_ref().map(|known| known.seen_at.into()),
        times,
        forgotten: times == 0 && file.fetchable == Fetchable::Now && now.since(since) >= FORGOTTEN_AFTER,
        resting: file.fetchable == Fetchable::Resting,
        hidden: file.fetchable == Fetchable::Never,
        inode: file.version.inode,
        size_bytes: file.version.size_bytes,
        modified_us: file.version.modified.us(),
    }
}

/// Puts files into Send, each as it comes; one that fails does not hold up the others.
pub async fn add(context: Context, Path(id): Path<String>, mut form: Streamed) -> Result<Response, WebError> {
    let (snapshot, live) = in_force(&context, &id)?;
    let owner = Owner { snapshot: &snapshot, connector: &live.connector };
    let (mut added, mut problems) = (Vec::new(), Vec::new());
    let mut clash = Overwrite::Refuse;
    let mut beyond = 0;
    while let Some(part) = form.next().await? {
        let Part::File(file, posted) = part else { continue };
        // They are read nevertheless: no browser shows an answer before it has sent everything.
        if added.len() + problems.len() == FILES_MAX {
            beyond += 1;
            continue;
        }
        let name = file.name.clone();
        // The choice comes before the files in the form.
        clash = clash_of(posted.text("clash"));
        match put(&context, owner, file, clash).await? {
            Ok(offered) => added.push(offered),
            Err(error) => problems.push(Problem::new("files", named(&name, &words(&error)))),
        }
    }
    if beyond > 0 {
        let (most, more) = (human::thousands(FILES_MAX as u64), human::count(beyond, "file was", "files were"));
        problems
            .push(Problem::new("files", format!("A form takes {most} files; the last {more} not added: choose again")));
    }
    if added.is_empty() && problems.is_empty() {
        problems.push(Problem::new("files", "Choose at least one file"));
    }
    let base = format!("/connectors/{}/send", live.connector.id);
    if problems.is_empty() {
        context.leave(&base, Note::done(added_words(&added)));
        return Ok(Redirect::to(&base).into_response());
    }
    let mut page = page(&context, &id, 0).await?;
    page.shell.title = format!("Error: {}", page.shell.title);
    (page.problems, page.added, page.clash) = (problems, added, clash_name(clash));
    Ok((StatusCode::UNPROCESSABLE_ENTITY, html(&page)?).into_response())
}

/// One file, from the browser to the partner's Send. An outer error ends the whole form: the browser is gone.
async fn put(
    context: &Context,
    owner: Owner<'_>,
    mut file: Box<Incoming<'_>>,
    clash: Overwrite,
) -> Result<Result<Offered, TransferError>, WebError> {
    let state = &context.state;
    let mut offer = match Offer::begin(&state.depot, owner, &file.name, clash).await {
        Ok(offer) => offer,
        Err(error) => return Ok(Err(error)),
    };
    while let Some(chunk) = file.chunk().await? {
        if let Err(error) = offer.write(&chunk).await {
            return Ok(Err(error));
        }
    }
    let offered = match offer.finish().await {
        Ok(offered) => offered,
        Err(error) => return Ok(Err(error)),
    };
    let after = format!("{}, {}", offered.name, human::size(offered.size_bytes));
    note(context, owner, ("", &after)).await?;
    Ok(Ok(offered))
}

/// The audit's line for a file put into Send or removed from it.
async fn note(context: &Context, owner: Owner<'_>, (before, after): (&str, &str)) -> Result<(), WebError> {
    let subject = format!("connector {}", owner.connector.id);
    let entry = Entry { subject: &subject, key: "file in Send", before, after };
    Ok(context.changing(async |change| audit::note(&context.state.db, change, &entry).await).await?)
}

/// Removes one file, in the version that the page showed.
pub async fn remove(context: Context, Path(id): Path<String>, posted: Posted) -> Result<Response, WebError> {
    let (snapshot, live) = in_force(&context, &id)?;
    let owner = Owner { snapshot: &snapshot, connector: &live.connector };
    let below = posted.text("below");
    let base = format!("/connectors/{}/send", live.connector.id);
    match offer::remove(&context.state.depot, owner, below, seen(&posted)?).await {
        Ok(size) => {
            let before = format!("{below}, {}", human::size(size));
            note(&context, owner, (&before, "")).await?;
            context.leave(&base, Note::done(format!("Removed {below}. The partner does not see it any more.")));
            Ok(Redirect::to(&base).into_response())
        }
        Err(error) => {
            let text = match error {
                TransferError::NotFound => format!("{below} is not there any more"),
                TransferError::Changed => format!("{below} was replaced meanwhile; this is the new one"),
                TransferError::Busy => format!("{below} was collected, and its copy in Sent is still to be made"),
                error => named(below, &words(&error)),
            };
            let mut page = page(&context, &id, 0).await?;
            page.shell.title = format!("Error: {}", page.shell.title);
            page.problems = vec![Problem::new("waiting", text)];
            Ok((StatusCode::CONFLICT, html(&page)?).into_response())
        }
    }
}

fn seen(posted: &Posted) -> Result<FileId, WebError> {
    let number = |name: &str| posted.text(name).parse::<u64>().map_err(|_| WebError::stale_form());
    let modified = posted.text("modified").parse().map_err(|_| WebError::stale_form())?;
    let (inode, size_bytes) = (number("inode")?, number("size")?);
    Ok(FileId { inode, size_bytes, modified: Timestamp::from_us(modified) })
}

fn clash_of(text: &str) -> Overwrite {
    match text {
        "replace" => Overwrite::Replace,
        "number" => Overwrite::KeepBoth,
        _ => Overwrite::Refuse,
    }
}

const fn clash_name(clash: Overwrite) -> &'static str {
    match clash {
        Overwrite::Refuse => "refuse",
        Overwrite::Replace => "replace",
        Overwrite::KeepBoth => "number",
    }
}

/// Why a file could not be put there, for the administrator.
pub fn words(error: &TransferError) -> String {
    match error {
        TransferError::Refused(no) if no.rule == Rule::FileExists => {
            format!("{}. Choose to replace it or to number the new one", no.detail)
        }
        TransferError::Refused(no) if no.rule == Rule::NoRead => {
            "the partner could not fetch it: Send has no Read for this partner".to_owned()
        }
        TransferError::Refused(no) if no.rule == Rule::NameFilter => {
            format!("the partner could not fetch it: {}", no.detail)
        }
        TransferError::Refused(no) => format!("{}: {}", no.rule.label(), no.detail),
        error => error.to_string(),
    }
}

/// Words about a file, with its name unless they begin with it.
pub fn named(name: &str, words: &str) -> String {
    if words.starts_with(name) { words.to_owned() } else { format!("{name}: {words}") }
}

fn added_words(added: &[Offered]) -> String {
    match added {
        [one] => format!("Added {}. The partner sees it now.", one.name),
        many => format!("Added {} files. The partner sees them now.", human::thousands(many.len() as u64)),
    }
}
