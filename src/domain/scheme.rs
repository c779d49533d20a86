//! The Local File Scheme: the name under which a received file is stored (PRODUCT section 9).
//!
//! Always: the result is one storable name: not empty, no dots only, no slash, no control character, 255 bytes at
//! most, never Waybill's own folder.

use std::net::IpAddr;

use regex::{Regex, RegexBuilder};

use super::date_format::DateFormat;
use super::setting::{Input, Value, nearest};
pub use super::stored_name::{marked, numbered};
use super::stored_name::{split_extension, storable};
use super::value::{ZoneName, typed};
use crate::base::clock::Timestamp;
use crate::base::path::Name;

/// Bytes of a scheme.
pub const SCHEME_BYTES_MAX: usize = 1_024;
/// Bytes that a compiled expression of `%RegexFilename:…%` may take.
const REGEX_BYTES_MAX: usize = 1 << 20;
/// Digits of a SHA-256.
const SHA256_DIGITS: usize = 64;

/// Each macro and whether it takes an argument.
const MACROS: &[(&str, Argument)] = &[
    ("ConnectorId", Argument::None),
    ("User", Argument::None),
    ("Filename", Argument::None),
    ("FilenameNoExt", Argument::None),
    ("Ext", Argument::None),
    ("MessageId", Argument::None),
    ("ShortDate", Argument::None),
    ("LongDate", Argument::None),
    ("DateFormat", Argument::Needed("yyyy-MM-dd")),
    ("RegexFilename", Argument::Needed("[0-9]+")),
    ("Header", Argument::Needed("SubFolder")),
    ("Sha256", Argument::Optional("8")),
    ("Seq", Argument::None),
    ("RemoteIp", Argument::None),
    ("Guid", Argument::None),
];

/// Each macro in its written form, with an example argument.
pub fn examples() -> impl Iterator<Item = String> {
    MACROS.iter().map(|(name, argument)| match argument {
        Argument::None => format!("%{name}%"),
        Argument::Optional(example) | Argument::Needed(example) => format!("%{name}:{example}%"),
    })
}

/// What may follow a macro's name and a colon; with an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// Nothing.
    None,
    /// Something, if wanted.
    Optional(&'static str),
    /// Something.
    Needed(&'static str),
}

/// A Local File Scheme.
#[derive(Clone, Debug)]
pub struct Scheme {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Literal(String),
    ConnectorId,
    Filename,
    FilenameNoExt,
    Ext,
    MessageId,
    Date(DateFormat),
    Regex(Regex),
    Header(String),
    Sha256(usize),
    Seq,
    RemoteIp,
    Guid,
}

/// What a scheme may use of an upload.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The connector's id.
    pub connector_id: &'a str,
    /// The client's name for the file.
    pub filename: &'a Name,
    /// The receipt's id.
    pub message_id: &'a str,
    /// When the upload was completed.
    pub at: Timestamp,
    /// The appliance's time zone.
    pub zone: &'a ZoneName,
    /// The SHA-256 in lower-case hexadecimal; empty where the name is only tried.
    pub sha256: &'a str,
    /// The connector's counter; arbitrary unless [`Scheme::needs_seq`].
    pub seq: u64,
    /// The client's address.
    pub remote_ip: IpAddr,
    /// A new UUID.
    pub guid: &'a str,
    /// Headers, such as `SubFolder`, by name.
    pub headers: &'a [(String, String)],
}

impl Scheme {
    /// The name for an upload, and what an administrator should know about it: the same words for every file.
    pub fn apply(&self, facts: &Facts<'_>) -> (Name, Vec<String>) {
        let mut warnings = Vec::new();
        let out = self.expand(facts, &mut warnings);
        let name = storable(&out).unwrap_or_else(|| {
            warnings.push(format!("{} gave no name that can be stored; the client's own was kept", self.text));
            facts.filename.clone()
        });
        (name, warnings)
    }

    /// The text with the raw value of each macro in its place: it need not be a valid name.
    pub fn expand(&self, facts: &Facts<'_>, warnings: &mut Vec<String>) -> String {
        let mut out = String::new();
        let mut dot = false;
        for part in &self.parts {
            let value = part.value(facts, warnings);
            if dot && value.is_empty() && matches!(part, Part::Ext) {
                out.pop();
            }
            dot = matches!(part, Part::Literal(text) if text.ends_with('.'));
            out.push_str(&value);
        }
        out
    }

    /// Reads a text with macros that need not produce a name.
    pub fn pattern(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            literal.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                literal.push('%');
                rest = after;
                continue;
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            let (name, argument, after) = one_macro(after)?;
            parts.push(part(name, argument)?);
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// Whether it begins with a macro's value.
    pub fn begins_with_macro(&self) -> bool {
        self.parts.first().is_some_and(|part| !matches!(part, Part::Literal(_)))
    }

    /// Whether the stored name is the client's own: just `%Filename%`.
    pub fn is_filename(&self) -> bool {
        matches!(self.parts.as_slice(), [Part::Filename])
    }

    /// Whether the name tells the connector's counter.
    pub fn needs_seq(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Seq))
    }

    /// Whether every file of a connector would get the same name.
    pub fn is_constant(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Literal(_) | Part::ConnectorId))
    }
}

impl Part {
    fn value(&self, facts: &Facts<'_>, warnings: &mut Vec<String>) -> String {
        let filename = facts.filename.as_str();
        match self {
            Self::Literal(text) => text.clone(),
            Self::ConnectorId => facts.connector_id.to_owned(),
            Self::Filename => filename.to_owned(),
            Self::FilenameNoExt => split_extension(filename).0.to_owned(),
            Self::Ext => split_extension(filename).1.to_owned(),
            Self::MessageId => facts.message_id.to_owned(),
            Self::Date(format) => format.apply(&facts.at.calendar().to_zoned(facts.zone.zone().clone())),
            Self::Regex(regex) => {
                let found = regex.captures(filename).and_then(|found| found.get(1).or_else(|| found.get(0)));
                if found.is_none() {
                    warnings.push(format!("%RegexFilename:{regex}% found nothing in the name"));
                }
                found.map_or("", |part| part.as_str()).to_owned()
            }
            Self::Header(name) => {
                let found = facts.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                if found.is_none() {
                    warnings.push(format!("%Header:{name}% is empty: the file has no header {name}"));
                }
                found.map(|(_, value)| value.clone()).unwrap_or_default()
            }
            Self::Sha256(digits) => facts.sha256.chars().take(*digits).collect(),
            Self::Seq => facts.seq.to_string(),
            Self::RemoteIp => facts.remote_ip.to_canonical().to_string().replace(':', "-"),
            Self::Guid => facts.guid.to_owned(),
        }
    }
}

impl PartialEq for Scheme {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Value for Scheme {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("An empty value names no file; %Filename% keeps the client's name".to_owned());
        }
        if text.len() > SCHEME_BYTES_MAX {
            return Err(format!("{} has {} bytes; {SCHEME_BYTES_MAX} fit here", typed(text), text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err(format!("{} has a control character; write the scheme on one line", typed(text)));
        }
        let scheme = Self::pattern(text)?;
        check_literals(text, &scheme.parts)?;
        Ok(scheme)
    }

    fn text(&self) -> String {
        self.text.clone()
    }
}

/// The text beside macros must be valid in a name and, if there is nothing else, a valid name.
fn check_literals(text: &str, parts: &[Part]) -> Result<(), String> {
    for part in parts {
        if let Part::Literal(literal) = part
            && literal.contains(['/', '\\'])
        {
            return Err(format!("{} holds a slash; a file stays in the folder it was uploaded to", typed(text)));
        }
    }
    if let [Part::Literal(only)] = parts
        && storable(only).is_none()
    {
        return Err(format!("{} is no name a file can have; %Filename% keeps the client's name", typed(text)));
    }
    Ok(())
}

/// The macro after a `%`: its name, its argument, and the rest.
fn one_macro(text: &str) -> Result<(&str, Option<String>, &str), String> {
    let unclosed = || {
        let shown: String = text.chars().take(20).collect();
        format!("`%{shown}` has no closing %; write %% for a percent sign")
    };
    let end = text.find(['%', ':']).ok_or_else(unclosed)?;
    let (name, after) = (&text[..end], &text[end + 1..]);
    if text[end..].starts_with('%') {
        return Ok((name, None, after));
    }
    let mut argument = String::new();
    let mut rest = after;
    loop {
        let (before, after) = rest.split_once('%').ok_or_else(unclosed)?;
        argument.push_str(before);
        let Some(doubled) = after.strip_prefix('%') else {
            return Ok((name, Some(argument), after));
        };
        // `%Sha256:8%%Seq%` is two macros, not the argument `8%Seq`: nobody could write it otherwise
        if begins_with_macro(doubled) {
            return Ok((name, Some(argument), after));
        }
        argument.push('%');
        rest = doubled;
    }
}

/// Whether `text`, which follows a `%`, continues as an existing macro.
fn begins_with_macro(text: &str) -> bool {
    let end = text.find(['%', ':']);
    end.is_some_and(|end| MACROS.iter().any(|(known, _)| known.eq_ignore_ascii_case(&text[..end])))
}

/// The part for `%name:argument%`.
fn part(name: &str, argument: Option<String>) -> Result<Part, String> {
    let Some((known, takes)) = MACROS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
        let lower: Vec<String> = MACROS.iter().map(|(known, _)| known.to_lowercase()).collect();
        let near = nearest(&name.to_lowercase(), lower.iter().map(String::as_str))
            .and_then(|near| MACROS.iter().find(|(known, _)| known.eq_ignore_ascii_case(near)))
            .map_or_else(
                || "; write %% for a percent sign".to_owned(),
                |(near, _)| format!("; did you mean %{near}%?"),
            );
        return Err(format!("%{name}% isn't a macro{near}"));
    };
    let argument = match (takes, argument.filter(|argument| !argument.is_empty())) {
        (Argument::None, Some(argument)) => {
            return Err(format!("%{known}:{argument}% takes no argument; write %{known}%"));
        }
        (Argument::Needed(example), None) => {
            return Err(format!("%{known}% needs an argument, such as %{known}:{example}%"));
        }
        (_, argument) => argument,
    };
    Ok(match (*known, argument) {
        ("ConnectorId" | "User", _) => Part::ConnectorId,
        ("Filename", _) => Part::Filename,
        ("FilenameNoExt", _) => Part::FilenameNoExt,
        ("Ext", _) => Part::Ext,
        ("MessageId", _) => Part::MessageId,
        ("ShortDate", _) => Part::Date(DateFormat::new("yyyy-MM-dd")),
        ("LongDate", _) => Part::Date(DateFormat::new("dddd, MMMM d, yyyy")),
        ("DateFormat", Some(format)) => date(&format)?,
        ("RegexFilename", Some(pattern)) => regex(&pattern)?,
        ("Header", Some(name)) => Part::Header(name.trim().to_owned()),
        ("Sha256", Some(digits)) => sha256(&digits)?,
        ("Sha256", None) => Part::Sha256(SHA256_DIGITS),
        ("Seq", _) => Part::Seq,
        ("RemoteIp", _) => Part::RemoteIp,
        _ => Part::Guid,
    })
}

fn date(text: &str) -> Result<Part, String> {
    let format = DateFormat::new(text);
    if format.has_token() {
        Ok(Part::Date(format))
    } else {
        Err(format!("%DateFormat:{text}% tells no part of a date; write one such as %DateFormat:yyyy-MM-dd%"))
    }
}

fn regex(pattern: &str) -> Result<Part, String> {
    let built = RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).build();
    built.map(Part::Regex).map_err(|why| {
        // the last line says why; the ones before it draw the position
        let why = why.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
        format!("%RegexFilename:{pattern}% isn't a regular expression: {why}")
    })
}

fn sha256(text: &str) -> Result<Part, String> {
    match text.trim().parse() {
        Ok(digits) if (1..=SHA256_DIGITS).contains(&digits) => Ok(Part::Sha256(digits)),
        _ => Err(format!("%Sha256:{text}% takes a number of digits from 1 to {SHA256_DIGITS}, as in %Sha256:8%")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIGEST: &str = "9f2c610ae477b813000000000000000000000000000000000000000000004ed2";

    fn applied(scheme: &str, filename: &str, headers: &[(String, String)]) -> (String, Vec<String>) {
        let zone = ZoneName::parse("Europe/Berlin").unwrap();
        let facts = Facts {
            connector_id: "ACME",
            filename: &Name::parse(filename).unwrap(),
            message_id: "0190f0a0-0000-7000-8000-000000000001",
            at: Timestamp::parse_rfc3339("2024-01-24T08:05:06.123456Z").unwrap(),
            zone: &zone,
            sha256: DIGEST,
            seq: 42,
            remote_ip: "2001:db8::7".parse().unwrap(),
            guid: "11111111-2222-4333-8444-555555555555",
            headers,
        };
        let (name, warnings) = Scheme::parse(scheme).unwrap().apply(&facts);
        (name.as_str().to_owned(), warnings)
    }

    fn name(scheme: &str, filename: &str) -> String {
        applied(scheme, filename, &[]).0
    }

    fn said(scheme: &str) -> String {
        Scheme::parse(scheme).unwrap_err()
    }

    #[test]
    fn each_macro_has_its_value() {
        for (scheme, expected) in [
            ("%ConnectorId%-%user%", "ACME-ACME"),
            ("%Filename%|%FILENAMENOEXT%|%ext%", "orders_2031.edi|orders_2031|edi"),
            ("%MessageId%", "0190f0a0-0000-7000-8000-000000000001"),
            ("%ShortDate%", "2024-01-24"),
            ("%LongDate%", "Wednesday, January 24, 2024"),
            ("%DateFormat:yyyy-MM-dd-HH-mm-ss-fff%", "2024-01-24-09-05-06-123"),
            ("%DateFormat:HH%%mm%", "09%05"),
            ("%DateFormat:HH%%seq%%Sha256:4%%DateFormat:mm%", "09429f2c05"),
            ("%RegexFilename:[0-9]+%", "2031"),
            ("%RegexFilename:_(\\d)%", "2"),
            ("%Sha256:8%-%Sha256%", &format!("9f2c610a-{DIGEST}")),
            ("%Seq%-%RemoteIp%", "42-2001-db8--7"),
            ("%Guid%", "11111111-2222-4333-8444-555555555555"),
            ("100%%-%Seq%", "100%-42"),
            ("constant.txt", "constant.txt"),
        ] {
            assert_eq!(name(scheme, "orders_2031.edi"), expected, "{scheme}");
        }
    }

    #[test]
    fn a_name_without_extension_gets_no_stray_dot() {
        assert_eq!(name("%FilenameNoExt%-%Seq%.%Ext%", "README"), "README-42");
        assert_eq!(name("%FilenameNoExt%.%Ext%", ".profile"), ".profile");
        assert_eq!(name("%FilenameNoExt%.%Ext%", "a.tar.gz"), "a.tar.gz");
        assert_eq!(name("%FilenameNoExt%%Ext%", "a."), "a.");
    }

    #[test]
    fn what_is_missing_is_empty_with_a_warning() {
        let (name, warnings) = applied("a%Header:SubFolder%%RegexFilename:z+%", "b", &[]);
        assert_eq!(name, "a");
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].contains("no header SubFolder") && warnings[1].contains("found nothing in the name"));
        let (name, warnings) = applied("%RegexFilename:z%", "b.x", &[]);
        assert_eq!((name.as_str(), warnings.len()), ("b.x", 2));
        let headers = [("SubFolder".to_owned(), "in/../2024\u{0}".to_owned())];
        assert_eq!(applied("%Header:subfolder%-%Filename%", "b", &headers).0, "in-..-2024-b");
    }

    #[test]
    fn a_bad_scheme_is_refused_with_a_suggestion() {
        assert_eq!(said("%FilenameNoExtn%"), "%FilenameNoExtn% isn't a macro; did you mean %FilenameNoExt%?");
        assert_eq!(said("50%"), "`%` has no closing %; write %% for a percent sign");
        assert_eq!(said("%Zebra crossing%"), "%Zebra crossing% isn't a macro; write %% for a percent sign");
        assert_eq!(said("%Seq:6%"), "%Seq:6% takes no argument; write %Seq%");
        assert_eq!(said("%DateFormat%"), "%DateFormat% needs an argument, such as %DateFormat:yyyy-MM-dd%");
        assert!(said("%DateFormat:--%").contains("tells no part of a date"));
        assert!(said("%RegexFilename:(%").contains("isn't a regular expression: unclosed group"));
        assert!(said("%RegexFilename:\\w{1000}{1000}%").contains("isn't a regular expression"));
        assert!(said("%Sha256:65%").contains("from 1 to 64") && said("%Sha256:0%").contains("from 1 to 64"));
        assert!(said("in/%Filename%").contains("holds a slash"));
        for wrong in ["", "..", ".", ".waybill", "a\tb", &"x".repeat(SCHEME_BYTES_MAX + 1)] {
            assert!(Scheme::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_scheme_knows_what_it_needs() {
        let scheme = |text| Scheme::parse(text).unwrap();
        assert!(scheme("%Seq%").needs_seq() && !scheme("%Filename%").needs_seq());
        assert!(scheme("in-%User%.edi").is_constant() && !scheme("%Seq%").is_constant());
    }

    #[test]
    fn a_long_name_is_cut_before_its_extension() {
        let long = name("%FilenameNoExt%%FilenameNoExt%.%Ext%", &format!("{}.edi", "ü".repeat(100)));
        assert_eq!(long, format!("{}.edi", "ü".repeat(125)));
    }

    proptest! {
        #[test]
        fn any_upload_gets_one_storable_name(
            scheme in "(%Filename%|%Ext%|%FilenameNoExt%|%Header:SubFolder%|%RegexFilename:a.%|[.a ü-]|%Seq%){1,8}",
            filename in "[^/\\pC]{1,60}",
            header in "(?s).{0,300}",
            n in any::<u32>(),
        ) {
            prop_assume!(Scheme::parse(&scheme).is_ok() && Name::parse(&filename).is_ok());
            let headers = [("SubFolder".to_owned(), header)];
            let (stored, _) = applied(&scheme, &filename, &headers);
            prop_assert!(Name::parse(&stored).is_ok(), "{stored:?}");
            prop_assert!(!stored.contains(['/', '\0']) && stored.len() <= 255);
            let stored = Name::parse(&stored).unwrap();
            prop_assert_ne!(numbered(&stored, n), stored);
        }

        #[test]
        fn a_scheme_reads_back_or_is_refused(text in "[%:a-eA-Z8. /\\\\-]{0,40}") {
            if let Ok(scheme) = Scheme::parse(&text) {
                prop_assert_eq!(Scheme::parse(&scheme.text()), Ok(scheme));
            }
        }
    }
}
