//! Sleep of a scheduler that finds nothing due, until the next occurrence may be claimed or
//! event-service plans an earlier one.

use std::{sync::Arc, time::Duration};

use db::wake::{Idle, Listener, Step};
use sqlx::PgPool;
use tokio::time::{Instant, timeout_at};

use super::{Error, claim_due_occurrences::DueOccurrences};
use crate::store;

/// Channel of notifications of planned occurrences.
const CHANNEL: &str = "occurrences";
/// Time between the announcement of a sleep and the sleep: longer than the transactions of
/// event-service usually take.
const CAUTION: Duration = Duration::from_secs(1);

/// Sleep of the loops of one process.
#[derive(Debug)]
pub(crate) struct Sleeper {
    pool: PgPool,
    due: DueOccurrences,
    idle: Arc<Idle>,
    listener: Listener,
}

impl Sleeper {
    /// Starts to listen on a connection of `listener`, a pool for this alone.
    pub(crate) fn new(pool: PgPool, due: DueOccurrences, listener: PgPool) -> Self {
        let idle = Arc::new(Idle::new(CAUTION));
        let woken = Arc::clone(&idle);
        let listener = Listener::start(listener, CHANNEL, move |_| woken.wake());
        Self { pool, due, idle, listener }
    }

    /// Records that a loop claimed occurrences.
    pub(crate) fn found_some(&self) {
        self.idle.wake();
    }

    /// Records that a loop found nothing due, and decides about a sleep.
    ///
    /// # Errors
    /// If a statement fails; the loops stay awake.
    pub(crate) async fn found_nothing(&self) -> Result<(), Error> {
        let now = Instant::now();
        match self.idle.found_nothing(now) {
            Step::Announce(wakes) if self.listener.is_listening() => {
                let announced = store::sleep::announce(&self.pool).await;
                if announced.map_err(Error::of("announce a sleep"))? {
                    self.idle.announced(wakes, now);
                }
            }
            Step::Sleep => {
                let next = self.due.next_due(None).await?;
                let until = next.claimable_at.map(|at| (at - next.now).to_std());
                self.idle.sleep(now, until.map(Result::unwrap_or_default));
            }
            Step::Announce(_) | Step::Poll => {}
        }
        Ok(())
    }

    /// Waits while the loops sleep.
    pub(crate) async fn wait(&self) {
        loop {
            let woken = self.idle.woken();
            let Some(until) = self.idle.sleeps_until(Instant::now()) else { return };
            if timeout_at(until, woken).await.is_ok() {
                return;
            }
        }
    }
}
