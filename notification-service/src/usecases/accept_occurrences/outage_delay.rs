//! Delay of occurrences that arrive late, as after an outage: changes of them may be on their way.
//! Pure.
//!
//! An outage delays the message of a snooze, an edit or a deletion as well as the occurrence
//! itself, and nothing keeps them in order: without the delay, the message that arrives first would
//! decide. A backlog is not an outage: an occurrence that waited in a queue which was read all the
//! time is not delayed again.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::delivery::Arrival;

/// Time after which an occurrence is late that was known to be up to date before it reached the
/// queue; and time after which acceptance counts as interrupted if it wrote nothing although
/// occurrences waited.
const LATE: TimeDelta = TimeDelta::seconds(3);
/// Longest delay; a shorter one equals the lateness. Senders that retry with back-off have retried
/// by then.
const LONGEST_WAIT: TimeDelta = TimeDelta::seconds(8);

/// Interruptions of the acceptance of occurrences: of its process, its database or its queue.
#[derive(Debug, Default)]
pub struct Interruptions(Mutex<Known>);

/// Known interruptions.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Known {
    /// Time at which occurrences were last written.
    wrote_at: Option<Instant>,
    /// Time at which occurrences were first written after the last interruption.
    resumed_at: Option<Instant>,
}

impl Interruptions {
    pub(super) fn known(&self) -> Known {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that occurrences were written; `any_delayed` is `true` if an interruption delayed
    /// some.
    pub(super) fn wrote(&self, any_delayed: bool, at: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if any_delayed && known.is_interrupted(at) {
            known.resumed_at = Some(at);
        }
        known.wrote_at = Some(at);
    }
}

/// Lateness of an occurrence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lateness {
    /// Time at which the occurrence was known to be up to date.
    as_of: DateTime<Utc>,
    /// `true` if the occurrence waited in the queue during an interruption.
    pub(super) was_interrupted: bool,
}

impl Known {
    fn is_interrupted(&self, at: Instant) -> bool {
        self.wrote_at.is_none_or(|wrote_at| since(wrote_at, at) >= LATE)
    }

    /// Returns the lateness of an occurrence whose message was put into the queue late, or waited
    /// there since before acceptance resumed; `None` if it is not late. `now` and `at` are the same
    /// moment.
    pub(super) fn lateness(
        &self,
        arrival: Arrival,
        now: DateTime<Utc>,
        at: Instant,
    ) -> Option<Lateness> {
        let Arrival { as_of, queued_at } = arrival;
        let age = now.signed_duration_since(queued_at);
        let was_there = self.resumed_at.is_some_and(|resumed_at| age >= since(resumed_at, at));
        let was_interrupted = age >= LATE && (self.is_interrupted(at) || was_there);
        let put_late = as_of.filter(|as_of| queued_at.signed_duration_since(*as_of) >= LATE);
        let as_of = if was_interrupted {
            Some(as_of.unwrap_or(queued_at).min(queued_at))
        } else {
            put_late
        };
        as_of.map(|as_of| Lateness { as_of, was_interrupted })
    }
}

impl Lateness {
    /// Returns the time until which the occurrence waits for changes: as long again as it is late,
    /// within bounds; `None` if it would expire meanwhile.
    pub(super) fn waits_until(
        &self,
        expires_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let until = now + now.signed_duration_since(self.as_of).clamp(LATE, LONGEST_WAIT);
        (until < expires_at).then_some(until)
    }
}

fn since(earlier: Instant, at: Instant) -> TimeDelta {
    TimeDelta::from_std(at.saturating_duration_since(earlier)).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Moment this many seconds after the start.
    fn present(start: Instant, seconds: u64) -> (DateTime<Utc>, Instant) {
        (DateTime::UNIX_EPOCH + Duration::from_secs(seconds), start + Duration::from_secs(seconds))
    }

    fn is_late(known: Known, queued_at: i64, (now, at): (DateTime<Utc>, Instant)) -> bool {
        let queued_at = DateTime::UNIX_EPOCH + TimeDelta::seconds(queued_at);
        known
            .lateness(Arrival { as_of: Some(queued_at), queued_at }, now, at)
            .is_some_and(|lateness| lateness.was_interrupted)
    }

    #[test]
    fn waits_for_changes_when_published_late() {
        let (now, at) = (DateTime::UNIX_EPOCH, Instant::now());
        let waits = |ago: Option<i64>, lifetime: i64| {
            let as_of = ago.map(|ago| now - TimeDelta::seconds(ago));
            let late = Known::default().lateness(Arrival { as_of, queued_at: now }, now, at)?;
            Some(
                (late.waits_until(now + TimeDelta::seconds(lifetime), now)? - now)
                    .num_milliseconds(),
            )
        };
        assert_eq!([waits(None, 60), waits(Some(2), 60), waits(Some(-1), 60)], [None; 3]);
        assert_eq!([waits(Some(3), 60), waits(Some(4), 60)], [Some(3_000), Some(4_000)]);
        assert_eq!([waits(Some(3_600), 60), waits(Some(100_000_000_000), 60)], [Some(8_000); 2]);
        assert_eq!(waits(Some(3_600), 8), None, "it would expire");
    }

    #[test]
    fn delays_occurrence_after_interruption() {
        let (interruptions, start) = (Interruptions::default(), Instant::now());
        let now = |seconds| present(start, seconds);
        assert!(is_late(interruptions.known(), 96, now(100)), "it waited for the process");
        interruptions.wrote(true, now(100).1);
        interruptions.wrote(false, now(102).1);
        let known = interruptions.known();
        assert!(is_late(known, 97, now(102)) && !is_late(known, 101, now(104)));

        assert!(is_late(known, 156, now(160)) && !is_late(known, 158, now(160)));
        interruptions.wrote(true, now(160).1);
        assert!(is_late(interruptions.known(), 153, now(162)));
    }

    #[test]
    fn ignores_backlog_of_running_queue() {
        let (interruptions, start) = (Interruptions::default(), Instant::now());
        for second in 0..100_u32 {
            // Messages are older and older, while they are read without a pause.
            let now = present(start, second.into());
            assert!(!is_late(interruptions.known(), (second / 2).into(), now));
            interruptions.wrote(false, now.1);
        }
    }

    #[test]
    fn ignores_time_without_occurrences() {
        let (interruptions, start) = (Interruptions::default(), Instant::now());
        interruptions.wrote(false, present(start, 0).1);
        assert!(!is_late(interruptions.known(), 599, present(start, 600)));
        interruptions.wrote(false, present(start, 600).1);
        assert!(!is_late(interruptions.known(), 597, present(start, 602)));
    }
}
