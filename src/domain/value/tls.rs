//! Versions and certificates of TLS, as settings name them.

use std::fmt;

use super::{list, typed};
use crate::domain::setting::{Input, Value};

/// Certificates that one profile may present.
const CERTIFICATES_MAX: usize = 50;
/// Characters of a certificate's name in the store.
const NAME_CHARS_MAX: usize = 100;

/// The TLS versions on offer; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsVersions {
    /// TLS 1.2.
    pub tls12: bool,
    /// TLS 1.3.
    pub tls13: bool,
}

impl Value for TlsVersions {
    const INPUT: Input = Input::Choices(&[("1.2", "TLS 1.2"), ("1.3", "TLS 1.3")]);

    fn parse(text: &str) -> Result<Self, String> {
        let mut versions = Self { tls12: false, tls13: false };
        for (place, item) in list(text) {
            match item {
                "1.2" => versions.tls12 = true,
                "1.3" => versions.tls13 = true,
                "1.0" | "1.1" | "2" | "3" => {
                    return Err(format!(
                        "{place}{item} isn't offered: it has been broken for years; choose 1.2, 1.3 or both"
                    ));
                }
                _ => return Err(format!("{place}{} isn't a version of TLS; choose 1.2, 1.3 or both", typed(item))),
            }
        }
        if versions.tls12 || versions.tls13 {
            Ok(versions)
        } else {
            Err(format!("{} leaves no version of TLS on; choose 1.2, 1.3 or both", typed(text)))
        }
    }

    fn text(&self) -> String {
        let offered = [(self.tls12, "1.2"), (self.tls13, "1.3")].into_iter().filter(|(on, _)| *on);
        offered.map(|(_, text)| text).collect::<Vec<_>>().join(",")
    }
}

/// The name of one certificate in the store; names that differ only in case are equal.
#[derive(Clone, Debug)]
pub struct CertificateName(String);

impl CertificateName {
    /// Reads what an administrator typed. Commas are not allowed: settings separate several certificates with them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let name = text.trim();
        if name.is_empty() {
            return Err("A certificate needs a name, such as the host it is for".to_owned());
        }
        if name.contains(',') || name.chars().any(char::is_control) {
            return Err(format!("{} can't be a certificate's name: no commas or control characters", typed(name)));
        }
        if name.chars().count() > NAME_CHARS_MAX {
            return Err(format!("{} is too long; a name has at most {NAME_CHARS_MAX} characters", typed(name)));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name for comparisons.
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }
}

impl PartialEq for CertificateName {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for CertificateName {}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names of certificates in the store; the first is presented if no other fits. Empty means the one made at first
/// start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateNames(Vec<String>);

impl CertificateNames {
    /// Each name, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Value for CertificateNames {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        let mut names: Vec<String> = Vec::new();
        for (place, item) in list(text) {
            if item.chars().any(char::is_control) || item.chars().count() > NAME_CHARS_MAX {
                return Err(format!("{place}{} isn't the name of a certificate in the store", typed(item)));
            }
            if !names.iter().any(|name| name.to_lowercase() == item.to_lowercase()) {
                names.push(item.to_owned());
            }
            if names.len() > CERTIFICATES_MAX {
                return Err(format!(
                    "{} is one too many; {CERTIFICATES_MAX} certificates can be presented",
                    typed(item)
                ));
            }
        }
        Ok(Self(names))
    }

    fn text(&self) -> String {
        self.0.join(",")
    }
}

/// Which client certificate is a partner's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateMatch {
    /// The one with this SHA-256 of its DER form.
    Sha256([u8; 32]),
    /// One that a certificate authority of the store issued to this subject.
    Subject {
        /// The authority's name in the store.
        ca: String,
        /// The subject, as its certificate has it.
        subject: String,
    },
}

/// Reads 32 bytes in hexadecimal, colons between them allowed.
fn digest(text: &str) -> Option<[u8; 32]> {
    let hex: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    if hex.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

impl Value for CertificateMatch {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        if let Some(hex) = trimmed.strip_prefix("sha256:") {
            return digest(hex.trim()).map(Self::Sha256).ok_or_else(|| {
                format!("{} isn't sha256: and 64 hexadecimal digits, with or without colons between", typed(text))
            });
        }
        let parts = trimmed.strip_prefix("ca:").and_then(|rest| rest.split_once(" subject:"));
        match parts.map(|(ca, subject)| (ca.trim(), subject.trim())) {
            Some((ca, subject)) if !ca.is_empty() && !subject.is_empty() && !trimmed.chars().any(char::is_control) => {
                Ok(Self::Subject { ca: ca.to_owned(), subject: subject.to_owned() })
            }
            _ => Err(format!("{} isn't sha256:… or ca:NAME subject:…", typed(text))),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Sha256(digest) => digest.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}")),
            Self::Subject { ca, subject } => format!("ca:{ca} subject:{subject}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_least_one_version_stays_on() {
        let text = |typed| TlsVersions::parse(typed).map(|versions| versions.text());
        assert_eq!(text("1.3, 1.2"), Ok("1.2,1.3".to_owned()));
        assert_eq!(text("1.3"), Ok("1.3".to_owned()));
        assert!(text("").unwrap_err().contains("leaves no version"));
        assert!(text("1.2,1.1").unwrap_err().starts_with("1.1 isn't offered"));
        assert!(text("tls").unwrap_err().starts_with("tls isn't a version"));
    }

    #[test]
    fn certificates_are_named_once() {
        assert_eq!(CertificateNames::parse("a, b,a").map(|names| names.text()), Ok("a,b".to_owned()));
        assert_eq!(CertificateNames::parse("a,A").map(|names| names.text()), Ok("a".to_owned()));
        assert!(CertificateNames::parse("").unwrap().is_empty());
        assert!(CertificateNames::parse(&"x".repeat(101)).is_err());
    }

    #[test]
    fn a_name_can_be_listed_with_others() {
        assert_eq!(CertificateName::parse(" Ftp ").unwrap(), CertificateName::parse("fTP").unwrap());
        for wrong in ["", " ", "a,b", "a\nb", &"x".repeat(101)] {
            assert!(CertificateName::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_match_is_a_digest_or_a_subject() {
        let colons = format!("sha256:{}", ["AB"; 32].join(":"));
        let found = CertificateMatch::parse(&colons).unwrap();
        assert_eq!(
            (&found, found.text()),
            (&CertificateMatch::Sha256([0xab; 32]), format!("sha256:{}", "ab".repeat(32)))
        );
        assert_eq!(CertificateMatch::parse(&found.text()), Ok(found));
        let subject = CertificateMatch::parse("ca:Partners subject:CN=acme, O=Acme").unwrap();
        assert_eq!(CertificateMatch::parse(&subject.text()), Ok(subject));
        for wrong in
            ["", "sha256:", "sha256:zz", "ca:x", "ca: subject:x", "acme", &format!("sha256:{}", "é".repeat(32))]
        {
            assert!(CertificateMatch::parse(wrong).is_err(), "{wrong}");
        }
    }
}
