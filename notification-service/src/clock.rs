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

/// Readings at the start.
const FIRST_READINGS: usize = 3;
/// Largest difference in speed between this machine's clock and the database's, in millionths.
const DRIFT_PPM: i64 = 200;

/// Clock that adds this machine's monotonic time to a time read from the database.
///
/// The time of a reading is that of some moment while its query ran, so a reading bounds the
/// database's time from both sides. [`DbClock::now`] is the upper bound: it never shows that
/// something was done before it was due. [`DbClock::instant_of`] goes by the lower bound: nothing
/// that waits for it is early.
#[derive(Debug)]
pub struct DbClock(Mutex<Bounds>);

/// Bounds of the database's time.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    upper: Anchor,
    /// `None` until the first reading.
    lower: Option<Anchor>,
}

/// A time of the database at an instant of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Anchor {
    at: Instant,
    time: DateTime<Utc>,
}

/// Returns the most that two clocks drift apart in a time.
fn drift(time: TimeDelta) -> TimeDelta {
    TimeDelta::microseconds(time.num_milliseconds().saturating_mul(DRIFT_PPM) / 1_000)
}

impl Anchor {
    fn at(self, instant: Instant) -> DateTime<Utc> {
        let passed = TimeDelta::from_std(instant.saturating_duration_since(self.at))
            .unwrap_or(TimeDelta::MAX);
        self.time.checked_add_signed(passed).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

impl Bounds {
    /// Returns the bounds after a reading whose query began and ended at two instants. The former
    /// lower bound is kept if it is closer, as the query was quicker then, unless the database's
    /// clock was put back.
    fn read(self, began: Instant, ended: Instant, time: DateTime<Utc>) -> Self {
        let upper = Anchor { at: began, time };
        let known = self.lower.map(|lower| {
            let time = lower.at(ended);
            time - drift(time - lower.time)
        });
        let closest = known.filter(|known| *known > time && *known <= upper.at(ended));
        Self { upper, lower: Some(Anchor { at: ended, time: closest.unwrap_or(time) }) }
    }
}

impl Default for DbClock {
    /// Starts with this machine's time, until the database's is read for the first time.
    fn default() -> Self {
        let upper = Anchor { at: Instant::now(), time: Utc::now() };
        Self(Mutex::new(Bounds { upper, lower: None }))
    }
}

impl DbClock {
    /// Returns the current time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.bounds().upper.at(Instant::now())
    }

    /// Returns an instant at which a time has come by the database's clock; `None` until it was
    /// read.
    #[must_use]
    pub fn instant_of(&self, time: DateTime<Utc>) -> Option<Instant> {
        let Anchor { at, time: known } = self.bounds().lower?;
        let wait = time.signed_duration_since(known);
        at.checked_add((wait + drift(wait)).to_std().unwrap_or_default())
    }

    /// Reads the database's time a few times unless it was read before: the quickest reading is
    /// the closest.
    ///
    /// # Errors
    /// If a query fails.
    pub async fn observe_once(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        if self.bounds().lower.is_none() {
            for _ in 0..FIRST_READINGS {
                self.observe(pool).await?;
            }
        }
        Ok(())
    }

    /// Reads the database's time.
    ///
    /// # Errors
    /// If the query fails. The clock then keeps running.
    pub async fn observe(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let mut connection = pool.acquire().await?;
        let began = Instant::now();
        let time = store::now(&mut *connection).await?;
        let ended = Instant::now();
        let mut bounds = self.bounds();
        *bounds = bounds.read(began, ended, time);
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

    fn bounds(&self) -> MutexGuard<'_, Bounds> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn reading(lower: Option<Anchor>, began: Instant, took: Duration, time: i64) -> Bounds {
        let upper = Anchor { at: began, time: DateTime::UNIX_EPOCH };
        let time = DateTime::UNIX_EPOCH + TimeDelta::milliseconds(time);
        Bounds { upper, lower }.read(began, began + took, time)
    }

    #[test]
    fn advances_with_monotonic_time() {
        let start = Instant::now();
        let Bounds { upper, .. } = reading(None, start, 3 * MS, 1_000);
        assert_eq!(upper.at(start), DateTime::UNIX_EPOCH + TimeDelta::seconds(1));
        assert_eq!(upper.at(start + 5 * MS) - upper.at(start), TimeDelta::milliseconds(5));
    }

    #[test]
    fn waits_for_instant_that_has_surely_come() {
        let clock = DbClock::default();
        let due = DateTime::UNIX_EPOCH + TimeDelta::milliseconds(1_100);
        assert_eq!(clock.instant_of(due), None, "the database's time is not known");
        let start = Instant::now();
        *clock.bounds() = reading(None, start, 3 * MS, 1_000);
        // The reading is as of its end at the latest.
        let drift = Duration::from_micros(20);
        assert_eq!(clock.instant_of(due), Some(start + 103 * MS + drift));
        assert_eq!(clock.instant_of(DateTime::UNIX_EPOCH), Some(start + 3 * MS), "has come");
    }

    #[test]
    fn keeps_closer_bound_of_quick_query() {
        let start = Instant::now();
        let quick = reading(None, start, MS, 1_000).lower;
        let at = |lower: Option<Anchor>| lower.expect("read").time - DateTime::UNIX_EPOCH;
        // Ten seconds later, less what the clocks may have drifted apart meanwhile.
        let later = start + 10_000 * MS;
        let slow = reading(quick, later, 41 * MS, 11_000);
        assert_eq!(at(slow.lower), TimeDelta::microseconds(11_040_000 - 2_008));
        let as_quick = reading(quick, later, MS, 11_000);
        assert_eq!(at(as_quick.lower), TimeDelta::milliseconds(11_000));
        let put_back = reading(quick, later, 41 * MS, 9_000);
        assert_eq!(at(put_back.lower), TimeDelta::milliseconds(9_000));
    }
}
