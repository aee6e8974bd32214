//! The REST API of reminders.

mod answer;
mod body;
mod change;
mod create;
mod cursor;
mod examples;
mod list;
mod single;

use axum::Router;
use shared::{
    http::{ApiError, openapi_routes},
    outbox::Handoff,
    startup::Started,
};
use sqlx::PgPool;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::reminder::InvalidField;

/// What the handlers share.
#[derive(Debug, Clone)]
pub struct Api {
    /// The reminders database.
    pub pool: PgPool,
    /// The way to the relay for what is committed.
    pub handoff: Handoff,
    /// Whether the schema is there.
    pub started: Started,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "reminder-service",
        description = "Reminders: make, read, list, change and delete them. A reminder is delivered by push and e-mail at `date` minus each of its offsets.\n\n\
            The caller is identified by the gateway's `X-Authenticated-Userid` and `X-Consumer-Username`, or by a bearer token, as the installation is configured. \
            Every POST takes an `Idempotency-Key`: the same key with the same body gives the first answer again for 24 hours.",
    ),
    tags((name = "reminders", description = "A user's reminders"))
)]
struct Description;

/// The routes, and `GET /openapi.json` and `GET /docs` that describe them.
pub fn router(api: Api) -> Router {
    let (routes, openapi) = described().split_for_parts();
    let started = axum::middleware::from_fn_with_state(api.started.clone(), shared::startup::require);
    routes.layer(started).with_state(api).merge(openapi_routes(openapi))
}

/// The description of the API as it is committed in `openapi.json`.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn openapi() -> Result<String, serde_json::Error> {
    described().into_openapi().to_pretty_json()
}

fn described() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Description::openapi()).routes(routes!(create::create, list::list)).routes(routes!(
        single::get,
        change::post,
        change::patch,
        single::delete
    ))
}

impl From<InvalidField> for ApiError {
    fn from(error: InvalidField) -> Self {
        Self::invalid(error.to_string())
    }
}
