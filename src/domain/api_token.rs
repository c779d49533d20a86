//! Tokens of the API: what an administrator chooses when making one, and what each scope reaches.

use super::setting::{Mistake, Texts};
use super::value::{Label, Networks, TokenScope, Whole};
use crate::settings;

/// Characters of a token's name.
const NAME_CHARS_MAX: usize = 64;

/// The area of the API that a route belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// The token itself: open to every token.
    Token,
    /// Connectors and flows.
    Connectors,
    /// What happened, and the deliveries under way.
    Activity,
    /// The profile and the appliance's settings.
    Server,
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It reads.
    Read,
    /// It changes something.
    Write,
}

impl TokenScope {
    /// Whether this scope covers the request. The owner's role is checked besides.
    pub fn reaches(self, area: Area, deed: Deed) -> bool {
        match self {
            _ if area == Area::Token => true,
            Self::Read => deed == Deed::Read,
            Self::Connectors => area == Area::Connectors,
            Self::Activity => area == Area::Activity,
            Self::All => true,
        }
    }
}

settings! {
    /// What an administrator chooses when making a token.
    pub struct TokenSettings {
        name: Label = "", "Name",
            "What uses it, such as erp or backup. It stands in the audit beside what the token changes.";
        scope: TokenScope = "read", "Scope",
            "The most it can do. Your own role bounds it too, as it is at the time of use.";
        expires_days: Option<Whole<1, 3_650>> = "90", "Expires after",
            "From then on it opens nothing. Empty: never.";
        addresses: Networks = "", "Allowed addresses",
            "Address or CIDR a line. Empty: from anywhere.";
    }
}

impl TokenSettings {
    /// Reads and checks all of it.
    ///
    /// # Errors
    /// Every mistake, in words.
    pub fn parse(texts: &Texts) -> Result<Self, Vec<Mistake>> {
        let name = texts.get("name").map_or("", String::as_str).trim();
        let chars = name.chars().count();
        let mistake = match chars {
            0 => Some("empty; say what will use the token, such as erp".to_owned()),
            1..=NAME_CHARS_MAX => None,
            _ => Some(format!("{chars} characters; {NAME_CHARS_MAX} fit here")),
        };
        let mut mistakes: Vec<_> = mistake.into_iter().map(|words| Mistake::new("name", words)).collect();
        match Self::read(texts) {
            Ok(settings) if mistakes.is_empty() => Ok(settings),
            Ok(_) => Err(mistakes),
            Err(more) => {
                mistakes.extend(more);
                Err(mistakes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_reaches_its_own_part_and_no_more() {
        let reach = |scope: TokenScope| {
            let areas = [Area::Token, Area::Connectors, Area::Activity, Area::Server];
            let letter = |area: Area| match (scope.reaches(area, Deed::Read), scope.reaches(area, Deed::Write)) {
                (true, true) => 'w',
                (true, false) => 'r',
                (false, false) => '-',
                (false, true) => panic!("{scope} changes what it cannot see"),
            };
            areas.map(letter).iter().collect::<String>()
        };
        assert_eq!(
            TokenScope::ALL.iter().map(|scope| reach(*scope)).collect::<Vec<_>>(),
            ["wrrr", "ww--", "w-w-", "wwww"]
        );
    }

    #[test]
    fn every_mistake_of_a_token_is_told_at_once() {
        let pairs = [("scope", "everything"), ("expires_days", "0"), ("addresses", "10.0.0.0/40")];
        let texts = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let keys: Vec<_> = TokenSettings::parse(&texts).unwrap_err().into_iter().map(|mistake| mistake.key).collect();
        assert_eq!(keys, ["name", "scope", "expires_days", "addresses"]);
        let long = [("name".to_owned(), "x".repeat(NAME_CHARS_MAX + 1))].into();
        assert!(TokenSettings::parse(&long).unwrap_err()[0].message.contains("65 characters; 64 fit here"));
        let usual = TokenSettings::parse(&[("name".to_owned(), " erp ".to_owned())].into()).unwrap();
        assert_eq!((usual.name.as_str(), usual.scope, usual.addresses.is_empty()), ("erp", TokenScope::Read, true));
    }
}
