//! Copy in memory of the rows that were lately added to a small table, polled once a second.
//!
//! A delivery may wait in memory for up to 15 seconds between its claim and its attempt. Asking the
//! database before each attempt would cost a round trip for each message; polling the few rows that
//! concern such deliveries costs next to nothing.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use sqlx::PgPool;
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

/// Time between two polls.
const PERIOD: Duration = Duration::from_secs(1);
/// Age up to which rows are read: longer than any lease, and than a transaction may take.
const WINDOW: Duration = Duration::from_secs(90);
/// Age after which rows are purged.
const KEPT: Duration = Duration::from_secs(120);
/// Most rows that are kept in memory.
const LIMIT: i64 = 10_000;
/// Polls between two purges.
const POLLS_PER_PURGE: u32 = 60;

/// Table that is polled.
pub(super) trait Table {
    /// Name of the rows, for the log.
    const ROWS: &'static str;
    /// Key of a row.
    type Key: Eq + Hash;
    /// Value of a row.
    type Value;

    /// Reads the rows that are no older than `window`, at most `limit`, the latest first.
    fn read(
        pool: &PgPool,
        window: Duration,
        limit: i64,
    ) -> impl Future<Output = Result<HashMap<Self::Key, Self::Value>, sqlx::Error>> + Send;

    /// Deletes the rows that are older than `window`.
    fn purge(
        pool: &PgPool,
        window: Duration,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

/// Rows of a table as of the last poll.
#[derive(Debug)]
pub(super) struct PolledRows<T: Table> {
    rows: RwLock<HashMap<T::Key, T::Value>>,
    requested: Notify,
}

impl<T: Table> Default for PolledRows<T> {
    fn default() -> Self {
        Self { rows: RwLock::default(), requested: Notify::new() }
    }
}

impl<T: Table> PolledRows<T> {
    /// Applies a function to the value of a key; `None` if there is no such row.
    pub(super) fn get<R>(&self, key: &T::Key, map: impl FnOnce(&T::Value) -> R) -> Option<R> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        if rows.is_empty() { None } else { rows.get(key).map(map) }
    }

    /// Requests a poll now: a transaction of this process may have added rows.
    pub(super) fn poll_now(&self) {
        self.requested.notify_one();
    }

    /// Polls until the token is cancelled.
    pub(super) async fn run(&self, pool: &PgPool, shutdown: &CancellationToken) {
        let mut tick = interval(PERIOD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut polls: u32 = 0;
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = self.requested.notified() => {}
                () = shutdown.cancelled() => return,
            }
            polls = polls.wrapping_add(1);
            if let Err(error) = self.poll(pool, polls.is_multiple_of(POLLS_PER_PURGE)).await {
                tracing::debug!(error = %error, rows = T::ROWS, "rows were not read, will retry");
            }
        }
    }

    async fn poll(&self, pool: &PgPool, purge: bool) -> Result<(), sqlx::Error> {
        let rows = T::read(pool, WINDOW, LIMIT).await?;
        *self.rows.write().unwrap_or_else(PoisonError::into_inner) = rows;
        if purge { T::purge(pool, KEPT).await } else { Ok(()) }
    }
}
