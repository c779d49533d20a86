//! Tokens of the API: everybody has their own, and an admin may revoke anybody's. A token is shown once, when it is
//! made.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use super::users::ask_again;
use crate::base::clock::Timestamp;
use crate::base::secret::Secret;
use crate::domain::administrator::Role;
use crate::domain::api_token::TokenSettings;
use crate::domain::setting::{Texts, Value};
use crate::store::administrator::Administrator;
use crate::store::api_token::{self, TOKENS_MAX, Token};
use crate::store::setting::SaveError;
use crate::web::api;
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::form::{Field, Kind, Problem, SettingForm, posted_texts};
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};
use crate::web::tone::Tone;
use crate::web::view::Time;

const PATH: &str = "/tokens";

struct Row {
    id: String,
    name: String,
    owner: String,
    scope: &'static str,
    addresses: String,
    expires: Option<Time>,
    expired: bool,
    used: Option<Time>,
    used_from: String,
}

impl Row {
    fn new(token: &Token, now: Timestamp) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name.clone(),
            owner: token.owner.name.clone(),
            scope: token.scope.label().split_once(':').map_or(token.scope.name(), |(label, _)| label),
            addresses: token.addresses.text().replace(',', ", "),
            expires: token.expires_at.map(Time::from),
            expired: token.is_expired(now),
            used: token.used_at.map(|at| Time::seen(at, now)),
            used_from: token.used_from.clone(),
        }
    }
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage {
    shell: Shell,
    own: Vec<Row>,
    /// Only an admin sees them.
    others: Vec<Row>,
    most: i64,
    /// The one just made, shown only this once; otherwise empty.
    token: String,
    origin: String,
    fields: Vec<Field>,
    keys: String,
    problems: Vec<Problem>,
}

impl TokensPage {
    fn error(&self, key: &str) -> &str {
        Problem::text_of(&self.problems, key)
    }
}

#[derive(Template)]
#[template(path = "token_revoke.html")]
struct RevokePage {
    shell: Shell,
    row: Row,
    own: bool,
}

fn visitor(context: &Context) -> Result<&Administrator, WebError> {
    let session = context.visitor.session.as_ref().ok_or_else(|| WebError::status(StatusCode::UNAUTHORIZED))?;
    Ok(&session.administrator)
}

async fn page(context: &Context, form: &SettingForm, problems: Vec<Problem>) -> Result<Response, WebError> {
    let now = context.now();
    let visitor = visitor(context)?;
    let all = api_token::all(&context.state.db).await?;
    let (own, others): (Vec<_>, Vec<_>) = all.iter().partition(|token| token.owner.id == visitor.id);
    let rows = |tokens: &[&Token]| tokens.iter().map(|token| Row::new(token, now)).collect();
    let keys: Vec<&str> = TokenSettings::SETTINGS.iter().map(|setting| setting.key).collect();
    let (title, status) = Problem::title(&problems, "API tokens");
    let shell = Shell::new(context, title, Nav::Tokens).await?;
    let page = TokensPage {
        own: rows(&own),
        others: if context.may(Role::Admin) { rows(&others) } else { Vec::new() },
        most: TOKENS_MAX,
        token: shell.note.as_ref().map(|note| note.password.clone()).unwrap_or_default(),
        origin: context.visitor.origin(),
        fields: form.fields(TokenSettings::SETTINGS, &keys),
        keys: keys.join(","),
        problems,
        shell,
    };
    Ok((status, html(&page)?).into_response())
}

/// The list and the form to make one.
pub async fn show(context: Context) -> Result<Response, WebError> {
    page(&context, &SettingForm::showing(Texts::new()), Vec::new()).await
}

/// Makes one, which the next page shows once.
pub async fn add(context: Context, posted: Posted) -> Result<Response, WebError> {
    let texts = posted_texts(&posted, TokenSettings::SETTINGS);
    let mut form = SettingForm::showing(texts.clone());
    let settings = TokenSettings::parse(&texts).map_err(|mistakes| form.refuse(mistakes)).ok();
    let mut own_password = Vec::new();
    ask_again(&context, &posted.secret("own_password"), "own_password", &mut own_password).await?;
    if let (Some(settings), true) = (settings, own_password.is_empty()) {
        let (db, owner) = (&context.state.db, visitor(&context)?);
        let secret = Secret::new(api::new_token());
        let added =
            context.changing(async |change| api_token::add(db, owner, (&settings, &secret), change).await).await;
        match added {
            Ok(()) => {
                let text = format!(
                    "Made {}. The token is shown here once; give it to its program now.",
                    settings.name.as_str()
                );
                context.leave(PATH, Note { tone: Tone::Good, text, password: Some(secret) });
                return Ok(Redirect::to(PATH).into_response());
            }
            Err(SaveError::Mistakes(mistakes)) => form.refuse(mistakes),
            Err(error) => return Err(WebError::internal(error)),
        }
    }
    let problems = form.summary(TokenSettings::SETTINGS).into_iter().chain(own_password).collect();
    page(&context, &form, problems).await
}

/// The visitor's own token of that id; an admin finds everybody's.
async fn find(context: &Context, id: &str) -> Result<Token, WebError> {
    let visitor = visitor(context)?;
    let may = |token: &Token| token.owner.id == visitor.id || context.may(Role::Admin);
    let all = api_token::all(&context.state.db).await?;
    all.into_iter().find(|token| token.id.as_str() == id && may(token)).ok_or_else(WebError::not_found)
}

/// What would stop, before it does.
pub async fn ask_revoke(context: Context, Path(id): Path<String>) -> Result<Response, WebError> {
    let token = find(&context, &id).await?;
    let page = RevokePage {
        shell: Shell::new(&context, format!("Revoke {}", token.name), Nav::Tokens).await?,
        own: token.owner.id == visitor(&context)?.id,
        row: Row::new(&token, context.now()),
    };
    Ok(html(&page)?.into_response())
}

/// Revokes one.
pub async fn revoke(context: Context, Path(id): Path<String>, _: Posted) -> Result<Response, WebError> {
    let token = find(&context, &id).await?;
    let db = &context.state.db;
    context.changing(async |change| api_token::revoke(db, &token, change).await).await?;
    context.leave(PATH, Note::done(format!("Revoked {}. It opens nothing any more.", token.name)));
    Ok(Redirect::to(PATH).into_response())
}
