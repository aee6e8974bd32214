//! `POST /reminders`.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;
use shared::{
    contract::new_id,
    http::{
        ApiError, ErrorBody, Identity, LenientBody, Reason, RequestContext,
        idempotency::{self, IdempotencyKey, Known},
    },
};
use utoipa::ToSchema;

use super::{Api, body::NewReminder, compute::off_thread};
use crate::{
    addresses::reach,
    events::{self, Origin},
    store::{self, Created},
};

/// The reminder that was made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"id": "01979a3c7e2f7c41b1d1e0a5d2c3f4a5"}))]
pub(super) struct Made {
    /// Its id.
    pub(super) id: String,
}

impl Made {
    pub(super) fn of(id: uuid::Uuid) -> Self {
        Self { id: id.simple().to_string() }
    }
}

/// Make a reminder
///
/// The reminder is stored together with the event that tells of it, or not at all.
#[utoipa::path(
    post,
    path = "/reminders",
    operation_id = "createReminder",
    tag = "reminders",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, chosen by the client for this request and its repeats")),
    request_body = NewReminder,
    responses(
        (status = 201, description = "It was made (or had been, with this `Idempotency-Key`: then with `Idempotent-Replayed: true`)", body = Made),
        (status = 400, description = "`INVALID_REQUEST`: a field is malformed or unknown; the message names it", body = ErrorBody),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 403, description = "`PERMISSION_DENIED`: e-mail to an address that the token says is not verified", body = ErrorBody),
        (status = 413, description = "`PAYLOAD_TOO_LARGE`", body = ErrorBody),
        (status = 422, description = "`INVALID_DUEDATE`: no delivery lies ahead · `INVALID_RECURRENCE` · `IDEMPOTENCY_KEY_REUSED`", body = ErrorBody),
        (status = 429, description = "`RATE_LIMITED`: too many calls, or the caller has as many reminders as one may have; try again after `Retry-After`", body = ErrorBody),
        (status = 503, description = "`UPSTREAM_UNAVAILABLE`: try again after `Retry-After`", body = ErrorBody),
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
    reach(&details.channels, &identity)?;
    api.addresses.accept(&api.pool, &identity, &details.channels).await?;
    let id = new_id();
    let origin = Origin { identity: &identity, traceparent: context.traceparent };
    let message = events::created(origin, id, &details)?;
    let made = Made::of(id);
    let answer = json!(made);
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
                api.quota.counted(&identity.user_id, stored + 1);
            }
            api.handoff.after_commit([message.stamped(created_at, 1)]);
            metrics::counter!("reminders_created_total").increment(1);
            Ok((StatusCode::CREATED, Json(made)).into_response())
        }
        Created::Refused { stored } => refused(&api, &identity, key, stored).await,
    }
}

/// Answers a create that wrote nothing: with the first answer to the key, that there are too many,
/// or that nothing lies ahead. There are too many only if they were counted, and they are not
/// counted again.
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
        return Err(full(api.quota.max()));
    }
    Err(nothing_ahead())
}

/// The user has as many reminders as one may have. Waiting alone does not help, so clients are told
/// to come back late.
pub(super) fn full(max_reminders: u32) -> ApiError {
    let message =
        format!("you have {max_reminders} reminders, which is the most; delete some first");
    ApiError::new(Reason::RateLimited, message).after(Duration::from_secs(3_600))
}

/// Nothing of the reminder lies in the future.
pub(super) fn nothing_ahead() -> ApiError {
    ApiError::new(
        Reason::InvalidDueDate,
        "date: no delivery (date minus an offset) lies in the future",
    )
}
