//! Deliveries that were changed or cancelled while they wait in memory.
//!
//! A delivery may wait in memory for up to 15 seconds between its claim and its attempt. Whoever
//! changes it meanwhile notes that in the database; a process that holds it looks there once a
//! second, and at once after a change that it made itself, and gives back what it has not begun to
//! send. The ledger then ends it, or hands it out again as it is now.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use sqlx::PgPool;
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{
    delivery::Delivery,
    store::recalls::{self, Place},
};

/// How often the database is asked.
const PERIOD: Duration = Duration::from_secs(1);
/// How far back: longer than any lease, and than a transaction may take.
const WINDOW: Duration = Duration::from_secs(90);
/// After which a recall is purged.
const KEPT: Duration = Duration::from_secs(120);
/// How many are known at the most.
const LIMIT: i64 = 10_000;
/// Looks between two purges.
const LOOKS: u32 = 60;

/// What was recalled lately, as of the last look: deliveries in an older version than these.
#[derive(Debug, Default)]
pub struct Recalls {
    known: RwLock<HashMap<Place, i64>>,
    noted: Notify,
}

impl Recalls {
    /// Returns whether a delivery was changed or cancelled after it was claimed.
    pub(super) fn concern(&self, delivery: &Delivery) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let version = known.get(&(delivery.key.occurrence_id, delivery.key.channel));
        version.is_some_and(|version| delivery.dispatch.version < *version)
    }

    /// Asks the database at once: something may have been recalled by a transaction that was just
    /// committed here.
    pub fn look(&self) {
        self.noted.notify_one();
    }

    /// Asks the database again and again until the token is cancelled.
    pub(super) async fn keep(&self, pool: &PgPool, shutdown: &CancellationToken) {
        let mut tick = interval(PERIOD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks: u32 = 0;
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = self.noted.notified() => {}
                () = shutdown.cancelled() => return,
            }
            looks = looks.wrapping_add(1);
            if let Err(error) = self.ask(pool, looks.is_multiple_of(LOOKS)).await {
                tracing::debug!(error = %error, "recalls were not read, will retry");
            }
        }
    }

    async fn ask(&self, pool: &PgPool, purge: bool) -> Result<(), sqlx::Error> {
        let known = recalls::within(pool, WINDOW, LIMIT).await?.into_iter().collect();
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        if purge { recalls::purge(pool, KEPT).await } else { Ok(()) }
    }
}
