//! Events that event-service publishes when a stored notification changes.

use contract::{Envelope, Event, EventType, Schema};
use serde_json::{Value, json};

use super::{changed_notification::ChangedNotification, identity::notification_event_id};

/// Returns the event that publishes a notification's new state; `None` if an unknown notification
/// is deleted.
///
/// # Errors
/// If the notification cannot be written as JSON.
pub fn notification_event(
    changed: &ChangedNotification<'_>,
) -> Result<Option<Envelope>, serde_json::Error> {
    let plan = &changed.plan;
    let was_active = changed.known.is_some_and(|known| known.active);
    let event_type = match (plan.requested, was_active) {
        (Some(_), false) => EventType::NotificationCreated,
        (Some(_), true) => EventType::NotificationUpdated,
        (None, true) => EventType::NotificationDeleted,
        (None, false) => return Ok(None),
    };
    let cause = plan.event;
    let data: Value = plan.data().map_or_else(|| Ok(json!({})), serde_json::to_value)?;
    Ok(Some(Event {
        event_type,
        event_id: notification_event_id(changed.source, &cause.item_id, cause.version, event_type),
        occurred_at: cause.occurred_at,
        user_id: cause.user_id.clone(),
        user_email: cause.user_email.clone(),
        item_id: cause.item_id.clone(),
        version: cause.version,
        schema: Schema::V2,
        traceparent: cause.traceparent,
        data,
    }))
}
