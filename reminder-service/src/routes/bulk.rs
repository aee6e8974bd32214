//! `POST /reminders/bulk`.

use axum::{extract::State, http::StatusCode, response::Response};
use rest::{
    Allowance, Credentials, IdempotencyKeyHeader, RawBody, RawJson,
    json::{self, Lenient},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use service::http::{ApiError, ErrorBody, FieldFault, Reason};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    AppState,
    body::NewReminder,
    create::CreatedReminder,
    description::{EntryRefusals, NoUserZone},
    examples, respond,
};
use crate::{
    domain::{caller::Origin, reminder::Details},
    usecases::{self, create_reminders, off_thread, read_user_zone},
};

/// Largest body.
pub(super) const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// Largest number of reminders of one call.
const MAX_ENTRIES: usize = 1_000;
/// Largest entry, with white space and superfluous digits, which are not stored.
const MAX_ENTRY_BYTES: usize = 512 * 1024;

/// Reminders to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!(examples::bulk()))]
#[expect(dead_code, reason = "describes the body; each entry is parsed and refused separately")]
pub(super) struct BulkRequest {
    /// 1 to 1,000 reminders.
    #[schema(min_items = 1, max_items = 1000)]
    reminders: Vec<NewReminder>,
}

/// Results of a bulk request, in the order of its entries.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(examples::bulk_results()))]
pub(super) struct BulkResults {
    results: Vec<BulkResult>,
}

/// Result of one entry.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BulkResult {
    /// Status that a request with this entry alone would have: 201, 400, 413, 422 or 429.
    status: u16,
    /// Id of the reminder, if it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Error, if it was not created.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<BulkError>,
}

/// Error of one entry.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct BulkError {
    /// Text for a person.
    message: String,
    /// Reason code for a program.
    reason: &'static str,
    /// Faults of the entry by field, at most 20; `message` is the first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<FieldFault>,
}

impl From<ApiError> for BulkError {
    fn from(error: ApiError) -> Self {
        Self { reason: error.reason.parts().1, message: error.message, details: error.details }
    }
}

impl From<Result<Uuid, ApiError>> for BulkResult {
    fn from(result: Result<Uuid, ApiError>) -> Self {
        match result {
            Ok(id) => Self { status: 201, id: Some(CreatedReminder::of(id).id), error: None },
            Err(error) => Self {
                status: error.reason.parts().0.as_u16(),
                id: None,
                error: Some(error.into()),
            },
        }
    }
}

/// Create up to 1,000 reminders in one transaction
///
/// Each entry is a body of `POST /reminders`. The valid entries are created together; each of the
/// others has its own error.
#[utoipa::path(
    post,
    path = "/reminders/bulk",
    operation_id = "createReminders",
    tag = "reminders",
    params(IdempotencyKeyHeader),
    request_body = BulkRequest,
    responses(
        (status = 200, body = BulkResults, description = "One result per entry, in their order"),
        (
            status = 400,
            body = ErrorBody,
            description = "`INVALID_REQUEST`: the body is not a list of 1 to 1,000 reminders",
        ),
        EntryRefusals,
        NoUserZone,
    ),
)]
pub(super) async fn create(
    State(state): State<AppState>,
    origin: Origin,
    Credentials(credentials): Credentials,
    allowance: Allowance,
    RawJson(RawBody { bytes, key, memory: _memory }): RawJson,
) -> Result<Response, ApiError> {
    // Rules are expanded when they are parsed; a thousand of them must not delay other requests.
    let user_id = &origin.caller.user_id;
    let parsed = off_thread(user_id, move || {
        let entries = json::entries(&bytes, "reminders", MAX_ENTRIES)?;
        allowance.take_entries(entries.len())?;
        Ok::<_, ApiError>(entries.into_iter().map(parse).collect::<Vec<_>>())
    });
    let parsed = parsed.await??;
    let needs_zone = parsed.iter().flatten().any(|entry| entry.value.needs_zone());
    let zone = read_user_zone(&state.resources, &credentials, needs_zone).await?;
    let details =
        move |Lenient { value, faults }: Lenient<NewReminder>| value.details(faults, zone);
    let checked = off_thread(user_id, move || {
        parsed.into_iter().map(|entry| entry.and_then(details)).collect()
    });
    let (valid, entries) = separate(checked.await?);
    let results = |created| BulkResults { results: merge(entries, created) };
    let answer = create_reminders(&state.resources, &origin, key.as_ref(), valid, results).await?;
    Ok(respond(StatusCode::OK, answer))
}

/// Takes the valid entries out of a list; the others keep their places.
fn separate(entries: Vec<Result<Details, ApiError>>) -> (Vec<Details>, Vec<Result<(), ApiError>>) {
    let mut valid = Vec::with_capacity(entries.len());
    let rest = entries.into_iter().map(|entry| entry.map(|details| valid.push(details))).collect();
    (valid, rest)
}

/// Puts the results of the valid entries back into their places.
fn merge(
    entries: Vec<Result<(), ApiError>>,
    created: Vec<Result<Uuid, usecases::Error>>,
) -> Vec<BulkResult> {
    let mut created = created.into_iter();
    let result = |entry: Result<(), ApiError>| match entry {
        Ok(()) => created.next().map(|result| BulkResult::from(result.map_err(ApiError::from))),
        Err(error) => Some(BulkResult::from(Err(error))),
    };
    entries.into_iter().filter_map(result).collect()
}

/// Parses one entry; it is refused like a body of `POST /reminders`.
fn parse(entry: &RawValue) -> Result<Lenient<NewReminder>, ApiError> {
    if entry.get().len() > MAX_ENTRY_BYTES {
        let message = format!("the entry is larger than {} KiB", MAX_ENTRY_BYTES / 1024);
        return Err(ApiError::new(Reason::PayloadTooLarge, message));
    }
    json::lenient(entry.get().as_bytes())
}
