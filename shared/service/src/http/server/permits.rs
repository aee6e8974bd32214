//! Permits for open connections.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::activity::Activity;

/// Shortest time after which a connection that sends a body may be closed for a new one.
const BODY_GRACE: Duration = Duration::from_secs(2);

/// Permits for the connections of one listener.
#[derive(Debug)]
pub(super) struct ConnectionPermits {
    limit: usize,
    open: Mutex<HashMap<u64, Arc<Activity>>>,
    freed: Notify,
}

/// Permit for one connection, returned when it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    permits: Arc<ConnectionPermits>,
    id: u64,
}

impl ConnectionPermits {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, open: Mutex::default(), freed: Notify::new() })
    }

    /// Takes a permit for a connection. If all are taken, the connection that has been unused for
    /// the longest time is closed; if all connections have open requests, this waits.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        id: u64,
        activity: &Arc<Activity>,
    ) -> ConnectionPermit {
        loop {
            let freed = self.freed.notified();
            {
                let mut open = self.open();
                if open.len() < self.limit {
                    open.insert(id, Arc::clone(activity));
                    return ConnectionPermit { permits: Arc::clone(self), id };
                }
            }
            if self.evict_one() {
                freed.await;
            } else {
                // All have open requests: the first that ends returns its permit, or becomes idle
                // and can be closed.
                let _ = tokio::time::timeout(Duration::from_millis(100), freed).await;
            }
        }
    }

    /// Closes the connection that has been unused for the longest time; `false` if there is none.
    pub(super) fn evict_one(&self) -> bool {
        let open = self.open();
        let now = Instant::now();
        let unused =
            open.values().filter_map(|activity| Some((activity.unused_since()?, activity)));
        let oldest = unused
            .filter(|((is_sending, since), _)| {
                !is_sending || now.saturating_duration_since(*since) >= BODY_GRACE
            })
            .min_by_key(|(since, _)| *since);
        let Some((_, activity)) = oldest else { return false };
        activity.evict();
        true
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<Activity>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.permits.open().remove(&self.id);
        self.permits.freed.notify_one();
    }
}
