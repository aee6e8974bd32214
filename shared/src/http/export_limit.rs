//! Limit of the exports that a process writes at once: so many in all, and one a user.
//!
//! An export is written as its client reads it, so a client that reads slowly holds a permit for a
//! long time. Nobody is harmed while permits are left. When all are held, the export whose client
//! kept it waiting beyond its patience for the longest time gives way to another user's: it is cut
//! off, and its user gets another one only while permits are left for some minutes. So a few users
//! who ask again and again do not hold all permits in turn.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::{ApiError, Reason};
use crate::config::Reader;

/// Time after which a client whose export is refused may ask again.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// Time for which a client may keep its export waiting, whatever it has taken of it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes for which a client has a second of patience more.
const BYTES_A_SECOND: u64 = 256 * 1024;
/// The longest time for which a client may keep its export waiting while others want the permit.
const MAX_PATIENCE: Duration = Duration::from_secs(60);

/// Time for which a user whose export gave way takes no permit from others.
const SUSPENSION: Duration = Duration::from_secs(5 * 60);
/// Users that are known to have given way; those beyond, the earliest, are forgotten.
const MAX_SUSPENDED: usize = 1_000;

/// Limit of exports that a process writes at once: so many in all, and one a user.
#[derive(Debug, Clone)]
pub struct ExportLimit {
    max: usize,
    exports: Exports,
}

type Exports = Arc<Mutex<Inner>>;

#[derive(Debug, Default)]
struct Inner {
    /// Exports that are being written, by user.
    open: HashMap<String, Arc<Progress>>,
    /// Users whose export gave way, and when, the earliest first.
    suspended: VecDeque<(String, Instant)>,
}

impl Inner {
    fn is_suspended(&mut self, user_id: &str, now: Instant) -> bool {
        self.suspended.retain(|(_, since)| now.saturating_duration_since(*since) < SUSPENSION);
        self.suspended.iter().any(|(suspended, _)| suspended == user_id)
    }

    /// Ends the export whose client kept it waiting beyond its patience for the longest time.
    /// Returns `false` if there is none.
    fn revoke_slowest(&mut self, now: Instant) -> bool {
        let overdue = self
            .open
            .iter()
            .filter_map(|(user_id, export)| Some((export.pace().overdue(now)?, user_id)));
        let Some(user_id) = overdue.max().map(|(_, user_id)| user_id.clone()) else { return false };
        if let Some(progress) = self.open.remove(&user_id) {
            progress.revoked.cancel();
        }
        self.suspended.push_back((user_id, now));
        if self.suspended.len() > MAX_SUSPENDED {
            self.suspended.pop_front();
        }
        true
    }
}

/// Right to write one export.
#[derive(Debug)]
pub struct ExportPermit {
    user_id: String,
    progress: Arc<Progress>,
    exports: Exports,
}

/// Progress of an export that is being written.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pace: Mutex<Pace>,
    /// Cancelled when the export gives way to another user's.
    revoked: CancellationToken,
}

/// Pace at which a client takes an export.
#[derive(Debug, Clone, Copy, Default)]
struct Pace {
    taken_bytes: u64,
    /// Time for which the writer waited for the client, without the wait that is under way.
    waited: Duration,
    /// Begin of the wait that is under way.
    waits_since: Option<Instant>,
}

impl Pace {
    /// Returns for how long the client kept the export waiting beyond its patience, if it did.
    fn overdue(self, now: Instant) -> Option<Duration> {
        let waits = self.waits_since.map(|since| now.saturating_duration_since(since));
        let waited = self.waited + waits.unwrap_or_default();
        let patience = PATIENCE + Duration::from_secs(self.taken_bytes / BYTES_A_SECOND);
        waited.checked_sub(patience.min(MAX_PATIENCE)).filter(|overdue| !overdue.is_zero())
    }
}

impl Progress {
    /// Notes that the writer waits for the client from now on.
    pub(super) fn begin_wait(&self, now: Instant) {
        self.pace().waits_since = Some(now);
    }

    /// Notes that the client took bytes, and that the wait for it is over.
    pub(super) fn end_wait(&self, taken_bytes: usize, now: Instant) {
        let mut pace = self.pace();
        if let Some(since) = pace.waits_since.take() {
            pace.waited += now.saturating_duration_since(since);
        }
        pace.taken_bytes += taken_bytes as u64;
    }

    #[cfg(test)]
    pub(super) fn is_waiting(&self) -> bool {
        self.pace().waits_since.is_some()
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ExportLimit {
    /// Limits the exports of a process to `max`.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { max, exports: Exports::default() }
    }

    /// Reads `EXPORTS_MAX`.
    pub fn read(reader: &mut Reader<'_>) -> Option<usize> {
        let most = reader.or("EXPORTS_MAX", "exports that a process writes at once, 1 to 64", 4);
        if most.is_some_and(|most| !(1..=64).contains(&most)) {
            reader.fault("EXPORTS_MAX", "is malformed: expected 1 to 64");
        }
        most
    }

    /// Takes the right to write an export of a user. While all permits are held, it is taken from
    /// the export whose client reads too slowly, if there is one.
    ///
    /// # Errors
    /// `RATE_LIMITED` when one of the user's, or the most in all, are being written.
    pub fn acquire(&self, user_id: &str) -> Result<ExportPermit, ApiError> {
        self.acquire_at(user_id, Instant::now())
    }

    pub(super) fn acquire_at(&self, user_id: &str, now: Instant) -> Result<ExportPermit, ApiError> {
        let refused =
            |message: &str| ApiError::new(Reason::RateLimited, message).after(RETRY_AFTER);
        let mut exports = locked(&self.exports);
        if exports.open.contains_key(user_id) {
            return Err(refused("an export of this user is being written; try again"));
        }
        let is_full = exports.open.len() >= self.max;
        if is_full && (exports.is_suspended(user_id, now) || !exports.revoke_slowest(now)) {
            return Err(refused("too many exports are being written; try again"));
        }
        let progress = Arc::<Progress>::default();
        exports.open.insert(user_id.to_owned(), Arc::clone(&progress));
        drop(exports);
        Ok(ExportPermit {
            user_id: user_id.to_owned(),
            progress,
            exports: Arc::clone(&self.exports),
        })
    }
}

impl ExportPermit {
    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Resolves when the export has given way to another user's.
    pub(super) fn revoked(&self) -> WaitForCancellationFuture<'_> {
        self.progress.revoked.cancelled()
    }
}

impl Drop for ExportPermit {
    fn drop(&mut self) {
        let mut exports = locked(&self.exports);
        // After it gave way, the user may have another export.
        if exports
            .open
            .get(&self.user_id)
            .is_some_and(|progress| Arc::ptr_eq(progress, &self.progress))
        {
            exports.open.remove(&self.user_id);
        }
    }
}

fn locked(exports: &Exports) -> MutexGuard<'_, Inner> {
    exports.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_second_export_of_a_user() {
        let limit = ExportLimit::new(2);
        let first = limit.acquire("ada").expect("the first");
        assert_eq!(limit.acquire("ada").expect_err("busy").reason, Reason::RateLimited);
        let _other = limit.acquire("bob").expect("another's");
        assert!(limit.acquire("eve").is_err(), "two is the most");
        drop(first);
        limit.acquire("ada").expect("again");
    }

    #[test]
    fn slowest_export_gives_way_when_all_are_slow() {
        let (limit, began) = (ExportLimit::new(2), Instant::now());
        let after = |seconds| began + Duration::from_secs(seconds);
        let mallory = limit.acquire_at("mallory", began).expect("the first");
        let trudy = limit.acquire_at("trudy", began).expect("the second");
        mallory.progress.begin_wait(after(0));
        trudy.progress.begin_wait(after(1));
        limit.acquire_at("ada", after(5)).expect_err("nobody's patience is over");
        let ada = limit.acquire_at("ada", after(7)).expect("in place of the slowest");
        assert!(mallory.progress.revoked.is_cancelled() && !trudy.progress.revoked.is_cancelled());
        drop(mallory);
        limit.acquire_at("mallory", after(8)).expect_err("it gave way a moment ago");
        let bob = limit.acquire_at("bob", after(8)).expect("in place of the other slow one");
        limit.acquire_at("eve", after(8)).expect_err("nobody is slow");
        drop((ada, trudy));
        limit.acquire_at("mallory", after(8)).expect("a permit is left");
        let eve = limit.acquire_at("eve", after(8)).expect("a permit is left");
        bob.progress.begin_wait(after(8));
        limit.acquire_at("mallory", after(200)).expect_err("it gave way some minutes ago");
        limit.acquire_at("mallory", after(400)).expect("in place of a slow one");
        drop(eve);
    }

    #[test]
    fn keeps_exports_that_are_read_steadily() {
        let (limit, began) = (ExportLimit::new(1), Instant::now());
        let ada = limit.acquire("ada").expect("the first");
        for second in 0..50 {
            let now = began + Duration::from_secs(second);
            ada.progress.begin_wait(now);
            ada.progress.end_wait(256 * 1024, now + Duration::from_secs(1));
        }
        let bob = |seconds| limit.acquire_at("bob", began + Duration::from_secs(seconds));
        bob(50).expect_err("the client reads as fast as it must");
        ada.progress.begin_wait(began + Duration::from_secs(50));
        bob(62).expect("it stopped to read");
    }

    #[test]
    fn keeps_exports_that_wait_for_the_database() {
        let limit = ExportLimit::new(1);
        let _ada = limit.acquire("ada").expect("the first");
        limit
            .acquire_at("bob", Instant::now() + Duration::from_secs(500))
            .expect_err("no client keeps it waiting");
    }
}
