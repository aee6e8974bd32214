//! A notification that a batch changes.

use chrono::{DateTime, Utc};
use contract::{Reason, occurrence_id};
use uuid::Uuid;

use super::{
    identity::Source,
    plan::{Known, Plan},
};

/// Stored and new state of a notification that a batch changes.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangedNotification<'a> {
    /// Id of the notification.
    pub id: Uuid,
    /// Requester of the notification.
    pub source: Source,
    /// Stored state; `None` if the notification is new.
    pub known: Option<&'a Known>,
    /// New state.
    pub plan: Plan<'a>,
}

impl ChangedNotification<'_> {
    /// Returns the id of the occurrence at a time.
    #[must_use]
    pub fn occurrence_id(&self, due_at: DateTime<Utc>) -> Uuid {
        occurrence_id(self.source.as_str(), self.plan.event.item_id.as_str(), due_at)
    }

    /// Returns the reason why a stored occurrence at this time is cancelled.
    #[must_use]
    pub fn cancellation_reason(&self, due_at: DateTime<Utc>) -> Reason {
        self.plan.cancellation_reason(due_at, self.stored_date(due_at))
    }

    /// Returns the date of the instance that an occurrence at this time belongs to; `None` if
    /// neither the stored nor the new state has an occurrence then.
    #[must_use]
    pub fn date_of(&self, due_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.stored_date(due_at).or_else(|| self.plan.date_at(due_at))
    }

    fn stored_date(&self, due_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.known.and_then(|known| known.dates.get(&due_at).copied())
    }
}
