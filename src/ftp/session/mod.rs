//! One control connection's protocol state. Pure: a command goes in, a step comes out. What it cannot decide it asks
//! for by name, waiting in a state that says so; the outcome goes in, the reply comes out (RFC 959 section 5.4).

mod data;
mod dispatch;
mod files;
mod login;
mod outcome;
mod settings;
mod state;
mod step;

pub use dispatch::{UNKNOWN_MAX, UNKNOWN_MAX_BEFORE_LOGIN};
pub use state::{DataType, Protection, Session};
pub use step::{
    Algorithm, Ask, Family, Forbidden, Listing, Outcome, Policy, STAT_LINES_MAX, Step, StoreMode, Transfer,
};
