//! Where in a queue to begin reading.
//!
//! Messages leave a queue at its front, and the index entries of the dead rows stay there until
//! vacuum may remove them: for as long as any snapshot in the cluster is held. A read that began at
//! the front would step over all of them. So it begins at the floor: a `msg_id` below which there
//! is no row.
//!
//! How that is known: a *look* finds the lowest row, `low`, and the transactions under way (an MVCC
//! snapshot). Ids come from a sequence, so a row below `low` can only be written by a transaction
//! that was under way. Once all of those have ended, a second look shows whatever they wrote; the
//! lower of both looks is the new floor. A transaction that drew its id but had not written yet is
//! not in the snapshot: looks are [`LOOK`] apart, and against what is still thinkable every now and
//! then one read *sweeps* from the very front. So a wrong floor delays a message, and never loses
//! it.

use std::time::{Duration, Instant};

/// The time between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// The time between two sweeps.
const SWEEP: Duration = Duration::from_secs(60);
/// No transaction of a publisher lasts this long (the pool's `statement_timeout` is half of it):
/// one that is still under way is none of theirs.
const OVERDUE: Duration = Duration::from_secs(60);

/// What a look found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// The lowest row at or above the floor.
    pub(super) low: Option<i64>,
    /// The last id that was drawn from the sequence, where it is known: a row above it was given
    /// its id by hand, and the ids of those to come are below it.
    pub(super) last: Option<i64>,
    /// All transactions below have ended.
    pub(super) xmin: i64,
    /// All transactions from here on began later.
    pub(super) xmax: i64,
}

/// What the next read is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begin {
    /// Look first.
    pub(super) look: bool,
    /// Read from this `msg_id` on.
    pub(super) at: i64,
}

#[derive(Debug, Default)]
pub(super) struct Floor {
    at: i64,
    candidate: Option<Candidate>,
    /// The highest row that was received here.
    highest: i64,
    looked: Option<Instant>,
    swept: Option<Instant>,
}

#[derive(Debug)]
struct Candidate {
    at: i64,
    xmax: i64,
    found: Instant,
}

impl Floor {
    /// Where the next read begins, and whether a look is due; the first read of all is a sweep.
    pub(super) fn begin(&mut self, now: Instant) -> Begin {
        let due = |last: Option<Instant>, period| {
            last.is_none_or(|last| now.duration_since(last) >= period)
        };
        if due(self.swept, SWEEP) {
            self.swept = Some(now);
            return Begin { look: false, at: 0 };
        }
        let look = due(self.looked, LOOK);
        if look {
            self.looked = Some(now);
        }
        Begin { look, at: self.at }
    }

    /// Takes what a look from the present floor found; answers the floor.
    pub(super) fn looked(&mut self, look: Look, now: Instant) -> i64 {
        if let Some(candidate) = &self.candidate {
            if look.xmin < candidate.xmax && now.duration_since(candidate.found) < OVERDUE {
                return self.at;
            }
            self.at = candidate.at.min(look.low.unwrap_or(i64::MAX)).max(self.at);
        }
        // With no row there, whatever comes has a higher id than all that was received.
        let at = look.low.unwrap_or(self.highest.saturating_add(1));
        let at = at.min(look.last.map_or(i64::MAX, |last| last.saturating_add(1)));
        self.candidate = Some(Candidate { at, xmax: look.xmax, found: now });
        self.at
    }

    /// Takes the rows that a read returned; one below the floor pulls it down.
    pub(super) fn received(&mut self, ids: impl Iterator<Item = i64>) {
        for id in ids {
            self.highest = self.highest.max(id);
            if id < self.at {
                self.at = id;
                self.candidate = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(low: impl Into<Option<i64>>, xmin: i64, xmax: i64) -> Look {
        Look { low: low.into(), last: None, xmin, xmax }
    }

    #[test]
    fn ignores_ids_that_were_given_by_hand() {
        let (mut floor, now) = (Floor::default(), Instant::now());
        floor.received([i64::MAX].into_iter());
        for low in [None, Some(i64::MAX), None] {
            floor.looked(Look { low, last: Some(20), xmin: 7, xmax: 7 }, now);
        }
        assert_eq!(floor.begin(now).at, 0, "the first read sweeps");
        assert_eq!(floor.begin(now).at, 21);
    }

    #[test]
    fn the_floor_rises_when_the_transactions_of_the_first_look_have_ended() {
        let (mut floor, now) = (Floor::default(), Instant::now());
        assert_eq!(floor.looked(look(100, 7, 9), now), 0);
        assert_eq!(floor.looked(look(120, 8, 12), now), 0);
        assert_eq!(floor.looked(look(130, 9, 15), now), 100);
        assert_eq!(floor.looked(look(140, 15, 15), now), 130);
    }

    #[test]
    fn a_row_that_committed_late_keeps_the_floor_below_it() {
        let (mut floor, now) = (Floor::default(), Instant::now());
        floor.looked(look(100, 7, 9), now);
        assert_eq!(floor.looked(look(60, 9, 12), now), 60);
    }

    #[test]
    fn an_empty_queue_raises_the_floor_to_what_was_received() {
        let (mut floor, now) = (Floor::default(), Instant::now());
        floor.received([5, 9].into_iter());
        floor.looked(look(None, 7, 7), now);
        assert_eq!(floor.looked(look(None, 7, 7), now), 10);
    }

    #[test]
    fn a_row_below_the_floor_pulls_it_down() {
        let (mut floor, now) = (Floor::default(), Instant::now());
        floor.looked(look(100, 7, 7), now);
        floor.looked(look(100, 7, 7), now);
        floor.received([40].into_iter());
        floor.begin(now);
        assert_eq!(floor.begin(now).at, 40);
    }

    #[test]
    fn a_foreign_transaction_holds_the_floor_for_a_while_only() {
        let (mut floor, now) = (Floor::default(), Instant::now());
        floor.looked(look(100, 7, 9), now);
        assert_eq!(floor.looked(look(200, 7, 50), now + OVERDUE / 2), 0);
        assert_eq!(floor.looked(look(200, 7, 50), now + OVERDUE), 100);
    }

    #[test]
    fn looks_and_sweeps_come_at_their_times() {
        let (mut floor, now) = (Floor::default(), Instant::now());
        assert_eq!(floor.begin(now), Begin { look: false, at: 0 });
        assert!(floor.begin(now).look);
        assert!(!floor.begin(now).look);
        assert!(floor.begin(now + LOOK).look);
        floor.at = 50;
        assert_eq!(floor.begin(now + SWEEP), Begin { look: false, at: 0 });
    }
}
