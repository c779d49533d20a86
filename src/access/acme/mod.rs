//! Certificates by ACME (RFC 8555): an authority is asked, sees that the host names lead here, and issues one. When that
//! is due is `domain::acme`'s to say. The client's side alone, for host names: no wildcard, no address, no external account
//! binding.

mod answer;
mod directory;
mod follow;
mod order;

pub use follow::Acme;
