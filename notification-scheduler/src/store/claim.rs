//! Leases of due occurrences, by the index of due times.
//!
//! An occurrence is claimed from `ahead` before its due time on. `not_before` is a hint: earlier
//! occurrences are passed over, and with them the index entries of those that were released lately.

use chrono::{DateTime, Utc};
use db::{StoredTime, interval};
use sqlx::PgExecutor;

use crate::domain::{
    claim::{Lease, LeaseTerms},
    claim_interval::NextDue,
    user_key::{KeyRanges, UserKey},
};

/// Leases up to `limit` due occurrences that nobody has leased, the most overdue first.
///
/// # Errors
/// When the statement fails; nothing is leased then.
pub async fn lease_due(
    executor: impl PgExecutor<'_>,
    limit: i64,
    terms: LeaseTerms,
    not_before: Option<DateTime<Utc>>,
) -> Result<Vec<Lease>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with due as materialized (
                   select id from occurrences
                   where pending and due_at <= now() + $4::interval
                       and due_at >= coalesce($3::timestamptz, '-infinity') and lease_until <= now()
                   order by due_at limit $1
                   for update skip locked
               )
               update occurrences set lease_until = now() + $2, fence = fence % 2147483647 + 1
               from due
               where occurrences.id = due.id
               returning occurrences.id, fence"#,
        limit,
        interval(terms.lease),
        not_before,
        interval(terms.ahead),
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| Lease { id: row.id, fence: row.fence }).collect())
}

/// Leases up to `limit` due occurrences of each range of user keys. Entries of other users are
/// passed over inside the index.
///
/// # Errors
/// As [`lease_due`].
pub async fn lease_due_in_ranges(
    executor: impl PgExecutor<'_>,
    limit: i64,
    terms: LeaseTerms,
    not_before: Option<DateTime<Utc>>,
    ranges: &KeyRanges,
) -> Result<Vec<Lease>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with due as materialized (
                   select free.id
                   from unnest($4::bigint[], $5::bigint[]) as gap (above, below)
                   cross join lateral (
                       select id from occurrences
                       where pending and due_at <= now() + $6::interval
                           and due_at >= coalesce($3::timestamptz, '-infinity')
                           and lease_until <= now()
                         and user_key >= gap.above and user_key <= gap.below
                       order by due_at limit $1
                       for update skip locked
                   ) as free
               )
               update occurrences set lease_until = now() + $2, fence = fence % 2147483647 + 1
               from due
               where occurrences.id = due.id
               returning occurrences.id, fence"#,
        limit,
        interval(terms.lease),
        not_before,
        &ranges.first,
        &ranges.last,
        interval(terms.ahead),
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| Lease { id: row.id, fence: row.fence }).collect())
}

/// Leases up to `limit` due occurrences of one user, those of priority `high` before the others.
///
/// # Errors
/// As [`lease_due`].
pub async fn lease_due_of_user(
    executor: impl PgExecutor<'_>,
    limit: i64,
    terms: LeaseTerms,
    not_before: Option<DateTime<Utc>>,
    user: UserKey,
) -> Result<Vec<Lease>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with due as materialized (
                   select free.id
                   from unnest($4::bigint[]) with ordinality as wanted (user_key, rank)
                   cross join lateral (
                       select id from occurrences
                       where pending and due_at <= now() + $5::interval
                           and due_at >= coalesce($3::timestamptz, '-infinity')
                           and lease_until <= now()
                         and user_key = wanted.user_key
                       order by due_at limit $1
                       for update skip locked
                   ) as free
                   limit $1
               )
               update occurrences set lease_until = now() + $2, fence = fence % 2147483647 + 1
               from due
               where occurrences.id = due.id
               returning occurrences.id, fence"#,
        limit,
        interval(terms.lease),
        not_before,
        &user.by_priority(),
        interval(terms.ahead),
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| Lease { id: row.id, fence: row.fence }).collect())
}

/// Returns the due time of the next occurrence without a lease, and the database's time.
///
/// # Errors
/// When the statement fails.
pub async fn next_due(
    executor: impl PgExecutor<'_>,
    not_before: Option<DateTime<Utc>>,
) -> Result<NextDue, sqlx::Error> {
    let row = sqlx::query!(
        r#"select now() as "now!", (
                   select due_at from occurrences
                   where pending and due_at >= coalesce($1::timestamptz, '-infinity')
                       and lease_until <= now()
                   order by due_at limit 1
               ) as "due_at: StoredTime""#,
        not_before,
    )
    .fetch_one(executor)
    .await?;
    Ok(NextDue { now: row.now, claimable_at: row.due_at.map(StoredTime::nearest) })
}
