//! The REST API of devices and of a user's deliveries.

mod devices;
mod examples;
mod export;
mod history;
mod inbox;
mod preferences;
mod register;
mod stream;
mod time_format;

use std::{sync::Arc, time::Duration};

use axum::Router;
use shared::{
    http::{ExportLimit, openapi_routes},
    outbox::Handoff,
    startup::{self, Started},
};
use sqlx::PgPool;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use stream::Streams;

use crate::{channels::fcm::Fcm, clock::DbClock};

/// What the handlers share.
#[derive(Clone)]
pub struct Api {
    /// The devices database.
    pub pool: PgPool,
    /// Its time.
    pub clock: Arc<DbClock>,
    /// The way to the relay for what is committed.
    pub handoff: Handoff,
    /// The provider that knows tokens.
    pub fcm: Arc<Fcm>,
    /// Living devices that one user may have.
    pub max_devices: usize,
    /// After how long others take over what a process claimed.
    pub takeover: Duration,
    /// The streams that are open.
    pub streams: Streams,
    /// The limit of exports.
    pub exports: ExportLimit,
    /// Whether the schema is there.
    pub started: Started,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "notification-service",
        description = "Devices and deliveries: register the devices that reminders are pushed to, see what became of each delivery, and keep an inbox of them.\n\n\
            The caller is identified by the gateway's `X-Authenticated-Userid` and `X-Consumer-Username`, or by a bearer token, as the installation is configured. \
            Every POST takes an `Idempotency-Key`: the same key with the same body gives the first answer again for 24 hours.",
    ),
    tags((name = "devices", description = "A user's devices"), (name = "notifications", description = "What was sent to a user"), (name = "preferences", description = "How a user wants to be reached"), (name = "export", description = "Everything that is kept of a user"))
)]
struct Description;

/// The routes, and `GET /openapi.json` and `GET /docs` that describe them.
pub fn router(api: Api) -> Router {
    let (routes, openapi) = described().split_for_parts();
    let started = axum::middleware::from_fn_with_state(api.started.clone(), startup::require);
    routes.layer(started).with_state(api).merge(openapi_routes(&openapi))
}

/// The description of the API as it is committed in `openapi.json`.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn openapi() -> Result<String, serde_json::Error> {
    described().into_openapi().to_pretty_json()
}

fn described() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(register::register))
        .routes(routes!(devices::list))
        .routes(routes!(devices::remove))
        .routes(routes!(history::list))
        .routes(routes!(inbox::unread_count))
        .routes(routes!(inbox::read_all))
        .routes(routes!(inbox::read))
        .routes(routes!(inbox::unread))
        .routes(routes!(stream::stream))
        .routes(routes!(preferences::get, preferences::put))
        .routes(routes!(export::export))
}
