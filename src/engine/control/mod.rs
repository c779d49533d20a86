//! One task per control connection: bytes to lines to commands to steps to replies. It alone owns the session. It works
//! on anything slow while still listening, so that NOOP, STAT and ABOR are heard meanwhile. Each file contains one part
//! of that task; none has state of its own.

mod answer;
mod connection;
mod ending;
mod secure;
mod transfer;

pub use connection::{Arrival, Control};
