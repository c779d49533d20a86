//! What integration tests stand on: an appliance in a temporary folder, an FTP client that sees every reply, and
//! random numbers that can be repeated.

mod appliance;
mod client;
mod depot;
mod player;
mod random;
mod secured;
mod trusting;
#[path = "../../transcripts/unescape.rs"]
mod unescape;

pub(crate) use appliance::{Appliance, PARTNER, PASSWORD, Running, free_port};
pub(crate) use client::{Client, Passive, epsv_address};
pub(crate) use depot::{Beside, id_of};
pub(crate) use player::{Doors, Player};
pub(crate) use random::Random;
pub(crate) use secured::{Secured, handshake};
pub(crate) use trusting::{Identity, Version};

use sha2::{Digest, Sha256};

/// Lower-case hex of the SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}
