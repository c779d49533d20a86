//! Floor 4: what received files and events set off: deliveries, attempt by attempt.

pub mod alerts;
pub mod attempt;
mod automation;
pub mod command;
pub mod consent;
pub mod payload;
mod program;
pub mod runner;
pub mod set_off;
pub mod slas;
mod stray;
pub mod targets;
pub mod watch;
pub mod webhook;
