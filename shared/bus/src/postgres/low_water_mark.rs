//! Low-water mark of a queue: the smallest `msg_id` that can still be visible, from which a read
//! begins.
//!
//! Messages leave a queue at its front, and the index entries of dead rows stay there until vacuum
//! can remove them, which is not before every older snapshot in the cluster has ended. A read from
//! the front would step over all of them.
//!
//! An *observation* finds the lowest row and the transactions in progress (an MVCC snapshot). Ids
//! come from a sequence, so a row below the lowest one can only be written by a transaction that
//! was in progress. Once all of those have ended, a second observation shows the rows that they
//! wrote; the lower of both is the new low-water mark. A transaction that drew its id but has not
//! written yet is not in the snapshot. Therefore observations are [`OBSERVATION_INTERVAL`] apart,
//! and periodically one read starts from the front. So a wrong low-water mark delays a message, and
//! never loses it.

use std::time::{Duration, Instant};

/// Time between two observations.
const OBSERVATION_INTERVAL: Duration = Duration::from_millis(250);
/// Time between two reads from the front.
const FULL_READ_INTERVAL: Duration = Duration::from_secs(60);
/// Longest time that an observation waits for transactions. No transaction of a publisher lasts
/// this long, as the `statement_timeout` of the pool is half of it.
const TRANSACTION_LIMIT: Duration = Duration::from_secs(60);

/// Result of an observation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observation {
    /// Lowest row at or above the low-water mark.
    pub(super) lowest: Option<i64>,
    /// Last id that was drawn from the sequence, if it is known. A row above it was inserted with
    /// an explicit id, and ids of future rows are below it.
    pub(super) last_drawn: Option<i64>,
    /// All transactions below this id have ended.
    pub(super) xmin: i64,
    /// All transactions from this id on began later.
    pub(super) xmax: i64,
}

/// Plan of the next read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReadPlan {
    /// `true` if an observation is due before the read.
    pub(super) observes: bool,
    /// Smallest `msg_id` to read.
    pub(super) from: i64,
}

/// Low-water mark of one queue.
#[derive(Debug, Default)]
pub(super) struct LowWaterMark {
    mark: i64,
    candidate: Option<Candidate>,
    /// Highest row that was received by this process.
    highest: i64,
    observed_at: Option<Instant>,
    read_fully_at: Option<Instant>,
}

#[derive(Debug)]
struct Candidate {
    mark: i64,
    xmax: i64,
    found_at: Instant,
}

impl LowWaterMark {
    /// Smallest `msg_id` that can still be visible.
    pub(super) fn mark(&self) -> i64 {
        self.mark
    }

    /// Plans the next read. The first one reads from the front.
    pub(super) fn plan(&mut self, now: Instant) -> ReadPlan {
        let due = |last: Option<Instant>, period| {
            last.is_none_or(|last| now.duration_since(last) >= period)
        };
        if due(self.read_fully_at, FULL_READ_INTERVAL) {
            self.read_fully_at = Some(now);
            return ReadPlan { observes: false, from: 0 };
        }
        let observes = due(self.observed_at, OBSERVATION_INTERVAL);
        if observes {
            self.observed_at = Some(now);
        }
        ReadPlan { observes, from: self.mark }
    }

    /// Applies an observation made from the current low-water mark; returns the new one.
    pub(super) fn observe(&mut self, observation: Observation, now: Instant) -> i64 {
        if let Some(candidate) = &self.candidate {
            if observation.xmin < candidate.xmax
                && now.duration_since(candidate.found_at) < TRANSACTION_LIMIT
            {
                return self.mark;
            }
            let lowest = observation.lowest.unwrap_or(i64::MAX);
            self.mark = candidate.mark.min(lowest).max(self.mark);
        }
        // If there is no row, future rows have higher ids than all that were received.
        let lowest = observation.lowest.unwrap_or(self.highest.saturating_add(1));
        let next = observation.last_drawn.map_or(i64::MAX, |last| last.saturating_add(1));
        let mark = lowest.min(next);
        self.candidate = Some(Candidate { mark, xmax: observation.xmax, found_at: now });
        self.mark
    }

    /// Records the rows that a read returned. A row below the low-water mark lowers it.
    pub(super) fn received(&mut self, ids: impl Iterator<Item = i64>) {
        for id in ids {
            self.highest = self.highest.max(id);
            if id < self.mark {
                self.mark = id;
                self.candidate = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(lowest: impl Into<Option<i64>>, xmin: i64, xmax: i64) -> Observation {
        Observation { lowest: lowest.into(), last_drawn: None, xmin, xmax }
    }

    #[test]
    fn ignores_explicit_ids() {
        let (mut mark, now) = (LowWaterMark::default(), Instant::now());
        mark.received([i64::MAX].into_iter());
        for lowest in [None, Some(i64::MAX), None] {
            mark.observe(Observation { lowest, last_drawn: Some(20), xmin: 7, xmax: 7 }, now);
        }
        assert_eq!(mark.plan(now).from, 0, "the first read starts from the front");
        assert_eq!(mark.plan(now).from, 21);
    }

    #[test]
    fn rises_when_observed_transactions_have_ended() {
        let (mut mark, now) = (LowWaterMark::default(), Instant::now());
        assert_eq!(mark.observe(observation(100, 7, 9), now), 0);
        assert_eq!(mark.observe(observation(120, 8, 12), now), 0);
        assert_eq!(mark.observe(observation(130, 9, 15), now), 100);
        assert_eq!(mark.observe(observation(140, 15, 15), now), 130);
    }

    #[test]
    fn stays_below_row_that_commits_late() {
        let (mut mark, now) = (LowWaterMark::default(), Instant::now());
        mark.observe(observation(100, 7, 9), now);
        assert_eq!(mark.observe(observation(60, 9, 12), now), 60);
    }

    #[test]
    fn rises_above_received_rows_when_queue_is_empty() {
        let (mut mark, now) = (LowWaterMark::default(), Instant::now());
        mark.received([5, 9].into_iter());
        mark.observe(observation(None, 7, 7), now);
        assert_eq!(mark.observe(observation(None, 7, 7), now), 10);
    }

    #[test]
    fn falls_to_received_row_below_it() {
        let (mut mark, now) = (LowWaterMark::default(), Instant::now());
        mark.observe(observation(100, 7, 7), now);
        mark.observe(observation(100, 7, 7), now);
        mark.received([40].into_iter());
        mark.plan(now);
        assert_eq!(mark.plan(now).from, 40);
    }

    #[test]
    fn waits_for_foreign_transaction_within_limit() {
        let (mut mark, now) = (LowWaterMark::default(), Instant::now());
        mark.observe(observation(100, 7, 9), now);
        assert_eq!(mark.observe(observation(200, 7, 50), now + TRANSACTION_LIMIT / 2), 0);
        assert_eq!(mark.observe(observation(200, 7, 50), now + TRANSACTION_LIMIT), 100);
    }

    #[test]
    fn plans_observations_and_full_reads() {
        let (mut mark, now) = (LowWaterMark::default(), Instant::now());
        assert_eq!(mark.plan(now), ReadPlan { observes: false, from: 0 });
        assert!(mark.plan(now).observes);
        assert!(!mark.plan(now).observes);
        assert!(mark.plan(now + OBSERVATION_INTERVAL).observes);
        mark.mark = 50;
        let full = ReadPlan { observes: false, from: 0 };
        assert_eq!(mark.plan(now + FULL_READ_INTERVAL), full);
    }
}
