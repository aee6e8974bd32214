//! Acknowledgement of the latest occurrence of a reminder.

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

/// Acknowledges the latest occurrence once per idempotency key: no further delivery of it is sent.
/// `answer` makes the answer, which is stored for the key.
///
/// # Errors
/// [`Error`]: the reminder was not changed.
pub async fn acknowledge_occurrence<A: Serialize>(
    resources: &Resources,
    origin: &Origin,
    key: Option<&IdempotencyKey>,
    target: Target,
    answer: impl FnOnce(Updated) -> A,
) -> Result<Answer<A>, Error> {
    let plan = |Seen { value: reminder, now }: Seen<Reminder>| {
        let handled = reminder.acknowledge(now)?;
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
