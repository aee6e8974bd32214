//! Erasure of a user. Pure.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

/// Request to delete all data of a user up to a time. Data that the user creates later is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// User.
    pub user_id: String,
    /// Time up to which data is deleted.
    pub erased_at: DateTime<Utc>,
    /// Receipt that the user received.
    pub receipt_id: String,
}

/// Digest by which an erased user is stored.
#[must_use]
pub fn user_digest(user_id: &str) -> Vec<u8> {
    Sha256::digest(user_id.as_bytes()).to_vec()
}
