//! Edit of one occurrence of a recurring reminder, or of an occurrence and those after it.

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
        reminder::{GivenTime, OccurrenceEdit, Reminder},
    },
    store::Seen,
};

/// Edits the occurrence at a time once per idempotency key. `answer` makes the answer, which is
/// stored for the key.
///
/// # Errors
/// [`Error`]: the reminder was not changed.
pub async fn change_occurrence<A: Serialize>(
    resources: &Resources,
    origin: &Origin,
    key: Option<&IdempotencyKey>,
    target: Target,
    at: GivenTime,
    edit: OccurrenceEdit,
    answer: impl FnOnce(Updated) -> A,
) -> Result<Answer<A>, Error> {
    let plan = move |Seen { value: before, now }: Seen<Reminder>| {
        let at = at.due_date(before.details.schedule.time_zone, None)?;
        let after = before.edit_occurrence(at, &edit, now)?;
        // The other occurrences stay, so they keep their acknowledgement and snooze.
        Ok(Plan::idempotent(&before, after, now, false))
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

/// Splits the series at an occurrence once per idempotency key: the occurrence and those after it
/// end, or become a new reminder with the change. `answer` makes the answer, which is stored for
/// the key.
///
/// # Errors
/// [`Error`]: the reminder was not changed.
pub async fn change_following<A: Serialize>(
    resources: &Resources,
    origin: &Origin,
    key: Option<&IdempotencyKey>,
    target: Target,
    at: GivenTime,
    edit: OccurrenceEdit,
    answer: impl FnOnce(Updated) -> A,
) -> Result<Answer<A>, Error> {
    let plan = move |Seen { value: before, now }: Seen<Reminder>| {
        before.check_not_paused()?;
        let at = at.due_date(before.details.schedule.time_zone, None)?;
        let (after, following) = before.split(at, &edit, now)?;
        Ok(Plan::split(&before, after, following, now))
    };
    let update_of_series = Update { target, has_rule: false, may_create: true, plan };
    update(resources, origin, key, update_of_series, answer).await
}
