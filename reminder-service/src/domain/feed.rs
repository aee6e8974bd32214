//! Calendar feeds: secret addresses under which calendar apps read a user's reminders.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Most feeds of one user.
pub const MAX_FEEDS: i64 = 5;
/// Bytes of a secret: 256 bits.
const SECRET_BYTES: usize = 32;

/// A feed, without its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feed {
    /// Id of the feed.
    pub id: Uuid,
    /// Time of its creation.
    pub created_at: DateTime<Utc>,
    /// Last time at which its secret was replaced.
    pub rotated_at: Option<DateTime<Utc>>,
}

/// SHA-256 of a secret, by which its feed is found.
pub type SecretDigest = [u8; 32];

/// Secret of a feed. The secret is not stored and not logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; SECRET_BYTES]);

impl Secret {
    /// A secret of random bytes.
    #[must_use]
    pub const fn new(random: [u8; SECRET_BYTES]) -> Self {
        Self(random)
    }

    /// Parses the name of a calendar file, `<secret>.ics`; `None` if it cannot be one.
    #[must_use]
    pub fn of_file(name: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(name.strip_suffix(".ics")?).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// Name of the calendar file.
    #[must_use]
    pub fn file(&self) -> String {
        format!("{}.ics", URL_SAFE_NO_PAD.encode(self.0))
    }

    /// Digest that is stored.
    #[must_use]
    pub fn digest(&self) -> SecretDigest {
        Sha256::digest(self.0).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Entity tag (RFC 9110 section 8.8.3) of a calendar: equal if the reminders in it have the same
/// versions and the file is written by the same program and zone data.
#[must_use]
pub fn entity_tag(versions: &str, zone_edition: &str) -> String {
    let program = concat!("1 ", env!("CARGO_PKG_VERSION"));
    let digest = Sha256::digest(format!("{program} {zone_edition} {versions}"));
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest[..16]))
}

/// Returns whether the header `If-None-Match` has an entity tag, or is `*`. Tags are compared
/// weakly (RFC 9110 section 13.1.2), because proxies that compress an answer mark its tag as weak.
#[must_use]
pub fn is_known(if_none_match: &str, entity_tag: &str) -> bool {
    if_none_match
        .split(',')
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == entity_tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_file_of_secret() {
        let secret = Secret::new([7; SECRET_BYTES]);
        let file = secret.file();
        assert_eq!(file.len(), 43 + ".ics".len());
        assert_eq!(Secret::of_file(&file), Some(secret.clone()));
        assert_ne!(secret.digest(), Secret::new([8; SECRET_BYTES]).digest());
        for other in ["", ".ics", "x.ics", &file[1..], &file[..43], &format!("A{file}")] {
            assert_eq!(Secret::of_file(other), None, "{other}");
        }
    }

    #[test]
    fn hides_secret_in_debug() {
        let secret = Secret::new([7; SECRET_BYTES]);
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }

    #[test]
    fn compares_entity_tags_weakly() {
        let tag = entity_tag("1:1", "2026f");
        for known in [tag.clone(), format!("W/{tag}"), format!("\"a\", {tag}"), "*".to_owned()] {
            assert!(is_known(&known, &tag), "{known}");
        }
        for other in ["", "\"a\"", tag.trim_matches('"')] {
            assert!(!is_known(other, &tag), "{other}");
        }
        assert_ne!(entity_tag("1:2", "2026f"), tag);
        assert_ne!(entity_tag("1:1", "2026g"), tag);
    }
}
