//! Publishes rows whose lease has expired: rows of processes that died, rows written while the bus
//! was unreachable, and rows of users beyond their share.
//!
//! While any snapshot in the cluster is held, index entries of deleted rows stay, and a scan of the
//! whole outbox reads all of them. An id of UUID v7 begins with its time, so the usual scan reads
//! only ids of the last minutes, from a low-water mark on. Older rows, and ids of other UUID
//! versions, are found by a full scan, which runs periodically and whenever this process left rows
//! behind.
//!
//! A user with more rows than a part of a batch, or more than the share allows, is throttled: the
//! rows are claimed separately after those of the others, as far as the share allows
//! ([`ThrottledUsers`]).

use std::{collections::VecDeque, ops::RangeInclusive, sync::Arc, time::Duration};

use chrono::{TimeDelta, Utc};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    LEASE, OutboxMessage,
    publisher::Publisher,
    relay::{BATCH, BATCH_BYTES},
    store::{self, Claim, Users},
    throttled_users::{ThrottledUsers, after},
};

/// Pause between two scans.
const PAUSE: Duration = Duration::from_secs(1);
/// Pause after a scan in which the bus or the database failed, and longest pause after any scan.
const FAILURE_PAUSE: Duration = Duration::from_secs(2);
/// Time between two full scans; longer if one takes more than a tenth of it.
const FULL_SCAN_INTERVAL: Duration = Duration::from_secs(30);
/// Age of the oldest ids that the usual scan reads: several times the lease.
const RECENT_PAST: TimeDelta = TimeDelta::minutes(2);
/// Distance of the newest ids into the future, for clocks of other machines.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(1);
/// Most rows of a throttled user in a batch.
const THROTTLED_BATCH: usize = 100;

/// Recovery of rows with an expired lease, one in each process.
struct Recovery {
    publisher: Arc<Publisher>,
    shutdown: CancellationToken,
    throttled: ThrottledUsers,
    /// Longest duration of a claim in the last scan, most of which is spent on rows that are leased
    /// or belong to throttled users.
    longest_claim: Duration,
}

/// Runs until the token is cancelled. The first scan is full, as it recovers rows that the previous
/// process left.
pub(super) async fn run(publisher: Arc<Publisher>, shutdown: CancellationToken) {
    let mut full = Instant::now();
    let mut recovery = Recovery {
        publisher,
        shutdown,
        throttled: ThrottledUsers::default(),
        longest_claim: Duration::ZERO,
    };
    while !recovery.shutdown.is_cancelled() {
        let began = Instant::now();
        let is_full = recovery.publisher.take_has_left_rows() || began >= full;
        let ids = if is_full { Uuid::nil()..=Uuid::max() } else { recent() };
        let mut succeeded = recovery.scan(ids).await;
        if is_full {
            measure(&recovery.publisher).await;
            full = Instant::now() + FULL_SCAN_INTERVAL.max(began.elapsed() * 10);
            recovery.throttled.reset();
        }
        succeeded = succeeded && recovery.publish_throttled().await;
        let pause = if succeeded { PAUSE } else { FAILURE_PAUSE };
        // Claims that skip many rows take at most an eighth of the time.
        let pause = pause.max((recovery.longest_claim * 8).min(FAILURE_PAUSE));
        tokio::select! { () = sleep(pause) => {} () = recovery.shutdown.cancelled() => {} }
    }
}

impl Recovery {
    /// Publishes rows without a lease until only rows of throttled users are left; `false` if the
    /// bus or the database failed.
    async fn scan(&mut self, ids: RangeInclusive<Uuid>) -> bool {
        let (mut low, high) = ids.into_inner();
        self.longest_claim = Duration::ZERO;
        while !self.shutdown.is_cancelled() {
            let began = Instant::now();
            let Some(rows) =
                self.claim(low, high, BATCH, Users::Except(&self.throttled.names())).await
            else {
                return false;
            };
            self.longest_claim = self.longest_claim.max(began.elapsed());
            let Some(last) = rows.iter().map(|row| row.event_id).max() else { return true };
            let split = {
                let shares = &mut self.publisher.queue.state().shares;
                self.throttled.split_by_share(rows, shares, Instant::now())
            };
            self.publisher.release(&split.beyond_share).await;
            if !self.publish(split.publishable).await {
                return false;
            }
            // Not from the beginning again: deleted rows are still in the index.
            let Some(next) = after(last) else { return true };
            low = next;
        }
        true
    }

    /// Publishes rows of throttled users round-robin, as far as their shares allow and for no
    /// longer than the pause between two scans; `false` if the bus or the database failed.
    async fn publish_throttled(&mut self) -> bool {
        let began = Instant::now();
        let mut users = VecDeque::from(
            self.throttled.with_tokens(&mut self.publisher.queue.state().shares, began),
        );
        let mut succeeded = true;
        while succeeded
            && began.elapsed() < PAUSE
            && !self.shutdown.is_cancelled()
            && let Some((user, tokens)) = users.pop_front()
        {
            let wanted = tokens.min(THROTTLED_BATCH);
            let claimed = self.publish_of(&user, wanted).await;
            succeeded = claimed.is_some();
            let left = tokens - claimed.unwrap_or(0);
            if claimed == Some(wanted) && left > 0 {
                users.push_back((user, left));
            } else {
                self.return_tokens(&user, left);
            }
        }
        users.iter().for_each(|(user, tokens)| self.return_tokens(user, *tokens));
        succeeded
    }

    /// Publishes the next rows of a throttled user; returns their number, or `None` if the bus or
    /// the database failed.
    async fn publish_of(&mut self, user: &str, wanted: usize) -> Option<usize> {
        let low = self.throttled.low(user)?;
        let rows = self.claim(low, Uuid::max(), wanted, Users::Only(user)).await?;
        let (claimed, last) = (rows.len(), rows.iter().map(|row| row.event_id).max());
        match last {
            Some(last) if claimed == wanted => self.throttled.advance_past(user, last),
            // Rows that exceeded the bytes of a claim are found by the next scan.
            _ => self.throttled.remove(user),
        }
        self.publish(rows).await.then_some(claimed)
    }

    fn return_tokens(&self, user: &Arc<str>, tokens: usize) {
        self.publisher.queue.state().shares.return_tokens(user, tokens, Instant::now());
    }

    /// Claims rows; `None` if the database failed.
    async fn claim(
        &self,
        low: Uuid,
        high: Uuid,
        rows: usize,
        users: Users<'_>,
    ) -> Option<Vec<OutboxMessage>> {
        let claim = Claim { low, high, rows, bytes: BATCH_BYTES, lease: LEASE };
        match store::claim(&self.publisher.pool, claim, users).await {
            Ok(rows) => {
                metrics::counter!("reminders_outbox_recovered_total").increment(rows.len() as u64);
                Some(rows)
            }
            Err(error) => {
                tracing::warn!(error = %error, "outbox rows could not be claimed, will retry");
                None
            }
        }
    }

    async fn publish(&self, rows: Vec<OutboxMessage>) -> bool {
        rows.is_empty() || self.publisher.publish(rows).await
    }
}

async fn measure(publisher: &Publisher) {
    if let Ok(backlog) = store::backlog(&publisher.pool).await {
        metrics::gauge!("reminders_outbox_messages").set(backlog.waiting as f64);
        metrics::gauge!("reminders_outbox_oldest_seconds").set(backlog.oldest_seconds);
        metrics::gauge!("reminders_outbox_parked", "table" => "outbox").set(backlog.parked as f64);
    }
}

/// Ids of UUID v7 that were generated recently.
pub(super) fn recent() -> RangeInclusive<Uuid> {
    let now = Utc::now();
    first_id((now - RECENT_PAST).timestamp_millis())
        ..=first_id((now + CLOCK_SKEW).timestamp_millis())
}

/// Lowest id of a millisecond (RFC 9562, section 5.7: the first 48 bits are the time).
fn first_id(millis: i64) -> Uuid {
    Uuid::from_u128(u128::from(millis.unsigned_abs()) << 80)
}

#[cfg(test)]
mod tests {
    use contract::new_id;

    use super::*;

    #[test]
    fn recent_ids_are_of_last_minutes() {
        assert!(recent().contains(&new_id()));
        let ago = |time: TimeDelta| first_id((Utc::now() - time).timestamp_millis());
        assert!(recent().contains(&ago(TimeDelta::seconds(110))));
        assert!(!recent().contains(&ago(TimeDelta::seconds(130))));
        assert!(recent().contains(&ago(TimeDelta::seconds(-50))));
    }
}
