//! Style, script and icon: part of the program, served under names that contain a digest of their bytes, so that
//! browsers may keep them for a year.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::error::WebError;
use crate::base::hex::hex;

const CSS: &str = include_str!("../../static/waybill.css");
const JS: &str = include_str!("../../static/waybill.js");
const ICON: &str = include_str!("../../static/waybill.svg");
/// Digits of the digest in a name.
const DIGITS: usize = 12;

/// One file.
#[derive(Debug)]
struct Asset {
    name: String,
    kind: &'static str,
    body: &'static str,
}

impl Asset {
    fn new(stem: &str, ending: &str, kind: &'static str, body: &'static str) -> Self {
        let digest = Sha256::digest(body.as_bytes());
        let digest: String = hex(&digest);
        Self { name: format!("{stem}-{}.{ending}", &digest[..DIGITS]), kind, body }
    }

    fn address(&self) -> String {
        format!("/static/{}", self.name)
    }
}

/// The addresses that pages link to.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The stylesheet.
    pub css: String,
    /// The script.
    pub js: String,
    /// The icon.
    pub icon: String,
}

static ASSETS: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    [
        Asset::new("waybill", "css", "text/css; charset=utf-8", CSS),
        Asset::new("waybill", "js", "text/javascript; charset=utf-8", JS),
        Asset::new("waybill", "svg", "image/svg+xml", ICON),
    ]
});

static ADDRESSES: LazyLock<Addresses> = LazyLock::new(|| {
    let [css, js, icon] = &*ASSETS;
    Addresses { css: css.address(), js: js.address(), icon: icon.address() }
});

/// The addresses of this program's files.
pub fn addresses() -> &'static Addresses {
    &ADDRESSES
}

/// Returns one of the files.
pub async fn get(Path(name): Path<String>) -> Result<Response, WebError> {
    let asset = ASSETS.iter().find(|asset| asset.name == name).ok_or_else(WebError::not_found)?;
    let headers = [(CONTENT_TYPE, asset.kind), (CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((headers, asset.body).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_stay_within_their_budgets() {
        assert!(CSS.len() < 48 * 1024, "waybill.css has {} bytes", CSS.len());
        assert!(JS.len() < 14 * 1024, "waybill.js has {} bytes", JS.len());
        assert!(addresses().css.starts_with("/static/waybill-"));
    }
}
