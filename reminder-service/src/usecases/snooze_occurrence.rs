//! Snooze of the latest occurrence of a reminder.

use serde::Serialize;
use service::idempotency::IdempotencyKey;

use super::{
    Answer, Error, Resources,
    optimistic_update::{Plan, Update, Updated, update},
};
use crate::{
    domain::{
        caller::Origin,
        precondition::Target,
        reminder::{Reminder, SnoozeEnd},
    },
    store::Seen,
};

/// Snoozes the latest occurrence once per idempotency key: it is delivered once more at `end`.
/// `answer` makes the answer, which is stored for the key.
///
/// # Errors
/// [`Error`]: the reminder was not changed.
pub async fn snooze_occurrence<A: Serialize>(
    resources: &Resources,
    origin: &Origin,
    key: Option<&IdempotencyKey>,
    target: Target,
    end: SnoozeEnd,
    answer: impl FnOnce(Updated) -> A,
) -> Result<Answer<A>, Error> {
    let plan = move |Seen { value: reminder, now }: Seen<Reminder>| {
        reminder.check_not_paused()?;
        let zone = reminder.details.schedule.time_zone;
        let handled = reminder.snooze(now, end.at(now, zone)?)?;
        Ok(Plan::handling(reminder, handled, now))
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
