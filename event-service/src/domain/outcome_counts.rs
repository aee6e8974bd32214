//! Outcomes of deliveries, counted by occurrence.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contract::{DeliveryState, ReasonCode};
use uuid::Uuid;

use super::incoming::{Effect, Incoming};

/// Outcomes of one occurrence in a batch, independent of their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomeCounts {
    /// Notification that the occurrence belongs to.
    pub notification_id: Uuid,
    /// Time at which the occurrence is due.
    pub due_at: DateTime<Utc>,
    /// Number of deliveries that a provider accepted.
    pub sent: i32,
    /// Number of deliveries that failed.
    pub failed: i32,
    /// Number of deliveries that were suppressed.
    pub suppressed: i32,
    /// Number of all deliveries of the occurrence.
    pub deliveries: i32,
    /// Time and reason of the latest outcome.
    pub latest: Option<(DateTime<Utc>, Option<ReasonCode>)>,
}

impl OutcomeCounts {
    /// Counts the outcomes among events, by the id of their occurrence.
    #[must_use]
    pub fn by_occurrence(events: &[&Incoming]) -> BTreeMap<Uuid, Self> {
        let mut counts = BTreeMap::new();
        for event in events {
            let Effect::Outcome { notification_id, data } = &event.effect else { continue };
            let outcomes = counts.entry(data.occurrence_id.into_uuid()).or_insert_with(|| Self {
                notification_id: *notification_id,
                due_at: data.due_at,
                sent: 0,
                failed: 0,
                suppressed: 0,
                deliveries: 0,
                latest: None,
            });
            outcomes.deliveries = outcomes.deliveries.max(data.deliveries);
            let Some(ended) = outcomes.ended_as(data.state) else { continue };
            *ended += 1;
            // The corrected outcome may arrive later than its correction: until then its count is
            // negative, and the sum is right.
            if let Some(before) = data.corrects.and_then(|state| outcomes.ended_as(state)) {
                *before -= 1;
            }
            outcomes.latest = outcomes.latest.take().max(Some((data.at, data.reason.clone())));
        }
        counts
    }

    /// Returns the count of deliveries with this final state.
    fn ended_as(&mut self, state: DeliveryState) -> Option<&mut i32> {
        match state {
            DeliveryState::Sent => Some(&mut self.sent),
            DeliveryState::Failed => Some(&mut self.failed),
            DeliveryState::Suppressed => Some(&mut self.suppressed),
            DeliveryState::Pending | DeliveryState::Deferred => None,
        }
    }
}
