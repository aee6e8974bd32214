//! Update of one reminder with optimistic concurrency control and an idempotency key.
//!
//! Expansion of a rule takes time, so it runs outside of the threads that serve requests and
//! outside of a transaction: the reminder is read and the change is planned; then the row is
//! locked, and the plan is applied if it is still valid. If another request changed the reminder,
//! or a delivery became due, the change is planned again. A reminder without a rule is planned and
//! updated in one transaction.

use chrono::{DateTime, Utc};
use contract::new_id;
use serde::Serialize;
use service::{
    idempotency::{self, IdempotencyKey, Once, Start},
    outbox::OutboxMessage,
};
use sqlx::PgConnection;

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
        reminder::{Following, Handled, LastDelivery, Reminder, Status},
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
    /// Time at which the latest occurrence was acknowledged; `None` if it was not.
    pub acknowledged_at: Option<DateTime<Utc>>,
    /// Time at which a snoozed occurrence is delivered once more; `None` if none is.
    pub snoozed_until: Option<DateTime<Utc>>,
    /// The latest delivery that was due; `None` if none was.
    pub last_delivery: Option<LastDelivery>,
    /// Reminder that was created by the update.
    pub created: Option<Box<Updated>>,
}

impl Updated {
    /// Computes the state of a reminder at `now`.
    #[must_use]
    pub fn at(reminder: Reminder, now: DateTime<Utc>) -> Self {
        Self {
            status: reminder.status(now),
            next_at: reminder.next_at(now),
            acknowledged_at: reminder.acknowledged_at(now),
            snoozed_until: reminder.snoozed_until(now),
            last_delivery: reminder.last_delivery(now),
            created: None,
            reminder,
        }
    }
}

/// An update of one reminder.
#[derive(Debug, Clone)]
pub(super) struct Update<P> {
    /// The reminder, and the versions that the client expects.
    pub(super) target: Target,
    /// `true` if the request contains a rule.
    pub(super) has_rule: bool,
    /// `true` if the update may create a reminder.
    pub(super) may_create: bool,
    /// Function that plans the change of the reminder that was read.
    pub(super) plan: P,
}

/// A reminder after a change, with its status.
#[derive(Debug)]
pub(super) struct Plan {
    updated: Updated,
    is_rescheduled: bool,
    /// `true` if the reminder stays as it is, so that nothing is written.
    is_repeat: bool,
    /// Reminder to create.
    following: Option<Following>,
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
        let scheduled_at = if is_rescheduled { now } else { after.scheduled_at };
        let after = Reminder { scheduled_at, ..after };
        let valid_until =
            [before, &after].into_iter().filter_map(|reminder| reminder.next_change_at(now)).min();
        let updated = Updated::at(after, now);
        Self { updated, is_rescheduled, is_repeat: false, following: None, valid_until }
    }

    /// Plans a change that may have been made already.
    pub(super) fn idempotent(
        before: &Reminder,
        after: Reminder,
        now: DateTime<Utc>,
        is_rescheduled: bool,
    ) -> Self {
        let is_repeat = *before == after;
        Self { is_repeat, ..Self::new(before, after, now, is_rescheduled && !is_repeat) }
    }

    /// Plans the split of a series.
    pub(super) fn split(
        before: &Reminder,
        after: Reminder,
        following: Option<Following>,
        now: DateTime<Utc>,
    ) -> Self {
        Self { following, ..Self::new(before, after, now, false) }
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
        if update.may_create {
            // Before the row, as an erasure takes both locks.
            store::hold_off_erasure(once.connection(), user_id).await?;
        }
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
    let Plan { mut updated, is_rescheduled, is_repeat, following, .. } = plan;
    if is_repeat {
        let answer = answer(updated);
        once.commit(OK, Some(&answer)).await?;
        return Ok(Answer::First(answer));
    }
    let reminder = &mut updated.reminder;
    let event = events::updated(origin, reminder)?;
    let message = Unstamped::of(&event)?;
    let (version, at) =
        store::update(once.connection(), reminder, is_rescheduled, &message).await?;
    (reminder.version, reminder.updated_at) = (version, at);
    let mut messages = vec![message.stamped(at, version)];
    if let Some(following) = following {
        let (created, message) =
            create_following(once.connection(), resources, origin, following).await?;
        updated.created = Some(Box::new(created));
        messages.push(message);
    }
    let has_created = updated.created.is_some();
    let answer = answer(updated);
    once.commit(OK, Some(&answer)).await?;
    if has_created {
        resources.quota.invalidate(&origin.caller.user_id);
        metrics::counter!("reminders_created_total").increment(1);
    }
    resources.relay_handle.after_commit(messages);
    metrics::counter!("reminders_updated_total").increment(1);
    Ok(Answer::First(answer))
}

/// Creates the reminder of the occurrences from a split on, and returns the message of its event.
async fn create_following(
    connection: &mut PgConnection,
    resources: &Resources,
    origin: &Origin,
    following: Following,
) -> Result<(Updated, OutboxMessage), Error> {
    let user_id = &origin.caller.user_id;
    let max = resources.quota.max();
    let mut reminder = Reminder::new(new_id(), following);
    let message = Unstamped::of(&events::created_as(origin, &reminder)?)?;
    let new = [(reminder.id, &reminder.details, &message)];
    let created = store::create_many(&mut *connection, user_id, &new, max).await?;
    let created_at = match created.get(&reminder.id) {
        Some(Some(created_at)) => *created_at,
        Some(None) => return Err(Error::QuotaExceeded { max }),
        None => return Err(Error::NoDeliveryAhead),
    };
    store::set_changed_occurrences(connection, &reminder).await?;
    [reminder.created_at, reminder.updated_at, reminder.scheduled_at] = [created_at; 3];
    Ok((Updated::at(reminder, created_at), message.stamped(created_at, 1)))
}

#[cfg(test)]
mod tests;
