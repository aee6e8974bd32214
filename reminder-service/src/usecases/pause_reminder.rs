//! Pause of a reminder, and the end of the pause.

use serde::Serialize;
use service::idempotency::IdempotencyKey;

use super::{
    Answer, Error, Resources,
    optimistic_update::{Plan, Update, Updated, update},
};
use crate::{
    domain::{caller::Origin, precondition::Target, reminder::Reminder},
    store::Seen,
};

/// Pauses a reminder once per idempotency key: nothing of it is delivered until it is resumed.
/// `answer` makes the answer, which is stored for the key.
///
/// # Errors
/// [`Error`]: the reminder was not changed.
pub async fn pause_reminder<A: Serialize>(
    resources: &Resources,
    origin: &Origin,
    key: Option<&IdempotencyKey>,
    target: Target,
    answer: impl FnOnce(Updated) -> A,
) -> Result<Answer<A>, Error> {
    let plan = |Seen { value: before, now }: Seen<Reminder>| {
        Ok(Plan::idempotent(&before, before.pause(now), now, false))
    };
    update(
        resources,
        origin,
        key,
        Update { target, has_rule: false, may_create: false, plan },
        answer,
    )
    .await
}

/// Ends the pause of a reminder once per idempotency key. `answer` makes the answer, which is
/// stored for the key.
///
/// # Errors
/// [`Error`]: the reminder was not changed.
pub async fn resume_reminder<A: Serialize>(
    resources: &Resources,
    origin: &Origin,
    key: Option<&IdempotencyKey>,
    target: Target,
    answer: impl FnOnce(Updated) -> A,
) -> Result<Answer<A>, Error> {
    let plan = |Seen { value: before, now }: Seen<Reminder>| {
        // Earlier deliveries were not sent, so they count like those before a new schedule.
        Ok(Plan::idempotent(&before, before.resume(now), now, true))
    };
    update(
        resources,
        origin,
        key,
        Update { target, has_rule: false, may_create: false, plan },
        answer,
    )
    .await
}
