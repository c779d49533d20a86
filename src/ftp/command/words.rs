//! What a client can say, one variant per command, in the order of the RFCs.

use std::net::SocketAddr;

use crate::base::clock::Timestamp;
use crate::base::secret::Secret;
use crate::ftp::feature;
use crate::ftp::listing::Facts;
use crate::ftp::reply::{Code, Reply};
use crate::ftp::session::{Algorithm, Family};

/// The longest unknown verb that is said back.
const VERB_CHARS_MAX: usize = 12;
/// Verbs that take a secret, of SITE too.
const SECRETS: [&str; 3] = ["PASS", "ACCT", "PSWD"];
/// The first words of a client of another protocol.
const HTTP: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// One command, its arguments checked as far as possible without other knowledge. Paths are as typed: blanks within and
/// after them belong to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// RFC 959 section 4.1.1: who logs in.
    User(String),
    /// RFC 959 section 4.1.1: the password, blanks and all.
    Pass(Secret),
    /// RFC 959 section 4.1.1. Its argument may be secret and is not kept.
    Acct,
    /// RFC 959 section 4.1.1: enter a folder.
    Cwd(String),
    /// RFC 959 section 4.1.1: enter the folder above.
    Cdup,
    /// RFC 959 section 4.1.1: forget who is logged in.
    Rein,
    /// RFC 959 section 4.1.1.
    Quit,
    /// RFC 959 section 4.1.2: the client listens here.
    Port(SocketAddr),
    /// RFC 959 section 4.1.2: the server should listen.
    Pasv,
    /// RFC 959 section 4.1.2: how to interpret bytes.
    Type(TypeArgument),
    /// RFC 959 section 4.1.2.
    Stru(StruArgument),
    /// RFC 959 section 4.1.2.
    Mode(ModeArgument),
    /// RFC 959 section 4.1.3.
    Retr(String),
    /// RFC 959 section 4.1.3.
    Stor(String),
    /// RFC 959 section 4.1.3, with the name that RFC 1123 section 4.1.2.9 does not know but some clients propose.
    Stou(Option<String>),
    /// RFC 959 section 4.1.3.
    Appe(String),
    /// RFC 959 section 4.1.3: bytes to come.
    Allo(u64),
    /// RFC 3659 section 5: a decimal byte offset for the next transfer.
    Rest(u64),
    /// RFC 959 section 4.1.3.
    Rnfr(String),
    /// RFC 959 section 4.1.3.
    Rnto(String),
    /// RFC 959 section 4.1.3.
    Abor,
    /// RFC 959 section 4.1.3.
    Dele(String),
    /// RFC 959 section 4.1.3.
    Rmd(String),
    /// RFC 959 section 4.1.3.
    Mkd(String),
    /// RFC 959 section 4.1.3.
    Pwd,
    /// RFC 959 section 4.1.3.
    List(ListArgument),
    /// RFC 959 section 4.1.3.
    Nlst(ListArgument),
    /// RFC 959 section 4.1.3.
    Site(SiteArgument),
    /// RFC 959 section 4.1.3.
    Syst,
    /// RFC 959 section 4.1.3: of the session, or of a file or folder.
    Stat(Option<ListArgument>),
    /// RFC 959 section 4.1.3.
    Help(Option<String>),
    /// RFC 959 section 4.1.3.
    Noop,
    /// RFC 2228 section 3, RFC 4217 section 4.
    Auth(Mechanism),
    /// RFC 2228 section 3: TLS has only the size 0.
    Pbsz,
    /// RFC 2228 section 3.
    Prot(ProtArgument),
    /// RFC 2228 section 3.
    Ccc,
    /// RFC 2389 section 3.
    Feat,
    /// RFC 2389 section 4.
    Opts(OptsArgument),
    /// RFC 2428 section 2: the client listens here.
    Eprt(SocketAddr),
    /// RFC 2428 section 3.
    Epsv(EpsvArgument),
    /// RFC 2640 section 4.
    Lang(Option<String>),
    /// RFC 3659 section 3; and the older way to set a time.
    Mdtm {
        /// The whole argument, as a name.
        path: String,
        /// The argument as 14 digits and a name, if it reads as such.
        touch: Option<(Timestamp, String)>,
    },
    /// RFC 3659 section 4.
    Size(String),
    /// RFC 3659 section 7.
    Mlst(Option<String>),
    /// RFC 3659 section 7.
    Mlsd(Option<String>),
    /// RFC 7151 section 3.
    Host(String),
    /// draft-somers-ftp-mfxx section 3: set the time of last change.
    Mfmt {
        /// The time to set.
        to: Timestamp,
        /// The file.
        path: String,
    },
    /// draft-somers-ftp-mfxx section 4: set the time of creation.
    Mfct,
    /// draft-somers-ftp-mfxx section 5; only the `modify` fact is supported.
    Mff {
        /// The time to set.
        to: Timestamp,
        /// The file.
        path: String,
    },
    /// draft-bryan-ftpext-hash.
    Hash(String),
    /// draft-bryan-ftp-range: first byte and the byte after the last; `None` cancels an earlier one.
    Rang(Option<(u64, u64)>),
    /// draft-peterson-streamlined-ftp-command-extensions section 4: room left.
    Avbl(Option<String>),
    /// draft-peterson-streamlined-ftp-command-extensions section 3: what the client is.
    Csid(String),
    /// What the client is, in any words.
    Clnt(String),
    /// No RFC; as on other servers.
    Xcrc(Check),
    /// No RFC; as on other servers.
    Xmd5(Check),
    /// No RFC; as on other servers, also called `XSHA`.
    Xsha1(Check),
    /// No RFC; as on other servers.
    Xsha256(Check),
    /// No RFC; as on other servers.
    Xsha512(Check),
    /// draft-twine-ftpmd5.
    Md5(Check),
    /// Known from an RFC or from other servers, but not offered here: the verb.
    Unsupported(&'static str),
    /// Unknown: the verb; empty if it may be something secret.
    Unknown(String),
    /// An HTTP verb: the client speaks another protocol.
    Http,
    /// A known verb with a bad argument, or no line at all: what the client hears.
    Invalid(Reply),
}

impl Command {
    /// Reads one line. A bad one is already a reply.
    pub fn parse(line: &str) -> Result<Self, Reply> {
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        if verb.is_empty() {
            return Err(Reply::new(Code::SyntaxError, "There is no command in that line."));
        }
        if let Some(feature) = feature::find(verb) {
            return feature.read(argument);
        }
        if HTTP.contains(&verb) {
            return Ok(Self::Http);
        }
        Ok(match feature::unsupported(verb) {
            Some(verb) => Self::Unsupported(verb),
            None if looks_like_a_verb(verb) => Self::Unknown(verb.to_owned()),
            None => Self::Unknown(String::new()),
        })
    }

    /// Reads one line; a bad one becomes [`Command::Invalid`], so that its reply keeps its place behind waiting
    /// commands.
    pub fn read(line: &str) -> Self {
        Self::parse(line).unwrap_or_else(Self::Invalid)
    }

    /// Its name in the table of features; empty if it is not there.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::User(_) => "USER",
            Self::Pass(_) => "PASS",
            Self::Acct => "ACCT",
            Self::Cwd(_) => "CWD",
            Self::Cdup => "CDUP",
            Self::Rein => "REIN",
            Self::Quit => "QUIT",
            Self::Port(_) => "PORT",
            Self::Pasv => "PASV",
            Self::Type(_) => "TYPE",
            Self::Stru(_) => "STRU",
            Self::Mode(_) => "MODE",
            Self::Retr(_) => "RETR",
            Self::Stor(_) => "STOR",
            Self::Stou(_) => "STOU",
            Self::Appe(_) => "APPE",
            Self::Allo(_) => "ALLO",
            Self::Rest(_) => "REST",
            Self::Rnfr(_) => "RNFR",
            Self::Rnto(_) => "RNTO",
            Self::Abor => "ABOR",
            Self::Dele(_) => "DELE",
            Self::Rmd(_) => "RMD",
            Self::Mkd(_) => "MKD",
            Self::Pwd => "PWD",
            Self::List(_) => "LIST",
            Self::Nlst(_) => "NLST",
            Self::Site(_) => "SITE",
            Self::Syst => "SYST",
            Self::Stat(_) => "STAT",
            Self::Help(_) => "HELP",
            Self::Noop => "NOOP",
            Self::Auth(_) => "AUTH",
            Self::Pbsz => "PBSZ",
            Self::Prot(_) => "PROT",
            Self::Ccc => "CCC",
            Self::Feat => "FEAT",
            Self::Opts(_) => "OPTS",
            Self::Eprt(_) => "EPRT",
            Self::Epsv(_) => "EPSV",
            Self::Lang(_) => "LANG",
            Self::Mdtm { .. } => "MDTM",
            Self::Size(_) => "SIZE",
            Self::Mlst(_) => "MLST",
            Self::Mlsd(_) => "MLSD",
            Self::Host(_) => "HOST",
            Self::Mfmt { .. } => "MFMT",
            Self::Mfct => "MFCT",
            Self::Mff { .. } => "MFF",
            Self::Hash(_) => "HASH",
            Self::Rang(_) => "RANG",
            Self::Avbl(_) => "AVBL",
            Self::Csid(_) => "CSID",
            Self::Clnt(_) => "CLNT",
            Self::Xcrc(_) => "XCRC",
            Self::Xmd5(_) => "XMD5",
            Self::Xsha1(_) => "XSHA1",
            Self::Xsha256(_) => "XSHA256",
            Self::Xsha512(_) => "XSHA512",
            Self::Md5(_) => "MD5",
            Self::Unsupported(_) | Self::Unknown(_) | Self::Http | Self::Invalid(_) => "",
        }
    }
}

/// `TYPE`'s argument; a format for printing may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeArgument {
    /// `A`, `A N`, `A T`: text.
    Ascii,
    /// `A C`: text with carriage control.
    AsciiCarriage,
    /// `E`.
    Ebcdic,
    /// `I`: bytes.
    Image,
    /// `L 8` is bytes too; other byte sizes are history.
    Local(u32),
}

/// `STRU`'s argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StruArgument {
    /// `F`.
    File,
    /// `R`.
    Record,
    /// `P`.
    Page,
}

/// `MODE`'s argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModeArgument {
    /// `S`.
    Stream,
    /// `B`.
    Block,
    /// `C`.
    Compressed,
    /// `Z` (draft-preston-ftpext-deflate).
    Deflate,
}

/// `AUTH`'s argument (RFC 4217 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// `TLS` and `TLS-C`: data in clear until `PROT P`.
    Tls,
    /// `SSL` and `TLS-P`: data protected from the start.
    TlsPrivate,
    /// Anything else.
    Other,
}

/// `PROT`'s argument (RFC 2228 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtArgument {
    /// `C`.
    Clear,
    /// `S`.
    Safe,
    /// `E`.
    Confidential,
    /// `P`.
    Private,
}

/// `EPSV`'s argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpsvArgument {
    /// None: the control connection's family.
    Same,
    /// `1`, `2`.
    Family(Family),
    /// `ALL`.
    All,
}

/// `OPTS`' arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptsArgument {
    /// `UTF8 ON`.
    Utf8On,
    /// `UTF8 OFF`.
    Utf8Off,
    /// `MLST type;size;`
    Mlst(Facts),
    /// `HASH SHA-256`; `None` asks for the one in force.
    Hash(Option<Algorithm>),
    /// `MODE Z LEVEL 6`; `None` if it names the only choice.
    ModeZ(Option<u8>),
}

/// `LIST`, `NLST` and `STAT`: options in the style of `ls`, then a path. A path that begins with a dash is written
/// `./-a` or comes after `--`. Other letters mean nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListArgument {
    /// `-a`.
    pub all: bool,
    /// `-R`.
    pub recursive: bool,
    /// The folder or file, maybe with wildcards.
    pub path: Option<String>,
}

/// A file and a range of its bytes, in the forms of the XCRC family: `path`, `"path" start end`, `path start end`. A
/// file name that ends in two numbers must be quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The file.
    pub path: String,
    /// The first byte.
    pub start: u64,
    /// The byte after the last; `None`: to the end.
    pub end: Option<u64>,
}

/// `SITE`'s arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SiteArgument {
    /// `HELP`, and `SITE` alone.
    Help,
    /// `UTIME`, in both of its forms.
    Utime {
        /// The time to set.
        to: Timestamp,
        /// The file.
        path: String,
    },
    /// `RECEIPT path`.
    Receipt(String),
    /// What mainframes and Unix servers need but Waybill does not: `LRECL`, `CHMOD`...
    NotNeeded,
    /// Anything else.
    Unknown,
}

/// Whether it may be said back: what does not look like a verb, or has a secret clinging to it, may be a misplaced
/// password.
fn looks_like_a_verb(verb: &str) -> bool {
    verb.len() <= VERB_CHARS_MAX && verb.bytes().all(|byte| byte.is_ascii_alphabetic()) && secret_verb(verb).is_none()
}

/// The verb within a word, in any case, that takes a secret.
pub fn secret_verb(word: &str) -> Option<&'static str> {
    let is_at = |part: &[u8], secret: &str| part.eq_ignore_ascii_case(secret.as_bytes());
    SECRETS.into_iter().find(|secret| word.as_bytes().windows(secret.len()).any(|part| is_at(part, secret)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn verbs_have_no_case_and_paths_keep_their_blanks() {
        assert_eq!(Command::parse("stor a b "), Ok(Command::Stor("a b ".to_owned())));
        assert_eq!(Command::parse("STOR  a"), Ok(Command::Stor(" a".to_owned())));
        assert_eq!(Command::parse("xCwD ä"), Ok(Command::Cwd("ä".to_owned())));
        assert_eq!(Command::parse("XPWD"), Ok(Command::Pwd));
        assert_eq!(Command::parse("XCUP"), Ok(Command::Cdup));
        assert_eq!(Command::parse("STOR").unwrap_err().summary(), "501 Usage: STOR file");
        assert_eq!(Command::parse("").unwrap_err().code(), Code::SyntaxError);
    }

    #[test]
    fn a_password_is_kept_whole_and_never_printed() {
        let command = Command::parse("PASS  two blanks ").unwrap();
        assert_eq!(command, Command::Pass(Secret::new(" two blanks ")));
        assert_eq!(format!("{command:?}"), "Pass(Secret(..))");
        assert_eq!(Command::parse("PASS"), Ok(Command::Pass(Secret::new(""))));
        for misplaced in ["correct-horse-battery", "PASS:hunter2", "PASShunter", "hunter2", "correcthorsebattery"] {
            assert_eq!(Command::read(misplaced), Command::Unknown(String::new()), "{misplaced}");
        }
        assert_eq!(format!("{:?}", Command::read("ACCT hunter2")), "Acct");
    }

    #[test]
    fn other_protocols_and_other_servers_are_known() {
        assert_eq!(Command::read("GET / HTTP/1.1"), Command::Http);
        assert_eq!(Command::read("get file"), Command::Unknown("get".to_owned()));
        assert_eq!(Command::read("smnt /x"), Command::Unsupported("SMNT"));
    }

    proptest! {
        #[test]
        fn any_line_is_a_command_or_a_reply_of_one_line(
            line in prop_oneof![".{0,80}", "[A-Z]{3,4} .{0,60}", "(MDTM|MFMT|MFF|SITE UTIME|XCRC|RANG|LIST|OPTS) [ -~]{0,40}"],
        ) {
            if let Err(reply) = Command::parse(&line) {
                prop_assert!(!reply.summary().chars().any(char::is_control));
            }
            let _ = format!("{:?}", Command::read(&line));
        }
    }
}
