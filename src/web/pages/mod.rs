//! One file per page. A page is a struct; its template shows fields and computes nothing.

pub mod as_partner;
pub mod audit;
pub mod blocked;
pub mod certificates;
pub mod connectors;
pub mod dashboard;
pub mod events;
pub mod flows;
pub mod head;
pub mod health;
pub mod list;
pub mod preview;
pub mod profiles;
pub mod receive;
pub mod refusals;
pub mod send;
pub mod sessions;
pub mod settings;
pub mod setup;
pub mod sheet;
pub mod sign_in;
pub mod test_connection;
pub mod transfers;
pub mod users;
