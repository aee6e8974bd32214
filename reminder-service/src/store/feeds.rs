//! Calendar feeds, found by the digests of their secrets.

use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use crate::domain::feed::{Feed, MAX_FEEDS, SecretDigest};

/// Creates a feed, in the caller's transaction; `None` if the user has the largest number.
/// Concurrent creations of a user wait for each other, and for an erasure of the user.
///
/// # Errors
/// If a statement fails.
pub async fn create_feed(
    connection: &mut PgConnection,
    user_id: &str,
    id: Uuid,
    digest: &SecretDigest,
) -> Result<Option<Feed>, sqlx::Error> {
    sqlx::query!(
        "select pg_advisory_xact_lock_shared(hashtextextended($1, 0)),
             pg_advisory_xact_lock(hashtextextended($1, 1))",
        user_id
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query_as!(
        Feed,
        r#"insert into calendar_feeds (id, user_id, secret_digest)
           select $1, $2, $3
           where (select count(*) from calendar_feeds where user_id = $2) < $4
           returning id, created_at, rotated_at"#,
        id,
        user_id,
        digest.as_slice(),
        MAX_FEEDS,
    )
    .fetch_optional(connection)
    .await
}

/// Reads the feeds of a user, the oldest first.
///
/// # Errors
/// If the statement fails.
pub async fn feeds(executor: impl PgExecutor<'_>, user_id: &str) -> Result<Vec<Feed>, sqlx::Error> {
    sqlx::query_as!(
        Feed,
        "select id, created_at, rotated_at from calendar_feeds where user_id = $1 order by id",
        user_id
    )
    .fetch_all(executor)
    .await
}

/// Replaces the secret of one of a user's feeds; `None` if there is no such feed.
///
/// # Errors
/// If the statement fails.
pub async fn rotate_feed(
    connection: &mut PgConnection,
    user_id: &str,
    id: Uuid,
    digest: &SecretDigest,
) -> Result<Option<Feed>, sqlx::Error> {
    sqlx::query_as!(
        Feed,
        "update calendar_feeds set secret_digest = $3, rotated_at = clock_timestamp()
         where id = $1 and user_id = $2 returning id, created_at, rotated_at",
        id,
        user_id,
        digest.as_slice(),
    )
    .fetch_optional(connection)
    .await
}

/// Deletes one of a user's feeds; `false` if there is no such feed.
///
/// # Errors
/// If the statement fails.
pub async fn revoke_feed(pool: &PgPool, user_id: &str, id: Uuid) -> Result<bool, sqlx::Error> {
    let deleted =
        sqlx::query!("delete from calendar_feeds where id = $1 and user_id = $2", id, user_id)
            .execute(pool)
            .await?;
    Ok(deleted.rows_affected() > 0)
}

/// Returns the id of the user whose feed has a secret.
///
/// # Errors
/// If the statement fails.
pub async fn user_of_feed(
    pool: &PgPool,
    digest: &SecretDigest,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select user_id from calendar_feeds where secret_digest = $1",
        digest.as_slice()
    )
    .fetch_optional(pool)
    .await
}

/// Returns a text that changes with each change of a user's newest reminders, at most `most` of
/// them: the digest of their ids and versions.
///
/// # Errors
/// If the statement fails.
pub async fn versions(pool: &PgPool, user_id: &str, most: i64) -> Result<String, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select encode(sha256(convert_to(
               coalesce(string_agg(id || ':' || version, ',' order by id), ''), 'UTF8')), 'hex')
               as "versions!"
           from (select id, version from reminders where user_id = $1
               order by id desc limit $2) as newest"#,
        user_id,
        most,
    )
    .fetch_one(pool)
    .await
}
