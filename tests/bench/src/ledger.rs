//! The bench's looks into the services' tables: how far they are. All of them are cheap enough to
//! be repeated while the services work: they read a partial index that is empty or nearly so when
//! the answer is near, or are asked at the end.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use sqlx::PgPool;

/// How many occurrences wait to be due, from `first` to `last`.
pub(crate) async fn pending(
    notifications: &PgPool,
    first: DateTime<Utc>,
    last: DateTime<Utc>,
) -> anyhow::Result<usize> {
    let sql = "select count(*) from occurrences where pending and due_at between $1 and $2";
    count(sqlx::query_scalar(sql).bind(first).bind(last).fetch_one(notifications).await)
}

/// How many notifications are kept.
pub(crate) async fn notifications(notifications: &PgPool) -> anyhow::Result<usize> {
    count(sqlx::query_scalar("select count(*) from notifications").fetch_one(notifications).await)
}

/// How many occurrences are known to have been sent, from `first` to `last`.
pub(crate) async fn known_sent(
    notifications: &PgPool,
    first: DateTime<Utc>,
    last: DateTime<Utc>,
) -> anyhow::Result<usize> {
    let sql = "select count(*) from occurrences where due_at between $1 and $2 and state = 'sent'";
    count(sqlx::query_scalar(sql).bind(first).bind(last).fetch_one(notifications).await)
}

/// Whether any delivery is not at its end.
pub(crate) async fn any_unfinished(devices: &PgPool) -> anyhow::Result<bool> {
    exists(
        sqlx::query_scalar("select exists(select from deliveries where state = 'pending')")
            .fetch_one(devices)
            .await,
    )
}

/// How many deliveries are recorded as sent, of occurrences due from `first` to `last`.
pub(crate) async fn recorded_sent(
    devices: &PgPool,
    first: DateTime<Utc>,
    last: DateTime<Utc>,
) -> anyhow::Result<usize> {
    let sql = "select count(*) from deliveries join dispatches using (occurrence_id)
               where due_at between $1 and $2 and state = 'sent'";
    count(sqlx::query_scalar(sql).bind(first).bind(last).fetch_one(devices).await)
}

/// Whether the outbox of a database holds anything.
pub(crate) async fn any_unpublished(pool: &PgPool) -> anyhow::Result<bool> {
    exists(sqlx::query_scalar("select exists(select from outbox)").fetch_one(pool).await)
}

fn count(answer: Result<i64, sqlx::Error>) -> anyhow::Result<usize> {
    let count = answer.context("count rows of the services")?;
    usize::try_from(count).context("a count is not negative")
}

fn exists(answer: Result<bool, sqlx::Error>) -> anyhow::Result<bool> {
    answer.context("look for rows of the services")
}
