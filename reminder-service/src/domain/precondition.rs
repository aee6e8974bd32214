//! Precondition of a change: the version of the reminder that the client has seen.

use uuid::Uuid;

/// The reminder that a change applies to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Id of the reminder.
    pub id: Uuid,
    /// Versions that the change may apply to; `None` for any.
    pub versions: Option<Vec<i64>>,
}

/// Error: the reminder has another version than the client expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the reminder has version {version}, which If-Match does not name; read it again")]
pub struct OtherVersion {
    /// Version of the reminder.
    pub version: i64,
}

impl Target {
    /// Checks that the change may apply to a version.
    ///
    /// # Errors
    /// If it may not.
    pub fn check(&self, version: i64) -> Result<(), OtherVersion> {
        let is_expected = self.versions.as_ref().is_none_or(|versions| versions.contains(&version));
        if is_expected { Ok(()) } else { Err(OtherVersion { version }) }
    }
}
