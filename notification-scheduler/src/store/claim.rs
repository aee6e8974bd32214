//! Claims: occurrences that are due, under a lease, with the newest content of their notifications.
//!
//! A claim is two statements. The first leases occurrences; the second reads them with their
//! notifications, after the leases are committed, in one snapshot. A change that committed before
//! is thereby seen: what it cancelled is not published, which would ask for it in the very version
//! that cancelled it. A change that commits later finds the lease and follows the occurrence by a
//! command (ADR 7). Rows are read one by one: one that this binary cannot read stays behind alone.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use contract::NotifyContent;
use db::StoredTime;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Claimed, Store, StoreError, interval};
use crate::domain::user_key::{UserKey, ranges_between};

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
    pub fn mark_possibly_changed(&mut self, since_outage: Duration) {
        let held_up = self
            .claimed
            .iter_mut()
            .filter(|claimed| claimed.lateness >= since_outage.as_secs_f64());
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
                   where pending and due_at <= now()
                       and due_at >= coalesce($3::timestamptz, '-infinity') and lease_until <= now()
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
        let (above, below) = ranges_between(users);
        let limit = (limit / above.len() as i64).max(1);
        let rows = sqlx::query!(
            r#"with due as materialized (
                   select free.id
                   from unnest($4::bigint[], $5::bigint[]) as gap (above, below)
                   cross join lateral (
                       select id from occurrences
                       where pending and due_at <= now()
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
                       where pending and due_at <= now()
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
                       n.traceparent
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
}

/// Converts the times of an occurrence and of its notification's version; `None` if one of them is
/// missing or outside of the contract's range.
fn times(
    [due_at, date, expires_at, changed_at]: [Option<StoredTime>; 4],
) -> Option<[DateTime<Utc>; 4]> {
    Some([due_at?.get()?, date?.get()?, expires_at?.get()?, changed_at?.get()?])
}
