//! `GET /users/{userId}/export`: event-service's part of a user's data export, streamed as it is
//! read.

use axum::{extract::State, response::Response};
use rest::{BodyWriter, PathText, streamed_json};
use serde::Serialize;
use serde_json::Value;
use service::http::{ApiError, ErrorBody, Reason};
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{AppState, examples};
use crate::store::export::{self as rows, ExportedOccurrence};

/// Notifications that are in memory at once.
const NOTIFICATIONS: usize = 20;
/// Occurrences of one notification that are in memory at once.
const OCCURRENCES: i64 = 200;
/// Events that are in memory at once.
const EVENTS: i64 = 50;

/// Everything that event-service holds of a user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(examples::export()))]
pub(super) struct Export {
    /// Notifications, each with its occurrences.
    notifications: Vec<Value>,
    /// Events of the catalogue, newest first.
    events: Vec<Value>,
    /// `true` if older rows were left out: an export has at most 100,000 rows of each kind. This is
    /// the last field; a body without it is incomplete.
    truncated: bool,
}

type ExportError = Box<dyn std::error::Error + Send + Sync>;

/// Export a user's data
///
/// Everything that event-service holds of the user; reminder-service includes it in
/// `GET /me/export`. The body is streamed: if reading fails, the connection breaks off.
#[utoipa::path(
    get,
    path = "/users/{userId}/export",
    operation_id = "exportUser",
    tag = "catalogue",
    params(("userId" = String, Path, description = "Id of the user", pattern = r"^[^\x00]*$")),
    responses(
        (status = 200, body = Export, description = "The user's data"),
        (
            status = 400,
            body = ErrorBody,
            description = "`INVALID_REQUEST`: `userId` is not the id of a user",
        ),
    ),
)]
pub(super) async fn export(
    State(state): State<AppState>,
    PathText(user_id): PathText,
) -> Result<Response, ApiError> {
    let user_id = user_id.ok_or_else(|| {
        ApiError::field(Reason::InvalidRequest, "userId", "must be the id of a user")
    })?;
    let permit = state.exports.acquire(&user_id)?;
    // The first statement is waited for: while the database is away, the answer is 503.
    let ids = rows::notification_ids(&state.pool, &user_id).await?;
    let pool = state.pool;
    Ok(streamed_json(permit, async move |mut writer: BodyWriter| {
        let most = usize::try_from(rows::MAX_ROWS)?;
        writer.write(r#"{"notifications":["#).await?;
        for (page, ids) in
            ids.iter().take(most).collect::<Vec<_>>().chunks(NOTIFICATIONS).enumerate()
        {
            let ids: Vec<Uuid> = ids.iter().copied().copied().collect();
            write_notifications(&pool, &mut writer, &ids, page == 0).await?;
        }
        writer.write(r#"],"events":["#).await?;
        let has_more = write_events(&pool, &mut writer, &user_id, most).await?;
        let truncated = has_more || ids.len() > most;
        writer.write(format!(r#"],"truncated":{truncated}}}"#)).await?;
        Ok(writer.finish().await?)
    }))
}

async fn write_notifications(
    pool: &PgPool,
    writer: &mut BodyWriter,
    ids: &[Uuid],
    is_first: bool,
) -> Result<(), ExportError> {
    let notifications = rows::notifications(pool, ids).await?;
    let occurrences = rows::occurrences(pool, ids, None, OCCURRENCES).await?;
    for (place, (id, json)) in notifications.into_iter().enumerate() {
        if !(is_first && place == 0) {
            writer.write(",").await?;
        }
        // Its object ends with the occurrences.
        writer.write(json.strip_suffix('}').unwrap_or(&json)).await?;
        writer.write(r#","occurrences":["#).await?;
        let own = occurrences.iter().filter(|row| row.notification_id == id);
        write_occurrences(pool, writer, id, own.collect()).await?;
        writer.write("]}").await?;
    }
    Ok(())
}

/// Writes the first occurrences of a notification, and reads the rest of a long series page by
/// page.
async fn write_occurrences(
    pool: &PgPool,
    writer: &mut BodyWriter,
    id: Uuid,
    first: Vec<&ExportedOccurrence>,
) -> Result<(), ExportError> {
    for (place, occurrence) in first.iter().enumerate() {
        if place > 0 {
            writer.write(",").await?;
        }
        writer.write(&occurrence.json).await?;
    }
    let mut position = first.last().map(|last| last.position);
    let mut is_full = first.len() as i64 == OCCURRENCES;
    while is_full {
        let page = rows::occurrences(pool, &[id], position, OCCURRENCES).await?;
        for occurrence in &page {
            writer.write(",").await?;
            writer.write(&occurrence.json).await?;
        }
        position = page.last().map(|last| last.position).or(position);
        is_full = page.len() as i64 == OCCURRENCES;
    }
    Ok(())
}

/// Writes up to `most` events; returns whether there are more.
async fn write_events(
    pool: &PgPool,
    writer: &mut BodyWriter,
    user_id: &str,
    most: usize,
) -> Result<bool, ExportError> {
    let (mut before, mut written) = (None, 0);
    loop {
        let page = rows::events(pool, user_id, before, EVENTS).await?;
        let is_last = (page.len() as i64) < EVENTS;
        for (cursor, json) in page {
            if written == most {
                return Ok(true);
            }
            if written > 0 {
                writer.write(",").await?;
            }
            writer.write(json).await?;
            before = Some(cursor);
            written += 1;
        }
        if is_last {
            return Ok(false);
        }
    }
}
