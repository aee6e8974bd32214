//! The REST API of reminders.

mod acknowledge;
mod agenda;
mod answer;
mod body;
mod bulk;
mod calendar;
mod change;
mod create;
mod cursor;
mod description;
mod error;
mod examples;
mod feed_file;
mod feed_limits;
mod feeds;
mod import;
mod list;
mod me;
mod occurrence;
mod occurrences;
mod origin;
mod pause;
mod single;
mod snooze;

use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    http::{StatusCode, header::ETAG},
    response::{AppendHeaders, IntoResponse, Response},
    routing::get,
};
use rest::{Credentials, ExportLimit, IfMatch, complete_openapi, entity_tag, openapi_routes};
use serde::Serialize;
use service::{http::ApiError, startup::Started};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use self::{
    answer::{ReminderAnswer, show_last_outcomes},
    error::missing,
};
use crate::{
    domain::{caller::Origin, precondition::Target},
    usecases::{Answer, Resources},
};

pub use feed_limits::FeedLimits;

/// Routes that callers without an identity may use; they have rate limits of their own.
pub const PUBLIC_ROUTES: &[&str] = &[feed_file::ROUTE];

/// State that the handlers share.
#[derive(Debug, Clone)]
pub struct AppState {
    /// Resources of the use cases.
    pub resources: Resources,
    /// Limit of concurrent exports.
    pub exports: ExportLimit,
    /// Rate limits of calendar feeds.
    pub feeds: FeedLimits,
    /// State of the startup: requests are refused until the schema is migrated.
    pub started: Started,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "reminder-service",
        description = "Create, read, list, change and delete reminders. A reminder is delivered \
            by push and e-mail at `date` minus each of its offsets.\n\n\
            Depending on the configuration, the caller is identified by the headers \
            `X-Authenticated-Userid` and `X-Consumer-Username` of the gateway, or by a bearer \
            token. Calls with an `Idempotency-Key` can be repeated: for 24 hours, the same key \
            with the same body returns the first answer.",
    ),
    paths(feed_file::read),
    tags(
        (name = "reminders", description = "Reminders of the caller"),
        (name = "feeds", description = "Secret addresses under which calendar apps read reminders"),
        (name = "me", description = "Export and erasure of the caller's data"),
    )
)]
struct Description;

/// The routes, with `GET /openapi.json` and `GET /docs`.
pub fn router(state: AppState) -> Router {
    let (routes, openapi) = described();
    let started =
        axum::middleware::from_fn_with_state(state.started.clone(), service::startup::require);
    routes.layer(started).with_state(state).merge(openapi_routes(&openapi))
}

/// The OpenAPI description, which is committed as `openapi.json`.
///
/// # Errors
/// If it cannot be written as JSON.
pub fn openapi() -> Result<String, serde_json::Error> {
    described().1.to_pretty_json()
}

fn described() -> (Router<AppState>, utoipa::openapi::OpenApi) {
    let large = OpenApiRouter::new()
        .routes(routes!(bulk::create))
        .routes(routes!(import::import))
        .layer(DefaultBodyLimit::max(bulk::MAX_BODY_BYTES));
    let router = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(create::create, list::list))
        .routes(routes!(single::get, change::post, change::patch, single::delete))
        .routes(routes!(agenda::list))
        .routes(routes!(occurrences::of_reminder))
        .routes(routes!(occurrence::patch))
        .routes(routes!(occurrences::preview))
        .routes(routes!(snooze::snooze))
        .routes(routes!(acknowledge::acknowledge))
        .routes(routes!(pause::pause))
        .routes(routes!(pause::resume))
        .routes(routes!(calendar::export))
        .routes(routes!(feeds::create, feeds::list))
        .routes(routes!(feeds::rotate))
        .routes(routes!(feeds::revoke))
        // The router knows no parameter that ends within a segment.
        .route(feed_file::ROUTE, get(feed_file::read))
        .routes(routes!(me::export))
        .routes(routes!(me::erase))
        .merge(large);
    let (routes, mut openapi) = router.split_for_parts();
    complete_openapi(&mut openapi);
    (routes, openapi)
}

/// An answer with a reminder.
trait ShowsReminder {
    /// Version of the reminder.
    fn version(&self) -> i64;

    /// The reminder, and one that was created with the change.
    fn reminders(&mut self) -> impl Iterator<Item = &mut ReminderAnswer> + Send;
}

impl ShowsReminder for ReminderAnswer {
    fn version(&self) -> i64 {
        Self::version(self)
    }

    fn reminders(&mut self) -> impl Iterator<Item = &mut ReminderAnswer> + Send {
        std::iter::once(self)
    }
}

/// Response of a use case that changes a reminder, with the entity tag of its version.
async fn respond_reminder<A: Serialize + ShowsReminder>(
    state: &AppState,
    origin: &Origin,
    Credentials(credentials): &Credentials,
    mut answer: Answer<A>,
) -> Response {
    let tag = match &mut answer {
        Answer::First(changed) => {
            let (resources, user_id) = (&state.resources, &origin.caller.user_id);
            show_last_outcomes(resources, user_id, credentials, changed.reminders()).await;
            Some((ETAG, entity_tag(changed.version())))
        }
        Answer::Repeat(_) => None,
    };
    (AppendHeaders(tag), respond(StatusCode::OK, answer)).into_response()
}

/// The reminder that a change applies to.
fn target(id: Option<Uuid>, if_match: IfMatch) -> Result<Target, ApiError> {
    Ok(Target { id: id.ok_or_else(missing)?, versions: if_match.versions() })
}

/// Response of a use case: its answer with a status, or the stored answer to a repeated request.
fn respond<A: Serialize>(status: StatusCode, answer: Answer<A>) -> Response {
    match answer {
        Answer::First(answer) => (status, Json(answer)).into_response(),
        Answer::Repeat(replay) => replay.into_response(),
    }
}
