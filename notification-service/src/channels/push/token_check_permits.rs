//! Permits of token checks: registrations never use the capacity of pushes, nor one user the
//! capacity of others.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Divisor of the permits that one user may hold, at least one.
const SHARE_OF_USER: usize = 10;

/// Permits of token checks, shared by all registrations of the process.
#[derive(Debug)]
pub(super) struct TokenCheckPermits {
    limit: usize,
    hasher: RandomState,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    total: usize,
    by_user: HashMap<u64, usize>,
}

/// Permit to validate one token with FCM, released when it is dropped.
#[derive(Debug)]
pub struct TokenCheckPermit {
    checks: Arc<TokenCheckPermits>,
    user: u64,
}

impl TokenCheckPermits {
    /// Creates `limit` permits, at least one.
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit: limit.max(1), hasher: RandomState::new(), held: Mutex::default() })
    }

    /// Takes a permit for a user. Returns `None` immediately if all permits, or all permits of this
    /// user, are taken.
    pub(super) fn permit(self: &Arc<Self>, user_id: &str) -> Option<TokenCheckPermit> {
        let user = self.hasher.hash_one(user_id);
        let mut held = self.held();
        let of_user = held.by_user.get(&user).copied().unwrap_or(0);
        if held.total >= self.limit || of_user >= self.limit.div_ceil(SHARE_OF_USER) {
            return None;
        }
        held.total += 1;
        held.by_user.insert(user, of_user + 1);
        Some(TokenCheckPermit { checks: Arc::clone(self), user })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TokenCheckPermit {
    fn drop(&mut self) {
        let mut held = self.checks.held();
        held.total = held.total.saturating_sub(1);
        let of_user = held.by_user.get(&self.user).copied().unwrap_or(0);
        match of_user {
            0 | 1 => held.by_user.remove(&self.user),
            more => held.by_user.insert(self.user, more - 1),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_check_when_all_permits_are_taken() {
        let checks = TokenCheckPermits::new(20);
        let held: Vec<_> = (0..20).map(|user| checks.permit(&format!("user-{user}"))).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(checks.permit("late").is_none());
        drop(held);
        assert!(checks.permit("late").is_some());
        assert!(checks.held().by_user.is_empty());
    }

    #[test]
    fn leaves_permits_to_others_when_one_user_takes_all() {
        let checks = TokenCheckPermits::new(20);
        let held: Vec<_> = (0..20).filter_map(|_| checks.permit("greedy")).collect();
        assert_eq!(held.len(), 2);
        assert!(checks.permit("another").is_some());
    }
}
