//! Updates the occurrences of a notification to its newest version.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contract::{Reason, occurrence_id};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{domain::plan::Delivery, usecases::apply_events::ChangedNotification};

/// Rows to write, in the order of their ids.
#[derive(Default)]
struct Rows(BTreeMap<Uuid, (Uuid, DateTime<Utc>, Delivery)>);

impl Rows {
    fn of(changes: &[ChangedNotification<'_>], required: bool) -> Self {
        let mut rows = Self::default();
        for changed in changes {
            let deliveries = changed
                .plan
                .deliveries
                .iter()
                .filter(|(_, delivery)| delivery.required == required);
            for (due_at, delivery) in deliveries {
                let id = occurrence_id(
                    changed.source.as_str(),
                    changed.plan.event.item_id.as_str(),
                    *due_at,
                );
                rows.0.insert(id, (changed.id, *due_at, *delivery));
            }
        }
        rows
    }

    fn ids(&self) -> Vec<Uuid> {
        self.0.keys().copied().collect()
    }

    fn notifications(&self) -> Vec<Uuid> {
        self.0.values().map(|row| row.0).collect()
    }

    fn due(&self) -> Vec<DateTime<Utc>> {
        self.0.values().map(|row| row.1).collect()
    }

    fn dates(&self) -> Vec<DateTime<Utc>> {
        self.0.values().map(|row| row.2.date).collect()
    }

    fn expiries(&self) -> Vec<DateTime<Utc>> {
        self.0.values().map(|row| row.2.expires_at).collect()
    }
}

/// Cancels occurrences that are no longer required, and creates those that are or makes them
/// pending again. Released occurrences and those with an outcome stay unchanged.
pub(crate) async fn replace(
    connection: &mut PgConnection,
    changes: &[ChangedNotification<'_>],
    replaced: &[Uuid],
) -> Result<(), sqlx::Error> {
    let required = Rows::of(changes, true);
    let kept = Rows::of(changes, false);
    if !replaced.is_empty() {
        let staying: Vec<Uuid> = required.0.keys().chain(kept.0.keys()).copied().collect();
        cancel(connection, replaced, &staying, &reasons(changes)).await?;
    }
    if !required.0.is_empty() {
        make(connection, &required).await?;
    }
    if !kept.0.is_empty() {
        adjust(connection, &kept).await?;
    }
    Ok(())
}

/// Returns the reason of each pending occurrence, in case it is cancelled.
fn reasons(changes: &[ChangedNotification<'_>]) -> BTreeMap<Uuid, Reason> {
    let reasons = changes.iter().flat_map(|changed| {
        let (source, item) = (changed.source.as_str(), changed.plan.event.item_id.as_str());
        changed.known.into_iter().flat_map(move |known| {
            known.waiting.iter().map(move |due| {
                let date = known.dates.get(due).copied();
                let reason = changed.plan.cancellation_reason(*due, date);
                (occurrence_id(source, item, *due), reason)
            })
        })
    });
    reasons.collect()
}

/// Cancels pending occurrences, each with the reason of its notification's change. An occurrence
/// that has an outcome was published although no scheduler has marked it: it ends as its outcomes
/// say.
async fn cancel(
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
             reason = case when released_at is null then gone.reason else occurrences.reason end
         from (
             select id, coalesce(cause.reason, 'EDITED') as reason
             from occurrences
                 left join unnest($3::uuid[], $4::text[]) as cause (id, reason) using (id)
             where notification_id = any($1) and pending
               and not exists (
                   select from unnest($2::uuid[]) as staying (id) where staying.id = occurrences.id)
             order by id for update of occurrences
         ) as gone
         where occurrences.id = gone.id",
        notifications,
        staying,
        &ids,
        &reasons as &[&str],
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn make(connection: &mut PgConnection, required: &Rows) -> Result<(), sqlx::Error> {
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
        &required.ids(),
        &required.notifications(),
        &required.due(),
        &required.dates(),
        &required.expiries(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Updates date, priority and expiry of occurrences whose delivery time stays the same.
async fn adjust(connection: &mut PgConnection, kept: &Rows) -> Result<(), sqlx::Error> {
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
        &kept.ids(),
        &kept.dates(),
        &kept.expiries(),
        &kept.notifications(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
