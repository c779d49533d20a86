//! Commands: a line is parsed once and completely; a bad one is already a reply. Nothing below sees the raw line.
//! Always: printing a command never shows a password.

mod arguments;
mod site;
mod words;

pub(super) use arguments::{
    Bad, Parser, allo, auth, check, epsv, hash_path, list, mdtm, mff, mfmt, mode, name, optional, opts, pass, path,
    pbsz, prot, rang, rest, stat, stru, type_,
};
pub(super) use site::site;
pub use words::{
    Check, Command, EpsvArgument, ListArgument, Mechanism, ModeArgument, OptsArgument, ProtArgument, SiteArgument,
    StruArgument, TypeArgument, secret_verb,
};
