//! Floor 4: the browser interface. Pages are HTML from the server; links and forms do everything, the script only
//! makes it faster.
//!
//! It never touches a partner's files and never sees the FTP engine: what it shows comes from the database, the live
//! configuration and the list of who is connected. Always: a route that is not in [`routes::ROUTES`] does not exist,
//! and no handler reads a form whose token was not checked.

pub mod assets;
pub mod context;
pub mod csrf;
pub mod error;
pub mod form;
pub mod layers;
pub mod layout;
pub mod live;
pub mod login;
pub mod notes;
pub mod pages;
pub mod routes;
pub mod serve;
pub mod setup_code;
pub mod shell;
pub mod state;
pub mod view;

#[cfg(test)]
mod tests;

pub use routes::router;
pub use serve::serve;
pub use setup_code::SetupCode;
pub use state::{Parts, WebState};
