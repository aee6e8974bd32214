//! `GET /me/export` and `DELETE /me`: export and erasure of all data of the caller.

use axum::{Json, extract::State, response::Response};
use chrono::{DateTime, Utc};
use rest::{BodyWriter, Credentials, Identity, streamed_json};
use serde::Serialize;
use serde_json::Value;
use service::http::{ApiError, ErrorBody};
use utoipa::ToSchema;

use super::{
    AppState,
    answer::{ReminderAnswer, time},
    examples,
    feeds::FeedAnswer,
};
use crate::{
    domain::{caller::Origin, reminder::Reminder},
    peers::Part,
    store::Seen,
    usecases::{Erased, ReminderPages, UserExport, erase_user, export_user},
};

/// All data of the caller. The members are streamed in this order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::export()))]
pub(super) struct Export {
    /// Time of the export.
    #[serde(serialize_with = "time")]
    exported_at: DateTime<Utc>,
    /// Id of the caller.
    user_id: String,
    /// E-mail address of the caller.
    email: String,
    /// Data of notification-service: devices, preferences, deliveries.
    notification_service: Option<Value>,
    /// Data of event-service: notifications with their occurrences, events.
    event_service: Option<Value>,
    /// Reminders of the caller, newest first.
    reminders: Vec<ReminderAnswer>,
    /// Calendar feeds of the caller, without their addresses.
    calendar_feeds: Vec<FeedAnswer>,
    /// Parts that are missing, each with the reason.
    missing: Vec<String>,
    /// `true` if the data of every service is there and complete. It is the last member: a body
    /// without it is incomplete because the connection failed.
    complete: bool,
}

/// The first members of an [`Export`].
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    #[serde(serialize_with = "time")]
    exported_at: DateTime<Utc>,
    user_id: &'a str,
    email: &'a str,
}

/// Receipt of an erasure.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!(examples::receipt()))]
pub(super) struct Receipt {
    /// Id of the erasure in the other services and in the logs.
    receipt_id: String,
    /// Time up to which all data is erased.
    #[serde(serialize_with = "time")]
    erased_at: DateTime<Utc>,
}

/// Export all data of the caller
///
/// The answer is one document with the data of every service.
#[utoipa::path(
    get,
    path = "/me/export",
    operation_id = "exportMe",
    tag = "me",
    responses(
        (
            status = 200,
            body = Export,
            description = "The data of every service. `complete` is the last member; it is missing \
                           if the connection failed before the end",
        ),
        (
            status = 429,
            body = ErrorBody,
            description = "`RATE_LIMITED`: too many requests, or another export is in progress; \
                           try again after `Retry-After`",
        ),
    ),
)]
pub(super) async fn export(
    State(state): State<AppState>,
    identity: Identity,
    Credentials(credentials): Credentials,
) -> Result<Response, ApiError> {
    let permit = state.exports.acquire(&identity.user_id)?;
    let export = export_user(&state.resources, &identity.user_id, &credentials).await?;
    Ok(streamed_json(permit, move |writer: BodyWriter| write(identity, export, writer)))
}

type ExportError = Box<dyn std::error::Error + Send + Sync>;

/// Writes the export. The parts of the other services come first, since their connections are open.
/// `complete` comes last, so that an incomplete body never has it.
async fn write(
    identity: Identity,
    export: UserExport,
    mut writer: BodyWriter,
) -> Result<(), ExportError> {
    let UserExport { notification_service, event_service, reminders, feeds, mut missing } = export;
    let head = Head { exported_at: Utc::now(), user_id: &identity.user_id, email: &identity.email };
    let head = serde_json::to_string(&head)?;
    writer.write(head.trim_end_matches('}')).await?;
    writer.write(r#","notificationService":"#).await?;
    let mut is_truncated = write_part(&mut writer, notification_service).await?;
    writer.write(r#","eventService":"#).await?;
    is_truncated |= write_part(&mut writer, event_service).await?;
    writer.write(r#","reminders":["#).await?;
    is_truncated |= write_reminders(&mut writer, reminders).await?;
    if is_truncated {
        missing.push("the oldest entries of each kind beyond 100,000".to_owned());
    }
    let feeds: Vec<FeedAnswer> = feeds.into_iter().map(FeedAnswer::from).collect();
    let feeds = serde_json::to_string(&feeds)?;
    let (is_complete, missing) = (missing.is_empty(), serde_json::to_string(&missing)?);
    let tail =
        format!(r#"],"calendarFeeds":{feeds},"missing":{missing},"complete":{is_complete}}}"#);
    writer.write(tail).await?;
    Ok(writer.finish().await?)
}

/// Writes the part of another service, or `null`; returns `true` if older rows were left out of it.
async fn write_part(writer: &mut BodyWriter, part: Option<Part>) -> Result<bool, ExportError> {
    let Some(mut part) = part else {
        writer.write("null").await?;
        return Ok(false);
    };
    while let Some(chunk) = part.chunk().await? {
        writer.write(chunk).await?;
    }
    Ok(part.is_truncated())
}

/// Writes the reminders; returns `true` if older ones were left out.
async fn write_reminders(
    writer: &mut BodyWriter,
    mut pages: ReminderPages,
) -> Result<bool, ExportError> {
    let mut is_first = true;
    while let Some(page) = pages.next().await? {
        // The status of a reminder depends on its rule, whose expansion may take time.
        writer.write(tokio::task::spawn_blocking(move || listed(page, is_first)).await??).await?;
        is_first = false;
    }
    Ok(pages.is_truncated())
}

/// JSON of a page of reminders, with a comma before each except the first of the export.
fn listed(page: Vec<Seen<Reminder>>, is_first: bool) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    for (index, seen) in page.into_iter().enumerate() {
        if !(is_first && index == 0) {
            text.push(',');
        }
        text.push_str(&serde_json::to_string(&ReminderAnswer::from(seen))?);
    }
    Ok(text)
}

/// Erase all data of the caller
///
/// The reminders are deleted before the answer; the other services follow an event within seconds.
/// Messages that a provider has received cannot be recalled.
#[utoipa::path(
    delete,
    path = "/me",
    operation_id = "eraseMe",
    tag = "me",
    responses(
        (status = 200, body = Receipt, description = "The receipt of the erasure"),
        (
            status = 503,
            body = ErrorBody,
            description = "`UPSTREAM_UNAVAILABLE`: the database is unreachable, and nothing was \
                           erased; try again after `Retry-After`",
        ),
    ),
)]
pub(super) async fn erase(
    State(state): State<AppState>,
    origin: Origin,
) -> Result<Json<Receipt>, ApiError> {
    let Erased { receipt_id, erased_at } = erase_user(&state.resources, &origin).await?;
    Ok(Json(Receipt { receipt_id: receipt_id.simple().to_string(), erased_at }))
}
