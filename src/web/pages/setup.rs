//! The first run: one page makes the administrator. It exists only while there is none.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use crate::domain::administrator::{Role, check_password};
use crate::store::administrator::{self, New};
use crate::store::setting::SaveError;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::form::Problem;
use crate::web::login;
use crate::web::setup_code::Tried;
use crate::web::shell::{Nav, Shell, html};

/// Who made the first administrator, for the audit.
const FIRST_RUN: &str = "first run";

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage {
    shell: Shell,
    name: String,
    problems: Vec<Problem>,
}

impl SetupPage {
    /// What is wrong with one field; empty if nothing is.
    fn error(&self, key: &str) -> &str {
        self.problems.iter().find(|problem| problem.key == key).map_or("", |problem| problem.text.as_str())
    }
}

async fn page(context: &Context, name: &str, problems: Vec<Problem>) -> Result<Response, WebError> {
    let (title, status) = if problems.is_empty() {
        ("First run", StatusCode::OK)
    } else {
        ("Error: First run", StatusCode::UNPROCESSABLE_ENTITY)
    };
    let shell = Shell::new(context, title, Nav::Elsewhere).await?;
    Ok((status, html(&SetupPage { shell, name: name.to_owned(), problems })?).into_response())
}

/// The form.
pub async fn show(context: Context) -> Result<Response, WebError> {
    if administrator::count(&context.state.db).await? > 0 {
        return Err(WebError::not_found());
    }
    page(&context, "", Vec::new()).await
}

/// Somebody else was faster.
fn too_late() -> WebError {
    WebError::new(
        StatusCode::CONFLICT,
        "There is an administrator already",
        "Somebody finished the set-up before this form came: it made nobody. Sign in with the name and the password that were \
         chosen there.",
    )
}

/// Makes the administrator; whether one exists already is decided within the same transaction.
pub async fn submit(mut context: Context, posted: Posted) -> Result<Response, WebError> {
    let state = &context.state;
    if administrator::count(&state.db).await? > 0 {
        return Err(too_late());
    }
    let name = posted.text("name").trim().to_owned();
    let password = posted.secret("password");
    let problem = |key: &str, text: String| Problem { key: key.to_owned(), text };
    let mut problems = Vec::new();
    match state.setup_code.check(posted.text("code"), (context.visitor.remote, context.now())) {
        Tried::Right => {}
        Tried::Wrong => {
            let text = "That is not the code. It was printed when the appliance started; look at its output or log";
            problems.push(problem("code", text.to_owned()));
        }
        Tried::Wait(wait) => {
            let wait = crate::base::human::duration(wait.max(std::time::Duration::from_secs(1)));
            problems.push(problem("code", format!("Too many wrong codes. Wait {wait}, then try again")));
        }
    }
    if name.is_empty() {
        problems.push(problem("name", "Name is missing: type the name to sign in with".to_owned()));
    }
    if let Err(text) = check_password(password.reveal(), &name) {
        problems.push(problem("password", text));
    }
    if !problems.is_empty() {
        return page(&context, &name, problems).await;
    }
    let hash = state.gate.hasher().hash(&password).await?;
    // Nobody is signed in; the audit tells how it came about.
    FIRST_RUN.clone_into(&mut context.visitor.who);
    let new = New { name: &name, role: Role::Admin, password_hash: &hash, only_first: true };
    let added = context.changing(async |change| administrator::add(&state.db, &new, change).await).await;
    match added {
        Ok(true) => {}
        Ok(false) => return Err(too_late()),
        Err(SaveError::Mistakes(mistakes)) => {
            let problems = mistakes.into_iter().map(|mistake| problem(&mistake.key, mistake.message)).collect();
            return page(&context, &name, problems).await;
        }
        Err(error) => return Err(WebError::internal(error)),
    }
    let made = administrator::find(&state.db, &name).await?.ok_or_else(WebError::not_found)?;
    let signed_in = login::sign_in(&context, &made.id).await?;
    Ok(([signed_in.cookie], Redirect::to("/")).into_response())
}
