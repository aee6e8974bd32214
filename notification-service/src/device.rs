//! A device: an address at which a user can be reached by push.

use std::{fmt, str::FromStr, sync::Arc};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The longest token that is taken.
const MAX_TOKEN: usize = 4096;
/// The reason of a device that was removed because its user has more than one user may have.
pub const LIMIT_REASON: &str = "DEVICE_LIMIT";
/// The longest name of a device, in characters.
const MAX_NAME: usize = 100;

/// What kind of client a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeviceType {
    /// A browser.
    Web,
    /// An Android device.
    Android,
    /// An iPhone or iPad.
    Ios,
}

impl DeviceType {
    /// Its word in requests, messages and the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Android => "android",
            Self::Ios => "ios",
        }
    }
}

impl FromStr for DeviceType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "web" => Ok(Self::Web),
            "android" => Ok(Self::Android),
            "ios" => Ok(Self::Ios),
            other => Err(format!("no type of device: {other}")),
        }
    }
}

impl fmt::Display for DeviceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An FCM registration token: 1 to 4096 visible ASCII characters. It never appears in a log.
///
/// The text is shared: each delivery of a batch carries the token of its device.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<str>);

impl Token {
    /// A token as a client gave it.
    ///
    /// # Errors
    /// What a token should be, when it is something else.
    pub fn parse(text: String) -> Result<Self, &'static str> {
        let fits = (1..=MAX_TOKEN).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(text.into())) } else { Err("must be 1 to 4096 visible ASCII characters") }
    }

    /// A token that was parsed before it was stored.
    pub(crate) fn stored(text: String) -> Self {
        Self(text.into())
    }

    /// Its text, for the provider.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What makes it unique.
    #[must_use]
    pub fn digest(&self) -> Vec<u8> {
        Sha256::digest(self.0.as_bytes()).to_vec()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A device's name as its user wrote it: trimmed, at most 100 characters, no control characters. An
/// empty one is none.
///
/// # Errors
/// What a name should be, when it is something else.
pub fn parse_name(name: Option<String>) -> Result<Option<String>, &'static str> {
    let Some(name) = name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    let fits = name.chars().count() <= MAX_NAME && !name.chars().any(char::is_control);
    if fits {
        Ok(Some(name))
    } else {
        Err("must be at most 100 characters, none of them a control character")
    }
}

/// A device to be registered.
#[derive(Debug, Clone)]
pub struct NewDevice {
    /// Whose it is.
    pub user_id: String,
    /// Where it is reached.
    pub token: Token,
    /// What it is.
    pub device_type: DeviceType,
    /// What its user calls it; a registration without a name keeps the one it had.
    pub name: Option<String>,
}

/// A registered device, without its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: String,
    /// The type: the word of a [`DeviceType`], or one that a newer version stored.
    pub device_type: String,
    /// What its user calls it.
    pub name: Option<String>,
    /// When it was first registered.
    pub created_at: DateTime<Utc>,
    /// When it was last registered.
    pub last_seen_at: DateTime<Utc>,
    /// Grows with every change.
    pub version: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_visible_ascii_of_a_bounded_length() {
        assert!(Token::parse("a:b_C-9".to_owned()).is_ok());
        for text in
            [String::new(), "a b".to_owned(), "ü".to_owned(), "a\n".to_owned(), "a".repeat(4097)]
        {
            assert!(Token::parse(text).is_err());
        }
    }

    #[test]
    fn a_token_is_not_printed() {
        let token = Token::parse("s3cret".to_owned()).expect("a token");
        assert!(!format!("{token:?}").contains("s3cret"));
    }

    #[test]
    fn names_are_trimmed_and_counted_in_characters() {
        assert_eq!(parse_name(Some("  my phone ".to_owned())), Ok(Some("my phone".to_owned())));
        assert_eq!(parse_name(Some("  ".to_owned())), Ok(None));
        assert!(parse_name(Some("ü".repeat(100))).is_ok());
        assert!(parse_name(Some("ü".repeat(101))).is_err());
        assert!(parse_name(Some("a\u{7}".to_owned())).is_err());
    }
}
