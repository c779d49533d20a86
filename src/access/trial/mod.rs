//! Tries the FTP server from outside: a small FTP client that does what a partner's would, step by step, each step
//! timed. It knows nothing of the engine; it finds what a partner would find.
//!
//! Always: it ends within [`WITHIN`] and leaves behind no file and no receipt.

mod client;
mod steps;
mod verifier;

pub use steps::{Fix, Outcome, Report, Step, Subject, WITHIN, run};
