//! The FTP server as a client sees it.

mod active;
mod beside;
mod client_certificate;
mod collect;
mod deflate;
mod escape;
mod files;
mod guard;
mod host;
mod login;
mod proxy;
mod record;
mod tls;
mod transcripts;
mod upload;
