//! Users: the administrators and their roles. Changing one needs the visitor's own password again.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use super::me;
use super::sign_in::LIMITS;
use crate::access::gate::Verdict;
use crate::access::guard::{Caller, Door, Known};
use crate::access::password;
use crate::base::human;
use crate::base::id::AdministratorId;
use crate::base::secret::Secret;
use crate::domain::administrator::{Role, check_password};
use crate::store::administrator::{self, Administrator, Edit, New, NewRole};
use crate::store::second_factor::{self, Owner};
use crate::store::setting::SaveError;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::form::{Choice, Problem};
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};
use crate::web::tone::Tone;
use crate::web::view::Time;

const PATH: &str = "/users";
const SHOWN_ONCE: &str = "The password is shown here once; hand it over now.";

struct Row {
    id: String,
    name: String,
    role: &'static str,
    own: bool,
    added: Time,
}

#[derive(Template)]
#[template(path = "users.html")]
struct AdministratorsPage {
    shell: Shell,
    rows: Vec<Row>,
    typed_name: String,
    roles: Vec<Choice>,
    problems: Vec<Problem>,
}

#[derive(Template)]
#[template(path = "user.html")]
struct AdministratorPage {
    shell: Shell,
    id: String,
    name: String,
    own: bool,
    added: Time,
    audit: String,
    /// The stored one that the form shows or was made from.
    role_was: &'static str,
    roles: Vec<Choice>,
    /// When the second factor came into force.
    factor: Option<Time>,
    browsers: Vec<me::Row>,
    browsers_at: String,
    problems: Vec<Problem>,
}

impl AdministratorsPage {
    fn error(&self, key: &str) -> &str {
        Problem::text_of(&self.problems, key)
    }
}

impl AdministratorPage {
    fn error(&self, key: &str) -> &str {
        Problem::text_of(&self.problems, key)
    }
}

fn words(role: Role) -> (&'static str, &'static str) {
    match role {
        Role::Viewer => ("Viewer", "sees everything but secrets"),
        Role::Editor => ("Editor", "also changes connectors"),
        Role::Admin => ("Admin", "also changes the profile, certificates, settings and users"),
    }
}

fn roles(chosen: Role) -> Vec<Choice> {
    let choice = |role: Role| {
        let (label, more) = words(role);
        Choice { value: role.name().into(), label: label.into(), more, chosen: role == chosen }
    };
    Role::ALL.into_iter().map(choice).collect()
}

fn is_own(context: &Context, one: &Administrator) -> bool {
    context.visitor.session.as_ref().is_some_and(|session| session.administrator.id == one.id)
}

async fn page(context: &Context, posted: &Posted, problems: Vec<Problem>) -> Result<Response, WebError> {
    let row = |one: Administrator| Row {
        id: one.id.to_string(),
        role: words(one.role).0,
        own: is_own(context, &one),
        added: one.created_at.into(),
        name: one.name,
    };
    let (title, status) = Problem::title(&problems, "Users");
    let page = AdministratorsPage {
        shell: Shell::new(context, title, Nav::Administrators).await?,
        rows: administrator::list(&context.state.db).await?.into_iter().map(row).collect(),
        typed_name: posted.text("name").to_owned(),
        roles: roles(Role::parse(posted.text("role")).unwrap_or(Role::Viewer)),
        problems,
    };
    Ok((status, html(&page)?).into_response())
}

/// The list and the form to add one.
pub async fn show(context: Context) -> Result<Response, WebError> {
    page(&context, &Posted::default(), Vec::new()).await
}

/// Adds one; a missing password is generated and shown once.
pub async fn add(context: Context, posted: Posted) -> Result<Response, WebError> {
    let state = &context.state;
    let name = posted.text("name").trim().to_owned();
    let typed = posted.secret("password");
    let mut problems = Vec::new();
    if name.is_empty() {
        problems.push(Problem::new("name", "Name is missing: type the name to sign in with"));
    }
    let role = role_of(&posted, &mut problems);
    let generated = typed.is_empty().then(password::generate);
    if generated.is_none()
        && let Err(words) = check_password(typed.reveal(), &name)
    {
        problems.push(Problem::new("password", words));
    }
    ask_again(&context, &posted.secret("own_password"), "own_password", &mut problems).await?;
    if !problems.is_empty() {
        return page(&context, &posted, problems).await;
    }
    let hash = state.gate.hasher().hash(generated.as_ref().unwrap_or(&typed)).await?;
    let new = New { name: &name, role, password_hash: &hash, only_first: false };
    match context.changing(async |change| administrator::add(&state.db, &new, change).await).await {
        Ok(_) => {}
        Err(SaveError::Mistakes(mistakes)) => {
            return page(&context, &posted, mistakes.into_iter().map(Problem::from).collect()).await;
        }
        Err(error) => return Err(WebError::internal(error)),
    }
    context.leave(PATH, told(format!("Added {name}."), generated));
    Ok(Redirect::to(PATH).into_response())
}

fn told(text: String, generated: Option<Secret>) -> Note {
    match generated {
        Some(password) => Note { tone: Tone::Good, text: format!("{text} {SHOWN_ONCE}"), password: Some(password) },
        None => Note::done(text),
    }
}

fn role_of(posted: &Posted, problems: &mut Vec<Problem>) -> Role {
    let role = Role::parse(posted.text("role"));
    if role.is_none() {
        problems.push(Problem::new("role", "Role is missing: choose viewer, editor or admin"));
    }
    role.unwrap_or(Role::Viewer)
}

/// No other role.
fn stays(found: &Administrator) -> NewRole {
    NewRole { from: found.role, to: found.role }
}

/// What was chosen in a form, in place of what it showed. One that left the role alone leaves it as it is now.
fn new_role(found: &Administrator, posted: &Posted, problems: &mut Vec<Problem>) -> NewRole {
    let to = role_of(posted, problems);
    let from = Role::parse(posted.text("role_was")).unwrap_or(found.role);
    if from == to { stays(found) } else { NewRole { from, to } }
}

/// Asks for the visitor's own password, with the guard of the sign-in page.
pub(super) async fn ask_again(
    context: &Context,
    typed: &Secret,
    key: &str,
    problems: &mut Vec<Problem>,
) -> Result<(), WebError> {
    let own = context.visitor.session.as_ref().map(|session| &session.administrator);
    let own = own.ok_or_else(WebError::stale_form)?;
    let name = own.name.to_lowercase();
    if typed.is_empty() {
        problems.push(Problem::new(key, "Your own password is missing: type the one you sign in with"));
        return Ok(());
    }
    let caller = Caller { door: Door::Web, name: &name, known: Known::Yes, address: context.visitor.remote };
    match context.state.gate.check(&caller, typed, vec![own.password_hash.clone()], Some(&LIMITS)).await? {
        Verdict::Accepted => {}
        Verdict::Wrong(delay) => {
            tokio::time::sleep(delay).await;
            problems.push(Problem::new(key, "That is not your own password: type the one you sign in with"));
        }
        Verdict::Blocked(until) => {
            let wait = human::duration(until.since(context.now()));
            problems.push(Problem::new(key, format!("Too many failed tries. Wait {wait}, then try again")));
        }
    }
    Ok(())
}

async fn find(context: &Context, id: &str) -> Result<Administrator, WebError> {
    let id = AdministratorId::parse(id).ok_or_else(WebError::not_found)?;
    administrator::by_id(&context.state.db, &id).await?.ok_or_else(WebError::not_found)
}

async fn one_page(
    context: &Context,
    found: &Administrator,
    role: NewRole,
    problems: Vec<Problem>,
) -> Result<Response, WebError> {
    let (title, status) = Problem::title(&problems, &found.name);
    let subject = [("subject", format!("administrator {}", found.name))];
    let query = serde_urlencoded::to_string(subject).map_err(WebError::internal)?;
    let page = AdministratorPage {
        shell: Shell::new(context, title, Nav::Administrators).await?,
        id: found.id.to_string(),
        name: found.name.clone(),
        own: is_own(context, found),
        added: found.created_at.into(),
        audit: format!("/audit?{query}"),
        role_was: role.from.name(),
        roles: roles(role.to),
        factor: second_factor::get(&context.state.db, &found.id).await?.map(|factor| factor.since.into()),
        browsers: me::browsers(context, &found.id).await?,
        browsers_at: format!("{PATH}/{}/browsers", found.id),
        problems,
    };
    Ok((status, html(&page)?).into_response())
}

/// One administrator.
pub async fn one(context: Context, Path(id): Path<String>) -> Result<Response, WebError> {
    let found = find(&context, &id).await?;
    one_page(&context, &found, stays(&found), Vec::new()).await
}

/// Changes role and password.
pub async fn save(context: Context, Path(id): Path<String>, posted: Posted) -> Result<Response, WebError> {
    let state = &context.state;
    let found = find(&context, &id).await?;
    let mut problems = Vec::new();
    let role = new_role(&found, &posted, &mut problems);
    let own = is_own(&context, &found);
    // A note to oneself would be lost with the session that a new password ends.
    let generated = (posted.get("generate").is_some() && !own).then(password::generate);
    let typed = posted.secret("password");
    if !typed.is_empty()
        && generated.is_none()
        && let Err(words) = check_password(typed.reveal(), &found.name)
    {
        problems.push(Problem::new("password", words));
    }
    ask_again(&context, &posted.secret("own_password"), "own_password", &mut problems).await?;
    if !problems.is_empty() {
        return one_page(&context, &found, role, problems).await;
    }
    let chosen = generated.clone().or_else(|| Some(typed).filter(|typed| !typed.is_empty()));
    let hash = match &chosen {
        Some(password) => Some(state.gate.hasher().hash(password).await?),
        None => None,
    };
    let edit = Edit { role: Some(role).filter(|role| role.from != role.to), password_hash: hash.as_deref() };
    match context.changing(async |change| administrator::edit(&state.db, &found.id, &edit, change).await).await {
        Ok(()) => {}
        Err(SaveError::Mistakes(mistakes)) => {
            return one_page(&context, &found, role, mistakes.into_iter().map(Problem::from).collect()).await;
        }
        Err(SaveError::Stale(_)) => return stale_page(&context, &id, role).await,
        Err(error) => return Err(WebError::internal(error)),
    }
    // Whoever is no admin any more finds nothing here.
    let place = if own && role.to < Role::Admin { "/flows".to_owned() } else { format!("{PATH}/{}", found.id) };
    context.leave(&place, told("Saved.".to_owned(), generated));
    Ok(Redirect::to(&place).into_response())
}

/// The form again, when somebody else has changed the role since it was shown, to a third one.
async fn stale_page(context: &Context, id: &str, role: NewRole) -> Result<Response, WebError> {
    let found = find(context, id).await?;
    let text = format!(
        "Somebody made {} {} meanwhile, and nothing of yours was saved: choose which role is to hold, then save again",
        found.name,
        words(found.role).0
    );
    let role = NewRole { from: found.role, ..role };
    let page = one_page(context, &found, role, vec![Problem::new("role", text)]).await?;
    Ok((StatusCode::CONFLICT, page).into_response())
}

/// Switches the second factor of somebody off who has lost it.
pub async fn second_factor_off(context: Context, Path(id): Path<String>, posted: Posted) -> Result<Response, WebError> {
    let found = find(&context, &id).await?;
    let mut problems = Vec::new();
    ask_again(&context, &posted.secret("factor_password"), "factor_password", &mut problems).await?;
    if !problems.is_empty() {
        return one_page(&context, &found, stays(&found), problems).await;
    }
    let owner = Owner { id: &found.id, name: &found.name };
    let db = &context.state.db;
    context.changing(async |change| second_factor::remove(db, owner, change).await).await?;
    let place = format!("{PATH}/{}", found.id);
    context.leave(&place, Note::done(format!("The second factor of {} is off.", found.name)));
    Ok(Redirect::to(&place).into_response())
}

/// Signs out one browser of somebody.
pub async fn end_browser(context: Context, Path(id): Path<String>, posted: Posted) -> Result<Response, WebError> {
    let found = find(&context, &id).await?;
    administrator::end_browser(&context.state.db, &found.id, posted.text("mark")).await?;
    let place = format!("{PATH}/{}", found.id);
    context.leave(&place, Note::done("That browser is signed out."));
    Ok(Redirect::to(&place).into_response())
}

/// Removes one, if the name was typed.
pub async fn remove(context: Context, Path(id): Path<String>, posted: Posted) -> Result<Response, WebError> {
    let state = &context.state;
    let found = find(&context, &id).await?;
    let mut problems = Vec::new();
    let typed = posted.text("confirm").trim();
    if typed != found.name {
        let words = format!("Type {} to confirm; what you typed was {typed:?}. Nothing was removed", found.name);
        problems.push(Problem::new("confirm", words));
    }
    ask_again(&context, &posted.secret("your_password"), "your_password", &mut problems).await?;
    if problems.is_empty() {
        match context.changing(async |change| administrator::remove(&state.db, &found.id, change).await).await {
            Ok(()) => {
                context.leave(PATH, Note::done(format!("Removed {}.", found.name)));
                return Ok(Redirect::to(PATH).into_response());
            }
            Err(SaveError::Mistakes(mistakes)) => problems.extend(mistakes.into_iter().map(Problem::from)),
            Err(error) => return Err(WebError::internal(error)),
        }
    }
    one_page(&context, &found, stays(&found), problems).await
}
