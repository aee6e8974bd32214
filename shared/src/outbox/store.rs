//! The SQL of the outbox table (`shared/sql/outbox.sql`; each service's first migration has a copy).

use std::{collections::BTreeMap, time::Duration};

use sqlx::{PgExecutor, PgPool, postgres::types::PgInterval, types::Json};
use uuid::Uuid;

use super::OutboxMessage;
use crate::bus::Message;

fn interval(duration: Duration) -> PgInterval {
    PgInterval { months: 0, days: 0, microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX) }
}

pub(super) async fn insert(
    executor: impl PgExecutor<'_>,
    messages: &[OutboxMessage],
    lease: Duration,
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = messages.iter().map(|it| it.event_id).collect();
    let bodies: Vec<String> = messages.iter().map(|it| it.message.body.clone()).collect();
    let attributes: Vec<serde_json::Value> =
        messages.iter().map(|it| serde_json::json!(it.message.attributes)).collect();
    sqlx::query!(
        "insert into outbox (event_id, body, attributes, lease_until)
         select event_id, body, attributes, now() + $4
         from unnest($1::uuid[], $2::text[], $3::jsonb[]) as new (event_id, body, attributes)
         on conflict (event_id) do nothing",
        &ids,
        &bodies,
        &attributes,
        interval(lease),
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Leases up to `limit` rows whose lease has run out, oldest first.
pub(super) async fn claim(pool: &PgPool, limit: i64, lease: Duration) -> Result<Vec<OutboxMessage>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"update outbox set lease_until = now() + $2
           from (
               select event_id from outbox
               where lease_until < now() and parked_reason is null
               order by event_id limit $1
               for update skip locked
           ) as free
           where outbox.event_id = free.event_id
           returning outbox.event_id, body, attributes as "attributes: Json<BTreeMap<String, String>>""#,
        limit,
        interval(lease),
    )
    .fetch_all(pool)
    .await?;
    let message = |body, attributes: Json<BTreeMap<String, String>>| Message { body, attributes: attributes.0 };
    Ok(rows
        .into_iter()
        .map(|row| OutboxMessage { event_id: row.event_id, message: message(row.body, row.attributes) })
        .collect())
}

/// Removes what the topic acknowledged.
pub(super) async fn delete(pool: &PgPool, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from outbox where event_id = any($1)", ids).execute(pool).await?;
    Ok(())
}

/// Gives rows back for the next sweep.
pub(super) async fn release(pool: &PgPool, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!("update outbox set lease_until = '-infinity' where event_id = any($1)", ids).execute(pool).await?;
    Ok(())
}

/// Sets aside what can never be published.
pub(super) async fn park(pool: &PgPool, id: Uuid, reason: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("update outbox set parked_reason = $2 where event_id = $1", id, reason).execute(pool).await?;
    Ok(())
}

/// Figures of the rows that are not published.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Backlog {
    /// Rows that wait; counted up to 100,000.
    pub(super) waiting: i64,
    /// Seconds since the oldest of them was written, however often it has been leased since.
    pub(super) oldest_seconds: f64,
    /// Rows that can never be published.
    pub(super) parked: i64,
}

/// Counts what is not published.
pub(super) async fn backlog(pool: &PgPool) -> Result<Backlog, sqlx::Error> {
    sqlx::query_as!(
        Backlog,
        r#"select count(*) as "waiting!",
               greatest(coalesce(extract(epoch from now() - min(created_at)), 0), 0)::float8 as "oldest_seconds!",
               (select count(*) from outbox where parked_reason is not null) as "parked!"
           from (select created_at from outbox where parked_reason is null limit 100000) as rows"#
    )
    .fetch_one(pool)
    .await
}
