//! The end of all that is known of a user. Pure.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

/// A user who wants to be forgotten, with everything up to a time. Who comes back later is a new
/// user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Who.
    pub user_id: String,
    /// What happened up to this is erased.
    pub erased_at: DateTime<Utc>,
    /// The receipt that the user was given.
    pub receipt_id: String,
}

/// The digest by which an erased user is known.
#[must_use]
pub fn user_digest(user_id: &str) -> Vec<u8> {
    Sha256::digest(user_id.as_bytes()).to_vec()
}
