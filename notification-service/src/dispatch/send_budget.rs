//! Budget of messages that this process may send, within a provider's rate and daily quota.
//!
//! The budget is kept in the database, and all processes lease from it: one statement for the next
//! few hundred milliseconds, not one for each message. Messages that are leased and not sent in
//! time are lost to the rate, so that the processes together keep to it whichever of them sends;
//! the next lease returns them to the quota of the day.

mod leased;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use contract::Channel;
use leased::{LeasedBudget, Take};
use sqlx::PgPool;
use tokio::{
    sync::watch,
    time::{sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    channels::email::Quota,
    store::budgets::{self, Leased, Wanted},
};

/// Longest time ahead of now at which a lease may begin: other processes wait for theirs after it.
const AHEAD: Duration = Duration::from_secs(1);
/// Shortest and longest pause after a lease that failed or brought no message.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));
/// Time after which a channel whose daily quota is used up asks for a lease again.
const QUOTA_PAUSE: Duration = Duration::from_secs(60);

/// Rules by which a budget is spent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Longest unused time that may be made up for at once.
    pub(super) burst: Duration,
    /// Shortest and longest lease, as time at the provider's rate.
    pub(super) lease: (Duration, Duration),
    /// `true` if messages are spread evenly over the time of their lease.
    pub(super) is_even: bool,
}

impl Terms {
    /// Rules for SES, which counts by the second: even, and nothing is made up for.
    pub(super) const EVEN: Self = Self {
        burst: Duration::ZERO,
        lease: (Duration::from_millis(100), Duration::from_millis(500)),
        is_even: true,
    };
    /// Rules for FCM, which counts by the minute: the messages of twelve seconds may be sent at
    /// once. See [`per_minute`].
    pub(super) const BY_MINUTE: Self = Self {
        burst: Duration::from_secs(12),
        lease: (Duration::from_millis(250), Duration::from_secs(1)),
        is_even: false,
    };
}

/// Returns the rate in messages a second that, with a burst of twelve seconds, never exceeds
/// `limit` messages in any minute.
pub(super) fn per_minute(limit: u32) -> f64 {
    f64::from(limit) / 72.0
}

/// Answer to a request to send one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grant {
    /// The message may be sent now.
    Granted,
    /// The provider's quota of 24 hours is used up; ask again after this long.
    QuotaUsedUp(Duration),
}

/// Budget of one channel, as this process spends it.
#[derive(Debug)]
pub(super) struct SendBudget {
    channel: Channel,
    pool: PgPool,
    terms: Terms,
    leased: Mutex<LeasedBudget>,
}

impl SendBudget {
    /// Creates a budget of which nothing is leased yet.
    pub(super) fn new(channel: Channel, pool: PgPool, terms: Terms, per_second: f64) -> Self {
        Self {
            channel,
            pool,
            terms,
            leased: Mutex::new(LeasedBudget::new(terms.is_even, per_second, Instant::now())),
        }
    }

    /// Waits until one message may be sent. `demand` returns the number of messages that wait, this
    /// one included; it is called when a lease is due.
    pub(super) async fn take(&self, demand: impl Fn() -> usize + Send) -> Grant {
        let mut is_failing = false;
        loop {
            let take = self.leased().take(Instant::now());
            match take {
                Take::Now => return Grant::Granted,
                Take::At(at) => {
                    sleep_until(at.into()).await;
                    return Grant::Granted;
                }
                Take::Empty => {}
            }
            match self.lease(demand()).await {
                Ok(Some(leased)) if leased.messages > 0 => {}
                Ok(Some(Leased { day_left: Some(..=0), .. })) => {
                    return Grant::QuotaUsedUp(QUOTA_PAUSE);
                }
                Ok(Some(leased)) => {
                    let wait = Duration::try_from_secs_f64(leased.begins_in)
                        .unwrap_or_default()
                        .saturating_sub(AHEAD);
                    sleep(wait.clamp(PAUSE.0, PAUSE.1)).await;
                }
                Ok(None) => sleep(PAUSE.1).await,
                Err(error) => {
                    if !is_failing {
                        tracing::warn!(
                            error = %error,
                            channel = self.channel.as_str(),
                            "send budget was not leased, will retry"
                        );
                    }
                    is_failing = true;
                    sleep(PAUSE.1).await;
                }
            }
        }
    }

    /// Slows this process down for a while: the provider throttled it.
    pub(super) fn slow_down(&self) {
        self.leased().slow_down(Instant::now());
    }

    /// Applies the rate and quota that the provider reports, until the token is cancelled.
    pub(super) async fn follow(
        &self,
        mut quota: watch::Receiver<Option<Quota>>,
        shutdown: &CancellationToken,
    ) {
        loop {
            let known = *quota.borrow_and_update();
            if let Some(known) = known {
                self.leased().set_rate(known.per_second);
                if let Err(error) =
                    budgets::note_day_left(&self.pool, self.channel, known.day_left).await
                {
                    tracing::debug!(
                        error = %error,
                        "daily quota was not recorded, will retry"
                    );
                }
                self.export_day_left(known.day_left);
            }
            tokio::select! {
                changed = quota.changed() => if changed.is_err() { return },
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn lease(&self, demand: usize) -> Result<Option<Leased>, sqlx::Error> {
        let (per_second, unused) = {
            let mut leased = self.leased();
            (leased.rate(Instant::now()), leased.take_unused())
        };
        let messages = wanted(demand, per_second, self.terms.lease);
        let (seconds_each, channel) = (1.0 / per_second, self.channel);
        let wanted = Wanted {
            channel,
            messages,
            seconds_each,
            burst: self.terms.burst,
            ahead: AHEAD,
            unused,
        };
        let leased = budgets::lease(&self.pool, wanted).await.inspect_err(|error| {
            if has_changed_nothing(error) {
                self.leased().keep_unused(unused);
            }
        })?;
        if let Some(leased) = leased.filter(|leased| leased.messages > 0) {
            self.leased().add(Instant::now(), leased.messages, leased.begins_in, seconds_each);
            self.export_day_left(leased.day_left);
        }
        Ok(leased)
    }

    fn export_day_left(&self, day_left: Option<i64>) {
        if let Some(left) = day_left {
            let channel = self.channel.as_str();
            metrics::gauge!("reminders_provider_quota_remaining", "channel" => channel)
                .set(left as f64);
        }
    }

    fn leased(&self) -> MutexGuard<'_, LeasedBudget> {
        self.leased.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns `true` if a statement certainly changed nothing. A statement whose answer was lost may
/// have returned the unused messages; they must not be returned again, as the quota would seem
/// larger than it is. If they were not returned, the provider's own count of the day corrects it.
fn has_changed_nothing(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed)
}

/// Number of messages to lease: those that wait, within the bounds of the shortest and the longest
/// lease at this rate.
fn wanted(demand: usize, per_second: f64, lease: (Duration, Duration)) -> i64 {
    let least = (per_second * lease.0.as_secs_f64()).max(1.0);
    let most = (per_second * lease.1.as_secs_f64()).max(1.0);
    (demand as f64).clamp(least, most).floor() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_waiting_messages_within_rate() {
        let even = Terms::EVEN.lease;
        assert_eq!([0, 1, 5, 1_000].map(|demand| wanted(demand, 14.0, even)), [1, 1, 5, 7]);
        assert_eq!([1, 1_000].map(|demand| wanted(demand, 0.5, even)), [1, 1]);
        let minute = per_minute(600_000);
        assert_eq!(
            [1, 100_000].map(|demand| wanted(demand, minute, Terms::BY_MINUTE.lease)),
            [2_083, 8_333]
        );
    }

    #[test]
    fn returns_nothing_again_when_answer_was_lost() {
        for lost in [
            std::io::ErrorKind::ConnectionReset,
            std::io::ErrorKind::UnexpectedEof,
            std::io::ErrorKind::TimedOut,
        ] {
            assert!(!has_changed_nothing(&std::io::Error::from(lost).into()), "{lost}");
        }
        assert!(has_changed_nothing(&sqlx::Error::PoolTimedOut));
    }

    #[test]
    fn keeps_any_minute_within_limit() {
        let rate = per_minute(600);
        let most = rate * (60.0 + Terms::BY_MINUTE.burst.as_secs_f64());
        assert!((most - 600.0).abs() < 1e-6, "{most}");
    }
}
