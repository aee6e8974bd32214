//! The internal REST API: catalogue, notifications, statistics and dead letters.
//!
//! It is never routed from outside and shows every user's data. Every call but its description
//! needs an operator's token, unless `APP_ENV=local`; reminder-service has one for exports.

mod audit;
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

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use bus::SharedBus;
use rest::{ExportLimit, Operators, complete_operator_openapi, openapi_routes, require_operator};
use service::{
    http::ApiError,
    startup::{self, Started},
};
use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt as _},
    routes,
};

use crate::{config::Config, usecases};

/// State shared by the handlers.
#[derive(Clone)]
pub(crate) struct AppState {
    pool: PgPool,
    bus: SharedBus,
    queues: Arc<Queues>,
    streams: Arc<Semaphore>,
    horizon: stream::Horizon,
    exports: ExportLimit,
    shutdown: CancellationToken,
}

impl From<usecases::Error> for ApiError {
    fn from(error: usecases::Error) -> Self {
        match error {
            usecases::Error::Sql(error) => error.into(),
            usecases::Error::Bus(error) => error.into(),
            error => Self::unexpected(error),
        }
    }
}

/// Queues whose dead letters can be listed.
struct Queues {
    event: String,
    notification: String,
    /// `None` if no feedback queue is configured.
    feedback: Option<String>,
}

impl AppState {
    pub(crate) fn new(
        pool: PgPool,
        bus: SharedBus,
        config: &Config,
        shutdown: CancellationToken,
    ) -> Self {
        let names = &config.bus;
        let queues = Queues {
            event: names.event_queue.clone(),
            notification: names.notification_queue.clone(),
            feedback: names.ses_feedback_queue.clone(),
        };
        Self {
            pool,
            bus,
            queues: Arc::new(queues),
            streams: Arc::new(Semaphore::new(config.streams)),
            horizon: stream::Horizon::default(),
            exports: ExportLimit::new(config.exports),
            shutdown,
        }
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "event-service",
        description = "The event catalogue, the notifications and the dead letters. Internal: \
                       never routed from outside. Every call needs an operator's token, unless \
                       `APP_ENV=local`.",
    ),
    tags(
        (name = "catalogue", description = "Events of reminders, notifications and devices"),
        (name = "notifications", description = "Notifications and their occurrences"),
        (name = "operation", description = "Statistics, dead letters and the audit log"),
    )
)]
struct Api;

/// Number of pages of users' content that are built at once; further requests wait. While it is
/// built, a page takes several times the memory of its response, and a connection that others need
/// too.
const CONCURRENT_PAGES: usize = 2;

/// Middleware that holds a permit until the response is built.
async fn limit_concurrency(
    State(permits): State<Arc<Semaphore>>,
    request: Request,
    next: Next,
) -> Response {
    // The semaphore is never closed.
    let _permit = permits.acquire().await.ok();
    next.run(request).await
}

fn documented() -> OpenApiRouter<AppState> {
    let limit_concurrency =
        from_fn_with_state(Arc::new(Semaphore::new(CONCURRENT_PAGES)), limit_concurrency);
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(events::list).layer(limit_concurrency.clone()))
        .routes(routes!(stream::stream))
        .routes(routes!(timeline::timeline).layer(limit_concurrency.clone()))
        .routes(routes!(notifications::list).layer(limit_concurrency.clone()))
        .routes(routes!(export::export))
        .routes(routes!(stats::stats))
        .routes(routes!(dead_letters::list).layer(limit_concurrency))
        .routes(routes!(dead_letters::redrive))
        .routes(routes!(audit::list))
}

/// Returns the OpenAPI description, which is committed as `openapi.json`.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut openapi = documented().into_openapi();
    complete_operator_openapi(&mut openapi);
    openapi
}

/// Builds the routes. Those that need the database answer 401 without an operator's token, and 503
/// until the start is complete.
pub(crate) fn router(state: AppState, started: Started, operators: Operators) -> Router {
    let (routes, mut openapi) = documented().with_state(state.clone()).split_for_parts();
    complete_operator_openapi(&mut openapi);
    routes
        .route_layer(from_fn_with_state(state, audit::record))
        .route_layer(from_fn_with_state(started, startup::require))
        .route_layer(from_fn_with_state(operators, require_operator))
        .merge(openapi_routes(&openapi))
}
