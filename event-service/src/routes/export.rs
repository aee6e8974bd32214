//! `GET /users/{userId}/export`: event-service's part of what a user may take along.

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use serde_json::Value;
use shared::http::{ApiError, ErrorBody};
use utoipa::ToSchema;

use super::{AppState, examples};
use crate::store::MOST_EXPORTED;

/// Everything that event-service holds of a user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(examples::export()))]
pub(super) struct Export {
    /// Notifications, each with its occurrences.
    notifications: Vec<Value>,
    /// Events of the catalogue, newest first.
    events: Vec<Value>,
    /// Whether older rows were left out: at most 100,000 of each kind are given.
    truncated: bool,
}

/// Everything that is held of a user. reminder-service puts it into `GET /me/export`.
#[utoipa::path(get, path = "/users/{userId}/export", tag = "catalogue", params(("userId" = String, Path, description = "The user's id")),
    responses((status = 200, body = Export), (status = 503, body = ErrorBody)))]
pub(super) async fn export(
    State(state): State<AppState>,
    Path(user_id): Path<String>,
) -> Result<Json<Export>, ApiError> {
    let held = state.store.held_of(&user_id).await?;
    let truncated = held.notifications.len().max(held.events.len()) as i64 >= MOST_EXPORTED;
    Ok(Json(Export { notifications: held.notifications, events: held.events, truncated }))
}
