//! The states a session can be in, and what the engine may ask about them.

use super::step::{Algorithm, Listing, Policy, StoreMode};
use crate::base::clock::Timestamp;
use crate::base::path::VirtualPath;
use crate::ftp::encoding::Encoding;
use crate::ftp::feature::View;
use crate::ftp::listing::Facts;
use crate::ftp::reply::{Code, Reply};

/// The level of MODE Z unless `OPTS MODE Z LEVEL` sets another.
const DEFLATE_LEVEL: u8 = 6;

/// One control connection's protocol state.
#[derive(Debug, Default)]
pub struct Session {
    pub(super) login: Login,
    pub(super) tls: Tls,
    pub(super) asked: Asked,
    pub(super) settings: Settings,
    pub(super) data: DataPort,
    pub(super) restart: Restart,
    /// What `RNFR` named, for the very next command.
    pub(super) renaming: Option<VirtualPath>,
    /// Unknown commands since the beginning or the login.
    pub(super) unknown: u32,
    pub(super) last_ending: Ending,
}

/// Whether somebody is logged in.
#[derive(Debug, Default)]
pub(super) enum Login {
    #[default]
    Fresh,
    /// `USER` was accepted; `PASS` may come, in the encoding of the partner's names.
    Named(String, Encoding),
    In(Partner),
}

/// Who is logged in, and what belongs to it.
#[derive(Debug)]
pub(super) struct Partner {
    pub(super) name: String,
    pub(super) here: VirtualPath,
    pub(super) encoding: Encoding,
}

/// TLS on the control connection, and what it means for data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tls {
    #[default]
    Clear,
    /// 234 was answered; the handshake is under way. Data connections will start with this protection.
    Starting(Protection),
    On {
        /// The initial protection of data connections.
        first: Protection,
        /// `PBSZ` was said, so `PROT` is allowed.
        agreed: bool,
        /// The current protection of data connections.
        protection: Protection,
    },
}

/// Whether data connections are protected by TLS (RFC 4217 section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// `PROT C`.
    Clear,
    /// `PROT P`.
    Private,
}

/// How bytes are interpreted (RFC 959 section 3.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataType {
    /// `TYPE A`, the initial type of every session.
    #[default]
    Ascii,
    /// `TYPE I`, and the equivalent `L 8`.
    Image,
}

/// What the engine was asked and has not answered yet.
#[derive(Debug, Default)]
pub(super) enum Asked {
    #[default]
    Nothing,
    Question(Question),
    /// The file is being read in a task beside the session, which may take long.
    Reading {
        told: Told,
        /// `ABOR` was said; another one waits.
        aborting: bool,
    },
    Transfer {
        moves: Moves,
        /// `ABOR` was said; another one waits.
        aborting: bool,
    },
}

/// What a transfer moves, as far as its replies need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moves {
    FileOut,
    FileIn(StoreMode),
    Listing,
}

/// A question, with what its reply needs.
#[derive(Debug)]
pub(super) enum Question {
    Name(String),
    Login(String),
    Logout,
    Host,
    StartTls(Protection),
    Passive {
        extended: bool,
    },
    Active,
    Enter(VirtualPath),
    Stat(Listing),
    Mlst(VirtualPath),
    Size,
    Modified,
    /// The time set, and the path as written, for the replies of MFMT and MFF.
    Facts(Timestamp, String),
    Touch,
    Available,
    Delete,
    MakeFolder(VirtualPath),
    RemoveFolder,
    RenameFrom(VirtualPath),
    Rename,
    ClientName,
    Receipt,
    Unsupported,
}

/// The form of the reply when a file was read.
#[derive(Debug)]
pub(super) enum Told {
    /// HASH: algorithm, range, digest, the path as written.
    Hash(Algorithm, String),
    /// The XCRC family: the digest alone.
    Plain,
    /// MD5: the path as written and the digest.
    Named(String),
    /// SIZE in TYPE A.
    Size,
}

/// The client's choices, which a new login keeps (RFC 959 section 4.1.1, USER).
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) data_type: DataType,
    pub(super) deflate: bool,
    pub(super) deflate_level: u8,
    pub(super) facts: Facts,
    pub(super) algorithm: Algorithm,
    pub(super) epsv_all: bool,
    /// `OPTS UTF8 ON` or `LANG` was answered with 200, which clients take as agreement on UTF-8.
    pub(super) utf_8: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_type: DataType::default(),
            deflate: false,
            deflate_level: DEFLATE_LEVEL,
            facts: Facts::ALL,
            algorithm: Algorithm::Sha256,
            epsv_all: false,
            utf_8: false,
        }
    }
}

/// Whether an endpoint for the next data connection is agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum DataPort {
    #[default]
    Unknown,
    Agreed,
}

/// Where the next transfer begins and ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Restart {
    #[default]
    Whole,
    /// `REST`, above 0.
    From(u64),
    /// `RANG`: first byte and the byte after the last.
    Range(u64, u64),
}

/// How the last transfer ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ending {
    #[default]
    Cut,
    Complete,
}

impl Session {
    /// A connection that has just been made.
    pub fn new() -> Self {
        Self::default()
    }

    /// TLS is established on the control connection: everything said before is forgotten (RFC 4217; somebody in between
    /// may have said it). `implicit`: from the first byte.
    pub fn secured(&mut self, implicit: bool) {
        let first = match self.tls {
            Tls::Starting(first) => first,
            _ if implicit => Protection::Private,
            _ => Protection::Clear,
        };
        *self = Self { tls: Tls::On { first, agreed: false, protection: first }, ..Self::default() };
    }

    /// Whether a partner is logged in.
    pub const fn logged_in(&self) -> bool {
        matches!(self.login, Login::In(_))
    }

    /// The encoding of names on this connection. Before the login it is UTF-8, which nearly every partner uses: FEAT
    /// says so, and cannot know who will log in. Clients such as lftp then say `OPTS UTF8 ON` and write UTF-8, so the
    /// 200 is a promise that is kept even for a partner with another encoding. A client that only reads FEAT has chosen
    /// nothing: many do so to find AUTH TLS, and for them the administrator's encoding applies.
    pub fn encoding(&self) -> &Encoding {
        static UTF_8: Encoding = Encoding::UTF_8;
        match &self.login {
            Login::In(partner) if !self.settings.utf_8 => &partner.encoding,
            Login::In(_) | Login::Fresh | Login::Named(..) => &UTF_8,
        }
    }

    /// Sets the encoding of the partner's names; what the client asked for itself takes precedence.
    pub fn names_are_in(&mut self, encoding: Encoding) {
        if let Login::In(partner) = &mut self.login {
            partner.encoding = encoding;
        }
    }

    /// A line as text; `None` if it is invalid in the encoding in force.
    pub fn decode(&mut self, line: &[u8]) -> Option<String> {
        if let Login::Named(_, encoding) = &self.login
            && is_pass(line)
        {
            let text = Encoding::UTF_8.decode(line).or_else(|| encoding.decode(line));
            // Treated as a wrong password: a different answer than to an unknown name would reveal that this one
            // exists.
            return Some(text.unwrap_or_else(|| String::from_utf8_lossy(line).into_owned()));
        }
        let mut text = self.encoding().decode(line);
        if text.is_none() && std::mem::take(&mut self.settings.utf_8) {
            // The client asked for UTF-8 but does not write it: the administrator's setting applies again.
            text = self.encoding().decode(line);
        }
        text.map(|text| self.encoding().restored(text))
    }

    /// The partner's current folder; the root before the login.
    pub fn here(&self) -> VirtualPath {
        match &self.login {
            Login::In(partner) => partner.here.clone(),
            Login::Fresh | Login::Named(..) => VirtualPath::root(),
        }
    }

    /// Whether data connections are protected.
    pub const fn protection(&self) -> Protection {
        match self.tls {
            Tls::On { protection, .. } => protection,
            Tls::Clear | Tls::Starting(_) => Protection::Clear,
        }
    }

    /// How bytes are interpreted.
    pub const fn data_type(&self) -> DataType {
        self.settings.data_type
    }

    /// Whether data connections are deflated (MODE Z).
    pub const fn mode_z(&self) -> bool {
        self.settings.deflate
    }

    /// How hard to deflate, 0 to 9.
    pub const fn mode_z_level(&self) -> u8 {
        self.settings.deflate_level
    }

    /// Whether a transfer is under way, from its command to its final reply.
    pub const fn is_transferring(&self) -> bool {
        matches!(self.asked, Asked::Transfer { .. })
    }

    /// Whether a file is being read for its digest, or for its size as text.
    pub const fn is_reading(&self) -> bool {
        matches!(self.asked, Asked::Reading { .. })
    }

    /// Whether no question is pending: commands that were kept may be given again.
    pub const fn is_idle(&self) -> bool {
        matches!(self.asked, Asked::Nothing)
    }

    /// Whether PASV, EPSV, PORT or EPRT wait for a transfer. If this is false and no transfer is under way, the engine
    /// gives back the port it may still hold.
    pub fn is_data_agreed(&self) -> bool {
        self.data == DataPort::Agreed
    }

    pub(super) fn is_secured(&self) -> bool {
        matches!(self.tls, Tls::On { .. })
    }

    pub(super) fn view<'a>(&self, policy: &'a Policy) -> View<'a> {
        View {
            policy,
            secured: self.is_secured(),
            utf_8: self.encoding().is_utf_8(),
            facts: self.settings.facts,
            algorithm: self.settings.algorithm,
        }
    }

    /// A path as the client means it; `code` if it is invalid.
    pub(super) fn resolve(&self, text: &str, code: Code) -> Result<VirtualPath, Reply> {
        self.here().resolve(text).map_err(|error| Reply::new(code, format!("That path {error}.")))
    }

    /// Forgets what belongs to a login; the client's choices for its data stay.
    pub(super) fn log_out(&mut self) {
        self.login = Login::Fresh;
        self.renaming = None;
        self.restart = Restart::Whole;
        self.data = DataPort::Unknown;
    }
}

fn is_pass(line: &[u8]) -> bool {
    line.get(..5).is_some_and(|verb| verb.eq_ignore_ascii_case(b"PASS "))
}
