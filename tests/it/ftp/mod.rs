//! The FTP server as a client sees it.

mod active;
mod ahead;
mod beside;
mod client_certificate;
mod collect;
mod deflate;
mod escape;
mod files;
mod gone;
mod guard;
mod host;
mod limits;
mod logged;
mod login;
mod proxy;
mod recent;
mod record;
mod tls;
mod transcripts;
mod upload;
