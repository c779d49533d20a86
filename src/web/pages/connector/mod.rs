//! One connector: its settings on two tabs, its connection details, a new password, and the two steps to delete it.

mod preview;
mod removal;

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::{Redirect, Response};
use serde::Deserialize;

use super::flows::state_of;
use super::profile::{FilterTry, judged};
use crate::access::password;
use crate::base::clock::Timestamp;
use crate::base::human;
use crate::base::secret::Secret;
use crate::domain::administrator::check_password;
use crate::domain::connector::{ConnectorId, ConnectorSettings};
use crate::domain::setting::{Mistake, Texts, Value};
use crate::store::connector::{self as stored_connector, Edit};
use crate::store::live::LiveConnector;
use crate::store::setting::{self, SaveError, Scope, Stored};
use crate::web::context::{Ctx, ok, page};
use crate::web::csrf::Posted;
use crate::web::error::WebError;
use crate::web::form::{self, FormState, Kind, OWN};
use crate::web::layout::{CONNECTOR_ADVANCED, CONNECTOR_SETTINGS, SectionSpec};
use crate::web::notes::{Note, Tone};
use crate::web::shell::{Nav, Shell, public_host, tls_words};
use crate::web::view::{Badge, Moment};

pub use preview::Preview;
pub use removal::{RemovePage, ask as ask_remove, submit as remove};

/// A tab of a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    /// What few need.
    Advanced,
    /// What came from the partner.
    Receive,
    /// What everybody needs.
    Settings,
}

impl Tab {
    const fn layout(self) -> &'static [SectionSpec] {
        match self {
            Self::Advanced => CONNECTOR_ADVANCED,
            Self::Settings => CONNECTOR_SETTINGS,
            Self::Receive => &[],
        }
    }

    /// The end of its address.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Advanced => "advanced",
            Self::Receive => "receive",
            Self::Settings => "settings",
        }
    }
}

/// The head of a connector's pages.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its id.
    pub id: String,
    /// Its description.
    pub description: String,
    /// Its group.
    pub group: String,
    /// Enabled, disabled, expired.
    pub state: Badge,
    /// Its live sessions in words; empty for none.
    pub sessions: String,
    /// The tab that is open.
    pub tab: Tab,
}

impl Head {
    /// The head for a connector.
    pub fn of(ctx: &Ctx, live: &LiveConnector, tab: Tab) -> Self {
        let id = live.connector.id.as_str();
        let sessions = ctx.state.presence.sessions();
        let count = sessions.iter().filter(|session| session.doing.connector.as_deref() == Some(id)).count();
        let words = human::count(u64::try_from(count).unwrap_or(u64::MAX), "live session", "live sessions");
        Self {
            id: id.to_owned(),
            description: live.connector.settings.description.as_str().to_owned(),
            group: live.connector.settings.group.as_str().to_owned(),
            state: state_of(ctx, live),
            sessions: if count == 0 { String::new() } else { words },
            tab,
        }
    }

    /// Whether that tab is open.
    pub fn is(&self, name: &str) -> bool {
        self.tab.name() == name
    }

    /// A head for tests.
    pub fn sample(tab: Tab) -> Self {
        Self {
            id: "acme-edi".to_owned(),
            description: "Acme <b>Industrial</b>".to_owned(),
            group: "EDI partners".to_owned(),
            state: Badge::new("ok", "Enabled"),
            sessions: "1 live session".to_owned(),
            tab,
        }
    }
}

/// What the partner needs to connect.
#[derive(Clone, Debug)]
pub struct Details {
    /// The host.
    pub host: String,
    /// The port.
    pub port: String,
    /// How connections are encrypted.
    pub mode: String,
    /// How long the older password stays valid; empty: there is none.
    pub older: String,
    /// When the password was set; none: there is no password.
    pub password_set: Option<Moment>,
}

/// The page of both tabs.
#[derive(Debug, Template)]
#[template(path = "connector.html")]
pub struct ConnectorPage {
    shell: Shell,
    head: Head,
    form: FormState,
    details: Details,
    password_mistake: String,
    profile_filter: String,
    tried: FilterTry,
    preview: Preview,
}

impl ConnectorPage {
    /// The field of that key, for parts that place their fields themselves.
    pub fn is_on(&self, key: &str) -> bool {
        let mut fields = self.form.sections.iter().flat_map(|section| &section.fields);
        fields.any(|field| field.key == key && field.is_on())
    }

    /// A page for tests.
    pub fn sample(tab: Tab) -> Self {
        let mut form = FormState::new(tab.layout(), ConnectorSettings::SETTINGS, &Texts::new(), 2);
        let mut mistakes = vec![
            Mistake::new("allowed_addresses", "line 2: 10.0.0.0/40 isn't a range"),
            Mistake::new("receive_alias", "box is the alias of Send too"),
        ];
        if tab == Tab::Settings {
            mistakes.push(Mistake::new("password", "Password needs at least 12 characters; what you typed had 7"));
        }
        form.refuse(mistakes, ConnectorSettings::SETTINGS);
        form.warn(vec![Mistake::new("receive_write", "nobody can upload to it")]);
        Self {
            shell: Shell::sample(Nav::Flows),
            head: Head::sample(tab),
            form,
            details: Details {
                host: "files.example.com".to_owned(),
                port: "8021".to_owned(),
                mode: "FTP, explicit TLS".to_owned(),
                older: "The older password is valid for 3 hours".to_owned(),
                password_set: Some(Moment::whole(Timestamp::default(), Timestamp::default())),
            },
            password_mistake: "Password needs at least 12 characters".to_owned(),
            profile_filter: "*.x12".to_owned(),
            tried: FilterTry { name: "a.x12".to_owned(), passes: false, said: "Refused".to_owned() },
            preview: Preview::sample(),
        }
    }
}

/// What may be tried on the Advanced tab.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// A file name for the filter.
    name: String,
    /// A scheme to preview instead of the stored one.
    scheme: Option<String>,
}

/// The connector of an address, or the page that says there is none.
pub(super) fn find(ctx: &Ctx, id: &str) -> Result<std::sync::Arc<LiveConnector>, WebError> {
    let snapshot = ctx.state.live.snapshot();
    snapshot.connector(id).cloned().ok_or_else(|| WebError::no_connector(id))
}

/// `/connectors/{id}` leads to its settings.
pub async fn home(ctx: Ctx, Path(id): Path<String>) -> Result<Redirect, WebError> {
    let live = find(&ctx, &id)?;
    Ok(Redirect::to(&format!("/connectors/{}/settings", live.connector.id)))
}

/// The Settings tab.
pub async fn settings(ctx: Ctx, Path(id): Path<String>) -> Result<Response, WebError> {
    show(&ctx, &id, Tab::Settings, Asked::default()).await
}

/// The Advanced tab.
pub async fn advanced(ctx: Ctx, Path(id): Path<String>, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    show(&ctx, &id, Tab::Advanced, asked).await
}

async fn show(ctx: &Ctx, id: &str, tab: Tab, asked: Asked) -> Result<Response, WebError> {
    let live = find(ctx, id)?;
    let stored = load(ctx, &live.connector.id).await?;
    let mut form = FormState::new(tab.layout(), ConnectorSettings::SETTINGS, &stored.texts, stored.version);
    form.warn(live.connector.settings.warnings(&ctx.state.live.snapshot().profile));
    ok(&build(ctx, &live, tab, form, asked).await?)
}

async fn load(ctx: &Ctx, id: &ConnectorId) -> Result<Stored, WebError> {
    Ok(setting::load(&ctx.state.db, Scope::Connector(id.key())).await?)
}

async fn build(
    ctx: &Ctx,
    live: &LiveConnector,
    tab: Tab,
    mut form: FormState,
    asked: Asked,
) -> Result<ConnectorPage, WebError> {
    let snapshot = ctx.state.live.snapshot();
    let connector = &live.connector;
    for (key, folder) in
        [("input_folder", connector.input_folder_text()), ("output_folder", connector.output_folder_text())]
    {
        if let Some(field) = form.field_mut(key) {
            field.note = format!("Now {folder}");
        }
    }
    let profile_filter = snapshot.profile.allowed_files_filter.text();
    if let Some(field) = form.field_mut("allowed_files_filter") {
        field.note = if profile_filter.is_empty() { "Accepts every name".to_owned() } else { profile_filter.clone() };
    }
    let scheme = asked.scheme.or_else(|| form.field_mut("local_file_scheme").map(|field| field.value.clone()));
    let password = live.passwords.first();
    let now = ctx.now();
    let older = live.passwords.get(1).and_then(|older| older.valid_until);
    let port = snapshot.profile.port.get().to_string();
    Ok(ConnectorPage {
        shell: Shell::of(ctx, Nav::Flows).await?,
        head: Head::of(ctx, live, tab),
        details: Details {
            host: public_host(ctx),
            port,
            mode: format!("FTP, {}", tls_words(&snapshot.profile).to_lowercase().replace("tls", "TLS")),
            older: older.map_or_else(String::new, |until| {
                format!("The older password stays valid for {}.", human::duration(until.since(now)))
            }),
            password_set: password.map(|password| Moment::whole(password.set_at, now)),
        },
        password_mistake: form.problems.iter().find(|p| p.id == "password").map(|p| p.text.clone()).unwrap_or_default(),
        tried: judged(&connector.filter(&snapshot.profile).text(), &asked.name),
        profile_filter: if profile_filter.is_empty() { "every name".to_owned() } else { profile_filter },
        preview: Preview::of(ctx, live, scheme.as_deref().unwrap_or_default()),
        form,
    })
}

/// Saves the Settings tab.
pub async fn save_settings(ctx: Ctx, Path(id): Path<String>, posted: Posted) -> Result<Response, WebError> {
    save(&ctx, &id, Tab::Settings, &posted).await
}

/// Saves the Advanced tab.
pub async fn save_advanced(ctx: Ctx, Path(id): Path<String>, posted: Posted) -> Result<Response, WebError> {
    save(&ctx, &id, Tab::Advanced, &posted).await
}

async fn save(ctx: &Ctx, id: &str, tab: Tab, posted: &Posted) -> Result<Response, WebError> {
    let live = find(ctx, id)?;
    let id = &live.connector.id;
    let typed = form::typed(tab.layout(), ConnectorSettings::SETTINGS, posted);
    let password = Some(posted.secret("password")).filter(|typed| tab == Tab::Settings && !typed.is_empty());
    let mistake = password.as_ref().and_then(|typed| check_password(typed.reveal(), id.as_str()).err());
    let address = format!("/connectors/{id}/{}", tab.name());
    let stored = load(ctx, id).await?;
    let changed = form::changed(&typed, &stored.texts, ConnectorSettings::SETTINGS);
    if changed.is_empty() && password.is_none() {
        return Ok(ctx.go(&address, Note::done("Nothing was changed, so nothing was saved.")));
    }
    let saved = match mistake {
        Some(message) => Err(refused_with(&stored, &typed, message)),
        None => write(ctx, &live, changed, form::version(posted), password).await,
    };
    match saved {
        Ok(()) => {
            ctx.state.live.refresh().await?;
            Ok(ctx.go(&address, Note::done("Saved. Applies to the next command or login it concerns.")))
        }
        Err(SaveError::Mistakes(mistakes)) => {
            let version = form::version(posted).unwrap_or(stored.version);
            let mut form = FormState::new(tab.layout(), ConnectorSettings::SETTINGS, &typed, version);
            form.refuse(mistakes, ConnectorSettings::SETTINGS);
            form.count_dirty(&stored.texts, ConnectorSettings::SETTINGS);
            page(StatusCode::UNPROCESSABLE_ENTITY, &build(ctx, &live, tab, form, Asked::default()).await?)
        }
        Err(SaveError::Stale(stored)) => {
            let mut form = FormState::new(tab.layout(), ConnectorSettings::SETTINGS, &typed, stored.version);
            form.meet(&stored, ConnectorSettings::SETTINGS, Moment::whole(stored.changed_at, ctx.now()).text);
            form.count_dirty(&stored.texts, ConnectorSettings::SETTINGS);
            page(StatusCode::CONFLICT, &build(ctx, &live, tab, form, Asked::default()).await?)
        }
        Err(error @ SaveError::Store(_)) => Err(WebError::internal(error)),
    }
}

/// A password that cannot be, told together with what is wrong with the settings.
fn refused_with(stored: &Stored, typed: &Texts, message: String) -> SaveError {
    let mut merged = stored.texts.clone();
    merged.extend(typed.clone());
    let mut mistakes = ConnectorSettings::parse(&merged).err().unwrap_or_default();
    mistakes.insert(0, Mistake::new("password", message));
    SaveError::Mistakes(mistakes)
}

async fn write(
    ctx: &Ctx,
    live: &LiveConnector,
    values: Texts,
    expected_version: Option<i64>,
    password: Option<Secret>,
) -> Result<(), SaveError> {
    let failed = |error: password::HashError| SaveError::Store(crate::store::StoreError::Unreadable(error.to_string()));
    let hash = match password {
        Some(password) => Some(ctx.state.gate.hasher().hash(&password).await.map_err(failed)?),
        None => None,
    };
    let overlap = live.connector.settings.password_overlap_h.hours();
    let older_until = (!overlap.is_zero()).then(|| ctx.now().plus(overlap));
    let edit = Edit { values, expected_version, password_hash: hash.as_deref(), older_until };
    let remote = ctx.remote();
    stored_connector::save(&ctx.state.db, &live.connector.id, &edit, &ctx.change(&remote)).await
}

/// Sets a new password that nobody has typed; the page shows it once.
pub async fn generate_password(ctx: Ctx, Path(id): Path<String>, _posted: Posted) -> Result<Response, WebError> {
    let live = find(&ctx, &id)?;
    let id = &live.connector.id;
    let secret = password::generate();
    write(&ctx, &live, Texts::new(), None, Some(secret.clone())).await.map_err(WebError::internal)?;
    ctx.state.live.refresh().await?;
    let note = Note {
        tone: Tone::Done,
        text: format!("{id} has a new password. It is shown this once: copy it for the partner."),
        password: Some(secret),
    };
    Ok(ctx.go(&format!("/connectors/{id}/settings"), note))
}
