//! Where a browser goes after signing in or choosing a theme: to the page it asked for, and never to another server.

use axum::http::header::REFERER;
use axum::http::{HeaderMap, Uri};

/// The form field and query key for that page.
pub const FIELD: &str = "to";
/// Bytes of a remembered address; for a longer one the first page is used.
const ADDRESS_BYTES_MAX: usize = 2_048;
/// The first page.
const HOME: &str = "/";

/// `asked` if it is a page of this server, with its query; otherwise the first page. A second slash, or the backslash
/// that browsers read as one, would begin another server's name (WHATWG URL, section 4.4).
pub fn page(asked: &str) -> &str {
    let plain = asked.len() <= ADDRESS_BYTES_MAX && asked.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if plain && asked.starts_with('/') && !asked.starts_with("//") { asked } else { HOME }
}

/// The address of the sign-in page that continues to `asked`.
pub fn sign_in(asked: &Uri) -> String {
    let asked = page(asked.path_and_query().map_or(HOME, axum::http::uri::PathAndQuery::as_str));
    match serde_urlencoded::to_string([(FIELD, asked)]) {
        Ok(query) if asked != HOME => format!("/sign-in?{query}"),
        _ => "/sign-in".to_owned(),
    }
}

/// The page of this server that a form was sent from, according to the browser (decision 0119); otherwise the first
/// page. `authority`: the requested host.
pub fn came_from(headers: &HeaderMap, authority: &str) -> String {
    let from = headers.get(REFERER).and_then(|from| from.to_str().ok()?.parse::<Uri>().ok());
    let ours = from.filter(|from| from.authority().is_some_and(|asked| asked.as_str() == authority));
    page(ours.as_ref().and_then(Uri::path_and_query).map_or(HOME, axum::http::uri::PathAndQuery::as_str)).to_owned()
}

/// The page above an address that only accepts forms: for a form that came back with mistakes, its own page.
pub fn above(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(above, _)| above).filter(|above| !above.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_leads_to_another_server() {
        for asked in
            ["//evil.example", "/\\evil.example", "https://evil.example/", "evil", "", "/\t/evil.example", "/ä"]
        {
            assert_eq!(page(asked), HOME, "{asked}");
        }
        assert_eq!(page(&format!("/{}", "x".repeat(ADDRESS_BYTES_MAX))), HOME);
        assert_eq!(page("/receive?connector=acme&search=%2F%2F"), "/receive?connector=acme&search=%2F%2F");
    }

    #[test]
    fn what_was_asked_for_is_in_the_address_of_the_sign_in() {
        assert_eq!(sign_in(&Uri::from_static("/events?kind=a&kind=b")), "/sign-in?to=%2Fevents%3Fkind%3Da%26kind%3Db");
        assert_eq!(sign_in(&Uri::from_static("/")), "/sign-in");
    }
}
