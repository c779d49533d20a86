//! Parses the arguments of each command, once the verb is known. [`crate::ftp::feature`] names the parser of each verb.

use std::str::FromStr;

use super::words::{
    Check, Command, EpsvArgument, ListArgument, Mechanism, ModeArgument, OptsArgument, ProtArgument, StruArgument,
    TypeArgument,
};
use crate::base::secret::Secret;
use crate::ftp::address;
use crate::ftp::listing::{Facts, parse_time_value};
use crate::ftp::reply::{Code, Reply};
use crate::ftp::session::{Algorithm, Family};

/// Parses a verb's argument: everything after the one blank behind the verb.
pub(in crate::ftp) type Parser = fn(&str) -> Result<Command, Bad>;

/// Why an argument is invalid.
#[derive(Debug)]
pub(in crate::ftp) enum Bad {
    /// 501 with the verb's usage.
    Usage,
    /// This reply.
    Reply(Reply),
}

impl Bad {
    /// With a reply of its own.
    pub(super) fn reply(code: Code, text: &str) -> Self {
        Self::Reply(Reply::new(code, text))
    }
}

impl From<Reply> for Bad {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// A required path, blanks included.
pub(in crate::ftp) fn path(argument: &str, command: fn(String) -> Command) -> Result<Command, Bad> {
    if argument.is_empty() { Err(Bad::Usage) } else { Ok(command(argument.to_owned())) }
}

/// An optional path.
pub(in crate::ftp) fn optional(argument: &str, command: fn(Option<String>) -> Command) -> Command {
    command(Some(argument).filter(|text| !text.trim().is_empty()).map(str::to_owned))
}

/// One or more required words; blanks around them mean nothing.
pub(in crate::ftp) fn name(argument: &str, command: fn(String) -> Command) -> Result<Command, Bad> {
    path(argument.trim(), command)
}

/// `HASH`'s path, which some clients put in quotes.
pub(in crate::ftp) fn hash_path(argument: &str) -> Result<Command, Bad> {
    match quoted(argument) {
        Some((inner, "")) => path(inner, Command::Hash),
        _ => path(argument, Command::Hash),
    }
}

/// `ALLO 123 [R 456]`.
pub(in crate::ftp) fn allo(argument: &str) -> Result<Command, Bad> {
    let mut words = argument.split_ascii_whitespace();
    let size = words.next().and_then(decimal).ok_or(Bad::Usage)?;
    match (words.next(), words.next(), words.next()) {
        (None, ..) => Ok(Command::Allo(size)),
        (Some("R" | "r"), Some(record), None) if decimal::<u64>(record).is_some() => Ok(Command::Allo(size)),
        _ => Err(Bad::Usage),
    }
}

/// `AUTH TLS`.
pub(in crate::ftp) fn auth(argument: &str) -> Result<Command, Bad> {
    Ok(Command::Auth(match upper(argument).as_str() {
        "" => return Err(Bad::Usage),
        "TLS" | "TLS-C" => Mechanism::Tls,
        "SSL" | "TLS-P" => Mechanism::TlsPrivate,
        _ => Mechanism::Other,
    }))
}

/// The XCRC family.
pub(in crate::ftp) fn check(argument: &str, command: fn(Check) -> Command) -> Result<Command, Bad> {
    let (path, start, end) = match quoted(argument) {
        Some((path, range)) => {
            let mut numbers = range.split_ascii_whitespace();
            let (start, end) = (numbers.next(), numbers.next());
            if numbers.next().is_some() {
                return Err(Bad::Usage);
            }
            let start = start.map_or(Some(0), decimal).ok_or(Bad::Usage)?;
            (path, start, end.map(|end| decimal(end).ok_or(Bad::Usage)).transpose()?)
        }
        None => match trailing_range(argument) {
            Some((path, start, end)) => (path, start, Some(end)),
            None => (argument, 0, None),
        },
    };
    if path.is_empty() || end.is_some_and(|end| end < start) {
        return Err(Bad::Usage);
    }
    Ok(command(Check { path: path.to_owned(), start, end }))
}

/// `EPSV`, `EPSV 1`, `EPSV ALL`.
pub(in crate::ftp) fn epsv(argument: &str) -> Result<Command, Bad> {
    Ok(Command::Epsv(match upper(argument).as_str() {
        "" => EpsvArgument::Same,
        "1" => EpsvArgument::Family(Family::V4),
        "2" => EpsvArgument::Family(Family::V6),
        "ALL" => EpsvArgument::All,
        other if decimal::<u32>(other).is_some() => return Err(address::family_not_supported().into()),
        _ => return Err(Bad::Usage),
    }))
}

/// `LIST -la path`.
pub(in crate::ftp) fn list(argument: &str) -> ListArgument {
    let mut out = ListArgument::default();
    let mut rest = argument;
    while let Some(options) = rest.trim_start().strip_prefix('-') {
        let (letters, after) = options.split_once(' ').unwrap_or((options, ""));
        rest = after;
        if letters == "-" {
            break;
        }
        out.all |= letters.contains('a');
        out.recursive |= letters.contains('R');
    }
    out.path = Some(rest).filter(|path| !path.trim().is_empty()).map(str::to_owned);
    out
}

/// `STAT`, `STAT path`.
pub(in crate::ftp) fn stat(argument: &str) -> Command {
    Command::Stat(Some(argument).filter(|text| !text.trim().is_empty()).map(list))
}

/// `MDTM path`, `MDTM YYYYMMDDHHMMSS path`.
pub(in crate::ftp) fn mdtm(argument: &str) -> Result<Command, Bad> {
    let touch = argument.split_once(' ').and_then(|(time, name)| {
        let to = parse_time_value(time).filter(|_| time.len() == 14 && !name.is_empty())?;
        Some((to, name.to_owned()))
    });
    if argument.is_empty() { Err(Bad::Usage) } else { Ok(Command::Mdtm { path: argument.to_owned(), touch }) }
}

/// `MFMT YYYYMMDDHHMMSS path`.
pub(in crate::ftp) fn mfmt(argument: &str) -> Result<Command, Bad> {
    let (time, path) = argument.split_once(' ').filter(|(_, path)| !path.is_empty()).ok_or(Bad::Usage)?;
    let to = parse_time_value(time).ok_or(Bad::Usage)?;
    Ok(Command::Mfmt { to, path: path.to_owned() })
}

/// `MFF modify=YYYYMMDDHHMMSS; path`.
pub(in crate::ftp) fn mff(argument: &str) -> Result<Command, Bad> {
    let (facts, path) = argument.split_once(' ').filter(|(_, path)| !path.is_empty()).ok_or(Bad::Usage)?;
    let mut to = None;
    for fact in facts.split(';').filter(|fact| !fact.is_empty()) {
        let (name, value) = fact.split_once('=').ok_or(Bad::Usage)?;
        if !name.eq_ignore_ascii_case("modify") {
            let text = "Only the modify fact can be changed.";
            return Err(Bad::reply(Code::ParameterNotImplemented, text));
        }
        to = Some(parse_time_value(value).ok_or(Bad::Usage)?);
    }
    Ok(Command::Mff { to: to.ok_or(Bad::Usage)?, path: path.to_owned() })
}

/// `MODE S`.
pub(in crate::ftp) fn mode(argument: &str) -> Result<Command, Bad> {
    Ok(Command::Mode(match upper(argument).as_str() {
        "S" => ModeArgument::Stream,
        "B" => ModeArgument::Block,
        "C" => ModeArgument::Compressed,
        "Z" => ModeArgument::Deflate,
        _ => return Err(Bad::Usage),
    }))
}

/// `OPTS UTF8 ON` and the others.
pub(in crate::ftp) fn opts(argument: &str) -> Result<Command, Bad> {
    let (verb, rest) = argument.trim().split_once(' ').unwrap_or((argument.trim(), ""));
    let words = upper(rest);
    Ok(Command::Opts(match (upper(verb).as_str(), words.as_str()) {
        ("UTF8" | "UTF-8", "" | "ON" | "NLST") => OptsArgument::Utf8On,
        ("UTF8" | "UTF-8", "OFF") => OptsArgument::Utf8Off,
        ("MLST", _) => OptsArgument::Mlst(Facts::parse(rest)),
        ("HASH", "") => OptsArgument::Hash(None),
        ("HASH", name) => OptsArgument::Hash(Some(Algorithm::parse(name).ok_or_else(|| {
            Bad::reply(Code::ParameterNotImplemented, "HASH knows SHA-256, SHA-512, SHA-1, MD5 and CRC32.")
        })?)),
        ("MODE", words) => OptsArgument::ModeZ(deflate_options(words)?),
        ("", _) => return Err(Bad::Usage),
        _ => return Err(Bad::reply(Code::ArgumentError, "There is no such option.")),
    }))
}

/// `Z ENGINE ZLIB METHOD 8 LEVEL 9`, in any order: the level if one was given. There is one engine and one method.
fn deflate_options(words: &str) -> Result<Option<u8>, Bad> {
    let usage = || Bad::reply(Code::ArgumentError, "Usage: OPTS MODE Z LEVEL 0-9");
    let mut words = words.split(' ').filter(|word| !word.is_empty());
    if words.next() != Some("Z") {
        return Err(usage());
    }
    let mut level = None;
    while let Some(word) = words.next() {
        match (word, words.next().ok_or_else(usage)?) {
            ("LEVEL", number) => level = Some(decimal(number).filter(|level| *level <= 9).ok_or_else(usage)?),
            ("ENGINE", "ZLIB") | ("METHOD", "8") => {}
            _ => return Err(usage()),
        }
    }
    Ok(level)
}

/// `PBSZ 0`: whatever size is asked for, the answer is 0 (RFC 4217 section 9).
pub(in crate::ftp) fn pbsz(argument: &str) -> Result<Command, Bad> {
    decimal::<u32>(argument.trim()).map(|_| Command::Pbsz).ok_or(Bad::Usage)
}

/// `PASS`: the whole argument, unchanged.
pub(in crate::ftp) fn pass(argument: &str) -> Command {
    Command::Pass(Secret::new(argument))
}

/// `PROT P`.
pub(in crate::ftp) fn prot(argument: &str) -> Result<Command, Bad> {
    Ok(Command::Prot(match upper(argument).as_str() {
        "C" => ProtArgument::Clear,
        "S" => ProtArgument::Safe,
        "E" => ProtArgument::Confidential,
        "P" => ProtArgument::Private,
        "" => return Err(Bad::Usage),
        _ => return Err(Bad::reply(Code::ParameterNotImplemented, "PROT takes C or P.")),
    }))
}

/// `RANG 100 199`: both bytes included; `RANG 1 0` cancels it.
pub(in crate::ftp) fn rang(argument: &str) -> Result<Command, Bad> {
    let (start, end) = argument.trim().split_once(' ').ok_or(Bad::Usage)?;
    let (start, end) = (decimal::<u64>(start).ok_or(Bad::Usage)?, decimal::<u64>(end.trim()).ok_or(Bad::Usage)?);
    match (start, end) {
        (1, 0) => Ok(Command::Rang(None)),
        _ if start <= end => Ok(Command::Rang(Some((start, end.saturating_add(1))))),
        _ => Err(Bad::reply(Code::ArgumentError, "The range ends before it begins.")),
    }
}

/// `REST 4096`.
pub(in crate::ftp) fn rest(argument: &str) -> Result<Command, Bad> {
    decimal(argument.trim()).map(Command::Rest).ok_or(Bad::Usage)
}

/// `STRU F`.
pub(in crate::ftp) fn stru(argument: &str) -> Result<Command, Bad> {
    Ok(Command::Stru(match upper(argument).as_str() {
        "F" => StruArgument::File,
        "R" => StruArgument::Record,
        "P" => StruArgument::Page,
        _ => return Err(Bad::Usage),
    }))
}

/// `TYPE A N`.
pub(in crate::ftp) fn type_(argument: &str) -> Result<Command, Bad> {
    let argument = upper(argument);
    let mut words = argument.split_ascii_whitespace();
    let found = match (words.next(), words.next()) {
        (Some("A"), None | Some("N" | "T")) => TypeArgument::Ascii,
        (Some("A"), Some("C")) => TypeArgument::AsciiCarriage,
        (Some("E"), None | Some("N" | "T" | "C")) => TypeArgument::Ebcdic,
        (Some("I"), _) => TypeArgument::Image,
        (Some("L"), Some(bits)) => TypeArgument::Local(decimal(bits).ok_or(Bad::Usage)?),
        // `TYPE L8`, as some clients write it.
        (Some("L8"), None) => TypeArgument::Local(8),
        _ => return Err(Bad::Usage),
    };
    Ok(Command::Type(found))
}

/// Digits only: no sign, no blank.
pub(super) fn decimal<T: FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn upper(text: &str) -> String {
    text.trim().to_ascii_uppercase()
}

/// `"path" rest`: the path and the trimmed rest.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let (path, rest) = text.trim_start().strip_prefix('"')?.rsplit_once('"')?;
    Some((path, rest.trim()))
}

/// `path start end` without quotes.
fn trailing_range(text: &str) -> Option<(&str, u64, u64)> {
    let (rest, end) = text.rsplit_once(' ')?;
    let (path, start) = rest.rsplit_once(' ')?;
    Some((path, decimal(start)?, decimal(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ftp::listing::time_value;

    fn read(line: &str) -> Command {
        Command::parse(line).unwrap()
    }

    fn code(line: &str) -> u16 {
        Command::parse(line).unwrap_err().code().number()
    }

    #[test]
    fn list_options_are_read_leniently() {
        let of = |line: &str| match read(line) {
            Command::List(ListArgument { all, recursive, path }) => {
                format!("{}{}{:?}", if all { "a" } else { "" }, if recursive { "R" } else { "" }, path)
            }
            other => format!("{other:?}"),
        };
        assert_eq!(of("LIST"), "None");
        assert_eq!(of("LIST "), "None");
        assert_eq!(of("LIST -la"), "aNone");
        assert_eq!(of("LIST -a -lR Send"), "aRSome(\"Send\")");
        assert_eq!(of("LIST my file "), "Some(\"my file \")");
        assert_eq!(of("LIST -- -a"), "Some(\"-a\")");
        assert_eq!(of("LIST ./-a"), "Some(\"./-a\")");
    }

    #[test]
    fn numbers_are_digits_and_nothing_else() {
        assert_eq!(read("REST 5000000000"), Command::Rest(5_000_000_000));
        for bad in ["REST", "REST -1", "REST +1", "REST 1x", "REST 99999999999999999999", "ALLO", "PBSZ x", "RANG 5"] {
            assert_eq!(code(bad), 501, "{bad}");
        }
        assert_eq!(read("ALLO 5 R 80"), Command::Allo(5));
        assert_eq!(read("RANG 0 99"), Command::Rang(Some((0, 100))));
        assert_eq!(read("RANG 1 0"), Command::Rang(None));
        assert_eq!(code("RANG 9 8"), 501);
    }

    #[test]
    fn checks_take_ranges_with_and_without_quotes() {
        let of = |line: &str| match read(line) {
            Command::Xcrc(Check { path, start, end }) => format!("{path}|{start}|{end:?}"),
            other => format!("{other:?}"),
        };
        assert_eq!(of("XCRC a b.edi"), "a b.edi|0|None");
        assert_eq!(of("XCRC \"a b\" 5 10"), "a b|5|Some(10)");
        assert_eq!(of("XCRC \"a b\" 5"), "a b|5|None");
        assert_eq!(of("XCRC a b 5 10"), "a b|5|Some(10)");
        assert_eq!(of("XCRC report 2024"), "report 2024|0|None");
        assert_eq!(of("XCRC \"2024 01 02\""), "2024 01 02|0|None");
        for bad in ["XCRC", "XCRC \"\"", "XCRC \"a\" 5 4", "XCRC \"a\" x"] {
            assert_eq!(code(bad), 501, "{bad}");
        }
        assert_eq!(read("HASH \"a b\""), Command::Hash("a b".to_owned()));
    }

    #[test]
    fn times_to_set_are_read_in_every_form() {
        let of = |line: &str| match read(line) {
            Command::Mfmt { to, path } | Command::Mff { to, path } => format!("{} {path}", time_value(to)),
            Command::Mdtm { path, touch } => {
                format!("{path}|{:?}", touch.map(|(to, path)| time_value(to) + " " + &path))
            }
            other => format!("{other:?}"),
        };
        assert_eq!(of("MFMT 20261125140352 a b"), "20261125140352 a b");
        assert_eq!(of("MFF Modify=20261125140352; a b"), "20261125140352 a b");
        assert_eq!(of("MDTM a"), "a|None");
        assert_eq!(of("MDTM 20261125140352 a"), "20261125140352 a|Some(\"20261125140352 a\")");
        assert_eq!(of("MDTM 20261325140352 a"), "20261325140352 a|None");
        assert_eq!(code("MFF perm=r; a"), 504);
        assert_eq!(code("MFMT 2026 a"), 501);
    }

    #[test]
    fn parameters_are_told_apart() {
        assert_eq!(read("TYPE a n"), Command::Type(TypeArgument::Ascii));
        assert_eq!(read("TYPE L 8"), Command::Type(TypeArgument::Local(8)));
        assert_eq!(read("TYPE E"), Command::Type(TypeArgument::Ebcdic));
        assert_eq!(read("EPSV all"), Command::Epsv(EpsvArgument::All));
        assert_eq!(read("AUTH tls-p"), Command::Auth(Mechanism::TlsPrivate));
        assert_eq!(read("OPTS utf8 on"), Command::Opts(OptsArgument::Utf8On));
        assert_eq!(read("OPTS HASH sha-1"), Command::Opts(OptsArgument::Hash(Some(Algorithm::Sha1))));
        assert_eq!(read("OPTS MODE Z LEVEL 9"), Command::Opts(OptsArgument::ModeZ(Some(9))));
        let several = read("OPTS mode z engine zlib method 8 level 1");
        assert_eq!(several, Command::Opts(OptsArgument::ModeZ(Some(1))));
        let codes = ["TYPE X", "STRU", "EPSV 3", "EPSV x", "OPTS RETR x", "OPTS HASH SHA3", "PROT X"].map(code);
        assert_eq!(codes, [501, 501, 522, 501, 501, 504, 504]);
    }
}
