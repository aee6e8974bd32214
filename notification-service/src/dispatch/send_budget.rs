//! The share of a provider's rate and quota that this process may use.
//!
//! The budget itself lies in the database, where all processes lease from it: one statement for the
//! next few hundred milliseconds, not one for each message. What is leased and not used in its time
//! is lost to the rate, so that the processes together keep to it whoever of them sends; the next
//! lease gives it back to the quota of the day.

mod leased;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use leased::{Purse, Take};
use shared::contract::Channel;
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

/// How far ahead of now a lease may begin: other processes wait in turn behind it.
const AHEAD: Duration = Duration::from_secs(1);
/// The pause after a lease that failed or that there was no room for.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));
/// How long a channel waits whose quota of 24 hours is used up, before it looks again.
const DAY_PAUSE: Duration = Duration::from_secs(60);

/// How a budget is spent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// How much of the time that passed unused may be made up for at once.
    pub(super) burst: Duration,
    /// The least and the most that is leased at once, as time at the provider's rate.
    pub(super) lease: (Duration, Duration),
    /// Whether messages are spread evenly over the time of their lease.
    pub(super) is_even: bool,
}

impl Terms {
    /// SES counts by the second: messages go evenly, and nothing is made up for.
    pub(super) const EVEN: Self = Self {
        burst: Duration::ZERO,
        lease: (Duration::from_millis(100), Duration::from_millis(500)),
        is_even: true,
    };
    /// FCM counts by the minute: twelve seconds' worth may go at once. See [`per_minute`].
    pub(super) const BY_MINUTE: Self = Self {
        burst: Duration::from_secs(12),
        lease: (Duration::from_millis(250), Duration::from_secs(1)),
        is_even: false,
    };
}

/// The rate in messages a second that, with a burst of twelve seconds, never makes more than
/// `limit` messages in any minute.
pub(super) fn per_minute(limit: u32) -> f64 {
    f64::from(limit) / 72.0
}

/// Leave to send one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// Now.
    Given,
    /// Not before the provider's quota of 24 hours frees itself; look again after this long.
    UsedUp(Duration),
}

/// A channel's budget, as this process spends it.
#[derive(Debug)]
pub(super) struct Budget {
    channel: Channel,
    pool: PgPool,
    terms: Terms,
    purse: Mutex<Purse>,
}

impl Budget {
    /// An empty purse; nothing is leased yet.
    pub(super) fn new(channel: Channel, pool: PgPool, terms: Terms, per_second: f64) -> Self {
        Self {
            channel,
            pool,
            terms,
            purse: Mutex::new(Purse::new(terms.is_even, per_second, Instant::now())),
        }
    }

    /// Waits until one message may be sent. `demand`: how many messages wait, this one included;
    /// asked where a lease is due.
    pub(super) async fn take(&self, demand: impl Fn() -> usize + Send) -> Leave {
        let mut is_failing = false;
        loop {
            let take = self.purse().take(Instant::now());
            match take {
                Take::Now => return Leave::Given,
                Take::At(at) => {
                    sleep_until(at.into()).await;
                    return Leave::Given;
                }
                Take::Empty => {}
            }
            match self.lease(demand()).await {
                Ok(Some(leased)) if leased.messages > 0 => {}
                Ok(Some(Leased { day_left: Some(..=0), .. })) => return Leave::UsedUp(DAY_PAUSE),
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

    /// The provider said that we are too fast: this process is slower for a while.
    pub(super) fn slow_down(&self) {
        self.purse().slow_down(Instant::now());
    }

    /// Follows what the provider allows, until the token is cancelled.
    pub(super) async fn follow(
        &self,
        mut quota: watch::Receiver<Option<Quota>>,
        shutdown: &CancellationToken,
    ) {
        loop {
            let known = *quota.borrow_and_update();
            if let Some(known) = known {
                self.purse().set_rate(known.per_second);
                if let Err(error) =
                    budgets::note_day_left(&self.pool, self.channel, known.day_left).await
                {
                    tracing::debug!(error = %error, "daily quota was not recorded, will retry");
                }
                self.show(known.day_left);
            }
            tokio::select! {
                changed = quota.changed() => if changed.is_err() { return },
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn lease(&self, demand: usize) -> Result<Option<Leased>, sqlx::Error> {
        let (per_second, unused) = {
            let mut purse = self.purse();
            (purse.rate(Instant::now()), purse.take_unused())
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
            if is_undone(error) {
                self.purse().keep_unused(unused);
            }
        })?;
        if let Some(leased) = leased.filter(|leased| leased.messages > 0) {
            self.purse().add(Instant::now(), leased.messages, leased.begins_in, seconds_each);
            self.show(leased.day_left);
        }
        Ok(leased)
    }

    fn show(&self, day_left: Option<i64>) {
        if let Some(left) = day_left {
            metrics::gauge!(
                "reminders_provider_quota_remaining",
                "channel" => self.channel.as_str()
            )
            .set(left as f64);
        }
    }

    fn purse(&self) -> MutexGuard<'_, Purse> {
        self.purse.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether a statement certainly changed nothing. One whose answer was lost may have: what
/// it gave back must not be given back again, as the quota would seem larger than it is. If it was
/// not given back, the provider's own count of the day shows it again.
fn is_undone(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed)
}

/// How many messages to lease: what waits, within what the rate makes in the least and the longest
/// time of a lease.
fn wanted(demand: usize, per_second: f64, lease: (Duration, Duration)) -> i64 {
    let least = (per_second * lease.0.as_secs_f64()).max(1.0);
    let most = (per_second * lease.1.as_secs_f64()).max(1.0);
    (demand as f64).clamp(least, most).floor() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_what_waits_within_bounds_of_rate() {
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
    fn gives_nothing_back_again_when_answer_was_lost() {
        for lost in [
            std::io::ErrorKind::ConnectionReset,
            std::io::ErrorKind::UnexpectedEof,
            std::io::ErrorKind::TimedOut,
        ] {
            assert!(!is_undone(&std::io::Error::from(lost).into()), "{lost}");
        }
        assert!(is_undone(&sqlx::Error::PoolTimedOut));
    }

    #[test]
    fn keeps_any_minute_within_limit() {
        let rate = per_minute(600);
        let most = rate * (60.0 + Terms::BY_MINUTE.burst.as_secs_f64());
        assert!((most - 600.0).abs() < 1e-6, "{most}");
    }
}
