//! The table of every route and who may use it. A route outside it does not exist; a test tries each as a stranger.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};
use tower_http::timeout::TimeoutLayer;

use super::context::Visitor;
use super::error::WebError;
use super::pages::{
    acme, app_log, as_partner, audit, automation, backup, blocked, certificates, connectors, dashboard,
    event_deliveries, event_targets, events, flows, health, logs, mail, me, profiles, receive, refusals, restore,
    saved_views, send, session, sessions, settings, settings_text, setup, sheet, sign_in, slas, test_connection,
    tokens, transfers, unfinished, users, what_if,
};
use super::state::WebState;
use super::{api, assets, landing, layers, live};
use crate::access::certificate::FILE_BYTES_MAX;
use crate::domain::administrator::Role;
use crate::store::settings_file::FILE_BYTES_MAX as FILE_OF_SETTINGS_BYTES_MAX;

/// Bytes of one form.
pub const FORM_BYTES_MAX: usize = 256 * 1024;
/// Bytes of one form with files: a certificate, its key, and what is around them.
pub const UPLOAD_BYTES_MAX: usize = 2 * FILE_BYTES_MAX + FORM_BYTES_MAX;
/// Bytes of one form with files for a partner's folders.
pub const SENT_BYTES_MAX: usize = 64 * 1024 * 1024 * 1024;
/// A request must be answered within this time, unless it streams.
pub const REQUEST_WITHIN: std::time::Duration = std::time::Duration::from_secs(30);

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Anyone,
    /// Everybody, while there is no administrator; the handler decides.
    Setup,
    /// Anyone signed in with at least this role.
    Role(Role),
}

/// One route.
#[derive(Debug)]
pub struct Route {
    /// Its path.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
    /// Its handlers.
    pub methods: fn() -> MethodRouter<WebState>,
    /// How long an answer may take.
    pub pace: Pace,
}

/// How long an answer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// [`REQUEST_WITHIN`].
    Quick,
    /// As long as the browser keeps sending files without a long pause (`csrf::Streamed`), or as long as the chosen
    /// work takes: a limited number of files, or one backup.
    Streams,
}

const fn anyone(path: &'static str, methods: fn() -> MethodRouter<WebState>) -> Route {
    Route { path, access: Access::Anyone, methods, pace: Pace::Quick }
}

const fn viewer(path: &'static str, methods: fn() -> MethodRouter<WebState>) -> Route {
    Route { path, access: Access::Role(Role::Viewer), methods, pace: Pace::Quick }
}

const fn editor(path: &'static str, methods: fn() -> MethodRouter<WebState>) -> Route {
    Route { path, access: Access::Role(Role::Editor), methods, pace: Pace::Quick }
}

const fn admin(path: &'static str, methods: fn() -> MethodRouter<WebState>) -> Route {
    Route { path, access: Access::Role(Role::Admin), methods, pace: Pace::Quick }
}

/// Receives files that go to disk as they come, acts on many files, or makes or reads a whole backup.
const fn at_length(role: Role, path: &'static str, methods: fn() -> MethodRouter<WebState>) -> Route {
    Route { path, access: Access::Role(role), methods, pace: Pace::Streams }
}

/// Receives files: more bytes than other forms.
fn files(methods: MethodRouter<WebState>) -> MethodRouter<WebState> {
    methods.layer(DefaultBodyLimit::max(UPLOAD_BYTES_MAX))
}

/// Receives a file of settings.
fn settings_files(methods: MethodRouter<WebState>) -> MethodRouter<WebState> {
    methods.layer(DefaultBodyLimit::max(FILE_OF_SETTINGS_BYTES_MAX + FORM_BYTES_MAX))
}

/// Every route.
pub const ROUTES: &[Route] = &[
    anyone("/healthz", || get(health::show)),
    anyone("/static/{name}", || get(assets::get)),
    anyone("/sign-in", || get(sign_in::show).post(sign_in::submit)),
    anyone("/sign-in/code", || get(async || Redirect::to("/sign-in")).post(sign_in::code)),
    anyone("/theme", || post(sign_in::theme)),
    Route {
        path: "/setup",
        access: Access::Setup,
        methods: || get(setup::show).post(setup::submit),
        pace: Pace::Quick,
    },
    viewer("/live/{page}", || get(live::stream)),
    viewer("/sign-out", || post(sign_in::sign_out)),
    viewer("/me", || get(me::show)),
    viewer("/me/looks", || post(me::looks)),
    viewer("/me/password", || post(me::password)),
    viewer("/me/second-factor", || post(me::begin)),
    viewer("/me/second-factor/confirm", || post(me::confirm)),
    viewer("/me/second-factor/codes", || post(me::codes)),
    viewer("/me/second-factor/off", || post(me::off)),
    viewer("/me/browsers", || post(me::end_browsers)),
    viewer("/", || get(dashboard::show)),
    editor("/attention/snooze", || post(dashboard::snooze)),
    viewer("/flows", || get(flows::show)),
    editor("/flows/enable", || post(flows::enable)),
    editor("/flows/connect", || post(flows::connect)),
    editor("/flows/disconnect", || get(flows::ask_disconnect).post(flows::disconnect)),
    editor("/connectors", || post(flows::add)),
    viewer("/connectors/{id}", || get(connectors::first_tab)),
    viewer("/connectors/{id}/settings", || get(connectors::settings)),
    viewer("/connectors/{id}/advanced", || get(connectors::advanced)),
    viewer("/connectors/{id}/alerts", || get(connectors::alerts)),
    editor("/connectors/{id}/alerts/test", || post(connectors::test_alerts)),
    editor("/connectors/{id}/save", || post(connectors::save)),
    viewer("/connectors/{id}/sheet", || get(sheet::show)),
    editor("/connectors/{id}/sheet/given", || post(sheet::give)),
    viewer("/connectors/{id}/sheet.txt", || get(sheet::text)),
    viewer("/connectors/{id}/filezilla.xml", || get(sheet::filezilla)),
    viewer("/connectors/{id}/test", || get(test_connection::show)),
    editor("/connectors/{id}/test/start", || post(test_connection::start)),
    editor("/connectors/{id}/delete", || get(connectors::ask_delete).post(connectors::delete)),
    viewer("/connectors/{id}/receive", || get(receive::of_connector)),
    editor("/connectors/{id}/receive/upload", || get(as_partner::show)),
    at_length(Role::Editor, "/connectors/{id}/receive/add", || {
        post(as_partner::add).layer(DefaultBodyLimit::max(SENT_BYTES_MAX))
    }),
    viewer("/connectors/{id}/send", || get(send::show)),
    at_length(Role::Editor, "/connectors/{id}/send/add", || {
        post(send::add).layer(DefaultBodyLimit::max(SENT_BYTES_MAX))
    }),
    editor("/connectors/{id}/send/remove", || post(send::remove)),
    viewer("/connectors/{id}/slas", || get(slas::show)),
    editor("/connectors/{id}/slas/save", || post(slas::save)),
    editor("/connectors/{id}/slas/remove", || post(slas::remove)),
    viewer("/connectors/{id}/automation", || get(automation::show)),
    editor("/connectors/{id}/automation/save", || post(automation::save)),
    editor("/connectors/{id}/automation/remove", || post(automation::remove)),
    viewer("/connectors/{id}/logs", || get(logs::of_connector)),
    viewer("/profiles", || get(async || Redirect::to("/profiles/ftp"))),
    viewer("/profiles/ftp", || get(profiles::show)),
    admin("/profiles/ftp/save", || post(profiles::save)),
    viewer("/profiles/ftp/filter-test", || get(profiles::filter_test)),
    viewer("/profiles/mail", || get(mail::show)),
    admin("/profiles/mail/save", || post(mail::save)),
    admin("/profiles/mail/test", || post(mail::test)),
    viewer("/profiles/events", || get(event_targets::show)),
    admin("/profiles/events/save", || post(event_targets::save)),
    admin("/profiles/events/remove", || post(event_targets::remove)),
    admin("/profiles/events/test", || post(event_targets::test)),
    viewer("/activity", || get(async || Redirect::to("/activity/receive"))),
    viewer("/activity/receive", || get(receive::show)),
    viewer("/activity/receive/{id}", || get(receive::one)),
    viewer("/activity/events/{id}", || get(events::one)),
    editor("/activity/events/deliveries", || get(event_deliveries::ask).post(event_deliveries::act)),
    editor("/activity/receive/{id}/file", || get(receive::file)),
    at_length(Role::Editor, "/activity/receive/chosen", || post(receive::choose)),
    editor("/deliveries/{id}/fire", || post(receive::fire)),
    editor("/deliveries/{id}/stop", || post(receive::stop)),
    editor("/deliveries/{id}/again", || post(receive::again)),
    viewer("/activity/receive.csv", || get(receive::export)),
    viewer("/activity/transfers", || get(transfers::show)),
    viewer("/activity/transfers.csv", || get(transfers::export)),
    viewer("/activity/unfinished", || get(unfinished::show)),
    editor("/activity/unfinished/{id}/{part}/discard", || post(unfinished::discard)),
    viewer("/activity/sessions", || get(sessions::show)),
    viewer("/activity/sessions.csv", || get(sessions::export)),
    viewer("/activity/sessions/{id}", || get(session::show)),
    editor("/activity/sessions/{id}/disconnect", || post(sessions::disconnect)),
    viewer("/activity/events", || get(events::show)),
    viewer("/activity/events.csv", || get(events::export)),
    viewer("/activity/refusals", || get(refusals::show)),
    viewer("/activity/refusals.csv", || get(refusals::export)),
    viewer("/activity/logs", || get(app_log::show)),
    viewer("/activity/blocked", || get(blocked::show)),
    editor("/activity/blocked/unblock", || post(blocked::unblock)),
    viewer("/views/save", || post(saved_views::save)),
    viewer("/views/remove", || post(saved_views::remove)),
    viewer("/what-if", || get(what_if::show)),
    viewer("/refusals/{id}", || get(refusals::one)),
    editor("/refusals/{id}/allow", || post(refusals::allow)),
    admin("/certificates", || get(certificates::show).merge(files(post(certificates::upload)))),
    admin("/certificates/acme", || get(acme::show).post(acme::save)),
    admin("/certificates/acme/now", || post(acme::now)),
    admin("/certificates/self-signed", || post(certificates::make)),
    admin("/certificates/authorities", || files(post(certificates::put_authority))),
    admin("/certificates/authorities/remove", || post(certificates::remove_authority)),
    admin("/certificates/{id}", || get(certificates::one)),
    admin("/certificates/{id}/replace", || files(post(certificates::replace))),
    admin("/certificates/{id}/self-signed", || post(certificates::make_anew)),
    admin("/certificates/{id}/roll-back", || post(certificates::roll_back)),
    admin("/certificates/{id}/remove", || post(certificates::remove)),
    admin("/users", || get(users::show).post(users::add)),
    admin("/users/{id}", || get(users::one).post(users::save)),
    admin("/users/{id}/second-factor", || post(users::second_factor_off)),
    admin("/users/{id}/browsers", || post(users::end_browser)),
    admin("/users/{id}/remove", || post(users::remove)),
    admin("/audit", || get(audit::show)),
    admin("/audit.csv", || get(audit::export)),
    viewer("/tokens", || get(tokens::show).post(tokens::add)),
    viewer("/tokens/{id}/revoke", || get(tokens::ask_revoke).post(tokens::revoke)),
    admin("/settings/export", || get(settings_text::show).merge(settings_files(post(settings_text::import)))),
    admin("/settings/export.toml", || get(settings_text::export)),
    admin("/settings/backup", || get(backup::show).post(backup::save)),
    at_length(Role::Admin, "/settings/backup/now", || post(backup::now)),
    at_length(Role::Admin, "/settings/backup/restore", || post(restore::restore)),
    at_length(Role::Admin, "/settings/backup/try", || post(backup::try_one)),
    admin("/settings/backup/{name}", || get(backup::download)),
    admin("/settings", || get(settings::show).post(settings::save)),
];

/// The whole site.
pub fn router(state: WebState) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let access = route.access;
        let guard = move |request: Request, next: Next| guard(access, request, next);
        let methods = (route.methods)().layer(middleware::from_fn(guard));
        let timed = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_WITHIN);
        let methods = if route.pace == Pace::Quick { methods.layer(timed) } else { methods };
        router = router.route(route.path, methods);
    }
    router
        .fallback(async || WebError::not_found())
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(layers::same_site())
        .layer(middleware::from_fn_with_state(state.clone(), layers::dress))
        .layer(middleware::from_fn_with_state(state.clone(), layers::know_visitor))
        .layer(middleware::from_fn_with_state(state.clone(), layers::known_host))
        .nest("/api", api::router(&state))
        .layer(CatchPanicLayer::new())
        .layer(middleware::from_fn(layers::headers))
        .layer(CompressionLayer::new().compress_when(written_here()))
        .with_state(state)
}

/// What is worth compressing: a file is sent as it is, so that its digest is that of the bytes sent (RFC 9530 section
/// 3) and its length is known.
fn written_here() -> impl Predicate {
    DefaultPredicate::new()
        .and(NotForContentType::const_new("application/octet-stream"))
        .and(NotForContentType::const_new("application/zip"))
}

/// Nobody passes whose role is not in the table.
async fn guard(access: Access, request: Request, next: Next) -> Response {
    let Access::Role(needed) = access else { return next.run(request).await };
    let session = request.extensions().get::<Visitor>().and_then(|visitor| visitor.session.as_ref());
    match session.map(|session| session.administrator.role) {
        Some(role) if role >= needed => next.run(request).await,
        Some(_) => WebError::status(StatusCode::FORBIDDEN).into_response(),
        None if [Method::GET, Method::HEAD].contains(request.method()) => {
            Redirect::to(&landing::sign_in(request.uri())).into_response()
        }
        // `layers::dress` asks for a new sign-in.
        None => WebError::status(StatusCode::UNAUTHORIZED).into_response(),
    }
}
