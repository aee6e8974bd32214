//! Erasure of users: the data that precedes one, and its command for notification-service.

use chrono::{DateTime, TimeDelta, Utc};
use contract::{ErasedData, Event, EventType, ITEM_USER, ItemId, Schema, event_id_of};
use uuid::Uuid;

use super::incoming::{Effect, Incoming};

/// Time after an erasure for which the last events of devices may be under way, because
/// notification-service erases the devices later.
const DEVICES_LINGER: TimeDelta = TimeDelta::minutes(10);

/// Event of an erased user in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Time of the event.
    pub occurred_at: DateTime<Utc>,
    /// Id of the event.
    pub event_id: Uuid,
    /// Name of the event's type, which this version may not know.
    pub event_type: String,
    /// Time at which the delivery of an outcome was requested, as a text.
    pub item_changed_at: Option<String>,
    /// Due time of an outcome's occurrence, as a text.
    pub due_at: Option<String>,
}

impl StoredEvent {
    /// Returns `true` if the event precedes an erasure.
    #[must_use]
    pub fn precedes(&self, erased_at: DateTime<Utc>) -> bool {
        let time = |text: &Option<String>| {
            text.as_deref().and_then(|text| text.parse::<DateTime<Utc>>().ok())
        };
        let due_at = || time(&self.due_at).map(|due_at| due_at.min(self.occurred_at));
        let requested_at = time(&self.item_changed_at).or_else(due_at);
        let event_type = self.event_type.parse().unwrap_or(EventType::UserErased);
        precedes(event_type, self.occurred_at, requested_at, erased_at)
    }
}

/// Returns `true` if a received event precedes the erasure of its user.
#[must_use]
pub fn precedes_erasure(event: &Incoming, erased_at: DateTime<Utc>) -> bool {
    let occurred_at = event.event.occurred_at;
    let requested_at = match &event.effect {
        Effect::Outcome { data, .. } => {
            Some(data.item_changed_at.unwrap_or(data.due_at.min(occurred_at)))
        }
        _ => None,
    };
    precedes(event.event.event_type, occurred_at, requested_at, erased_at)
}

/// Returns `true` if an event precedes an erasure. An outcome belongs to the time at which its
/// delivery was requested (`requested_at`), however much later the delivery was made. In messages
/// of 2.0.0, which lack that time, it is the earlier of the due time and the outcome's own.
fn precedes(
    event_type: EventType,
    occurred_at: DateTime<Utc>,
    requested_at: Option<DateTime<Utc>>,
    erased_at: DateTime<Utc>,
) -> bool {
    match event_type {
        _ if event_type.is_outcome() => requested_at.unwrap_or(occurred_at) <= erased_at,
        EventType::DeviceRemoved | EventType::DeviceInvalidated => {
            occurred_at <= erased_at + DEVICES_LINGER
        }
        _ => occurred_at <= erased_at,
    }
}

/// Returns the command that erases the user in notification-service, which consumes the
/// notification topic only.
#[must_use]
pub fn erasure_command(event: &Incoming, receipt: &ItemId) -> Event<ErasedData> {
    Event {
        event_type: EventType::UserErased,
        event_id: event_id_of(&format!("{ITEM_USER}\n{receipt}\n{}", EventType::UserErased)),
        occurred_at: event.event.occurred_at,
        user_id: event.event.user_id.clone(),
        user_email: None,
        item_id: receipt.clone(),
        version: event.event.version,
        schema: Schema::V2,
        traceparent: event.event.traceparent,
        data: ErasedData { receipt_id: receipt.clone() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    fn stored(event_type: &str, minute: i64) -> StoredEvent {
        StoredEvent {
            occurred_at: at(minute),
            event_id: Uuid::nil(),
            event_type: event_type.to_owned(),
            item_changed_at: None,
            due_at: None,
        }
    }

    #[test]
    fn erases_events_until_time_of_erasure() {
        for event_type in ["reminder:created", "of a later version"] {
            assert!(stored(event_type, 60).precedes(at(60)), "{event_type}");
            assert!(!stored(event_type, 61).precedes(at(60)), "{event_type}");
        }
        assert!(stored("device:removed", 70).precedes(at(60)), "devices are erased later");
        assert!(!stored("device:removed", 71).precedes(at(60)));
        assert!(!stored("device:registered", 61).precedes(at(60)));
    }

    #[test]
    fn erases_outcomes_by_time_of_request() {
        let text = |minute| Some(at(minute).to_rfc3339());
        let sent = stored("notification:sent", 90);
        let requested = |item_changed_at, due_at| {
            StoredEvent { item_changed_at, due_at, ..sent.clone() }.precedes(at(60))
        };
        assert!(requested(text(60), text(80)));
        assert!(!requested(text(61), text(50)), "the time of the request decides");
        assert!(requested(None, text(60)), "of 2.0.0, due before the erasure");
        assert!(!requested(None, text(61)));
        assert!(!requested(None, None));
    }
}
