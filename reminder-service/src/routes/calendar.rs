//! `POST /reminders/import` and `GET /reminders/export.ics`.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use rest::{
    Allowance, BodyWriter, IdempotencyKeyHeader, Identity, Params, RawBody, RequestContext,
    idempotency::{self, Start},
    streamed,
};
use serde::{Deserialize, Serialize};
use service::http::{ApiError, ErrorBody};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Api,
    body::NewReminder,
    bulk::{accept_address, create_drafts, drafts},
    create::CreatedReminder,
    examples,
};
use crate::{
    domain::{
        calendar::{self, Calendar, Entry, Exported, Import},
        events::Origin,
        reminder::{Details, Link, Locale, Reminder, TimeZone, Title},
    },
    store::{self, Seen},
    usecases::compute::off_thread,
};

/// Largest number of reminders of one file, the newest.
const MAX_REMINDERS: usize = 10_000;
/// Reminders of a file that are in memory at the same time.
const PAGE: i64 = 100;

/// Query of an import.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// `true` to create no reminder if an entry is refused.
    #[param(default = false)]
    atomic: Option<bool>,
    /// IANA time zone of times without a zone, if the file names none.
    #[param(default = "UTC")]
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
    /// Reason of the refusal.
    reason: String,
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
/// cannot be imported is refused with its line and the reason, and the others are created; with
/// `atomic=true`, no reminder is created if an entry is refused.
#[utoipa::path(
    post,
    path = "/reminders/import",
    operation_id = "importReminders",
    tag = "reminders",
    params(Query, IdempotencyKeyHeader),
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
        (
            status = 413,
            body = ErrorBody,
            description = "`PAYLOAD_TOO_LARGE`: the body is larger than 4 MiB",
        ),
        (
            status = 429,
            body = ErrorBody,
            description = "`RATE_LIMITED`: this call counts as one call plus one for every 20 \
                           entries; try again after `Retry-After`",
        ),
    ),
)]
pub(super) async fn import(
    State(api): State<Api>,
    identity: Identity,
    context: RequestContext,
    Params(query): Params<Query>,
    allowance: Allowance,
    body: RawBody,
) -> Result<Response, ApiError> {
    let zone = query.time_zone.as_deref().map(TimeZone::parse).transpose()?.unwrap_or_default();
    let bytes = body.bytes.clone();
    let read = off_thread(&identity.user_id, move || {
        let import = calendar::read(&bytes, zone.into());
        allowance.take_entries(import.entries.len())?;
        let details: Vec<_> =
            import.entries.iter().map(|entry| NewReminder::of(entry).details(Vec::new())).collect();
        Ok::<_, ApiError>((import, details))
    });
    let (Import { entries, refused, notes }, details) = read.await??;
    let origin = Origin { identity: &identity, traceparent: context.traceparent };
    let drafts = drafts(details, origin);
    let accepted = accept_address(&api, &identity, &drafts).await;
    let mut once = match idempotency::once(&api.pool, &identity.user_id, body.key.as_ref()).await? {
        Start::First(once) => once,
        Start::Repeat(replay) => return Ok(replay.into_response()),
    };
    accepted?;
    let (results, messages) = create_drafts(&api, once.connection(), origin, drafts).await?;
    let mut answer = ImportResult {
        imported: Vec::new(),
        refused: refused.into_iter().map(Into::into).collect(),
        notes: notes
            .into_iter()
            .map(|note| ImportNote { line: note.line, uid: note.uid, text: note.text })
            .collect(),
    };
    for (entry, result) in entries.into_iter().zip(results) {
        answer.add(entry, result);
    }
    answer.refused.sort_by_key(|refused| refused.line);
    let is_rolled_back = query.atomic == Some(true) && !answer.refused.is_empty();
    if is_rolled_back {
        once.rollback().await?;
        answer.imported.clear();
        return Ok(Json(answer).into_response());
    }
    once.commit(StatusCode::OK, Some(&answer)).await?;
    metrics::counter!("reminders_created_total").increment(messages.len() as u64);
    api.quota.invalidate(&identity.user_id);
    api.relay_handle.after_commit(messages);
    Ok(Json(answer).into_response())
}

impl ImportResult {
    fn add(&mut self, entry: Entry, result: Result<Uuid, ApiError>) {
        let Entry { line, uid, title, .. } = entry;
        match result {
            Ok(id) => {
                self.imported.push(ImportedEntry { line, uid, id: CreatedReminder::of(id).id })
            }
            Err(error) => {
                self.refused.push(RefusedEntry { line, uid, summary: title, reason: error.message })
            }
        }
    }
}

impl From<calendar::Refused> for RefusedEntry {
    fn from(refused: calendar::Refused) -> Self {
        let calendar::Refused { line, uid, summary, reason } = refused;
        Self { line, uid, summary, reason }
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
    State(api): State<Api>,
    identity: Identity,
) -> Result<Response, ApiError> {
    let permit = api.exports.acquire(&identity.user_id)?;
    let zones = store::zones(&api.pool, &identity.user_id, MAX_REMINDERS as i64).await?;
    let calendar =
        Calendar::new(zones.into_iter().map(|zone| (zone.time_zone, zone.first, zone.last)));
    let file = HeaderValue::from_static("text/calendar; charset=utf-8");
    let mut response =
        streamed(permit, file, move |writer: BodyWriter| write(api, identity, calendar, writer));
    let disposition = HeaderValue::from_static("attachment; filename=\"reminders.ics\"");
    response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    Ok(response)
}

/// Writes the file page by page, from the newest reminder at the start of the export to the oldest.
async fn write(
    api: Api,
    identity: Identity,
    calendar: Calendar,
    mut writer: BodyWriter,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let calendar = Arc::new(calendar);
    writer.write(calendar.head()).await?;
    let (mut before, mut written) = (None, 0);
    loop {
        let page = store::page(&api.pool, &identity.user_id, before, PAGE).await?;
        let is_last = (page.len() as i64) < PAGE;
        before = page.last().map(|last| last.value.id);
        written += page.len();
        let calendar = Arc::clone(&calendar);
        let events = tokio::task::spawn_blocking(move || {
            page.into_iter().map(|seen| calendar.event(&exported(seen))).collect::<String>()
        });
        writer.write(events.await?).await?;
        if is_last || written >= MAX_REMINDERS {
            break;
        }
    }
    writer.write(Calendar::TAIL).await?;
    Ok(writer.finish().await?)
}

fn exported(seen: Seen<Reminder>) -> Exported {
    let Reminder { id, version, created_at, updated_at, details, .. } = seen.value;
    let Details { schedule, channels, title, message, url, data, expires_after, priority, locale } =
        details;
    Exported {
        id: CreatedReminder::of(id).id,
        version,
        created_at,
        updated_at,
        date: schedule.date,
        time_zone: schedule.time_zone.name().to_owned(),
        recurrence: schedule.recurrence.map(Into::into),
        notify_offsets: schedule.offsets.as_slice().to_vec(),
        channels: channels.as_slice().iter().copied().map(Into::into).collect(),
        title: title.map(Title::into_string),
        message: message.into_string(),
        url: url.map(Link::into_string),
        data: data.into_map(),
        expires_after_minutes: expires_after.minutes(),
        priority: priority.into(),
        locale: locale.map(Locale::into_string),
    }
}
