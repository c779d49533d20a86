//! A connector: one trading partner's entry on the Flows page (PRODUCT section 4).

mod entry;
mod id;
mod settings;

pub use entry::{Connector, SharedFolder, WhyNot};
pub use id::{CONNECTOR_ID_CHARS_MAX, ConnectorId};
pub use settings::{ConnectorSettings, PASSWORD};
