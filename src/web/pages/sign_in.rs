//! The sign-in page; `login` does the work.

use askama::Template;

use crate::domain::value::HostOrAddress;
use crate::web::assets::{Addresses, addresses};
use crate::web::context::Guest;

/// Name and password.
#[derive(Debug, Template)]
#[template(path = "sign_in.html")]
pub struct SignInPage {
    host: String,
    port: String,
    to: String,
    csrf: String,
    theme: &'static str,
    name: String,
    mistake: String,
    files: &'static Addresses,
}

impl SignInPage {
    /// The page that leads to `to`.
    pub fn new(guest: &Guest, to: &str) -> Self {
        let snapshot = guest.state.live.snapshot();
        let host = match &snapshot.appliance.public_host {
            Some(HostOrAddress::Host(name)) => name.clone(),
            Some(HostOrAddress::Address(address)) => address.to_string(),
            None => guest.host.clone(),
        };
        Self {
            host,
            port: snapshot.profile.port.get().to_string(),
            to: to.to_owned(),
            csrf: guest.visitor.csrf.clone(),
            theme: guest.visitor.theme.name(),
            name: String::new(),
            mistake: String::new(),
            files: addresses(),
        }
    }

    /// The page again: the name comes back, the password never does.
    #[must_use]
    pub fn refused(self, name: &str, mistake: String) -> Self {
        Self { name: name.to_owned(), mistake, ..self }
    }

    /// A page for tests.
    pub fn sample() -> Self {
        Self {
            host: "files.example.com".to_owned(),
            port: "8021".to_owned(),
            to: "/flows".to_owned(),
            csrf: "token".to_owned(),
            theme: "",
            name: "mira".to_owned(),
            mistake: "Name or password is wrong.".to_owned(),
            files: addresses(),
        }
    }
}
