//! Limit of the deliveries of one user that a channel begins in a minute (the generic cell rate
//! algorithm, ITU-T I.371).
//!
//! Deliveries beyond the rate wait in the ledger, spread evenly, so that however many deliveries of
//! one user are due at one instant, they do not delay another user's. Urgent deliveries are counted
//! separately. Each process counts on its own: with `n` processes a user's rate is `n` times as
//! high.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};

/// Part of a minute's deliveries that may begin at once: those of 12 seconds.
const BURST_PART: u32 = 5;
/// Users that are remembered before those below their rate are pruned.
const PRUNE_FROM: usize = 10_000;

/// Rate limit of one channel.
#[derive(Debug)]
pub(super) struct UserRateLimit {
    interval: TimeDelta,
    tolerance: TimeDelta,
    /// Arrival times of normal deliveries and of urgent ones.
    arrivals: [Mutex<ArrivalTimes>; 2],
}

/// Theoretical arrival time of each user's next delivery.
#[derive(Debug)]
struct ArrivalTimes {
    next: HashMap<String, DateTime<Utc>>,
    prune_at: usize,
}

impl Default for ArrivalTimes {
    fn default() -> Self {
        Self { next: HashMap::new(), prune_at: PRUNE_FROM }
    }
}

impl UserRateLimit {
    /// Allows this many deliveries of one user in a minute.
    pub(super) fn new(per_minute: u32) -> Self {
        let per_minute = per_minute.max(1);
        let interval = TimeDelta::microseconds(60_000_000 / i64::from(per_minute).max(1))
            .max(TimeDelta::microseconds(1));
        let burst = (per_minute / BURST_PART).max(1);
        let tolerance = interval
            .checked_mul(i32::try_from(burst - 1).unwrap_or(i32::MAX))
            .unwrap_or(TimeDelta::MAX);
        Self { interval, tolerance, arrivals: Default::default() }
    }

    /// Returns the time before which a user's delivery must not begin, with `ahead` others of the
    /// same batch before it; `None` if it may begin now. Nothing is charged.
    pub(super) fn earliest_start(
        &self,
        user: &str,
        is_urgent: bool,
        ahead: u32,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let next = self.arrivals(is_urgent).next.get(user).copied().unwrap_or(now).max(now);
        let ahead = self
            .interval
            .checked_mul(i32::try_from(ahead).unwrap_or(i32::MAX))
            .unwrap_or(TimeDelta::MAX);
        let at = next.checked_add_signed(ahead)?.checked_sub_signed(self.tolerance)?;
        (at > now).then_some(at)
    }

    /// Charges deliveries to a user.
    pub(super) fn charge(&self, user: &str, is_urgent: bool, deliveries: u32, now: DateTime<Utc>) {
        let mut arrivals = self.arrivals(is_urgent);
        if arrivals.next.len() >= arrivals.prune_at {
            arrivals.next.retain(|_, next| *next > now);
            arrivals.prune_at = (arrivals.next.len() * 2).max(PRUNE_FROM);
        }
        let charged = self
            .interval
            .checked_mul(i32::try_from(deliveries).unwrap_or(i32::MAX))
            .unwrap_or(TimeDelta::MAX);
        let advance =
            |next: DateTime<Utc>| next.max(now).checked_add_signed(charged).unwrap_or(next);
        match arrivals.next.get_mut(user) {
            Some(next) => *next = advance(*next),
            None => {
                arrivals.next.insert(user.to_owned(), advance(now));
            }
        }
    }

    fn arrivals(&self, is_urgent: bool) -> MutexGuard<'_, ArrivalTimes> {
        let [normal, urgent] = &self.arrivals;
        let arrivals = if is_urgent { urgent } else { normal };
        arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
    }

    /// Earliest starts of a batch, in seconds from now.
    fn starts(limit: &UserRateLimit, user: &str, deliveries: u32) -> Vec<i64> {
        let starts: Vec<_> =
            (0..deliveries).map(|ahead| limit.earliest_start(user, false, ahead, now())).collect();
        limit.charge(user, false, deliveries, now());
        starts.into_iter().map(|at| at.map_or(0, |at| (at - now()).num_seconds())).collect()
    }

    #[test]
    fn spreads_deliveries_beyond_burst() {
        // One a second, twelve at once.
        let limit = UserRateLimit::new(60);
        assert_eq!(starts(&limit, "hog", 14), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(starts(&limit, "hog", 2), [3, 4], "the next batch follows it");
        assert_eq!(starts(&limit, "ada", 1), [0], "other users are not delayed");
        assert_eq!(limit.earliest_start("hog", true, 0, now()), None, "nor urgent deliveries");
    }

    #[test]
    fn prunes_users_below_their_rate() {
        let limit = UserRateLimit::new(60);
        for user in 0..PRUNE_FROM {
            limit.charge(&user.to_string(), false, 1, now());
        }
        limit.charge("late", false, 1, now() + TimeDelta::seconds(2));
        assert_eq!(limit.arrivals(false).next.len(), 1);
    }

    proptest! {
        #[test]
        fn never_begins_more_than_rate_allows(
            per_minute in 1u32..2_000,
            batches in prop::collection::vec(0u32..300, 1..10),
        ) {
            let limit = UserRateLimit::new(per_minute);
            let mut starts = Vec::new();
            for deliveries in batches {
                let earliest = |ahead| limit.earliest_start("hog", false, ahead, now());
                starts.extend((0..deliveries).map(|ahead| earliest(ahead).unwrap_or(now())));
                limit.charge("hog", false, deliveries, now());
            }
            let minute_ends = now() + TimeDelta::minutes(1);
            let within_a_minute = starts.iter().filter(|at| **at < minute_ends).count();
            let allowed = per_minute + (per_minute / BURST_PART).max(1) + 1;
            prop_assert!(within_a_minute <= allowed as usize, "{within_a_minute} > {allowed}");
        }
    }
}
