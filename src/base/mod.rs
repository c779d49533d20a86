//! Floor 0: small things that know nothing of Waybill: time, ids, secrets, names, words for people.

pub mod app_log;
pub mod clock;
pub mod cores;
pub mod fault;
pub mod file_id;
pub mod filesystem;
pub mod hex;
pub mod human;
pub mod id;
pub mod lock;
pub mod path;
pub mod secret;
pub mod sync;
pub mod unseen;
pub mod words;
