//! The FTP server as a client sees it.

mod beside;
mod client_certificate;
mod collect;
mod escape;
mod files;
mod guard;
mod login;
mod proxy;
mod tls;
mod upload;
