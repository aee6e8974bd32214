//! Places of the connections that are open at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::activity::Activity;

/// A connection that sends a body gives way to a new one after this time at the earliest.
const BODY_GRACE: Duration = Duration::from_secs(2);

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Places {
    limit: usize,
    open: Mutex<HashMap<u64, Arc<Activity>>>,
    freed: Notify,
}

/// The place of one connection, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    id: u64,
}

impl Places {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, open: Mutex::default(), freed: Notify::new() })
    }

    /// A place for a connection. When all are taken, the connection that has been unused for the
    /// longest time is closed; while every connection is being answered, this waits.
    pub(super) async fn enter(self: &Arc<Self>, id: u64, activity: &Arc<Activity>) -> Place {
        loop {
            let freed = self.freed.notified();
            {
                let mut open = self.open();
                if open.len() < self.limit {
                    open.insert(id, Arc::clone(activity));
                    return Place { places: Arc::clone(self), id };
                }
            }
            if self.evict_one() {
                freed.await;
            } else {
                // All are being answered: whichever ends first frees a place, or becomes idle and
                // can be closed.
                let _ = tokio::time::timeout(Duration::from_millis(100), freed).await;
            }
        }
    }

    /// Closes the connection that has been unused for the longest time; `false` when there is none.
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

impl Drop for Place {
    fn drop(&mut self) {
        self.places.open().remove(&self.id);
        self.places.freed.notify_one();
    }
}
