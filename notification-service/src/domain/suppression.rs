//! Suppression of e-mail addresses that must not be written to.

/// Cause of the suppression of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuppressionCause {
    /// Permanent bounce.
    Bounce,
    /// Complaint of the owner.
    Complaint,
}

impl SuppressionCause {
    /// Returns the stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bounce => "bounce",
            Self::Complaint => "complaint",
        }
    }
}
