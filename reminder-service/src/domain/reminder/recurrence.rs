//! Recurrence of a reminder.

use contract::bounds::MAX_DATE;
pub use recurrence::{Fold, Gap};
use recurrence::{Refusal, Rule, Series, Zone, canonical_date};

use chrono::{DateTime, Utc};

use super::InvalidField;

/// Fault of a recurrence rule. The text names the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidRecurrence(pub String);

impl From<Refusal> for InvalidRecurrence {
    fn from(refusal: Refusal) -> Self {
        Self(format!("recurrence.{refusal}"))
    }
}

/// A recurrence rule, as the user wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recurrence {
    /// An RFC 5545 RRULE value.
    pub rrule: String,
    /// Excluded instances.
    pub exdates: Vec<String>,
    /// Instances beside those of the rule.
    pub rdates: Vec<String>,
    /// Policy for local times that do not exist.
    pub gap: Gap,
    /// Policy for local times that exist twice.
    pub fold: Fold,
}

impl Recurrence {
    /// Normalizes the rule: trims it, and shortens each listed date to its canonical form. A
    /// malformed date stays unchanged, for [`Series::new`] to refuse.
    ///
    /// # Errors
    /// If a date is longer than the longest valid one.
    pub fn parse(mut self) -> Result<Self, InvalidField> {
        for (field, dates) in
            [("recurrence.exdates", &self.exdates), ("recurrence.rdates", &self.rdates)]
        {
            if dates.iter().any(|date| date.len() > MAX_DATE) {
                let problem = format!("must have entries of at most {MAX_DATE} characters");
                return Err(InvalidField::new(field, problem));
            }
        }
        self.normalize();
        Ok(self)
    }

    /// A stored rule; exclusions that an earlier version stored at any length are shortened.
    #[must_use]
    pub fn from_store(mut self) -> Self {
        if self.exdates.iter().any(|exdate| exdate.len() > MAX_DATE) {
            self.normalize();
        }
        self
    }

    fn normalize(&mut self) {
        let rrule = self.rrule.trim();
        if rrule.len() < self.rrule.len() {
            self.rrule = rrule.to_owned();
        }
        for date in self.exdates.iter_mut().chain(&mut self.rdates) {
            if let Some(canonical) = canonical_date(date) {
                *date = canonical;
            }
        }
    }

    /// Checks the syntax of the rule and of its listed dates. They may be unfit in other ways,
    /// which depend on the start of the rule.
    ///
    /// # Errors
    /// If one of them is malformed.
    pub fn check_syntax(&self) -> Result<(), InvalidRecurrence> {
        Ok(self.rule().check_syntax()?)
    }

    fn rule(&self) -> Rule<'_> {
        Rule {
            rrule: &self.rrule,
            exdates: &self.exdates,
            rdates: &self.rdates,
            gap: self.gap,
            fold: self.fold,
        }
    }

    /// The instances of the rule from `start` on, in a zone.
    pub(super) fn series(
        &self,
        start: DateTime<Utc>,
        zone: &str,
    ) -> Result<Series, InvalidRecurrence> {
        self.read(start, zone, Series::new)
    }

    /// Like [`Self::series`], for a stored rule.
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
        Ok(read(start, zone, self.rule())?)
    }
}
