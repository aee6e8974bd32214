//! All faults of a body, gathered while it is read.

use shared::http::{ApiError, FieldFault, Reason};

/// Gathers faults, so that a client learns of all of them at once.
#[derive(Debug, Default)]
pub(super) struct Faults {
    faults: Vec<FieldFault>,
    /// The reason of the first fault that is not one of form.
    reason: Option<Reason>,
    is_malformed: bool,
}

impl Faults {
    /// Begins with what was found when the body was parsed.
    pub(super) fn begin(faults: Vec<FieldFault>) -> Self {
        Self { is_malformed: !faults.is_empty(), faults, reason: None }
    }

    /// Returns the value of a field, or notes its fault.
    pub(super) fn take<T>(&mut self, field: Result<T, impl Into<ApiError>>) -> Option<T> {
        match field {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(error.into());
                None
            }
        }
    }

    /// Returns the value of a required field, or notes that it is missing.
    pub(super) fn required<T>(&mut self, field: &'static str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.add(ApiError::field(Reason::InvalidRequest, field, "is required"));
        }
        value
    }

    /// Returns whether a field, or a part of it, is known to be faulty.
    pub(super) fn has(&self, field: &str) -> bool {
        self.faults.iter().any(|fault| top(&fault.field) == field)
    }

    /// The value, if it is there and nothing is faulty.
    ///
    /// # Errors
    /// All faults: `INVALID_REQUEST` when one of them is of form, else the reason of the first.
    pub(super) fn or<T>(self, value: Option<T>) -> Result<T, ApiError> {
        match value {
            Some(value) if self.faults.is_empty() => Ok(value),
            _ if self.is_malformed => Err(ApiError::faults(Reason::InvalidRequest, self.faults)),
            _ => Err(ApiError::faults(self.reason.unwrap_or(Reason::InvalidRequest), self.faults)),
        }
    }

    fn add(&mut self, error: ApiError) {
        // A field that was left out for one fault is not missing as well.
        let fresh = error
            .details
            .into_iter()
            .filter(|fault| !self.has(top(&fault.field)))
            .collect::<Vec<_>>();
        if !fresh.is_empty() {
            self.faults.extend(fresh);
            match error.reason {
                Reason::InvalidRequest => self.is_malformed = true,
                reason => self.reason = self.reason.or(Some(reason)),
            }
        }
    }
}

/// The field of the body that a path begins with.
fn top(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(faults: Faults) -> (Reason, Vec<String>) {
        let error = faults.or(Some(())).expect_err("faults");
        (error.reason, error.details.into_iter().map(|fault| fault.field).collect())
    }

    #[test]
    fn gathers_every_field_once() {
        let mut faults =
            Faults::begin(vec![FieldFault::new("date", "must be text, not a whole number")]);
        assert_eq!(faults.required::<()>("date", None), None);
        assert_eq!(faults.take(Err::<(), _>(ApiError::invalid("title: must be one line"))), None);
        assert_eq!(
            refused(faults),
            (Reason::InvalidRequest, vec!["date".to_owned(), "title".to_owned()])
        );
    }

    #[test]
    fn keeps_reason_when_no_field_is_malformed() {
        let rule = || ApiError::new(Reason::InvalidRecurrence, "recurrence.rrule: it never fires");
        let mut faults = Faults::default();
        faults.take(Err::<(), _>(rule()));
        assert_eq!(refused(faults).0, Reason::InvalidRecurrence);
        let mut faults = Faults::default();
        faults.take(Err::<(), _>(rule()));
        faults.required::<()>("message", None);
        assert_eq!(refused(faults).0, Reason::InvalidRequest);
    }
}
