//! Collection of all faults of a body or a query, so that one answer names all of them.

use service::http::{ApiError, FieldFault, Reason};

use super::json::MAX_FAULTS;

/// Faults of the fields of one request.
#[derive(Debug, Default)]
pub struct Faults {
    /// Faults of form: `INVALID_REQUEST`.
    malformed: Vec<FieldFault>,
    /// Faults of fields of the right form, with other reasons.
    invalid: Vec<FieldFault>,
    /// Reason of the first fault in `invalid`.
    reason: Option<Reason>,
}

impl Faults {
    /// Begins with the faults that were found when the request was parsed.
    #[must_use]
    pub fn begin(faults: Vec<FieldFault>) -> Self {
        Self { malformed: faults, ..Self::default() }
    }

    /// Returns the value of a field, or records its fault.
    pub fn take<T>(&mut self, field: Result<T, impl Into<ApiError>>) -> Option<T> {
        match field {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(error.into());
                None
            }
        }
    }

    /// Returns the value of a required field, or records that it is missing.
    pub fn required<T>(&mut self, field: &'static str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.add(ApiError::field(Reason::InvalidRequest, field, "is required"));
        }
        value
    }

    /// Returns `true` if a field, a part of it, or the field that contains it has a fault.
    #[must_use]
    pub fn has(&self, field: &str) -> bool {
        self.malformed
            .iter()
            .chain(&self.invalid)
            .any(|fault| contains(&fault.field, field) || contains(field, &fault.field))
    }

    /// Returns the value if there are no faults.
    ///
    /// # Errors
    /// All faults, those of form first: `INVALID_REQUEST` if there is one of form, else the reason
    /// of the first.
    pub fn or<T>(self, value: Option<T>) -> Result<T, ApiError> {
        let Self { mut malformed, invalid, reason } = self;
        let reason = reason.filter(|_| malformed.is_empty()).unwrap_or(Reason::InvalidRequest);
        malformed.extend(invalid);
        match value {
            Some(value) if malformed.is_empty() => Ok(value),
            _ => {
                malformed.truncate(MAX_FAULTS);
                Err(ApiError::faults(reason, malformed))
            }
        }
    }

    fn add(&mut self, error: ApiError) {
        // A field that was left out because of one fault is not missing as well.
        let fresh: Vec<_> =
            error.details.into_iter().filter(|fault| !self.has(&fault.field)).collect();
        if fresh.is_empty() {
            return;
        }
        if error.reason == Reason::InvalidRequest {
            self.malformed.extend(fresh);
        } else {
            self.reason = self.reason.or(Some(error.reason));
            self.invalid.extend(fresh);
        }
    }
}

/// Returns `true` if the path of a field is another path or begins with it.
pub(super) fn contains(outer: &str, inner: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(faults: Faults) -> (Reason, Vec<String>) {
        let error = faults.or(Some(())).expect_err("faults");
        (error.reason, error.details.into_iter().map(|fault| fault.field).collect())
    }

    fn never_fires() -> ApiError {
        ApiError::field(Reason::InvalidRecurrence, "recurrence.rrule", "must yield an occurrence")
    }

    #[test]
    fn names_every_field_once() {
        let mut faults = Faults::begin(vec![
            FieldFault::new("date", "must be text, not a whole number"),
            FieldFault::new("notifyOffsets[1]", "must be a whole number, not text"),
        ]);
        assert_eq!(faults.required::<()>("date", None), None);
        for message in ["title: must be one line", "notifyOffsets: must have 1 to 5 entries"] {
            assert_eq!(faults.take(Err::<(), _>(ApiError::invalid(message))), None);
        }
        let fields = ["date", "notifyOffsets[1]", "title"].map(str::to_owned);
        assert_eq!(refused(faults), (Reason::InvalidRequest, fields.to_vec()));
    }

    #[test]
    fn keeps_reason_when_no_field_is_malformed() {
        let mut faults = Faults::default();
        faults.take(Err::<(), _>(never_fires()));
        assert_eq!(refused(faults).0, Reason::InvalidRecurrence);
    }

    #[test]
    fn names_malformed_fields_first() {
        let mut faults = Faults::default();
        faults.take(Err::<(), _>(never_fires()));
        faults.required::<()>("message", None);
        let fields = ["message", "recurrence.rrule"].map(str::to_owned);
        assert_eq!(refused(faults), (Reason::InvalidRequest, fields.to_vec()));
    }

    #[test]
    fn names_bounded_number_of_faults() {
        let faults = (0..100).map(|number| FieldFault::new(format!("f{number}"), "unknown field"));
        assert_eq!(refused(Faults::begin(faults.collect())).1.len(), MAX_FAULTS);
    }
}
