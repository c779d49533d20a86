//! The FTP server as a client sees it.

mod beside;
mod collect;
mod deflate;
mod escape;
mod files;
mod login;
mod upload;
