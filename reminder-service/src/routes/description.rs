//! Parts of the API's description that several calls have.

use service::http::ErrorBody;
use utoipa::{IntoParams, IntoResponses};

/// Path of the calls on one reminder.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path that `PathId` reads")]
pub(super) struct ReminderPath {
    /// Id of the reminder
    id: String,
}

/// Refusal of a call on a reminder that does not exist.
#[derive(IntoResponses)]
#[response(status = 404, description = "`MISSING_REMINDER`: the caller has no such reminder")]
#[expect(dead_code, reason = "describes an `ApiError`")]
pub(super) struct MissingReminder(ErrorBody);

/// Refusal of a change of another version.
#[derive(IntoResponses)]
#[response(
    status = 412,
    description = "`PRECONDITION_FAILED`: the reminder has another version than `If-Match` names"
)]
#[expect(dead_code, reason = "describes an `ApiError`")]
pub(super) struct OtherVersion(ErrorBody);

/// Refusal of a request whose zone cannot be read.
#[derive(IntoResponses)]
#[response(
    status = 503,
    description = "`UPSTREAM_UNAVAILABLE`: the database is unreachable, or the request needs the \
                   time zone of the caller's preferences and notification-service does not \
                   answer; nothing was changed, try again after `Retry-After`"
)]
#[expect(dead_code, reason = "describes an `ApiError`")]
pub(super) struct NoUserZone(ErrorBody);

/// Refusal to act on the latest occurrence.
#[derive(IntoResponses)]
#[response(
    status = 409,
    description = "`CONFLICT`: no occurrence of the reminder was delivered yet"
)]
#[expect(dead_code, reason = "describes an `ApiError`")]
pub(super) struct NothingDelivered(ErrorBody);

/// Refusals of a call with many entries.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes `ApiError`s")]
pub(super) enum EntryRefusals {
    #[response(status = 413, description = "`PAYLOAD_TOO_LARGE`: the body is larger than 4 MiB")]
    TooLarge(ErrorBody),
    #[response(
        status = 429,
        description = "`RATE_LIMITED`: this call counts as one call plus one for every 20 \
                       entries; try again after `Retry-After`"
    )]
    RateLimited(ErrorBody),
}
