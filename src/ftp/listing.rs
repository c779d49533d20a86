//! Formats entries as lines of LIST, NLST, MLSD and MLST (RFC 959 section 4.1.3, RFC 3659 section 7). It never reads a
//! folder or a clock: entries and the time are passed in.
//! Always: a line contains no control character, so no name can end a line or begin another.

use std::fmt::{self, Write as _};
use std::ops::BitOr;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

pub use super::wildcard::{has_wildcard, matches};
use crate::base::clock::Timestamp;

/// LIST shows the year instead of the time of day for anything older.
const RECENT: Duration = Duration::from_hours(180 * 24);
/// And for anything further in the future: clocks may differ a little.
const AHEAD: Duration = Duration::from_hours(24);
/// English, whatever the appliance's language.
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// One file or folder as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The end of the line: a name, or for MLST whatever the session puts there.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Bytes; ignored for folders.
    pub size: u64,
    /// Time of the last change.
    pub modified: Timestamp,
    /// What this partner may do with it.
    pub rights: Rights,
    /// Equal for two names of the same file, different otherwise (RFC 3659 section 7.5.2).
    pub unique: Unique,
}

/// What the `unique` fact is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unique {
    /// A file or folder: its inode.
    Inode(u64),
    /// An unfinished upload: its name until it is complete.
    Part(String),
}

/// What an entry is (RFC 3659 section 7.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A folder within the listed one.
    Folder,
    /// The listed folder itself, `.`.
    This,
    /// The folder above it, `..`.
    Parent,
}

/// What a partner may do with an entry (RFC 3659 section 7.5.5); combined with `|`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights(u16);

impl Rights {
    /// Nothing at all.
    pub const NONE: Self = Self(0);
    /// The union of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These without the others.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// `a`: the file may be appended to.
    pub const APPEND: Self = Self(1);
    /// `c`: files may be created in the folder.
    pub const CREATE: Self = Self(1 << 1);
    /// `d`: it may be deleted.
    pub const DELETE: Self = Self(1 << 2);
    /// `e`: the folder may be entered.
    pub const ENTER: Self = Self(1 << 3);
    /// `f`: it may be renamed.
    pub const RENAME: Self = Self(1 << 4);
    /// `l`: the folder may be listed.
    pub const LIST: Self = Self(1 << 5);
    /// `m`: folders may be made in the folder.
    pub const MAKE_FOLDER: Self = Self(1 << 6);
    /// `p`: the folder's contents may be deleted.
    pub const PURGE: Self = Self(1 << 7);
    /// `r`: the file may be retrieved.
    pub const RETRIEVE: Self = Self(1 << 8);
    /// `w`: the file may be overwritten.
    pub const STORE: Self = Self(1 << 9);

    const LETTERS: [(Self, char); 10] = [
        (Self::APPEND, 'a'),
        (Self::CREATE, 'c'),
        (Self::DELETE, 'd'),
        (Self::ENTER, 'e'),
        (Self::RENAME, 'f'),
        (Self::LIST, 'l'),
        (Self::MAKE_FOLDER, 'm'),
        (Self::PURGE, 'p'),
        (Self::RETRIEVE, 'r'),
        (Self::STORE, 'w'),
    ];

    /// Whether all of `other` are in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn letters(self) -> impl Iterator<Item = char> {
        Self::LETTERS.iter().filter(move |(right, _)| self.contains(*right)).map(|(_, letter)| *letter)
    }

    /// Whether any of `other` is in this set.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// The value of the `perm` fact.
impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.letters().try_for_each(|letter| f.write_char(letter))
    }
}

impl BitOr for Rights {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Which facts MLSD and MLST lines carry, chosen with `OPTS MLST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts(u8);

impl Default for Facts {
    fn default() -> Self {
        Self::ALL
    }
}

impl Facts {
    /// Every fact there is.
    pub const ALL: Self = Self(0b1_1111);
    /// None: lines are a blank and a name.
    pub const NONE: Self = Self(0);

    const NAMES: [&str; 5] = ["type", "size", "modify", "perm", "unique"];
    const TYPE: usize = 0;
    const SIZE: usize = 1;
    const MODIFY: usize = 2;
    const PERM: usize = 3;
    const UNIQUE: usize = 4;

    /// Reads `type;size;`, in any case. Facts that Waybill does not have are ignored (RFC 3659 section 7.9).
    pub fn parse(text: &str) -> Self {
        let chosen = text.split(';').filter_map(|name| {
            Self::NAMES.iter().position(|known| known.eq_ignore_ascii_case(name.trim())).map(|bit| 1 << bit)
        });
        Self(chosen.fold(0, BitOr::bitor))
    }

    /// `type*;size*;modify;…`: every fact, with a star after the chosen ones, as FEAT shows them.
    pub fn starred(self) -> String {
        let mut out = String::new();
        for (bit, name) in Self::NAMES.iter().enumerate() {
            out.push_str(name);
            out.push_str(if self.has(bit) { "*;" } else { ";" });
        }
        out
    }

    const fn has(self, bit: usize) -> bool {
        self.0 & (1 << bit) != 0
    }
}

/// `type;size;`: the chosen facts.
impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chosen = Self::NAMES.iter().enumerate().filter(|(bit, _)| self.has(*bit));
        chosen.map(|(_, name)| name).try_for_each(|name| write!(f, "{name};"))
    }
}

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// LIST and STAT: like `ls -l`.
    List,
    /// NLST: names alone.
    Names,
    /// MLSD and MLST: facts, a blank, the name.
    Machine,
}

/// One line, without its line end. `now` decides whether LIST shows the year; `zone` is that of LIST's dates, each with
/// the offset that was in force then; MLSD always uses UTC.
pub fn line(entry: &Entry, format: Format, facts: Facts, now: Timestamp, zone: &TimeZone) -> String {
    let mut out = String::with_capacity(entry.name.len() + 96);
    match format {
        Format::List => long(&mut out, entry, now, zone),
        Format::Names => {}
        Format::Machine => machine(&mut out, entry, facts),
    }
    if entry.name.contains(char::is_control) {
        out.extend(entry.name.chars().map(|c| if c.is_control() { '?' } else { c }));
    } else {
        out.push_str(&entry.name);
    }
    out
}

/// `20261125140352`: time as in RFC 3659 section 2.3, in UTC, whole seconds.
pub fn time_value(at: Timestamp) -> String {
    let mut out = String::with_capacity(14);
    push_time_value(&mut out, at);
    out
}

fn push_time_value(out: &mut String, at: Timestamp) {
    let at = civil(at, 0);
    let (date, time) = (at.date(), at.time());
    push_year(out, date.year());
    for part in [date.month(), date.day(), time.hour(), time.minute(), time.second()] {
        push_two_digits(out, part);
    }
}

/// A number padded with blanks to that width. Much faster than the standard library's formatting, which long listings
/// feel; so are the two functions below.
fn push_number(out: &mut String, mut number: u64, width: usize) {
    let mut digits = [b' '; 20];
    let mut first = digits.len();
    while number > 0 || first == digits.len() {
        first -= 1;
        digits[first] = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
    let first = first.min(digits.len().saturating_sub(width));
    out.extend(digits[first..].iter().copied().map(char::from));
}

fn push_two_digits(out: &mut String, number: i8) {
    let number = number.unsigned_abs();
    out.extend([number / 10 % 10, number % 10].map(|digit| char::from(b'0' + digit)));
}

/// Four digits: `civil` returns no other years.
fn push_year(out: &mut String, year: i16) {
    for pair in [year / 100 % 100, year % 100] {
        push_two_digits(out, i8::try_from(pair).unwrap_or_default());
    }
}

/// Years of a time (RFC 3659 section 2.3).
const YEARS: std::ops::RangeInclusive<i16> = 1000..=9999;

/// Reads `YYYYMMDDHHMMSS`, with or without a fraction (kept to the microsecond); UTC.
pub fn parse_time_value(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    if whole.len() != 14 || !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| whole[from..to].parse::<i8>().ok();
    let year = whole[..4].parse::<i16>().ok().filter(|year| YEARS.contains(year))?;
    let (month, day, hour, minute) = (part(4, 6)?, part(6, 8)?, part(8, 10)?, part(10, 12)?);
    // A leap second counts as the last second of its minute.
    let second = part(12, 14)?.clamp(0, 60).min(if part(12, 14)? == 60 { 59 } else { 60 });
    let at = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    let us = Offset::UTC.to_timestamp(at).ok()?.as_microsecond();
    Some(Timestamp::from_us(us + microseconds(fraction)?))
}

/// The first six digits of a fraction; `None` if it is empty or contains anything else.
fn microseconds(fraction: Option<&str>) -> Option<i64> {
    let Some(digits) = fraction else { return Some(0) };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = digits.chars().chain("000000".chars()).take(6).collect();
    digits.parse().ok()
}

/// Everything before the name of an `ls -l` line.
fn long(out: &mut String, entry: &Entry, now: Timestamp, zone: &TimeZone) {
    let folder = entry.kind != Kind::File;
    let rights = entry.rights;
    let mode = [
        if rights.intersects(Rights::RETRIEVE | Rights::LIST) { 'r' } else { '-' },
        if rights.intersects(Rights::STORE | Rights::APPEND | Rights::CREATE | Rights::MAKE_FOLDER) {
            'w'
        } else {
            '-'
        },
        if folder && rights.contains(Rights::ENTER) { 'x' } else { '-' },
    ];
    out.push(if folder { 'd' } else { '-' });
    // The partner is owner and group; others have no rights.
    out.extend(mode);
    out.extend(mode);
    let size = if folder { 0 } else { entry.size };
    let at = civil(entry.modified, zone.to_offset(entry.modified.calendar()).seconds());
    let (date, time) = (at.date(), at.time());
    let month = MONTHS[usize::try_from(date.month() - 1).unwrap_or(0).min(11)];
    let recent = now.since(entry.modified) <= RECENT && entry.modified.since(now) <= AHEAD;
    out.push_str("--- 1 partner  partner  ");
    push_number(out, size, 12);
    out.push(' ');
    out.push_str(month);
    out.push(' ');
    push_number(out, date.day().unsigned_abs().into(), 2);
    out.push(' ');
    if recent {
        push_two_digits(out, time.hour());
        out.push(':');
        push_two_digits(out, time.minute());
    } else {
        out.push(' ');
        push_year(out, date.year());
    }
    out.push(' ');
}

/// Everything before the name of an MLSD line.
fn machine(out: &mut String, entry: &Entry, facts: Facts) {
    if facts.has(Facts::TYPE) {
        out.push_str(match entry.kind {
            Kind::File => "type=file;",
            Kind::Folder => "type=dir;",
            Kind::This => "type=cdir;",
            Kind::Parent => "type=pdir;",
        });
    }
    if facts.has(Facts::SIZE) && entry.kind == Kind::File {
        out.push_str("size=");
        push_number(out, entry.size, 1);
        out.push(';');
    }
    if facts.has(Facts::MODIFY) {
        out.push_str("modify=");
        push_time_value(out, entry.modified);
        out.push(';');
    }
    if facts.has(Facts::PERM) {
        out.push_str("perm=");
        out.extend(entry.rights.letters());
        out.push(';');
    }
    if facts.has(Facts::UNIQUE) {
        out.push_str("unique=");
        match &entry.unique {
            // Writing to a String cannot fail.
            Unique::Inode(inode) => _ = write!(out, "{inode:x}"),
            // A fact ends at a semicolon and a blank ends the facts.
            Unique::Part(name) => out.extend(name.chars().filter(|c| c.is_ascii_graphic() && *c != ';')),
        }
        out.push(';');
    }
    out.push(' ');
}

/// Calendar fields; 1970 for moments without a four-digit year.
fn civil(at: Timestamp, offset_s: i32) -> DateTime {
    let moved = Timestamp::from_us(at.us().saturating_add(i64::from(offset_s) * 1_000_000));
    let there = Offset::UTC.to_datetime(moved.calendar());
    if there.year() >= 0 { there } else { Offset::UTC.to_datetime(jiff::Timestamp::UNIX_EPOCH) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn file(name: &str, modified: &str) -> Entry {
        let rights = Rights::RETRIEVE | Rights::DELETE | Rights::STORE | Rights::APPEND | Rights::RENAME;
        let (name, unique) = (name.to_owned(), Unique::Part("8g1".to_owned()));
        Entry { name, kind: Kind::File, size: 48_219, modified: at(modified), rights, unique }
    }

    fn shown(entry: &Entry, format: Format) -> String {
        line(entry, format, Facts::ALL, at("2026-12-01T00:00:00Z"), &TimeZone::UTC)
    }

    #[test]
    fn a_list_line_is_what_ls_prints() {
        let mut entry = file("po 1.edi", "2026-11-05T14:03:52Z");
        let line = "-rw-rw---- 1 partner  partner         48219 Nov  5 14:03 po 1.edi";
        assert_eq!(shown(&entry, Format::List), line);
        entry.modified = at("2026-04-25T14:03:52Z");
        assert_eq!(shown(&entry, Format::List), line.replace("Nov  5 14:03", "Apr 25  2026"));
        entry.modified = at("2026-12-02T00:00:01Z");
        assert_eq!(shown(&entry, Format::List), line.replace("Nov  5 14:03", "Dec  2  2026"));
        let folder = Entry {
            kind: Kind::Folder,
            rights: Rights::ENTER | Rights::LIST,
            size: 4_096,
            ..file("Send", "2026-11-25T23:30:00Z")
        };
        let zone = TimeZone::fixed(Offset::constant(1));
        let moved = super::line(&folder, Format::List, Facts::ALL, at("2026-12-01T00:00:00Z"), &zone);
        assert_eq!(moved, "dr-xr-x--- 1 partner  partner             0 Nov 26 00:30 Send");
    }

    #[test]
    fn each_time_has_the_offset_of_its_own_season() {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let shown = |modified: &str| {
            let line = line(&file("a", modified), Format::List, Facts::ALL, at("2026-12-01T00:00:00Z"), &berlin);
            line.split("48219 ").nth(1).unwrap().to_owned()
        };
        assert_eq!(shown("2026-07-01T22:30:00Z"), "Jul  2 00:30 a");
        assert_eq!(shown("2026-10-25T00:30:00Z"), "Oct 25 02:30 a");
        assert_eq!(shown("2026-10-25T01:30:00Z"), "Oct 25 02:30 a");
        assert_eq!(shown("2026-11-25T14:03:52Z"), "Nov 25 15:03 a");
    }

    #[test]
    fn a_machine_line_has_the_chosen_facts() {
        let entry = file("po 1.edi", "2026-11-25T14:03:52Z");
        let whole = "type=file;size=48219;modify=20261125140352;perm=adfrw;unique=8g1; po 1.edi";
        assert_eq!(shown(&entry, Format::Machine), whole);
        let ahead = TimeZone::fixed(Offset::constant(2));
        let some =
            line(&entry, Format::Machine, Facts::parse("SIZE;colour;modify;"), at("2026-12-01T00:00:00Z"), &ahead);
        assert_eq!(some, "size=48219;modify=20261125140352; po 1.edi");
        assert_eq!(line(&entry, Format::Machine, Facts::NONE, entry.modified, &TimeZone::UTC), " po 1.edi");
        let folder = Entry { kind: Kind::This, rights: Rights::ENTER | Rights::LIST | Rights::CREATE, ..entry };
        assert_eq!(shown(&folder, Format::Machine), "type=cdir;modify=20261125140352;perm=cel;unique=8g1; po 1.edi");
        assert_eq!(Facts::parse("size;type").to_string(), "type;size;");
        assert_eq!(Facts::parse("size").starred(), "type;size*;modify;perm;unique;");
    }

    #[test]
    fn times_read_as_they_are_written() {
        assert_eq!(parse_time_value("20261125140352"), Some(at("2026-11-25T14:03:52Z")));
        assert_eq!(parse_time_value("20261125140352.5"), Some(at("2026-11-25T14:03:52.5Z")));
        assert_eq!(parse_time_value("20161231235960"), Some(at("2016-12-31T23:59:59Z")));
        for bad in [
            "",
            "2026112514035",
            "20261325140352",
            "20260229000000",
            "20261125140361",
            "2026112514035x",
            "20261125140352.",
        ] {
            assert_eq!(parse_time_value(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_line_holds_a_control_character(name in ".{0,40}", unique in ".{0,9}", us in any::<i64>(), now in any::<i64>(), size: u64) {
            let (modified, now) = (Timestamp::from_us(us), Timestamp::from_us(now));
            let unique = Unique::Part(unique);
            let entry = Entry { name, size, modified, unique, ..file("", "2026-11-25T14:03:52Z") };
            let zone = TimeZone::fixed(Offset::constant(13));
            for format in [Format::List, Format::Names, Format::Machine] {
                let line = line(&entry, format, Facts::ALL, now, &zone);
                prop_assert!(!line.chars().any(char::is_control), "{:?}", line);
            }
        }

        #[test]
        fn a_time_value_comes_back(seconds in 0_i64..253_402_300_799) {
            let at = Timestamp::from_us(seconds * 1_000_000);
            prop_assert_eq!(parse_time_value(&time_value(at)), Some(at));
        }
    }
}
