//! The table of every route of the API: what it needs, and what answers.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::routing::{MethodRouter, get};
use tower_http::timeout::TimeoutLayer;

use super::door::{self, Needs};
use super::{about, answer, connectors, settings};
use crate::domain::administrator::Role;
use crate::domain::api_token::{Area, Deed};
use crate::web::error::WebError;
use crate::web::layers;
use crate::web::routes::{FORM_BYTES_MAX, REQUEST_WITHIN};
use crate::web::state::WebState;

/// One method at one path.
#[derive(Debug)]
pub struct Route {
    /// How it is asked for.
    pub method: Method,
    /// Its path, below `/api`.
    pub path: &'static str,
    /// Its part of the API.
    pub area: Area,
    /// The role that a token's owner must have at least.
    pub role: Role,
    /// What answers.
    pub answer: fn() -> MethodRouter<WebState>,
}

impl Route {
    /// Whether it changes something.
    pub fn deed(&self) -> Deed {
        if self.method == Method::GET { Deed::Read } else { Deed::Write }
    }
}

const fn read(path: &'static str, area: Area, role: Role, answer: fn() -> MethodRouter<WebState>) -> Route {
    Route { method: Method::GET, path, area, role, answer }
}

/// Every route.
pub const ROUTES: &[Route] = &[
    read("/v1", Area::Token, Role::Viewer, || get(about::show)),
    read("/v1/settings", Area::Server, Role::Admin, || get(settings::show)),
    read("/v1/profile", Area::Server, Role::Viewer, || get(settings::show_profile)),
    read("/v1/connectors", Area::Connectors, Role::Viewer, || get(connectors::list)),
    read("/v1/connectors/{id}", Area::Connectors, Role::Viewer, || get(connectors::show)),
];

/// All of it, to be put beneath `/api`.
pub fn router(state: &WebState) -> Router<WebState> {
    let mut router = Router::new();
    for route in ROUTES {
        let needs = Needs { area: route.area, deed: route.deed(), role: route.role };
        let guard = move |request: Request, next: Next| door::guard(needs, request, next);
        router = router.route(route.path, (route.answer)().route_layer(middleware::from_fn(guard)));
    }
    router
        .fallback(async || WebError::not_found())
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(middleware::from_fn_with_state(state.clone(), door::authenticate))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_WITHIN))
        .layer(middleware::from_fn_with_state(state.clone(), layers::known_host))
        .layer(middleware::from_fn(answer::dress))
}
