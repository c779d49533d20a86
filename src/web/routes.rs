//! The table of every route and who may use it. The router is built from it and from nothing else, so a page outside
//! the table cannot be reached, and a test tries each row as a stranger and as a viewer.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, get, post};
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::csrf::CsrfLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::{RequestBodyDeadlineLayer, TimeoutLayer};

use super::error::WebError;
use super::layers::{self, BODY_BYTES_MAX};
use super::pages::{activity, connector, flows, profile, receive, refusals, sessions, setup};
use super::state::WebState;
use super::{assets, live, login};

/// How long a page may take. A sign-in that is delayed and a save that waits for the listener fit in.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Anyone,
    /// Everybody, while there is no administrator.
    Setup,
    /// Who has signed in.
    Viewer,
    /// Editors and admins.
    Editor,
    /// Admins.
    Admin,
}

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Shows.
    Get,
    /// Changes.
    Post,
}

/// One route.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The verb.
    pub verb: Verb,
    /// The address.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
    /// Its handler.
    handler: fn() -> MethodRouter<WebState>,
}

const fn reads(path: &'static str, access: Access, handler: fn() -> MethodRouter<WebState>) -> Route {
    Route { verb: Verb::Get, path, access, handler }
}

const fn writes(path: &'static str, access: Access, handler: fn() -> MethodRouter<WebState>) -> Route {
    Route { verb: Verb::Post, path, access, handler }
}

/// Every route.
pub const ROUTES: &[Route] = &[
    reads("/healthz", Access::Anyone, || get(|| async { "ok\n" })),
    reads("/static/{name}", Access::Anyone, || get(assets::get)),
    reads("/setup", Access::Setup, || get(setup::show)),
    writes("/setup", Access::Setup, || post(setup::submit)),
    reads("/sign-in", Access::Anyone, || get(login::show)),
    writes("/sign-in", Access::Anyone, || post(login::submit)),
    writes("/sign-out", Access::Viewer, || post(login::sign_out)),
    writes("/theme", Access::Anyone, || post(login::theme)),
    reads("/", Access::Viewer, || get(flows::home)),
    reads("/flows", Access::Viewer, || get(flows::show)),
    writes("/flows", Access::Editor, || post(flows::add)),
    reads("/filter-test", Access::Viewer, || get(profile::filter_test)),
    reads("/profiles", Access::Viewer, || get(profile::home)),
    reads("/profiles/ftp", Access::Viewer, || get(profile::show)),
    writes("/profiles/ftp", Access::Admin, || post(profile::save)),
    reads("/connectors/{id}", Access::Viewer, || get(connector::home)),
    reads("/connectors/{id}/settings", Access::Viewer, || get(connector::settings)),
    writes("/connectors/{id}/settings", Access::Editor, || post(connector::save_settings)),
    reads("/connectors/{id}/advanced", Access::Viewer, || get(connector::advanced)),
    writes("/connectors/{id}/advanced", Access::Editor, || post(connector::save_advanced)),
    writes("/connectors/{id}/password", Access::Editor, || post(connector::generate_password)),
    reads("/connectors/{id}/receive", Access::Viewer, || get(receive::of_connector)),
    reads("/connectors/{id}/remove", Access::Editor, || get(connector::ask_remove)),
    writes("/connectors/{id}/remove", Access::Editor, || post(connector::remove)),
    reads("/activity", Access::Viewer, || get(activity::home)),
    reads("/activity/receive", Access::Viewer, || get(receive::show)),
    reads("/activity/receive/{id}", Access::Viewer, || get(receive::one)),
    reads("/activity/transfers", Access::Viewer, || get(activity::transfers)),
    reads("/activity/events", Access::Viewer, || get(activity::events)),
    reads("/activity/sessions", Access::Viewer, || get(sessions::show)),
    writes("/activity/sessions/{id}/disconnect", Access::Editor, || post(sessions::disconnect)),
    reads("/activity/refusals", Access::Viewer, || get(refusals::list)),
    reads("/refusals/{id}", Access::Viewer, || get(refusals::one)),
    reads("/live", Access::Viewer, || get(live::stream)),
];

/// The whole web interface.
pub fn router(state: WebState) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let admit = from_fn_with_state((state.clone(), route.access), layers::admit);
        router = router.route(route.path, (route.handler)().route_layer(admit));
    }
    router
        .fallback(|| async { WebError::not_found() })
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX))
        .layer(RequestBodyDeadlineLayer::new(REQUEST_TIME_MAX))
        .layer(CsrfLayer::new())
        .layer(from_fn_with_state(state.clone(), layers::check_host))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_TIME_MAX))
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(from_fn_with_state(state.clone(), layers::dress))
        .layer(CompressionLayer::new())
        .layer(from_fn(layers::headers))
        .with_state(state)
}
