//! Words and numbers for people: sizes, ages, counts.

use std::time::Duration;

use super::clock::Timestamp;

/// `48.2 KB`, `1.9 MB`, `0 bytes`: decimal units, as in file managers and invoices.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KB", "MB", "GB", "TB", "PB"];
    if bytes < 1_000 {
        return count(bytes, "byte", "bytes");
    }
    let mut tenths = bytes / 100;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1_000;
        unit += 1;
    }
    if tenths >= 1_000 {
        format!("{} {}", tenths / 10, UNITS[unit])
    } else {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    }
}

/// A label in mid-sentence: `wrong password`; `TLS required` keeps its capitals.
pub fn lower_first(words: &str) -> String {
    let mut chars = words.chars();
    let first = chars.next().map(char::to_lowercase);
    if chars.as_str().starts_with(char::is_uppercase) {
        return words.to_owned();
    }
    first.into_iter().flatten().chain(chars).collect()
}

/// `1 file`, `2 files`, `1,284 files`.
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(n), if n == 1 { one } else { many })
}

/// `1,048,576`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `less than a second`, `45 seconds`, `5 minutes`, `3 hours`, `12 days`: the largest unit that fits, rounded down.
pub fn duration(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0 => "less than a second".to_owned(),
        1..60 => count(seconds, "second", "seconds"),
        60..3_600 => count(seconds / 60, "minute", "minutes"),
        3_600..86_400 => count(seconds / 3_600, "hour", "hours"),
        _ => count(seconds / 86_400, "day", "days"),
    }
}

/// `25 Nov 2026, 09:41:52`, in UTC.
pub fn moment(at: Timestamp) -> String {
    at.calendar().strftime("%-d %b %Y, %H:%M:%S").to_string()
}

/// `just now`, `3 minutes ago`.
pub fn ago(then: Timestamp, now: Timestamp) -> String {
    let age = now.since(then);
    if age < Duration::from_secs(5) { "just now".to_owned() } else { format!("{} ago", duration(age)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        let said = [0, 1, 999, 1_000, 48_219, 1_900_000, 548_000_000, 3_400_000_000, u64::MAX].map(size);
        assert_eq!(said.join("|"), "0 bytes|1 byte|999 bytes|1.0 KB|48.2 KB|1.9 MB|548 MB|3.4 GB|18446 PB");
    }

    #[test]
    fn a_label_goes_into_a_sentence() {
        assert_eq!(lower_first("Name not accepted"), "name not accepted");
        assert_eq!(lower_first("TLS required"), "TLS required");
    }

    #[test]
    fn ages_use_the_largest_unit() {
        let at = |s: i64| Timestamp::from_us(s * 1_000_000);
        assert_eq!(ago(at(0), at(2)), "just now");
        assert_eq!(ago(at(0), at(61)), "1 minute ago");
        assert_eq!(ago(at(0), at(7_300)), "2 hours ago");
        assert_eq!(duration(Duration::from_millis(999)), "less than a second");
        assert_eq!(duration(Duration::from_secs(1)), "1 second");
        assert_eq!(thousands(1_048_576), "1,048,576");
    }
}
