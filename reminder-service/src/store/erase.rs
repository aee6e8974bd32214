//! Erasure of a user.

use chrono::{DateTime, Utc};
use db::interval;
use service::outbox;
use sqlx::{PgConnection, types::Json};

use super::unstamped::Unstamped;

/// Deletes all data of a user and writes the event that makes the other services do the same, in
/// the caller's transaction, which must be committed at once. Returns the time up to which data is
/// erased; later data belongs to a new user.
///
/// Creations take a shared advisory lock, and the erasure takes it exclusively: a creation that
/// began before is committed, and deleted with the rest; a later one waits, and gets a time at
/// least one millisecond (the precision of messages) after the erasure.
///
/// # Errors
/// If a statement fails.
pub async fn erase(
    connection: &mut PgConnection,
    user_id: &str,
    message: &Unstamped,
) -> Result<DateTime<Utc>, sqlx::Error> {
    let message = message.message();
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 0))", user_id)
        .execute(&mut *connection)
        .await?;
    sqlx::query!("delete from reminders where user_id = $1", user_id)
        .execute(&mut *connection)
        .await?;
    sqlx::query!("delete from calendar_feeds where user_id = $1", user_id)
        .execute(&mut *connection)
        .await?;
    // A locked key belongs to a request that waits for this transaction.
    sqlx::query!(
        "delete from idempotency_keys where (user_id, key) in (
             select user_id, key from idempotency_keys where user_id = $1 for update skip locked)",
        user_id
    )
    .execute(&mut *connection)
    .await?;
    // Events that are not published yet need not be published any more.
    sqlx::query!("delete from outbox where attributes ->> 'userId' = $1", user_id)
        .execute(&mut *connection)
        .await?;
    let erased_at = sqlx::query_scalar!(
        r#"with erased as (select date_trunc('milliseconds', clock_timestamp()) as at), told as (
               insert into outbox (event_id, body, attributes, lease_until)
               select $1, $2, $3::jsonb || jsonb_build_object('version', '1', 'occurredAt',
                   wire_time(at)), now() + $4 from erased
           )
           select at as "at!" from erased"#,
        message.event_id,
        message.message.body,
        Json(&message.message.attributes) as _,
        interval(outbox::LEASE),
    )
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query!(
        "select pg_sleep(greatest(0, extract(epoch
               from $1::timestamptz + interval '1 millisecond' - clock_timestamp())::float8))",
        erased_at
    )
    .execute(&mut *connection)
    .await?;
    Ok(erased_at)
}
