//! `GET /device` and `DELETE /device/remove/{id}`.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::{
    bus,
    contract::EventType,
    http::{ApiError, ErrorBody, Identity, PathId, Reason, RequestContext},
    outbox,
};
use utoipa::ToSchema;

use super::{Api, examples, time_format::time};
use crate::{
    device::{Device, DeviceType},
    events,
    store::devices,
};

/// A device; never its token.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Device, example = json!(examples::device()))]
pub(super) struct DeviceAnswer {
    /// Its id.
    id: String,
    /// What it is.
    #[serde(rename = "type")]
    #[schema(value_type = DeviceType)]
    device_type: String,
    /// What its user calls it.
    name: Option<String>,
    /// When it was first registered.
    #[serde(serialize_with = "time")]
    created_at: DateTime<Utc>,
    /// When it was last registered.
    #[serde(serialize_with = "time")]
    last_seen_at: DateTime<Utc>,
}

/// The caller's devices.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(examples::devices()))]
pub(super) struct Devices {
    /// Oldest first; as many as one user may have (20, if the installation does not say otherwise).
    devices: Vec<DeviceAnswer>,
}

impl From<Device> for DeviceAnswer {
    fn from(device: Device) -> Self {
        let Device { id, device_type, name, created_at, last_seen_at, .. } = device;
        Self { id: id.simple().to_string(), device_type, name, created_at, last_seen_at }
    }
}

/// List the caller's devices
#[utoipa::path(
    get,
    path = "/device",
    operation_id = "listDevices",
    tag = "devices",
    responses(
        (status = 200, description = "The devices that are registered and alive", body = Devices),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 503, description = "`UPSTREAM_UNAVAILABLE`", body = ErrorBody),
    ),
)]
pub(super) async fn list(
    State(api): State<Api>,
    identity: Identity,
) -> Result<Json<Devices>, ApiError> {
    let devices = devices::of_user(&api.pool, &identity.user_id).await?;
    Ok(Json(Devices { devices: devices.into_iter().map(Into::into).collect() }))
}

/// Remove a device
#[utoipa::path(
    delete,
    path = "/device/remove/{id}",
    operation_id = "removeDevice",
    tag = "devices",
    params(("id" = String, Path, description = "The device's id")),
    responses(
        (status = 200, description = "It is removed; nothing more is sent to it"),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 422, description = "`DEVICE_NOT_ASSOCIATED`: the caller has no such device", body = ErrorBody),
        (status = 503, description = "`UPSTREAM_UNAVAILABLE`", body = ErrorBody),
    ),
)]
pub(super) async fn remove(
    State(api): State<Api>,
    identity: Identity,
    context: RequestContext,
    PathId(id): PathId,
) -> Result<(), ApiError> {
    let not_theirs = || ApiError::new(Reason::DeviceNotAssociated, "you have no such device");
    let id = id.ok_or_else(not_theirs)?;
    let mut transaction = api.pool.begin().await?;
    let device =
        devices::remove(&mut *transaction, &identity.user_id, id).await?.ok_or_else(not_theirs)?;
    let message = events::device(
        EventType::DeviceRemoved,
        &device,
        Some(identity.email),
        None,
        api.clock.now(),
        Some(context.traceparent),
    )?;
    bus::check(&message.message, 0)?;
    outbox::insert(&mut *transaction, std::slice::from_ref(&message)).await?;
    transaction.commit().await?;
    api.handoff.after_commit([message]);
    Ok(())
}
