//! Registration of a device whose token the provider knows.

use chrono::{DateTime, Utc};
use contract::{EventType, Reason, Traceparent};
use serde::Serialize;
use service::{
    idempotency::{self, IdempotencyKey, Start},
    outbox::{self, OutboxMessage, RelayHandle},
};
use sqlx::PgPool;
use uuid::Uuid;

use super::{Answer, Error};
use crate::{
    domain::{device::NewDevice, events},
    store::devices::{self, Registered},
};

/// Status of the answer that is stored for an idempotency key.
const CREATED: u16 = 201;

/// Registers devices.
pub struct RegisterDevice<'a> {
    /// Pool of the devices database.
    pub pool: &'a PgPool,
    /// Hands published messages to the relay.
    pub relay_handle: &'a RelayHandle,
    /// Largest number of devices of one user.
    pub max_devices: usize,
}

/// Registration of a device.
#[derive(Debug)]
pub struct Registration<'a> {
    /// Device to register.
    pub device: &'a NewDevice,
    /// Mail address of the user.
    pub user_email: &'a str,
    /// Time of the registration.
    pub at: DateTime<Utc>,
    /// Trace of the request.
    pub traceparent: Traceparent,
}

impl RegisterDevice<'_> {
    /// Registers a device once per idempotency key, and publishes the registration and the
    /// removals that follow from it. `answer` makes the answer from the id of the device; it is
    /// stored for the key.
    ///
    /// # Errors
    /// If a statement fails, or the bus can never accept the event; nothing was registered.
    pub async fn register<A: Serialize>(
        &self,
        key: Option<&IdempotencyKey>,
        registration: Registration<'_>,
        answer: impl FnOnce(Uuid) -> A,
    ) -> Result<Answer<A>, Error> {
        let user_id = &registration.device.user_id;
        let mut once = match idempotency::once(self.pool, user_id, key).await? {
            Start::First(once) => once,
            Start::Repeat(replay) => return Ok(Answer::Repeat(replay)),
        };
        let registered =
            devices::register(once.connection(), registration.device, self.max_devices).await?;
        let messages = messages(&registered, &registration)?;
        outbox::insert(once.connection(), &messages).await?;
        let answer = answer(registered.device.id);
        once.commit(CREATED, Some(&answer)).await?;
        self.relay_handle.after_commit(messages);
        Ok(Answer::First(answer))
    }
}

fn messages(
    registered: &Registered,
    registration: &Registration<'_>,
) -> Result<Vec<OutboxMessage>, Error> {
    let (at, trace) = (registration.at, Some(registration.traceparent));
    let email = Some(registration.user_email.to_owned());
    let event_type = EventType::DeviceRegistered;
    let device = events::device(event_type, &registered.device, email, None, at, trace);
    let device = OutboxMessage::of(&device)?;
    bus::check(&device.message, 0)?;
    let moved = registered.moved_from.iter().map(|device| (device, Reason::Moved));
    let evicted = registered.evicted.iter().map(|device| (device, Reason::DeviceLimit));
    let mut messages = vec![device];
    for (device, reason) in moved.chain(evicted) {
        let event_type = EventType::DeviceRemoved;
        let event = events::device(event_type, device, None, Some(reason), at, trace);
        messages.push(OutboxMessage::of(&event)?);
    }
    Ok(messages)
}
