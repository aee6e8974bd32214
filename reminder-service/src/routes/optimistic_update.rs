//! A change of one reminder, made once however often its request comes.
//!
//! What a rule says is computed off the threads that serve requests and while no transaction is
//! open: the reminder is read, the change is planned, and the reminder is locked and changed if the
//! plan still fits what is there. If it does not, because somebody else changed the reminder or a
//! delivery came due meanwhile, it is planned anew. A reminder without a rule takes no time to
//! plan, and is changed at the first reading.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use shared::http::{
    ApiError, Reason,
    idempotency::{self, IdempotencyKey, Known},
};
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use super::{Api, answer::ReminderAnswer, compute::off_thread, single::missing};
use crate::{
    events::{self, Origin},
    reminder::{Reminder, Status},
    store::{self, Seen},
};

/// Times that a change is planned anew, before its client is told to try again.
const MAX_ATTEMPTS: usize = 32;

/// A change to be made.
#[derive(Debug, Clone)]
pub(super) struct Work<P> {
    /// The reminder.
    pub(super) id: Uuid,
    /// Whether the request brings a rule.
    pub(super) has_rule: bool,
    /// The change of what was read.
    pub(super) plan: P,
}

/// A reminder as a change makes it, and how it stands then.
#[derive(Debug)]
pub(super) struct Planned {
    reminder: Reminder,
    is_rescheduled: bool,
    status: Status,
    next_at: Option<DateTime<Utc>>,
    /// The first instant at which the plan would be another.
    until: Option<DateTime<Utc>>,
}

impl Planned {
    /// A plan that was made at `now`. It computes everything that is written and answered.
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
            until: before.next_turn(now).into_iter().chain(after.next_turn(now)).min(),
            reminder: after,
        }
    }
}

/// An attempt at a plan, and the reading that it is for.
struct Attempt {
    version: i64,
    now: DateTime<Utc>,
    plan: Result<Planned, ApiError>,
}

impl Attempt {
    async fn off_thread<P>(user_id: &str, seen: Seen<Reminder>, plan: P) -> Result<Self, ApiError>
    where
        P: FnOnce(Seen<Reminder>) -> Result<Planned, ApiError> + Send + 'static,
    {
        let (version, now) = (seen.value.version, seen.now);
        Ok(Self { version, now, plan: off_thread(user_id, move || plan(seen)).await? })
    }

    /// Returns `true` if the plan would be the same for what was read now.
    fn fits(&self, seen: &Seen<Reminder>) -> bool {
        let is_due = match &self.plan {
            Ok(plan) => plan.until.is_some_and(|until| until <= seen.now),
            // A refusal names no instant up to which it holds: it does for the same reading.
            Err(_) => false,
        };
        self.version == seen.value.version && self.now <= seen.now && !is_due
    }
}

/// Makes a change once, however often its request comes, and answers with the reminder as it is
/// then.
pub(super) async fn once<P>(
    api: &Api,
    origin: Origin<'_>,
    key: Option<&IdempotencyKey>,
    work: Work<P>,
) -> Result<Response, ApiError>
where
    P: Fn(Seen<Reminder>) -> Result<Planned, ApiError> + Clone + Send + 'static,
{
    let user_id = &origin.identity.user_id;
    let mut attempt = None;
    for _ in 0..MAX_ATTEMPTS {
        let mut transaction = api.pool.begin().await?;
        if let Some(key) = key
            && let Known::Answered(replay) =
                idempotency::begin(&mut transaction, user_id, key).await?
        {
            return Ok(replay.into_response());
        }
        let seen = store::lock(&mut transaction, user_id, work.id).await?.ok_or_else(missing)?;
        let plan = match attempt.take().filter(|attempt: &Attempt| attempt.fits(&seen)) {
            Some(attempt) => attempt.plan,
            None if work.has_rule || seen.value.details.schedule.recurrence.is_some() => {
                transaction.rollback().await?;
                attempt = Some(Attempt::off_thread(user_id, seen, work.plan.clone()).await?);
                continue;
            }
            None => (work.plan)(seen),
        };
        let plan = plan?;
        let channels = &plan.reminder.details.channels;
        if !api.addresses.knows(origin.identity, channels) {
            transaction.rollback().await?;
            api.addresses.accept(&api.pool, origin.identity, channels).await?;
            continue;
        }
        return finish(api, origin, key, transaction, plan).await;
    }
    Err(ApiError::new(
        Reason::UpstreamUnavailable,
        "the reminder is being changed by other requests; try again",
    ))
}

/// Writes what was planned, with the message that tells of it and the answer to the key.
async fn finish(
    api: &Api,
    origin: Origin<'_>,
    key: Option<&IdempotencyKey>,
    mut transaction: Transaction<'_, Postgres>,
    plan: Planned,
) -> Result<Response, ApiError> {
    let Planned { mut reminder, is_rescheduled, status, next_at, .. } = plan;
    let message = events::updated(origin, reminder.id, &reminder.details, reminder.handled)?;
    let connection: &mut PgConnection = &mut transaction;
    let (version, at) = store::update(connection, &reminder, is_rescheduled, &message).await?;
    (reminder.version, reminder.updated_at) = (version, at);
    let answer = ReminderAnswer::new(reminder, status, next_at);
    if let Some(key) = key {
        idempotency::finish(
            connection,
            &origin.identity.user_id,
            key,
            StatusCode::OK,
            Some(&answer),
        )
        .await?;
    }
    transaction.commit().await?;
    api.handoff.after_commit([message.stamped(at, version)]);
    metrics::counter!("reminders_updated_total").increment(1);
    Ok(Json(answer).into_response())
}

#[cfg(test)]
mod tests;
