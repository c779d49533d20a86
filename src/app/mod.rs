//! Floor 5: starts the appliance, wires its parts together, and stops it.

mod clock_set;
mod housekeeping;
mod run;
mod shutdown;
mod telemetry;
mod web;

pub use run::run;
