//! Numbers: counts, seconds, bytes, the disk reserve, the mode of a file.

use std::time::Duration;

use super::typed;
use crate::domain::setting::{Input, Value};

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Whole<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Whole<MIN, MAX> {
    /// Takes a number within the range.
    pub const fn new(number: u64) -> Option<Self> {
        if number >= MIN && number <= MAX { Some(Self(number)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number as seconds.
    pub const fn seconds(self) -> Duration {
        Duration::from_secs(self.0)
    }

    /// The number as hours.
    pub const fn hours(self) -> Duration {
        Duration::from_secs(self.0.saturating_mul(3_600))
    }

    /// The number as days.
    pub const fn days(self) -> Duration {
        Duration::from_secs(self.0.saturating_mul(86_400))
    }

    /// The number as a count of things in memory.
    pub fn count(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Whole<1, 65_535> {
    /// The number as a port.
    pub fn port(self) -> u16 {
        u16::try_from(self.0).unwrap_or(u16::MAX)
    }
}

impl<const MIN: u64, const MAX: u64> Value for Whole<MIN, MAX> {
    const INPUT: Input = Input::Number("");

    fn parse(text: &str) -> Result<Self, String> {
        let right = || format!("{} isn't a whole number from {MIN} to {MAX}", typed(text));
        digits(text).and_then(Self::new).ok_or_else(right)
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

/// Reads digits only: no sign, no inner blank.
fn digits(text: &str) -> Option<u64> {
    let text = text.trim();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Units of bytes, the largest first.
const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// Reads bytes with or without a unit.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit.trim() {
        "" => 1,
        unit => UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Bytes as the shortest exact text.
fn bytes_text(bytes: u64) -> String {
    match UNITS.iter().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor)) {
        Some((name, factor)) => format!("{} {name}", bytes / factor),
        None => bytes.to_string(),
    }
}

/// A limit in bytes, at least one: `500`, `64 KiB`, `10 MiB`, `2 GiB`, `1 TiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteCount(u64);

impl ByteCount {
    /// Takes a number of bytes; zero is not a limit.
    pub const fn new(bytes: u64) -> Option<Self> {
        // the database keeps numbers of bytes with a sign
        if bytes > 0 && bytes <= i64::MAX.unsigned_abs() { Some(Self(bytes)) } else { None }
    }

    /// The bytes.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl Value for ByteCount {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        match bytes(text) {
            Some(0) => Err(format!("{} allows nothing; write 1 or more, or leave it empty for no limit", typed(text))),
            count => count.and_then(Self::new).ok_or_else(|| {
                format!("{} isn't a number of bytes, such as 500, 64 KiB, 10 MiB, 2 GiB or 1 TiB", typed(text))
            }),
        }
    }

    fn text(&self) -> String {
        bytes_text(self.0)
    }
}

/// What must stay free on the disk; below it uploads are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskReserve {
    /// The smaller of 256 MiB and 1 % of the disk.
    Default,
    /// That many bytes; zero switches the reserve off.
    Bytes(u64),
    /// That many percent of the disk.
    Percent(u8),
}

impl DiskReserve {
    /// The largest part of a disk that can be reserved, in percent.
    pub const PERCENT_MAX: u8 = 90;
    const DEFAULT_BYTES: u64 = 256 << 20;

    /// The bytes to keep free on a disk of `disk_total` bytes.
    pub fn bytes(&self, disk_total: u64) -> u64 {
        match *self {
            Self::Default => Self::DEFAULT_BYTES.min(disk_total / 100),
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => {
                let share = u128::from(disk_total) * u128::from(percent) / 100;
                u64::try_from(share).unwrap_or(disk_total)
            }
        }
    }
}

impl Value for DiskReserve {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Ok(Self::Default);
        }
        if let Some(number) = trimmed.strip_suffix('%') {
            return digits(number)
                .filter(|_| !number.trim().is_empty())
                .and_then(|number| u8::try_from(number).ok())
                .filter(|percent| *percent <= Self::PERCENT_MAX)
                .map(Self::Percent)
                .ok_or_else(|| format!("{} isn't a whole percentage from 0% to {}%", typed(text), Self::PERCENT_MAX));
        }
        bytes(trimmed).filter(|bytes| *bytes <= i64::MAX.unsigned_abs()).map(Self::Bytes).ok_or_else(|| {
            format!(
                "{} isn't a reserve, such as 256 MiB, 2 GiB or 5%; empty is the smaller of 256 MiB and 1%",
                typed(text)
            )
        })
    }

    fn text(&self) -> String {
        match self {
            Self::Default => String::new(),
            Self::Bytes(bytes) => bytes_text(*bytes),
            Self::Percent(percent) => format!("{percent}%"),
        }
    }
}

/// Permission bits of a file, in octal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMode(u32);

impl FileMode {
    /// What Waybill itself needs: read and write for its owner.
    const OWNER: u32 = 0o600;

    /// The bits.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl Value for FileMode {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let octal = (3..=4).contains(&trimmed.len()) && trimmed.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let bits = u32::from_str_radix(trimmed, 8)
            .ok()
            .filter(|bits| octal && *bits <= 0o777)
            .ok_or_else(|| format!("{} isn't a file mode from 0600 to 0777 in octal, such as 0640", typed(text)))?;
        if bits & Self::OWNER != Self::OWNER {
            return Err(format!("{} keeps Waybill itself out; the first digit is 6 or 7, as in 0640", typed(text)));
        }
        Ok(Self(bits))
    }

    fn text(&self) -> String {
        format!("{:04o}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_outside_its_range_is_refused_with_the_range() {
        assert_eq!(Whole::<1, 65_535>::parse(" 8021 ").map(Whole::port), Ok(8_021));
        for wrong in ["70000", "-1", "+1", "1.5", "99999999999999999999999"] {
            let said = Whole::<1, 65_535>::parse(wrong).unwrap_err();
            assert_eq!(said, format!("{wrong} isn't a whole number from 1 to 65535"));
        }
        assert_eq!(Whole::<0, 9>::parse(""), Err("An empty value isn't a whole number from 0 to 9".to_owned()));
        let hours = Whole::<0, 9>::new(2).unwrap();
        assert_eq!((hours.hours().as_secs(), hours.days().as_secs(), hours.seconds().as_secs()), (7_200, 172_800, 2));
    }

    #[test]
    fn bytes_take_units_and_come_back_shortest() {
        for (typed, text, bytes) in [
            ("500", "500", 500),
            ("1024", "1 KiB", 1_024),
            ("1536KiB", "1536 KiB", 1_572_864),
            ("10 mib", "10 MiB", 10_485_760),
            ("2048 GiB", "2 TiB", 2 << 40),
        ] {
            let count = ByteCount::parse(typed).unwrap();
            assert_eq!((count.get(), count.text().as_str()), (bytes, text));
        }
        assert_eq!(
            ByteCount::parse("10 MB"),
            Err("10 MB isn't a number of bytes, such as 500, 64 KiB, 10 MiB, 2 GiB or 1 TiB".to_owned())
        );
        assert!(ByteCount::parse("0 KiB").unwrap_err().contains("leave it empty"));
        for wrong in ["", "KiB", "99999999 TiB", "-1", "1.5 MiB"] {
            assert!(ByteCount::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_reserve_is_bytes_or_a_share() {
        let bytes = |text: &str, total| DiskReserve::parse(text).unwrap().bytes(total);
        assert_eq!(bytes("", 10 << 40), 256 << 20);
        assert_eq!(bytes("", 1_000_000), 10_000);
        assert_eq!(bytes("2 GiB", 1), 2 << 30);
        assert_eq!(bytes("5 %", 1_000), 50);
        assert_eq!(bytes("90%", u64::MAX), 16_602_069_666_338_596_453);
        assert_eq!(bytes("0", 1_000), 0);
        for wrong in ["91%", "%", "-5%", "lots", "5 percent"] {
            assert!(DiskReserve::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_mode_lets_waybill_read_and_write() {
        assert_eq!(FileMode::parse("640").map(|mode| (mode.bits(), mode.text())), Ok((0o640, "0640".to_owned())));
        assert!(FileMode::parse("0440").unwrap_err().contains("keeps Waybill itself out"));
        for wrong in ["", "4755", "689", "0x1ff", "64", "+640"] {
            assert!(FileMode::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn numbers_read_back(n in any::<u64>(), percent in 0..=90_u8, mode in 0..=0o177_u32) {
            let whole = Whole::<0, { u64::MAX }>::new(n).unwrap();
            prop_assert_eq!(Whole::parse(&whole.text()), Ok(whole));
            if let Some(count) = ByteCount::new(n >> 1) {
                prop_assert_eq!(ByteCount::parse(&count.text()), Ok(count));
            }
            for reserve in [DiskReserve::Default, DiskReserve::Bytes(n >> 1), DiskReserve::Percent(percent)] {
                prop_assert_eq!(DiskReserve::parse(&reserve.text()), Ok(reserve));
            }
            let mode = FileMode(mode | 0o600);
            prop_assert_eq!(FileMode::parse(&mode.text()), Ok(mode));
        }
    }
}
