//! Floor 4: FTP over sockets: listeners, control and data connections, and every error to its reply.

mod acknowledged;
mod bind_error;
mod control;
mod data;
mod doors;
mod early;
mod files;
mod listener;
mod listing;
mod login;
mod metered;
mod mode;
mod proxy;
mod reading;
mod reception;
mod refusal;
mod rename;
mod stream;
mod tls;
mod transfers;

use std::time::Duration;

pub use listener::{Listeners, Stop};
pub use tls::TlsBase;

use crate::access::admission::Admission;
use crate::access::certificate::Certificates;
use crate::access::gate::Gate;
use crate::access::passive::Ports;
use crate::store::live::Live;
use crate::transfer::depot::Depot;
use crate::transfer::presence::Presence;

/// A client must log in within this time; no byte extends it.
pub const LOGIN_DEADLINE: Duration = Duration::from_mins(2);
/// How long sending a reply may take; a client that does not read is dropped.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long running transfers may go on after a stop was asked for.
pub const DRAIN_FOR: Duration = Duration::from_secs(30);

/// What every session needs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    /// The configuration.
    pub live: Live,
    /// What transfers need.
    pub depot: Depot,
    /// Passwords.
    pub gate: Gate,
    /// Session counts.
    pub admission: Admission,
    /// Who is connected.
    pub presence: Presence,
    /// Passive ports.
    pub ports: Ports,
    /// Certificates to present.
    pub certificates: Certificates,
    /// TLS for the present profile and certificates.
    pub tls: TlsBase,
}
