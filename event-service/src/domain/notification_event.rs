//! Events that event-service publishes when a stored notification changes.

use contract::{Event, EventType, Schema};
use serde_json::{Value, json};
use service::outbox::OutboxMessage;

use super::{
    identity::{Source, notification_event_id},
    plan::{Known, Plan},
};

/// Returns the event that publishes a notification's new state; `None` if an unknown notification
/// is deleted.
pub(crate) fn notification_event(
    source: Source,
    known: Option<&Known>,
    plan: &Plan<'_>,
) -> Result<Option<OutboxMessage>, serde_json::Error> {
    let was_active = known.is_some_and(|known| known.active);
    let event_type = match (plan.requested, was_active) {
        (Some(_), false) => EventType::NotificationCreated,
        (Some(_), true) => EventType::NotificationUpdated,
        (None, true) => EventType::NotificationDeleted,
        (None, false) => return Ok(None),
    };
    let cause = plan.event;
    let data: Value = plan.data().map_or_else(|| Ok(json!({})), serde_json::to_value)?;
    let event = Event {
        event_type,
        event_id: notification_event_id(source, &cause.item_id, cause.version, event_type),
        occurred_at: cause.occurred_at,
        user_id: cause.user_id.clone(),
        user_email: cause.user_email.clone(),
        item_id: cause.item_id.clone(),
        version: cause.version,
        schema: Schema::V2,
        traceparent: cause.traceparent,
        data,
    };
    OutboxMessage::of(&event).map(Some)
}
