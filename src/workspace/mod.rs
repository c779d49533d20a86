//! Floor 2: the partners' folders on disk. The only module that touches their files. Everything goes through directory
//! handles beneath the partner's folder; no link is followed, and only regular files and folders are opened.

pub mod active;
pub mod aged;
mod attribute;
pub mod copies;
mod copying;
pub mod download;
pub mod folder;
pub mod held;
pub mod jail;
pub mod listing;
pub mod removal;
pub mod temporary;
pub mod upload;
pub mod workspaces;
