//! Effect of each entry of a calendar file on the reminders as they were read.

use std::{collections::HashMap, ops::ControlFlow};

use uuid::Uuid;

use super::{super::Error, ImportedEntry};
use crate::{
    domain::{
        calendar::{Counterpart, Identity, Note, Unchanged},
        caller::Caller,
        reminder::{Details, Reminder, Status},
    },
    store::Seen,
};

/// Effect of an entry.
#[derive(Debug)]
pub(super) enum Action {
    /// A reminder is created.
    Create(Box<Details>),
    /// The reminder gets the fields of the entry.
    Update {
        /// The reminder after the update.
        after: Box<Reminder>,
        /// `true` if its schedule changes.
        is_rescheduled: bool,
    },
    /// The reminder stays as it is.
    Keep {
        id: Uuid,
        /// Reason, unless the fields of both were compared and are equal.
        reason: Option<Unchanged>,
    },
}

/// Entries, and the reminders that they are compared with.
pub(super) struct Comparison<'a> {
    pub(super) entries: &'a [ImportedEntry],
    pub(super) counterparts: &'a [Option<Counterpart>],
    pub(super) stored: HashMap<Uuid, Seen<Reminder>>,
}

/// Ids of the reminders whose fields must be compared with those of their entries.
pub(super) fn compared(identities: &[Identity], counterparts: &[Option<Counterpart>]) -> Vec<Uuid> {
    let pairs = identities.iter().zip(counterparts);
    pairs
        .filter_map(|(identity, counterpart)| Some((identity, counterpart.as_ref()?)))
        .filter(|(identity, counterpart)| identity.compare(counterpart).is_continue())
        .map(|(_, counterpart)| counterpart.reminder_id)
        .collect()
}

impl Comparison<'_> {
    /// Plans the effect of each entry, or its refusal.
    pub(super) fn actions(mut self, caller: &Caller) -> Vec<Result<Action, Error>> {
        let compared = self.entries.iter().zip(self.counterparts);
        let action = |(imported, counterpart): (&ImportedEntry, &Option<_>)| {
            imported.action(counterpart.as_ref(), &mut self.stored, caller)
        };
        compared.map(action).collect()
    }
}

impl ImportedEntry {
    fn action(
        &self,
        counterpart: Option<&Counterpart>,
        stored: &mut HashMap<Uuid, Seen<Reminder>>,
        caller: &Caller,
    ) -> Result<Action, Error> {
        if let Some(counterpart) = counterpart
            && let ControlFlow::Break(reason) = self.identity.compare(counterpart)
        {
            return Ok(Action::Keep { id: counterpart.reminder_id, reason: Some(reason) });
        }
        let details = self.details.clone()?;
        let stored = counterpart.and_then(|found| stored.remove(&found.reminder_id));
        let Some(Seen { value: before, now }) = stored else {
            caller.check_channels(&details.channels)?;
            return Ok(Action::Create(Box::new(details)));
        };
        let keeps_schedule = counterpart.is_some_and(|found| self.identity.keeps_schedule(found));
        let mut after = before.clone();
        after.details = self.entry.over(&before.details, details, keeps_schedule);
        if after.details == before.details {
            return Ok(Action::Keep { id: before.id, reason: None });
        }
        caller.check_channels(&after.details.channels)?;
        let is_rescheduled = !after.details.schedule.has_times_of(&before.details.schedule);
        if is_rescheduled {
            if after.details.schedule.status(now) == Status::Completed {
                return Err(Error::NoDeliveryAhead);
            }
            after.start_new_schedule(&before.details.schedule, now);
        }
        Ok(Action::Update { after: Box::new(after), is_rescheduled })
    }
}

/// Notes of the entries whose reminders come from newer versions.
pub(super) fn older_versions(
    entries: &[ImportedEntry],
    actions: &[Result<Action, Error>],
) -> Vec<Note> {
    let note = |(imported, action): (&ImportedEntry, &_)| match action {
        Ok(Action::Keep { reason: Some(Unchanged::OlderVersion), .. }) => Some(Note {
            line: imported.entry.line,
            uid: imported.entry.uid.clone(),
            text: "the reminder comes from a newer version of this entry and was left unchanged"
                .to_owned(),
        }),
        _ => None,
    };
    entries.iter().zip(actions).filter_map(note).collect()
}
