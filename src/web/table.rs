//! What every table of the site has: choices of its filters, chips of the active ones, links to the neighbouring pages.

use crate::domain::value::typed;

/// A choice of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The value in the query.
    pub value: String,
    /// Its words.
    pub label: String,
    /// Whether it is active.
    pub chosen: bool,
}

impl Offer {
    /// Choices by value and words; `chosen` is the active value.
    pub fn all<'a>(choices: impl IntoIterator<Item = (&'a str, &'a str)>, chosen: &str) -> Vec<Self> {
        let offer = |(value, label): (&str, &str)| Self {
            value: value.to_owned(),
            label: label.to_owned(),
            chosen: value == chosen,
        };
        choices.into_iter().map(offer).collect()
    }

    /// The page sizes.
    pub fn sizes(chosen: i64) -> Vec<Self> {
        let sizes = super::view::PAGE_SIZES.map(|size| size.to_string());
        Self::all(sizes.iter().map(|size| (size.as_str(), size.as_str())), &chosen.to_string())
    }
}

/// One choice of a form of filters.
#[derive(Clone, Debug)]
pub struct Select {
    /// Its key.
    pub key: &'static str,
    /// Its words.
    pub label: &'static str,
    /// Everything, in words.
    pub any: &'static str,
    /// What can be chosen.
    pub offers: Vec<Offer>,
    /// Whether there is more than is offered, so that it can be typed too.
    pub is_typed: bool,
}

impl Select {
    /// One that offers everything there is.
    pub const fn new((key, label): (&'static str, &'static str), any: &'static str, offers: Vec<Offer>) -> Self {
        Self { key, label, any, offers, is_typed: false }
    }

    /// The active choice, if there is one.
    pub fn chosen(&self) -> Option<&Offer> {
        self.offers.iter().find(|offer| offer.chosen)
    }

    /// What its chip says while `asked` is in the address: the choice, or that there is none of that name.
    pub fn words(&self, asked: &str) -> Option<String> {
        let chosen = self.chosen().map(|offer| format!("{}: {}", self.label, offer.label));
        let unknown = || format!("{}: {} is unknown, so left out", self.label, typed(asked));
        chosen.or_else(|| (!asked.trim().is_empty()).then(unknown))
    }
}

/// An active filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chip {
    /// `Connector: acme`.
    pub words: String,
    /// The address without it.
    pub remove: String,
}

/// Links to the neighbouring pages; each is empty if there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pager {
    /// The newest rows, unless these are the newest.
    pub newest: String,
    /// One page towards them.
    pub newer: String,
    /// One page away from them.
    pub older: String,
}

/// An address with a query; empty values are left out.
pub fn address(path: &str, query: &[(&str, &str)]) -> String {
    let kept: Vec<_> = query.iter().filter(|(_, value)| !value.is_empty()).collect();
    match serde_urlencoded::to_string(kept) {
        Ok(query) if !query.is_empty() => format!("{path}?{query}"),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_filters_leave_the_address() {
        assert_eq!(address("/a", &[("q", "x y"), ("s", "")]), "/a?q=x+y");
        assert_eq!(address("/a", &[("q", "")]), "/a");
        assert!(Offer::sizes(50).iter().any(|size| size.value == "50" && size.chosen));
    }
}
