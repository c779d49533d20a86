//! The one table that FEAT, HELP, the parser and the session read, so that they cannot disagree: a command that is not
//! in it does not exist, and one that needs a login here needs it everywhere.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::command::{
    Bad, Command, Parser, allo, auth, check, epsv, hash_path, list, mdtm, mff, mfmt, mode, name, optional, opts, pass,
    path, pbsz, prot, rang, rest, site, stat, stru, type_,
};
use super::listing::Facts;
use super::reply::{Code, Reply};
use super::session::{Algorithm, Policy};

/// Command names per line of HELP.
const HELP_COLUMNS: usize = 8;

/// One command.
pub struct Feature {
    /// The verb.
    pub name: &'static str,
    /// Other verbs that mean the same.
    pub also: &'static [&'static str],
    /// Its syntax.
    pub usage: &'static str,
    /// What it does: a sentence for HELP.
    pub summary: &'static str,
    /// Where it is specified.
    pub specification: &'static str,
    /// Its line in FEAT.
    pub feat: Feat,
    /// Whether it is allowed without a login.
    pub before_login: bool,
    /// Whether it is answered during a transfer; all others wait for its end.
    pub at_once: bool,
    /// What must be offered for it to exist.
    pub needs: Needs,
    parser: Parser,
}

/// What FEAT says of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feat {
    /// Nothing.
    Silent,
    /// These words.
    Words(&'static str),
    /// These words, if names are in UTF-8.
    Utf8(&'static str),
    /// `MLST` with its facts.
    Facts,
    /// `HASH` with its algorithms.
    Algorithms,
    /// `MODE Z` if it is offered.
    Deflate,
}

/// What must be offered for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// TLS: `AUTH` is offered, or TLS is in force.
    Tls,
    /// Active mode.
    ActiveMode,
}

/// What FEAT, HELP and dispatch depend on.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The live settings.
    pub policy: &'a Policy,
    /// TLS is in force.
    pub secured: bool,
    /// Names are in UTF-8.
    pub utf_8: bool,
    /// The facts of MLST.
    pub facts: Facts,
    /// The algorithm of HASH.
    pub algorithm: Algorithm,
}

const fn row(
    name: &'static str,
    usage: &'static str,
    summary: &'static str,
    specification: &'static str,
    parser: Parser,
) -> Feature {
    let (feat, needs) = (Feat::Silent, Needs::Nothing);
    Feature { name, also: &[], usage, summary, specification, feat, before_login: false, at_once: false, needs, parser }
}

impl Feature {
    const fn also(mut self, also: &'static [&'static str]) -> Self {
        self.also = also;
        self
    }

    const fn feat(mut self, feat: Feat) -> Self {
        self.feat = feat;
        self
    }

    const fn says(self, words: &'static str) -> Self {
        self.feat(Feat::Words(words))
    }

    const fn before_login(mut self) -> Self {
        self.before_login = true;
        self
    }

    const fn at_once(mut self) -> Self {
        self.at_once = true;
        self
    }

    const fn needs(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }

    /// Reads the argument.
    pub(super) fn read(&self, argument: &str) -> Result<Command, Reply> {
        (self.parser)(argument).map_err(|bad| match bad {
            Bad::Usage => Reply::new(Code::ArgumentError, format!("Usage: {}", self.usage)),
            Bad::Reply(reply) => reply,
        })
    }

    /// Whether it exists under these settings.
    pub fn is_offered(&self, view: View<'_>) -> bool {
        match self.needs {
            Needs::Nothing => true,
            Needs::Tls => view.policy.tls_offered || view.secured,
            Needs::ActiveMode => view.policy.active_mode,
        }
    }

    fn line(&self, view: View<'_>) -> Option<String> {
        match self.feat {
            Feat::Silent => None,
            Feat::Words(words) => Some(words.to_owned()),
            Feat::Utf8(words) => view.utf_8.then(|| words.to_owned()),
            Feat::Facts => Some(format!("MLST {}", view.facts.starred())),
            Feat::Algorithms => Some(format!("HASH {}", Algorithm::starred(view.algorithm))),
            Feat::Deflate => view.policy.mode_z.then(|| "MODE Z".to_owned()),
        }
    }
}

/// Every command, in the order of HELP.
pub const FEATURES: &[Feature] = &[
    row("USER", "USER name", "Begin to log in.", "RFC 959 4.1.1", |a| name(a, Command::User)).before_login(),
    row("PASS", "PASS password", "Log in.", "RFC 959 4.1.1", |a| Ok(pass(a))).before_login(),
    row("ACCT", "ACCT text", "Not needed here.", "RFC 959 4.1.1", |_| Ok(Command::Acct)),
    row("REIN", "REIN", "Log out and stay connected.", "RFC 959 4.1.1", |_| Ok(Command::Rein)).before_login(),
    row("QUIT", "QUIT", "Say goodbye.", "RFC 959 4.1.1", |_| Ok(Command::Quit)).before_login(),
    row("HOST", "HOST name", "Choose the server's name.", "RFC 7151", |a| name(a, Command::Host))
        .before_login()
        .says("HOST"),
    row("AUTH", "AUTH TLS", "Start TLS.", "RFC 4217 4", auth).before_login().needs(Needs::Tls).says("AUTH TLS"),
    row("PBSZ", "PBSZ 0", "Agree on TLS for data.", "RFC 4217 9", pbsz).before_login().needs(Needs::Tls).says("PBSZ"),
    row("PROT", "PROT P", "Protect data, or not (C).", "RFC 4217 9", prot)
        .before_login()
        .needs(Needs::Tls)
        .says("PROT"),
    row("CCC", "CCC", "Refused: the control connection stays protected.", "RFC 4217 6", |_| Ok(Command::Ccc)),
    row("CWD", "CWD folder", "Enter a folder.", "RFC 959 4.1.1", |a| path(a, Command::Cwd))
        .also(&["XCWD"])
        .says("TVFS"),
    row("CDUP", "CDUP", "Enter the folder above.", "RFC 959 4.1.1", |_| Ok(Command::Cdup)).also(&["XCUP"]),
    row("PWD", "PWD", "Tell the folder you are in.", "RFC 959 4.1.3", |_| Ok(Command::Pwd)).also(&["XPWD"]),
    row("MKD", "MKD folder", "Make a folder.", "RFC 959 4.1.3", |a| path(a, Command::Mkd)).also(&["XMKD"]),
    row("RMD", "RMD folder", "Remove a folder.", "RFC 959 4.1.3", |a| path(a, Command::Rmd)).also(&["XRMD"]),
    row("TYPE", "TYPE A|I|L 8", "Send text (A) or bytes (I).", "RFC 959 4.1.2", type_),
    row("STRU", "STRU F", "Files have no inner structure.", "RFC 959 4.1.2", stru),
    row("MODE", "MODE S|Z", "Send plainly (S) or, where offered, deflated (Z).", "RFC 959 4.1.2", mode)
        .feat(Feat::Deflate),
    row("PASV", "PASV", "Let the server listen for the data connection.", "RFC 959 4.1.2", |_| Ok(Command::Pasv)),
    row("EPSV", "EPSV [1|2|ALL]", "Like PASV, for IPv6 too.", "RFC 2428 3", epsv).says("EPSV"),
    row("PORT", "PORT h1,h2,h3,h4,p1,p2", "Let the client listen.", "RFC 959 4.1.2", |a| {
        Ok(Command::Port(super::address::parse_port(a)?))
    })
    .needs(Needs::ActiveMode),
    row("EPRT", "EPRT |1|address|port|", "Like PORT, for IPv6 too.", "RFC 2428 2", |a| {
        Ok(Command::Eprt(super::address::parse_eprt(a)?))
    })
    .needs(Needs::ActiveMode)
    .says("EPRT"),
    row("ALLO", "ALLO bytes", "Not needed here.", "RFC 959 4.1.3", allo),
    row("REST", "REST offset", "Begin the next transfer there.", "RFC 3659 5", rest).says("REST STREAM"),
    row(
        "RANG",
        "RANG first last",
        "Ask for these bytes only, with the next RETR or HASH.",
        "draft-bryan-ftp-range",
        rang,
    )
    .says("RANG STREAM"),
    row("RETR", "RETR file", "Download a file.", "RFC 959 4.1.3", |a| path(a, Command::Retr)),
    row("STOR", "STOR file", "Upload a file.", "RFC 959 4.1.3", |a| path(a, Command::Stor)),
    row("STOU", "STOU", "Upload a file under a new name.", "RFC 959 4.1.3", |a| Ok(optional(a, Command::Stou))),
    row("APPE", "APPE file", "Upload to the end of a file.", "RFC 959 4.1.3", |a| path(a, Command::Appe)),
    row("RNFR", "RNFR file", "Say what to rename.", "RFC 959 4.1.3", |a| path(a, Command::Rnfr)),
    row("RNTO", "RNTO file", "Say the new name.", "RFC 959 4.1.3", |a| path(a, Command::Rnto)),
    row("DELE", "DELE file", "Delete a file.", "RFC 959 4.1.3", |a| path(a, Command::Dele)),
    row("ABOR", "ABOR", "End the transfer.", "RFC 959 4.1.3", |_| Ok(Command::Abor)).at_once(),
    row("LIST", "LIST [-aR] [path]", "List a folder.", "RFC 959 4.1.3", |a| Ok(Command::List(list(a)))),
    row("NLST", "NLST [path]", "List names.", "RFC 959 4.1.3", |a| Ok(Command::Nlst(list(a)))),
    row("MLSD", "MLSD [folder]", "List a folder for programs.", "RFC 3659 7", |a| Ok(optional(a, Command::Mlsd))),
    row("MLST", "MLST [path]", "Tell about one file or folder.", "RFC 3659 7", |a| Ok(optional(a, Command::Mlst)))
        .feat(Feat::Facts),
    row("SIZE", "SIZE file", "Tell a file's size.", "RFC 3659 4", |a| path(a, Command::Size)).says("SIZE"),
    row("MDTM", "MDTM file", "Tell when a file was changed.", "RFC 3659 3", mdtm).says("MDTM"),
    row("MFMT", "MFMT YYYYMMDDHHMMSS file", "Set when a file was changed.", "draft-somers-ftp-mfxx 3", mfmt)
        .says("MFMT"),
    row("MFF", "MFF modify=YYYYMMDDHHMMSS; file", "Set facts of a file.", "draft-somers-ftp-mfxx 5", mff)
        .says("MFF modify;"),
    row("MFCT", "MFCT", "Not offered: there is no time of creation.", "draft-somers-ftp-mfxx 4", |_| Ok(Command::Mfct)),
    row("HASH", "HASH file", "Tell a file's digest.", "draft-bryan-ftpext-hash", hash_path).feat(Feat::Algorithms),
    row("XCRC", CHECK_USAGE[0], "Tell a file's CRC32.", NO_RFC, |a| check(a, Command::Xcrc)).says("XCRC"),
    row("XMD5", CHECK_USAGE[1], "Tell a file's MD5.", NO_RFC, |a| check(a, Command::Xmd5)).says("XMD5"),
    row("XSHA1", CHECK_USAGE[2], "Tell a file's SHA-1.", NO_RFC, |a| check(a, Command::Xsha1))
        .also(&["XSHA"])
        .says("XSHA1"),
    row("XSHA256", CHECK_USAGE[3], "Tell a file's SHA-256.", NO_RFC, |a| check(a, Command::Xsha256)).says("XSHA256"),
    row("XSHA512", CHECK_USAGE[4], "Tell a file's SHA-512.", NO_RFC, |a| check(a, Command::Xsha512)).says("XSHA512"),
    row("MD5", CHECK_USAGE[5], "Tell a file's MD5.", "draft-twine-ftpmd5", |a| check(a, Command::Md5)).says("MD5"),
    row("AVBL", "AVBL [folder]", "Tell how much room is left.", STREAMLINED, |a| Ok(optional(a, Command::Avbl)))
        .says("AVBL"),
    row("CSID", "CSID Name=program;", "Say what your program is.", STREAMLINED, |a| name(a, Command::Csid))
        .before_login()
        .says("CSID"),
    row("CLNT", "CLNT program", "Say what your program is.", NO_RFC, |a| name(a, Command::Clnt))
        .before_login()
        .says("CLNT"),
    row("FEAT", "FEAT", "List what is offered.", "RFC 2389 3", |_| Ok(Command::Feat)).before_login(),
    row("OPTS", "OPTS UTF8|MLST|HASH|MODE words", "Choose how commands behave.", "RFC 2389 4", opts)
        .before_login()
        .feat(Feat::Utf8("UTF8")),
    row("LANG", "LANG [en]", "Choose the language of replies.", "RFC 2640 4", |a| Ok(optional(a, Command::Lang)))
        .before_login()
        .feat(Feat::Utf8("LANG en*")),
    row("SITE", "SITE HELP", "Commands that only some servers have.", "RFC 959 4.1.3", site),
    row("SYST", "SYST", "Tell the kind of system.", "RFC 959 4.1.3", |_| Ok(Command::Syst)).before_login(),
    row("STAT", "STAT [path]", "Tell how things are, or list over this connection.", "RFC 959 4.1.3", |a| Ok(stat(a)))
        .before_login()
        .at_once(),
    row("HELP", "HELP [command]", "This list.", "RFC 959 4.1.3", |a| Ok(optional(a, Command::Help))).before_login(),
    row("NOOP", "NOOP", "Nothing, politely.", "RFC 959 4.1.3", |_| Ok(Command::Noop)).before_login().at_once(),
];

const NO_RFC: &str = "as other servers have it";
const STREAMLINED: &str = "draft-peterson-streamlined-ftp-command-extensions";
const CHECK_USAGE: [&str; 6] = [
    "XCRC file [start end]",
    "XMD5 file [start end]",
    "XSHA1 file [start end]",
    "XSHA256 file [start end]",
    "XSHA512 file [start end]",
    "MD5 file",
];

/// Verbs of RFCs and other servers that Waybill deliberately lacks: 502, and not counted as unknown.
const UNSUPPORTED: &[&str] = &[
    "SMNT", "ADAT", "MIC", "CONF", "ENC", "LPRT", "LPSV", "XRSQ", "XRCP", "XSEM", "XSEN", "MAIL", "MLFL", "MSND",
    "MSOM", "MSAM", "MRSQ", "MRCP", "CPSV", "SSCN", "SPSV", "PRET", "DSIZ", "COMB", "THMB", "ESTA", "ESTP", "RMDA",
    "MMD5", "XSTAT", "XDUPE", "MACB", "MLKD", "CPFR", "CPTO",
];

/// Every verb in capitals. Each command is looked up more than once.
static BY_VERB: LazyLock<HashMap<&str, &Feature>> = LazyLock::new(|| {
    let verbs = |feature: &'static Feature| feature.also.iter().copied().chain([feature.name]);
    FEATURES.iter().flat_map(|feature| verbs(feature).map(move |verb| (verb, feature))).collect()
});

/// The feature of a verb, in any case.
pub fn find(verb: &str) -> Option<&'static Feature> {
    // Nearly every client says it in capitals.
    let found = BY_VERB.get(verb).or_else(|| BY_VERB.get(verb.to_ascii_uppercase().as_str()));
    found.copied()
}

/// The feature of a command; none for one that was not understood.
pub fn of(command: &Command) -> Option<&'static Feature> {
    find(command.name())
}

/// A known verb that is not offered, in any case.
pub(super) fn unsupported(verb: &str) -> Option<&'static str> {
    UNSUPPORTED.iter().find(|known| known.eq_ignore_ascii_case(verb)).copied()
}

/// FEAT's reply (RFC 2389 section 3.2).
pub fn feat(view: View<'_>) -> Reply {
    let lines = FEATURES.iter().filter(|feature| feature.is_offered(view)).filter_map(|feature| feature.line(view));
    Reply::list(Code::Status, "Features:", lines, "End")
}

/// HELP's reply: of all commands, or of one.
pub fn help(verb: Option<&str>, view: View<'_>) -> Reply {
    let Some(verb) = verb.map(str::trim) else {
        let names: Vec<_> =
            FEATURES.iter().filter(|feature| feature.is_offered(view)).map(|feature| feature.name).collect();
        let lines = names.chunks(HELP_COLUMNS).map(|names| names.join(" "));
        return Reply::list(Code::Help, "These commands are understood:", lines, "HELP and a command tells more.");
    };
    match find(verb).filter(|feature| feature.is_offered(view)) {
        Some(feature) if feature.name == "SITE" => site_help(),
        Some(Feature { usage, summary, specification, .. }) => {
            Reply::new(Code::Help, format!("{usage}: {summary} ({specification})"))
        }
        None => Reply::new(Code::ArgumentError, "There is no such command. HELP lists all."),
    }
}

/// `SITE HELP`'s reply.
pub fn site_help() -> Reply {
    let lines = [
        "SITE HELP",
        "SITE RECEIPT file: the receipt of your latest upload of that name",
        "SITE UTIME YYYYMMDDhhmm[ss] file: set when a file was changed",
    ];
    Reply::list(Code::Help, "These SITE commands are understood:", lines.map(str::to_owned), "End")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A valid argument for each verb.
    fn sample(verb: &str) -> String {
        let argument = match verb {
            "PORT" => "127,0,0,1,4,1",
            "EPRT" => "|1|127.0.0.1|1025|",
            "TYPE" => "I",
            "STRU" => "F",
            "MODE" => "S",
            "ALLO" | "REST" | "PBSZ" => "0",
            "RANG" => "0 1",
            "AUTH" => "TLS",
            "PROT" => "P",
            "OPTS" => "UTF8 ON",
            "MFMT" => "20261125140352 a",
            "MFF" => "modify=20261125140352; a",
            "PASV" | "EPSV" | "LANG" => "",
            _ => "a",
        };
        format!("{verb} {argument}")
    }

    #[test]
    fn every_row_reads_into_its_own_command() {
        for feature in FEATURES {
            for verb in feature.also.iter().chain([&feature.name]) {
                let command = Command::parse(&sample(verb)).unwrap_or_else(|reply| panic!("{verb}: {reply:?}"));
                assert_eq!(command.name(), feature.name, "{verb}");
                assert!(std::ptr::eq(of(&command).unwrap(), find(feature.name).unwrap()));
            }
            assert!(feature.usage.starts_with(feature.name), "{}", feature.usage);
            assert!(feature.summary.ends_with('.'), "{}", feature.name);
            // Replies may go out in any encoding.
            let said = [feature.usage, feature.summary, feature.specification];
            assert!(said.iter().all(|text| text.is_ascii()), "{}", feature.name);
        }
    }

    #[test]
    fn every_name_of_a_command_is_a_row_and_no_verb_is_there_twice() {
        // The list of variants is the source of Command::name: the compiler keeps it complete.
        let source = include_str!("command/words.rs");
        let names: Vec<_> = source
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Self::")?.split_once("=> \"")?.1.strip_suffix("\","))
            .filter(|name| !name.is_empty())
            .collect();
        assert_eq!(names.len(), FEATURES.len());
        assert!(names.iter().all(|name| find(name).is_some_and(|feature| feature.name == *name)));
        let mut verbs: Vec<_> =
            FEATURES.iter().flat_map(|feature| feature.also.iter().chain([&feature.name])).collect();
        verbs.extend(UNSUPPORTED);
        let count = verbs.len();
        verbs.sort_unstable();
        verbs.dedup();
        assert_eq!(verbs.len(), count);
    }
}
