//! Events that event-service publishes when a stored notification changes.

use serde_json::{Value, json};
use shared::{
    contract::{Event, EventType, Schema},
    outbox::OutboxMessage,
};

use crate::{
    identity::{Source, fact_id},
    plan::{Known, Outcome},
};

/// Returns the event that publishes a notification's new state; `None` if an unknown notification
/// is deleted.
pub(crate) fn fact(
    source: Source,
    known: Option<&Known>,
    outcome: &Outcome<'_>,
) -> Result<Option<OutboxMessage>, serde_json::Error> {
    let was_active = known.is_some_and(|known| known.active);
    let event_type = match (outcome.wanted, was_active) {
        (Some(_), false) => EventType::NotificationCreated,
        (Some(_), true) => EventType::NotificationUpdated,
        (None, true) => EventType::NotificationDeleted,
        (None, false) => return Ok(None),
    };
    let cause = outcome.event;
    let data: Value = outcome.data().map_or_else(|| Ok(json!({})), serde_json::to_value)?;
    let event = Event {
        event_type,
        event_id: fact_id(source, &cause.item_id, cause.version, event_type),
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
