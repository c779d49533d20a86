//! Waybill: a managed-file-transfer appliance. One process runs an FTP/FTPS server for trading partners and a web
//! interface for the administrator.
//!
//! The modules stand on floors: a module uses modules of lower floors, never its neighbours nor anything above
//! (`tests/tidy.rs` keeps it so).

pub mod base;

pub mod domain;
pub mod ftp;

pub mod store;
pub mod workspace;

pub mod access;
pub mod transfer;

pub mod actions;
pub mod cli;
pub mod engine;
pub mod web;

pub mod app;
