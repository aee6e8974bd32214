//! Pauses of single addresses (a device, a mailbox) that a provider refuses or throttles on their
//! own account. Pure: time is passed in.
//!
//! The pauses live in this process alone. What they are for is that one address does not take
//! attempts from others; when a delivery ends is decided by its own attempts, which the ledger
//! counts.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::admission::after;
use crate::channels::outcome::Reason;

/// The digest of an address, with the version of its device.
pub(super) type AddressKey = u64;

/// The most addresses that are paused; beyond it the one whose pause ends first is forgotten.
const MAX_ADDRESSES: usize = 10_000;
/// The first pause; it doubles with each failure in a row.
const FIRST: Duration = Duration::from_secs(60);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30 * 60);
/// How long others to the same address wait while one finds out whether it works again.
const TRYING: Duration = Duration::from_secs(5);
/// Failures in a row after which what waited long enough for the address ends.
const WORN_OUT: u32 = 5;

/// Pause of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paused {
    /// How long until it may be tried again.
    pub(super) wait: Duration,
    /// The provider's reason.
    pub(super) reason: Reason,
    /// Whether it failed so often that nothing needs to wait for it any longer.
    pub(super) worn_out: bool,
}

#[derive(Debug)]
struct Entry {
    failures: u32,
    until: Instant,
    trying: bool,
    reason: Reason,
}

/// The paused addresses of a channel.
#[derive(Debug, Default)]
pub(super) struct Pauses(HashMap<AddressKey, Entry>);

impl Pauses {
    /// The pause of an address; `None` if it may be sent to.
    pub(super) fn of(&self, now: Instant, address: AddressKey) -> Option<Paused> {
        let entry = self.0.get(&address)?;
        let wait = if entry.trying { TRYING } else { entry.until.saturating_duration_since(now) };
        let worn_out = entry.failures >= WORN_OUT;
        (!wait.is_zero()).then(|| Paused { wait, reason: entry.reason.clone(), worn_out })
    }

    /// Notes that an attempt to an address starts: after a pause there is one at a time.
    pub(super) fn attempt_starts(&mut self, address: AddressKey) {
        if let Some(entry) = self.0.get_mut(&address) {
            entry.trying = true;
        }
    }

    /// Notes that an attempt to an address ended, whatever it told.
    pub(super) fn attempt_ends(&mut self, address: AddressKey) {
        if let Some(entry) = self.0.get_mut(&address) {
            entry.trying = false;
        }
    }

    /// Pauses an address. Attempts that were under way together count as one failure.
    pub(super) fn charge(
        &mut self,
        now: Instant,
        address: AddressKey,
        asked: Duration,
        reason: Reason,
    ) {
        if !self.0.contains_key(&address) {
            self.make_room(now);
        }
        let entry = self.0.entry(address).or_insert(Entry {
            failures: 0,
            until: now,
            trying: false,
            reason: "".into(),
        });
        if now >= entry.until {
            entry.failures = entry.failures.saturating_add(1);
            let factor = 2u32.saturating_pow(entry.failures.saturating_sub(1));
            entry.until = after(now, FIRST.saturating_mul(factor).min(LONGEST));
        }
        entry.until = entry.until.max(after(now, asked));
        entry.reason = reason;
    }

    /// Forgets an address, which works.
    pub(super) fn end(&mut self, address: AddressKey) {
        if !self.0.is_empty() {
            self.0.remove(&address);
        }
    }

    /// Forgets all of them: their trouble was everybody's.
    pub(super) fn end_all(&mut self) {
        self.0.clear();
    }

    /// Addresses that are paused or lately were.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn make_room(&mut self, now: Instant) {
        if self.0.len() < MAX_ADDRESSES {
            return;
        }
        self.0.retain(|_, entry| after(entry.until, LONGEST) > now);
        if self.0.len() >= MAX_ADDRESSES
            && let Some(address) =
                self.0.iter().min_by_key(|(_, entry)| entry.until).map(|(address, _)| *address)
        {
            self.0.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn doubles_pause_with_each_failure_in_a_row() {
        let (mut pauses, mut now) = (Pauses::default(), Instant::now());
        for wait in [60, 120, 240, 480, 960, 1_800, 1_800] {
            pauses.charge(now, 1, Duration::ZERO, "QUOTA_EXCEEDED".into());
            pauses.charge(now, 1, Duration::ZERO, "QUOTA_EXCEEDED".into());
            assert_eq!(pauses.of(now, 1).map(|paused| paused.wait), Some(SECOND * wait));
            now += SECOND * wait;
            assert_eq!(pauses.of(now, 1), None);
        }
    }

    #[test]
    fn tries_one_delivery_after_pause() {
        let (mut pauses, now) = (Pauses::default(), Instant::now());
        pauses.charge(now, 1, SECOND * 90, "QUOTA_EXCEEDED".into());
        assert_eq!(pauses.of(now, 1).map(|paused| paused.wait), Some(SECOND * 90));
        let later = now + SECOND * 90;
        pauses.attempt_starts(1);
        assert_eq!(pauses.of(later, 1).map(|paused| paused.wait), Some(TRYING));
        pauses.attempt_ends(1);
        assert_eq!(pauses.of(later, 1), None);
        pauses.end(1);
        assert_eq!(pauses.len(), 0);
    }

    #[test]
    fn forgets_soonest_pause_when_full() {
        let (mut pauses, now) = (Pauses::default(), Instant::now());
        for address in 0..=MAX_ADDRESSES as u64 {
            pauses.charge(now, address, SECOND * (61 + address as u32), "QUOTA_EXCEEDED".into());
        }
        assert_eq!(pauses.len(), MAX_ADDRESSES);
        assert!(pauses.of(now, 0).is_none());
        assert!(pauses.of(now, MAX_ADDRESSES as u64).is_some());
    }
}
