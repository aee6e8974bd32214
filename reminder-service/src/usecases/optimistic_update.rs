//! Update of one reminder with optimistic concurrency control and an idempotency key.
//!
//! Expansion of a rule takes time, so it runs outside of the threads that serve requests and
//! outside of a transaction: the reminder is read and the change is planned; then the row is
//! locked, and the plan is applied if it is still valid. If another request changed the reminder,
//! or a delivery became due, the change is planned again. A reminder without a rule is planned and
//! updated in one transaction.

use chrono::{DateTime, Utc};
use serde::Serialize;
use service::idempotency::{self, IdempotencyKey, Once, Start};

use super::{
    Answer, Error, OK, Resources,
    accept_address::{accept_address, is_accepted},
    compute::off_thread,
};
use crate::{
    domain::{
        caller::Origin,
        events,
        precondition::Target,
        reminder::{Handled, Reminder, Status},
    },
    store::{self, Seen, Unstamped},
};

/// Number of plans of one request before it is refused.
const MAX_ATTEMPTS: usize = 32;

/// A reminder after an update.
#[derive(Debug)]
pub struct Updated {
    /// The reminder.
    pub reminder: Reminder,
    /// Status at the time of the update.
    pub status: Status,
    /// Time of the next delivery; `None` if there is none.
    pub next_at: Option<DateTime<Utc>>,
}

/// An update of one reminder.
#[derive(Debug, Clone)]
pub(super) struct Update<P> {
    /// The reminder, and the versions that the client expects.
    pub(super) target: Target,
    /// `true` if the request contains a rule.
    pub(super) has_rule: bool,
    /// Function that plans the change of the reminder that was read.
    pub(super) plan: P,
}

/// A reminder after a change, with its status.
#[derive(Debug)]
pub(super) struct Plan {
    updated: Updated,
    is_rescheduled: bool,
    /// First instant at which the plan would be different.
    valid_until: Option<DateTime<Utc>>,
}

impl Plan {
    /// Computes everything that is written and answered if the change is made at `now`.
    pub(super) fn new(
        before: &Reminder,
        after: Reminder,
        now: DateTime<Utc>,
        is_rescheduled: bool,
    ) -> Self {
        let valid_until =
            [before, &after].into_iter().filter_map(|reminder| reminder.next_change_at(now)).min();
        let (status, next_at) = (after.status(now), after.next_at(now));
        let updated = Updated { reminder: after, status, next_at };
        Self { updated, is_rescheduled, valid_until }
    }

    /// Plans an acknowledgement or a snooze.
    pub(super) fn handling(before: Reminder, handled: Handled, now: DateTime<Utc>) -> Self {
        let after = Reminder { handled, ..before.clone() };
        Self::new(&before, after, now, false)
    }
}

/// A plan together with the version of the reminder and the time for which it was made.
struct VersionedPlan {
    version: i64,
    now: DateTime<Utc>,
    plan: Result<Plan, Error>,
}

impl VersionedPlan {
    async fn off_thread<P>(user_id: &str, seen: Seen<Reminder>, plan: P) -> Result<Self, Error>
    where
        P: FnOnce(Seen<Reminder>) -> Result<Plan, Error> + Send + 'static,
    {
        let (version, now) = (seen.value.version, seen.now);
        Ok(Self { version, now, plan: off_thread(user_id, move || plan(seen)).await? })
    }

    /// Returns `true` if the plan is still valid for the reminder as it was read now.
    fn is_valid_for(&self, seen: &Seen<Reminder>) -> bool {
        let is_due = match &self.plan {
            Ok(plan) => plan.valid_until.is_some_and(|until| until <= seen.now),
            // A refusal stays valid for the same version.
            Err(_) => false,
        };
        self.version == seen.value.version && self.now <= seen.now && !is_due
    }
}

/// Updates a reminder once per idempotency key. `answer` makes the answer, which is stored for the
/// key.
pub(super) async fn update<P, A>(
    resources: &Resources,
    origin: &Origin,
    key: Option<&IdempotencyKey>,
    update: Update<P>,
    answer: impl FnOnce(Updated) -> A,
) -> Result<Answer<A>, Error>
where
    P: Fn(Seen<Reminder>) -> Result<Plan, Error> + Clone + Send + 'static,
    A: Serialize,
{
    let (pool, caller) = (&resources.pool, &origin.caller);
    let user_id = &caller.user_id;
    let mut planned = None;
    for _ in 0..MAX_ATTEMPTS {
        let mut once = match idempotency::once(pool, user_id, key).await? {
            Start::First(once) => once,
            Start::Repeat(replay) => return Ok(Answer::Repeat(replay)),
        };
        let seen = store::lock(once.connection(), user_id, update.target.id).await?;
        let seen = seen.ok_or(Error::MissingReminder)?;
        update.target.check(seen.value.version)?;
        let plan = match planned.take().filter(|plan: &VersionedPlan| plan.is_valid_for(&seen)) {
            Some(planned) => planned.plan,
            None if update.has_rule || seen.value.details.schedule.recurrence.is_some() => {
                once.rollback().await?;
                planned =
                    Some(VersionedPlan::off_thread(user_id, seen, update.plan.clone()).await?);
                continue;
            }
            None => (update.plan)(seen),
        };
        let plan = plan?;
        let channels = &plan.updated.reminder.details.channels;
        if !is_accepted(resources, caller, channels) {
            once.rollback().await?;
            accept_address(resources, caller, channels).await?;
            continue;
        }
        return commit(resources, origin, once, plan, answer).await;
    }
    Err(Error::Contended)
}

/// Writes the planned reminder, its event and the answer to the key, and commits.
async fn commit<A: Serialize>(
    resources: &Resources,
    origin: &Origin,
    mut once: Once<'_>,
    plan: Plan,
    answer: impl FnOnce(Updated) -> A,
) -> Result<Answer<A>, Error> {
    let Plan { mut updated, is_rescheduled, .. } = plan;
    let reminder = &mut updated.reminder;
    let event = events::updated(origin, reminder.id, &reminder.details, reminder.handled)?;
    let message = Unstamped::of(&event)?;
    let (version, at) =
        store::update(once.connection(), reminder, is_rescheduled, &message).await?;
    (reminder.version, reminder.updated_at) = (version, at);
    let answer = answer(updated);
    once.commit(OK, Some(&answer)).await?;
    resources.relay_handle.after_commit([message.stamped(at, version)]);
    metrics::counter!("reminders_updated_total").increment(1);
    Ok(Answer::First(answer))
}

#[cfg(test)]
mod tests;
