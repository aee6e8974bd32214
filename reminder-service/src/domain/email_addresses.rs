//! Limit of the different e-mail addresses of each user per day (UTC), with a cache of the
//! addresses that were accepted today.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use contract::Channel;

use super::{caller::Caller, reminder::Channels};

/// Accepted addresses that are cached, so that the database is not asked again.
const MAX_CACHED: usize = 50_000;

/// The limit, and the addresses that were accepted today.
#[derive(Debug, Clone)]
pub struct EmailAddresses(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: u32,
    hasher: RandomState,
    accepted: Mutex<Accepted>,
}

/// Addresses that were accepted on a day, by the hash of user and address.
#[derive(Debug, Default)]
struct Accepted {
    day: NaiveDate,
    hashes: HashSet<u64>,
}

impl EmailAddresses {
    /// A limit of different addresses of a user on one day (`MAX_EMAIL_ADDRESSES_PER_DAY`).
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self(Arc::new(Inner { limit, hasher: RandomState::new(), accepted: Mutex::default() }))
    }

    /// Largest number of different addresses of a user on one day.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.0.limit
    }

    /// Returns `true` if a delivery on the channels needs no look at the database: it sends no
    /// e-mail, or the address was accepted today. An unverified address never receives e-mail.
    #[must_use]
    pub fn is_accepted(&self, today: NaiveDate, caller: &Caller, channels: &Channels) -> bool {
        if !caller.email_verified || !channels.contains(Channel::Email) {
            return true;
        }
        let hash = self.hash(caller);
        let accepted = self.0.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.day == today && accepted.hashes.contains(&hash)
    }

    /// Records that the caller's address was accepted today.
    pub fn record(&self, today: NaiveDate, caller: &Caller) {
        let hash = self.hash(caller);
        let mut accepted = self.0.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        if accepted.day != today || accepted.hashes.len() >= MAX_CACHED {
            *accepted = Accepted { day: today, hashes: HashSet::new() };
        }
        accepted.hashes.insert(hash);
    }

    fn hash(&self, caller: &Caller) -> u64 {
        self.0.hasher.hash_one((&caller.user_id, &caller.email))
    }
}

/// Time from `now` to the next day (UTC), at which the limit starts again.
#[must_use]
pub fn until_next_day(now: DateTime<Utc>) -> Duration {
    let left = NaiveTime::MIN - now.time() + TimeDelta::days(1);
    left.to_std().unwrap_or(Duration::from_secs(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 5, day).expect("a date")
    }

    fn caller(email: String) -> Caller {
        Caller { user_id: "ada".to_owned(), email, email_verified: true }
    }

    fn email() -> Channels {
        Channels::from_fields(Some(Channel::Email), None).expect("a set").expect("not empty")
    }

    #[test]
    fn keeps_bounded_cache_of_todays_addresses() {
        let (addresses, ada) = (EmailAddresses::new(5), caller("ada@example.com".to_owned()));
        addresses.record(day(1), &ada);
        assert!(addresses.is_accepted(day(1), &ada, &email()));
        assert!(!addresses.is_accepted(day(2), &ada, &email()));
        for number in 0..MAX_CACHED + 10 {
            addresses.record(day(2), &caller(format!("{number}@example.com")));
        }
        assert!(addresses.0.accepted.lock().expect("not poisoned").hashes.len() <= MAX_CACHED);
    }

    #[test]
    fn accepts_unknown_address_when_no_email_is_sent() {
        let (addresses, ada) = (EmailAddresses::new(5), caller("ada@example.com".to_owned()));
        assert!(addresses.is_accepted(day(1), &ada, &Channels::default()));
        let unverified = Caller { email_verified: false, ..ada };
        assert!(addresses.is_accepted(day(1), &unverified, &email()));
    }

    #[test]
    fn starts_again_at_midnight() {
        let now = day(1).and_hms_opt(23, 59, 30).expect("a time").and_utc();
        assert_eq!(until_next_day(now), Duration::from_secs(30));
    }
}
