//! When to try again, as a pure function of what happened, when, how often, and a random number.
//!
//! The figures are the providers': FCM asks for 60 s after a 429 without `Retry-After`, at least 10 s, growing
//! and jittered, after a 5xx or a timeout, and for an end after 60 minutes; SES wants up to 10 minutes after a
//! throttle. A wait is never shorter than asked: jitter only adds.

use super::outcome::Outcome;
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// The figures the decision rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// First wait after a throttle that names none; doubles with each attempt.
    pub throttled: Duration,
    /// First wait after an outage that names none; doubles with each attempt.
    pub unavailable: Duration,
    /// The longest wait the doubling reaches (a provider's own `Retry-After` may be longer).
    pub longest: Duration,
    /// How long after the first attempt a message that may already have been delivered is still repeated.
    pub doubt: Duration,
    /// How long a message waits before it looks again at a lane that is stopped.
    pub hold: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            throttled: Duration::from_secs(60),
            unavailable: Duration::from_secs(10),
            longest: Duration::from_secs(10 * 60),
            doubt: Duration::from_secs(60 * 60),
            hold: Duration::from_secs(60),
        }
    }
}

/// The attempts made so far for one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// How many, the one just ended included; attempts that ended as misconfigured do not count.
    pub made: u32,
    /// When the first began.
    pub first_at: DateTime<Utc>,
    /// The time now, of the same clock.
    pub now: DateTime<Utc>,
    /// After this the reminder is of no use any more.
    pub expires_at: DateTime<Utc>,
}

/// What to do with the delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The outcome stands: sent, gone or rejected.
    Final,
    /// Try again, not before this time.
    RetryAt(DateTime<Utc>),
    /// The lane is stopped; look again at this time. The attempt does not count.
    HoldUntil(DateTime<Utc>),
    /// No time is left for another attempt.
    GiveUp(GaveUp),
}

/// Why there is no further attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GaveUp {
    /// The next attempt would come after the reminder's expiry.
    Expired,
    /// The provider did not recover in the time a message of doubtful delivery may be repeated.
    RetriesExhausted,
}

impl GaveUp {
    /// The reason as it is stored and published.
    pub fn reason(self) -> &'static str {
        match self {
            GaveUp::Expired => "EXPIRED",
            GaveUp::RetriesExhausted => "RETRIES_EXHAUSTED",
        }
    }
}

impl Policy {
    /// Decides what follows from `outcome`. `random` is uniform in `[0, 1)` and spreads the waits.
    pub fn decide(&self, outcome: &Outcome, attempts: &Attempts, random: f64) -> Decision {
        let (asked, first, limit) = match outcome {
            Outcome::Sent { .. } | Outcome::Gone { .. } | Outcome::Rejected { .. } => return Decision::Final,
            Outcome::Misconfigured { .. } => return self.hold(attempts, random),
            Outcome::Throttled { retry_after, .. } => (*retry_after, self.throttled, None),
            Outcome::Unavailable { retry_after, maybe_delivered, .. } => {
                (*retry_after, self.unavailable, maybe_delivered.then_some(self.doubt))
            }
        };
        let wait = asked.unwrap_or_else(|| self.doubled(first, attempts.made));
        let at = later(attempts.now, jittered(wait, random));
        if at >= attempts.expires_at {
            return Decision::GiveUp(GaveUp::Expired);
        }
        if limit.is_some_and(|limit| at > later(attempts.first_at, limit)) {
            return Decision::GiveUp(GaveUp::RetriesExhausted);
        }
        Decision::RetryAt(at)
    }

    fn hold(&self, attempts: &Attempts, random: f64) -> Decision {
        if attempts.now >= attempts.expires_at {
            return Decision::GiveUp(GaveUp::Expired);
        }
        let at = later(attempts.now, jittered(self.hold, random));
        Decision::HoldUntil(at.min(attempts.expires_at))
    }

    fn doubled(&self, first: Duration, made: u32) -> Duration {
        let factor = 2u32.saturating_pow(made.saturating_sub(1));
        first.saturating_mul(factor).min(self.longest.max(first))
    }
}

/// Adds up to half of the wait, and up to a second to the shortest ones.
fn jittered(wait: Duration, random: f64) -> Duration {
    let spread = (wait / 2).max(Duration::from_secs(1));
    wait.saturating_add(spread.mul_f64(random.clamp(0.0, 1.0)))
}

/// `at + wait`, or the end of time when that is beyond it.
fn later(at: DateTime<Utc>, wait: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(wait).ok().and_then(|wait| at.checked_add_signed(wait)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests;
