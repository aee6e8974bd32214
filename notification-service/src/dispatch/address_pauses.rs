//! Pauses of single addresses (a device, a mailbox) that a provider refuses or throttles. Pure:
//! time is passed in.
//!
//! The pauses are local to this process. They keep one address from taking attempts from others;
//! the end of a delivery depends on its own attempts, which the ledger counts.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use backoff::Backoff;
use contract::Reason;

use super::circuit_breaker::after;

/// Digest of an address and of the version of its device.
pub(super) type AddressKey = u64;

/// Most addresses that are paused; beyond it the pause that ends first is dropped.
const MAX_ADDRESSES: usize = 10_000;
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(30 * 60);
/// Pause by the number of failures in a row.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(60), LONGEST);
/// Wait of other deliveries to an address while one of them probes it.
const PROBING: Duration = Duration::from_secs(5);
/// Failures in a row after which a delivery that waited long enough for the address fails.
const PERSISTENT: u32 = 5;

/// Pause of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AddressPause {
    /// Time until the address may be tried again.
    pub(super) wait: Duration,
    /// Reason that the provider gave.
    pub(super) reason: Reason,
    /// `true` if the address failed so often in a row that deliveries need not wait for it.
    pub(super) fails_persistently: bool,
}

#[derive(Debug)]
struct Entry {
    failures: u32,
    until: Instant,
    is_probed: bool,
    reason: Reason,
}

/// Paused addresses of a channel.
#[derive(Debug, Default)]
pub(super) struct AddressPauses(HashMap<AddressKey, Entry>);

impl AddressPauses {
    /// Pause of an address; `None` if it may be sent to.
    pub(super) fn of(&self, now: Instant, address: AddressKey) -> Option<AddressPause> {
        let entry = self.0.get(&address)?;
        let wait =
            if entry.is_probed { PROBING } else { entry.until.saturating_duration_since(now) };
        let fails_persistently = entry.failures >= PERSISTENT;
        (!wait.is_zero()).then_some(AddressPause { wait, reason: entry.reason, fails_persistently })
    }

    /// Notes that an attempt to an address starts: after a pause there is one at a time.
    pub(super) fn attempt_starts(&mut self, address: AddressKey) {
        if let Some(entry) = self.0.get_mut(&address) {
            entry.is_probed = true;
        }
    }

    /// Notes that an attempt to an address ended, whatever its outcome.
    pub(super) fn attempt_ends(&mut self, address: AddressKey) {
        if let Some(entry) = self.0.get_mut(&address) {
            entry.is_probed = false;
        }
    }

    /// AddressPauses an address. Attempts that were under way together count as one failure.
    pub(super) fn pause(
        &mut self,
        now: Instant,
        address: AddressKey,
        asked: Duration,
        reason: Reason,
    ) {
        if !self.0.contains_key(&address) {
            self.evict(now);
        }
        let entry = self.0.entry(address).or_insert(Entry {
            failures: 0,
            until: now,
            is_probed: false,
            reason,
        });
        if now >= entry.until {
            entry.failures = entry.failures.saturating_add(1);
            entry.until = after(now, BACKOFF.pause(entry.failures));
        }
        entry.until = entry.until.max(after(now, asked));
        entry.reason = reason;
    }

    /// Drops the pause of an address, which works.
    pub(super) fn clear(&mut self, address: AddressKey) {
        if !self.0.is_empty() {
            self.0.remove(&address);
        }
    }

    /// Drops all pauses: the failures concerned every user.
    pub(super) fn clear_all(&mut self) {
        self.0.clear();
    }

    /// Number of addresses that are paused or were until lately.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Drops the pause that ends first if there are too many.
    fn evict(&mut self, now: Instant) {
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
        let (mut pauses, mut now) = (AddressPauses::default(), Instant::now());
        for wait in [60, 120, 240, 480, 960, 1_800, 1_800] {
            pauses.pause(now, 1, Duration::ZERO, Reason::QuotaExceeded);
            pauses.pause(now, 1, Duration::ZERO, Reason::QuotaExceeded);
            assert_eq!(pauses.of(now, 1).map(|paused| paused.wait), Some(SECOND * wait));
            now += SECOND * wait;
            assert_eq!(pauses.of(now, 1), None);
        }
    }

    #[test]
    fn tries_one_delivery_after_pause() {
        let (mut pauses, now) = (AddressPauses::default(), Instant::now());
        pauses.pause(now, 1, SECOND * 90, Reason::QuotaExceeded);
        assert_eq!(pauses.of(now, 1).map(|paused| paused.wait), Some(SECOND * 90));
        let later = now + SECOND * 90;
        pauses.attempt_starts(1);
        assert_eq!(pauses.of(later, 1).map(|paused| paused.wait), Some(PROBING));
        pauses.attempt_ends(1);
        assert_eq!(pauses.of(later, 1), None);
        pauses.clear(1);
        assert_eq!(pauses.len(), 0);
    }

    #[test]
    fn drops_soonest_pause_when_full() {
        let (mut pauses, now) = (AddressPauses::default(), Instant::now());
        for address in 0..=MAX_ADDRESSES as u64 {
            pauses.pause(now, address, SECOND * (61 + address as u32), Reason::QuotaExceeded);
        }
        assert_eq!(pauses.len(), MAX_ADDRESSES);
        assert!(pauses.of(now, 0).is_none());
        assert!(pauses.of(now, MAX_ADDRESSES as u64).is_some());
    }
}
