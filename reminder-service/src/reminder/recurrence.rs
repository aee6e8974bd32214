//! How a reminder recurs.

pub use recurrence::{Fold, Gap};
use recurrence::{Refusal, Rule, Series, Zone, canonical_exclusion};
use shared::contract::bounds::MAX_EXDATE;

use chrono::{DateTime, Utc};

use super::InvalidField;

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
    /// The rule as it is kept: without white space around it, and each exclusion in its shortest
    /// form. What is no exclusion stays as it is, for [`Series::new`] to refuse.
    ///
    /// # Errors
    /// When an exclusion is longer than one can be.
    pub fn parse(mut self) -> Result<Self, InvalidField> {
        if self.exdates.iter().any(|exdate| exdate.len() > MAX_EXDATE) {
            let problem = format!("each entry must have at most {MAX_EXDATE} characters");
            return Err(InvalidField::new("recurrence.exdates", problem));
        }
        self.shorten();
        Ok(self)
    }

    /// One that was stored; what an earlier version stored at any length comes in its shortest form
    /// as well.
    #[must_use]
    pub fn from_store(mut self) -> Self {
        if self.exdates.iter().any(|exdate| exdate.len() > MAX_EXDATE) {
            self.shorten();
        }
        self
    }

    fn shorten(&mut self) {
        let rrule = self.rrule.trim();
        if rrule.len() < self.rrule.len() {
            self.rrule = rrule.to_owned();
        }
        for exdate in &mut self.exdates {
            if let Some(canonical) = canonical_exclusion(exdate) {
                *exdate = canonical;
            }
        }
    }

    /// The rule from its start on, in a zone.
    pub(super) fn series(
        &self,
        start: DateTime<Utc>,
        zone: &str,
    ) -> Result<Series, InvalidRecurrence> {
        self.read(start, zone, Series::new)
    }

    /// As [`Self::series`], of a rule that was accepted before it was stored.
    pub(super) fn stored_series(
        &self,
        start: DateTime<Utc>,
        zone: &str,
    ) -> Result<Series, InvalidRecurrence> {
        self.read(start, zone, Series::stored)
    }

    fn read(
        &self,
        start: DateTime<Utc>,
        zone: &str,
        read: impl FnOnce(DateTime<Utc>, Zone, Rule<'_>) -> Result<Series, Refusal>,
    ) -> Result<Series, InvalidRecurrence> {
        let unknown = || {
            InvalidRecurrence(format!(
                "timeZone: {zone} is not in this machine's time zone database"
            ))
        };
        let zone = Zone::parse(zone).map_err(|_| unknown())?;
        let rule =
            Rule { rrule: &self.rrule, exdates: &self.exdates, gap: self.gap, fold: self.fold };
        Ok(read(start, zone, rule)?)
    }
}
