//! Limit of concurrent exports: a number in total, and one for each user.
//!
//! An export is written at the rate at which its client reads, so a slow client holds a permit for
//! a long time. While permits are free, this is harmless. When all are taken and another user wants
//! one, the permit of the slowest client is revoked: the client that exceeded its allowed waiting
//! time the most. Its export is aborted, and for some minutes its user gets a permit only if one is
//! free, so that a few users cannot hold all permits by retrying.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use env_config::Reader;
use service::http::{ApiError, Reason};

/// Time after which a client whose export is refused may retry.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// Allowed waiting time for a client, independent of the bytes that it has read.
const BASE_WAIT: Duration = Duration::from_secs(5);
/// Number of bytes that add one second to the allowed waiting time.
const BYTES_PER_SECOND: u64 = 256 * 1024;
/// Longest allowed waiting time while other users want a permit.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Shortest time between two checks for clients that read too slowly, while a request waits.
const MIN_CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// Time for which a user whose permit was revoked cannot cause another one to be revoked.
const SUSPENSION: Duration = Duration::from_secs(5 * 60);
/// Most suspended users; beyond it the earliest are removed.
const MAX_SUSPENDED: usize = 1_000;

/// Limit of the concurrent exports of a process: a number in total, and one for each user.
#[derive(Debug, Clone)]
pub struct ExportLimit {
    max: usize,
    exports: Exports,
}

type Exports = Arc<Shared>;

#[derive(Debug, Default)]
struct Shared {
    inner: Mutex<Inner>,
    /// Notified whenever an export ends or is revoked.
    released: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// Exports in progress, by user.
    open: HashMap<String, Arc<Progress>>,
    /// Users whose permit was revoked, with the time, the earliest first.
    suspended: VecDeque<(String, Instant)>,
}

impl Inner {
    fn is_suspended(&mut self, user_id: &str, now: Instant) -> bool {
        self.suspended.retain(|(_, since)| now.saturating_duration_since(*since) < SUSPENSION);
        self.suspended.iter().any(|(suspended, _)| suspended == user_id)
    }

    /// Revokes the permit of the client that exceeded its allowed waiting time the most. Returns
    /// `false` if no client has exceeded it.
    fn revoke_slowest(&mut self, now: Instant) -> bool {
        let overdue = self
            .open
            .iter()
            .filter_map(|(user_id, export)| Some((export.reading().overdue(now)?, user_id)));
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

/// Permit to write one export.
#[derive(Debug)]
pub struct ExportPermit {
    user_id: String,
    progress: Arc<Progress>,
    exports: Exports,
}

/// Progress of an export that is being written.
#[derive(Debug, Default)]
pub(super) struct Progress {
    reading: Mutex<Reading>,
    /// Cancelled when the permit is revoked.
    revoked: CancellationToken,
}

/// Bytes that a client has read, and the time that the writer waited for it.
#[derive(Debug, Clone, Copy, Default)]
struct Reading {
    read_bytes: u64,
    /// Total time of completed waits for the client.
    waited: Duration,
    /// Start of the current wait.
    waits_since: Option<Instant>,
}

impl Reading {
    /// Returns the time by which the client exceeded its allowed waiting time, if it did.
    fn overdue(self, now: Instant) -> Option<Duration> {
        self.waited(now).checked_sub(self.allowed()).filter(|overdue| !overdue.is_zero())
    }

    /// Returns the rest of the client's allowed waiting time, if there is one.
    fn left(self, now: Instant) -> Option<Duration> {
        self.allowed().checked_sub(self.waited(now))
    }

    fn waited(self, now: Instant) -> Duration {
        let waits = self.waits_since.map(|since| now.saturating_duration_since(since));
        self.waited + waits.unwrap_or_default()
    }

    fn allowed(self) -> Duration {
        let allowed = BASE_WAIT + Duration::from_secs(self.read_bytes / BYTES_PER_SECOND);
        allowed.min(MAX_WAIT)
    }
}

impl Progress {
    /// Records that the writer waits for the client from now on.
    pub(super) fn begin_wait(&self, now: Instant) {
        self.reading().waits_since = Some(now);
    }

    /// Records that the client read bytes, and that the wait has ended.
    pub(super) fn end_wait(&self, read_bytes: usize, now: Instant) {
        let mut reading = self.reading();
        if let Some(since) = reading.waits_since.take() {
            reading.waited += now.saturating_duration_since(since);
        }
        reading.read_bytes += read_bytes as u64;
    }

    #[cfg(test)]
    pub(super) fn is_waiting(&self) -> bool {
        self.reading().waits_since.is_some()
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
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
        let most =
            reader.or("EXPORTS_MAX", "exports that a process writes at the same time, 1 to 64", 4);
        if most.is_some_and(|most| !(1..=64).contains(&most)) {
            reader.fault("EXPORTS_MAX", "is malformed: expected 1 to 64");
        }
        most
    }

    /// Takes a permit like [`Self::acquire`], and waits for one for at most `wait`.
    ///
    /// # Errors
    /// `RATE_LIMITED` after that time.
    pub async fn acquire_within(
        &self,
        user_id: &str,
        wait: Duration,
    ) -> Result<ExportPermit, ApiError> {
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let mut released = std::pin::pin!(self.exports.released.notified());
            // Before the attempt, so that no release after it is missed.
            released.as_mut().enable();
            let refused = match self.acquire(user_id) {
                Ok(permit) => return Ok(permit),
                Err(refused) => refused,
            };
            let check = self.until_overdue(Instant::now()).max(MIN_CHECK_INTERVAL);
            tokio::select! {
                () = released => {}
                () = tokio::time::sleep(check) => {}
                () = tokio::time::sleep_until(deadline) => return Err(refused),
            }
        }
    }

    /// Time until the next client may exceed its allowed waiting time.
    fn until_overdue(&self, now: Instant) -> Duration {
        let exports = locked(&self.exports);
        let left = exports.open.values().filter_map(|export| export.reading().left(now));
        left.min().unwrap_or(MAX_WAIT)
    }

    /// Takes a permit for an export of a user. If all permits are taken and some clients read too
    /// slowly, the permit of the slowest one is revoked.
    ///
    /// # Errors
    /// `RATE_LIMITED` if an export of the user is in progress, or no permit is available.
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

    /// Resolves when the permit is revoked.
    pub(super) fn revoked(&self) -> WaitForCancellationFuture<'_> {
        self.progress.revoked.cancelled()
    }
}

impl Drop for ExportPermit {
    fn drop(&mut self) {
        let mut exports = locked(&self.exports);
        // After a revocation, the user may have another export.
        if exports
            .open
            .get(&self.user_id)
            .is_some_and(|progress| Arc::ptr_eq(progress, &self.progress))
        {
            exports.open.remove(&self.user_id);
        }
        drop(exports);
        self.exports.released.notify_waiters();
    }
}

fn locked(exports: &Exports) -> MutexGuard<'_, Inner> {
    exports.inner.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_second_export_of_user() {
        let limit = ExportLimit::new(2);
        let first = limit.acquire("ada").expect("the first");
        assert_eq!(limit.acquire("ada").expect_err("busy").reason, Reason::RateLimited);
        let _other = limit.acquire("bob").expect("another's");
        assert!(limit.acquire("eve").is_err(), "two is the most");
        drop(first);
        limit.acquire("ada").expect("again");
    }

    #[tokio::test]
    async fn waits_for_permit_until_one_is_free() {
        let limit = ExportLimit::new(1);
        let ada = limit.acquire("ada").expect("the first");
        let short = Duration::from_millis(20);
        for user in ["ada", "bob"] {
            limit.acquire_within(user, short).await.expect_err("none is free");
        }
        let began = Instant::now();
        let long = Duration::from_secs(60);
        // Whichever is first frees the permit for the other one.
        let write = async |user| limit.acquire_within(user, long).await.map(drop);
        let (first, second, ()) = tokio::join!(write("ada"), write("bob"), async { drop(ada) });
        first.and(second).expect("permits");
        assert!(began.elapsed() < BASE_WAIT, "the end of an export wakes those that wait");
    }

    #[tokio::test]
    async fn revokes_slow_export_while_another_waits() {
        let limit = ExportLimit::new(1);
        let mallory = limit.acquire("mallory").expect("the first");
        let ago = Instant::now().checked_sub(BASE_WAIT - Duration::from_millis(100));
        mallory.progress.begin_wait(ago.expect("a time after the start of the machine"));
        limit.acquire("ada").expect_err("the client is not too slow yet");
        let waited = limit.acquire_within("ada", Duration::from_secs(20)).await;
        waited.expect("in place of the slow one");
        assert!(mallory.progress.revoked.is_cancelled());
    }

    #[test]
    fn revokes_slowest_export_when_all_are_taken() {
        let (limit, began) = (ExportLimit::new(2), Instant::now());
        let after = |seconds| began + Duration::from_secs(seconds);
        let mallory = limit.acquire_at("mallory", began).expect("the first");
        let trudy = limit.acquire_at("trudy", began).expect("the second");
        mallory.progress.begin_wait(after(0));
        trudy.progress.begin_wait(after(1));
        limit.acquire_at("ada", after(5)).expect_err("no client is too slow");
        let ada = limit.acquire_at("ada", after(7)).expect("in place of the slowest");
        assert!(mallory.progress.revoked.is_cancelled() && !trudy.progress.revoked.is_cancelled());
        drop(mallory);
        limit.acquire_at("mallory", after(8)).expect_err("revoked a moment ago");
        let bob = limit.acquire_at("bob", after(8)).expect("in place of the other slow one");
        limit.acquire_at("eve", after(8)).expect_err("nobody is slow");
        drop((ada, trudy));
        limit.acquire_at("mallory", after(8)).expect("a permit is left");
        let eve = limit.acquire_at("eve", after(8)).expect("a permit is left");
        bob.progress.begin_wait(after(8));
        limit.acquire_at("mallory", after(200)).expect_err("revoked some minutes ago");
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
        bob(62).expect("the client stopped reading");
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
