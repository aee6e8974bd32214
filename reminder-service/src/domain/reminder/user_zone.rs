//! Zone of a user, and the `timeZone` of a request that may ask for it.

use super::{InvalidDetails, InvalidDueDate, TimeZone};

/// Zone that the preferences of a user name, as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UserZone {
    /// It is not known: it was not needed, there is no service to ask, or the time zone database in
    /// use does not have it.
    #[default]
    Unknown,
    /// The preferences name none.
    Unnamed,
    /// The preferences name this one.
    Named(TimeZone),
}

impl UserZone {
    /// Returns the zone of local times that name none, if there is one.
    #[must_use]
    pub fn named(self) -> Option<TimeZone> {
        match self {
            Self::Named(zone) => Some(zone),
            Self::Unknown | Self::Unnamed => None,
        }
    }

    /// Returns the zone of a floating reminder: UTC until the preferences name one; `None` if it is
    /// not known.
    #[must_use]
    pub fn floating(self) -> Option<TimeZone> {
        let zone = match self {
            Self::Unknown => None,
            Self::Unnamed => Some(TimeZone::default()),
            Self::Named(zone) => Some(zone),
        };
        zone.map(|zone| zone.with_floating(true))
    }

    /// Reads the `timeZone` of a request: an IANA name, or `user`.
    ///
    /// # Errors
    /// If there is no such zone, or that of the user is not known.
    pub fn resolve(self, time_zone: &str) -> Result<TimeZone, InvalidDetails> {
        if time_zone == TimeZone::USER {
            return self.floating().ok_or_else(|| InvalidDueDate::NoUserZone.into());
        }
        Ok(TimeZone::parse(time_zone)?)
    }
}
