//! Dates in names: `yyyy-MM-dd-HH-mm-ss-fff`. Anything that is not a token is literal.

use jiff::Zoned;

/// Each token, longer ones before their prefixes.
const TOKENS: &[&str] = &[
    "yyyy", "yy", "MMMM", "MMM", "MM", "M", "dddd", "ddd", "dd", "d", "HH", "H", "hh", "h", "mm", "m", "ss", "s",
    "fffffff", "ffffff", "fffff", "ffff", "fff", "ff", "f", "tt", "zzz",
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// A date format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DateFormat(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Token(&'static str),
    Literal(char),
}

impl DateFormat {
    /// Reads a format; every text is valid.
    pub(super) fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let token = TOKENS.iter().find(|token| rest.starts_with(**token));
            parts.push(token.map_or(Part::Literal(c), |token| Part::Token(token)));
            rest = &rest[token.map_or(c.len_utf8(), |token| token.len())..];
        }
        Self(parts)
    }

    /// Whether it contains any token.
    pub(super) fn has_token(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Token(_)))
    }

    /// The date in this format.
    pub(super) fn apply(&self, at: &Zoned) -> String {
        let part = |part: &Part| match part {
            Part::Literal(c) => c.to_string(),
            Part::Token(token) => value(token, at),
        };
        self.0.iter().map(part).collect()
    }
}

/// The value of `token` at `at`.
fn value(token: &str, at: &Zoned) -> String {
    let month = MONTHS[usize::try_from(at.month() - 1).unwrap_or(0) % 12];
    let day = DAYS[usize::try_from(at.weekday().to_monday_zero_offset()).unwrap_or(0) % 7];
    let hour12 = (at.hour() + 11) % 12 + 1;
    match token {
        "yyyy" => format!("{:04}", at.year()),
        "yy" => format!("{:02}", at.year().rem_euclid(100)),
        "MMMM" => month.to_owned(),
        "MMM" => month[..3].to_owned(),
        "MM" => format!("{:02}", at.month()),
        "M" => at.month().to_string(),
        "dddd" => day.to_owned(),
        "ddd" => day[..3].to_owned(),
        "dd" => format!("{:02}", at.day()),
        "d" => at.day().to_string(),
        "HH" => format!("{:02}", at.hour()),
        "H" => at.hour().to_string(),
        "hh" => format!("{hour12:02}"),
        "h" => hour12.to_string(),
        "mm" => format!("{:02}", at.minute()),
        "m" => at.minute().to_string(),
        "ss" => format!("{:02}", at.second()),
        "s" => at.second().to_string(),
        "tt" => if at.hour() < 12 { "AM" } else { "PM" }.to_owned(),
        "zzz" => offset(at.offset().seconds()),
        fraction => format!("{:09}", at.subsec_nanosecond())[..fraction.len()].to_owned(),
    }
}

/// `+02:00`.
fn offset(seconds: i32) -> String {
    let minutes = seconds.abs() / 60;
    format!("{}{:02}:{:02}", if seconds < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Zoned {
        text.parse().unwrap()
    }

    #[test]
    fn every_token_has_its_meaning() {
        let winter = at("2024-01-04T15:06:07.089012+01:00[Europe/Berlin]");
        let said = |format| DateFormat::new(format).apply(&winter);
        assert_eq!(said("yyyy-MM-dd-HH-mm-ss-fff"), "2024-01-04-15-06-07-089");
        assert_eq!(said("yy M d H h hh m s f tt zzz"), "24 1 4 15 3 03 6 7 0 PM +01:00");
        assert_eq!(said("MMMM MMM dddd ddd"), "January Jan Thursday Thu");
        assert_eq!(said("fffffff"), "0890120");
        assert_eq!(said("yyy|ttt|zz|Q%ü"), "24y|PMt|zz|Q%ü");
    }

    #[test]
    fn midnight_and_noon_are_twelve() {
        let said = |text| DateFormat::new("h tt").apply(&at(text));
        assert_eq!(said("2024-01-04T00:00:00-03:30[-03:30]"), "12 AM");
        assert_eq!(said("2024-01-04T12:00:00-03:30[-03:30]"), "12 PM");
        assert_eq!(DateFormat::new("zzz").apply(&at("2024-01-04T12:00:00-03:30[-03:30]")), "-03:30");
    }
}
