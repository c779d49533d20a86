//! One file per page: its struct, its handlers, its sample. Templates show fields and compute nothing.

pub mod activity;
pub mod connector;
pub mod error;
pub mod flows;
pub mod profile;
pub mod receive;
pub mod refusals;
pub mod sessions;
pub mod setup;
pub mod sign_in;
