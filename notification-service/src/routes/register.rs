//! `POST /device/register`.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use rest::{Faults, IdempotencyKeyHeader, Identity, LenientBody, RequestContext};
use serde::{Deserialize, Serialize};
use service::{
    http::{ApiError, ErrorBody, FieldFault, Reason},
    idempotency::{self, Known},
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{AppState, device_type::DeviceTypeSchema};
use crate::{
    channels::outcome::Outcome,
    domain::device::{DeviceType, NewDevice, Token, parse_name},
    usecases::{self, Answer, register_device::RegisterDevice},
};

/// Device to register.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "fcmToken": "dGhpcyBpcyBubyB0b2tlbg:APA91bExampleExampleExample",
    "type": "android",
    "name": "My phone"
}))]
pub(super) struct Registration {
    /// Registration token of the FCM SDK: 1 to 4096 visible ASCII characters.
    #[schema(
        required,
        value_type = String,
        min_length = 1,
        max_length = 4096,
        pattern = "^[!-~]*$",
    )]
    fcm_token: Option<String>,
    /// Platform of the device.
    #[serde(rename = "type")]
    #[schema(required, value_type = DeviceTypeSchema)]
    device_type: Option<DeviceType>,
    /// Name that the user gives to the device. A registration without a name keeps the previous
    /// one.
    #[schema(
        max_length = 100,
        pattern = r"^([^\x00-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F][^\x00-\x1F\x7F-\x9F]*)?$"
    )]
    name: Option<String>,
}

/// Registered device.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"id": "01979a3c7e2f7c41b1d1e0a5d2c3f4a5"}))]
pub(super) struct Registered {
    /// Id of the device.
    id: String,
}

impl Registration {
    /// Checks the fields; `faults` are those of fields that could not be parsed.
    fn device(self, user_id: &str, faults: Vec<FieldFault>) -> Result<NewDevice, ApiError> {
        let mut faults = Faults::begin(faults);
        let invalid =
            |field| move |problem| ApiError::field(Reason::InvalidRequest, field, problem);
        let token = faults.required("fcmToken", self.fcm_token);
        let token =
            token.and_then(|token| faults.take(Token::parse(token).map_err(invalid("fcmToken"))));
        let device_type = faults.required("type", self.device_type);
        let name = faults.take(parse_name(self.name).map_err(invalid("name")));
        let device = token.zip(device_type).zip(name);
        faults.or(device.map(|((token, device_type), name)| NewDevice {
            user_id: user_id.to_owned(),
            token,
            device_type,
            name,
        }))
    }
}

/// Register or refresh a device
///
/// Validates the token with FCM. Registering the caller's own token again refreshes the device and
/// returns the same id. A token that is registered for another user moves: that user's device is
/// removed, and the caller gets a new one. The number of devices of one user is limited (20 unless
/// configured otherwise): a new device replaces the one that was registered least recently.
#[utoipa::path(
    post,
    path = "/device/register",
    operation_id = "registerDevice",
    tag = "devices",
    params(IdempotencyKeyHeader),
    request_body = Registration,
    responses(
        (status = 201, description = "The device is registered", body = Registered),
        (
            status = 422,
            description = "`INVALID_TOKEN`: FCM does not know the token · `IDEMPOTENCY_KEY_REUSED`",
            body = ErrorBody
        ),
        (
            status = 503,
            description = "`UPSTREAM_UNAVAILABLE`: FCM is unreachable and nothing was stored; try \
                again after `Retry-After`",
            body = ErrorBody
        ),
    ),
)]
pub(super) async fn register(
    State(state): State<AppState>,
    identity: Identity,
    context: RequestContext,
    body: LenientBody<Registration>,
) -> Result<Response, ApiError> {
    let device = body.value.device(&identity.user_id, body.faults)?;
    let key = body.key.as_ref();
    if let Some(key) = key
        && let Known::Answered(replay) =
            idempotency::lookup(&mut *state.pool.acquire().await?, &identity.user_id, key).await?
    {
        return Ok(replay.into_response());
    }
    // Outside of any transaction, because FCM may take seconds.
    let Some(permit) = state.push_channel.token_check_permit(&identity.user_id) else {
        return Err(busy());
    };
    check(state.push_channel.validate(device.token.as_str(), &permit).await)?;
    drop(permit);
    let registration = usecases::register_device::Registration {
        device: &device,
        user_email: &identity.email,
        at: state.clock.now(),
        traceparent: context.traceparent,
    };
    let use_case = RegisterDevice {
        pool: &state.pool,
        relay_handle: &state.relay_handle,
        max_devices: state.max_devices,
    };
    let answer = |id: Uuid| Registered { id: id.simple().to_string() };
    let registered = match use_case.register(key, registration, answer).await? {
        Answer::First(registered) => registered,
        Answer::Repeat(replay) => return Ok(replay.into_response()),
    };
    metrics::counter!("reminders_devices_registered_total", "type" => device.device_type.as_str())
        .increment(1);
    Ok((StatusCode::CREATED, Json(registered)).into_response())
}

/// Maps the outcome of FCM's validation of a token to the result of its registration.
fn check(outcome: Outcome) -> Result<(), ApiError> {
    match outcome {
        Outcome::Sent { .. } => Ok(()),
        Outcome::Gone { .. } | Outcome::Rejected { .. } => {
            Err(ApiError::new(Reason::InvalidToken, "fcmToken: FCM does not know this token"))
        }
        Outcome::Throttled { retry_after, .. } | Outcome::Unavailable { retry_after, .. } => {
            let mut error = ApiError::new(
                Reason::UpstreamUnavailable,
                "FCM is unreachable, the token could not be validated; try again",
            );
            error.retry_after = Some(retry_after.unwrap_or(RETRY_AFTER));
            Err(error)
        }
        Outcome::Refused { reason } => {
            tracing::warn!(%reason, "FCM refuses the credentials of a device registration");
            Err(ApiError::new(
                Reason::UpstreamUnavailable,
                "FCM is unreachable, the token could not be validated; try again",
            ))
        }
        Outcome::Misconfigured { reason } | Outcome::KeyRefused { reason } => {
            tracing::error!(
                %reason,
                "FCM refuses the account, key or settings, no device can be registered"
            );
            Err(ApiError::new(
                Reason::UpstreamUnavailable,
                "FCM is unreachable, the token could not be validated; try again",
            ))
        }
    }
}

/// Refuses a registration while the largest number of token checks is in flight, instead of waiting
/// for a permit.
fn busy() -> ApiError {
    metrics::counter!("reminders_device_registrations_rejected_total").increment(1);
    ApiError::new(
        Reason::UpstreamUnavailable,
        "too many devices are being registered at once; try again",
    )
}

/// Wait before the next try if FCM names none.
const RETRY_AFTER: Duration = Duration::from_secs(10);
