//! Changes of occurrences that follow from those of their notifications.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contract::Reason;
use uuid::Uuid;

use super::{changed_notification::ChangedNotification, plan::Delivery};

/// Occurrence of a changed notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedOccurrence {
    /// Notification that the occurrence belongs to.
    pub notification_id: Uuid,
    /// Time at which the occurrence is due.
    pub due_at: DateTime<Utc>,
    /// Date and expiry of the occurrence.
    pub delivery: Delivery,
}

/// Occurrences by id: rows are written in this order.
pub type PlannedOccurrences = BTreeMap<Uuid, PlannedOccurrence>;

/// Changes of the occurrences of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OccurrenceChanges {
    /// Occurrences that are created if they are missing, and made pending if they are cancelled.
    pub required: PlannedOccurrences,
    /// Occurrences that are only kept where they are pending.
    pub kept: PlannedOccurrences,
    /// Reasons of pending occurrences, in case they are cancelled.
    pub reasons: BTreeMap<Uuid, Reason>,
}

impl OccurrenceChanges {
    /// Collects the changes of the occurrences of changed notifications.
    #[must_use]
    pub fn of(changes: &[ChangedNotification<'_>]) -> Self {
        let mut occurrences = Self::default();
        for changed in changes {
            for (due_at, delivery) in &changed.plan.deliveries {
                let planned = PlannedOccurrence {
                    notification_id: changed.id,
                    due_at: *due_at,
                    delivery: *delivery,
                };
                let id = changed.occurrence_id(*due_at);
                if delivery.required {
                    occurrences.required.insert(id, planned);
                } else {
                    occurrences.kept.insert(id, planned);
                }
            }
            for due_at in changed.known.into_iter().flat_map(|known| &known.pending) {
                let reason = changed.cancellation_reason(*due_at);
                occurrences.reasons.insert(changed.occurrence_id(*due_at), reason);
            }
        }
        occurrences
    }

    /// Returns the ids of the occurrences that are not cancelled.
    #[must_use]
    pub fn remaining(&self) -> Vec<Uuid> {
        self.required.keys().chain(self.kept.keys()).copied().collect()
    }
}
