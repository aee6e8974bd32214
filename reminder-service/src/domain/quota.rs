//! Quota of reminders per user, checked without counting them at each create.
//!
//! A count yields the number of reminders that the user may still create. A small part of it
//! (1 / `SHARE`) may then be created in this process without another count. A single process keeps
//! the quota exactly; every further replica may exceed it by that part.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Fraction of the remaining quota that a process uses before it counts again: one of 256.
const SHARE: u32 = 256;
/// Largest number of cached users, 32 bytes each.
const MAX_USERS: usize = 100_000;

/// The quota, and the number of creates of each user that need no count.
#[derive(Debug, Clone)]
pub struct Quota(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max: u32,
    hasher: RandomState,
    /// Creates that need no count, by the hash of the user's id.
    left: Mutex<HashMap<u64, u32>>,
}

impl Quota {
    /// A quota of `max` reminders per user (`MAX_REMINDERS_PER_USER`).
    #[must_use]
    pub fn new(max: u32) -> Self {
        Self(Arc::new(Inner { max, hasher: RandomState::new(), left: Mutex::default() }))
    }

    /// Largest number of reminders of a user.
    #[must_use]
    pub fn max(&self) -> u32 {
        self.0.max
    }

    /// Uses up one create without a count; `false` if the user's reminders must be counted with the
    /// create.
    #[must_use]
    pub fn take(&self, user_id: &str) -> bool {
        let key = self.0.hasher.hash_one(user_id);
        let mut left = self.left();
        match left.get_mut(&key) {
            Some(creates) if *creates > 0 => {
                *creates -= 1;
                true
            }
            _ => false,
        }
    }

    /// Records a count of a user's reminders.
    pub fn record_count(&self, user_id: &str, stored: u32) {
        let creates = self.0.max.saturating_sub(stored) / SHARE;
        let key = self.0.hasher.hash_one(user_id);
        let mut left = self.left();
        if left.len() >= MAX_USERS {
            left.clear();
        }
        left.insert(key, creates);
    }

    /// Makes the next create of a user count again.
    pub fn invalidate(&self, user_id: &str) {
        let key = self.0.hasher.hash_one(user_id);
        self.left().remove(&key);
    }

    fn left(&self) -> MutexGuard<'_, HashMap<u64, u32>> {
        self.0.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates reminders until one process refuses, at most `most`.
    fn created(quota: &Quota, stored: &mut u32, most: u32) -> u32 {
        let before = *stored;
        while *stored - before < most {
            if !quota.take("ada") {
                quota.record_count("ada", *stored);
                if *stored >= quota.max() {
                    break;
                }
            }
            *stored += 1;
        }
        *stored - before
    }

    #[test]
    fn allows_exactly_the_quota_in_one_process() {
        let (quota, mut stored) = (Quota::new(1_000), 0);
        assert_eq!(created(&quota, &mut stored, u32::MAX), 1_000);
    }

    #[test]
    fn exceeds_the_quota_by_a_share_for_each_other_replica() {
        let (max, others) = (1_000, 15);
        let replicas: Vec<_> = (0..=others).map(|_| Quota::new(max)).collect();
        let mut stored = 0;
        for replica in replicas.iter().cycle().take(5_000) {
            created(replica, &mut stored, 3);
        }
        assert!((max..=max + others * max / SHARE).contains(&stored), "{stored}");
    }

    #[test]
    fn counts_again_when_invalidated() {
        let quota = Quota::new(1_000);
        assert!(!quota.take("ada"));
        quota.record_count("ada", 0);
        assert!(quota.take("ada") && !quota.take("bob"));
        quota.invalidate("ada");
        assert!(!quota.take("ada"));
    }

    #[test]
    fn caches_bounded_number_of_users() {
        let quota = Quota::new(1_000);
        for user in 0..=2 * MAX_USERS {
            quota.record_count(&user.to_string(), 0);
        }
        assert!(quota.left().len() <= MAX_USERS);
    }
}
