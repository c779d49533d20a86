//! The door tried from outside: a small FTP client that does what a partner's would, step by step, each step timed.
//! It knows nothing of the engine; what it finds is what a partner finds.
//!
//! Always: it ends within [`WITHIN`], leaves no file behind, and no receipt.

mod client;
mod steps;
mod verifier;

pub use steps::{Fix, Outcome, Report, Step, Subject, WITHIN, run};
