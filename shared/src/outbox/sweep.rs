//! Takes over rows whose lease has run out: of processes that died, and of times when the bus was away.
//!
//! While any snapshot in the cluster is held, the index entries of deleted rows stay, and a walk over the whole outbox
//! steps over all of them. Ids of UUID v7 begin with their time, so the usual pass looks only at ids of the last minutes,
//! from a low-water mark on. What is older, and ids of other versions, which stand anywhere, are found by a full pass
//! every now and then, and whenever this process left rows behind.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use chrono::{TimeDelta, Utc};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    LEASE,
    relay::{BATCH, BATCH_BYTES, Publisher},
    store::{self, Claim},
};

/// The pause between two passes, and after those in which the bus failed at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// The time between two full passes; longer where one takes more than a tenth of it.
const FULL: Duration = Duration::from_secs(30);
/// How far back the usual pass looks: several times the lease.
const BACK: TimeDelta = TimeDelta::minutes(2);
/// How far ahead it looks, for clocks of other machines.
const AHEAD: TimeDelta = TimeDelta::minutes(1);

/// Sweeps until the token is cancelled. The first pass is full: it takes over what the process before left.
pub(super) async fn run(publisher: Arc<Publisher>, shutdown: CancellationToken) {
    let (mut pause, mut full) = (PAUSE.0, Instant::now());
    while !shutdown.is_cancelled() {
        let began = Instant::now();
        let is_full = publisher.take_left_rows() || began >= full;
        let ids = if is_full { Uuid::nil()..=Uuid::max() } else { recent() };
        let succeeded = pass(&publisher, ids, &shutdown).await;
        if is_full {
            measure(&publisher).await;
            full = Instant::now() + FULL.max(began.elapsed() * 10);
        }
        pause = if succeeded { PAUSE.0 } else { (pause * 2).min(PAUSE.1) };
        tokio::select! { () = sleep(pause) => {} () = shutdown.cancelled() => {} }
    }
}

/// Publishes rows without a lease until none is left; `false` when the bus or the database failed.
async fn pass(publisher: &Publisher, ids: RangeInclusive<Uuid>, shutdown: &CancellationToken) -> bool {
    let (mut low, high) = ids.into_inner();
    while !shutdown.is_cancelled() {
        let claim = Claim { low, high, rows: BATCH, bytes: BATCH_BYTES, lease: LEASE };
        let rows = match store::claim(&publisher.pool, claim).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(error = %error, "the outbox could not be swept");
                return false;
            }
        };
        let Some(last) = rows.iter().map(|row| row.event_id).max() else { return true };
        metrics::counter!("outbox_swept_total").increment(rows.len() as u64);
        if !publisher.publish(rows).await {
            return false;
        }
        // Not from the beginning again: what was just deleted is still in the index.
        let Some(next) = last.as_u128().checked_add(1) else { return true };
        low = Uuid::from_u128(next);
    }
    true
}

async fn measure(publisher: &Publisher) {
    if let Ok(backlog) = store::backlog(&publisher.pool).await {
        metrics::gauge!("outbox_waiting").set(backlog.waiting as f64);
        metrics::gauge!("outbox_oldest_seconds").set(backlog.oldest_seconds);
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
