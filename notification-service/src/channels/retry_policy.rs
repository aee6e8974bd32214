//! Retry policy: a pure function of the outcome, the attempts made so far, the time and a random
//! number.
//!
//! The defaults follow the providers' documentation. FCM asks for 60 s after a 429 without
//! `Retry-After`; for at least 10 s, growing and jittered, after a 5xx or a timeout; and for giving
//! up after 60 minutes. SES asks for up to 10 minutes after a throttle. A wait is never shorter
//! than the provider asked for: jitter only adds to it, and repeated requests to wait are doubled.

use super::outcome::{MAX_RETRY_AFTER, Outcome};
use backoff::Backoff;
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// Shortest `Retry-After` that is doubled; a shorter one is raised to it first.
const MIN_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Parameters of the retry policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// First wait after a refusal, and after a throttle without `Retry-After`; doubles with each
    /// attempt.
    pub throttled: Duration,
    /// First wait after an unavailable provider without `Retry-After`; doubles with each attempt.
    pub unavailable: Duration,
    /// Longest wait that the doubling reaches. A provider's own `Retry-After` may be longer.
    pub longest: Duration,
    /// Time after the first attempt until which a message is repeated that may already have been
    /// delivered.
    pub maybe_delivered_for: Duration,
    /// Time after the first attempt at which a delivery whose own address is refused or throttled
    /// is given up.
    pub address_failing_for: Duration,
    /// Least number of attempts before such a delivery is given up.
    pub address_failing_attempts: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            throttled: Duration::from_secs(60),
            unavailable: Duration::from_secs(10),
            longest: Duration::from_secs(10 * 60),
            maybe_delivered_for: Duration::from_secs(60 * 60),
            address_failing_for: Duration::from_secs(2 * 60 * 60),
            address_failing_attempts: 5,
        }
    }
}

/// The attempts made so far for one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// Number of attempts, including the one that just ended. Attempts that an open circuit breaker
    /// prevented do not count.
    pub made: u32,
    /// Start of the first attempt.
    pub first_at: DateTime<Utc>,
    /// Current time, of the same clock.
    pub now: DateTime<Utc>,
    /// Expiry of the reminder: no attempt begins later.
    pub expires_at: DateTime<Utc>,
}

/// Next step for a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The outcome is final: sent, gone or rejected.
    Final,
    /// The next attempt begins at this time at the earliest.
    RetryAt(DateTime<Utc>),
    /// The circuit breaker is open or the address is paused. The delivery is looked at again at
    /// this time, and no attempt is counted.
    HoldUntil(DateTime<Utc>),
    /// No further attempt is made.
    GiveUp(GiveUpReason),
}

/// Reason for which a delivery is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveUpReason {
    /// The next attempt would come after the reminder's expiry.
    Expired,
    /// The provider did not recover in the time in which a message that may already have been
    /// delivered is repeated.
    RetriesExhausted,
    /// The provider kept refusing or throttling this one address. The outcome keeps the provider's
    /// reason.
    AddressFailing,
}

impl Policy {
    /// Decides what follows from an outcome. `random` is uniform in `[0, 1)` and adds jitter.
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
                if spent >= self.address_failing_for
                    && attempts.made >= self.address_failing_attempts
                {
                    return Decision::GiveUp(GiveUpReason::AddressFailing);
                }
                self.address_wait(outcome, attempts.made)
            }
            Outcome::Unavailable { retry_after: Some(asked), maybe_delivered, .. } => {
                if *maybe_delivered && spent >= self.maybe_delivered_for {
                    return Decision::GiveUp(GiveUpReason::RetriesExhausted);
                }
                self.retry_after_wait(*asked, self.unavailable, attempts.made)
            }
            Outcome::Unavailable { maybe_delivered, .. } => {
                let wait = self.doubled(self.unavailable, attempts.made);
                if *maybe_delivered
                    && spent.saturating_add(jittered(wait, random)) > self.maybe_delivered_for
                {
                    return Decision::GiveUp(GiveUpReason::RetriesExhausted);
                }
                wait
            }
        };
        let at = later(attempts.now, jittered(wait, random));
        if at >= attempts.expires_at {
            Decision::GiveUp(GiveUpReason::Expired)
        } else {
            Decision::RetryAt(at)
        }
    }

    /// Decides what follows for a delivery that an open circuit breaker or a pause prevents, which
    /// ends in `wait`.
    pub fn hold(
        &self,
        wait: Duration,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
        random: f64,
    ) -> Decision {
        if now >= expires_at {
            return Decision::GiveUp(GiveUpReason::Expired);
        }
        let wait = wait.min(MAX_RETRY_AFTER);
        // The provider was not asked, so that a short wait stays short.
        let spread = (wait / 2).mul_f64(random.clamp(0.0, 1.0));
        Decision::HoldUntil(later(now, wait.saturating_add(spread)).min(expires_at))
    }

    /// Returns the wait after a throttle or refusal of one address: as the provider asked, and
    /// never less than the doubled wait.
    fn address_wait(&self, outcome: &Outcome, made: u32) -> Duration {
        match outcome {
            Outcome::Throttled { retry_after: Some(asked), .. } => {
                self.retry_after_wait(*asked, self.throttled, made)
            }
            _ => self.doubled(self.throttled, made),
        }
    }

    /// Returns the wait that a provider asked for, but at least the doubled wait, which starts at
    /// one second. A provider that asks for no wait, or for a time in the past, is so not called in
    /// a tight loop.
    fn retry_after_wait(&self, asked: Duration, first: Duration, made: u32) -> Duration {
        let asked = asked.min(MAX_RETRY_AFTER);
        asked.max(self.doubled(asked.clamp(MIN_RETRY_AFTER.min(first), first), made))
    }

    fn doubled(&self, first: Duration, made: u32) -> Duration {
        Backoff::new(first, self.longest.max(first)).pause(made.max(1))
    }
}

/// Adds jitter of up to half of the wait, and of up to a second to short waits.
fn jittered(wait: Duration, random: f64) -> Duration {
    let spread = (wait / 2).max(Duration::from_secs(1));
    wait.saturating_add(spread.mul_f64(random.clamp(0.0, 1.0)))
}

/// Returns `at + wait`, or the latest representable time.
fn later(at: DateTime<Utc>, wait: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(wait)
        .ok()
        .and_then(|wait| at.checked_add_signed(wait))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests;
