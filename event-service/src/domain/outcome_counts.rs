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

#[cfg(test)]
mod tests {
    use contract::{Envelope, OutcomeData, Reason, Schema, new_id};
    use serde_json::json;

    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + chrono::TimeDelta::minutes(minute)
    }

    /// Outcome at a minute; a failure has the reason `BOUNCED`.
    fn outcome(state: DeliveryState, corrects: Option<DeliveryState>, minute: i64) -> Incoming {
        let data = OutcomeData {
            occurrence_id: Uuid::from_u128(1).simple(),
            source: "reminder".to_owned(),
            channel: None,
            device_id: None,
            state,
            corrects,
            republished: false,
            reason: (state == DeliveryState::Failed).then(|| Reason::Bounced.into()),
            attempts: 1,
            due_at: at(0),
            item_changed_at: None,
            at: at(minute),
            until: None,
            provider_message_id: None,
            deliveries: 2,
        };
        let event = Envelope {
            event_type: state.event_type().expect("a reported state"),
            event_id: new_id(),
            occurred_at: at(minute),
            user_id: "user-1".to_owned(),
            user_email: None,
            item_id: "a".parse().expect("an id"),
            version: 1,
            schema: Schema::V2,
            traceparent: None,
            data: json!({}),
        };
        Incoming { event, effect: Effect::Outcome { notification_id: Uuid::from_u128(2), data } }
    }

    #[test]
    fn counts_correction_in_any_order() {
        let sent = outcome(DeliveryState::Sent, None, 1);
        let corrected = outcome(DeliveryState::Failed, Some(DeliveryState::Sent), 5);
        for events in [[&sent, &corrected], [&corrected, &sent]] {
            let counts = OutcomeCounts::by_occurrence(&events);
            let counts = &counts[&Uuid::from_u128(1)];
            assert_eq!((counts.sent, counts.failed, counts.deliveries), (0, 1, 2));
            assert_eq!(counts.latest, Some((at(5), Some(Reason::Bounced.into()))));
        }
        let counts = OutcomeCounts::by_occurrence(&[&corrected]);
        assert_eq!(counts[&Uuid::from_u128(1)].sent, -1, "until the first outcome arrives");
    }

    #[test]
    fn counts_no_end_when_delivery_is_deferred() {
        let deferred = outcome(DeliveryState::Deferred, None, 1);
        let counts = OutcomeCounts::by_occurrence(&[&deferred]);
        let counts = &counts[&Uuid::from_u128(1)];
        assert_eq!((counts.sent, counts.failed, counts.suppressed), (0, 0, 0));
        assert_eq!((counts.deliveries, &counts.latest), (2, &None));
    }
}
