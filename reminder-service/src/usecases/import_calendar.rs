//! Creation of the reminders of a calendar file.

use contract::Channel;
use serde::Serialize;
use service::idempotency::IdempotencyKey;
use uuid::Uuid;

use super::{
    Answer, Error, Resources,
    accept_address::accept_address,
    create_reminders::{Batch, create_batch},
};
use crate::domain::{
    calendar::{Entry, Import, Note, Refused},
    caller::Origin,
    reminder::{Channels, Details, InvalidDetails},
};

/// Entries of a calendar file that are to be imported.
#[derive(Debug)]
pub struct CalendarImport {
    /// Entries, refused components and notes of the file.
    pub file: Import,
    /// Fields of the reminders that the entries become, in their order.
    pub details: Vec<Result<Details, InvalidDetails>>,
    /// `true` to create no reminder if an entry is refused.
    pub is_atomic: bool,
}

/// Result of an import.
#[derive(Debug)]
pub struct Imported {
    /// Entries with the ids of their reminders, or the reason of their refusal. If nothing was
    /// created, those that are not refused are left out.
    pub entries: Vec<(Entry, Result<Uuid, Error>)>,
    /// Components and lines of the file that were refused.
    pub refused: Vec<Refused>,
    /// Parts of entries that were left out.
    pub notes: Vec<Note>,
}

impl CalendarImport {
    /// Computes the reminders of the entries, which may take time.
    #[must_use]
    pub fn of(file: Import, is_atomic: bool) -> Self {
        let details = file.entries.iter().map(Entry::details).collect();
        Self { file, details, is_atomic }
    }

    /// Delivers by push the entries that would be delivered by e-mail because of their alarms.
    fn replace_email_alarms(&mut self, reason: &str) {
        for (entry, details) in self.file.entries.iter().zip(&mut self.details) {
            if let (Some(_), Ok(details)) = (entry.email_alarm, details) {
                details.channels = Channels::default();
            }
        }
        self.file.replace_email_alarms(reason);
    }
}

/// Creates the reminders of a calendar file once per idempotency key. `answer` makes the answer,
/// which is stored for the key if reminders are created.
///
/// # Errors
/// [`Error`]: no reminder was created.
pub async fn import_calendar<A: Serialize>(
    resources: &Resources,
    origin: &Origin,
    key: Option<&IdempotencyKey>,
    mut import: CalendarImport,
    answer: impl FnOnce(Imported) -> A,
) -> Result<Answer<A>, Error> {
    if import.file.has_email_alarms()
        && let Some(refusal) = refused_email(resources, origin).await?
    {
        import.replace_email_alarms(refusal.to_string().trim_start_matches("channels: "));
    }
    let CalendarImport { file: Import { entries, refused, notes }, details, is_atomic } = import;
    let details = details.into_iter().map(|details| details.map_err(Error::from)).collect();
    let decide = |results: Vec<_>| {
        let is_refused = !refused.is_empty() || results.iter().any(Result::is_err);
        let is_rolled_back = is_atomic && is_refused;
        let mut entries: Vec<_> = entries.into_iter().zip(results).collect();
        if is_rolled_back {
            entries.retain(|(_, result)| result.is_err());
        }
        let answer = answer(Imported { entries, refused, notes });
        if is_rolled_back { Batch::RollBack(answer) } else { Batch::Commit(answer) }
    };
    create_batch(resources, origin, key, details, decide).await
}

/// Reason for which the caller cannot be reached by e-mail; `None` if there is none.
async fn refused_email(resources: &Resources, origin: &Origin) -> Result<Option<Error>, Error> {
    let email = Channels::from_fields(Some(Channel::Email), None)?.unwrap_or_default();
    if let Err(unusable) = origin.caller.check_channels(&email) {
        return Ok(Some(unusable.into()));
    }
    match accept_address(resources, &origin.caller, &email).await {
        Err(refusal @ Error::TooManyAddresses { .. }) => Ok(Some(refusal)),
        accepted => accepted.map(|()| None),
    }
}
