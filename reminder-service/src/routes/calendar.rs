//! `POST /reminders/import` and `GET /reminders/export.ics`.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use rest::{
    Allowance, BodyWriter, Credentials, IdempotencyKeyHeader, Identity, Params, RawBody, streamed,
};
use serde::{Deserialize, Serialize};
use service::http::{ApiError, ErrorBody, Reason};
use utoipa::{IntoParams, ToSchema};

use super::{
    AppState,
    create::CreatedReminder,
    description::{EntryRefusals, NoDefaultZone},
    examples, respond,
};
use crate::{
    domain::{
        calendar::{self, Calendar, Defaults, Exported, Languages},
        caller::Origin,
        reminder::TimeZone,
    },
    usecases::{
        CalendarExport, CalendarImport, Imported, export_calendar, import_calendar, off_thread,
        read_default_zone,
    },
};

/// Type of a calendar file.
pub(super) const CONTENT_TYPE: HeaderValue =
    HeaderValue::from_static("text/calendar; charset=utf-8");

/// Query of an import.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// `true` to create no reminder if an entry is refused.
    #[param(default = false)]
    atomic: Option<bool>,
    /// IANA time zone of times without a zone, if the file names none. By default it is the
    /// `timeZone` of the caller's preferences, or UTC.
    time_zone: Option<String>,
}

/// Result of an import. Lines are counted from 1.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(examples::import()))]
pub(super) struct ImportResult {
    /// Reminders that were created.
    imported: Vec<ImportedEntry>,
    /// Entries and lines that were refused. With `atomic=true`, no reminder is created unless this
    /// is empty.
    refused: Vec<RefusedEntry>,
    /// Parts of entries that were left out.
    notes: Vec<ImportNote>,
}

/// A reminder that was created.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImportedEntry {
    /// First line of the entry.
    line: usize,
    /// UID of the entry in the calendar that it comes from.
    uid: Option<String>,
    /// Id of the reminder.
    id: String,
}

/// An entry or a line that was refused.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RefusedEntry {
    /// Line of the fault.
    line: usize,
    /// UID of the entry.
    uid: Option<String>,
    /// Summary of the entry.
    summary: Option<String>,
    /// Reason code for a program.
    #[schema(example = "INVALID_REQUEST")]
    reason: &'static str,
    /// Text for a person.
    message: String,
}

/// A part of an entry that was left out.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImportNote {
    /// Line of the part.
    line: usize,
    /// UID of the entry.
    uid: Option<String>,
    /// The part and the reason.
    text: String,
}

/// Import reminders from an iCalendar file
///
/// Imports events and tasks with their rules, exclusions and alarms, at most 1,000. An entry that
/// cannot be imported is refused with its line and a reason, and the others are created; with
/// `atomic=true`, no reminder is created if an entry is refused.
#[utoipa::path(
    post,
    path = "/reminders/import",
    operation_id = "importReminders",
    tag = "reminders",
    params(
        Query,
        IdempotencyKeyHeader,
        (
            "Accept-Language" = Option<String>,
            Header,
            description = "Languages for the title of an entry that has none",
        ),
    ),
    request_body(
        content = String,
        content_type = "text/calendar",
        description = "An iCalendar file (RFC 5545) of at most 4 MiB",
        example = json!(examples::calendar()),
    ),
    responses(
        (
            status = 200,
            body = ImportResult,
            description = "The reminders that were created and the entries that were refused",
        ),
        EntryRefusals,
        NoDefaultZone,
    ),
)]
pub(super) async fn import(
    State(state): State<AppState>,
    origin: Origin,
    Credentials(credentials): Credentials,
    Params(query): Params<Query>,
    headers: HeaderMap,
    allowance: Allowance,
    body: RawBody,
) -> Result<Response, ApiError> {
    let user_id = &origin.caller.user_id;
    let zone = query.time_zone.as_deref().map(TimeZone::parse).transpose()?;
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let languages = accepted.map(Languages::of_header).unwrap_or_default();
    let defaults = Defaults { zone: zone.unwrap_or_default().into(), languages };
    let (bytes, given) = (body.bytes.clone(), defaults.clone());
    let read = off_thread(user_id, move || {
        let file = calendar::read(&bytes, given.clone());
        allowance.take_entries(file.entries.len())?;
        let needs_zone = zone.is_none() && calendar::needs_zone(&bytes, &file, given);
        Ok::<_, ApiError>((file, needs_zone))
    });
    let (file, needs_zone) = read.await??;
    let zone =
        if needs_zone { read_default_zone(&state.resources, &credentials).await? } else { None };
    let (bytes, is_atomic) = (body.bytes.clone(), query.atomic == Some(true));
    let import = off_thread(user_id, move || {
        let file = match zone {
            Some(zone) => calendar::read(&bytes, Defaults { zone: zone.into(), ..defaults }),
            None => file,
        };
        CalendarImport::of(file, is_atomic)
    });
    let import = import.await?;
    let (resources, key) = (&state.resources, body.key.as_ref());
    let answer = import_calendar(resources, &origin, key, import, ImportResult::from).await?;
    Ok(respond(StatusCode::OK, answer))
}

impl From<Imported> for ImportResult {
    fn from(Imported { entries, refused, notes }: Imported) -> Self {
        let mut result = Self {
            imported: Vec::new(),
            refused: refused.into_iter().map(Into::into).collect(),
            notes: notes.into_iter().map(Into::into).collect(),
        };
        for (calendar::Entry { line, uid, title: summary, .. }, created) in entries {
            match created {
                Ok(id) => {
                    let id = CreatedReminder::of(id).id;
                    result.imported.push(ImportedEntry { line, uid, id });
                }
                Err(error) => {
                    let ApiError { reason, message, .. } = error.into();
                    let (_status, reason) = reason.parts();
                    result.refused.push(RefusedEntry { line, uid, summary, reason, message });
                }
            }
        }
        result.refused.sort_by_key(|refused| refused.line);
        result
    }
}

impl From<calendar::Note> for ImportNote {
    fn from(calendar::Note { line, uid, text }: calendar::Note) -> Self {
        Self { line, uid, text }
    }
}

impl From<calendar::Refused> for RefusedEntry {
    fn from(refused: calendar::Refused) -> Self {
        let calendar::Refused { line, uid, summary, reason: message } = refused;
        let (_status, reason) = Reason::InvalidRequest.parts();
        Self { line, uid, summary, reason, message }
    }
}

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
