//! Floor 2: all SQL, a module per aggregate, free functions on a [`Db`]. Statements are constants in the dialect that
//! SQLite and `PostgreSQL` share: `$n`, ids made by us, unix microseconds, no date or JSON functions; but
//! for `group`, where the engine's records are written.

pub mod acme;
pub mod action;
pub mod administrator;
pub mod alert;
pub mod api_token;
pub mod arrow;
pub mod audit;
pub mod authority;
pub mod backup;
pub mod busy;
pub mod certificate;
pub mod collected;
pub mod commit;
pub mod connector;
pub mod delivery;
pub mod delivery_bulk;
pub mod delivery_page;
pub mod event;
pub mod event_target;
pub mod exported;
pub mod folders;
mod group;
pub mod held;
pub mod import;
mod import_parts;
pub mod kept;
pub mod listener;
pub mod live;
pub mod open;
mod part;
pub mod profile;
pub mod programs;
mod queue;
pub mod receipt;
pub mod receipt_page;
pub mod refusal;
pub mod renaming;
pub mod retention;
pub mod saved_view;
pub mod second_factor;
pub mod secret;
pub mod sequence;
pub mod session;
pub mod set_off;
pub mod setting;
pub mod settings_file;
pub mod sheet;
pub mod sla;
pub mod snooze;
pub mod traffic;
pub mod transfer;
pub mod watched;
pub mod writer;

pub use open::{Db, StoreError};
