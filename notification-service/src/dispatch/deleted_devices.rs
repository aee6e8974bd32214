//! Devices that left their user while pushes to them wait in memory.
//!
//! A push is addressed when it is claimed, up to 15 seconds before its attempt. Meanwhile its
//! device may be removed, or its token registered by somebody else, who must not read it. Asking
//! the database before each attempt would cost a round trip a message; looking once a second at
//! what was deleted lately costs next to nothing.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::store::deleted_devices as departures;

/// How often the database is asked.
const PERIOD: Duration = Duration::from_secs(1);
/// How far back: longer than any lease, and than a transaction may take.
const WINDOW: Duration = Duration::from_secs(90);
/// After which a departure is forgotten.
const KEPT: Duration = Duration::from_secs(120);
/// How many are known at the most.
const LIMIT: i64 = 10_000;
/// Looks between two purges.
const LOOKS: u32 = 60;

/// The devices that were deleted lately, as of the last look.
#[derive(Debug, Default)]
pub struct Departures(RwLock<Arc<HashSet<Uuid>>>);

impl Departures {
    /// Whether a device was deleted lately.
    pub(super) fn contains(&self, device_id: Uuid) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        !known.is_empty() && known.contains(&device_id)
    }

    /// Asks the database again and again until the token is cancelled.
    pub(super) async fn keep(&self, pool: &PgPool, shutdown: &CancellationToken) {
        let mut tick = interval(PERIOD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = 0;
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = shutdown.cancelled() => return,
            }
            looks += 1;
            if let Err(error) = self.look(pool, looks % LOOKS == 0).await {
                tracing::debug!(error = %error, "deleted devices were not read, will retry");
            }
        }
    }

    async fn look(&self, pool: &PgPool, purge: bool) -> Result<(), sqlx::Error> {
        let known: HashSet<Uuid> =
            departures::within(pool, WINDOW, LIMIT).await?.into_iter().collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
        if purge { departures::purge(pool, KEPT).await } else { Ok(()) }
    }
}
