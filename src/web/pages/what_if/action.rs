//! What to ask about a partner's client, or what it was refused.

use crate::domain::authorise::Operation;
use crate::ftp::command::Command;

/// The intended action of the partner's client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Only `USER` and `PASS`.
    SignIn,
    /// `RETR`.
    Retrieve,
    /// `STOR`.
    Store,
    /// `APPE`.
    Append,
    /// Any other, judged only by permission and name.
    Other(Operation),
}

impl Action {
    /// Every action: the command, its words, the action.
    pub const ALL: [(&'static str, &'static str, Self); 13] = [
        ("STOR", "Upload (STOR)", Self::Store),
        ("RETR", "Download (RETR)", Self::Retrieve),
        ("", "Sign in only", Self::SignIn),
        ("LIST", "List (LIST, MLSD)", Self::Other(Operation::List)),
        ("APPE", "Append (APPE)", Self::Append),
        ("DELE", "Delete (DELE)", Self::Other(Operation::Delete)),
        ("RNFR", "Rename from (RNFR)", Self::Other(Operation::RenameFrom)),
        ("RNTO", "Rename to (RNTO)", Self::Other(Operation::RenameTo)),
        ("MKD", "Make folder (MKD)", Self::Other(Operation::MakeFolder)),
        ("RMD", "Remove folder (RMD)", Self::Other(Operation::RemoveFolder)),
        ("CWD", "Change folder (CWD)", Self::Other(Operation::Enter)),
        ("SIZE", "Look (SIZE, MDTM, MLST)", Self::Other(Operation::Look)),
        ("HASH", "Digest (HASH, XCRC, MD5)", Self::Other(Operation::Digest)),
    ];

    /// The action of a command, in any case.
    pub fn of(command: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(own, _, _)| own.eq_ignore_ascii_case(command));
        found.map(|(_, _, action)| *action)
    }

    /// The action of a client's line, under any of its names; none if it concerns neither signing in nor a path.
    pub fn of_line(line: &str) -> Option<Self> {
        use Command as C;
        if line.is_empty() {
            return Some(Self::SignIn);
        }
        match C::read(line) {
            C::User(_) | C::Pass(_) | C::Auth(_) => Some(Self::SignIn),
            C::Stor(_) | C::Stou(_) => Some(Self::Store),
            C::Appe(_) => Some(Self::Append),
            C::Retr(_) => Some(Self::Retrieve),
            C::List(_) | C::Nlst(_) | C::Mlsd(_) => Some(Self::Other(Operation::List)),
            C::Cwd(_) | C::Cdup => Some(Self::Other(Operation::Enter)),
            C::Dele(_) => Some(Self::Other(Operation::Delete)),
            C::Rnfr(_) => Some(Self::Other(Operation::RenameFrom)),
            C::Rnto(_) => Some(Self::Other(Operation::RenameTo)),
            C::Mkd(_) => Some(Self::Other(Operation::MakeFolder)),
            C::Rmd(_) => Some(Self::Other(Operation::RemoveFolder)),
            C::Size(_) | C::Mlst(_) | C::Mdtm { touch: None, .. } => Some(Self::Other(Operation::Look)),
            C::Hash(_) | C::Xcrc(_) | C::Xmd5(_) | C::Xsha1(_) | C::Xsha256(_) | C::Xsha512(_) | C::Md5(_) => {
                Some(Self::Other(Operation::Digest))
            }
            C::Mfmt { .. } | C::Mff { .. } => Some(Self::Other(Operation::Touch)),
            _ => None,
        }
    }

    /// Whether it opens a data connection.
    pub const fn moves_data(self) -> bool {
        matches!(self, Self::Retrieve | Self::Other(Operation::List)) || self.stores()
    }

    /// Whether it stores a file.
    pub const fn stores(self) -> bool {
        matches!(self, Self::Store | Self::Append)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_to_choose_is_understood_as_the_ftp_server_does() {
        for (command, _, action) in Action::ALL {
            let line = if command.is_empty() { String::new() } else { format!("{command} /Receive/a") };
            assert_eq!((Action::of(command), Action::of_line(&line)), (Some(action), Some(action)), "{command}");
        }
        assert_eq!(Action::of_line("xmkd a"), Action::of("mkd"));
        assert_eq!(Action::of_line("PASS ****"), Some(Action::SignIn));
        for line in ["PASV", "TYPE E", "SITE HELP", "STOR", "GET / HTTP/1.1"] {
            assert_eq!(Action::of_line(line), None, "{line}");
        }
    }
}
