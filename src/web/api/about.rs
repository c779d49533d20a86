//! The token of a request: the first thing to ask about.

use axum::Json;
use axum::extract::Extension;
use serde::Serialize;

use crate::store::api_token::Token;

#[derive(Serialize)]
pub struct About {
    token: String,
    scope: &'static str,
    owner: String,
    role: &'static str,
    expires_at: Option<String>,
    version: &'static str,
}

/// Its name, scope, owner and their role, and the version of Waybill.
pub async fn show(Extension(token): Extension<Token>) -> Json<About> {
    Json(About {
        token: token.name,
        scope: token.scope.name(),
        role: token.owner.role.name(),
        owner: token.owner.name,
        expires_at: token.expires_at.map(|end| end.to_string()),
        version: env!("CARGO_PKG_VERSION"),
    })
}
