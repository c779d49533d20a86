//! The table of every route of the API: what it requires, and its handler.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use tower_http::timeout::TimeoutLayer;

use super::door::{self, Needs};
use super::{about, activity, answer, automation, connectors, deliveries, flows, settings};
use crate::domain::administrator::Role::{self, Admin, Editor, Viewer};
use crate::domain::api_token::Area::{self, Activity, Connectors, Server, Token};
use crate::domain::api_token::Deed;
use crate::web::error::WebError;
use crate::web::layers;
use crate::web::routes::{FORM_BYTES_MAX, REQUEST_WITHIN};
use crate::web::state::WebState;

/// The method of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Reads.
    Get,
    /// Adds or does.
    Post,
    /// Replaces all of it.
    Put,
    /// Changes some of it.
    Patch,
    /// Removes.
    Delete,
}

impl Verb {
    /// The HTTP method.
    pub const fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
        }
    }

    /// Whether it changes something.
    pub const fn deed(self) -> Deed {
        match self {
            Self::Get => Deed::Read,
            Self::Post | Self::Put | Self::Patch | Self::Delete => Deed::Write,
        }
    }
}

/// One method at one path.
#[derive(Debug)]
pub struct Route {
    /// Its method.
    pub verb: Verb,
    /// Its path, below `/api`.
    pub path: &'static str,
    /// Its part of the API.
    pub area: Area,
    /// The least role of a token's owner.
    pub role: Role,
    /// Its handler.
    pub answer: fn() -> MethodRouter<WebState>,
}

const fn route(
    verb: Verb,
    path: &'static str,
    (area, role): (Area, Role),
    answer: fn() -> MethodRouter<WebState>,
) -> Route {
    Route { verb, path, area, role, answer }
}

/// Every route.
pub const ROUTES: &[Route] = &[
    route(Verb::Get, "/v1", (Token, Viewer), || get(about::show)),
    route(Verb::Get, "/v1/settings", (Server, Admin), || get(settings::show)),
    route(Verb::Patch, "/v1/settings", (Server, Admin), || patch(settings::change)),
    route(Verb::Put, "/v1/settings", (Server, Admin), || put(settings::put)),
    route(Verb::Get, "/v1/profile", (Server, Viewer), || get(settings::show_profile)),
    route(Verb::Patch, "/v1/profile", (Server, Admin), || patch(settings::change_profile)),
    route(Verb::Put, "/v1/profile", (Server, Admin), || put(settings::put_profile)),
    route(Verb::Get, "/v1/connectors", (Connectors, Viewer), || get(connectors::list)),
    route(Verb::Post, "/v1/connectors", (Connectors, Editor), || post(connectors::add)),
    route(Verb::Get, "/v1/connectors/{id}", (Connectors, Viewer), || get(connectors::show)),
    route(Verb::Patch, "/v1/connectors/{id}", (Connectors, Editor), || patch(connectors::change)),
    route(Verb::Put, "/v1/connectors/{id}", (Connectors, Editor), || put(connectors::put)),
    route(Verb::Delete, "/v1/connectors/{id}", (Connectors, Editor), || delete(connectors::remove)),
    route(Verb::Post, "/v1/connectors/{id}/password", (Connectors, Editor), || post(connectors::password)),
    route(Verb::Get, "/v1/flows", (Connectors, Viewer), || get(flows::list)),
    route(Verb::Post, "/v1/flows", (Connectors, Editor), || post(flows::connect)),
    route(Verb::Delete, "/v1/flows/{from}/{to}", (Connectors, Editor), || delete(flows::disconnect)),
    route(Verb::Get, "/v1/actions", (Connectors, Viewer), || get(automation::actions)),
    route(Verb::Post, "/v1/actions", (Connectors, Editor), || post(automation::add_action)),
    route(Verb::Patch, "/v1/actions/{id}", (Connectors, Editor), || patch(automation::change_action)),
    route(Verb::Delete, "/v1/actions/{id}", (Connectors, Editor), || delete(automation::remove_action)),
    route(Verb::Get, "/v1/event-targets", (Server, Viewer), || get(automation::event_targets)),
    route(Verb::Post, "/v1/event-targets", (Server, Admin), || post(automation::add_event_target)),
    route(Verb::Patch, "/v1/event-targets/{id}", (Server, Admin), || patch(automation::change_event_target)),
    route(Verb::Delete, "/v1/event-targets/{id}", (Server, Admin), || delete(automation::remove_event_target)),
    route(Verb::Get, "/v1/receipts", (Activity, Viewer), || get(activity::receipts)),
    route(Verb::Get, "/v1/receipts/{id}", (Activity, Viewer), || get(activity::receipt)),
    route(Verb::Get, "/v1/transfers", (Activity, Viewer), || get(activity::transfers)),
    route(Verb::Get, "/v1/sessions", (Activity, Viewer), || get(activity::sessions)),
    route(Verb::Get, "/v1/sessions/past", (Activity, Viewer), || get(activity::past_sessions)),
    route(Verb::Get, "/v1/events", (Activity, Viewer), || get(activity::events)),
    route(Verb::Get, "/v1/refusals", (Activity, Viewer), || get(activity::refusals)),
    route(Verb::Get, "/v1/refusals/{id}", (Activity, Viewer), || get(activity::refusal)),
    route(Verb::Post, "/v1/deliveries/{id}/fire", (Activity, Editor), || post(deliveries::fire)),
    route(Verb::Post, "/v1/deliveries/{id}/stop", (Activity, Editor), || post(deliveries::stop)),
    route(Verb::Post, "/v1/deliveries/{id}/again", (Activity, Editor), || post(deliveries::again)),
];

/// All routes, to be mounted at `/api`.
pub fn router(state: &WebState) -> Router<WebState> {
    let mut router = Router::new();
    for route in ROUTES {
        let needs = Needs { area: route.area, deed: route.verb.deed(), role: route.role };
        let guard = move |request: Request, next: Next| door::guard(needs, request, next);
        router = router.route(route.path, (route.answer)().route_layer(middleware::from_fn(guard)));
    }
    router
        .fallback(async || WebError::not_found())
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(layers::same_site())
        .layer(middleware::from_fn_with_state(state.clone(), door::authenticate))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_WITHIN))
        .layer(middleware::from_fn_with_state(state.clone(), layers::known_host))
        .layer(middleware::from_fn(answer::dress))
}
