//! Who is asked before a partner gets a file from its Send: a higher floor answers.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::depot::{Party, TransferError};
use crate::base::path::VirtualPath;
use crate::domain::place::{Folder, Place};
use crate::domain::refusal::Rule;
use crate::domain::value::ActionMoment;
use crate::workspace::download::Source;

/// A question.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The partner that wants the file.
    pub party: Party,
    /// The file as the partner sees it.
    pub path: String,
    /// The open file.
    pub source: Source,
}

/// The answer: an error says in words why not.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Decides whether a file may be sent, within a time limit of its own.
pub trait Consent: Debug + Send + Sync {
    /// Asks about one file.
    fn ask(&self, asked: Asked) -> Answer<'_>;
}

/// Whether an action is asked before the partner gets this file; only for files in Send.
pub fn is_wanted(party: &Party, path: &VirtualPath, size_bytes: u64) -> bool {
    let connector = party.connector();
    let place = Place::of(&connector.settings, path);
    let (Place::Within(Folder::Send, _), Some(path)) = (&place, place.path()) else { return false };
    let id = connector.id.as_str();
    party.snapshot.set_off(ActionMoment::BeforeSend, id, (&path.to_string(), size_bytes)).next().is_some()
}

/// Who is asked; nobody in tests and in processes that only read.
#[derive(Clone, Debug, Default)]
pub struct Consents(Option<Arc<dyn Consent>>);

impl Consents {
    /// With this one to ask.
    pub fn of(consent: impl Consent + 'static) -> Self {
        Self(Some(Arc::new(consent)))
    }

    /// Asks, if the connector has an action that this file sets off.
    pub(super) async fn ask(&self, party: &Party, path: &VirtualPath, source: &Source) -> Result<(), TransferError> {
        let is_asked = is_wanted(party, path, source.version().size_bytes);
        let Some(consent) = self.0.as_ref().filter(|_| is_asked) else { return Ok(()) };
        let asked = Asked { party: party.clone(), path: path.to_string(), source: source.clone() };
        consent.ask(asked).await.map_err(|why| TransferError::refused(Rule::BeforeSend, why))
    }
}
