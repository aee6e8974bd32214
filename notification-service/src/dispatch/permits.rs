//! Permits: the right to hold one delivery in memory.
//!
//! Each user holds a bounded part of a dispatcher's permits, and never more than are left for
//! others, so that another user finds one however many users hold as many as they may (the dynamic
//! threshold of Choudhury and Hahne, 1998).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Part of the attempts in flight, and of the permits, that one user may have: one in so many.
const PART_OF_USER: usize = 8;

/// Part of `all` that one user may have: an eighth, or `least` where that is more and leaves half
/// to others.
pub(super) fn user_part(all: usize, least: usize) -> usize {
    (all / PART_OF_USER).max(least.min(all / 2)).max(1)
}

/// Most that a user may have while `free` are left: their part, and no more than are free.
pub(super) fn user_limit(part: usize, free: usize) -> usize {
    part.min(free).max(1)
}

/// Reason for which a delivery got no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPermit {
    /// The dispatcher has no permit left.
    DispatcherFull,
    /// The user holds their share of the permits.
    UserShareUsed,
}

/// Permits reserved from a dispatcher and not yet handed to deliveries; released when dropped.
#[derive(Debug)]
pub struct ReservedPermits {
    reserved: Option<OwnedSemaphorePermit>,
    all: Arc<Semaphore>,
    shares: Arc<UserShares>,
}

impl ReservedPermits {
    pub(super) fn new(
        reserved: Option<OwnedSemaphorePermit>,
        all: Arc<Semaphore>,
        shares: Arc<UserShares>,
    ) -> Self {
        Self { reserved, all, shares }
    }

    /// Takes one permit for a delivery of this user.
    ///
    /// # Errors
    /// If no permit is left, or the user already holds as many as one user may.
    pub fn take(&mut self, user: &str, is_urgent: bool) -> Result<Permit, NoPermit> {
        let reserved = self
            .reserved
            .as_mut()
            .filter(|reserved| reserved.num_permits() > 0)
            .ok_or(NoPermit::DispatcherFull)?;
        let free = self.all.available_permits() + reserved.num_permits();
        let share = self.shares.take(user, is_urgent, free).ok_or(NoPermit::UserShareUsed)?;
        let permit = reserved.split(1).ok_or(NoPermit::DispatcherFull)?;
        Ok(Permit { _permit: permit, _share: share })
    }

    /// Adds the permits of another reservation.
    pub(super) fn merge(&mut self, other: Self) {
        if let (Some(reserved), Some(other)) = (self.reserved.as_mut(), other.reserved) {
            reserved.merge(other);
        }
    }

    /// Number of permits left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.reserved.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Returns `true` if no permit is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Right to hold one delivery in memory; released when dropped.
#[derive(Debug)]
pub struct Permit {
    _permit: OwnedSemaphorePermit,
    _share: UserShare,
}

/// Permits by user.
#[derive(Debug)]
pub(super) struct UserShares {
    /// Permits held for normal and for urgent deliveries.
    held: Mutex<HashMap<Arc<str>, [usize; 2]>>,
    /// Most permits of one user, of each kind.
    most: usize,
}

/// One permit counted against its user; no longer counted once dropped.
#[derive(Debug)]
pub(super) struct UserShare {
    shares: Arc<UserShares>,
    user: Arc<str>,
    is_urgent: bool,
}

impl UserShares {
    /// Allows each user `most` permits, and as many again for urgent deliveries.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { held: Mutex::default(), most: most.max(1) })
    }

    /// Most permits of one user, of each kind.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Counts one more permit against a user while `free` are left of all; `None` if the user holds
    /// their share.
    pub(super) fn take(
        self: &Arc<Self>,
        user: &str,
        is_urgent: bool,
        free: usize,
    ) -> Option<UserShare> {
        let mut held = self.held();
        let name = match held.get_key_value(user) {
            Some((name, _)) => Arc::clone(name),
            None => Arc::from(user),
        };
        let [normal, urgent] = held.entry(Arc::clone(&name)).or_default();
        let count = if is_urgent { urgent } else { normal };
        // The limit is at least one, so no empty entry is kept of a user who gets none.
        if *count >= user_limit(self.most, free) {
            return None;
        }
        *count += 1;
        Some(UserShare { shares: Arc::clone(self), user: name, is_urgent })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Arc<str>, [usize; 2]>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UserShare {
    fn drop(&mut self) {
        let mut held = self.shares.held();
        let Some([normal, urgent]) = held.get_mut(&self.user) else { return };
        let count = if self.is_urgent { &mut *urgent } else { &mut *normal };
        *count = count.saturating_sub(1);
        if *normal + *urgent == 0 {
            held.remove(&self.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_permits_of_user_and_leaves_others_theirs() {
        let shares = UserShares::new(2);
        let held: Vec<UserShare> =
            std::iter::repeat_with(|| shares.take("hog", false, 8)).take(5).flatten().collect();
        assert_eq!(held.len(), 2);
        assert!(shares.take("hog", true, 8).is_some(), "what is urgent has a part of its own");
        assert!(shares.take("ada", false, 8).is_some());
        drop(held);
        assert!(shares.take("hog", false, 8).is_some());
        assert!(shares.held().is_empty(), "nothing is kept of a user who holds nothing");
    }

    #[test]
    fn gives_user_larger_part_of_few_permits() {
        assert_eq!(
            [0, 1, 2, 4, 8, 16, 64, 1_000].map(|all| user_part(all, 4)),
            [1, 1, 1, 2, 4, 4, 8, 125]
        );
        assert_eq!([16, 64, 4_000].map(|all| user_part(all, 16)), [8, 16, 500]);
    }

    #[test]
    fn leaves_permits_free_when_many_users_hoard() {
        for users in [1, 8, 20, 100] {
            let (all, shares) = (4_000, UserShares::new(user_part(4_000, 16)));
            let mut held: Vec<UserShare> = Vec::new();
            // In turn, until nobody is given another.
            loop {
                let before = held.len();
                for user in 0..users {
                    held.extend(shares.take(&user.to_string(), false, all - held.len()));
                }
                if held.len() == before {
                    break;
                }
            }
            assert!(
                all - held.len() >= all / (users + 2),
                "{} are free of {users} users'",
                all - held.len()
            );
            assert!(shares.take("ada", false, all - held.len()).is_some());
        }
    }
}
