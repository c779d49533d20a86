//! Floor 1: the protocol of the RFCs. Pure: bytes become commands, commands become steps, outcomes become replies. No
//! socket, file, database or clock; it could be a crate of its own.

pub mod address;
pub mod command;
pub mod encoding;
pub mod feature;
pub mod line;
pub mod listing;
pub mod reply;
pub mod session;
pub mod wildcard;
