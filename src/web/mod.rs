//! Floor 4: the browser interface. Pages are HTML from the server; links and forms do everything, the script only makes
//! it faster.
//!
//! It never sees the FTP engine: what it shows comes from the database, the live configuration and the list of live
//! sessions. It reaches a partner's files only through `transfer`, by the same steps as the engine. Always: a route
//! that is not in [`routes::ROUTES`] does not exist, and no handler reads a form whose token was not checked.

mod api;
mod assets;
mod attention;
mod change;
mod context;
mod crowd;
mod csrf;
mod csv;
mod download;
mod draft;
mod error;
mod form;
mod https;
mod landing;
mod layers;
mod live;
mod login;
mod looks;
mod notes;
mod origin;
mod pages;
mod routes;
mod second_factor;
mod serve;
mod setup_code;
mod shell;
mod state;
mod table;
mod tone;
mod unseen;
mod view;

#[cfg(test)]
mod activity_tests;
#[cfg(test)]
mod administration_tests;
#[cfg(test)]
mod automation_tests;
#[cfg(test)]
mod chosen_tests;
#[cfg(test)]
mod command_tests;
#[cfg(test)]
mod connector_tests;
#[cfg(test)]
mod dashboard_tests;
#[cfg(test)]
mod event_target_tests;
#[cfg(test)]
mod flow_tests;
#[cfg(test)]
mod me_tests;
#[cfg(test)]
mod profile_tests;
#[cfg(test)]
mod refusal_tests;
#[cfg(test)]
mod sla_tests;
#[cfg(test)]
mod tests;

pub use https::{Clear, Https};
pub use routes::router;
pub use serve::serve;
pub use setup_code::SetupCode;
pub use state::{Parts, WebState};
