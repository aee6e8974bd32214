//! Leased occurrences with the newest content of their notifications.

use chrono::{DateTime, TimeDelta, Utc};
use contract::{ChangedOccurrence, NotifyContent};
use db::StoredTime;
use sqlx::PgExecutor;

use super::arrays;
use crate::domain::{
    claim::{Claimed, Lease, Unreadable},
    user_key::UserKey,
};

/// Reads leased occurrences with their notifications, each by itself: a row that this binary cannot
/// read affects no other. Occurrences that a change cancelled since their lease are not returned,
/// nor are those of deleted notifications.
///
/// # Errors
/// When the statement fails.
pub async fn read(
    executor: impl PgExecutor<'_>,
    leases: &[Lease],
) -> Result<Vec<Result<Claimed, Unreadable>>, sqlx::Error> {
    let (ids, fences) = arrays(leases);
    let rows = sqlx::query!(
        r#"select o.id, o.fence, o.due_at as "due_at!: StoredTime",
                o.date as "date: StoredTime",
                   o.expires_at as "expires_at: StoredTime",
                       coalesce(now() > o.expires_at, false) as "expired!",
                   o.released_at is not null as "was_published!", o.notification_id, o.user_key,
                   extract(epoch from now() - greatest(o.due_at,
                       '0001-01-01'))::float8 as "lateness!",
                   n.recurrence is not null as "recurs!", n.source, n.item_id, n.user_id,
                       n.user_email, n.version,
                   n.occurred_at as "occurred_at: StoredTime", n.content::text as "content!",
                       n.changed_occurrences::text as changed_occurrences, n.traceparent
               from unnest($1::uuid[], $2::int[]) as lease (id, fence)
                   join occurrences as o on o.id = lease.id and o.fence = lease.fence and o.pending
                   join notifications as n on n.id = o.notification_id and n.state = 'active'"#,
        &ids,
        &fences,
    )
    .fetch_all(executor)
    .await?;
    let claimed = rows.into_iter().map(|row| {
        let lease = Lease { id: row.id, fence: row.fence };
        let content = content(&row.content, row.date, row.changed_occurrences.as_deref());
        let times = times([Some(row.due_at), row.date, row.expires_at, Some(row.occurred_at)]);
        match (content, row.item_id.parse(), times) {
            (Ok(content), Ok(item_id), Some([due_at, date, expires_at, item_changed_at])) => {
                Ok(Claimed {
                    lease,
                    due_at,
                    date,
                    expires_at,
                    expired: row.expired,
                    was_published: row.was_published,
                    notification_id: row.notification_id,
                    user_key: UserKey::of_row(row.user_key),
                    recurs: row.recurs,
                    lateness: row.lateness,
                    as_of: due_at + TimeDelta::milliseconds((row.lateness * 1000.0) as i64),
                    source: row.source,
                    item_id,
                    user_id: row.user_id,
                    user_email: row.user_email,
                    version: row.version,
                    item_changed_at,
                    content,
                    traceparent: row.traceparent.as_deref().and_then(|text| text.parse().ok()),
                })
            }
            (Err(error), ..) => Err(Unreadable { lease, problem: format!("content: {error}") }),
            _ => {
                let problem = "the item's id or the times are malformed".to_owned();
                Err(Unreadable { lease, problem })
            }
        }
    });
    Ok(claimed.collect())
}

/// Decodes the content of an occurrence, which may have other texts than its notification.
fn content(
    text: &str,
    date: Option<StoredTime>,
    changed: Option<&str>,
) -> Result<NotifyContent, serde_json::Error> {
    let content: NotifyContent = serde_json::from_str(text)?;
    let (Some(changed), Some(date)) = (changed, date.and_then(StoredTime::get)) else {
        return Ok(content);
    };
    let changed: Vec<ChangedOccurrence> = serde_json::from_str(changed)?;
    Ok(content.of_occurrence(date, &changed))
}

/// Converts the times of an occurrence and of its notification's version; `None` if one of them is
/// missing or outside of the contract's range.
fn times(
    [due_at, date, expires_at, changed_at]: [Option<StoredTime>; 4],
) -> Option<[DateTime<Utc>; 4]> {
    Some([due_at?.get()?, date?.get()?, expires_at?.get()?, changed_at?.get()?])
}
