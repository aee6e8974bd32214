//! Progress of the services, read from their tables. All queries are cheap enough to be repeated
//! while the services work: they read a partial index that is almost empty when the work is nearly
//! done, or they run at the end.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use sqlx::PgPool;

/// Number of pending occurrences that are due from `first` to `last`.
pub(crate) async fn pending(
    notifications: &PgPool,
    first: DateTime<Utc>,
    last: DateTime<Utc>,
) -> anyhow::Result<usize> {
    let sql = "select count(*) from occurrences where pending and due_at between $1 and $2";
    count(sqlx::query_scalar(sql).bind(first).bind(last).fetch_one(notifications).await)
}

/// Number of notifications.
pub(crate) async fn notifications(notifications: &PgPool) -> anyhow::Result<usize> {
    count(sqlx::query_scalar("select count(*) from notifications").fetch_one(notifications).await)
}

/// Number of occurrences due from `first` to `last` that event-service has as sent.
pub(crate) async fn known_sent(
    notifications: &PgPool,
    first: DateTime<Utc>,
    last: DateTime<Utc>,
) -> anyhow::Result<usize> {
    let sql = "select count(*) from occurrences where due_at between $1 and $2 and state = 'sent'";
    count(sqlx::query_scalar(sql).bind(first).bind(last).fetch_one(notifications).await)
}

/// Returns `true` if any delivery has no outcome yet.
pub(crate) async fn any_unfinished(devices: &PgPool) -> anyhow::Result<bool> {
    exists(
        sqlx::query_scalar("select exists(select from deliveries where state = 'pending')")
            .fetch_one(devices)
            .await,
    )
}

/// Number of deliveries recorded as sent, of occurrences due from `first` to `last`.
pub(crate) async fn recorded_sent(
    devices: &PgPool,
    first: DateTime<Utc>,
    last: DateTime<Utc>,
) -> anyhow::Result<usize> {
    let sql = "select count(*) from deliveries join dispatches using (occurrence_id)
               where due_at between $1 and $2 and state = 'sent'";
    count(sqlx::query_scalar(sql).bind(first).bind(last).fetch_one(devices).await)
}

/// Returns `true` if the outbox of a database contains a message.
pub(crate) async fn any_unpublished(pool: &PgPool) -> anyhow::Result<bool> {
    exists(sqlx::query_scalar("select exists(select from outbox)").fetch_one(pool).await)
}

fn count(answer: Result<i64, sqlx::Error>) -> anyhow::Result<usize> {
    let count = answer.context("count rows of the services")?;
    usize::try_from(count).context("a count is not negative")
}

fn exists(answer: Result<bool, sqlx::Error>) -> anyhow::Result<bool> {
    answer.context("search rows of the services")
}
