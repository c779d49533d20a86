//! The session cookie: 32 random bytes, of which the database holds only a digest.

use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::context::Context;
use super::error::WebError;
use crate::base::id::AdministratorId;
use crate::base::secret::Secret;
use crate::store::administrator::{self, NewSession, SESSION_LIFE_MAX};

/// The cookie of a visit that has not signed in; its token protects the sign-in form.
pub const VISIT: &str = "waybill_visit";

/// The session's cookie. With TLS its name keeps others from setting it (RFC 6265bis section 4.1.3).
pub fn session_cookie(tls: bool) -> &'static str {
    if tls { "__Host-waybill" } else { "waybill" }
}

/// The token of a browser's session; empty if there is none.
pub fn session_token(headers: &HeaderMap, tls: bool) -> Secret {
    let value = cookie(headers, session_cookie(tls)).filter(|value| !value.is_empty());
    value.map_or_else(|| Secret::new(""), |value| known_by(tls, value))
}

/// Name and value of its cookie: one sent in clear, which others may have read, opens nothing over TLS.
fn known_by(tls: bool, value: &str) -> Secret {
    Secret::new(format!("{}={value}", session_cookie(tls)))
}

/// The value of a cookie that the browser sent.
pub fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// 32 random bytes as text.
pub fn random_token() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// A `Set-Cookie` header for this server only.
pub fn set_cookie(name: &str, value: &str, (tls, seconds): (bool, u64)) -> Result<HeaderValue, WebError> {
    let secure = if tls { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    HeaderValue::from_str(&text).map_err(WebError::internal)
}

/// A browser just signed in.
pub struct SignedIn {
    /// The header that sets its cookie.
    pub cookie: (axum::http::HeaderName, HeaderValue),
    /// The token of its session.
    pub token: Secret,
}

/// Signs the browser in under a new token, whatever it had before.
pub async fn sign_in(context: &Context, id: &AdministratorId) -> Result<SignedIn, WebError> {
    let state = &context.state;
    if !context.visitor.token.is_empty() {
        administrator::end_session(&state.db, &context.visitor.token).await?;
    }
    let token = random_token();
    let remote = context.visitor.remote.to_string();
    let secret = known_by(context.visitor.tls, &token);
    let agent = &context.visitor.agent;
    let new = NewSession { token: &secret, csrf_token: &random_token(), remote: &remote, agent };
    administrator::begin_session(&state.db, id, &new, context.now()).await?;
    let life = SESSION_LIFE_MAX.as_secs();
    let header = set_cookie(session_cookie(context.visitor.tls), &token, (context.visitor.tls, life))?;
    Ok(SignedIn { cookie: (SET_COOKIE, header), token: secret })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_went_in_clear_is_none_by_tls() {
        let sent = |name: &str| HeaderMap::from_iter([(COOKIE, format!("{name}=secret").parse().unwrap())]);
        let (clear, stolen) = (sent("waybill"), sent("__Host-waybill"));
        assert_eq!(session_token(&clear, false), known_by(false, "secret"));
        assert_ne!(session_token(&stolen, true), session_token(&clear, false));
        assert!(session_token(&clear, true).is_empty() && session_token(&sent("other"), false).is_empty());
    }
}
