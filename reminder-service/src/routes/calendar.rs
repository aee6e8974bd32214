//! `GET /reminders/export.ics`.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::Response,
};
use rest::{BodyWriter, Identity, streamed};
use service::http::{ApiError, ErrorBody};

use super::AppState;
use crate::{
    domain::calendar::{Calendar, Exported},
    usecases::{CalendarExport, export_calendar},
};

/// Type of a calendar file.
pub(super) const CONTENT_TYPE: HeaderValue =
    HeaderValue::from_static("text/calendar; charset=utf-8");

/// Export the caller's reminders as an iCalendar file
///
/// The file has one event per reminder, with its rule, exclusions and alarms, for the newest 10,000
/// reminders. An import of the file creates the same reminders.
#[utoipa::path(
    get,
    path = "/reminders/export.ics",
    operation_id = "exportReminders",
    tag = "reminders",
    responses(
        (
            status = 200,
            body = String,
            content_type = "text/calendar",
            description = "An iCalendar file (RFC 5545)",
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
) -> Result<Response, ApiError> {
    let permit = state.exports.acquire(&identity.user_id)?;
    let export = export_calendar(&state.resources, identity.user_id, true).await?;
    let mut response =
        streamed(permit, CONTENT_TYPE, move |writer: BodyWriter| write(export, writer));
    let disposition = HeaderValue::from_static("attachment; filename=\"reminders.ics\"");
    response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    Ok(response)
}

/// Writes the file page by page.
pub(super) async fn write(
    CalendarExport { calendar, mut reminders, with_paused }: CalendarExport,
    mut writer: BodyWriter,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let calendar = Arc::new(calendar);
    writer.write(calendar.head()).await?;
    while let Some(page) = reminders.next().await? {
        let calendar = Arc::clone(&calendar);
        let events = tokio::task::spawn_blocking(move || {
            page.into_iter()
                .filter(|seen| with_paused || seen.value.paused_at.is_none())
                .map(|seen| calendar.event(&Exported::from(seen.value)))
                .collect::<String>()
        });
        writer.write(events.await?).await?;
    }
    writer.write(Calendar::TAIL).await?;
    Ok(writer.finish().await?)
}
