//! Update of one reminder with optimistic concurrency control and an idempotency key.
//!
//! Expansion of a rule takes time, so it runs outside of the threads that serve requests and
//! outside of a transaction: the reminder is read and the change is planned; then the row is
//! locked, and the plan is applied if it is still valid. If another request changed the reminder,
//! or a delivery became due, the change is planned again. A reminder without a rule is planned and
//! updated in one transaction.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use rest::idempotency::{self, IdempotencyKey, Once, Start};
use service::http::{ApiError, Reason};
use uuid::Uuid;

use super::{Api, answer::ReminderAnswer, single::missing};
use crate::{
    domain::{
        events::{self, Origin},
        reminder::{Reminder, Status},
    },
    store::{self, Seen},
    usecases::compute::off_thread,
};

/// Number of plans of one request before it is refused.
const MAX_ATTEMPTS: usize = 32;

/// An update of one reminder.
#[derive(Debug, Clone)]
pub(super) struct Update<P> {
    /// Id of the reminder.
    pub(super) id: Uuid,
    /// `true` if the request contains a rule.
    pub(super) has_rule: bool,
    /// Function that plans the change of the reminder that was read.
    pub(super) plan: P,
}

/// A reminder after a change, with its status.
#[derive(Debug)]
pub(super) struct Plan {
    reminder: Reminder,
    is_rescheduled: bool,
    status: Status,
    next_at: Option<DateTime<Utc>>,
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
        Self {
            is_rescheduled,
            status: after.status(now),
            next_at: after.next_at(now),
            valid_until: [before, &after]
                .into_iter()
                .filter_map(|reminder| reminder.next_change_at(now))
                .min(),
            reminder: after,
        }
    }
}

/// A plan together with the version of the reminder and the time for which it was made.
struct VersionedPlan {
    version: i64,
    now: DateTime<Utc>,
    plan: Result<Plan, ApiError>,
}

impl VersionedPlan {
    async fn off_thread<P>(user_id: &str, seen: Seen<Reminder>, plan: P) -> Result<Self, ApiError>
    where
        P: FnOnce(Seen<Reminder>) -> Result<Plan, ApiError> + Send + 'static,
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

/// Updates a reminder once per idempotency key, and answers with the updated reminder.
pub(super) async fn update<P>(
    api: &Api,
    origin: Origin<'_>,
    key: Option<&IdempotencyKey>,
    update: Update<P>,
) -> Result<Response, ApiError>
where
    P: Fn(Seen<Reminder>) -> Result<Plan, ApiError> + Clone + Send + 'static,
{
    let user_id = &origin.identity.user_id;
    let mut planned = None;
    for _ in 0..MAX_ATTEMPTS {
        let mut once = match idempotency::once(&api.pool, user_id, key).await? {
            Start::First(once) => once,
            Start::Repeat(replay) => return Ok(replay.into_response()),
        };
        let seen = store::lock(once.connection(), user_id, update.id).await?.ok_or_else(missing)?;
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
        let channels = &plan.reminder.details.channels;
        if !api.addresses.is_known(origin.identity, channels) {
            once.rollback().await?;
            api.addresses.accept(&api.pool, origin.identity, channels).await?;
            continue;
        }
        return commit(api, origin, once, plan).await;
    }
    Err(ApiError::new(
        Reason::UpstreamUnavailable,
        "other requests are changing the reminder; try again",
    ))
}

/// Writes the planned reminder, its event and the answer to the key, and commits.
async fn commit(
    api: &Api,
    origin: Origin<'_>,
    mut once: Once<'_>,
    plan: Plan,
) -> Result<Response, ApiError> {
    let Plan { mut reminder, is_rescheduled, status, next_at, .. } = plan;
    let message = events::updated(origin, reminder.id, &reminder.details, reminder.handled)?;
    let (version, at) =
        store::update(once.connection(), &reminder, is_rescheduled, &message).await?;
    (reminder.version, reminder.updated_at) = (version, at);
    let answer = ReminderAnswer::new(reminder, status, next_at);
    once.commit(StatusCode::OK, Some(&answer)).await?;
    api.relay_handle.after_commit([message.stamped(at, version)]);
    metrics::counter!("reminders_updated_total").increment(1);
    Ok(Json(answer).into_response())
}

#[cfg(test)]
mod tests;
