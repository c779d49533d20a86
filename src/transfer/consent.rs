//! Who is asked before a partner gets a file of its Send: what stands above the transfers answers.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::depot::{Party, TransferError};
use crate::domain::refusal::Rule;
use crate::domain::value::ActionMoment;
use crate::workspace::download::Source;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who asks.
    pub party: Party,
    /// The file as the partner sees it.
    pub path: String,
    /// The open file.
    pub source: Source,
}

/// The answer: why not, in words.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Agrees that a file is sent, or does not, within a time of its own.
pub trait Consent: Debug + Send + Sync {
    /// One file.
    fn ask(&self, asked: Asked) -> Answer<'_>;
}

/// Whoever is asked; nobody in tests and in processes that only look.
#[derive(Clone, Debug, Default)]
pub struct Consents(Option<Arc<dyn Consent>>);

impl Consents {
    /// That one is asked.
    pub fn of(consent: impl Consent + 'static) -> Self {
        Self(Some(Arc::new(consent)))
    }

    /// Asks, if the connector has an action that this file sets off.
    pub(super) async fn ask(&self, party: &Party, path: &str, source: &Source) -> Result<(), TransferError> {
        let (connector, size) = (party.connector().id.as_str(), source.version().size_bytes);
        let is_asked = party.snapshot.set_off(ActionMoment::BeforeSend, connector, (path, size)).next().is_some();
        let Some(consent) = self.0.as_ref().filter(|_| is_asked) else { return Ok(()) };
        let asked = Asked { party: party.clone(), path: path.to_owned(), source: source.clone() };
        consent.ask(asked).await.map_err(|why| TransferError::refused(Rule::BeforeSend, why))
    }
}
