//! Clock of the database, so that replicas whose own clocks differ agree on expiry and retry times.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::store;

/// Interval of reading the database's time.
const PERIOD: Duration = Duration::from_secs(10);

/// Clock that adds this machine's monotonic time to the last time read from the database.
#[derive(Debug)]
pub struct DbClock(Mutex<Anchor>);

#[derive(Debug, Clone, Copy)]
struct Anchor {
    at: Instant,
    time: DateTime<Utc>,
}

impl Default for DbClock {
    /// Starts with this machine's time, until the database's is read for the first time.
    fn default() -> Self {
        Self(Mutex::new(Anchor { at: Instant::now(), time: Utc::now() }))
    }
}

impl DbClock {
    /// Returns the current time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.at(Instant::now())
    }

    fn at(&self, instant: Instant) -> DateTime<Utc> {
        let anchor = *self.anchor();
        let passed = TimeDelta::from_std(instant.saturating_duration_since(anchor.at))
            .unwrap_or(TimeDelta::MAX);
        anchor.time.checked_add_signed(passed).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Reads the database's time.
    ///
    /// # Errors
    /// If the query fails. The clock then keeps running.
    pub async fn observe(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let mut connection = pool.acquire().await?;
        // Taken before the query: the clock may be ahead by the time of the query, but it never
        // shows that something was sent before it was due.
        let at = Instant::now();
        let time = store::now(&mut *connection).await?;
        *self.anchor() = Anchor { at, time };
        Ok(())
    }

    /// Reads the database's time periodically until the token is cancelled.
    pub async fn keep(&self, pool: &PgPool, shutdown: &CancellationToken) {
        let mut tick = interval(PERIOD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => if let Err(error) = self.observe(pool).await {
                    tracing::debug!(error = %error, "database clock was not read, will retry");
                },
                () = shutdown.cancelled() => return,
            }
        }
    }

    fn anchor(&self) -> MutexGuard<'_, Anchor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advances_with_monotonic_time() {
        let clock = DbClock::default();
        let start = Instant::now();
        assert_eq!(
            clock.at(start + Duration::from_secs(5)) - clock.at(start),
            TimeDelta::seconds(5)
        );
    }
}
