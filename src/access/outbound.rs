//! This appliance's own https requests: whom it trusts, and errors in words.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use super::certificate::provider;

/// Trusts the authorities that this machine trusts; if it has none, that is logged, and `who` cannot be reached.
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

/// An error with its whole chain of causes.
pub fn words(error: &reqwest::Error) -> String {
    let mut words = if error.is_connect() { "Could not connect".to_owned() } else { "No answer".to_owned() };
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        words = format!("{words}: {inner}");
        source = inner.source();
    }
    words
}
