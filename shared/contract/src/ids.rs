//! Ids of items, events and occurrences.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// UUID namespace of occurrence ids.
const OCCURRENCES: Uuid = Uuid::from_u128(0x6f63_6375_7272_454e_8365_2d73_7569_7465);
/// UUID namespace of derived event ids.
const EVENTS: Uuid = Uuid::from_u128(0x6576_656e_7473_454e_8365_2d73_7569_7465);

/// Generates an id that is unique and sortable by creation time (UUID v7).
#[must_use]
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// Derives the id of an occurrence from its item and its time of delivery. Every process computes
/// the same id, so that an occurrence that is published twice is sent once.
#[must_use]
pub fn occurrence_id(source: &str, item_id: &str, due_at: DateTime<Utc>) -> Uuid {
    Uuid::new_v5(
        &OCCURRENCES,
        format!("{source}\n{item_id}\n{}", due_at.timestamp_millis()).as_bytes(),
    )
}

/// Converts the id of an event to a UUID: parses it, or derives one from its text.
#[must_use]
pub fn event_id_of(text: &str) -> Uuid {
    Uuid::try_parse(text).unwrap_or_else(|_| Uuid::new_v5(&EVENTS, text.as_bytes()))
}

/// Id of an item as other services write it: 1 to 64 URL-safe characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ItemId(String);

/// Error for a text that is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is 1 to 64 characters of A-Z a-z 0-9 . _ ~ -")]
pub struct MalformedId;

impl ItemId {
    /// Text of the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ItemId {
    type Error = MalformedId;

    fn try_from(text: String) -> Result<Self, MalformedId> {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte));
        if fits { Ok(Self(text)) } else { Err(MalformedId) }
    }
}

impl FromStr for ItemId {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        text.to_owned().try_into()
    }
}

impl From<ItemId> for String {
    fn from(id: ItemId) -> Self {
        id.0
    }
}

impl From<Uuid> for ItemId {
    fn from(id: Uuid) -> Self {
        Self(id.simple().to_string())
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
