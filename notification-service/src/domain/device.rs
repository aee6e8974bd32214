//! Devices, to which pushes are sent.

use std::{fmt, str::FromStr, sync::Arc};

use chrono::{DateTime, Utc};
use contract::text::is_blank;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Longest accepted token, in bytes.
const MAX_TOKEN: usize = 4096;
/// Longest name of a device, in characters.
const MAX_NAME: usize = 100;

/// Platform of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// Returns the word in requests, messages and the database.
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
            other => Err(format!("unknown type of device: {other}")),
        }
    }
}

impl fmt::Display for DeviceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// FCM registration token: 1 to 4096 visible ASCII characters. Never appears in a log.
///
/// The text is shared: each delivery of a batch carries the token of its device.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<str>);

impl Token {
    /// Parses a token from a client.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: String) -> Result<Self, &'static str> {
        let fits = (1..=MAX_TOKEN).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(text.into())) } else { Err("must be 1 to 4096 visible ASCII characters") }
    }

    /// Restores a token that was parsed before it was stored.
    pub(crate) fn stored(text: String) -> Self {
        Self(text.into())
    }

    /// Returns the text, for the provider.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the digest by which the token is unique.
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

/// Parses a device's name from a client: trimmed, at most 100 characters, no control characters, at
/// least one visible character. An empty name counts as none.
///
/// # Errors
/// The rule that the name breaks.
pub fn parse_name(name: Option<String>) -> Result<Option<String>, &'static str> {
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(None) };
    let name = name.trim().to_owned();
    if is_blank(&name) {
        return Err("must have a visible character; leave it out for no name");
    }
    let fits = name.chars().count() <= MAX_NAME && !name.chars().any(char::is_control);
    if fits {
        Ok(Some(name))
    } else {
        Err("must be at most 100 characters, none of them a control character")
    }
}

/// Device to register.
#[derive(Debug, Clone)]
pub struct NewDevice {
    /// Id of the user.
    pub user_id: String,
    /// Token by which FCM addresses the device.
    pub token: Token,
    /// Platform of the device.
    pub device_type: DeviceType,
    /// Name that the user gave to the device. A registration without a name keeps the previous one.
    pub name: Option<String>,
}

/// Registered device, without its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Id of the device.
    pub id: Uuid,
    /// Id of the user.
    pub user_id: String,
    /// Word of a [`DeviceType`], or of one that a newer version stored.
    pub device_type: String,
    /// Name that the user gave to the device.
    pub name: Option<String>,
    /// Time of the first registration.
    pub created_at: DateTime<Utc>,
    /// Time of the last registration.
    pub last_seen_at: DateTime<Utc>,
    /// Version, incremented by every change.
    pub version: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_tokens_of_visible_ascii() {
        assert!(Token::parse("a:b_C-9".to_owned()).is_ok());
        for text in
            [String::new(), "a b".to_owned(), "ü".to_owned(), "a\n".to_owned(), "a".repeat(4097)]
        {
            assert!(Token::parse(text).is_err());
        }
    }

    #[test]
    fn hides_token_in_debug() {
        let token = Token::parse("s3cret".to_owned()).expect("a token");
        assert!(!format!("{token:?}").contains("s3cret"));
    }

    #[test]
    fn trims_name_and_counts_characters() {
        assert_eq!(parse_name(Some("  my phone ".to_owned())), Ok(Some("my phone".to_owned())));
        assert_eq!(parse_name(Some(String::new())), Ok(None));
        for blank in ["  ", "\u{3000}", "\u{200b}", "\u{0}"] {
            assert!(parse_name(Some(blank.to_owned())).is_err(), "{blank:?}");
        }
        assert!(parse_name(Some("ü".repeat(100))).is_ok());
        assert!(parse_name(Some("ü".repeat(101))).is_err());
        assert!(parse_name(Some("a\u{7}".to_owned())).is_err());
    }
}
