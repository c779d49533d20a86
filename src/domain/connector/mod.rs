//! A connector: one trading partner's entry on the Flows page (PRODUCT section 4).

mod credential;
mod entry;
mod id;
mod settings;

pub use credential::{check_credential, no_such_credential, take_credential, type_of};
pub use entry::{Connector, WhyNot};
pub use id::{CONNECTOR_ID_CHARS_MAX, ConnectorId};
pub use settings::ConnectorSettings;
