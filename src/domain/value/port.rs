//! The passive ports.

use super::typed;
use crate::domain::setting::{Input, Value};

/// Ports from the first to the last, both included: `50000-50199`, `50000-` (up to 65535), `50000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The first port, 1024 or above.
    pub first: u16,
    /// The last port.
    pub last: u16,
}

impl PortRange {
    /// The lowest unprivileged port.
    pub const FIRST_MIN: u16 = 1_024;

    /// How many ports it has.
    pub const fn count(self) -> u32 {
        self.last as u32 - self.first as u32 + 1
    }

    /// Whether `port` is one of them.
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

/// One port of the range `whole`, or why it is invalid.
fn port(number: &str, whole: &str) -> Result<u16, String> {
    match number.trim().parse::<u16>() {
        Ok(port) if port >= PortRange::FIRST_MIN => Ok(port),
        Ok(_) => Err(format!("{} begins below 1024; passive ports are 1024 to 65535", typed(whole))),
        Err(_) => Err(format!("{} goes above 65535, the highest port there is", typed(whole))),
    }
}

impl Value for PortRange {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        let (first, last) = match text.trim().split_once(['-', '–']) {
            None => (text.trim(), text.trim()),
            Some((first, last)) if last.trim().is_empty() => (first.trim(), "65535"),
            Some((first, last)) => (first.trim(), last.trim()),
        };
        let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !number(first) || !number(last) {
            return Err(format!(
                "{} isn't a port range; write start-end, such as 50000-50199, or start- for that port and above",
                typed(text)
            ));
        }
        let (first, last) = (port(first, text)?, port(last, text)?);
        if first > last {
            return Err(format!("{} is reversed; write {last}-{first}", typed(text)));
        }
        Ok(Self { first, last })
    }

    fn text(&self) -> String {
        if self.first == self.last { self.first.to_string() } else { format!("{}-{}", self.first, self.last) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_range_has_three_forms() {
        let range = |text| PortRange::parse(text).map(|range| (range.first, range.last));
        assert_eq!(range("50000-50199"), Ok((50_000, 50_199)));
        assert_eq!(range(" 1024 - "), Ok((1_024, 65_535)));
        assert_eq!(range("2000"), Ok((2_000, 2_000)));
        let range = PortRange { first: 1_024, last: 65_535 };
        assert_eq!((range.count(), range.contains(1_024), range.contains(1_023)), (64_512, true, false));
    }

    #[test]
    fn a_wrong_range_says_what_is_wrong() {
        let said = |text| PortRange::parse(text).unwrap_err();
        assert_eq!(said("50199-50000"), "50199-50000 is reversed; write 50000-50199");
        assert_eq!(said("0-2000"), "0-2000 begins below 1024; passive ports are 1024 to 65535");
        assert_eq!(said("1023"), "1023 begins below 1024; passive ports are 1024 to 65535");
        assert_eq!(said("2000-65536"), "2000-65536 goes above 65535, the highest port there is");
        for wrong in ["", "-", "-5", "a-b", "1-2-3", "5000,6000", "+5000"] {
            assert!(said(wrong).contains("isn't a port range"), "{wrong}: {}", said(wrong));
        }
    }

    proptest! {
        #[test]
        fn a_range_reads_back_and_is_in_order(first in any::<u16>(), last in any::<u16>()) {
            match PortRange::parse(&format!("{first}-{last}")) {
                Ok(range) => {
                    prop_assert_eq!((range.first, range.last), (first, last));
                    prop_assert!(first >= 1_024 && first <= last);
                    prop_assert_eq!(PortRange::parse(&range.text()), Ok(range));
                }
                Err(_) => prop_assert!(first < 1_024 || last < first),
            }
        }
    }
}
