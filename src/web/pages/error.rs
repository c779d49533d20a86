//! The page of an error.

use askama::Template;

use crate::web::assets::{Addresses, addresses};
use crate::web::context::Theme;
use crate::web::error::WebError;

/// What happened, and where to go from here.
#[derive(Debug, Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    status: u16,
    title: String,
    text: String,
    theme: &'static str,
    signed_in: bool,
    files: &'static Addresses,
}

impl ErrorPage {
    /// The page of `error`.
    pub fn new(error: &WebError, theme: Theme, signed_in: bool) -> Self {
        Self {
            status: error.status.as_u16(),
            title: error.title.clone(),
            text: error.text.clone(),
            theme: theme.name(),
            signed_in,
            files: addresses(),
        }
    }

    /// A page for tests.
    pub fn sample() -> Self {
        Self::new(&WebError::not_found(), Theme::Dark, true)
    }
}
