//! Read state of a user's occurrences. An occurrence is read once for all devices and mailboxes; it
//! can be read once one of its deliveries was sent (it *arrived*).
//!
//! A reading of everything up to a time is one row, whatever it covers; a mark on one occurrence
//! takes precedence. A repeated call writes nothing: the times, and the revision that streams
//! watch, stay as they are.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::history::WINDOW;

/// Part of a time that whole milliseconds leave out.
const REST: TimeDelta = TimeDelta::microseconds(999);

/// Number of occurrences that arrived and were not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread {
    /// Number among the newest [`WINDOW`] deliveries and those that were marked as unread.
    pub count: i64,
    /// `true` if older deliveries, which were not counted, may be unread as well.
    pub or_more: bool,
}

/// Returns the occurrence that an id names, its own or that of one of its deliveries; `None` if it
/// is not this user's.
///
/// # Errors
/// If the statement fails.
pub async fn occurrence(
    executor: impl PgExecutor<'_>,
    user_id: &str,
    id: Uuid,
) -> Result<Option<Uuid>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"select occurrence_id as "occurrence_id!" from (
               select occurrence_id from deliveries where user_id = $1 and id = $2
               union all
               select occurrence_id from deliveries where occurrence_id = $2 and user_id = $1
           ) as named limit 1"#,
        user_id,
        id,
    );
    found.fetch_optional(executor).await
}

/// Marks an occurrence as read now, unless it is read already.
///
/// # Errors
/// If the statement fails.
pub async fn mark_read(
    executor: impl PgExecutor<'_>,
    user_id: &str,
    occurrence_id: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with marked as (
             insert into inbox_marks as known (user_id, occurrence_id, read_at)
             select $1::text, $2::uuid, now()
             where exists (select from inbox_marks where user_id = $1 and occurrence_id = $2)
                or not exists (
                    select from inbox_readings where user_id = $1 and up_to >= (
                        select min(finished_at) from deliveries where occurrence_id = $2 and state = 'sent'))
             on conflict (user_id, occurrence_id) do update set read_at = excluded.read_at where known.read_at is null
             returning true
         )
         insert into inboxes as known (user_id) select $1 where exists (select from marked)
         on conflict (user_id) do update set revision = known.revision + 1",
        user_id,
        occurrence_id,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Marks an occurrence as unread, unless it is unread already.
///
/// # Errors
/// If the statement fails.
pub async fn mark_unread(
    executor: impl PgExecutor<'_>,
    user_id: &str,
    occurrence_id: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with marked as (
             insert into inbox_marks as known (user_id, occurrence_id, read_at)
             select $1::text, $2::uuid, null
             where exists (select from inbox_marks where user_id = $1 and occurrence_id = $2)
                or exists (
                    select from inbox_readings where user_id = $1 and up_to >= (
                        select min(finished_at) from deliveries where occurrence_id = $2 and state = 'sent'))
             on conflict (user_id, occurrence_id) do update set read_at = null where known.read_at is not null
             returning true
         )
         insert into inboxes as known (user_id) select $1 where exists (select from marked)
         on conflict (user_id) do update set revision = known.revision + 1",
        user_id,
        occurrence_id,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Marks as read all occurrences that arrived up to a time, or until now. A reading that covers
/// nothing new is not stored, so that there are no more readings than occurrences that were read.
///
/// # Errors
/// If the statement fails.
pub async fn read_up_to(
    executor: impl PgExecutor<'_>,
    user_id: &str,
    up_to: Option<DateTime<Utc>>,
) -> Result<(), sqlx::Error> {
    // Clients know times in whole milliseconds: such a time covers its whole millisecond. Nothing
    // arrived before 1970.
    let up_to = up_to
        .map(|at| at.max(DateTime::UNIX_EPOCH).trunc_subsecs(3))
        .and_then(|at| at.checked_add_signed(REST));
    sqlx::query!(
        "with bound as (select least($2::timestamptz, clock_timestamp()) as up_to),
             covered as (select max(up_to) as up_to from inbox_readings where user_id = $1),
             newest as (select state, finished_at from deliveries where user_id = $1 order by id desc limit $3),
             reading as (
                 insert into inbox_readings (user_id, up_to)
                 select $1::text, bound.up_to from bound cross join covered
                 where covered.up_to is null or exists (
                     select from newest where state = 'sent' and finished_at > covered.up_to and finished_at <= bound.up_to)
                 on conflict (user_id, up_to) do nothing
                 returning true
             ),
             marked as (
                 update inbox_marks as mark set read_at = now() from bound
                 where mark.user_id = $1 and mark.read_at is null and exists (
                     select from deliveries as delivery
                     where delivery.occurrence_id = mark.occurrence_id and delivery.state = 'sent' and delivery.finished_at <= bound.up_to)
                 returning true
             )
         insert into inboxes as known (user_id)
         select $1 where exists (select from reading) or exists (select from marked)
         on conflict (user_id) do update set revision = known.revision + 1",
        user_id,
        up_to,
        WINDOW,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Counts the occurrences that arrived and were not read, at bounded cost.
///
/// # Errors
/// If the statement fails.
pub async fn unread(executor: impl PgExecutor<'_>, user_id: &str) -> Result<Unread, sqlx::Error> {
    let row = sqlx::query!(
        r#"with newest as materialized (
               select id, occurrence_id, state, finished_at from deliveries where user_id = $1 order by id desc limit $2
           ),
           arrived as (select occurrence_id, min(finished_at) as at from newest where state = 'sent' group by occurrence_id),
           covered as (select max(up_to) as up_to from inbox_readings where user_id = $1),
           returned as (
               select from inbox_marks as mark
               where mark.user_id = $1 and mark.read_at is null and exists (
                   select from deliveries as delivery where delivery.occurrence_id = mark.occurrence_id and delivery.state = 'sent')
               limit $2
           )
           select covered.up_to as covered,
               (select count(*) from arrived
                where (covered.up_to is null or arrived.at > covered.up_to) and not exists (
                    select from inbox_marks as mark where mark.user_id = $1 and mark.occurrence_id = arrived.occurrence_id)
               ) + (select count(*) from returned) as "count!",
               (select id from newest order by id limit 1) as oldest,
               (select count(*) from newest) = $2 as "is_full!"
           from covered"#,
        user_id,
        WINDOW,
    )
    .fetch_one(executor)
    .await?;
    let or_more = row.is_full && row.oldest.is_some_and(|oldest| !is_covered(oldest, row.covered));
    Ok(Unread { count: row.count, or_more })
}

/// Returns `true` if a reading covers everything older than a delivery, by the time in its id.
fn is_covered(id: Uuid, covered: Option<DateTime<Utc>>) -> bool {
    let made_at = id.get_timestamp().and_then(|at| {
        let (seconds, nanoseconds) = at.to_unix();
        DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanoseconds)
    });
    made_at.is_some_and(|made_at| covered.is_some_and(|covered| covered >= made_at))
}
