//! `POST /reminders`.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use contract::new_id;
use rest::{
    IdempotencyKeyHeader, Identity, LenientBody, RequestContext,
    idempotency::{self, IdempotencyKey, Known},
};
use serde::Serialize;
use serde_json::json;
use service::http::{ApiError, ErrorBody, Reason};
use utoipa::ToSchema;

use super::{Api, body::NewReminder};
use crate::{
    domain::{
        email_addresses::check_channels,
        events::{self, Origin},
    },
    store::{self, Created},
    usecases::compute::off_thread,
};

/// Id of a reminder that was created.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"id": "01979a3c7e2f7c41b1d1e0a5d2c3f4a5"}))]
pub(super) struct CreatedReminder {
    /// Id of the reminder.
    pub(super) id: String,
}

impl CreatedReminder {
    pub(super) fn of(id: uuid::Uuid) -> Self {
        Self { id: id.simple().to_string() }
    }
}

/// Create a reminder
///
/// The reminder and its event are stored in one transaction.
#[utoipa::path(
    post,
    path = "/reminders",
    operation_id = "createReminder",
    tag = "reminders",
    params(IdempotencyKeyHeader),
    request_body = NewReminder,
    responses(
        (
            status = 201,
            body = CreatedReminder,
            description = "The reminder was created, now or by an earlier request with the same \
                           `Idempotency-Key` (then with `Idempotent-Replayed: true`)",
        ),
        (
            status = 403,
            body = ErrorBody,
            description = "`PERMISSION_DENIED`: the caller's e-mail address is not verified",
        ),
        (
            status = 422,
            body = ErrorBody,
            description = "`INVALID_DUEDATE`: no delivery is in the future · \
                           `INVALID_RECURRENCE` · `IDEMPOTENCY_KEY_REUSED`",
        ),
        (
            status = 429,
            body = ErrorBody,
            description = "`RATE_LIMITED`: too many requests, or the caller has the largest \
                           number of reminders; try again after `Retry-After`",
        ),
    ),
)]
pub(super) async fn create(
    State(api): State<Api>,
    identity: Identity,
    context: RequestContext,
    body: LenientBody<NewReminder>,
) -> Result<Response, ApiError> {
    let LenientBody { value, faults, key } = body;
    let user_id = &identity.user_id;
    let details = if value.recurs() {
        off_thread(user_id, move || value.details(faults)).await??
    } else {
        value.details(faults)?
    };
    check_channels(&details.channels, &identity)?;
    api.addresses.accept(&api.pool, &identity, &details.channels).await?;
    let id = new_id();
    let origin = Origin { identity: &identity, traceparent: context.traceparent };
    let message = events::created(origin, id, &details)?;
    let created = CreatedReminder::of(id);
    let answer = json!(created);
    let key = key.as_ref();
    let new = store::NewReminder {
        count_up_to: (!api.quota.take(&identity.user_id)).then_some(api.quota.max()),
        id,
        user_id: &identity.user_id,
        details: &details,
        message: &message,
        key,
        answer: &answer,
    };
    match store::create(&api.pool, new).await? {
        Created::At { created_at, stored } => {
            if let Some(stored) = stored {
                api.quota.record_count(&identity.user_id, stored + 1);
            }
            api.relay_handle.after_commit([message.stamped(created_at, 1)]);
            metrics::counter!("reminders_created_total").increment(1);
            Ok((StatusCode::CREATED, Json(created)).into_response())
        }
        Created::Refused { stored } => refused(&api, &identity, key, stored).await,
    }
}

/// Answers a creation that wrote nothing: with the first answer to the key, or with the limit of
/// reminders or the past due date as the reason. The statement of the creation has counted the
/// reminders; they are not counted again.
async fn refused(
    api: &Api,
    identity: &Identity,
    key: Option<&IdempotencyKey>,
    stored: Option<u32>,
) -> Result<Response, ApiError> {
    if let Some(key) = key {
        let mut connection = api.pool.acquire().await?;
        if let Known::Answered(replay) =
            idempotency::lookup(&mut connection, &identity.user_id, key).await?
        {
            return Ok(replay.into_response());
        }
    }
    if stored.is_some_and(|stored| stored >= api.quota.max()) {
        return Err(quota_exceeded(api.quota.max()));
    }
    Err(no_delivery_ahead())
}

/// Refusal of a user with the largest number of reminders. `Retry-After` is long, since the user
/// must delete some first.
pub(super) fn quota_exceeded(max_reminders: u32) -> ApiError {
    let message =
        format!("you have {max_reminders} reminders, which is the limit; delete some first");
    ApiError::new(Reason::RateLimited, message).after(Duration::from_secs(3_600))
}

/// Refusal of a reminder without a delivery in the future.
pub(super) fn no_delivery_ahead() -> ApiError {
    ApiError::new(
        Reason::InvalidDueDate,
        "date: at least one delivery (date minus an offset) must be in the future",
    )
}
