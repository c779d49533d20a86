//! The first run: whoever has the one-time code makes the first administrator. The page exists only while there is
//! none; the transaction that adds one decides.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use crate::base::human;
use crate::domain::administrator::{Role, check_password};
use crate::domain::setting::Mistake;
use crate::store::administrator::{self, New};
use crate::store::setting::{Change, SaveError};
use crate::web::assets::{Addresses, addresses};
use crate::web::context::{Guest, ok, page};
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::form::Problem;
use crate::web::login;
use crate::web::setup_code::Tried;

/// Name, password, one-time code.
#[derive(Debug, Template)]
#[template(path = "setup.html")]
pub struct SetupPage {
    csrf: String,
    theme: &'static str,
    code: String,
    name: String,
    problems: Vec<Problem>,
    files: &'static Addresses,
}

impl SetupPage {
    fn new(guest: &Guest) -> Self {
        Self {
            csrf: guest.visitor.csrf.clone(),
            theme: guest.visitor.theme.name(),
            code: String::new(),
            name: String::new(),
            problems: Vec::new(),
            files: addresses(),
        }
    }

    /// What is wrong with a field; empty: nothing.
    pub fn mistake(&self, id: &str) -> &str {
        self.problems.iter().find(|problem| problem.id == id).map_or("", |problem| problem.text.as_str())
    }

    /// The ids that describe a field.
    pub fn described_by(&self, id: &str) -> String {
        if self.mistake(id).is_empty() { format!("{id}-hint") } else { format!("{id}-hint {id}-mistake") }
    }

    /// A page for tests.
    pub fn sample() -> Self {
        Self {
            csrf: "token".to_owned(),
            theme: "",
            code: "ABCD".to_owned(),
            name: "mira".to_owned(),
            problems: vec![
                Problem { id: "code".to_owned(), text: "This is not the code.".to_owned() },
                Problem { id: "password".to_owned(), text: "Password needs at least 12 characters".to_owned() },
            ],
            files: addresses(),
        }
    }
}

/// Shows the page.
pub async fn show(guest: Guest) -> Result<Response, WebError> {
    ok(&SetupPage::new(&guest))
}

/// Makes the administrator and signs in.
pub async fn submit(guest: Guest, posted: Posted) -> Result<Response, WebError> {
    let name = posted.text("name").trim();
    let mut mistakes = check(&posted, name);
    // The code is looked at last, so that a short password does not cost a try.
    if mistakes.is_empty() {
        mistakes.extend(check_code(&guest, posted.text("code")));
    }
    if mistakes.is_empty() {
        match add(&guest, name, &posted).await? {
            Ok(response) => return Ok(response),
            Err(found) => mistakes = found,
        }
    }
    let problem = |mistake: Mistake| Problem { id: mistake.key, text: mistake.message };
    let again = SetupPage {
        code: posted.text("code").to_owned(),
        name: name.to_owned(),
        problems: mistakes.into_iter().map(problem).collect(),
        ..SetupPage::new(&guest)
    };
    page(StatusCode::UNPROCESSABLE_ENTITY, &again)
}

fn check(posted: &Posted, name: &str) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    if posted.text("code").trim().is_empty() {
        mistakes.push(Mistake::new("code", "The code is missing. It was printed when Waybill started."));
    }
    if name.is_empty() {
        mistakes.push(Mistake::new("name", "Name is missing: type the name to sign in with"));
    }
    let password = posted.secret("password");
    if let Err(message) = check_password(password.reveal(), name) {
        mistakes.push(Mistake::new("password", message));
    } else if password != posted.secret("again") {
        mistakes.push(Mistake::new("again", "The two passwords differ. Type the same one twice."));
    }
    mistakes
}

fn check_code(guest: &Guest, typed: &str) -> Option<Mistake> {
    match guest.state.setup_code.check(typed, guest.now()) {
        Tried::Right => None,
        Tried::Wrong => Some(Mistake::new("code", "This is not the code. It was printed when Waybill started.")),
        Tried::Wait(wait) => {
            let wait = human::duration(wait.max(std::time::Duration::from_secs(1)));
            Some(Mistake::new("code", format!("Too many wrong codes. Wait {wait}, then try again.")))
        }
    }
}

async fn add(guest: &Guest, name: &str, posted: &Posted) -> Result<Result<Response, Vec<Mistake>>, WebError> {
    let hash = guest.state.gate.hasher().hash(&posted.secret("password")).await?;
    let remote = guest.visitor.remote.to_string();
    let change = Change { who: name, remote: &remote, at: guest.now(), ids: &guest.state.ids };
    let new = New { name, role: Role::Admin, password_hash: &hash, only_first: true };
    match administrator::add(&guest.state.db, &new, &change).await {
        Ok(true) => {}
        // Somebody else was first.
        Ok(false) => return Ok(Ok(Redirect::to("/sign-in").into_response())),
        Err(SaveError::Mistakes(mistakes)) => return Ok(Err(mistakes)),
        Err(error) => return Err(WebError::internal(error)),
    }
    let Some(added) = administrator::find(&guest.state.db, name).await? else {
        return Err(WebError::internal("the administrator who was just added is not there"));
    };
    tracing::info!(administrator.name = name, "Made the first administrator");
    Ok(Ok(login::begin(guest, &added.id, "/flows").await?))
}
