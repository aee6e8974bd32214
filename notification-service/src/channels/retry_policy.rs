//! When to try again, as a pure function of what happened, when, how often, and a random number.
//!
//! The figures are the providers': FCM asks for 60 s after a 429 without `Retry-After`, at least 10
//! s, growing and jittered, after a 5xx or a timeout, and for an end after 60 minutes; SES wants up
//! to 10 minutes after a throttle. A wait is never shorter than asked: jitter only adds, and one
//! that is asked for again and again doubles.

use super::outcome::{MAX_RETRY_AFTER, Outcome};
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// The shortest wait that counts as asked for.
const LEAST_ASKED: Duration = Duration::from_secs(1);

/// The figures the decision rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// First wait after a throttle that names none, and after a refusal; doubles with each attempt.
    pub throttled: Duration,
    /// First wait after an outage that names none; doubles with each attempt.
    pub unavailable: Duration,
    /// The longest wait the doubling reaches (a provider's own `Retry-After` may be longer).
    pub longest: Duration,
    /// How long after the first attempt a message that may already have been delivered is still
    /// repeated.
    pub doubt: Duration,
    /// How long after the first attempt a delivery is given up whose own address is refused or
    /// throttled.
    pub charged: Duration,
    /// How many attempts it has had by then at least.
    pub charged_attempts: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            throttled: Duration::from_secs(60),
            unavailable: Duration::from_secs(10),
            longest: Duration::from_secs(10 * 60),
            doubt: Duration::from_secs(60 * 60),
            charged: Duration::from_secs(2 * 60 * 60),
            charged_attempts: 5,
        }
    }
}

/// The attempts made so far for one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// How many, the one just ended included; attempts that met an open circuit breaker do not
    /// count.
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
    /// The circuit breaker is open or the address paused; look again at this time. No attempt is
    /// counted.
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
    /// The provider went on refusing or throttling this one address; its own reason stands.
    Charged,
}

impl Policy {
    /// Decides what follows from `outcome`. `random` is uniform in `[0, 1)` and spreads the waits.
    pub fn decide(&self, outcome: &Outcome, attempts: &Attempts, random: f64) -> Decision {
        let spent =
            attempts.now.signed_duration_since(attempts.first_at).to_std().unwrap_or_default();
        let wait = match outcome {
            Outcome::Sent { .. } | Outcome::Gone { .. } | Outcome::Rejected { .. } => {
                return Decision::Final;
            }
            Outcome::Throttled { .. }
            | Outcome::Refused { .. }
            | Outcome::Misconfigured { .. }
            | Outcome::KeyRefused { .. } => {
                if spent >= self.charged && attempts.made >= self.charged_attempts {
                    return Decision::GiveUp(GaveUp::Charged);
                }
                self.charged_wait(outcome, attempts.made)
            }
            Outcome::Unavailable { retry_after: Some(asked), maybe_delivered, .. } => {
                if *maybe_delivered && spent >= self.doubt {
                    return Decision::GiveUp(GaveUp::RetriesExhausted);
                }
                self.asked_wait(*asked, self.unavailable, attempts.made)
            }
            Outcome::Unavailable { maybe_delivered, .. } => {
                let wait = self.doubled(self.unavailable, attempts.made);
                if *maybe_delivered && spent.saturating_add(jittered(wait, random)) > self.doubt {
                    return Decision::GiveUp(GaveUp::RetriesExhausted);
                }
                wait
            }
        };
        let at = later(attempts.now, jittered(wait, random));
        if at >= attempts.expires_at {
            Decision::GiveUp(GaveUp::Expired)
        } else {
            Decision::RetryAt(at)
        }
    }

    /// Decides what follows for a delivery that meets an open circuit breaker or a pause, after
    /// which it may be tried again in `wait`.
    pub fn hold(
        &self,
        wait: Duration,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
        random: f64,
    ) -> Decision {
        if now >= expires_at {
            return Decision::GiveUp(GaveUp::Expired);
        }
        let wait = wait.min(MAX_RETRY_AFTER);
        // No provider was asked: a short hold stays short.
        let spread = (wait / 2).mul_f64(random.clamp(0.0, 1.0));
        Decision::HoldUntil(later(now, wait.saturating_add(spread)).min(expires_at))
    }

    /// The wait that a throttle or refusal of one address asks for: as told, and never less than
    /// the doubling.
    fn charged_wait(&self, outcome: &Outcome, made: u32) -> Duration {
        match outcome {
            Outcome::Throttled { retry_after: Some(asked), .. } => {
                self.asked_wait(*asked, self.throttled, made)
            }
            _ => self.doubled(self.throttled, made),
        }
    }

    /// The wait that a provider asked for, but never less than a doubling of what it asked, from a
    /// second on: one that asks for no wait at all, or for a time that has passed, is not called
    /// again and again.
    fn asked_wait(&self, asked: Duration, first: Duration, made: u32) -> Duration {
        let asked = asked.min(MAX_RETRY_AFTER);
        asked.max(self.doubled(asked.clamp(LEAST_ASKED.min(first), first), made))
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
    TimeDelta::from_std(wait)
        .ok()
        .and_then(|wait| at.checked_add_signed(wait))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests;
