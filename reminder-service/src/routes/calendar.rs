//! `POST /reminders/import` and `GET /reminders/export.ics`.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use shared::http::{
    Allowance, ApiError, BodyWriter, ErrorBody, Identity, Params, RawBody, RequestContext,
    idempotency::{self, Known},
    streamed,
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Api,
    body::NewReminder,
    bulk::{Draft, accept_address, make},
    compute::off_thread,
    create::Made,
    examples,
};
use crate::{
    calendar::{self, Calendar, Entry, Exported, Import},
    events::Origin,
    reminder::{Details, Reminder, TimeZone},
    store::{self, Seen},
};

/// Reminders that one file holds at the most; the newest.
const MOST: usize = 10_000;
/// Reminders of a file in memory at once.
const PAGE: i64 = 100;

/// How a file is taken.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// Whether nothing is made unless everything can be.
    #[param(default = false)]
    atomic: Option<bool>,
    /// The IANA zone of times that name none, where the file names none either.
    #[param(default = "UTC")]
    time_zone: Option<String>,
}

/// What became of a file. Lines are counted from 1.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(examples::import()))]
pub(super) struct Imported {
    /// The reminders that were made.
    imported: Vec<ImportedEntry>,
    /// What could not be taken. With `atomic=true`, nothing is made unless this is empty.
    refused: Vec<RefusedEntry>,
    /// What an entry was taken without.
    notes: Vec<ImportNote>,
}

/// A reminder that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImportedEntry {
    /// The line on which its entry begins.
    line: usize,
    /// The entry's identity in the calendar that it comes from.
    uid: Option<String>,
    /// The reminder's id.
    id: String,
}

/// What could not be taken.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RefusedEntry {
    /// The line that is the reason.
    line: usize,
    /// The entry's identity.
    uid: Option<String>,
    /// The entry's heading.
    summary: Option<String>,
    /// Why.
    reason: String,
}

/// What an entry was taken without.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImportNote {
    /// The line.
    line: usize,
    /// The entry's identity.
    uid: Option<String>,
    /// What was left out, and why.
    text: String,
}

/// Make reminders of a calendar file
///
/// Events and tasks with their rules, exclusions and alarms, at most 1,000. What cannot be taken is
/// named by its line with the reason, and the rest is made; or nothing is, with `atomic=true`.
#[utoipa::path(
    post,
    path = "/reminders/import",
    operation_id = "importReminders",
    tag = "reminders",
    params(
        Query,
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, chosen by the client for this request and its repeats"),
    ),
    request_body(content = String, content_type = "text/calendar", description = "An iCalendar file (RFC 5545), at most 4 MiB", example = json!(examples::calendar())),
    responses(
        (status = 200, description = "What was made, and what was not", body = Imported),
        (status = 400, description = "`INVALID_REQUEST`: a parameter is malformed or unknown", body = ErrorBody),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 413, description = "`PAYLOAD_TOO_LARGE`: more than 4 MiB", body = ErrorBody),
        (status = 422, description = "`IDEMPOTENCY_KEY_REUSED`", body = ErrorBody),
        (status = 429, description = "`RATE_LIMITED`: the call costs as much as one call and one for every 20 entries; try again after `Retry-After`", body = ErrorBody),
        (status = 503, description = "`UPSTREAM_UNAVAILABLE`: try again after `Retry-After`", body = ErrorBody),
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
    let drafts: Vec<_> =
        details.into_iter().map(|it| it.and_then(|details| Draft::of(details, origin))).collect();
    let accepted = accept_address(&api, &identity, &drafts).await;
    let mut transaction = api.pool.begin().await?;
    if let Some(key) = &body.key
        && let Known::Answered(replay) =
            idempotency::begin(&mut transaction, &identity.user_id, key).await?
    {
        return Ok(replay.into_response());
    }
    accepted?;
    let (results, messages) = make(&api, &mut transaction, origin, drafts).await?;
    let mut answer = Imported {
        imported: Vec::new(),
        refused: refused.into_iter().map(Into::into).collect(),
        notes: notes
            .into_iter()
            .map(|it| ImportNote { line: it.line, uid: it.uid, text: it.text })
            .collect(),
    };
    for (entry, result) in entries.into_iter().zip(results) {
        answer.add(entry, result);
    }
    answer.refused.sort_by_key(|it| it.line);
    let is_taken_back = query.atomic == Some(true) && !answer.refused.is_empty();
    if is_taken_back {
        transaction.rollback().await?;
        answer.imported.clear();
        return Ok(Json(answer).into_response());
    }
    if let Some(key) = &body.key {
        idempotency::finish(
            &mut transaction,
            &identity.user_id,
            key,
            StatusCode::OK,
            Some(&answer),
        )
        .await?;
    }
    transaction.commit().await?;
    metrics::counter!("reminders_created_total").increment(messages.len() as u64);
    api.quota.forget(&identity.user_id);
    api.handoff.after_commit(messages);
    Ok(Json(answer).into_response())
}

impl Imported {
    fn add(&mut self, entry: Entry, result: Result<Uuid, ApiError>) {
        let Entry { line, uid, title, .. } = entry;
        match result {
            Ok(id) => self.imported.push(ImportedEntry { line, uid, id: Made::of(id).id }),
            Err(error) => {
                self.refused.push(RefusedEntry { line, uid, summary: title, reason: error.message })
            }
        }
    }
}

impl From<calendar::Refused> for RefusedEntry {
    fn from(it: calendar::Refused) -> Self {
        Self { line: it.line, uid: it.uid, summary: it.summary, reason: it.reason }
    }
}

/// Give the caller's reminders as a calendar file
///
/// One event a reminder, with its rule, exclusions and alarms; the newest 10,000. Imported again it
/// makes the same reminders.
#[utoipa::path(
    get,
    path = "/reminders/export.ics",
    operation_id = "exportReminders",
    tag = "reminders",
    responses(
        (status = 200, description = "An iCalendar file (RFC 5545)", body = String, content_type = "text/calendar"),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 429, description = "`RATE_LIMITED`: an export of the caller, or as many as the service writes at once, are under way", body = ErrorBody),
        (status = 503, description = "`UPSTREAM_UNAVAILABLE`", body = ErrorBody),
    ),
)]
pub(super) async fn export(
    State(api): State<Api>,
    identity: Identity,
) -> Result<Response, ApiError> {
    let permit = api.exports.acquire(&identity.user_id)?;
    let zones = store::zones(&api.pool, &identity.user_id, MOST as i64).await?;
    let calendar =
        Calendar::new(zones.into_iter().map(|zone| (zone.time_zone, zone.first, zone.last)));
    let file = HeaderValue::from_static("text/calendar; charset=utf-8");
    let mut response =
        streamed(permit, file, move |writer: BodyWriter| write(api, identity, calendar, writer));
    let disposition = HeaderValue::from_static("attachment; filename=\"reminders.ics\"");
    response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    Ok(response)
}

/// Writes the file page by page; a reminder that is made meanwhile is newer than the first of them.
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
        if is_last || written >= MOST {
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
        id: Made::of(id).id,
        version,
        created_at,
        updated_at,
        date: schedule.date,
        time_zone: schedule.time_zone.name().to_owned(),
        recurrence: schedule.recurrence.map(Into::into),
        notify_offsets: schedule.offsets.as_slice().to_vec(),
        channels: channels.as_slice().iter().copied().map(Into::into).collect(),
        title: title.map(|it| it.into_string()),
        message: message.into_string(),
        url: url.map(|it| it.into_string()),
        data: data.into_map(),
        expires_after_minutes: expires_after.minutes(),
        priority: priority.into(),
        locale: locale.map(|it| it.into_string()),
    }
}
