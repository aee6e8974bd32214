//! The client's own pairs, carried to the device as they are.

use std::collections::BTreeMap;

use shared::contract::bounds::{MAX_PAIRS, MAX_PAIRS_BYTES};

use super::{InvalidField, text::is_carried};

/// At most 20 pairs of together at most 2 KiB.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pairs(BTreeMap<String, String>);

impl Pairs {
    /// Pairs that a push message can carry. FCM keeps some keys to itself
    /// (<https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages>, `data`).
    ///
    /// # Errors
    /// When there are too many or they are too large, or a key is empty or reserved, or one has
    /// control characters.
    pub fn parse(pairs: BTreeMap<String, String>) -> Result<Self, InvalidField> {
        let invalid = |problem: String| Err(InvalidField::new("data", problem));
        if pairs.len() > MAX_PAIRS {
            return invalid("must have at most 20 pairs".to_owned());
        }
        if pairs.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > MAX_PAIRS_BYTES
        {
            return invalid("must have at most 2 KiB of keys and values together".to_owned());
        }
        for (key, value) in &pairs {
            if key.is_empty() {
                return invalid("a key must not be empty".to_owned());
            }
            if key.chars().any(|it| it.is_control() || !is_carried(it)) {
                return invalid("a key must have no control characters".to_owned());
            }
            if is_reserved(key) {
                return invalid(format!("the key {key} is reserved by the push service"));
            }
            if !value.chars().all(is_carried) {
                return invalid(format!(
                    "the value of {key} must have no control characters but line feeds and tabs"
                ));
            }
        }
        Ok(Self(pairs))
    }

    /// Pairs that were parsed before they were stored.
    #[must_use]
    pub fn from_store(pairs: BTreeMap<String, String>) -> Self {
        Self(pairs)
    }

    /// The pairs, by key.
    #[must_use]
    pub fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// The pairs, by key.
    #[must_use]
    pub fn into_map(self) -> BTreeMap<String, String> {
        self.0
    }
}

fn is_reserved(key: &str) -> bool {
    ["from", "notification", "message_type"].contains(&key)
        || key.starts_with("google")
        || key.starts_with("gcm")
}
