//! Every error to its reply: one table. 4yz if trying again may help, 5yz if not. What the partner hears is short; the
//! administrator sees the rule.

use crate::domain::authorise::No;
use crate::domain::receipt::Ending;
use crate::domain::refusal::Rule;
use crate::ftp::reply::{Code, Reply};
use crate::transfer::depot::TransferError;

/// What the failed command concerned: the same reason has another code for a name to be stored (RFC 959 section 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// `STOR`, `STOU`, `RNTO`: a new name.
    Name,
    /// `LIST`, `NLST`.
    Listing,
    /// `APPE`, `RETR` and the rest: an existing file.
    File,
}

/// The client's reply, and the rule to record if a rule said no.
pub fn reply(error: &TransferError, about: About) -> (Reply, Option<No>) {
    use TransferError as E;
    let named = if about == About::Name { Code::NameRefused } else { Code::FileUnavailable };
    let missing = match about {
        About::Name => (Code::NameRefused, "There is no such folder."),
        About::Listing => (Code::FileBusy, "There is no such file or folder."),
        About::File => (Code::FileUnavailable, "There is no such file or folder."),
    };
    let (code, text) = match error {
        // To a listing, a name beside Send and Receive is missing.
        E::Refused(no) if about == About::Listing && no.rule == Rule::OutsideFolders => {
            return (Reply::new(missing.0, missing.1), Some(no.clone()));
        }
        E::Refused(no) => return (refused(no, named), Some(no.clone())),
        E::NotFound => missing,
        E::IsFolder => (named, "That is a folder."),
        E::NotFolder if about == About::Listing => missing,
        E::NotFolder => (named, "That is not a folder."),
        E::WithinItself => (named, "A folder cannot be moved into itself; please choose a name outside it."),
        E::BetweenFolders => {
            let text = "A rename works within Send or within Receive, not between them; please upload the file there.";
            return (Reply::new(named, text), Some(No::new(Rule::OutsideFolders, error.to_string())));
        }
        E::Exists => (named, "There is something of that name already."),
        E::NotEmpty => (Code::FileUnavailable, "The folder is not empty."),
        E::Busy => (Code::FileBusy, "The file is still being written; please try again later."),
        E::Restart => (Code::InvalidRestart, "The file cannot be gone on with from there."),
        E::Changed => (Code::ActionAborted, "The file changed while it was sent; please fetch it again."),
        E::Broken(ending) => return (broken(*ending), rule_of(*ending, error)),
        E::NoSpace => (Code::NoSpace, "There is no room for this file now."),
        E::Storage(cause) => {
            tracing::error!(error = %cause, "Storage failed");
            let no = No { rule: Rule::StorageFailing, detail: cause.to_string() };
            return (Reply::new(Code::ActionAborted, "Storage failed here; please try again later."), Some(no));
        }
        E::NotRecorded(cause) => {
            tracing::error!(error = cause, "A transfer could not be recorded");
            (Code::ActionAborted, "It could not be recorded here; please try again later.")
        }
    };
    (Reply::new(code, text), None)
}

fn broken(ending: Ending) -> Reply {
    let text = match ending {
        Ending::Aborted => "The transfer was aborted.",
        Ending::Stalled => "No byte moved for too long; the transfer was ended.",
        Ending::Unsigned => {
            "The data connection ended without TLS close_notify, so the file may be cut short. Update the client or ask \
             the administrator to allow this."
        }
        Ending::Closed | Ending::Cut | Ending::Refused | Ending::Failed => {
            "The data connection broke off before the end."
        }
    };
    Reply::new(Code::TransferAborted, text)
}

fn rule_of(ending: Ending, error: &TransferError) -> Option<No> {
    let rule = match ending {
        Ending::Unsigned => Rule::TlsEndUnsigned,
        Ending::Stalled => Rule::Stalled,
        Ending::Cut => Rule::BrokenOff,
        Ending::Closed | Ending::Aborted | Ending::Refused | Ending::Failed => return None,
    };
    Some(No { rule, detail: error.to_string() })
}

fn refused(no: &No, named: Code) -> Reply {
    let (code, text) = match no.rule {
        Rule::OutsideFolders => (named, "Please use the folders Send and Receive.".to_owned()),
        Rule::NoRead => (Code::FileUnavailable, "Reading is not allowed in this folder.".to_owned()),
        Rule::NoWrite => (named, "Writing is not allowed in this folder.".to_owned()),
        Rule::NameFilter => (named, "Files of this name are not accepted here.".to_owned()),
        Rule::NameNotStorable => (named, "This name cannot be stored.".to_owned()),
        Rule::FileExists => (named, "A file of that name is there already.".to_owned()),
        Rule::Quota => (Code::QuotaExceeded, "The quota is used up.".to_owned()),
        Rule::FileTooLarge => (Code::QuotaExceeded, "The file is larger than is allowed here.".to_owned()),
        Rule::DeflateRatio => {
            (Code::QuotaExceeded, "That inflates beyond all measure; please send the file in MODE S.".to_owned())
        }
        Rule::NotDeflated => (Code::TransferAborted, "What came is not a zlib stream; please use MODE S.".to_owned()),
        Rule::DiskFull => (Code::NoSpace, "There is no room for this file now.".to_owned()),
        Rule::StorageFailing => (Code::ActionAborted, "Storage is failing here; please try again later.".to_owned()),
        Rule::BeforeSend => (Code::FileUnavailable, "The file is not released; please try again later.".to_owned()),
        Rule::TypeNotSupported => {
            (Code::FileUnavailable, "How many bytes TYPE A would send of it is not counted; use TYPE I.".to_owned())
        }
        Rule::AlreadyTakenOver => (Code::FileUnavailable, no.detail.clone()),
        _ => (Code::FileUnavailable, no.rule.label().to_owned()),
    };
    Reply::new(code, text)
}
