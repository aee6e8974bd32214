//! The internal REST API: the catalogue, the notifications, the figures, the dead letters.
//!
//! It is never routed from outside: it asks for no identity and shows every user's data. Only operators, the console and
//! other services reach it.

mod dead_letters;
mod events;
mod examples;
mod export;
mod notifications;
mod page;
mod stats;
mod stream;
mod timeline;

use std::sync::Arc;

use axum::{Router, middleware::from_fn_with_state};
use shared::{
    bus::SharedBus,
    config::BusConfig,
    http::openapi_routes,
    startup::{self, Started},
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::store::Store;

/// Streams of events that are open at once.
const STREAMS: usize = 64;

/// What the handlers work with.
#[derive(Clone)]
pub(crate) struct AppState {
    store: Store,
    bus: SharedBus,
    queues: Arc<Queues>,
    streams: Arc<Semaphore>,
    shutdown: CancellationToken,
}

/// The queues whose dead letters can be looked at.
struct Queues {
    event: String,
    notification: String,
}

impl AppState {
    pub(crate) fn new(store: Store, bus: SharedBus, names: &BusConfig, shutdown: CancellationToken) -> Self {
        let queues = Queues { event: names.event_queue.clone(), notification: names.notification_queue.clone() };
        Self { store, bus, queues: Arc::new(queues), streams: Arc::new(Semaphore::new(STREAMS)), shutdown }
    }
}

#[derive(OpenApi)]
#[openapi(
    info(title = "event-service", description = "The event catalogue, the notifications and the dead letters. Internal: never routed from outside, \
                                                 so it asks for no identity."),
    tags((name = "catalogue"), (name = "notifications"), (name = "operation"))
)]
struct Api;

fn documented() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(events::list))
        .routes(routes!(stream::stream))
        .routes(routes!(timeline::timeline))
        .routes(routes!(notifications::list))
        .routes(routes!(export::export))
        .routes(routes!(stats::stats))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::redrive))
}

/// The API's description, as `openapi.json` has it.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    documented().into_openapi()
}

/// The routes; those that need the database answer 503 until the start is complete.
pub(crate) fn router(state: AppState, started: Started) -> Router {
    let (routes, openapi) = documented().with_state(state).split_for_parts();
    routes.route_layer(from_fn_with_state(started, startup::require)).merge(openapi_routes(openapi))
}
