//! Quota of reminders of each user, checked without counting them at each create.
//!
//! A count tells how many places are left. A small part of them (`SHARE`) may then be taken in this
//! process without another count. One process keeps the quota exactly; every other replica may
//! exceed it by that part.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The part of the places left that a process takes before it counts again: one of so many.
const SHARE: u32 = 256;
/// Users that are remembered at once, 32 bytes each.
const MAX_USERS: usize = 100_000;

/// The quota of each user, and what this process knows of the places left.
#[derive(Debug, Clone)]
pub struct Quota(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max: u32,
    hasher: RandomState,
    /// Creates that need no count, by user.
    left: Mutex<HashMap<u64, u32>>,
}

impl Quota {
    /// A quota of so many reminders for each user (`MAX_REMINDERS_PER_USER`).
    #[must_use]
    pub fn new(max: u32) -> Self {
        Self(Arc::new(Inner { max, hasher: RandomState::new(), left: Mutex::default() }))
    }

    /// Reminders that a user may have.
    #[must_use]
    pub fn max(&self) -> u32 {
        self.0.max
    }

    /// Takes a place for one reminder: `false` when the user's reminders must be counted with its
    /// create.
    #[must_use]
    pub fn take(&self, user_id: &str) -> bool {
        let key = self.0.hasher.hash_one(user_id);
        let mut left = self.left();
        match left.get_mut(&key) {
            Some(places) if *places > 0 => {
                *places -= 1;
                true
            }
            _ => false,
        }
    }

    /// Notes a count of a user's reminders.
    pub fn counted(&self, user_id: &str, stored: u32) {
        let places = self.0.max.saturating_sub(stored) / SHARE;
        let key = self.0.hasher.hash_one(user_id);
        let mut left = self.left();
        if left.len() >= MAX_USERS {
            left.clear();
        }
        left.insert(key, places);
    }

    /// Has the next create of a user count again.
    pub fn forget(&self, user_id: &str) {
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

    /// Creates as many reminders as one process lets a user have.
    fn created(quota: &Quota, stored: &mut u32, most: u32) -> u32 {
        let before = *stored;
        while *stored - before < most {
            if !quota.take("ada") {
                quota.counted("ada", *stored);
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
    fn counts_seldom_and_again_when_told_to() {
        let quota = Quota::new(1_000);
        assert!(!quota.take("ada"));
        quota.counted("ada", 0);
        assert!(quota.take("ada") && !quota.take("bob"));
        quota.forget("ada");
        assert!(!quota.take("ada"));
    }

    #[test]
    fn remembers_a_bounded_number_of_users() {
        let quota = Quota::new(1_000);
        for user in 0..=2 * MAX_USERS {
            quota.counted(&user.to_string(), 0);
        }
        assert!(quota.left().len() <= MAX_USERS);
    }
}
