//! `GET /device` and `DELETE /device/remove/{id}`.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use rest::{Identity, PathId, RequestContext};
use serde::Serialize;
use service::http::{ApiError, ErrorBody, Reason};
use utoipa::ToSchema;

use super::{AppState, device_type::DeviceTypeSchema, examples, time_format::time};
use crate::{
    domain::device::Device,
    store::devices,
    usecases::remove_device::{Removal, remove_device},
};

/// Registered device. Never contains the token.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Device, example = json!(examples::device()))]
pub(super) struct DeviceAnswer {
    /// Id of the device.
    id: String,
    /// Platform of the device.
    #[serde(rename = "type")]
    #[schema(value_type = DeviceTypeSchema)]
    device_type: String,
    /// Name that the user gave to the device.
    name: Option<String>,
    /// Time of the first registration.
    #[serde(serialize_with = "time")]
    created_at: DateTime<Utc>,
    /// Time of the last registration.
    #[serde(serialize_with = "time")]
    last_seen_at: DateTime<Utc>,
}

/// Devices of the caller.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(examples::devices()))]
pub(super) struct Devices {
    /// Devices, oldest first. The number of devices of one user is limited (20 unless configured
    /// otherwise).
    devices: Vec<DeviceAnswer>,
}

impl From<Device> for DeviceAnswer {
    fn from(device: Device) -> Self {
        let Device { id, device_type, name, created_at, last_seen_at, .. } = device;
        Self { id: id.simple().to_string(), device_type, name, created_at, last_seen_at }
    }
}

/// List devices
#[utoipa::path(
    get,
    path = "/device",
    operation_id = "listDevices",
    tag = "devices",
    responses(
        (
            status = 200,
            description = "The registered devices whose tokens are valid",
            body = Devices
        ),
    ),
)]
pub(super) async fn list(
    State(state): State<AppState>,
    identity: Identity,
) -> Result<Json<Devices>, ApiError> {
    let devices = devices::of_user(&state.pool, &identity.user_id).await?;
    Ok(Json(Devices { devices: devices.into_iter().map(Into::into).collect() }))
}

/// Remove a device
#[utoipa::path(
    delete,
    path = "/device/remove/{id}",
    operation_id = "removeDevice",
    tag = "devices",
    params(("id" = String, Path, description = "Id of the device")),
    responses(
        (status = 200, description = "The device is removed, and nothing more is sent to it"),
        (
            status = 422,
            description = "`DEVICE_NOT_ASSOCIATED`: the caller has no such device",
            body = ErrorBody
        ),
    ),
)]
pub(super) async fn remove(
    State(state): State<AppState>,
    identity: Identity,
    context: RequestContext,
    PathId(id): PathId,
) -> Result<(), ApiError> {
    let not_theirs =
        || ApiError::new(Reason::DeviceNotAssociated, "id: you have no device with this id");
    let id = id.ok_or_else(not_theirs)?;
    let removal = Removal {
        user_id: identity.user_id,
        user_email: identity.email,
        device_id: id,
        at: state.clock.now(),
        traceparent: context.traceparent,
    };
    let is_removed = remove_device(&state.pool, &state.relay_handle, removal).await?;
    if is_removed { Ok(()) } else { Err(not_theirs()) }
}
