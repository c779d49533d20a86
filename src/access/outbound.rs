//! What this appliance asks of others by https: whom it trusts, and what went wrong, in words.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use super::certificate::provider;

/// Trusts whom this machine trusts: nobody, said aloud as `who` cannot be reached, where it has no certificate
/// authorities.
pub fn tls(who: &str) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    Ok(match Verifier::new(provider) {
        Ok(verifier) => config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth(),
        Err(error) => {
            tracing::warn!(%error, "{who} can't be reached by https: install this system's ca-certificates");
            config.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        }
    })
}

/// An error with all that is behind it.
pub fn words(error: &reqwest::Error) -> String {
    let mut words = if error.is_connect() { "Could not connect".to_owned() } else { "No answer".to_owned() };
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        words = format!("{words}: {inner}");
        source = inner.source();
    }
    words
}
