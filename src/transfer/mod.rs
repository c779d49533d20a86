//! Floor 3: bytes in and out, receipts, events, and who is connected.

pub mod abort;
pub mod bulk;
pub mod came;
pub mod collect;
pub mod collections;
pub mod consent;
pub mod copy;
pub mod depot;
pub mod digest;
pub mod ends;
pub mod gone;
mod hashing;
pub mod held;
pub mod held_back;
pub mod lacking;
mod logged;
pub mod offer;
pub mod passing;
pub mod plan;
pub mod presence;
pub mod publish;
pub mod quota;
pub mod receive;
pub mod received;
pub mod recovery;
pub mod retention;
mod room;
pub mod send;
pub mod socket;
pub mod stand_in;
pub mod throttle;
pub mod transcript;
pub mod unfinished;
#[cfg(test)]
mod upload_tests;
