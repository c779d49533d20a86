//! What stands around every page of somebody who has signed in: the places to go, the state of the FTP listener, who it
//! is.

use super::assets::{Addresses, addresses};
use super::context::Ctx;
use super::error::WebError;
use super::notes::{Note, Tone};
use crate::base::human;
use crate::base::id::IdSource;
use crate::domain::administrator::Role;
use crate::domain::profile::Profile;
use crate::domain::value::{FtpOverTls, HostOrAddress};
use crate::store::listener::{self, Listener, ListenerState, State};

/// The place in the sidebar that a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nav {
    /// Activity.
    Activity,
    /// Flows.
    Flows,
    /// Profiles.
    Profiles,
}

/// The FTP listener in words.
#[derive(Clone, Debug)]
pub struct Lamp {
    /// The dot's class.
    pub dot: &'static str,
    /// What became of the wish to listen.
    pub words: &'static str,
    /// Host and port.
    pub place: String,
    /// The port alone, for small screens.
    pub port: String,
    /// How connections are encrypted, and how many sessions there are.
    pub detail: String,
}

/// The frame of a page.
#[derive(Clone, Debug)]
pub struct Shell {
    /// Which place is marked.
    pub nav: Nav,
    /// How many connectors there are.
    pub flows: usize,
    /// The listener.
    pub lamp: Lamp,
    /// Who has signed in.
    pub who: String,
    /// Two letters for them.
    pub initials: String,
    /// Whether they may change connectors.
    pub can_edit: bool,
    /// Whether they may change the profile.
    pub can_admin: bool,
    /// The token of forms.
    pub csrf: String,
    /// `light`, `dark` or empty.
    pub theme: &'static str,
    /// Where this page is, to come back to.
    pub here: String,
    /// What was just done.
    pub note: Option<Note>,
    /// The query of the page's stream of live updates; empty: it has none.
    pub live: String,
    /// Style, script, icon.
    pub files: &'static Addresses,
    /// Waybill's version.
    pub version: &'static str,
}

impl Shell {
    /// The frame of this request's page. Takes the note that waits for it.
    pub async fn of(ctx: &Ctx, nav: Nav) -> Result<Self, WebError> {
        let snapshot = ctx.state.live.snapshot();
        let state = listener::get(&ctx.state.db, Listener::Ftp).await?;
        let name = ctx.session().administrator.name.clone();
        Ok(Self {
            nav,
            flows: snapshot.connectors.len(),
            lamp: Lamp::of(ctx, &state),
            initials: initials(&name),
            who: name,
            can_edit: ctx.role() >= Role::Editor,
            can_admin: ctx.role() >= Role::Admin,
            csrf: ctx.session().csrf_token.clone(),
            theme: ctx.visitor.theme.name(),
            here: ctx.here().to_owned(),
            note: ctx.note(),
            live: String::new(),
            files: addresses(),
            version: env!("CARGO_PKG_VERSION"),
        })
    }

    /// Whether this place is marked.
    pub fn is(&self, nav: Nav) -> bool {
        self.nav == nav
    }

    /// The theme that the button leads to without a script.
    pub fn other_theme(&self) -> &'static str {
        if self.theme == "dark" { "light" } else { "dark" }
    }

    /// The look of the note.
    pub fn note_class(&self) -> &'static str {
        match self.note.as_ref().map(|note| note.tone) {
            Some(Tone::Warning) => "warn",
            _ => "ok",
        }
    }

    /// A frame for tests.
    pub fn sample(nav: Nav) -> Self {
        let lamp = Lamp {
            dot: "live",
            words: "FTP server listening",
            place: "files.example.com:8021".to_owned(),
            port: ":8021".to_owned(),
            detail: "Explicit TLS, 7 sessions".to_owned(),
        };
        Self {
            nav,
            flows: 10,
            lamp,
            who: "mira.okafor".to_owned(),
            initials: "MO".to_owned(),
            can_edit: true,
            can_admin: true,
            csrf: "token".to_owned(),
            theme: "",
            here: "/flows".to_owned(),
            note: Some(Note::done("Saved. Applies to the next login.")),
            live: String::new(),
            files: addresses(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

impl Lamp {
    /// The lamp for a state of the listener.
    pub fn of(ctx: &Ctx, state: &ListenerState) -> Self {
        let snapshot = ctx.state.live.snapshot();
        let port = state.address.rsplit_once(':').map_or_else(String::new, |(_, port)| format!(":{port}"));
        let (dot, words) = match state.state {
            State::Listening => ("live", "FTP server listening"),
            State::Stopped => ("", "FTP server stopped"),
            State::CouldNotBind => ("bad", "FTP server could not bind"),
        };
        let place = if port.is_empty() { "nowhere".to_owned() } else { format!("{}{port}", public_host(ctx)) };
        let sessions = u64::try_from(ctx.state.presence.count()).unwrap_or(u64::MAX);
        let detail = format!("{}, {}", tls_words(&snapshot.profile), human::count(sessions, "session", "sessions"));
        Self { dot, words, place, port, detail }
    }
}

/// How connections of this profile are encrypted, in words.
pub fn tls_words(profile: &Profile) -> &'static str {
    match profile.ftp_over_tls {
        FtpOverTls::None => "No TLS",
        FtpOverTls::Explicit => "Explicit TLS",
        FtpOverTls::Implicit => "Implicit TLS",
    }
}

/// The host name that partners connect to: the one that is set, or the one this page was asked for under.
pub fn public_host(ctx: &Ctx) -> String {
    match &ctx.state.live.snapshot().appliance.public_host {
        Some(HostOrAddress::Host(name)) => name.clone(),
        Some(HostOrAddress::Address(address)) => address.to_string(),
        None => ctx.host.clone(),
    }
}

/// Two letters: of the first two words of a name, or its first two.
fn initials(name: &str) -> String {
    let words: Vec<&str> = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let letters: String = match words.as_slice() {
        [first, second, ..] => first.chars().take(1).chain(second.chars().take(1)).collect(),
        _ => name.chars().take(2).collect(),
    };
    letters.to_uppercase()
}

/// Ids that samples show.
pub(super) fn sample_ids() -> IdSource {
    IdSource::seeded(crate::base::clock::Clock::fixed(crate::base::clock::Timestamp::from_us(1_774_000_000_000_000)), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initials_are_two_letters() {
        assert_eq!(initials("mira.okafor"), "MO");
        assert_eq!(initials("admin"), "AD");
        assert_eq!(initials("x"), "X");
    }
}
