//! Removal of a device by its user.

use chrono::{DateTime, Utc};
use contract::{EventType, Traceparent};
use service::outbox::{self, OutboxMessage, RelayHandle};
use sqlx::PgPool;
use uuid::Uuid;

use super::Error;
use crate::{domain::events, store::devices};

/// Removal of a device.
#[derive(Debug)]
pub struct Removal {
    /// User who removes the device.
    pub user_id: String,
    /// Mail address of the user.
    pub user_email: String,
    /// Id of the device.
    pub device_id: Uuid,
    /// Time of the removal.
    pub at: DateTime<Utc>,
    /// Trace of the request.
    pub traceparent: Traceparent,
}

/// Deletes a device and publishes its removal. Returns `false` if the user has no such device.
///
/// # Errors
/// If a statement fails, or the bus can never accept the event.
pub async fn remove_device(
    pool: &PgPool,
    relay_handle: &RelayHandle,
    removal: Removal,
) -> Result<bool, Error> {
    let Removal { user_id, user_email, device_id, at, traceparent } = removal;
    let mut transaction = pool.begin().await?;
    let Some(device) = devices::remove(&mut *transaction, &user_id, device_id).await? else {
        return Ok(false);
    };
    let (event_type, email) = (EventType::DeviceRemoved, Some(user_email));
    let event = events::device(event_type, &device, email, None, at, Some(traceparent));
    let message = OutboxMessage::of(&event)?;
    bus::check(&message.message, 0)?;
    outbox::insert(&mut *transaction, std::slice::from_ref(&message)).await?;
    transaction.commit().await?;
    relay_handle.after_commit([message]);
    Ok(true)
}
