//! The FTP server as a client sees it.

mod beside;
mod client_certificate;
mod collect;
mod escape;
mod files;
mod login;
mod tls;
mod upload;
