//! How a reminder recurs.

pub use recurrence::{Fold, Gap};
use recurrence::{Refusal, Rule, Series, Zone};

use chrono::{DateTime, Utc};

/// A rule that cannot be followed. The text names the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidRecurrence(pub String);

impl From<Refusal> for InvalidRecurrence {
    fn from(refusal: Refusal) -> Self {
        Self(format!("recurrence.{refusal}"))
    }
}

/// A rule, as its user wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recurrence {
    /// An RFC 5545 RRULE value.
    pub rrule: String,
    /// Occurrences left out.
    pub exdates: Vec<String>,
    /// For local times that do not exist.
    pub gap: Gap,
    /// For local times that exist twice.
    pub fold: Fold,
}

impl Recurrence {
    /// The rule from its start on, in a zone.
    pub(super) fn series(&self, start: DateTime<Utc>, zone: &str) -> Result<Series, InvalidRecurrence> {
        let unknown = || InvalidRecurrence(format!("timeZone: {zone} is not in this machine's time zone database"));
        let zone = Zone::parse(zone).map_err(|_| unknown())?;
        let rule = Rule { rrule: &self.rrule, exdates: &self.exdates, gap: self.gap, fold: self.fold };
        Ok(Series::new(start, zone, rule)?)
    }
}
