//! What comes late, as after an outage, waits for changes that may be under way. Pure.
//!
//! An outage holds up the messages of a snooze, an edit or a deletion as well as the occurrence
//! itself, and nothing keeps them in order: without the wait, what comes first would decide. A
//! backlog is no outage: what waits in a queue that is read all the time does not wait here again.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use chrono::{DateTime, TimeDelta, Utc};

use crate::delivery::Arrival;

/// An occurrence that reaches the queue so long after it was known to be wanted is late; the intake
/// is interrupted when it wrote nothing for as long although something waited for it.
const LATE: TimeDelta = TimeDelta::seconds(3);
/// The longest wait; below it, as long again as it is late. Whatever retries with back-off has then
/// tried again.
const LONGEST_WAIT: TimeDelta = TimeDelta::seconds(8);

/// Interruptions of the intake: of its process, its database or its queue.
#[derive(Debug, Default)]
pub struct Interruptions(Mutex<Known>);

/// What is known of interruptions.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Known {
    /// When the intake last wrote occurrences.
    wrote_at: Option<Instant>,
    /// When it did so for the first time after the last interruption.
    resumed_at: Option<Instant>,
}

impl Interruptions {
    pub(super) fn known(&self) -> Known {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that occurrences were written, of which some may have been held up by an interruption.
    pub(super) fn wrote(&self, any_held_up: bool, at: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if any_held_up && known.is_interrupted(at) {
            known.resumed_at = Some(at);
        }
        known.wrote_at = Some(at);
    }
}

/// Lateness of an occurrence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Late {
    /// Time as of which it is known to be wanted as it is.
    as_of: DateTime<Utc>,
    /// It waited in the queue through an interruption of the intake.
    pub(super) was_held_up: bool,
}

impl Known {
    fn is_interrupted(&self, at: Instant) -> bool {
        self.wrote_at.is_none_or(|wrote_at| since(wrote_at, at) >= LATE)
    }

    /// Returns the lateness of an occurrence whose message arrived so: it was put into the queue
    /// late, or waited there since before the intake went on. `now` and `at` are the same moment.
    pub(super) fn lateness(
        &self,
        arrival: Arrival,
        now: DateTime<Utc>,
        at: Instant,
    ) -> Option<Late> {
        let Arrival { as_of, queued_at } = arrival;
        let age = now.signed_duration_since(queued_at);
        let was_there = self.resumed_at.is_some_and(|resumed_at| age >= since(resumed_at, at));
        let was_held_up = age >= LATE && (self.is_interrupted(at) || was_there);
        let put_late = as_of.filter(|as_of| queued_at.signed_duration_since(*as_of) >= LATE);
        let as_of =
            if was_held_up { Some(as_of.unwrap_or(queued_at).min(queued_at)) } else { put_late };
        as_of.map(|as_of| Late { as_of, was_held_up })
    }
}

impl Late {
    /// The time until which it waits for changes: as long again as it is late, within bounds;
    /// `None` when it would expire meanwhile.
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

    /// The present, so many seconds after the start.
    fn present(start: Instant, seconds: u64) -> (DateTime<Utc>, Instant) {
        (DateTime::UNIX_EPOCH + Duration::from_secs(seconds), start + Duration::from_secs(seconds))
    }

    fn is_late(known: Known, queued_at: i64, (now, at): (DateTime<Utc>, Instant)) -> bool {
        let queued_at = DateTime::UNIX_EPOCH + TimeDelta::seconds(queued_at);
        known
            .lateness(Arrival { as_of: Some(queued_at), queued_at }, now, at)
            .is_some_and(|late| late.was_held_up)
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
    fn takes_what_waited_through_interruption_for_late() {
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
    fn takes_backlog_for_no_interruption() {
        let (interruptions, start) = (Interruptions::default(), Instant::now());
        for second in 0..100_u32 {
            // What is read is older and older, while it is read without a pause.
            let now = present(start, second.into());
            assert!(!is_late(interruptions.known(), (second / 2).into(), now));
            interruptions.wrote(false, now.1);
        }
    }

    #[test]
    fn takes_quiet_time_for_no_interruption() {
        let (interruptions, start) = (Interruptions::default(), Instant::now());
        interruptions.wrote(false, present(start, 0).1);
        assert!(!is_late(interruptions.known(), 599, present(start, 600)));
        interruptions.wrote(false, present(start, 600).1);
        assert!(!is_late(interruptions.known(), 597, present(start, 602)));
    }
}
