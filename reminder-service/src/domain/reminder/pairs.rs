//! Key-value pairs of the client (`data`), which reach the device unchanged.

use std::collections::BTreeMap;

use contract::bounds::{MAX_PAIRS, MAX_PAIRS_BYTES};

use super::{InvalidField, text::is_carried};

/// At most 20 pairs with at most 2 KiB of keys and values together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pairs(BTreeMap<String, String>);

impl Pairs {
    /// Checks that a push message can carry the pairs. FCM reserves some keys
    /// (<https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages>, `data`).
    ///
    /// # Errors
    /// If there are too many pairs, they are too large, a key is empty or reserved, or a key or
    /// value has control characters.
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
                return invalid("must have no empty key".to_owned());
            }
            if key.chars().any(|character| character.is_control() || !is_carried(character)) {
                return invalid("must have no control characters in keys".to_owned());
            }
            if is_reserved(key) {
                return invalid(format!(
                    "must not have the key {key}: the push service reserves it"
                ));
            }
            if !value.chars().all(is_carried) {
                return invalid(format!(
                    "must have no control characters in the value of {key} other than line feeds \
                     and tabs"
                ));
            }
        }
        Ok(Self(pairs))
    }

    /// Pairs that were checked before they were stored.
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
