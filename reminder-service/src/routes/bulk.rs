//! `POST /reminders/bulk`.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use contract::new_id;
use rest::{
    Allowance, IdempotencyKeyHeader, Identity, RawBody, RequestContext,
    idempotency::{self, Start},
    json::{self, Lenient},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use service::{
    http::{ApiError, ErrorBody, FieldFault, Reason},
    outbox::OutboxMessage,
};
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Api,
    body::NewReminder,
    create::{CreatedReminder, no_delivery_ahead, quota_exceeded},
    examples,
};
use crate::{
    domain::{
        email_addresses::check_channels,
        events::{self, Origin, Unstamped},
        reminder::{Channel, Details},
    },
    store,
    usecases::compute::off_thread,
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

/// A reminder to create, with its event.
pub(super) struct Draft {
    pub(super) id: Uuid,
    pub(super) details: Details,
    pub(super) message: Unstamped,
}

impl Draft {
    pub(super) fn of(details: Details, origin: Origin<'_>) -> Result<Self, ApiError> {
        check_channels(&details.channels, origin.identity)?;
        let id = new_id();
        let message = events::created(origin, id, &details)?;
        Ok(Self { id, details, message })
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
pub(super) async fn create(
    State(api): State<Api>,
    identity: Identity,
    context: RequestContext,
    allowance: Allowance,
    RawBody { bytes, key, memory: _memory }: RawBody,
) -> Result<Response, ApiError> {
    let origin = Origin { identity: &identity, traceparent: context.traceparent };
    // Rules are expanded when they are parsed; a thousand of them must not delay other requests.
    let parsed = off_thread(&identity.user_id, move || {
        let entries = json::entries(&bytes, "reminders", MAX_ENTRIES)?;
        allowance.take_entries(entries.len())?;
        Ok::<_, ApiError>(entries.into_iter().map(details).collect::<Vec<_>>())
    });
    let drafts = drafts(parsed.await??, origin);
    let accepted = accept_address(&api, &identity, &drafts).await;
    let mut once = match idempotency::once(&api.pool, &identity.user_id, key.as_ref()).await? {
        Start::First(once) => once,
        Start::Repeat(replay) => return Ok(replay.into_response()),
    };
    accepted?;
    let (results, messages) = create_drafts(&api, once.connection(), origin, drafts).await?;
    let answer = BulkResults { results: results.into_iter().map(Into::into).collect() };
    once.commit(StatusCode::OK, Some(&answer)).await?;
    metrics::counter!("reminders_created_total").increment(messages.len() as u64);
    api.quota.invalidate(&identity.user_id);
    api.relay_handle.after_commit(messages);
    Ok(Json(answer).into_response())
}

/// Turns the details of entries into drafts.
pub(super) fn drafts(
    entries: Vec<Result<Details, ApiError>>,
    origin: Origin<'_>,
) -> Vec<Result<Draft, ApiError>> {
    entries.into_iter().map(|entry| entry.and_then(|details| Draft::of(details, origin))).collect()
}

/// Checks the e-mail address of the caller if a draft has the channel e-mail. It must be called
/// before a transaction begins.
///
/// # Errors
/// `RATE_LIMITED`, for all drafts.
pub(super) async fn accept_address(
    api: &Api,
    identity: &Identity,
    drafts: &[Result<Draft, ApiError>],
) -> Result<(), ApiError> {
    let channels = drafts.iter().flatten().map(|draft| &draft.details.channels);
    match channels.into_iter().find(|channels| channels.as_slice().contains(&Channel::Email)) {
        Some(channels) => api.addresses.accept(&api.pool, identity, channels).await,
        None => Ok(()),
    }
}

/// Creates the valid drafts in the caller's transaction; returns a result for each draft, and the
/// messages to publish after the commit.
pub(super) async fn create_drafts(
    api: &Api,
    connection: &mut PgConnection,
    origin: Origin<'_>,
    drafts: Vec<Result<Draft, ApiError>>,
) -> Result<(Vec<Result<Uuid, ApiError>>, Vec<OutboxMessage>), ApiError> {
    let valid = drafts.iter().flatten();
    let new: Vec<_> = valid.map(|draft| (draft.id, &draft.details, &draft.message)).collect();
    let created =
        store::create_many(connection, &origin.identity.user_id, &new, api.quota.max()).await?;
    let (mut results, mut messages) =
        (Vec::with_capacity(drafts.len()), Vec::with_capacity(created.len()));
    for draft in drafts {
        results.push(draft.and_then(|draft| match created.get(&draft.id) {
            Some(Some(created_at)) => {
                messages.push(draft.message.stamped(*created_at, 1));
                Ok(draft.id)
            }
            Some(None) => Err(quota_exceeded(api.quota.max())),
            None => Err(no_delivery_ahead()),
        }));
    }
    Ok((results, messages))
}

/// Parses one entry; it is refused like a body of `POST /reminders`.
fn details(entry: &RawValue) -> Result<Details, ApiError> {
    if entry.get().len() > MAX_ENTRY_BYTES {
        let message = format!("the entry is larger than {} KiB", MAX_ENTRY_BYTES / 1024);
        return Err(ApiError::new(Reason::PayloadTooLarge, message));
    }
    let Lenient { value, faults } = json::lenient::<NewReminder>(entry.get().as_bytes())?;
    value.details(faults)
}
