//! The FTP server as a client sees it.

mod active;
mod beside;
mod client_certificate;
mod collect;
mod deflate;
mod escape;
mod files;
mod host;
mod login;
mod tls;
mod transcripts;
mod upload;
