//! Commands that tell notification-service about released or claimed occurrences whose notification
//! was changed or deleted: a delivery may still be pending there, for the end of quiet hours or of
//! a provider's outage, or be on its way there.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contract::{
    Envelope, Event, EventType, Reason, RevisionData, Schema, bounds::MAX_REVISED, event_id_of,
    occurrence_id,
};
use service::outbox::OutboxMessage;
use sqlx::PgConnection;

use crate::usecases::apply_events::{ApplyError, ChangedNotification};

pub(crate) async fn insert_for(
    connection: &mut PgConnection,
    changes: &[ChangedNotification<'_>],
) -> Result<(), ApplyError> {
    let mut commands = Vec::new();
    for changed in changes {
        let Some(known) = changed.known else { continue };
        let (kept, taken): (Vec<_>, Vec<_>) =
            known.released.iter().copied().partition(|due| changed.plan.still_includes(*due));
        for (part, due) in kept.chunks(MAX_REVISED).enumerate() {
            commands.push(command(changed, None, due, part)?);
        }
        let mut by_reason = BTreeMap::<Reason, Vec<DateTime<Utc>>>::new();
        for due in taken {
            let date = known.dates.get(&due).copied();
            let reason = changed.plan.cancellation_reason(due, date);
            by_reason.entry(reason).or_default().push(due);
        }
        let parts = by_reason
            .iter()
            .flat_map(|(reason, due)| due.chunks(MAX_REVISED).map(move |due| (*reason, due)));
        for (part, (reason, due)) in parts.enumerate() {
            commands.push(command(changed, Some(reason), due, part)?);
        }
    }
    insert(connection, &commands).await
}

/// Builds the command for a part of the occurrences that fits into one message. They are cancelled
/// for a reason, or get new content.
fn command(
    changes: &ChangedNotification<'_>,
    cancelled: Option<Reason>,
    due: &[DateTime<Utc>],
    part: usize,
) -> Result<OutboxMessage, serde_json::Error> {
    let cause: &Envelope = changes.plan.event;
    let source = changes.source.as_str();
    let content = changes.plan.data().filter(|_| cancelled.is_none());
    let event_type = match cancelled {
        None => EventType::NotificationUpdate,
        Some(_) => EventType::NotificationDelete,
    };
    let data = RevisionData {
        source: source.to_owned(),
        occurrences: due
            .iter()
            .map(|due| occurrence_id(source, cause.item_id.as_str(), *due).simple())
            .collect(),
        content: content.map(|data| data.content.clone()),
        reason: cancelled.map(Into::into),
    };
    let event = Event {
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
    };
    OutboxMessage::of(&event)
}

/// Inserts commands, which the scheduler publishes on the notification topic.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    commands: &[OutboxMessage],
) -> Result<(), ApplyError> {
    if commands.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = commands.iter().map(|command| command.event_id).collect();
    let bodies: Vec<&str> = commands.iter().map(|command| command.message.body.as_str()).collect();
    let attributes: Vec<serde_json::Value> =
        commands.iter().map(|command| serde_json::json!(command.message.attributes)).collect();
    sqlx::query!(
        "insert into commands (event_id, body, attributes)
         select * from unnest($1::uuid[], $2::text[], $3::jsonb[])
         on conflict (event_id) do nothing",
        &ids,
        &bodies as &[&str],
        &attributes,
    )
    .execute(connection)
    .await?;
    Ok(())
}
