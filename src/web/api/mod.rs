//! The API: the same verbs as on the pages and the command line, as JSON, for programs. Only tokens open it: a
//! browser's cookie is ignored here, and a token opens no page.
//!
//! Always: a route that is not in [`routes::ROUTES`] does not exist, and none is reached without a token whose scope
//! and whose owner's role both allow it.

mod about;
mod activity;
mod answer;
mod asked;
mod automation;
mod body;
mod connectors;
mod deliveries;
mod door;
mod flows;
mod once;
mod routes;
mod settings;

pub use door::new_token;
pub use routes::router;

#[cfg(test)]
mod document;
#[cfg(test)]
mod tests;
