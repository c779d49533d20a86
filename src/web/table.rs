//! What every table of the site has: choices of its filters, chips of those in force, links to the pages beside it.

/// A choice of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What is asked for.
    pub value: String,
    /// Its words.
    pub label: String,
    /// Whether it is in force.
    pub chosen: bool,
}

impl Offer {
    /// Choices by value and words; `chosen` is the value in force.
    pub fn all<'a>(choices: impl IntoIterator<Item = (&'a str, &'a str)>, chosen: &str) -> Vec<Self> {
        let offer = |(value, label): (&str, &str)| Self {
            value: value.to_owned(),
            label: label.to_owned(),
            chosen: value == chosen,
        };
        choices.into_iter().map(offer).collect()
    }

    /// The sizes of a page.
    pub fn sizes(chosen: i64) -> Vec<Self> {
        let sizes = super::view::PAGE_SIZES.map(|size| size.to_string());
        Self::all(sizes.iter().map(|size| (size.as_str(), size.as_str())), &chosen.to_string())
    }
}

/// A filter in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chip {
    /// `Connector: acme`.
    pub words: String,
    /// The address without it.
    pub remove: String,
}

/// Links to the pages beside this one; each is empty when there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pager {
    /// The newest rows, when these are not they.
    pub newest: String,
    /// One page nearer to them.
    pub newer: String,
    /// One page further.
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
