//! One task per control connection: bytes to lines to commands to steps to replies. It alone owns the session; what takes
//! time it works at while it listens, so that NOOP, STAT and ABOR are heard meanwhile. Each file holds one part of what that
//! task does; none holds state of its own.

mod answer;
mod connection;
mod ending;
mod secure;
mod transfer;

pub use connection::{Arrival, Control};
