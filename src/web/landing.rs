//! Where a browser goes once it is signed in, or has chosen a theme: to the page it had asked for, and never to another server.

use axum::http::header::REFERER;
use axum::http::{HeaderMap, Uri};

/// The field and the part of a query that hold the page.
pub const FIELD: &str = "to";
/// Bytes of an address that is remembered; a longer one is the first page's.
const ADDRESS_BYTES_MAX: usize = 2_048;
/// The first page.
const HOME: &str = "/";

/// `asked` where it is a page of this server, with its query; else the first page. A second slash, or the backslash that
/// browsers read as one, would begin another server's name (WHATWG URL, section 4.4).
pub fn page(asked: &str) -> &str {
    let plain = asked.len() <= ADDRESS_BYTES_MAX && asked.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if plain && asked.starts_with('/') && !asked.starts_with("//") { asked } else { HOME }
}

/// The address of the sign-in page from which `asked` comes next.
pub fn sign_in(asked: &Uri) -> String {
    let asked = page(asked.path_and_query().map_or(HOME, axum::http::uri::PathAndQuery::as_str));
    match serde_urlencoded::to_string([(FIELD, asked)]) {
        Ok(query) if asked != HOME => format!("/sign-in?{query}"),
        _ => "/sign-in".to_owned(),
    }
}

/// The page of this server that a form was sent from, as the browser says (decision 0119); else the first page. `authority`:
/// what this server was asked as.
pub fn came_from(headers: &HeaderMap, authority: &str) -> String {
    let from = headers.get(REFERER).and_then(|from| from.to_str().ok()?.parse::<Uri>().ok());
    let ours = from.filter(|from| from.authority().is_some_and(|asked| asked.as_str() == authority));
    page(ours.as_ref().and_then(Uri::path_and_query).map_or(HOME, axum::http::uri::PathAndQuery::as_str)).to_owned()
}

/// The page above an address that only takes forms: of a form that came back with mistakes, its own.
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
