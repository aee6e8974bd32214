//! Commands for the notification topic: those that event-service inserts, and the records of ended
//! occurrences.

use std::time::Duration;

use bus::{Message, attributes_in};
use db::interval;
use service::outbox::OutboxMessage;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// Claims commands that nobody has leased, at most `limit` of them and `bytes` together (a single
/// one whatever its size). Attributes are read as text: a row that somebody else wrote must not
/// keep the others.
///
/// # Errors
/// When the statement fails.
pub async fn claim(
    executor: impl PgExecutor<'_>,
    limit: i64,
    bytes: i64,
    lease: Duration,
) -> Result<Vec<(Uuid, Message)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with free as materialized (
                   select event_id, octet_length(body) + pg_column_size(attributes) as bytes
                       from commands
                   where lease_until <= now() and parked_reason is null
                   order by event_id limit $1
                   for update skip locked
               ), fitting as materialized (
                   select event_id from (
                       select event_id, bytes,
                           sum(bytes) over (order by event_id rows unbounded preceding) as until
                           from free
                   ) as sized
                   where until <= $2 or until = bytes
               )
               update commands set lease_until = now() + $3
               from fitting
               where commands.event_id = fitting.event_id
               returning commands.event_id, body, attributes::text as "attributes!""#,
        limit,
        bytes,
        interval(lease),
    )
    .fetch_all(executor)
    .await?;
    let message = |body, attributes: &str| Message { body, attributes: attributes_in(attributes) };
    Ok(rows.into_iter().map(|row| (row.event_id, message(row.body, &row.attributes))).collect())
}

/// Inserts commands. A command whose id already exists is the same command and stays unchanged.
///
/// # Errors
/// When the statement fails.
pub async fn insert(
    connection: &mut PgConnection,
    commands: &[OutboxMessage],
) -> Result<(), sqlx::Error> {
    if commands.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = commands.iter().map(|command| command.event_id).collect();
    let bodies: Vec<&str> = commands.iter().map(|command| command.message.body.as_str()).collect();
    let attributes: Vec<serde_json::Value> =
        commands.iter().map(|command| serde_json::json!(command.message.attributes)).collect();
    sqlx::query!(
        "insert into commands (event_id, body, attributes)
         select * from unnest($1::uuid[], $2::text[], $3::jsonb[])
         on conflict (event_id) do nothing",
        &ids,
        &bodies as &[&str],
        &attributes,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes commands that the topic accepted.
///
/// # Errors
/// When the statement fails; the leases then run out by themselves.
pub async fn delete(executor: impl PgExecutor<'_>, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from commands where event_id = any($1)", ids).execute(executor).await?;
    Ok(())
}

/// Returns the leases of commands that the topic may accept later.
///
/// # Errors
/// When the statement fails; the leases then run out by themselves.
pub async fn release(executor: impl PgExecutor<'_>, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!("update commands set lease_until = '-infinity' where event_id = any($1)", ids)
        .execute(executor)
        .await?;
    Ok(())
}

/// Parks a command that the topic never accepts.
///
/// # Errors
/// When the statement fails; the lease then runs out by itself.
pub async fn park(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    reason: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!("update commands set parked_reason = $2 where event_id = $1", id, reason)
        .execute(executor)
        .await?;
    Ok(())
}
