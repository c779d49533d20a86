//! Where and what webhooks post.

use url::Url;

use super::typed;
use crate::domain::setting::{Input, Value};

/// Bytes of a [`WebAddress`].
const ADDRESS_BYTES_MAX: usize = 2_000;

/// Where a webhook posts to: http or https, a host, no name or password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebAddress(Url);

impl WebAddress {
    /// The address.
    pub const fn url(&self) -> &Url {
        &self.0
    }
}

impl Value for WebAddress {
    const INPUT: Input = Input::Line;

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("{} {why}", typed(text)));
        if text.trim().len() > ADDRESS_BYTES_MAX {
            return wrong(&format!("has {} bytes; {ADDRESS_BYTES_MAX} fit here", text.trim().len()));
        }
        let Ok(url) = Url::parse(text.trim()) else {
            return wrong("isn't an address of the web; write it whole, such as https://erp.example.com/inbound");
        };
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return wrong("isn't an address of the web; it begins with https:// or http:// and a host");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return wrong(
                "holds a name or password, which logs would show; leave it out and check the signature instead",
            );
        }
        if url.fragment().is_some() {
            return wrong("has a # part, which is never sent; leave it out");
        }
        Ok(Self(url))
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_whole_and_holds_no_secret() {
        let url = WebAddress::parse(" https://ERP.example.com:8443/in?x=1 ").unwrap();
        assert_eq!(url.text(), "https://erp.example.com:8443/in?x=1");
        assert_eq!(WebAddress::parse(&url.text()), Ok(url));
        for wrong in ["", "erp", "ftp://a/b", "https://", "https://u:p@a/", "https://u@a/", "http://a/#b"] {
            assert!(WebAddress::parse(wrong).is_err(), "{wrong}");
        }
        assert!(WebAddress::parse(&format!("https://a/{}", "x".repeat(2_000))).is_err());
    }
}
