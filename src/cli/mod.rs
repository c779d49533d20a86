//! Floor 4: the command line. Its verbs use the same domain and store functions as the pages, on the data folder of a
//! running or stopped appliance. It never serves: `serve` is handed back to the caller.

mod admin;
mod arguments;
mod automation;
mod backup;
mod certificate;
mod connector;
mod events;
mod flow;
mod follow;
mod health;
mod import;
mod output;
mod receipts;
mod settings;
pub mod verb;

pub use arguments::{
    AdminVerb, CertificateVerb, ConnectorVerb, EventsVerb, GroupVerb, ImportVerb, Invocation, Pair, ReceiptsVerb,
    ServeOptions, Verb, parse, parse_from,
};
