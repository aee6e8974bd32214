//! REST API of devices, deliveries and preferences.

mod device_type;
mod devices;
mod examples;
mod export;
mod history;
mod inbox;
mod outcomes;
mod preferences;
mod register;
mod stream;
mod time_format;
mod zone_changes;

use std::{sync::Arc, time::Duration};

use axum::{Router, middleware::from_fn_with_state, routing::get};
use rest::{ExportLimit, Operators, complete_openapi, openapi_routes, require_operator};
use service::{
    http::{ApiError, Reason},
    outbox::RelayHandle,
    startup::{self, Started},
};
use sqlx::PgPool;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use stream::Streams;

use crate::{channels::push::PushChannel, clock::DbClock, usecases};

/// Routes that need no user's identity.
pub const PUBLIC_ROUTES: &[&str] = &[zone_changes::ROUTE];

/// State that the handlers share.
#[derive(Clone)]
pub struct AppState {
    /// Devices database.
    pub pool: PgPool,
    /// Clock of the database.
    pub clock: Arc<DbClock>,
    /// Hands committed messages to the relay.
    pub relay_handle: RelayHandle,
    /// Client of FCM, which validates tokens.
    pub push_channel: Arc<PushChannel>,
    /// Largest number of active devices of one user.
    pub max_devices: usize,
    /// Time after which other processes take over deliveries that a process claimed.
    pub takeover: Duration,
    /// Open streams.
    pub streams: Streams,
    /// Limit of concurrent exports.
    pub exports: ExportLimit,
    /// Signals that the database schema is ready.
    pub started: Started,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "notification-service",
        description = "Devices, deliveries and preferences: register the devices that receive \
            push notifications, list the deliveries of reminders with their outcomes, mark them \
            as read, and set channels and quiet hours.\n\n\
            The caller is identified by the headers `X-Authenticated-Userid` and \
            `X-Consumer-Username` of the API gateway, or by a bearer token, depending on the \
            configuration. Every POST accepts an `Idempotency-Key`: the same key with the same \
            body returns the first response again for 24 hours.",
    ),
    tags(
        (name = "devices", description = "Devices of the caller"),
        (name = "notifications", description = "Deliveries to the caller, and their read marks"),
        (name = "preferences", description = "Channels, quiet hours and language of the caller"),
        (name = "export", description = "Data that is stored about the caller")
    )
)]
struct Description;

/// Returns the routes, with `GET /openapi.json` and `GET /docs`, which describe them, except the
/// one of reminder-service, which needs an operator's token.
pub fn router(state: AppState, operators: Operators) -> Router {
    let (routes, openapi) = described();
    let internal = Router::new()
        .route(zone_changes::ROUTE, get(zone_changes::list))
        .route_layer(from_fn_with_state(operators, require_operator));
    let started = from_fn_with_state(state.started.clone(), startup::require);
    routes.merge(internal).layer(started).with_state(state).merge(openapi_routes(&openapi))
}

/// Returns the description of the API, as committed in `openapi.json`.
///
/// # Errors
/// If it cannot be serialized.
pub fn openapi() -> Result<String, serde_json::Error> {
    described().1.to_pretty_json()
}

fn described() -> (Router<AppState>, utoipa::openapi::OpenApi) {
    let (routes, mut openapi) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(register::register))
        .routes(routes!(devices::list))
        .routes(routes!(devices::remove))
        .routes(routes!(history::list))
        .routes(routes!(outcomes::read))
        .routes(routes!(inbox::unread_count))
        .routes(routes!(inbox::read_all))
        .routes(routes!(inbox::read))
        .routes(routes!(inbox::unread))
        .routes(routes!(stream::stream))
        .routes(routes!(preferences::get, preferences::put))
        .routes(routes!(export::export))
        .split_for_parts();
    complete_openapi(&mut openapi);
    (routes, openapi)
}

impl From<usecases::Error> for ApiError {
    fn from(error: usecases::Error) -> Self {
        match error {
            usecases::Error::Sql(error) => error.into(),
            usecases::Error::Json(error) => error.into(),
            usecases::Error::Unpublishable(error) => error.into(),
            usecases::Error::Idempotency(error) => error.into(),
            usecases::Error::NoOccurrence => {
                Self::new(Reason::NotFound, "id: you have no notification with this id")
            }
        }
    }
}
