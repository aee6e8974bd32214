//! Permits of a channel that each user holds: a bounded part of all, so that another user always finds one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OwnedSemaphorePermit;

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

    /// Takes one more of a user; none when the user has their share.
    pub(super) fn take(self: &Arc<Self>, user: &str, is_urgent: bool) -> Option<Share> {
        let mut held = self.held();
        let name = match held.get_key_value(user) {
            Some((name, _)) => Arc::clone(name),
            None => Arc::from(user),
        };
        let [normal, urgent] = held.entry(Arc::clone(&name)).or_default();
        let count = if is_urgent { urgent } else { normal };
        if *count >= self.most {
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
        let held: Vec<Share> = std::iter::repeat_with(|| shares.take("hog", false)).take(5).flatten().collect();
        assert_eq!(held.len(), 2);
        assert!(shares.take("hog", true).is_some(), "what is urgent has a part of its own");
        assert!(shares.take("ada", false).is_some());
        drop(held);
        assert!(shares.take("hog", false).is_some());
        assert!(shares.held().is_empty(), "nothing is kept of a user who holds nothing");
    }
}
