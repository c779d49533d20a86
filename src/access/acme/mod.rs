//! Certificates by ACME (RFC 8555): an authority is asked for one, verifies that the host names lead here, and issues
//! it. `domain::acme` decides when that is due. Only the client's side, for host names: no wildcard, no address, no
//! external account binding.

mod answer;
mod directory;
mod follow;
mod order;

pub use follow::Acme;
