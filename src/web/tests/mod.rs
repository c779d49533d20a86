//! The pages as a browser meets them: requests to the router, answers read as text. No socket, no FTP engine.

mod journeys;
mod kit;
mod markup;
mod roles;
