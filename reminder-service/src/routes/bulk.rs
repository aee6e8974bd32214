//! `POST /reminders/bulk`.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::value::RawValue;
use shared::{
    contract::new_id,
    http::{
        Allowance, ApiError, ErrorBody, FieldFault, Identity, RawBody, Reason, RequestContext,
        idempotency::{self, Known},
        json::{self, Lenient},
    },
    outbox::OutboxMessage,
};
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Api,
    body::NewReminder,
    compute::off_thread,
    create::{Made, full, nothing_ahead},
    examples,
};
use crate::{
    addresses::reach,
    events::{self, Origin, Unstamped},
    reminder::{Channel, Details},
    store,
};

/// The largest body.
pub(super) const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// The most reminders of one call.
const MOST: usize = 1_000;
/// The largest entry: white space and superfluous digits counted, which are not kept.
const MAX_ENTRY_BYTES: usize = 512 * 1024;

/// Reminders to be made.
#[derive(ToSchema)]
#[schema(example = json!(examples::bulk()))]
#[expect(
    dead_code,
    reason = "the shape for the description; each entry is read by itself, so that each is refused by itself"
)]
pub(super) struct Bulk {
    /// 1 to 1,000 of them.
    #[schema(min_items = 1, max_items = 1000)]
    reminders: Vec<NewReminder>,
}

/// What became of each, in the order of the request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(examples::bulk_results()))]
pub(super) struct Results {
    results: Vec<ItemResult>,
}

/// What became of one.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ItemResult {
    /// The status that it alone would have been answered with: 201, 400, 413, 422 or 429.
    status: u16,
    /// Its id, when it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Why it was not made.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ItemError>,
}

/// Why one was not made.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ItemError {
    /// For a person.
    message: String,
    /// For a program.
    reason: &'static str,
    /// Every fault of the entry, by field; `message` is the first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<FieldFault>,
}

impl From<ApiError> for ItemError {
    fn from(error: ApiError) -> Self {
        Self { reason: error.reason.parts().1, message: error.message, details: error.details }
    }
}

impl From<Result<Uuid, ApiError>> for ItemResult {
    fn from(result: Result<Uuid, ApiError>) -> Self {
        match result {
            Ok(id) => Self { status: 201, id: Some(Made::of(id).id), error: None },
            Err(error) => Self {
                status: error.reason.parts().0.as_u16(),
                id: None,
                error: Some(error.into()),
            },
        }
    }
}

/// A reminder to be made, and the message that tells of it.
pub(super) struct Draft {
    pub(super) id: Uuid,
    pub(super) details: Details,
    pub(super) message: Unstamped,
}

impl Draft {
    pub(super) fn of(details: Details, origin: Origin<'_>) -> Result<Self, ApiError> {
        reach(&details.channels, origin.identity)?;
        let id = new_id();
        let message = events::created(origin, id, &details)?;
        Ok(Self { id, details, message })
    }
}

/// Make up to 1,000 reminders in one transaction
///
/// Each entry is a body of `POST /reminders`. Those that can be made are, all together; each of the
/// others has its own error.
#[utoipa::path(
    post,
    path = "/reminders/bulk",
    operation_id = "createReminders",
    tag = "reminders",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, chosen by the client for this request and its repeats")),
    request_body = Bulk,
    responses(
        (status = 200, description = "A result for each entry, in their order", body = Results),
        (status = 400, description = "`INVALID_REQUEST`: the body is no list of 1 to 1,000 reminders", body = ErrorBody),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 413, description = "`PAYLOAD_TOO_LARGE`: more than 4 MiB", body = ErrorBody),
        (status = 422, description = "`IDEMPOTENCY_KEY_REUSED`", body = ErrorBody),
        (status = 429, description = "`RATE_LIMITED`: the call costs as much as one call and one for every 20 entries; try again after `Retry-After`", body = ErrorBody),
        (status = 503, description = "`UPSTREAM_UNAVAILABLE`: try again after `Retry-After`", body = ErrorBody),
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
    // Rules are tried out as they are read; a thousand of them are not to hold up other requests.
    let read = off_thread(&identity.user_id, move || {
        let entries = json::entries(&bytes, "reminders", MOST)?;
        allowance.take_entries(entries.len())?;
        Ok::<_, ApiError>(entries.into_iter().map(details).collect::<Vec<_>>())
    });
    let details = read.await??;
    let drafts: Vec<_> =
        details.into_iter().map(|it| it.and_then(|details| Draft::of(details, origin))).collect();
    let accepted = accept_address(&api, &identity, &drafts).await;
    let mut transaction = api.pool.begin().await?;
    if let Some(key) = &key
        && let Known::Answered(replay) =
            idempotency::begin(&mut transaction, &identity.user_id, key).await?
    {
        return Ok(replay.into_response());
    }
    accepted?;
    let (results, messages) = make(&api, &mut transaction, origin, drafts).await?;
    let answer = Results { results: results.into_iter().map(Into::into).collect() };
    if let Some(key) = &key {
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

/// Accepts the address that the e-mails of drafts go to, before a transaction begins.
///
/// # Errors
/// `RATE_LIMITED`, for all of them.
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

/// Makes what can be made in the caller's transaction: a result for each draft, and the messages to
/// hand over after the commit.
pub(super) async fn make(
    api: &Api,
    connection: &mut PgConnection,
    origin: Origin<'_>,
    drafts: Vec<Result<Draft, ApiError>>,
) -> Result<(Vec<Result<Uuid, ApiError>>, Vec<OutboxMessage>), ApiError> {
    let fit: Vec<&Draft> = drafts.iter().flatten().collect();
    let new: Vec<_> = fit.iter().map(|it| (it.id, &it.details, &it.message)).collect();
    let made =
        store::create_many(connection, &origin.identity.user_id, &new, api.quota.max()).await?;
    let (mut results, mut messages) =
        (Vec::with_capacity(drafts.len()), Vec::with_capacity(made.len()));
    for draft in drafts {
        results.push(draft.and_then(|draft| match made.get(&draft.id) {
            Some(Some(created_at)) => {
                messages.push(draft.message.stamped(*created_at, 1));
                Ok(draft.id)
            }
            Some(None) => Err(full(api.quota.max())),
            None => Err(nothing_ahead()),
        }));
    }
    Ok((results, messages))
}

/// Reads the details that an entry asks for; a part of a body is refused as a body of its own would
/// be.
fn details(entry: &RawValue) -> Result<Details, ApiError> {
    if entry.get().len() > MAX_ENTRY_BYTES {
        return Err(ApiError::new(Reason::PayloadTooLarge, "the entry is too large"));
    }
    let Lenient { value, faults } = json::lenient::<NewReminder>(entry.get().as_bytes())?;
    value.details(faults)
}
