//! The certificate store: reads what administrators upload, explains every mistake in words, seals private keys and
//! holds what servers present now. A private key leaves this folder only sealed, or as a signer for TLS.

mod authorities;
mod check;
mod client;
mod expiry;
#[cfg(test)]
pub(crate) mod fixtures;
mod held;
mod keystore;
mod made;
mod parse;
mod pem;
mod proof;
mod provider;
mod served;

pub(in crate::access) use check::signer;
pub use check::{Facts, Material};
pub use client::{Authority, read_authority};
pub use expiry::{Expiring, Urgency};
pub use held::{Certificates, Held, OpenError, SELF_SIGNED};
pub use keystore::{KeyDer, SealError, Sealer};
pub use made::{Request, csr, self_signed};
pub use parse::{FILE_BYTES_MAX, read, read_with};
pub use proof::{Asking, Shown, asking};
pub use provider::{gather_entropy, provider};
pub use served::{ForHost, Served};
