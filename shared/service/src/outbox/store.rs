//! SQL of the outbox table (`outbox.sql`; the first migration of each service has a copy).

use std::time::Duration;

use bus::{Message, attributes_in};
use db::interval;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use super::OutboxMessage;

/// Limits of a claim.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    /// Lowest and highest id.
    pub(super) low: Uuid,
    pub(super) high: Uuid,
    /// Most rows.
    pub(super) rows: usize,
    /// Most bytes of all rows together; a single row is claimed whatever its size.
    pub(super) bytes: usize,
    /// Duration of the lease.
    pub(super) lease: Duration,
}

/// Users whose rows are claimed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Users<'a> {
    /// All users but these.
    Except(&'a [&'a str]),
    /// One user; the empty id stands for messages that name no user.
    Only(&'a str),
}

pub(super) async fn insert(
    executor: impl PgExecutor<'_>,
    messages: &[OutboxMessage],
    lease: Duration,
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = messages.iter().map(|message| message.event_id).collect();
    let bodies: Vec<&str> = messages.iter().map(|message| message.message.body.as_str()).collect();
    let attributes: Vec<serde_json::Value> =
        messages.iter().map(|message| serde_json::json!(message.message.attributes)).collect();
    sqlx::query!(
        "insert into outbox (event_id, body, attributes, lease_until)
         select event_id, body, attributes, clock_timestamp() + $4
         from unnest($1::uuid[], $2::text[], $3::jsonb[]) as new (event_id, body, attributes)
         on conflict (event_id) do nothing",
        &ids,
        &bodies as &[&str],
        &attributes,
        interval(lease),
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Writes rows without a lease.
pub(super) async fn insert_unleased(
    executor: impl PgExecutor<'_>,
    messages: &[OutboxMessage],
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = messages.iter().map(|message| message.event_id).collect();
    let bodies: Vec<&str> = messages.iter().map(|message| message.message.body.as_str()).collect();
    let attributes: Vec<serde_json::Value> =
        messages.iter().map(|message| serde_json::json!(message.message.attributes)).collect();
    sqlx::query!(
        "insert into outbox (event_id, body, attributes, lease_until)
         select event_id, body, attributes, '-infinity'
             from unnest($1::uuid[], $2::text[], $3::jsonb[]) as message (event_id, body, attributes)
         on conflict (event_id) do nothing",
        &ids,
        &bodies as &[&str],
        &attributes,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Leases rows whose lease has expired, lowest ids first. Attributes are read as text, so that a
/// row written by another program cannot make the statement fail.
pub(super) async fn claim(
    pool: &PgPool,
    claim: Claim,
    users: Users<'_>,
) -> Result<Vec<OutboxMessage>, sqlx::Error> {
    let (users, are_excluded): (&[&str], bool) = match &users {
        Users::Except(users) => (users, true),
        Users::Only(user) => (std::slice::from_ref(user), false),
    };
    let rows = sqlx::query!(
        r#"with free as materialized (
               select event_id, octet_length(body) + pg_column_size(attributes) as bytes from outbox
               where event_id between $1 and $2 and lease_until < now() and parked_reason is null
                 and (coalesce(attributes ->> 'userId', '') = any($6)) <> $7
               order by event_id limit $3
               for update skip locked
           ), fitting as materialized (
               select event_id from (
                   select event_id, bytes, sum(bytes) over (order by event_id rows unbounded preceding) as until from free
               ) as sized
               where until <= $4 or until = bytes
           )
           update outbox set lease_until = now() + $5
           from fitting
           where outbox.event_id = fitting.event_id
           returning outbox.event_id, body, attributes::text as "attributes!""#,
        claim.low,
        claim.high,
        i64::try_from(claim.rows).unwrap_or(i64::MAX),
        i64::try_from(claim.bytes).unwrap_or(i64::MAX),
        interval(claim.lease),
        users as &[&str],
        are_excluded,
    )
    .fetch_all(pool)
    .await?;
    let message = |body, attributes: &str| Message { body, attributes: attributes_in(attributes) };
    Ok(rows
        .into_iter()
        .map(|row| OutboxMessage {
            event_id: row.event_id,
            message: message(row.body, &row.attributes),
        })
        .collect())
}

/// Deletes rows that the topic acknowledged.
pub(super) async fn delete(pool: &PgPool, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from outbox where event_id = any($1)", ids).execute(pool).await?;
    Ok(())
}

/// Returns the leases of rows.
pub(super) async fn release(pool: &PgPool, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!("update outbox set lease_until = '-infinity' where event_id = any($1)", ids)
        .execute(pool)
        .await?;
    Ok(())
}

/// Parks a row that can never be published.
pub(super) async fn park(pool: &PgPool, id: Uuid, reason: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("update outbox set parked_reason = $2 where event_id = $1", id, reason)
        .execute(pool)
        .await?;
    Ok(())
}

/// Counts of the rows that are not published.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Backlog {
    /// Rows that wait to be published, counted up to 100,000.
    pub(super) waiting: i64,
    /// Seconds since the oldest of them was written.
    pub(super) oldest_seconds: f64,
    /// Rows that can never be published.
    pub(super) parked: i64,
}

/// Counts the rows that are not published.
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

#[cfg(test)]
mod tests;
