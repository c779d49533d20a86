//! What goes into a session and what comes out: the whole interface to the engine. Nothing here decides anything.

use std::net::SocketAddr;

use jiff::tz::TimeZone;

use crate::base::clock::Timestamp;
use crate::base::path::{Name, VirtualPath};
use crate::base::secret::Secret;
use crate::ftp::command::Command;
use crate::ftp::encoding::Encoding;
use crate::ftp::listing::{self, Entry, Facts, Format};
use crate::ftp::reply::Reply;

/// The most entries in the answer to STAT.
pub const STAT_LINES_MAX: usize = 1_000;

/// What the engine does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this; nothing else happens.
    Send(Reply),
    /// The same, of what is forbidden: the administrator is to know of it.
    Forbid(Forbidden, Reply),
    /// Send this, then close the control connection.
    Close(Reply),
    /// Find this out or do it, then tell the session with [`Session::outcome`](super::Session::outcome).
    Ask(Ask),
    /// A transfer, digest or count is under way: end it. Its own outcome comes first (426, or 226 if it was already
    /// complete), then [`Session::aborted`](super::Session::aborted) returns ABOR's own reply (PRODUCT 5.11).
    Abort,
    /// A transfer or another question is under way: keep this command, and give it again when that has ended.
    Wait(Box<Command>),
    /// `STAT` without a path: the engine sends [`Session::status`](super::Session::status) with what it knows of the transfer.
    Status,
}

/// What a client is kept from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forbidden {
    /// `PORT`, `EPRT`: active mode is off.
    ActiveMode,
    /// A transfer in clear although TLS is required.
    ClearData,
    /// `CCC`, `PROT S`, `PROT E`: less than TLS, or what it does not have.
    Protection,
}

/// What only the engine can decide or do. Each has one successful [`Outcome`], named beside it; a refusal or failure is
/// always [`Outcome::Refused`] with the client's reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// `USER`: is this name allowed now (TLS required, addresses)? → [`Outcome::NameAccepted`], or
    /// [`Outcome::LoggedIn`] if a client certificate suffices (232).
    Name(String),
    /// `PASS` → [`Outcome::LoggedIn`].
    Login {
        /// The name given with `USER`.
        name: String,
        /// The password given with `PASS`.
        password: Secret,
    },
    /// `REIN`: forget who is logged in. → [`Outcome::Done`]
    Logout,
    /// `HOST` (RFC 7151): choose certificate and banner. → [`Outcome::Banner`]
    Host(String),
    /// `AUTH`: may TLS start? → [`Outcome::Done`]; after the 234 is sent, the engine does the handshake and resets the
    /// session with [`Session::secured`](super::Session::secured).
    StartTls,
    /// `PASV`, `EPSV`: open a passive port. `family` is the one of `EPSV 1|2`. → [`Outcome::Listening`]
    Passive {
        /// `None`: the control connection's own.
        family: Option<Family>,
        /// `EPSV` (the reply carries only the port) or `PASV`.
        extended: bool,
    },
    /// `PORT`, `EPRT`: remember where to connect to. → [`Outcome::Done`]
    Active(SocketAddr),
    /// `CWD`, `CDUP`: may the partner enter this folder? → [`Outcome::Done`], or [`Outcome::Entered`] if its name is
    /// spelt differently
    Enter(VirtualPath),
    /// A transfer over the data connection. First → [`Outcome::Opened`] when the data connection is established (150),
    /// then → [`Outcome::Transferred`].
    Transfer(Transfer),
    /// `STAT path`, over the control connection. → [`Outcome::Entries`], one more than [`STAT_LINES_MAX`] if there are
    /// more
    Stat(Listing),
    /// `MLST`. → [`Outcome::Entries`] with one entry
    Mlst(VirtualPath),
    /// `SIZE`. `ascii` if TYPE A is in force: then beside the session, like a digest. → [`Outcome::Size`]
    Size {
        /// The file.
        path: VirtualPath,
        /// Whether TYPE A is in force.
        ascii: bool,
    },
    /// `MDTM`. → [`Outcome::Modified`]
    Modified(VirtualPath),
    /// `MDTM YYYYMMDDHHMMSS name`: if a file is named `whole`, its time is asked for, else `path`'s time is set
    /// (PRODUCT section 12). → [`Outcome::Modified`]
    ModifiedOrTouch {
        /// Time and name together, read as one name; `None` if that is invalid.
        whole: Option<VirtualPath>,
        /// The file named after the time.
        path: VirtualPath,
        /// The time to set.
        to: Timestamp,
    },
    /// `MFMT`, `MFF modify=`, `SITE UTIME`: set the time. → [`Outcome::Done`]
    Touch {
        /// The file.
        path: VirtualPath,
        /// The time to set.
        to: Timestamp,
    },
    /// `HASH`, `XCRC`, `XMD5`, `XSHA…`, `MD5`: beside the session, which still hears NOOP, STAT and ABOR. →
    /// [`Outcome::Digest`]
    Digest {
        /// The file.
        path: VirtualPath,
        /// Which digest.
        algorithm: Algorithm,
        /// First byte and the byte after the last, `None`: to the end.
        range: (u64, Option<u64>),
    },
    /// `AVBL`. → [`Outcome::Available`]
    Available(VirtualPath),
    /// `DELE`. → [`Outcome::Done`]
    Delete(VirtualPath),
    /// `MKD`. → [`Outcome::Done`]
    MakeFolder(VirtualPath),
    /// `RMD`. → [`Outcome::Done`]
    RemoveFolder(VirtualPath),
    /// `RNFR`: is there such a file or folder, and may it be renamed? → [`Outcome::Done`]
    RenameFrom(VirtualPath),
    /// `RNTO`. → [`Outcome::Done`]
    Rename {
        /// What `RNFR` named.
        from: VirtualPath,
        /// What `RNTO` named.
        to: VirtualPath,
    },
    /// `CLNT`, `CSID`: the client's name for itself; for the session record. → [`Outcome::Done`]
    ClientName(String),
    /// `SITE RECEIPT path`: the receipt of the partner's latest upload of that name. → [`Outcome::Receipt`]
    Receipt(VirtualPath),
    /// A command whose parameter Waybill refuses on purpose (TYPE E, STRU R, MODE B…): the engine
    /// records the refusal and gives the reply back. → [`Outcome::Refused`]
    Unsupported(Reply),
}

impl Ask {
    /// The path that it ends at, of a file or a folder.
    pub const fn leads_to(&self) -> Option<&VirtualPath> {
        match self {
            Self::Enter(path)
            | Self::Mlst(path)
            | Self::Modified(path)
            | Self::Available(path)
            | Self::Delete(path)
            | Self::MakeFolder(path)
            | Self::RemoveFolder(path)
            | Self::RenameFrom(path)
            | Self::Receipt(path)
            | Self::Size { path, .. }
            | Self::ModifiedOrTouch { path, .. }
            | Self::Touch { path, .. }
            | Self::Digest { path, .. }
            | Self::Rename { to: path, .. } => Some(path),
            _ => None,
        }
    }

    /// Whether it changes files or folders: once begun, it runs to its end.
    pub const fn changes(&self) -> bool {
        matches!(
            self,
            Self::ModifiedOrTouch { .. }
                | Self::Touch { .. }
                | Self::Delete(_)
                | Self::MakeFolder(_)
                | Self::RemoveFolder(_)
                | Self::Rename { .. }
        )
    }
}

/// A transfer over a data connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// `RETR`, from `offset`, to the byte before `end` if `RANG` gave one.
    Retrieve {
        /// The file.
        path: VirtualPath,
        /// Where to begin.
        offset: u64,
        /// The byte after the last one wanted.
        end: Option<u64>,
        /// Whether TYPE A is in force.
        ascii: bool,
    },
    /// `STOR`, `APPE`, `STOU`.
    Store {
        /// The file; for `STOU` the folder, or the client's proposed name.
        path: VirtualPath,
        /// Which command and from which offset.
        mode: StoreMode,
        /// Whether TYPE A was in force.
        ascii: bool,
    },
    /// `LIST`, `NLST`, `MLSD`.
    List(Listing),
}

/// How an upload treats an existing file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreMode {
    /// `STOR` from the beginning.
    Replace,
    /// `REST n`, then `STOR`; n is above 0.
    From(u64),
    /// `APPE`.
    Append,
    /// `STOU`.
    Unique,
}

/// A listing to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The folder or file.
    pub path: VirtualPath,
    /// Wildcards in the last component: only matching names in `path` are listed.
    pub pattern: Option<String>,
    /// The form of the lines.
    pub format: Format,
    /// `-a`: with `.` and `..` (LIST only).
    pub all: bool,
    /// `-R`, bounded by the engine.
    pub recursive: bool,
    /// Which facts MLSD and MLST lines carry.
    pub facts: Facts,
    /// The folder (without a pattern: the folder or file) as the client wrote it; empty: the current folder. NLST puts
    /// it before each name, because its names must work as arguments of RETR (RFC 1123 section 4.1.2.7).
    pub written: String,
}

impl Listing {
    /// The same for the literal name, such as a folder `in[1]`; `None` if there is no pattern, or one with a star: a
    /// file called `*` must not hide all others from `NLST *`.
    pub fn to_the_letter(&self) -> Option<Self> {
        let pattern = self.pattern.as_deref().filter(|pattern| !pattern.contains('*'))?;
        let path = self.path.child(Name::parse(pattern).ok()?);
        Some(Self { path, pattern: None, written: self.within(pattern), ..self.clone() })
    }

    /// The same of a folder that `-R` has found `names` below this one.
    #[must_use]
    pub fn below(&self, names: &[Name]) -> Self {
        names.iter().fold(self.clone(), |above, name| Self {
            path: above.path.child(name.clone()),
            written: above.within(name.as_str()),
            ..above
        })
    }

    /// A name of the folder, as the client would write it.
    fn within(&self, name: &str) -> String {
        let slash = if self.written.is_empty() || self.written.ends_with('/') { "" } else { "/" };
        format!("{}{slash}{name}", self.written)
    }

    /// Whether an entry of the folder is wanted: it matches the pattern, or literally has that name.
    pub fn wants(&self, name: &str) -> bool {
        self.pattern.as_deref().is_none_or(|pattern| pattern == name || listing::matches(pattern, name))
    }

    /// The line of an entry of the folder, without its line end.
    pub fn line(&self, entry: &Entry, now: Timestamp, zone: &TimeZone) -> String {
        let line = listing::line(entry, self.format, self.facts, now, zone);
        match self.format {
            Format::Names if self.written.is_empty() => line,
            Format::Names => self.within(&line),
            Format::List | Format::Machine => line,
        }
    }

    /// The line if `path` turned out to be a file, without its line end.
    pub fn line_of_file(&self, entry: &Entry, now: Timestamp, zone: &TimeZone) -> String {
        match self.format {
            Format::Names if !self.written.is_empty() => self.written.clone(),
            _ => listing::line(entry, self.format, self.facts, now, zone),
        }
    }
}

/// The network protocols of `EPSV` (RFC 2428).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// 1.
    V4,
    /// 2.
    V6,
}

/// Digests of the HASH family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// CRC32, as in zip.
    Crc32,
    /// MD5.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-256, the default.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// In order of preference, as FEAT shows them.
    pub const ALL: [Self; 5] = [Self::Sha256, Self::Sha512, Self::Sha1, Self::Md5, Self::Crc32];

    /// Its name in HASH, OPTS and FEAT.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
            Self::Sha512 => "SHA-512",
        }
    }

    /// Reads a name, in any case, with or without the dash.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |name: &str| name.replace('-', "").to_ascii_uppercase();
        Self::ALL.into_iter().find(|algorithm| plain(algorithm.name()) == plain(text.trim()))
    }

    /// `SHA-256*;SHA-512;…`: all of them, with a star after the chosen one.
    pub fn starred(chosen: Self) -> String {
        let one = |algorithm: Self| format!("{}{}", algorithm.name(), if algorithm == chosen { "*" } else { "" });
        Self::ALL.map(one).join(";")
    }
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// No; the client hears this.
    Refused(Reply),
    /// No, and the control connection closes after this reply (421).
    RefusedAndClose(Reply),
    /// `CWD`, `CDUP`: entered, and this is the folder's real name (`CWD send` leads to `/Send`); [`Self::Done`] if it
    /// was named as asked.
    Entered(VirtualPath),
    /// `USER` may go on.
    NameAccepted {
        /// The encoding of the partner's names, and so perhaps of its password; UTF-8 for an unknown name.
        encoding: Encoding,
    },
    /// The partner is in.
    LoggedIn {
        /// The partner's first folder.
        start: VirtualPath,
        /// The encoding of this partner's names.
        encoding: Encoding,
        /// By certificate alone, answering `USER` (232).
        by_certificate: bool,
    },
    /// The welcome text for a `HOST`.
    Banner(String),
    /// The passive port is open here: the address to tell the client.
    Listening(SocketAddr),
    /// The data connection is established; for `STOU`: the name chosen.
    Opened {
        /// `STOU`'s name.
        unique: Option<String>,
    },
    /// The transfer succeeded. `note` is a short remark for the client, such as the digest; may be empty.
    Transferred {
        /// Ends the 226 line.
        note: String,
    },
    /// Entries for the control connection.
    Entries {
        /// In display order.
        entries: Vec<Entry>,
        /// When they were read: STAT's dates, like those of LIST, depend on what is recent then.
        now: Timestamp,
        /// The time zone of STAT's times.
        list_zone: TimeZone,
    },
    /// A size in bytes.
    Size(u64),
    /// A time of last change.
    Modified(Timestamp),
    /// A digest.
    Digest {
        /// Lower-case hex.
        hex: String,
        /// First byte covered.
        start: u64,
        /// Byte after the last covered.
        end: u64,
    },
    /// Bytes that may be stored.
    Available(u64),
    /// The lines of `SITE RECEIPT`.
    Receipt(Vec<String>),
}

/// The live settings that the session needs when it reads a command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four independent switches of the administrator, no state")]
pub struct Policy {
    /// `AUTH` is offered (502 otherwise; FEAT says so too).
    pub tls_offered: bool,
    /// The profile's or connector's Active Mode (502 for PORT, EPRT otherwise).
    pub active_mode: bool,
    /// MODE Z is offered.
    pub mode_z: bool,
    /// Once logged in, data in clear is refused with 521.
    pub data_tls_required: bool,
}
