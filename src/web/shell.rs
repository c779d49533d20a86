//! The frame of every page: navigation, the listener's lamp, who is signed in, the note of the last action.

use askama::Template;
use axum::response::Html;

use super::assets::{Addresses, addresses};
use super::attention;
use super::context::Context;
use super::error::WebError;
use super::live::Followed;
use super::looks::Looks;
use super::notes::Note;
use super::tone::Tone;
use super::unseen;
use crate::domain::administrator::Role;
use crate::domain::value::FtpOverTls;
use crate::store::listener::{self, Listener, State};

/// A page's place in the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nav {
    /// The dashboard.
    Dashboard,
    /// Flows and connectors.
    Flows,
    /// Profiles.
    Profiles,
    /// Activity.
    Activity,
    /// Certificates.
    Certificates,
    /// Administrators and the audit.
    Administrators,
    /// Tokens of the API.
    Tokens,
    /// Settings of the appliance.
    Settings,
    /// None of these.
    Elsewhere,
}

/// The listener's state, in words.
#[derive(Clone, Debug)]
pub struct Lamp {
    /// `live`, `bad` or nothing.
    pub dot: &'static str,
    /// `FTP server listening`.
    pub words: &'static str,
    /// Host and port; empty if there is none.
    pub address: String,
    /// `:8021`, for narrow screens; empty when nowhere.
    pub short: String,
    /// TLS mode and sessions.
    pub detail: String,
}

/// A note, as the page shows it.
#[derive(Clone, Debug)]
pub struct ShownNote {
    /// `ok` or `warn`.
    pub tone: Tone,
    /// What was done.
    pub text: String,
    /// A password to show only this once.
    pub password: String,
}

/// The frame of one page.
#[derive(Clone, Debug)]
pub struct Shell {
    /// The page's title.
    pub title: String,
    /// Where it is in the site.
    pub nav: Nav,
    /// Style, script, icon.
    pub assets: &'static Addresses,
    /// The reader's preferences.
    pub looks: Looks,
    /// The token for every form.
    pub csrf: String,
    /// The signed-in administrator; empty for a stranger.
    pub who: String,
    /// Their initials.
    pub initials: String,
    /// The listener's lamp.
    pub lamp: Lamp,
    /// How many connectors there are.
    pub connectors: usize,
    /// How many matters need attention.
    pub attention: usize,
    /// The note of the last action.
    pub note: Option<ShownNote>,
    /// Whether the reader may open the pages under Administration.
    pub administers: bool,
    /// The page's own path.
    pub path: String,
    /// The address of the page's live updates; empty for a stranger, who gets none.
    pub live: String,
}

impl Shell {
    /// The frame for this request.
    pub async fn new(context: &Context, title: impl Into<String>, nav: Nav) -> Result<Self, WebError> {
        let snapshot = context.state.live.snapshot();
        let who = context.who().to_owned();
        let initials: String = who.split(['.', '-', '_']).filter_map(|part| part.chars().next()).take(2).collect();
        Ok(Self {
            title: title.into(),
            nav,
            assets: addresses(),
            looks: context.visitor.looks,
            csrf: context.visitor.csrf.clone(),
            initials: initials.to_uppercase(),
            lamp: if who.is_empty() { Lamp::dark() } else { Lamp::now(context).await? },
            live: if who.is_empty() { String::new() } else { Followed::Shell.address("") },
            attention: if who.is_empty() { 0 } else { open_matters(context).await? },
            who,
            connectors: snapshot.connectors.len(),
            note: context.note().map(ShownNote::from),
            administers: context.may(Role::Admin),
            path: context.path.clone(),
        })
    }

    /// Whether this page is the dashboard.
    pub fn is_dashboard(&self) -> bool {
        self.nav == Nav::Dashboard
    }

    /// Whether this page is among the flows.
    pub fn is_flows(&self) -> bool {
        self.nav == Nav::Flows
    }

    /// Whether this page is among the profiles.
    pub fn is_profiles(&self) -> bool {
        self.nav == Nav::Profiles
    }

    /// Whether this page is among the activity.
    pub fn is_activity(&self) -> bool {
        self.nav == Nav::Activity
    }

    /// Whether this page is among the certificates.
    pub fn is_certificates(&self) -> bool {
        self.nav == Nav::Certificates
    }

    /// Whether this page is among administrators and audit.
    pub fn is_administrators(&self) -> bool {
        self.nav == Nav::Administrators
    }

    /// Whether this page is among the tokens.
    pub fn is_tokens(&self) -> bool {
        self.nav == Nav::Tokens
    }

    /// Whether this page is the settings.
    pub fn is_settings(&self) -> bool {
        self.nav == Nav::Settings
    }
}

impl Lamp {
    fn dark() -> Self {
        Self { dot: "", words: "", address: String::new(), short: String::new(), detail: String::new() }
    }

    /// The present lamp.
    pub async fn now(context: &Context) -> Result<Self, WebError> {
        let state = listener::get(&context.state.db, Listener::Ftp).await?;
        let snapshot = context.state.live.snapshot();
        let host = snapshot.appliance.public_host.as_ref().map(ToString::to_string);
        // The profile has the wish; a port that could not be had is nobody's to connect to.
        let port = state.address.rsplit_once(':').map(|(_, port)| port.to_owned());
        let (dot, words) = match state.state {
            State::Listening => ("live", "FTP server listening"),
            State::Stopped => ("", "FTP server stopped"),
            State::CouldNotBind => ("bad", "FTP server could not bind"),
        };
        let tls = match snapshot.profile.ftp_over_tls {
            FtpOverTls::None => "No TLS",
            FtpOverTls::Explicit => "Explicit TLS",
            FtpOverTls::Implicit => "Implicit TLS",
        };
        let sessions = crate::base::human::count(context.state.presence.count() as u64, "session", "sessions");
        Ok(Self {
            dot,
            words,
            short: port.as_ref().map(|port| format!(":{port}")).unwrap_or_default(),
            address: host.zip(port).map_or(state.address, |(host, port)| format!("{host}:{port}")),
            detail: format!("{tls} · {sessions}"),
        })
    }
}

impl From<Note> for ShownNote {
    fn from(note: Note) -> Self {
        Self {
            tone: note.tone,
            text: note.text,
            password: note.password.map(|secret| secret.reveal().to_owned()).unwrap_or_default(),
        }
    }
}

async fn open_matters(context: &Context) -> Result<usize, WebError> {
    let matters = attention::matters(context).await?;
    Ok(matters.iter().filter(|matter| !matter.is_snoozed()).count())
}

/// Renders a page.
pub fn html(page: &impl Template) -> Result<Html<String>, WebError> {
    Ok(Html(unseen::mark(page.render()?)))
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    shell: Shell,
    title: String,
    text: String,
}

#[derive(Template)]
#[template(path = "error_outside.html")]
struct OutsideErrorPage {
    shell: Shell,
    title: String,
    text: String,
}

/// The page of an error.
pub async fn error_page(context: &Context, error: &WebError) -> Result<Html<String>, WebError> {
    let shell = Shell::new(context, error.title.clone(), Nav::Elsewhere).await?;
    let (title, text) = (error.title.clone(), error.text.clone());
    if context.visitor.session.is_some() {
        html(&ErrorPage { shell, title, text })
    } else {
        html(&OutsideErrorPage { shell, title, text })
    }
}
