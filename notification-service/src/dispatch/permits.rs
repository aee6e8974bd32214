//! Permits of a channel that each user holds: a bounded part of all, and no more than are left for
//! others, so that another user finds one however many users hold as many as they may (the dynamic
//! threshold of Choudhury and Hahne, 1998).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OwnedSemaphorePermit;

/// The part of the attempts in flight, and of the permits in memory, that one user may have.
const PART_OF_USER: usize = 8;

/// The part of `all` that one user may have: an eighth, or `least` where that is more and leaves
/// half to others.
pub(super) fn part(all: usize, least: usize) -> usize {
    (all / PART_OF_USER).max(least.min(all / 2)).max(1)
}

/// The most that a user may have while `free` are left: their part, and no more than that.
pub(super) fn of_user(part: usize, free: usize) -> usize {
    part.min(free).max(1)
}

/// Permits by user.
#[derive(Debug)]
pub(super) struct Shares {
    /// Permits held for normal and for urgent deliveries.
    held: Mutex<HashMap<Arc<str>, [usize; 2]>>,
    /// Permits of one user at the most, of each kind.
    most: usize,
}

/// The right to hold one delivery in memory; given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
    _share: Share,
}

/// One user's part of it.
#[derive(Debug)]
pub(super) struct Share {
    shares: Arc<Shares>,
    user: Arc<str>,
    is_urgent: bool,
}

impl Place {
    pub(super) fn new(permit: OwnedSemaphorePermit, share: Share) -> Self {
        Self { _permit: permit, _share: share }
    }
}

impl Shares {
    /// Shares of `most` permits a user, and as many again for what is urgent.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { held: Mutex::default(), most: most.max(1) })
    }

    /// The most that one user has of each kind.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Takes one more of a user while `free` are left of all; none when the user has their share.
    pub(super) fn take(
        self: &Arc<Self>,
        user: &str,
        is_urgent: bool,
        free: usize,
    ) -> Option<Share> {
        let mut held = self.held();
        let name = match held.get_key_value(user) {
            Some((name, _)) => Arc::clone(name),
            None => Arc::from(user),
        };
        let [normal, urgent] = held.entry(Arc::clone(&name)).or_default();
        let count = if is_urgent { urgent } else { normal };
        // At least one, so that nothing is kept of a user who is given none.
        if *count >= of_user(self.most, free) {
            return None;
        }
        *count += 1;
        Some(Share { shares: Arc::clone(self), user: name, is_urgent })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Arc<str>, [usize; 2]>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
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
        let shares = Shares::new(2);
        let held: Vec<Share> =
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
            [0, 1, 2, 4, 8, 16, 64, 1_000].map(|all| part(all, 4)),
            [1, 1, 1, 2, 4, 4, 8, 125]
        );
        assert_eq!([16, 64, 4_000].map(|all| part(all, 16)), [8, 16, 500]);
    }

    #[test]
    fn leaves_permits_free_when_many_users_hoard() {
        for users in [1, 8, 20, 100] {
            let (all, shares) = (4_000, Shares::new(part(4_000, 16)));
            let mut held: Vec<Share> = Vec::new();
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
