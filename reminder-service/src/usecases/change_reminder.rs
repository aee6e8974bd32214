//! Change of the fields of a reminder.

use serde::Serialize;
use service::idempotency::IdempotencyKey;

use super::{
    Answer, Error, Resources,
    optimistic_update::{Plan, Update, Updated, update},
};
use crate::{
    domain::{
        caller::{Caller, Origin},
        precondition::Target,
        reminder::{Change, Reminder, Status},
    },
    store::Seen,
};

/// Changes a reminder once per idempotency key. `answer` makes the answer, which is stored for the
/// key.
///
/// # Errors
/// [`Error`]: the reminder was not changed.
pub async fn change_reminder<A: Serialize>(
    resources: &Resources,
    origin: &Origin,
    key: Option<&IdempotencyKey>,
    target: Target,
    change: Change,
    answer: impl FnOnce(Updated) -> A,
) -> Result<Answer<A>, Error> {
    let has_rule = change.recurrence.as_ref().is_some_and(Option::is_some);
    let caller = origin.caller.clone();
    let plan = move |seen| plan_change(seen, change.clone(), &caller);
    update(resources, origin, key, Update { target, has_rule, may_create: false, plan }, answer)
        .await
}

fn plan_change(seen: Seen<Reminder>, change: Change, caller: &Caller) -> Result<Plan, Error> {
    let Seen { value: before, now } = seen;
    let mut after = before.clone();
    after.details = after.details.with(change)?;
    let schedule = &after.details.schedule;
    let is_rescheduled = !schedule.has_times_of(&before.details.schedule);
    if is_rescheduled {
        schedule.check_fires()?;
        if schedule.status(now) == Status::Completed {
            return Err(Error::NoDeliveryAhead);
        }
        after.start_new_schedule(&before.details.schedule, now);
    }
    caller.check_channels(&after.details.channels)?;
    Ok(Plan::new(&before, after, now, is_rescheduled))
}
