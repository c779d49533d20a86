//! The authorities of client certificates: those that the appliance trusts to identify a partner.

use std::sync::Arc;

use super::check::{self, Facts};
use super::client::{self, Authority, read_authority};
use super::held::{Certificates, State, parse_name};
use super::proof::Shown;
use crate::domain::value::CertificateMatch;
use crate::store::StoreError;
use crate::store::authority::{self, StoredAuthority};
use crate::store::setting::{Change, SaveError};

impl Certificates {
    /// Every authority at the last refresh, by name.
    pub fn authorities(&self) -> Vec<Arc<Authority>> {
        self.0.state.load().authorities.clone()
    }

    /// Whether the certificate that a client showed is the `wanted` one; if not, why, in words for the administrator.
    pub fn judge(&self, shown: &Shown, wanted: &CertificateMatch) -> Result<(), String> {
        client::judge(shown, wanted, &self.0.state.load().authorities, self.0.clock.now())
    }

    /// Adds an authority, or replaces its certificates; returns the contents of the first.
    pub async fn put_authority(&self, name: &str, file: &[u8], change: &Change<'_>) -> Result<Facts, SaveError> {
        let wrong = |words| SaveError::mistake("file", words);
        let name = parse_name(name)?;
        let pem = read_authority(file).map_err(wrong)?;
        let facts = check::chain_of(&pem).and_then(|chain| Facts::of(&chain)).map_err(wrong)?;
        let stored = StoredAuthority { name, pem, sha256: facts.sha256.clone(), added_at: change.at };
        Authority::open(stored.clone()).map_err(wrong)?;
        authority::put(&self.0.db, &stored, change).await?;
        self.refresh().await?;
        Ok(facts)
    }

    /// Removes an authority; refused while a connector names it.
    pub async fn remove_authority(&self, name: &str, change: &Change<'_>) -> Result<(), SaveError> {
        authority::remove(&self.0.db, &parse_name(name)?, change).await?;
        Ok(self.refresh().await?)
    }

    /// What was opened before stays open; one that cannot be opened is logged and left out.
    pub(super) async fn open_authorities(&self, before: &State) -> Result<Vec<Arc<Authority>>, StoreError> {
        let open = |stored: StoredAuthority| {
            if let Some(known) = before.authorities.iter().find(|known| known.stored == stored) {
                return Some(Arc::clone(known));
            }
            let name = stored.name.clone();
            match Authority::open(stored) {
                Ok(opened) => Some(Arc::new(opened)),
                Err(problem) => {
                    tracing::error!(authority = %name, "An authority of client certificates is left out: {problem}");
                    None
                }
            }
        };
        Ok(authority::all(&self.0.db).await?.into_iter().filter_map(open).collect())
    }
}
