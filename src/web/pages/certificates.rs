//! Certificates that servers present, uploaded or made here. A private key never appears on a page.

use std::sync::Arc;

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};

use super::acme::Standing;
use crate::access::certificate::{self, Authority, Held, KeyDer, Material, Urgency};
use crate::base::human;
use crate::domain::value::CertificateName;
use crate::store::certificate::Origin;
use crate::store::setting::SaveError;
use crate::web::context::Context;
use crate::web::csrf::{Posted, Uploaded};
use crate::web::error::WebError;
use crate::web::form::Problem;
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};
use crate::web::tone::Tone;
use crate::web::view::Time;

const PATH: &str = "/certificates";

struct Row {
    id: String,
    name: String,
    kind: String,
    issuer: String,
    names: Vec<String>,
    expires: String,
    left: String,
    tone: Tone,
    presented: bool,
    to_browsers: bool,
    sha256: String,
    problem: String,
}

struct AuthorityRow {
    name: String,
    subject: String,
    expiry: String,
    sha256: String,
}

#[derive(Template)]
#[template(path = "certificates.html")]
struct CertificatesPage {
    shell: Shell,
    acme: Standing,
    rows: Vec<Row>,
    typed_name: String,
    typed_made_name: String,
    typed_hosts: String,
    authorities: Vec<AuthorityRow>,
    typed_authority: String,
    problems: Vec<Problem>,
}

#[derive(Template)]
#[template(path = "certificate.html")]
struct CertificatePage {
    shell: Shell,
    row: Row,
    subject: String,
    chain: &'static str,
    since: Time,
    request: String,
    roll_back_until: Option<Time>,
    previous_sha256: String,
    typed_hosts: String,
    problems: Vec<Problem>,
}

impl CertificatesPage {
    fn error(&self, key: &str) -> &str {
        Problem::text_of(&self.problems, key)
    }
}

impl CertificatePage {
    fn error(&self, key: &str) -> &str {
        Problem::text_of(&self.problems, key)
    }
}

fn row(context: &Context, held: &Held) -> Row {
    let now = context.now();
    let stored = &held.stored;
    let served = context.state.certificates.served();
    let browsers = context.state.certificates.served_to_browsers();
    let origin = match stored.contents.origin {
        Origin::SelfSigned => "Self-signed",
        Origin::Uploaded => "Uploaded",
        Origin::Acme => "ACME",
    };
    let mut row = Row {
        id: stored.id.to_string(),
        name: stored.name.to_string(),
        kind: origin.to_owned(),
        issuer: String::new(),
        names: Vec::new(),
        expires: String::new(),
        left: "Unreadable".to_owned(),
        tone: Tone::Bad,
        to_browsers: context.visitor.tls && browsers.fingerprints().any(|(name, _)| name == stored.name.as_str()),
        presented: served.fingerprints().any(|(name, _)| name == stored.name.as_str()),
        sha256: stored.contents.sha256.clone(),
        problem: held.problem().unwrap_or_default().to_owned(),
    };
    if let Ok(facts) = &held.facts {
        let days = facts.days_left(now);
        row.kind = format!("{origin}, {}", facts.key_kind);
        row.issuer = if facts.self_signed { "Itself".to_owned() } else { facts.issuer.clone() };
        row.names.clone_from(&facts.names);
        row.expires = facts.not_after.calendar().strftime("%-d %B %Y").to_string();
        row.left = u64::try_from(days)
            .map_or_else(|_| "Expired".to_owned(), |days| format!("{} left", human::count(days, "day", "days")));
        row.tone = match Urgency::of(days) {
            None => Tone::Good,
            Some(Urgency::Month | Urgency::Fortnight) => Tone::Warning,
            Some(Urgency::Days | Urgency::Expired) => Tone::Bad,
        };
    }
    row
}

async fn page(context: &Context, posted: &Posted, problems: Vec<Problem>) -> Result<Response, WebError> {
    // The command line may have changed them.
    context.state.certificates.refresh().await?;
    let (title, status) = Problem::title(&problems, "Certificates");
    let page = CertificatesPage {
        shell: Shell::new(context, title, Nav::Certificates).await?,
        acme: Standing::of(context).await?,
        rows: context.state.certificates.list().iter().map(|held| row(context, held)).collect(),
        typed_name: posted.text("name").to_owned(),
        typed_made_name: posted.text("made_name").to_owned(),
        typed_hosts: posted.text("hosts").to_owned(),
        authorities: authorities(context),
        typed_authority: posted.text("authority").to_owned(),
        problems,
    };
    Ok((status, html(&page)?).into_response())
}

fn authorities(context: &Context) -> Vec<AuthorityRow> {
    let row = |one: &Arc<Authority>| AuthorityRow {
        name: one.stored.name.to_string(),
        subject: one.facts.subject.clone(),
        expiry: one.facts.expiry(context.now()),
        sha256: one.stored.sha256.clone(),
    };
    context.state.certificates.authorities().iter().map(row).collect()
}

async fn find(context: &Context, id: &str) -> Result<Arc<Held>, WebError> {
    context.state.certificates.refresh().await?;
    let all = context.state.certificates.list();
    all.into_iter().find(|held| held.stored.id.as_str() == id).ok_or_else(|| {
        let words = "It may have been removed; Certificates lists those there are.";
        WebError::new(axum::http::StatusCode::NOT_FOUND, "No such certificate", words)
    })
}

async fn one_page(
    context: &Context,
    held: &Held,
    hosts: Option<&str>,
    problems: Vec<Problem>,
) -> Result<Response, WebError> {
    let stored = &held.stored;
    let facts = held.facts.as_ref().ok();
    let names = facts.map(|facts| facts.names.join(", ")).unwrap_or_default();
    let (title, status) = Problem::title(&problems, stored.name.as_str());
    let page = CertificatePage {
        shell: Shell::new(context, title, Nav::Certificates).await?,
        row: row(context, held),
        subject: facts.map(|facts| facts.subject.clone()).unwrap_or_default(),
        chain: match facts {
            Some(facts) if facts.self_signed => "It vouches for itself",
            Some(facts) if facts.chain_complete => "Its issuer comes with it",
            _ => "Its issuer doesn’t come with it: some clients refuse it",
        },
        since: stored.made_at.into(),
        // One that names no host, or whose key can't be opened, has none: the rest of the page works without it.
        request: context.state.certificates.request(held).unwrap_or_default(),
        roll_back_until: stored.roll_back_until(context.now()).map(Time::from),
        previous_sha256: stored.previous.as_ref().map(|(before, _)| before.sha256.clone()).unwrap_or_default(),
        typed_hosts: hosts.map_or(names, str::to_owned),
        problems,
    };
    Ok((status, html(&page)?).into_response())
}

/// The list, and the forms to add one.
pub async fn show(context: Context) -> Result<Response, WebError> {
    page(&context, &Posted::default(), Vec::new()).await
}

/// One certificate.
pub async fn one(context: Context, Path(id): Path<String>) -> Result<Response, WebError> {
    one_page(&context, &*find(&context, &id).await?, None, Vec::new()).await
}

/// Reads what was uploaded, off the async threads: trying a password is deliberately slow.
async fn read(
    context: &Context,
    uploaded: Uploaded,
    own: Option<KeyDer>,
) -> Result<Result<Material, Problem>, WebError> {
    let now = context.now();
    if uploaded.file("file").is_none() {
        let words = "No file was chosen: choose the file that holds the certificate";
        return Ok(Err(Problem::new("file", words)));
    }
    let read = move || {
        let files: Vec<&[u8]> =
            ["file", "key_file"].iter().filter_map(|name| uploaded.file(name)).map(|bytes| bytes.as_slice()).collect();
        let password = uploaded.posted.secret("password");
        certificate::read_with(&files, (!password.is_empty()).then_some(&password), own, now)
    };
    let read = tokio::task::spawn_blocking(read).await.map_err(WebError::internal)?;
    Ok(read.map_err(|words| Problem::new(place_of(&words), words)))
}

/// The control for a mistake in a file.
fn place_of(words: &str) -> &'static str {
    if words.contains("password") { "password" } else { "file" }
}

fn check_name(key: &str, name: &str) -> Option<Problem> {
    CertificateName::parse(name).err().map(|words| Problem::new(key, words))
}

fn hosts(typed: &str) -> Vec<String> {
    typed.split([' ', ',', ';', '\n', '\r', '\t']).filter(|host| !host.is_empty()).map(str::to_owned).collect()
}

/// The message once `material` is in the store as `name`.
fn told(context: &Context, done: &str, name: &str, material: &Material) -> Note {
    let served = context.state.certificates.served();
    let presented = served.fingerprints().any(|(_, sha256)| sha256 == material.facts.sha256);
    let mut text = format!("{done} {name}: it {}.", material.facts.expiry(context.now()));
    for warning in &material.warnings {
        text.extend([" Mind: ", warning, "."]);
    }
    if !presented {
        text.push_str(" Nothing presents it yet: choose it in Profiles, FTP Server.");
    }
    let tone = if material.warnings.is_empty() { Tone::Good } else { Tone::Warning };
    Note { tone, text, password: None }
}

/// Redirects to `place` after a save, or returns the mistakes.
async fn saved(
    context: &Context,
    saved: Result<(), SaveError>,
    (place, note): (&str, impl FnOnce() -> Note),
) -> Result<Result<Response, Vec<Problem>>, WebError> {
    match saved {
        Ok(()) => {
            context.state.live.refresh().await?;
            context.leave(place, note());
            Ok(Ok(Redirect::to(place).into_response()))
        }
        Err(SaveError::Mistakes(mistakes)) => Ok(Err(mistakes.into_iter().map(Problem::from).collect())),
        Err(error) => Err(WebError::internal(error)),
    }
}

/// Adds an uploaded certificate.
pub async fn upload(context: Context, uploaded: Uploaded) -> Result<Response, WebError> {
    let certificates = &context.state.certificates;
    let posted = uploaded.posted.clone();
    let name = posted.text("name").trim();
    let mut problems: Vec<_> = check_name("name", name).into_iter().collect();
    let material = match read(&context, uploaded, None).await? {
        Ok(material) => material,
        Err(problem) => {
            problems.push(problem);
            return page(&context, &posted, problems).await;
        }
    };
    if !problems.is_empty() {
        return page(&context, &posted, problems).await;
    }
    let done = context.changing(async |change| certificates.add(name, &material, Origin::Uploaded, change).await).await;
    match saved(&context, done, (PATH, || told(&context, "Added", name, &material))).await? {
        Ok(response) => Ok(response),
        Err(problems) => page(&context, &posted, problems).await,
    }
}

/// Makes a self-signed one.
pub async fn make(context: Context, posted: Posted) -> Result<Response, WebError> {
    let certificates = &context.state.certificates;
    let name = posted.text("made_name").trim();
    let mut problems: Vec<_> = check_name("made_name", name).into_iter().collect();
    let material = match certificate::self_signed(&hosts(posted.text("hosts")), context.now()) {
        Ok(material) if problems.is_empty() => material,
        Ok(_) => return page(&context, &posted, problems).await,
        Err(words) => {
            problems.push(Problem::new("hosts", words));
            return page(&context, &posted, problems).await;
        }
    };
    let done =
        context.changing(async |change| certificates.add(name, &material, Origin::SelfSigned, change).await).await;
    match saved(&context, done, (PATH, || told(&context, "Made", name, &material))).await? {
        Ok(response) => Ok(response),
        Err(mut problems) => {
            // The store reports its own key; this page has two names.
            for problem in problems.iter_mut().filter(|problem| problem.key == "name") {
                "made_name".clone_into(&mut problem.key);
            }
            page(&context, &posted, problems).await
        }
    }
}

async fn put(
    context: &Context,
    held: &Held,
    (material, origin): (&Material, Origin),
    typed_hosts: Option<&str>,
) -> Result<Response, WebError> {
    let certificates = &context.state.certificates;
    let name = held.stored.name.as_str();
    let place = format!("{PATH}/{}", held.stored.id);
    let done = context.changing(async |change| certificates.replace(name, material, origin, change).await).await;
    match saved(context, done, (&place, || told(context, "Replaced", name, material))).await? {
        Ok(response) => Ok(response),
        Err(problems) => one_page(context, held, typed_hosts, problems).await,
    }
}

/// Replaces one with an uploaded certificate.
pub async fn replace(context: Context, Path(id): Path<String>, uploaded: Uploaded) -> Result<Response, WebError> {
    let held = find(&context, &id).await?;
    match read(&context, uploaded, context.state.certificates.key_of(&held)).await? {
        Ok(material) => put(&context, &held, (&material, Origin::Uploaded), None).await,
        Err(problem) => one_page(&context, &held, None, vec![problem]).await,
    }
}

/// Replaces one with a self-signed certificate.
pub async fn make_anew(context: Context, Path(id): Path<String>, posted: Posted) -> Result<Response, WebError> {
    let held = find(&context, &id).await?;
    let typed = posted.text("hosts");
    match certificate::self_signed(&hosts(typed), context.now()) {
        Ok(material) => put(&context, &held, (&material, Origin::SelfSigned), Some(typed)).await,
        Err(words) => one_page(&context, &held, Some(typed), vec![Problem::new("hosts", words)]).await,
    }
}

/// Restores the previous one.
pub async fn roll_back(context: Context, Path(id): Path<String>, _: Posted) -> Result<Response, WebError> {
    let held = find(&context, &id).await?;
    let name = held.stored.name.as_str();
    let done = context.changing(async |change| context.state.certificates.roll_back(name, change).await).await;
    let place = format!("{PATH}/{}", held.stored.id);
    match saved(&context, done, (&place, || Note::done(format!("Rolled {name} back to the one before.")))).await? {
        Ok(response) => Ok(response),
        Err(mut problems) => {
            for problem in &mut problems {
                "roll-back".clone_into(&mut problem.key);
            }
            one_page(&context, &held, None, problems).await
        }
    }
}

/// Removes one, if its name was typed.
pub async fn remove(context: Context, Path(id): Path<String>, posted: Posted) -> Result<Response, WebError> {
    let held = find(&context, &id).await?;
    let name = held.stored.name.as_str();
    let typed = posted.text("confirm").trim();
    if typed != name {
        let words = format!("Type {name} to confirm; what you typed was {typed:?}. Nothing was removed");
        return one_page(&context, &held, None, vec![Problem::new("confirm", words)]).await;
    }
    let done = context.changing(async |change| context.state.certificates.remove(name, change).await).await;
    match saved(&context, done, (PATH, || Note::done(format!("Removed {name} and its key.")))).await? {
        Ok(response) => Ok(response),
        Err(mut problems) => {
            for problem in &mut problems {
                "confirm".clone_into(&mut problem.key);
            }
            one_page(&context, &held, None, problems).await
        }
    }
}

/// Adds an authority of client certificates, or replaces its certificate.
pub async fn put_authority(context: Context, uploaded: Uploaded) -> Result<Response, WebError> {
    let name = uploaded.posted.text("authority").trim();
    let file = uploaded.file("authority_file").map(|bytes| bytes.to_vec()).unwrap_or_default();
    let certificates = &context.state.certificates;
    let done = context.changing(async |change| certificates.put_authority(name, &file, change).await.map(drop)).await;
    let note = || Note::done(format!("{name} is an authority: a connector's match can say ca:{name} subject:…"));
    match saved(&context, done, (PATH, note)).await? {
        Ok(response) => Ok(response),
        Err(problems) => page(&context, &uploaded.posted, of_authority(problems)).await,
    }
}

/// Removes an authority that no connector names.
pub async fn remove_authority(context: Context, posted: Posted) -> Result<Response, WebError> {
    let name = posted.text("remove_authority").trim();
    let certificates = &context.state.certificates;
    let done = context.changing(async |change| certificates.remove_authority(name, change).await).await;
    match saved(&context, done, (PATH, || Note::done(format!("Removed the authority {name}.")))).await? {
        Ok(response) => Ok(response),
        Err(problems) => page(&context, &Posted::default(), of_authority(problems)).await,
    }
}

/// This page has names and files of three kinds.
fn of_authority(mut problems: Vec<Problem>) -> Vec<Problem> {
    for problem in &mut problems {
        let key = if problem.key == "name" { "authority" } else { "authority_file" };
        key.clone_into(&mut problem.key);
    }
    problems
}
