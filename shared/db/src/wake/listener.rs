//! Notifications of a channel.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use backoff::Backoff;
use sqlx::{PgPool, postgres::PgListener};
use tokio::{task::AbortHandle, time::timeout};

/// Time without a notification after which the connection is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// Longest time that the check may take.
const CHECK_LIMIT: Duration = Duration::from_secs(5);
/// Pauses after failures.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// Listens on a channel, on a connection of its own, until it is dropped.
#[derive(Debug)]
pub struct Listener {
    is_listening: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Listener {
    /// Starts to listen. Calls `wake` with the payload of each notification, and with `None` when
    /// the connection was lost, as notifications may be lost with it.
    ///
    /// The pool must have a connection for this listener alone. Must be called within a tokio
    /// runtime.
    #[must_use]
    pub fn start(
        pool: PgPool,
        channel: &'static str,
        wake: impl Fn(Option<&str>) + Send + Sync + 'static,
    ) -> Self {
        let is_listening = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(run(pool, channel, wake, Arc::clone(&is_listening)));
        Self { is_listening, task: task.abort_handle() }
    }

    /// Returns whether notifications arrive.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.is_listening.load(Ordering::Acquire)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    pool: PgPool,
    channel: &str,
    wake: impl Fn(Option<&str>) + Send + Sync,
    is_listening: Arc<AtomicBool>,
) {
    let mut failures = 0;
    loop {
        let listened = listen(&pool, channel, &wake, &is_listening).await;
        if is_listening.swap(false, Ordering::AcqRel) {
            failures = 0;
            wake(None);
        }
        if let Err(error) = listened {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                channel,
                "listening failed, will retry"
            );
        }
        if pool.is_closed() {
            return;
        }
        failures += 1;
        tokio::time::sleep(BACKOFF.pause(failures)).await;
    }
}

/// Listens until the connection is lost.
async fn listen(
    pool: &PgPool,
    channel: &str,
    wake: &(impl Fn(Option<&str>) + Send + Sync),
    is_listening: &AtomicBool,
) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen(channel).await?;
    is_listening.store(true, Ordering::Release);
    loop {
        match timeout(CHECK_INTERVAL, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => wake(Some(notification.payload())),
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            // A connection that a network dropped silently is noticed by a statement only.
            Err(_) => {
                let check = sqlx::query("select 1").execute(&mut listener);
                let checked = timeout(CHECK_LIMIT, check).await;
                checked.map_err(|_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))??;
            }
        }
    }
}
