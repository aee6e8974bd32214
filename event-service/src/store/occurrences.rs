//! Changes of occurrences: by a newer version of their notification, and by outcomes.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contract::{Reason, ReasonCode};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{occurrence_changes::PlannedOccurrences, outcome_counts::OutcomeCounts};

/// Columns of planned occurrences, in the order of their ids.
struct Columns {
    ids: Vec<Uuid>,
    notifications: Vec<Uuid>,
    due: Vec<DateTime<Utc>>,
    dates: Vec<DateTime<Utc>>,
    expiries: Vec<DateTime<Utc>>,
}

impl Columns {
    fn of(planned: &PlannedOccurrences) -> Self {
        Self {
            ids: planned.keys().copied().collect(),
            notifications: planned.values().map(|planned| planned.notification_id).collect(),
            due: planned.values().map(|planned| planned.due_at).collect(),
            dates: planned.values().map(|planned| planned.delivery.date).collect(),
            expiries: planned.values().map(|planned| planned.delivery.expires_at).collect(),
        }
    }
}

/// Cancels pending occurrences, each with the reason of its notification's change. An occurrence
/// that has an outcome was published although no scheduler has marked it: it ends as its outcomes
/// say.
///
/// # Errors
/// If the statement fails.
pub async fn cancel(
    connection: &mut PgConnection,
    notifications: &[Uuid],
    staying: &[Uuid],
    reasons: &BTreeMap<Uuid, Reason>,
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = reasons.keys().copied().collect();
    let reasons: Vec<&str> = reasons.values().map(|reason| reason.as_str()).collect();
    sqlx::query!(
        "update occurrences set
             state = case
                 when released_at is null then 'cancelled'
                 else occurrence_state_of(sent, failed, suppressed, deliveries)
             end,
             outcome_at = case when released_at is null then now() else outcome_at end,
             reason = case when released_at is null then cancelled.reason else occurrences.reason end
         from (
             select id, coalesce(cause.reason, 'EDITED') as reason
             from occurrences
                 left join unnest($3::uuid[], $4::text[]) as cause (id, reason) using (id)
             where notification_id = any($1) and pending
               and not exists (
                   select from unnest($2::uuid[]) as staying (id) where staying.id = occurrences.id)
             order by id for update of occurrences
         ) as cancelled
         where occurrences.id = cancelled.id",
        notifications,
        staying,
        &ids,
        &reasons as &[&str],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Creates occurrences that are missing, and makes cancelled ones pending again. Released ones and
/// those with an outcome stay unchanged.
///
/// # Errors
/// If the statement fails.
pub async fn create(
    connection: &mut PgConnection,
    required: &PlannedOccurrences,
) -> Result<(), sqlx::Error> {
    if required.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(required);
    sqlx::query!(
        "insert into occurrences as known (id, notification_id, due_at, date, expires_at, user_key)
         select new.*, occurrence_user_key(n.user_id, n.content->>'priority')
         from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[],
             $5::timestamptz[])
                  as new (id, notification_id, due_at, date, expires_at)
              join notifications as n on n.id = new.notification_id
         on conflict (id) do update set
             state = 'pending', date = excluded.date, expires_at = excluded.expires_at,
                 outcome_at = null, reason = null,
             user_key = excluded.user_key,
             lease_until = case when known.state = 'pending' then known.lease_until
                 else '-infinity' end
         where known.state = 'cancelled'
            or (known.state = 'pending' and (known.date, known.expires_at, known.user_key)
                                 is distinct from (excluded.date, excluded.expires_at,
                                     excluded.user_key))",
        &columns.ids,
        &columns.notifications,
        &columns.due,
        &columns.dates,
        &columns.expiries,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Wakes schedulers that sleep because they found nothing due.
///
/// # Errors
/// If the statement fails.
pub async fn wake_schedulers(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("select wake_schedulers()").execute(connection).await?;
    Ok(())
}

/// Updates date, priority and expiry of occurrences whose delivery time stays the same.
///
/// # Errors
/// If the statement fails.
pub async fn adjust(
    connection: &mut PgConnection,
    kept: &PlannedOccurrences,
) -> Result<(), sqlx::Error> {
    if kept.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(kept);
    sqlx::query!(
        "update occurrences set date = new.date, expires_at = new.expires_at,
            user_key = new.user_key
         from (
             select kept.id, kept.date, kept.expires_at,
                 occurrence_user_key(n.user_id, n.content->>'priority') as user_key
             from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::uuid[])
                      as kept (id, date, expires_at, notification_id)
                  join notifications as n on n.id = kept.notification_id
         ) as new
         where occurrences.id = new.id and pending
           and (occurrences.date, occurrences.expires_at, occurrences.user_key)
               is distinct from (new.date, new.expires_at, new.user_key)",
        &columns.ids,
        &columns.dates,
        &columns.expiries,
        &columns.notifications,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends released occurrences as cancelled, with a reason.
///
/// # Errors
/// If the statement fails.
pub async fn cancel_released(
    connection: &mut PgConnection,
    ids: &[Uuid],
    reason: Reason,
) -> Result<(), sqlx::Error> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update occurrences set state = 'cancelled', reason = $2, outcome_at = now()
         where id = any($1) and state = 'released'",
        ids,
        reason.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds outcomes to their occurrences. An outcome of an unknown occurrence is stored as well: the
/// event that creates the occurrence then finds it released or ended.
///
/// An outcome may arrive before the scheduler's mark, or although the scheduler died before it. An
/// occurrence of a recurring notification stays pending until the mark all the same: the mark also
/// creates the next occurrence, without which the series would end.
///
/// # Errors
/// If the statement fails.
pub async fn count_outcomes(
    connection: &mut PgConnection,
    counts: &BTreeMap<Uuid, OutcomeCounts>,
) -> Result<(), sqlx::Error> {
    if counts.is_empty() {
        return Ok(());
    }
    let column =
        |value: fn(&OutcomeCounts) -> i32| counts.values().map(value).collect::<Vec<i32>>();
    let (sent, failed, suppressed, deliveries) = (
        column(|outcomes| outcomes.sent),
        column(|outcomes| outcomes.failed),
        column(|outcomes| outcomes.suppressed),
        column(|outcomes| outcomes.deliveries),
    );
    let ids: Vec<Uuid> = counts.keys().copied().collect();
    let notifications: Vec<Uuid> =
        counts.values().map(|outcomes| outcomes.notification_id).collect();
    let due: Vec<DateTime<Utc>> = counts.values().map(|outcomes| outcomes.due_at).collect();
    let at: Vec<Option<DateTime<Utc>>> =
        counts.values().map(|outcomes| outcomes.latest.as_ref().map(|latest| latest.0)).collect();
    let reasons: Vec<Option<&str>> = counts
        .values()
        .map(|outcomes| {
            outcomes.latest.as_ref().and_then(|latest| latest.1.as_ref().map(ReasonCode::as_str))
        })
        .collect();
    sqlx::query!(
        "with counted as (
         insert into occurrences as known (id, notification_id, due_at, sent, failed, suppressed,
             deliveries, outcome_at, reason, state, released_at)
         select *, occurrence_state_of(sent, failed, suppressed, deliveries), now()
         from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::int[], $5::int[], $6::int[],
             $7::int[], $8::timestamptz[], $9::text[])
             as new (id, notification_id, due_at, sent, failed, suppressed, deliveries,
                 outcome_at, reason)
         on conflict (id) do update set
             sent = known.sent + excluded.sent,
             failed = known.failed + excluded.failed,
             suppressed = known.suppressed + excluded.suppressed,
             deliveries = greatest(known.deliveries, excluded.deliveries),
             outcome_at = greatest(case when known.state <> 'cancelled' then known.outcome_at end,
                 excluded.outcome_at),
             reason = case
                 when known.state = 'cancelled' or known.outcome_at is null
                   or (excluded.outcome_at, coalesce(excluded.reason, '')) > (known.outcome_at,
                       coalesce(known.reason, '')) then excluded.reason
                 else known.reason
             end,
             released_at = coalesce(known.released_at, excluded.released_at),
             state = case
                 when known.pending and exists (select from notifications
                     where id = known.notification_id and recurrence is not null) then 'pending'
                 else occurrence_state_of(known.sent + excluded.sent,
                     known.failed + excluded.failed, known.suppressed + excluded.suppressed,
                                          greatest(known.deliveries, excluded.deliveries))
             end
         returning id, state, released_at
         )
         -- Quicker than the mark, and not the last outcome: no scheduler notes it any more.
         insert into releases (occurrences)
         select array_agg(id) from counted where state = 'released' and released_at = now()
             having count(*) > 0",
        &ids,
        &notifications,
        &due,
        &sent,
        &failed,
        &suppressed,
        &deliveries,
        &at as &[Option<DateTime<Utc>>],
        &reasons as &[Option<&str>],
    )
    .execute(connection)
    .await?;
    Ok(())
}
