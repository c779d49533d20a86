//! Floor 1: the trading words and their rules. Pure: no database, file, socket or clock.

pub mod acme;
pub mod action;
pub mod administrator;
pub mod api_token;
pub mod appliance;
pub mod authorise;
pub mod command;
pub mod connector;
pub mod copies;
mod date_format;
pub mod entrance;
pub mod event;
pub mod event_target;
pub mod filter;
pub mod flow;
mod glob;
pub mod place;
pub mod profile;
pub mod reach;
pub mod receipt;
pub mod refusal;
pub mod scheme;
pub mod setting;
pub mod sheet;
pub mod sla;
mod stored_name;
pub mod value;
