//! Checks of the e-mail address of a caller: its form, its verification by the identity provider,
//! and the limit of different addresses per user and day.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{NaiveDate, NaiveTime, Utc};
use env_config::Reader;
use rest::Identity;
use service::http::{ApiError, Reason};
use sha2::{Digest, Sha256};
use sqlx::PgPool;

use crate::{
    domain::reminder::{Channel, Channels},
    store,
};

const LIMIT: &str = "MAX_EMAIL_ADDRESSES_PER_DAY";
/// Accepted addresses that are cached, so that the database is not asked again.
const MAX_CACHED: usize = 50_000;

/// Limit of the e-mail addresses of each user, with a cache of the addresses accepted today.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// Largest number of different addresses of a user on one day.
    limit: u32,
    accepted: Arc<Mutex<Accepted>>,
}

/// Addresses that were accepted on a day, by the digest of user and address.
#[derive(Debug, Default)]
struct Accepted {
    day: NaiveDate,
    pairs: HashSet<[u8; 32]>,
}

impl Addresses {
    /// Reads `MAX_EMAIL_ADDRESSES_PER_DAY`.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let limit = reader.or(LIMIT, "different e-mail addresses per user and day (UTC)", 5_u32)?;
        if (1..=1_000).contains(&limit) {
            return Some(Self { limit, accepted: Arc::default() });
        }
        reader.fault(LIMIT, "is malformed: expected 1 to 1000");
        None
    }

    /// Refuses e-mail to a further address if the user has reached the limit of today. Asks the
    /// database once for each user, address and day in this process, on its own connection: callers
    /// must hold none. An unverified address never receives e-mail and does not count.
    ///
    /// # Errors
    /// `RATE_LIMITED` until midnight (UTC).
    pub(crate) async fn accept(
        &self,
        pool: &PgPool,
        identity: &Identity,
        channels: &Channels,
    ) -> Result<(), ApiError> {
        if self.is_known(identity, channels) {
            return Ok(());
        }
        let (user, address) = digests(identity);
        if !store::record_address(pool, &user, &address, i64::from(self.limit)).await? {
            return Err(too_many());
        }
        self.cache(Utc::now().date_naive(), pair(&user, &address));
        Ok(())
    }

    /// Returns `true` if [`Addresses::accept`] accepts without asking the database.
    pub(crate) fn is_known(&self, identity: &Identity, channels: &Channels) -> bool {
        if !identity.email_verified || !channels.as_slice().contains(&Channel::Email) {
            return true;
        }
        let (user, address) = digests(identity);
        self.is_accepted(Utc::now().date_naive(), &pair(&user, &address))
    }

    fn is_accepted(&self, today: NaiveDate, pair: &[u8; 32]) -> bool {
        let accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.day == today && accepted.pairs.contains(pair)
    }

    fn cache(&self, today: NaiveDate, pair: [u8; 32]) {
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        if accepted.day != today || accepted.pairs.len() >= MAX_CACHED {
            *accepted = Accepted { day: today, pairs: HashSet::new() };
        }
        accepted.pairs.insert(pair);
    }
}

/// Returns the digests of the user's id and of the user's address.
fn digests(identity: &Identity) -> ([u8; 32], [u8; 32]) {
    (Sha256::digest(&identity.user_id).into(), Sha256::digest(&identity.email).into())
}

fn pair(user: &[u8; 32], address: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(user).chain_update(address).finalize().into()
}

/// Refuses the channel e-mail for a caller without an e-mail address, or with an unverified one.
///
/// # Errors
/// `INVALID_REQUEST` or `PERMISSION_DENIED`.
pub(crate) fn check_channels(channels: &Channels, identity: &Identity) -> Result<(), ApiError> {
    channels.check_address(&identity.email)?;
    if channels.as_slice().contains(&Channel::Email) && !identity.email_verified {
        let problem =
            "channels: email needs a verified address, and the token has email_verified=false";
        return Err(ApiError::new(Reason::PermissionDenied, problem));
    }
    Ok(())
}

fn too_many() -> ApiError {
    let problem = "channels: the daily limit of different e-mail addresses is reached";
    let left = NaiveTime::MIN - Utc::now().time() + chrono::TimeDelta::days(1);
    let retry_after = left.to_std().unwrap_or(Duration::from_secs(60));
    ApiError { retry_after: Some(retry_after), ..ApiError::new(Reason::RateLimited, problem) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_email_to_unverified_address() {
        let identity = |email: &str, email_verified| Identity {
            user_id: "u1".to_owned(),
            email: email.to_owned(),
            email_verified,
        };
        let only = |channel| {
            Channels::from_fields(Some(channel), None).expect("a set").expect("not empty")
        };
        let reason = |channel, identity| {
            check_channels(&only(channel), &identity).err().map(|error| error.reason)
        };
        assert_eq!(reason(Channel::Email, identity("u1@example.com", true)), None);
        assert_eq!(
            reason(Channel::Email, identity("u1@example.com", false)),
            Some(Reason::PermissionDenied)
        );
        assert_eq!(reason(Channel::Email, identity("nobody", true)), Some(Reason::InvalidRequest));
        assert_eq!(reason(Channel::Push, identity("nobody", false)), None);
    }

    #[test]
    fn keeps_bounded_cache_of_todays_addresses() {
        let addresses = Addresses { limit: 5, accepted: Arc::default() };
        let day = |day| NaiveDate::from_ymd_opt(2026, 5, day).expect("a date");
        addresses.cache(day(1), [7; 32]);
        assert!(addresses.is_accepted(day(1), &[7; 32]));
        assert!(!addresses.is_accepted(day(2), &[7; 32]));
        for number in 0..MAX_CACHED + 10 {
            let mut pair = [0; 32];
            pair[..8].copy_from_slice(&number.to_be_bytes());
            addresses.cache(day(2), pair);
        }
        assert!(addresses.accepted.lock().expect("not poisoned").pairs.len() <= MAX_CACHED);
    }
}
