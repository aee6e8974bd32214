//! `POST /reminders/import`.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use rest::{Allowance, Credentials, IdempotencyKeyHeader, Params, RawBody};
use serde::{Deserialize, Serialize};
use service::http::{ApiError, ErrorBody, Reason};
use time_zone::Zone;
use utoipa::{IntoParams, ToSchema};

use super::{
    AppState,
    create::CreatedReminder,
    description::{EntryRefusals, NoUserZone},
    examples, respond,
};
use crate::{
    domain::{
        calendar::{self, Defaults, Languages},
        caller::Origin,
        reminder::{InvalidDueDate, TimeZone},
    },
    usecases::{
        self, CalendarImport, Effect, EntryResult, Imported, import_calendar, off_thread,
        read_user_zone,
    },
};

/// Advice for a request that does not contain a calendar file.
const HOW_TO_SEND: &str = "send the file itself as the body, for example with \
                           curl -H 'Content-Type: text/calendar' --data-binary @calendar.ics";

/// Query of an import.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// `true` to create and change no reminder if an entry is refused.
    #[param(default = false)]
    atomic: Option<bool>,
    /// IANA time zone of times without a zone, if the file names none, or `user`: entries with such
    /// times become reminders that follow the zone of the caller's preferences. By default it is
    /// the `timeZone` of the preferences at the time of the call, or UTC.
    time_zone: Option<String>,
    /// `sync`: entries that were imported before update their reminders. `add`: each entry becomes
    /// a further reminder.
    #[param(inline, default = "sync")]
    mode: Option<Mode>,
}

/// Treatment of entries that were imported before.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Sync,
    Add,
}

/// Result of an import. Lines are counted from 1.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(examples::import()))]
pub(super) struct ImportResult {
    /// Entries that became reminders.
    created: Vec<ImportedEntry>,
    /// Entries that updated the reminders of an earlier import.
    updated: Vec<ImportedEntry>,
    /// Entries that were imported before and are the same, older than their reminders, or equal to
    /// them.
    unchanged: Vec<ImportedEntry>,
    /// Entries and lines that were refused. With `atomic=true`, no reminder is created or changed
    /// unless this is empty.
    refused: Vec<RefusedEntry>,
    /// Parts of entries that were left out or changed.
    notes: Vec<ImportNote>,
    /// Numbers of the entries of each list.
    totals: ImportTotals,
}

/// Numbers of the entries of an import.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImportTotals {
    /// Length of `created`.
    created: usize,
    /// Length of `updated`.
    updated: usize,
    /// Length of `unchanged`.
    unchanged: usize,
    /// Length of `refused`.
    refused: usize,
    /// Length of `notes`.
    notes: usize,
}

/// An entry and its reminder.
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

/// A part of an entry that was left out or changed.
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
/// cannot be imported is refused with its line and a reason, and the others are imported; with
/// `atomic=true`, nothing is changed if an entry is refused. Another import of the same file
/// changes nothing: an entry is known by its UID. If it changed since, its reminder is updated,
/// unless the entry is an older version (`SEQUENCE`, `DTSTAMP`).
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
            description = "The effect of each entry",
        ),
        (
            status = 415,
            body = ErrorBody,
            description = "`INVALID_REQUEST`: the body has another type than `text/calendar`",
        ),
        EntryRefusals,
        NoUserZone,
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
    check_is_calendar(&headers, &body.bytes)?;
    let user_id = &origin.caller.user_id;
    let is_floating = query.time_zone.as_deref() == Some(TimeZone::USER);
    let zone = query.time_zone.as_deref().filter(|_| !is_floating);
    let zone = zone.map(TimeZone::parse).transpose()?;
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let languages = accepted.map(Languages::of_header).unwrap_or_default();
    // The zone of the user is not asked for before an entry needs it.
    let user = Some(Zone::UTC);
    let defaults = Defaults { zone: zone.unwrap_or_default().into(), user, is_floating, languages };
    let (bytes, given) = (body.bytes.clone(), defaults.clone());
    let read = off_thread(user_id, move || {
        let file = calendar::read(&bytes, given.clone());
        allowance.take_entries(file.entries.len())?;
        let needs_zone = is_floating
            || file.entries.iter().any(|entry| entry.is_floating)
            || (zone.is_none() && calendar::needs_zone(&bytes, &file, given));
        Ok::<_, ApiError>((file, needs_zone))
    });
    let (file, needs_zone) = read.await??;
    let user_zone = read_user_zone(&state.resources, &credentials, needs_zone).await?;
    let user = user_zone.floating().map(Zone::from);
    if is_floating && user.is_none() {
        return Err(InvalidDueDate::NoUserZone.into());
    }
    let zone = match user {
        Some(user) if is_floating => user,
        _ => zone.or(user_zone.named()).unwrap_or_default().into(),
    };
    let (bytes, is_atomic) = (body.bytes.clone(), query.atomic == Some(true));
    let mode = match query.mode {
        None | Some(Mode::Sync) => usecases::Mode::Sync,
        Some(Mode::Add) => usecases::Mode::Add,
    };
    let import = off_thread(user_id, move || {
        let file = match needs_zone {
            true => calendar::read(&bytes, Defaults { zone, user, ..defaults }),
            false => file,
        };
        CalendarImport::of(file, mode, is_atomic)
    });
    let import = import.await?;
    let (resources, key) = (&state.resources, body.key.as_ref());
    let answer = import_calendar(resources, &origin, key, import, ImportResult::from).await?;
    Ok(respond(StatusCode::OK, answer))
}

/// Refuses what cannot be a calendar file by its type or because it is empty.
fn check_is_calendar(headers: &HeaderMap, body: &[u8]) -> Result<(), ApiError> {
    let media_type = headers.get(header::CONTENT_TYPE).map(|value| {
        let value = String::from_utf8_lossy(value.as_bytes());
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    });
    if media_type.is_some_and(|media_type| media_type != "text/calendar") {
        let message = format!("Content-Type: expected text/calendar; {HOW_TO_SEND}");
        return Err(ApiError::new(Reason::UnsupportedMediaType, message));
    }
    if body.trim_ascii().is_empty() {
        let message = format!("body: expected an iCalendar file, and it is empty; {HOW_TO_SEND}");
        return Err(ApiError::new(Reason::InvalidRequest, message));
    }
    Ok(())
}

impl From<Imported> for ImportResult {
    fn from(Imported { entries, refused, notes }: Imported) -> Self {
        let (mut created, mut updated, mut unchanged) = (Vec::new(), Vec::new(), Vec::new());
        let mut refused: Vec<_> = refused.into_iter().map(RefusedEntry::from).collect();
        for EntryResult { line, uid, title: summary, result } in entries {
            match result {
                Ok((effect, id)) => {
                    let list = match effect {
                        Effect::Created => &mut created,
                        Effect::Updated => &mut updated,
                        Effect::Unchanged => &mut unchanged,
                    };
                    list.push(ImportedEntry { line, uid, id: CreatedReminder::of(id).id });
                }
                Err(error) => {
                    let ApiError { reason, message, .. } = error.into();
                    let (_status, reason) = reason.parts();
                    refused.push(RefusedEntry { line, uid, summary, reason, message });
                }
            }
        }
        refused.sort_by_key(|refused| refused.line);
        let notes: Vec<_> = notes.into_iter().map(ImportNote::from).collect();
        let totals = ImportTotals {
            created: created.len(),
            updated: updated.len(),
            unchanged: unchanged.len(),
            refused: refused.len(),
            notes: notes.len(),
        };
        Self { created, updated, unchanged, refused, notes, totals }
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
