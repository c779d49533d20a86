//! One connector: its settings on three tabs, its password, its removal.

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::flows::Flow;
use super::folder_size;
use super::head::{self, Head};
use super::kept::Row;
use super::mail;
use super::preview::Preview;
use super::send::in_force;
use super::sheet::{self, Stand};
use super::test_connection;
use super::what_if;
use crate::access::connecting::Wanted;
use crate::access::password;
use crate::base::human;
use crate::base::secret::Secret;
use crate::base::words::words;
use crate::domain::connector::{Connector, ConnectorId, ConnectorSettings, check_credential, type_of};
use crate::domain::place::Folder;
use crate::domain::setting::{Mistake, Value, merged};
use crate::domain::sheet::Sheet;
use crate::domain::value::ConnectorType;
use crate::store::connector::{self, StoredConnector};
use crate::store::delivery_page;
use crate::store::live::Snapshot;
use crate::store::receipt::{self, Search};
use crate::transfer::retention;
use crate::web::change::{self, may_edit};
use crate::web::context::Context;
use crate::web::csrf::Posted;
use crate::web::draft::{Draft, DraftView};
use crate::web::error::WebError;
use crate::web::form::{Field, Kind, Look, Problem, Section, SectionView, own_is_chosen, warnings};
use crate::web::notes::Note;
use crate::web::shell::{Nav, Shell, html};
use crate::web::tone::Tone;

const SETTINGS: &[Section] = &[
    Section::new("Partner", &["description", "group"]),
    Section::new("Permissions", &["send_read", "send_write", "receive_read", "receive_write"])
        .saying("From the partner’s side: Read lets them list and download, Write lets them upload, rename and delete.")
        .looking(Look::Pairs),
    Section::new(
        "Access",
        &["require_tls", "allowed_addresses", "enabled", "valid_from", "valid_until", "password_overlap_h"],
    ),
];

const ADVANCED: &[Section] = &[
    Section::new(
        "Folders and names",
        &[
            "input_folder",
            "output_folder",
            "received_file_mode",
            "allowed_files_filter",
            "temp_receive_extensions",
            "local_file_scheme",
            "save_subfolder",
        ],
    ),
    Section::new(
        "Receiving",
        &["overwrite", "append", "ascii_uploads", "settle_s", "file_bytes_max", "quota_bytes", "quota_files"],
    ),
    Section::new(
        "Sending",
        &[
            "send_settle_s",
            "keep_order",
            "delete_collected",
            "remove_file_after_send",
            "save_to_sent_folder",
            "sent_folder_scheme",
        ],
    ),
    Section::new(
        "Connections",
        &[
            "timeout_s",
            "stall_timeout_s",
            "sessions_max",
            "upload_bytes_per_s",
            "download_bytes_per_s",
            "active_mode",
            "tls_session_reuse",
            "tls_end",
            "client_certificate",
            "client_certificate_match",
        ],
    ),
    Section::new(
        "For older clients",
        &["start_folder", "send_alias", "receive_alias", "name_encoding", "list_time_zone"],
    )
    .saying("What scripts and devices of this partner expect.")
    .looking(Look::Folded),
    Section::new("How long records are kept", &["receipts_keep_days", "transfers_keep_days", "sent_keep_days"])
        .saying("For this partner only."),
    Section::new("Logging", &["log_level", "log_subfolder_scheme", "log_messages"]),
];

const ALERTS: &[Section] = &[
    Section::new("Alerts", &["alerts"]).saying("Who is told when something is wrong with this partner, and of what."),
    Section::new("Letters", &["alert_subject", "alert_to"]).saying("For own alerts. By the server of Profiles, Mail."),
    Section::new("What is told", &["alert_on", "alert_refusals_per_hour", "alert_not_seen_days"])
        .saying("For own alerts."),
];

const FOLDER: &[Section] = &[
    Section::new("Connector", &["description", "group", "enabled"]),
    Section::new("Folder", &["folder", "keep_days", "overwrite", "received_file_mode"]).saying(
        "Files that are passed along to this connector land here, each whole and synced before it has its name.",
    ),
    Section::new("Delivery", &["keep_order"]),
];

const WEBHOOK: &[Section] = &[
    Section::new("Connector", &["description", "group", "enabled"]),
    Section::new("Webhook", &["url", "body", "keep_order"])
        .saying("Each file that is passed along here is posted, signed, until the receiver answers with 2xx."),
];

const COMMAND: &[Section] = &[
    Section::new("Connector", &["description", "group", "enabled"]),
    Section::new("Command", &["program", "arguments", "keep_order"]).saying(
        "A program is run for each file that is passed along here, until it ends with status 0. It works in an empty \
         folder that goes afterwards, without a shell, with nothing in its environment but PATH, for a minute at most.",
    ),
];

/// The setting that follows the profile's or has its own value.
const FILTER: &str = "allowed_files_filter";

/// The settings that decide how long things are kept.
const KEEPING: &[&str] = &["keep_days", "receipts_keep_days", "transfers_keep_days", "sent_keep_days"];

words! {
    /// Which tab.
    enum Tab {
        Settings = "settings";
        Advanced = "advanced";
        Alerts = "alerts";
    }
}

impl Tab {
    const fn sections(self, kind: ConnectorType) -> &'static [Section] {
        match (kind, self) {
            (ConnectorType::Folder, _) => FOLDER,
            (ConnectorType::Webhook, _) => WEBHOOK,
            (ConnectorType::Command, _) => COMMAND,
            (_, Self::Settings) => SETTINGS,
            (_, Self::Advanced) => ADVANCED,
            (_, Self::Alerts) => ALERTS,
        }
    }
}

#[derive(Template)]
#[template(path = "connector.html")]
struct ConnectorPage {
    shell: Shell,
    head: Head,
    id: String,
    tab: &'static str,
    sections: Vec<SectionView>,
    keys: String,
    draft: DraftView,
    password_error: String,
    warnings: Vec<Problem>,
    /// What the partner needs to connect.
    sheet: Sheet,
    stand: Stand,
    report: Option<test_connection::Shown>,
    may_edit: bool,
    preview: Option<Preview>,
    /// Whether something here has a retention.
    may_preview: bool,
    /// What the typed settings would remove; shown on request.
    kept: Option<Vec<Row>>,
    what_if: what_if::Form,
    flow: Flow,
    /// Disabling it needs confirmation: what waits for it is among the problems.
    asks_first: bool,
    /// On the Alerts tab: who is told at present.
    told: Option<Told>,
}

/// Who is told of a partner's problems, by the saved settings.
struct Told {
    /// Recipients; empty if there are none.
    to: String,
    /// Whether there are several.
    are_many: bool,
    /// Whether mail can be sent at all.
    is_set: bool,
}

/// What can be tried on the Advanced tab.
#[derive(Debug, Default, Deserialize)]
pub struct Tried {
    scheme: Option<String>,
}

/// The connector of that id; its id as written.
pub async fn find(context: &Context, id: &str) -> Result<StoredConnector, WebError> {
    let found = connector::find(&context.state.db, &id.to_ascii_lowercase()).await?;
    found.ok_or_else(|| WebError::no_connector(id))
}

async fn page(context: &Context, found: &StoredConnector, tab: Tab, draft: &Draft) -> Result<ConnectorPage, WebError> {
    let snapshot = context.state.live.snapshot();
    let live = snapshot.connector(found.id.as_str());
    let settings = live.map(|live| live.connector.settings.clone()).unwrap_or_default();
    let all = tab.sections(settings.r#type);
    let connector = Connector { id: found.id.clone(), version: found.stored.version, settings: settings.clone() };
    let mut sections = draft.form.sections(ConnectorSettings::SETTINGS, all);
    for field in sections.iter_mut().flat_map(|section| &mut section.fields) {
        dress(context, field, (&connector, &snapshot)).await;
    }
    let keys = Section::keys(all);
    let (sheet, stand) = sheet::of(context, &snapshot, &connector).await?;
    Ok(ConnectorPage {
        shell: Shell::new(context, draft.title(&format!("{} {}", found.id, tab.name())), Nav::Flows).await?,
        id: found.id.to_string(),
        tab: tab.name(),
        head: Head::new(context, &found.id, tab.name()).await?,
        sections,
        keys: keys.join(","),
        draft: draft.view(),
        password_error: draft.form.mistakes.get("password").cloned().unwrap_or_default(),
        warnings: warnings(settings.warnings(&snapshot.profile), ConnectorSettings::SETTINGS),
        sheet,
        stand,
        report: test_connection::last(context, &found.id),
        may_edit: may_edit(context, settings.r#type).is_ok(),
        preview: None,
        may_preview: KEEPING.iter().any(|key| keys.contains(key)),
        kept: None,
        what_if: what_if::Form::about(&found.id),
        flow: Flow::of(context, found.id.key()).await?,
        asks_first: false,
        told: (tab == Tab::Alerts).then(|| Told {
            to: mail::alerted(&snapshot.appliance, Some(&settings)).text(),
            are_many: mail::alerted(&snapshot.appliance, Some(&settings)).iter().nth(1).is_some(),
            is_set: mail::is_set(&snapshot.appliance),
        }),
    })
}

/// Explains the present effect of a setting: the profile's filter, where a folder lies and what it contains, whose
/// sessions switching it off would end.
async fn dress(context: &Context, field: &mut Field, (connector, snapshot): (&Connector, &Snapshot)) {
    let of = (snapshot, connector);
    field.note = match field.key {
        FILTER => {
            field.kind = Kind::Own;
            match snapshot.profile.allowed_files_filter.text() {
                text if text.is_empty() => "It has none: every name is accepted.".to_owned(),
                text => text,
            }
        }
        "input_folder" => {
            let holds = folder_size::words(context, of, Folder::Send).await;
            format!("Now {}. {holds}", connector.input_folder_text())
        }
        "output_folder" => {
            let holds = folder_size::words(context, of, Folder::Receive).await;
            format!("Now {}. {holds}", connector.output_folder_text())
        }
        "folder" => format!("Now {}.", connector.folder_text()),
        "enabled" if !connector.is_partner() => {
            field.hint = "Off holds back what is to be passed along here, until it is on again.";
            String::new()
        }
        "enabled" => match head::live_sessions(context, &connector.id) {
            0 => "No session is open now.".to_owned(),
            1 => "1 session is open now and would end.".to_owned(),
            open => format!("{} sessions are open now and would end.", human::thousands(open as u64)),
        },
        _ => String::new(),
    };
}

/// A connector's address redirects to its first tab.
pub async fn first_tab(Path(id): Path<String>) -> Result<Redirect, WebError> {
    let id = ConnectorId::parse(&id).map_err(|_| WebError::not_found())?;
    Ok(Redirect::to(&format!("/connectors/{id}/settings")))
}

/// The Settings tab.
pub async fn settings(context: Context, Path(id): Path<String>) -> Result<Response, WebError> {
    show(&context, &id, Tab::Settings, None).await
}

/// The Advanced tab.
pub async fn advanced(
    context: Context,
    Path(id): Path<String>,
    Query(tried): Query<Tried>,
) -> Result<Response, WebError> {
    show(&context, &id, Tab::Advanced, tried.scheme).await
}

async fn show(context: &Context, id: &str, tab: Tab, tried: Option<String>) -> Result<Response, WebError> {
    let found = find(context, id).await?;
    if tab != Tab::Settings {
        in_force(context, id)?;
    }
    let draft = Draft::stored(found.stored.clone(), ConnectorSettings::SETTINGS);
    let mut page = page(context, &found, tab, &draft).await?;
    if tab == Tab::Advanced {
        let stored = ConnectorSettings::parse(&found.stored.texts).unwrap_or_default().local_file_scheme;
        let scheme = tried.unwrap_or_else(|| stored.text());
        page.preview = Some(Preview::of(context, &found.id, &scheme));
    }
    Ok(html(&page)?.into_response())
}

/// The Alerts tab.
pub async fn alerts(context: Context, Path(id): Path<String>) -> Result<Response, WebError> {
    show(&context, &id, Tab::Alerts, None).await
}

/// *Send test* of the Alerts tab: a letter like this connector's alerts.
pub async fn test_alerts(context: Context, Path(id): Path<String>, _: Posted) -> Result<Response, WebError> {
    let (_, live) = in_force(&context, &id)?;
    let note = mail::send_test(&context, Some(&live.connector.settings)).await;
    let place = format!("/connectors/{}/{}", live.connector.id, Tab::Alerts.name());
    context.leave(&place, note);
    Ok(Redirect::to(&place).into_response())
}

/// Saves one tab; also sets or generates a password.
pub async fn save(context: Context, Path(id): Path<String>, posted: Posted) -> Result<Response, WebError> {
    let found = find(&context, &id).await?;
    let kind = type_of(&found.stored.texts);
    may_edit(&context, kind)?;
    let tab = Tab::parse(posted.text("tab")).unwrap_or(Tab::Settings);
    let mut draft = Draft::typed(&posted, ConnectorSettings::SETTINGS);
    if !posted.text("preview").is_empty() {
        return what_would_go(&context, &found, tab, draft).await;
    }
    let generate = posted.get("generate").is_some();
    let password = match beside_settings(&posted, &found, generate) {
        Ok(password) => password,
        Err(mistake) => {
            // What else is wrong is told at the same time.
            let all = merged(&found.stored.texts, &draft.form.texts);
            draft.form.refuse(ConnectorSettings::parse(&all).err().unwrap_or_default());
            draft.form.refuse(vec![mistake]);
            draft.miss_secret(&posted);
            return draft.answer(&page(&context, &found, tab, &draft).await?);
        }
    };
    let texts = (&found.stored.texts, &draft.form.texts);
    let waits = delivery_page::before_disabling(&context.state.db, &found.id, texts).await?;
    if let Some(problem) = waits.filter(|_| posted.get("anyway").is_none()) {
        draft.form.refuse(vec![Mistake::new("enabled", problem)]);
        draft.miss_secret(&posted);
        let page = ConnectorPage { asks_first: true, ..page(&context, &found, tab, &draft).await? };
        return draft.answer(&page);
    }
    // If nobody signs in there is nothing to set.
    let password = password.filter(|_| kind.credential().is_some());
    let (values, version) = (draft.form.texts.clone(), draft.version());
    let wanted = Wanted { values, version, credential: password.clone() };
    if !draft.settle(change::save_connector(&context, &found, wanted).await?)? {
        draft.miss_secret(&posted);
        return draft.answer(&page(&context, &found, tab, &draft).await?);
    }
    let place = format!("/connectors/{}/{}", found.id, tab.name());
    let note = match password {
        Some(secret) if generate && kind == ConnectorType::Webhook => Note {
            tone: Tone::Good,
            text: "Saved. The new signing secret is shown here once; the receiver needs it now.".to_owned(),
            password: Some(secret),
        },
        _ if tab == Tab::Alerts => Note::done("Saved. In force now."),
        _ if kind != ConnectorType::FtpServer => Note::done("Saved. Applies to the next delivery."),
        Some(password) if generate => Note {
            tone: Tone::Good,
            text: "Saved. The new password is shown here once; give it to the partner now.".to_owned(),
            password: Some(password),
        },
        _ => Note::done("Saved. Applies to the next command or login."),
    };
    context.leave(&place, note);
    Ok(Redirect::to(&place).into_response())
}

/// What saving the typed settings would remove. Removes nothing.
async fn what_would_go(
    context: &Context,
    found: &StoredConnector,
    tab: Tab,
    mut draft: Draft,
) -> Result<Response, WebError> {
    let settings = match ConnectorSettings::parse(&merged(&found.stored.texts, &draft.form.texts)) {
        Ok(settings) => settings,
        Err(mistakes) => {
            draft.form.refuse(mistakes);
            return draft.answer(&page(context, found, tab, &draft).await?);
        }
    };
    let connector = Connector { id: found.id.clone(), version: found.stored.version, settings };
    let due = retention::preview_of(&context.state.depot, &connector, &context.state.live.snapshot()).await?;
    let mut page = page(context, found, tab, &draft).await?;
    page.kept = Some(due.iter().map(Row::of).collect());
    draft.answer(&page)
}

/// The new password, if there is one. The form's parts besides the settings may be wrong, too.
fn beside_settings(posted: &Posted, found: &StoredConnector, generate: bool) -> Result<Option<Secret>, Mistake> {
    if own_is_chosen(posted, FILTER) && posted.text(FILTER).trim().is_empty() {
        let words = "An own filter is to be given: * accepts every name. Or choose the FTP Server profile’s";
        return Err(Mistake::new(FILTER, words));
    }
    if generate {
        return Ok(Some(password::generate()));
    }
    let typed = posted.secret("password");
    if typed.is_empty() {
        return Ok(None);
    }
    check_credential(type_of(&found.stored.texts), &typed, found.id.as_str())
        .map_err(|message| Mistake::new("password", message))?;
    Ok(Some(typed))
}

#[derive(Template)]
#[template(path = "connector_delete.html")]
struct DeletePage {
    shell: Shell,
    id: String,
    /// Counted, like the next two: `2 live sessions end`; empty if there are none.
    sessions: String,
    /// Files waiting to leave it or to come to it.
    waiting: String,
    receipts: String,
    error: String,
}

async fn delete_page(context: &Context, id: &ConnectorId, error: &str) -> Result<DeletePage, WebError> {
    let search = Search { connector_key: Some(id.key().to_owned()), ..Search::default() };
    let title = if error.is_empty() { format!("Delete {id}") } else { format!("Error: Delete {id}") };
    Ok(DeletePage {
        shell: Shell::new(context, title, Nav::Flows).await?,
        id: id.to_string(),
        sessions: counted(head::live_sessions(context, id) as u64, "live session ends", "live sessions end"),
        waiting: counted(
            delivery_page::waiting_of(&context.state.db, id.key()).await?,
            "file that waits to be passed along by it or to it stops waiting",
            "files that wait to be passed along by it or to it stop waiting",
        ),
        receipts: counted(receipt::count(&context.state.db, &search, 1_000_000).await?, "receipt", "receipts"),
        error: error.to_owned(),
    })
}

/// That many, in words; empty for none.
fn counted(n: u64, one: &str, many: &str) -> String {
    if n == 0 { String::new() } else { human::count(n, one, many) }
}

/// What would be lost, before anything is.
pub async fn ask_delete(context: Context, Path(id): Path<String>) -> Result<Response, WebError> {
    let found = find(&context, &id).await?;
    may_edit(&context, type_of(&found.stored.texts))?;
    Ok(html(&delete_page(&context, &found.id, "").await?)?.into_response())
}

/// Deletes it, if its id was typed.
pub async fn delete(context: Context, Path(id): Path<String>, posted: Posted) -> Result<Response, WebError> {
    let state = &context.state;
    let found = find(&context, &id).await?;
    may_edit(&context, type_of(&found.stored.texts))?;
    let typed = posted.text("confirm").trim();
    if typed != found.id.as_str() {
        let error = format!("Type {} to confirm; what you typed was {typed:?}. Nothing was deleted.", found.id);
        let page = delete_page(&context, &found.id, &error).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, html(&page)?).into_response());
    }
    context.changing(async |change| connector::remove(&state.db, &found.id, change).await).await?;
    state.live.refresh().await?;
    context.leave("/flows", Note::done(format!("Deleted {}. Its files and receipts stay.", found.id)));
    Ok(Redirect::to("/flows").into_response())
}
