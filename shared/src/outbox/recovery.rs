//! Takes over rows whose lease has run out: of processes that died, of times when the bus was away,
//! and of users who have more than their share.
//!
//! While any snapshot in the cluster is held, the index entries of deleted rows stay, and a walk
//! over the whole outbox steps over all of them. Ids of UUID v7 begin with their time, so the usual
//! pass looks only at ids of the last minutes, from a low-water mark on. What is older, and ids of
//! other versions, which stand anywhere, are found by a full pass every now and then, and whenever
//! this process left rows behind.
//!
//! A user of whom a pass finds more than a part of a batch, or more than the share allows, is
//! passed over from then on and served after the others, by claims of their own, as far as the
//! share goes ([`LateUsers`]).

use std::{collections::VecDeque, ops::RangeInclusive, sync::Arc, time::Duration};

use chrono::{TimeDelta, Utc};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    LEASE, OutboxMessage,
    publisher::Publisher,
    relay::{BATCH, BATCH_BYTES},
    store::{self, Claim, Whose},
    throttled_users::{LateUsers, after},
};

/// The pause between two passes, and after those in which the bus failed at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(2));
/// The time between two full passes; longer where one takes more than a tenth of it.
const FULL: Duration = Duration::from_secs(30);
/// How far back the usual pass looks: several times the lease.
const BACK: TimeDelta = TimeDelta::minutes(2);
/// How far ahead it looks, for clocks of other machines.
const AHEAD: TimeDelta = TimeDelta::minutes(1);
/// Rows of a user who is passed over that are published together.
const LATE_BATCH: usize = 100;

/// The sweep of a process.
struct Sweep {
    publisher: Arc<Publisher>,
    shutdown: CancellationToken,
    late: LateUsers,
    /// The longest claim of a pass: most of it is spent in stepping over rows that are leased or
    /// passed over.
    walk: Duration,
}

/// Sweeps until the token is cancelled. The first pass is full: it takes over what the process
/// before left.
pub(super) async fn run(publisher: Arc<Publisher>, shutdown: CancellationToken) {
    let (mut pause, mut full) = (PAUSE.0, Instant::now());
    let mut sweep = Sweep { publisher, shutdown, late: LateUsers::default(), walk: Duration::ZERO };
    while !sweep.shutdown.is_cancelled() {
        let began = Instant::now();
        let is_full = sweep.publisher.take_left_rows() || began >= full;
        let ids = if is_full { Uuid::nil()..=Uuid::max() } else { recent() };
        let mut succeeded = sweep.pass(ids).await;
        if is_full {
            measure(&sweep.publisher).await;
            full = Instant::now() + FULL.max(began.elapsed() * 10);
            sweep.late.start_over();
        }
        succeeded = succeeded && sweep.serve_late().await;
        pause = if succeeded { PAUSE.0 } else { (pause * 2).min(PAUSE.1) };
        // An eighth of the time at most is spent in claims that step over many rows.
        let breath = pause.max((sweep.walk * 8).min(PAUSE.1));
        tokio::select! { () = sleep(breath) => {} () = sweep.shutdown.cancelled() => {} }
    }
}

impl Sweep {
    /// Publishes rows without a lease until none is left but of users who are passed over; `false`
    /// when the bus or the database failed.
    async fn pass(&mut self, ids: RangeInclusive<Uuid>) -> bool {
        let (mut low, high) = ids.into_inner();
        self.walk = Duration::ZERO;
        while !self.shutdown.is_cancelled() {
            let began = Instant::now();
            let Some(rows) = self.claim(low, high, BATCH, Whose::NotOf(&self.late.names())).await
            else {
                return false;
            };
            self.walk = self.walk.max(began.elapsed());
            let Some(last) = rows.iter().map(|row| row.event_id).max() else { return true };
            let sorted = {
                let shares = &mut self.publisher.queue.state().shares;
                self.late.sort_out(rows, shares, Instant::now())
            };
            self.publisher.put_back(&sorted.put_back).await;
            if !self.publish(sorted.published).await {
                return false;
            }
            // Not from the beginning again: what was just deleted is still in the index.
            let Some(next) = after(last) else { return true };
            low = next;
        }
        true
    }

    /// Publishes rows of users who are passed over, in turns and as far as their shares go, for no
    /// longer than others wait for the next pass; `false` when the bus or the database failed.
    async fn serve_late(&mut self) -> bool {
        let began = Instant::now();
        let mut turns =
            VecDeque::from(self.late.turns(&mut self.publisher.queue.state().shares, began));
        let mut succeeded = true;
        while succeeded
            && began.elapsed() < PAUSE.0
            && !self.shutdown.is_cancelled()
            && let Some((user, tokens)) = turns.pop_front()
        {
            let wanted = tokens.min(LATE_BATCH);
            let claimed = self.serve(&user, wanted).await;
            succeeded = claimed.is_some();
            let left = tokens - claimed.unwrap_or(0);
            if claimed == Some(wanted) && left > 0 {
                turns.push_back((user, left));
            } else {
                self.give_back(&user, left);
            }
        }
        turns.iter().for_each(|(user, tokens)| self.give_back(user, *tokens));
        succeeded
    }

    /// Publishes the next rows of a user who is passed over; answers how many there were, or none
    /// when the bus or the database failed.
    async fn serve(&mut self, user: &str, wanted: usize) -> Option<usize> {
        let low = self.late.low(user)?;
        let rows = self.claim(low, Uuid::max(), wanted, Whose::Of(user)).await?;
        let (claimed, last) = (rows.len(), rows.iter().map(|row| row.event_id).max());
        match last {
            Some(last) if claimed == wanted => self.late.go_on_after(user, last),
            // Rows that did not fit by their bytes are found by the next pass.
            _ => self.late.end(user),
        }
        self.publish(rows).await.then_some(claimed)
    }

    fn give_back(&self, user: &Arc<str>, tokens: usize) {
        self.publisher.queue.state().shares.give_back(user, tokens, Instant::now());
    }

    /// Claimed rows; none when the database failed.
    async fn claim(
        &self,
        low: Uuid,
        high: Uuid,
        rows: usize,
        whose: Whose<'_>,
    ) -> Option<Vec<OutboxMessage>> {
        let claim = Claim { low, high, rows, bytes: BATCH_BYTES, lease: LEASE };
        match store::claim(&self.publisher.pool, claim, whose).await {
            Ok(rows) => {
                metrics::counter!("reminders_outbox_swept_total").increment(rows.len() as u64);
                Some(rows)
            }
            Err(error) => {
                tracing::warn!(error = %error, "sweep of the outbox failed, will retry");
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

/// The ids of UUID v7 that were made lately.
pub(super) fn recent() -> RangeInclusive<Uuid> {
    let now = Utc::now();
    first_id((now - BACK).timestamp_millis())..=first_id((now + AHEAD).timestamp_millis())
}

/// The lowest id of a millisecond (RFC 9562, section 5.7: the first 48 bits are the time).
fn first_id(millis: i64) -> Uuid {
    Uuid::from_u128(u128::from(millis.unsigned_abs()) << 80)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::new_id;

    #[test]
    fn recent_ids_are_those_of_the_last_minutes() {
        assert!(recent().contains(&new_id()));
        let ago = |time: TimeDelta| first_id((Utc::now() - time).timestamp_millis());
        assert!(recent().contains(&ago(TimeDelta::seconds(110))));
        assert!(!recent().contains(&ago(TimeDelta::seconds(130))));
        assert!(recent().contains(&ago(TimeDelta::seconds(-50))));
    }
}
