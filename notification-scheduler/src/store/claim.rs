//! Claims: occurrences that are due, under a lease, with the newest content of their notifications.
//!
//! A claim is two statements. The first leases occurrences; the second reads their notifications, after the leases are
//! committed. An edit that committed before is thereby read, and one that commits later finds the lease and follows the
//! occurrence by a command (ADR 7). Rows are read one by one: one that this binary cannot read stays behind alone.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use shared::{contract::NotifyContent, db::StoredTime};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Claimed, Fate, Store, StoreError, in_order, interval};

/// Time for which an occurrence that this binary cannot read, or of a series that it cannot follow, is set aside.
const SET_ASIDE: Duration = Duration::from_secs(60);

/// Ordering key of a user in the claim index: a hash of the user's id whose lowest bit is clear for priority `high`
/// (the SQL function `occurrence_user_key`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserKey(i64);

impl UserKey {
    /// The key of a row.
    #[must_use]
    pub const fn of_row(key: i64) -> Self {
        Self(key | 1)
    }

    /// The keys of the user's occurrences of priority `high` and `normal`, in that order.
    #[must_use]
    pub const fn by_priority(self) -> [i64; 2] {
        [self.0 & !1, self.0]
    }
}

/// Due time and lease of an occurrence, before its notification was read.
#[derive(Debug, Clone)]
struct Leased {
    id: Uuid,
    fence: i32,
    due_at: StoredTime,
    date: Option<StoredTime>,
    expires_at: Option<StoredTime>,
    expired: bool,
    told: bool,
    lateness: f64,
    notification_id: Uuid,
    user_key: i64,
}

/// Occurrences claimed together.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Before the claim was sent, by the monotonic clock: the lease runs out no sooner than its length after this.
    pub claimed_at: Instant,
    /// In the order of their times.
    pub claimed: Vec<Claimed>,
    /// Id and fence of occurrences whose notification is deleted or gone.
    pub orphans: Vec<(Uuid, i32)>,
    /// Id and fence of occurrences whose notification this binary cannot read, each with the reason.
    pub unreadable: Vec<(Uuid, i32, String)>,
}

impl Batch {
    /// The number of rows that were leased.
    #[must_use]
    pub fn leased(&self) -> usize {
        self.claimed.len() + self.orphans.len() + self.unreadable.len()
    }

    /// The due time of the last row that was read, from which an ascending claim goes on.
    #[must_use]
    pub fn last_due_at(&self) -> Option<DateTime<Utc>> {
        self.claimed.last().map(|claimed| claimed.due_at)
    }
}

macro_rules! leased {
    ($row:expr) => {
        Leased {
            id: $row.id,
            fence: $row.fence,
            due_at: $row.due_at,
            date: $row.date,
            expires_at: $row.expires_at,
            expired: $row.expired,
            told: $row.told,
            lateness: $row.lateness,
            notification_id: $row.notification_id,
            user_key: $row.user_key,
        }
    };
}

impl Store {
    /// Claims up to `limit` occurrences that are due and leased to nobody, the latest ones first. `not_before` is a hint:
    /// earlier ones are passed over, and with them the index entries of what was released lately.
    ///
    /// # Errors
    /// When a statement fails; nothing is claimed then, or what is comes free when the lease runs out.
    pub async fn claim(&self, limit: i64, not_before: Option<DateTime<Utc>>) -> Result<Batch, StoreError> {
        let claimed_at = Instant::now();
        let rows = sqlx::query!(
            r#"with due as materialized (
                   select id from occurrences
                   where pending and due_at <= now() and due_at >= coalesce($3::timestamptz, '-infinity') and lease_until <= now()
                   order by due_at limit $1
                   for update skip locked
               )
               update occurrences set lease_until = now() + $2, fence = fence % 2147483647 + 1
               from due
               where occurrences.id = due.id
               returning occurrences.id, fence, due_at as "due_at!: StoredTime", date as "date: StoredTime", expires_at as "expires_at: StoredTime",
                   coalesce(now() > expires_at, false) as "expired!", released_at is not null as "told!",
                   extract(epoch from now() - greatest(due_at, '0001-01-01'))::float8 as "lateness!", notification_id, user_key"#,
            limit,
            interval(self.lease),
            not_before,
        )
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::of("claim what is due"))?;
        self.read(claimed_at, rows.into_iter().map(|row| leased!(row)).collect()).await
    }

    /// Claims as [`Store::claim`] does, but none of some users. Their entries are passed over inside the index.
    ///
    /// # Errors
    /// As [`Store::claim`].
    pub async fn claim_of_others(
        &self,
        limit: i64,
        not_before: Option<DateTime<Utc>>,
        users: &[UserKey],
    ) -> Result<Batch, StoreError> {
        let claimed_at = Instant::now();
        let (above, below) = gaps(users);
        let limit = (limit / above.len() as i64).max(1);
        let rows = sqlx::query!(
            r#"with due as materialized (
                   select free.id
                   from unnest($4::bigint[], $5::bigint[]) as gap (above, below)
                   cross join lateral (
                       select id from occurrences
                       where pending and due_at <= now() and due_at >= coalesce($3::timestamptz, '-infinity') and lease_until <= now()
                         and user_key >= gap.above and user_key <= gap.below
                       order by due_at limit $1
                       for update skip locked
                   ) as free
               )
               update occurrences set lease_until = now() + $2, fence = fence % 2147483647 + 1
               from due
               where occurrences.id = due.id
               returning occurrences.id, fence, due_at as "due_at!: StoredTime", date as "date: StoredTime", expires_at as "expires_at: StoredTime",
                   coalesce(now() > expires_at, false) as "expired!", released_at is not null as "told!",
                   extract(epoch from now() - greatest(due_at, '0001-01-01'))::float8 as "lateness!", notification_id, user_key"#,
            limit,
            interval(self.lease),
            not_before,
            &above,
            &below,
        )
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::of("claim what is due of others"))?;
        self.read(claimed_at, rows.into_iter().map(|row| leased!(row)).collect()).await
    }

    /// Claims up to `limit` due occurrences of one user, those of priority `high` before the others.
    ///
    /// # Errors
    /// As [`Store::claim`].
    pub async fn claim_of_user(
        &self,
        limit: i64,
        not_before: Option<DateTime<Utc>>,
        user: UserKey,
    ) -> Result<Batch, StoreError> {
        let claimed_at = Instant::now();
        let rows = sqlx::query!(
            r#"with due as materialized (
                   select free.id
                   from unnest($4::bigint[]) with ordinality as wanted (user_key, rank)
                   cross join lateral (
                       select id from occurrences
                       where pending and due_at <= now() and due_at >= coalesce($3::timestamptz, '-infinity') and lease_until <= now()
                         and user_key = wanted.user_key
                       order by due_at limit $1
                       for update skip locked
                   ) as free
                   limit $1
               )
               update occurrences set lease_until = now() + $2, fence = fence % 2147483647 + 1
               from due
               where occurrences.id = due.id
               returning occurrences.id, fence, due_at as "due_at!: StoredTime", date as "date: StoredTime", expires_at as "expires_at: StoredTime",
                   coalesce(now() > expires_at, false) as "expired!", released_at is not null as "told!",
                   extract(epoch from now() - greatest(due_at, '0001-01-01'))::float8 as "lateness!", notification_id, user_key"#,
            limit,
            interval(self.lease),
            not_before,
            &user.by_priority(),
        )
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::of("claim what is due of a user"))?;
        self.read(claimed_at, rows.into_iter().map(|row| leased!(row)).collect()).await
    }

    /// Reads the notifications of leased occurrences, each by itself.
    async fn read(&self, claimed_at: Instant, leased: Vec<Leased>) -> Result<Batch, StoreError> {
        let mut batch = Batch { claimed_at, claimed: Vec::new(), orphans: Vec::new(), unreadable: Vec::new() };
        if leased.is_empty() {
            return Ok(batch);
        }
        let mut ids: Vec<Uuid> = leased.iter().map(|row| row.notification_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let rows = sqlx::query!(
            r#"select id, recurrence is not null as "recurs!", source, item_id, user_id, user_email, version, occurred_at as "occurred_at: StoredTime", content::text as "content!",
                   traceparent
               from notifications where id = any($1) and state = 'active'"#,
            &ids,
        )
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::of("read the notifications of what is due"))?;
        let notifications: HashMap<Uuid, _> = rows.into_iter().map(|row| (row.id, row)).collect();
        batch.claimed.reserve(leased.len());
        for row in leased {
            let Some(notification) = notifications.get(&row.notification_id) else {
                batch.orphans.push((row.id, row.fence));
                continue;
            };
            let content = serde_json::from_str::<NotifyContent>(&notification.content);
            let times = times(&row, notification.occurred_at);
            let claimed = match (content, notification.item_id.parse(), times) {
                (Ok(content), Ok(item_id), Some([due_at, date, expires_at, item_changed_at])) => Claimed {
                    id: row.id,
                    fence: row.fence,
                    due_at,
                    date,
                    expires_at,
                    expired: row.expired,
                    told: row.told,
                    notification_id: row.notification_id,
                    user_key: UserKey::of_row(row.user_key),
                    recurs: notification.recurs,
                    lateness: row.lateness,
                    source: notification.source.clone(),
                    item_id,
                    user_id: notification.user_id.clone(),
                    user_email: notification.user_email.clone(),
                    version: notification.version,
                    item_changed_at,
                    content,
                    traceparent: notification.traceparent.as_deref().and_then(|text| text.parse().ok()),
                },
                (Err(error), ..) => {
                    batch.unreadable.push((row.id, row.fence, format!("content: {error}")));
                    continue;
                }
                _ => {
                    batch.unreadable.push((row.id, row.fence, "the item's id or the times are malformed".to_owned()));
                    continue;
                }
            };
            batch.claimed.push(claimed);
        }
        batch.claimed.sort_by_key(|claimed| claimed.due_at);
        Ok(batch)
    }

    /// Ends occurrences whose notification is deleted or gone: nothing is left to send. Returns how many it ended.
    ///
    /// # Errors
    /// When the statement fails; the leases then run out by themselves.
    pub async fn end_orphans(&self, orphans: &[(Uuid, i32)]) -> Result<u64, StoreError> {
        let (ids, fences): (Vec<Uuid>, Vec<i32>) = orphans.iter().copied().unzip();
        let ended = sqlx::query!(
            "update occurrences set state = 'cancelled', reason = 'DELETED', outcome_at = now()
             from unnest($1::uuid[], $2::int[]) as claim (id, fence)
             where occurrences.id = claim.id and occurrences.fence = claim.fence and pending
               and not exists (select from notifications as n where n.id = occurrences.notification_id and n.state = 'active')",
            &ids,
            &fences,
        )
        .execute(&self.pool)
        .await
        .map_err(StoreError::of("end occurrences without a notification"))?;
        Ok(ended.rows_affected())
    }

    /// Keeps occurrences that cannot be read from being claimed for a minute, and notes the reason where the timeline
    /// shows it. Those that have expired end, unless they recur: the series would end with them.
    ///
    /// # Errors
    /// When the statement fails; the leases then run out by themselves.
    pub async fn set_aside(&self, claims: &[(Uuid, i32)]) -> Result<(), StoreError> {
        let (ids, fences): (Vec<Uuid>, Vec<i32>) = claims.iter().copied().unzip();
        sqlx::query!(
            "with claimed as materialized (
                 select occurrences.id, now() > expires_at and not exists (
                     select from notifications as n where n.id = occurrences.notification_id and n.recurrence is not null) as ends
                 from unnest($1::uuid[], $2::int[]) as claim (id, fence)
                      join occurrences on occurrences.id = claim.id and occurrences.fence = claim.fence
                 where pending
                 order by occurrences.id for update of occurrences
             )
             update occurrences set lease_until = now() + $3, reason = 'UNREADABLE',
                 state = case when ends then 'suppressed' else state end, outcome_at = case when ends then now() end
             from claimed where occurrences.id = claimed.id",
            &ids,
            &fences,
            interval(SET_ASIDE),
        )
        .execute(&self.pool)
        .await
        .map_err(StoreError::of("set aside what cannot be read"))?;
        Ok(())
    }

    /// Keeps occurrences of series that cannot be followed pending, for a minute at a time. What was published counts
    /// as told: it is not published again, and marked by a binary that can make the next one.
    ///
    /// # Errors
    /// When the statement fails; the leases then run out by themselves.
    pub(super) async fn hold_back(&self, claims: &[&Claimed], fate: Fate) -> Result<(), StoreError> {
        if claims.is_empty() {
            return Ok(());
        }
        let (ids, fences) = in_order(claims.iter().copied());
        sqlx::query!(
            "update occurrences set lease_until = now() + $3, reason = 'UNREADABLE',
                 released_at = case when $4 then coalesce(released_at, now()) else released_at end
             from unnest($1::uuid[], $2::int[]) as claim (id, fence)
             where occurrences.id = claim.id and occurrences.fence = claim.fence and pending",
            &ids,
            &fences,
            interval(SET_ASIDE),
            fate == Fate::Unknown,
        )
        .execute(&self.pool)
        .await
        .map_err(StoreError::of("set aside occurrences of series that cannot be followed"))?;
        Ok(())
    }
}

/// The times of an occurrence and of its notification's version; none if one of them is missing or none of the contract's.
fn times(row: &Leased, changed_at: StoredTime) -> Option<[DateTime<Utc>; 4]> {
    Some([row.due_at.get()?, row.date?.get()?, row.expires_at?.get()?, changed_at.get()?])
}

/// The ranges of keys (both bounds included) that lie between those of some users.
fn gaps(users: &[UserKey]) -> (Vec<i64>, Vec<i64>) {
    let mut users = users.to_vec();
    users.sort_unstable();
    users.dedup();
    let (mut above, mut below) = (vec![i64::MIN], Vec::with_capacity(users.len() + 1));
    for [high, normal] in users.into_iter().map(UserKey::by_priority) {
        match high.checked_sub(1) {
            Some(last) => below.push(last),
            None => drop(above.pop()),
        }
        match normal.checked_add(1) {
            Some(first) => above.push(first),
            None => return (above, below),
        }
    }
    below.push(i64::MAX);
    (above, below)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(users: &[i64]) -> Vec<(i64, i64)> {
        let users: Vec<UserKey> = users.iter().copied().map(UserKey::of_row).collect();
        let (above, below) = gaps(&users);
        assert_eq!(above.len(), below.len());
        above.into_iter().zip(below).collect()
    }

    #[test]
    fn covers_all_keys_but_those_of_users() {
        assert_eq!(ranges(&[]), [(i64::MIN, i64::MAX)]);
        assert_eq!(ranges(&[10]), [(i64::MIN, 9), (12, i64::MAX)]);
        assert_eq!(ranges(&[11, -4, 10]), [(i64::MIN, -5), (-2, 9), (12, i64::MAX)]);
    }

    #[test]
    fn covers_keys_beside_the_ends() {
        assert_eq!(ranges(&[i64::MIN]), [(i64::MIN + 2, i64::MAX)]);
        assert_eq!(ranges(&[i64::MAX]), [(i64::MIN, i64::MAX - 2)]);
    }
}
