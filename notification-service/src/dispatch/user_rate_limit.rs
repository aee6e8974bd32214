//! How many deliveries of one user a channel begins in a minute (the generic cell rate algorithm,
//! ITU-T I.371).
//!
//! What is beyond it waits in the ledger until its turn, spread evenly: so the deliveries of one
//! user never stand in the way of another's, however many are due at one instant. What is urgent
//! has a line of its own. Each process keeps its own account; with several of them a user has as
//! many times the pace.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};

/// How much of a minute's deliveries may come at once: those of 12 seconds.
const BURST_PART: u32 = 5;
/// Lines that are kept before those that are through are looked for.
const PRUNE_FROM: usize = 10_000;

/// The pace of one channel.
#[derive(Debug)]
pub(super) struct Pace {
    interval: TimeDelta,
    tolerance: TimeDelta,
    /// When the line of each user is through: of normal deliveries and of urgent ones.
    lines: [Mutex<Lines>; 2],
}

#[derive(Debug)]
struct Lines {
    through: HashMap<String, DateTime<Utc>>,
    prune_at: usize,
}

impl Default for Lines {
    fn default() -> Self {
        Self { through: HashMap::new(), prune_at: PRUNE_FROM }
    }
}

impl Pace {
    /// A pace of so many deliveries of one user in a minute.
    pub(super) fn new(per_minute: u32) -> Self {
        let per_minute = per_minute.max(1);
        let interval = TimeDelta::microseconds(60_000_000 / i64::from(per_minute).max(1))
            .max(TimeDelta::microseconds(1));
        let burst = (per_minute / BURST_PART).max(1);
        let tolerance = interval
            .checked_mul(i32::try_from(burst - 1).unwrap_or(i32::MAX))
            .unwrap_or(TimeDelta::MAX);
        Self { interval, tolerance, lines: Default::default() }
    }

    /// When the delivery of a user with `ahead` others of the same batch before it may begin;
    /// `None` when it may now. Nothing is charged.
    pub(super) fn turn(
        &self,
        user: &str,
        is_urgent: bool,
        ahead: u32,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let through = self.lines(is_urgent).through.get(user).copied().unwrap_or(now).max(now);
        let ahead = self
            .interval
            .checked_mul(i32::try_from(ahead).unwrap_or(i32::MAX))
            .unwrap_or(TimeDelta::MAX);
        let at = through.checked_add_signed(ahead)?.checked_sub_signed(self.tolerance)?;
        (at > now).then_some(at)
    }

    /// Charges deliveries to a user.
    pub(super) fn charge(&self, user: &str, is_urgent: bool, deliveries: u32, now: DateTime<Utc>) {
        let mut lines = self.lines(is_urgent);
        if lines.through.len() >= lines.prune_at {
            lines.through.retain(|_, through| *through > now);
            lines.prune_at = (lines.through.len() * 2).max(PRUNE_FROM);
        }
        let longer = self
            .interval
            .checked_mul(i32::try_from(deliveries).unwrap_or(i32::MAX))
            .unwrap_or(TimeDelta::MAX);
        let extend =
            |through: DateTime<Utc>| through.max(now).checked_add_signed(longer).unwrap_or(through);
        match lines.through.get_mut(user) {
            Some(through) => *through = extend(*through),
            None => {
                lines.through.insert(user.to_owned(), extend(now));
            }
        }
    }

    fn lines(&self, is_urgent: bool) -> MutexGuard<'_, Lines> {
        let [normal, urgent] = &self.lines;
        let lines = if is_urgent { urgent } else { normal };
        lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
    }

    /// The turns of a batch, in seconds from now.
    fn turns(pace: &Pace, user: &str, deliveries: u32) -> Vec<i64> {
        let turns: Vec<_> =
            (0..deliveries).map(|ahead| pace.turn(user, false, ahead, now())).collect();
        pace.charge(user, false, deliveries, now());
        turns.into_iter().map(|at| at.map_or(0, |at| (at - now()).num_seconds())).collect()
    }

    #[test]
    fn spreads_what_is_beyond_burst() {
        // One a second, twelve at once.
        let pace = Pace::new(60);
        assert_eq!(turns(&pace, "hog", 14), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(turns(&pace, "hog", 2), [3, 4], "the next batch stands behind it");
        assert_eq!(turns(&pace, "ada", 1), [0], "nobody else does");
        assert_eq!(pace.turn("hog", true, 0, now()), None, "what is urgent does not");
    }

    #[test]
    fn forgets_users_whose_line_is_through() {
        let pace = Pace::new(60);
        for user in 0..PRUNE_FROM {
            pace.charge(&user.to_string(), false, 1, now());
        }
        pace.charge("late", false, 1, now() + TimeDelta::seconds(2));
        assert_eq!(pace.lines(false).through.len(), 1);
    }

    proptest! {
        #[test]
        fn never_begins_more_than_pace_allows(per_minute in 1u32..2_000, batches in prop::collection::vec(0u32..300, 1..10)) {
            let pace = Pace::new(per_minute);
            let mut turns = Vec::new();
            for deliveries in batches {
                turns.extend((0..deliveries).map(|ahead| pace.turn("hog", false, ahead, now()).unwrap_or(now())));
                pace.charge("hog", false, deliveries, now());
            }
            let within_a_minute = turns.iter().filter(|at| **at < now() + TimeDelta::minutes(1)).count();
            let allowed = per_minute + (per_minute / BURST_PART).max(1) + 1;
            prop_assert!(within_a_minute <= allowed as usize, "{} > {}", within_a_minute, allowed);
        }
    }
}
