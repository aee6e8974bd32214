//! The REST API of reminders.

mod answer;
mod body;
mod bulk;
mod calendar;
mod change;
mod compute;
mod create;
mod cursor;
mod examples;
mod faults;
mod list;
mod me;
mod occurrences;
mod optimistic_update;
mod single;
mod snooze;

use axum::{Router, extract::DefaultBodyLimit};
use shared::{
    http::{ApiError, ExportLimit, Reason, openapi_routes},
    outbox::Handoff,
    startup::Started,
};
use sqlx::PgPool;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    addresses::Addresses,
    peers::Peers,
    quota::Quota,
    reminder::{InvalidField, InvalidRecurrence},
};

/// What the handlers share.
#[derive(Debug, Clone)]
pub struct Api {
    /// The reminders database.
    pub pool: PgPool,
    /// The way to the relay for what is committed.
    pub handoff: Handoff,
    /// The way to the other services.
    pub peers: Peers,
    /// The limit of exports.
    pub exports: ExportLimit,
    /// Whether the schema is there.
    pub started: Started,
    /// Which addresses e-mails may go to.
    pub addresses: Addresses,
    /// Reminders that one user may have.
    pub quota: Quota,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "reminder-service",
        description = "Reminders: make, read, list, change and delete them. A reminder is delivered by push and e-mail at `date` minus each of its offsets.\n\n\
            The caller is identified by the gateway's `X-Authenticated-Userid` and `X-Consumer-Username`, or by a bearer token, as the installation is configured. \
            Every POST takes an `Idempotency-Key`: the same key with the same body gives the first answer again for 24 hours.",
    ),
    tags((name = "reminders", description = "A user's reminders"), (name = "me", description = "What is held of a user"))
)]
struct Description;

/// The routes, and `GET /openapi.json` and `GET /docs` that describe them.
pub fn router(api: Api) -> Router {
    let (routes, openapi) = described().split_for_parts();
    let started =
        axum::middleware::from_fn_with_state(api.started.clone(), shared::startup::require);
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
    let large = OpenApiRouter::new()
        .routes(routes!(bulk::create))
        .routes(routes!(calendar::import))
        .layer(DefaultBodyLimit::max(bulk::MAX_BODY_BYTES));
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(create::create, list::list))
        .routes(routes!(single::get, change::post, change::patch, single::delete))
        .routes(routes!(occurrences::of_reminder))
        .routes(routes!(occurrences::preview))
        .routes(routes!(snooze::snooze))
        .routes(routes!(snooze::acknowledge))
        .routes(routes!(calendar::export))
        .routes(routes!(me::export))
        .routes(routes!(me::erase))
        .merge(large)
}

impl From<InvalidField> for ApiError {
    fn from(error: InvalidField) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<InvalidRecurrence> for ApiError {
    fn from(error: InvalidRecurrence) -> Self {
        Self::new(Reason::InvalidRecurrence, error.to_string())
    }
}
