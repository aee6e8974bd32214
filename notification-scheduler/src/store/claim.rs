//! Claims: occurrences that are due, under a lease, with the newest content of their notifications.
//!
//! A claim is two statements. The first leases occurrences; the second reads them with their
//! notifications, after the leases are committed, in one snapshot. A change that committed before
//! is thereby seen: what it cancelled is not published, which would ask for it in the very version
//! that cancelled it. A change that commits later finds the lease and follows the occurrence by a
//! command (ADR 7). Rows are read one by one: one that this binary cannot read stays behind alone.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use shared::{
    contract::{NotifyContent, Reason},
    db::StoredTime,
};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Claimed, Fate, Store, StoreError, in_order, interval};

/// Time for which an occurrence is quarantined whose notification or recurrence rule this binary
/// cannot read.
const SET_ASIDE: Duration = Duration::from_secs(60);

/// Ordering key of a user in the claim index: a hash of the user's id whose lowest bit is clear for
/// priority `high` (the SQL function `occurrence_user_key`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserKey(i64);

impl UserKey {
    /// Returns the key of a row.
    #[must_use]
    pub const fn of_row(key: i64) -> Self {
        Self(key | 1)
    }

    /// Returns the keys of the user's occurrences of priority `high` and `normal`, in that order.
    #[must_use]
    pub const fn by_priority(self) -> [i64; 2] {
        [self.0 & !1, self.0]
    }
}

/// Occurrences claimed together.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Before the claim was sent, by the monotonic clock: the lease runs out no sooner than its
    /// length after this.
    pub claimed_at: Instant,
    /// Claimed occurrences, in the order of their due times.
    pub claimed: Vec<Claimed>,
    /// Id and fence of occurrences with nothing left to publish: their notification is deleted or
    /// missing, or a change cancelled them since their lease.
    pub orphans: Vec<(Uuid, i32)>,
    /// Id and fence of occurrences whose notification this binary cannot read, each with the
    /// reason.
    pub unreadable: Vec<(Uuid, i32, String)>,
}

impl Batch {
    /// The number of rows that were leased.
    #[must_use]
    pub fn leased(&self) -> usize {
        self.claimed.len() + self.orphans.len() + self.unreadable.len()
    }

    /// Marks occurrences that were due before the end of an outage as possibly changed: their
    /// content is known to be current only as of their due time.
    pub fn doubt(&mut self, calm: Duration) {
        let held_up =
            self.claimed.iter_mut().filter(|claimed| claimed.lateness >= calm.as_secs_f64());
        held_up.for_each(|claimed| claimed.as_of = claimed.due_at);
    }

    /// Returns the due time of the last row that was read, from which an ascending claim continues.
    #[must_use]
    pub fn last_due_at(&self) -> Option<DateTime<Utc>> {
        self.claimed.last().map(|claimed| claimed.due_at)
    }
}

impl Store {
    /// Claims up to `limit` occurrences that are due and leased to nobody, the latest ones first.
    /// `not_before` is a hint: earlier ones are passed over, and with them the index entries of
    /// what was released lately.
    ///
    /// # Errors
    /// When a statement fails; nothing is claimed then, or what is comes free when the lease runs
    /// out.
    pub async fn claim(
        &self,
        limit: i64,
        not_before: Option<DateTime<Utc>>,
    ) -> Result<Batch, StoreError> {
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
               returning occurrences.id, fence"#,
            limit,
            interval(self.lease),
            not_before,
        )
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::of("claim what is due"))?;
        self.read(claimed_at, rows.into_iter().map(|row| (row.id, row.fence)).collect()).await
    }

    /// Claims as [`Store::claim`] does, but none of some users. Their entries are passed over
    /// inside the index.
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
               returning occurrences.id, fence"#,
            limit,
            interval(self.lease),
            not_before,
            &above,
            &below,
        )
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::of("claim what is due of others"))?;
        self.read(claimed_at, rows.into_iter().map(|row| (row.id, row.fence)).collect()).await
    }

    /// Claims up to `limit` due occurrences of one user, those of priority `high` before the
    /// others.
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
               returning occurrences.id, fence"#,
            limit,
            interval(self.lease),
            not_before,
            &user.by_priority(),
        )
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::of("claim what is due of a user"))?;
        self.read(claimed_at, rows.into_iter().map(|row| (row.id, row.fence)).collect()).await
    }

    /// Reads leased occurrences with their notifications, each by itself, unless a change cancelled
    /// them since.
    async fn read(
        &self,
        claimed_at: Instant,
        leased: Vec<(Uuid, i32)>,
    ) -> Result<Batch, StoreError> {
        let (claimed, orphans, unreadable) = Default::default();
        let mut batch = Batch { claimed_at, claimed, orphans, unreadable };
        if leased.is_empty() {
            return Ok(batch);
        }
        let (ids, fences): (Vec<Uuid>, Vec<i32>) = leased.iter().copied().unzip();
        let rows = sqlx::query!(
            r#"select o.id, o.fence, o.due_at as "due_at!: StoredTime", o.date as "date: StoredTime",
                   o.expires_at as "expires_at: StoredTime", coalesce(now() > o.expires_at, false) as "expired!",
                   o.released_at is not null as "told!", o.notification_id, o.user_key,
                   extract(epoch from now() - greatest(o.due_at, '0001-01-01'))::float8 as "lateness!",
                   n.recurrence is not null as "recurs!", n.source, n.item_id, n.user_id, n.user_email, n.version,
                   n.occurred_at as "occurred_at: StoredTime", n.content::text as "content!", n.traceparent
               from unnest($1::uuid[], $2::int[]) as lease (id, fence)
                   join occurrences as o on o.id = lease.id and o.fence = lease.fence and o.pending
                   join notifications as n on n.id = o.notification_id and n.state = 'active'"#,
            &ids,
            &fences,
        )
        .fetch_all(&self.pool)
        .await
        .map_err(StoreError::of("read what was claimed"))?;
        let mut missing: HashMap<Uuid, i32> = leased.into_iter().collect();
        batch.claimed.reserve(rows.len());
        for row in rows {
            missing.remove(&row.id);
            let content = serde_json::from_str::<NotifyContent>(&row.content);
            let times = times([Some(row.due_at), row.date, row.expires_at, Some(row.occurred_at)]);
            let claimed = match (content, row.item_id.parse(), times) {
                (Ok(content), Ok(item_id), Some([due_at, date, expires_at, item_changed_at])) => {
                    Claimed {
                        id: row.id,
                        fence: row.fence,
                        due_at,
                        date,
                        expires_at,
                        expired: row.expired,
                        told: row.told,
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
                    }
                }
                (Err(error), ..) => {
                    batch.unreadable.push((row.id, row.fence, format!("content: {error}")));
                    continue;
                }
                _ => {
                    batch.unreadable.push((
                        row.id,
                        row.fence,
                        "the item's id or the times are malformed".to_owned(),
                    ));
                    continue;
                }
            };
            batch.claimed.push(claimed);
        }
        batch.orphans.extend(missing);
        batch.claimed.sort_by_key(|claimed| claimed.due_at);
        Ok(batch)
    }

    /// Cancels occurrences whose notification is deleted or missing. Returns the number cancelled,
    /// without those that a change has cancelled before.
    ///
    /// # Errors
    /// When the statement fails; the leases then run out by themselves.
    pub async fn end_orphans(&self, orphans: &[(Uuid, i32)]) -> Result<u64, StoreError> {
        let (ids, fences): (Vec<Uuid>, Vec<i32>) = orphans.iter().copied().unzip();
        let ended = sqlx::query!(
            "update occurrences set state = 'cancelled', outcome_at = now(), reason = case
                 when exists (select from notifications as n where n.id = notification_id) then $3
                 else $4
             end
             from unnest($1::uuid[], $2::int[]) as claim (id, fence)
             where occurrences.id = claim.id and occurrences.fence = claim.fence and pending
               and not exists (
                   select from notifications as n
                   where n.id = occurrences.notification_id and n.state = 'active')",
            &ids,
            &fences,
            Reason::Deleted.as_str(),
            Reason::Erased.as_str(),
        )
        .execute(&self.pool)
        .await
        .map_err(StoreError::of("end occurrences without a notification"))?;
        Ok(ended.rows_affected())
    }

    /// Quarantines occurrences that cannot be read: they are not claimed for a minute, and their
    /// reason is shown in the timeline. Those that have expired end, unless they recur: the series
    /// would end with them.
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
             update occurrences set lease_until = now() + $3, reason = $4,
                 state = case when ends then 'suppressed' else state end, outcome_at = case when ends then now() end
             from claimed where occurrences.id = claimed.id",
            &ids,
            &fences,
            interval(SET_ASIDE),
            Reason::Unreadable.as_str(),
        )
        .execute(&self.pool)
        .await
        .map_err(StoreError::of("set aside what cannot be read"))?;
        Ok(())
    }

    /// Keeps occurrences pending whose recurrence rule this binary cannot read, for a minute at a
    /// time. Occurrences that were published count as published: they are not published again, and
    /// a binary that can create the next one marks them.
    ///
    /// # Errors
    /// When the statement fails; the leases then run out by themselves.
    pub(super) async fn hold_back(
        &self,
        claims: &[&Claimed],
        fate: Fate,
    ) -> Result<(), StoreError> {
        if claims.is_empty() {
            return Ok(());
        }
        let (ids, fences) = in_order(claims.iter().copied());
        sqlx::query!(
            "update occurrences set lease_until = now() + $3, reason = $5,
                 released_at = case when $4 then coalesce(released_at, now()) else released_at end
             from unnest($1::uuid[], $2::int[]) as claim (id, fence)
             where occurrences.id = claim.id and occurrences.fence = claim.fence and pending",
            &ids,
            &fences,
            interval(SET_ASIDE),
            fate == Fate::Unknown,
            Reason::Unreadable.as_str(),
        )
        .execute(&self.pool)
        .await
        .map_err(StoreError::of("set aside occurrences of series that cannot be followed"))?;
        Ok(())
    }
}

/// Converts the times of an occurrence and of its notification's version; `None` if one of them is
/// missing or outside of the contract's range.
fn times(
    [due_at, date, expires_at, changed_at]: [Option<StoredTime>; 4],
) -> Option<[DateTime<Utc>; 4]> {
    Some([due_at?.get()?, date?.get()?, expires_at?.get()?, changed_at?.get()?])
}

/// Returns the ranges of keys, both bounds included, between those of some users.
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
