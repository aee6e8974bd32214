//! Commands that tell notification-service about released or claimed occurrences whose notification
//! was changed or deleted: a delivery may still be pending there, for the end of quiet hours or of
//! a provider's outage, or be on its way there.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contract::{
    Envelope, Event, EventType, Reason, RevisionData, Schema, bounds::MAX_REVISED, event_id_of,
};

use super::changed_notification::ChangedNotification;

/// Builds the commands of changed notifications.
#[must_use]
pub fn revision_commands(changes: &[ChangedNotification<'_>]) -> Vec<Event<RevisionData>> {
    let mut commands = Vec::new();
    for changed in changes {
        let Some(known) = changed.known else { continue };
        let (kept, cancelled): (Vec<_>, Vec<_>) =
            known.released.iter().copied().partition(|due| changed.plan.still_includes(*due));
        for (part, due) in kept.chunks(MAX_REVISED).enumerate() {
            commands.push(command(changed, None, due, part));
        }
        let mut by_reason = BTreeMap::<Reason, Vec<DateTime<Utc>>>::new();
        for due in cancelled {
            by_reason.entry(changed.cancellation_reason(due)).or_default().push(due);
        }
        let parts = by_reason
            .iter()
            .flat_map(|(reason, due)| due.chunks(MAX_REVISED).map(move |due| (*reason, due)));
        for (part, (reason, due)) in parts.enumerate() {
            commands.push(command(changed, Some(reason), due, part));
        }
    }
    commands
}

/// Builds the command for a part of the occurrences that fits into one message. They are cancelled
/// for a reason, or get new content.
fn command(
    changed: &ChangedNotification<'_>,
    cancelled: Option<Reason>,
    due: &[DateTime<Utc>],
    part: usize,
) -> Event<RevisionData> {
    let cause: &Envelope = changed.plan.event;
    let source = changed.source.as_str();
    let content = changed.plan.data().filter(|_| cancelled.is_none());
    let event_type = match cancelled {
        None => EventType::NotificationUpdate,
        Some(_) => EventType::NotificationDelete,
    };
    let data = RevisionData {
        source: source.to_owned(),
        occurrences: due.iter().map(|due| changed.occurrence_id(*due).simple()).collect(),
        content: content.map(|data| data.content.clone()),
        reason: cancelled.map(Into::into),
    };
    Event {
        event_type,
        event_id: event_id_of(&format!(
            "{source}\n{}\n{}\n{event_type}\nreleased{part}",
            cause.item_id, cause.version
        )),
        occurred_at: cause.occurred_at,
        user_id: cause.user_id.clone(),
        user_email: cause.user_email.clone(),
        item_id: cause.item_id.clone(),
        version: cause.version,
        schema: Schema::V2,
        traceparent: cause.traceparent,
        data,
    }
}
