//! A partner's name.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use crate::domain::value::typed;

/// A partner's login name: 1 to 64 letters, digits, `. _ -`, beginning with a letter or digit. Compared without regard
/// to case; also the name of the partner's folder.
#[derive(Clone, Debug)]
pub struct ConnectorId {
    text: String,
    key: String,
}

/// Characters of a [`ConnectorId`].
pub const CONNECTOR_ID_CHARS_MAX: usize = 64;

impl ConnectorId {
    /// Reads an id; the error says what is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let chars = text.chars().count();
        if chars == 0 {
            return Err("An empty value is no Connector Id; write 1 to 64 letters, digits, . _ -".to_owned());
        }
        if chars > CONNECTOR_ID_CHARS_MAX {
            return Err(format!("{} has {chars} characters; a Connector Id has 1 to 64", typed(text)));
        }
        if let Some(bad) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-')) {
            let bad = if bad == ' ' { "a blank".to_owned() } else { typed(&bad.to_string()) };
            return Err(format!("{} holds {bad}; a Connector Id has letters, digits, . _ - only", typed(text)));
        }
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            let shown = typed(text);
            return Err(if text.eq_ignore_ascii_case(".waybill") {
                format!("{shown} is the name of Waybill's own folders; choose another")
            } else {
                format!("{shown} must begin with a letter or digit")
            });
        }
        if ["send", "receive"].iter().any(|reserved| text.eq_ignore_ascii_case(reserved)) {
            return Err(format!("{} is the name of a folder that every partner has; choose another", typed(text)));
        }
        Ok(Self { key: text.to_ascii_lowercase(), text: text.to_owned() })
    }

    /// The id as the administrator wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The id for comparisons: in lower case.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl PartialEq for ConnectorId {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for ConnectorId {}

impl PartialOrd for ConnectorId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ConnectorId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl Hash for ConnectorId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl fmt::Display for ConnectorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_is_compared_without_regard_to_case() {
        let id = ConnectorId::parse(" Acme-EDI_2.x ").unwrap();
        assert_eq!(id, ConnectorId::parse("acme-edi_2.X").unwrap());
        assert_eq!((id.as_str(), id.key(), id.to_string().as_str()), ("Acme-EDI_2.x", "acme-edi_2.x", "Acme-EDI_2.x"));
        let set: std::collections::HashSet<_> = [id, ConnectorId::parse("ACME-EDI_2.X").unwrap()].into();
        assert_eq!(set.len(), 1);
    }

    #[test]
    fn a_bad_id_is_refused_with_words() {
        let said = |text: &str| ConnectorId::parse(text).unwrap_err();
        assert_eq!(said(""), "An empty value is no Connector Id; write 1 to 64 letters, digits, . _ -");
        assert_eq!(said("acme edi"), "acme edi holds a blank; a Connector Id has letters, digits, . _ - only");
        assert_eq!(said("a/b"), "a/b holds /; a Connector Id has letters, digits, . _ - only");
        assert_eq!(said("müller"), "müller holds ü; a Connector Id has letters, digits, . _ - only");
        assert_eq!(said("-acme"), "-acme must begin with a letter or digit");
        assert_eq!(said("RECEIVE"), "RECEIVE is the name of a folder that every partner has; choose another");
        assert_eq!(said(".Waybill"), ".Waybill is the name of Waybill's own folders; choose another");
        assert!(said(&"a".repeat(65)).contains("has 65 characters"));
        assert!(ConnectorId::parse(&"a".repeat(64)).is_ok());
    }

    proptest! {
        #[test]
        fn an_id_is_a_name_of_a_folder(text in "\\PC{0,70}") {
            if let Ok(id) = ConnectorId::parse(&text) {
                prop_assert!(crate::base::path::Name::parse(id.as_str()).is_ok());
                prop_assert_eq!(ConnectorId::parse(id.key()), Ok(id));
            }
        }
    }
}
