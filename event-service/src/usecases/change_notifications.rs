//! Changes of notifications: stores each in its newest version, with its occurrences, the commands
//! about released ones, and the event that publishes the change.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use contract::Envelope;
use db::wake::LONGEST_SLEEP;
use service::outbox::OutboxMessage;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Error;
use crate::{
    domain::{
        changed_notification::ChangedNotification,
        identity::Source,
        incoming::{Change, Effect, Incoming},
        notification_event::notification_event,
        occurrence_changes::OccurrenceChanges,
        plan,
        revision_commands::revision_commands,
    },
    store::{commands, notification_versions, occurrences},
};

/// Time within which a scheduler that is asleep may miss a new occurrence: twice its longest sleep.
const NEAR_FUTURE: TimeDelta = TimeDelta::seconds(2 * LONGEST_SLEEP.as_secs().cast_signed());

/// Changes of a batch by notification: its source and the changes.
type Items<'a> = BTreeMap<Uuid, (Source, Vec<(&'a Envelope, &'a Change)>)>;

/// Result of a change.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// Messages to publish.
    pub(super) messages: Vec<OutboxMessage>,
    /// `true` if an occurrence is due soon, so that schedulers must not sleep.
    pub(super) is_due_soon: bool,
}

/// Applies the changes of notifications among new events.
pub(super) async fn change(
    connection: &mut PgConnection,
    new: &[&Incoming],
) -> Result<Changed, Error> {
    let items = items(new);
    if items.is_empty() {
        return Ok(Changed::default());
    }
    let ids: Vec<Uuid> = items.keys().copied().collect();
    let (known, now) = notification_versions::lock(connection, &ids).await?;
    let changes = items.into_iter().filter_map(|(id, (source, events))| {
        let known = known.get(&id);
        plan::merge(known, events, now).map(|plan| ChangedNotification { id, source, known, plan })
    });
    let mut changes: Vec<ChangedNotification<'_>> = changes.collect();
    let upserted = notification_versions::upsert(connection, &changes).await?;
    // Another replica has created a notification that was unknown here a moment ago, and its
    // occurrences may be claimed by now. If its version is older, the changes of these occurrences
    // have to be planned again.
    if upserted.replaced.iter().any(|id| !known.contains_key(id)) {
        return Err(Error::CreatedMeanwhile);
    }
    // If its version is newer, nothing is to be done.
    changes.retain(|changed| upserted.written.contains(&changed.id));
    let planned = OccurrenceChanges::of(&changes);
    change_occurrences(connection, &planned, &upserted.replaced).await?;
    let mut required = planned.required.values();
    let is_due_soon = required.any(|occurrence| occurrence.due_at < now + NEAR_FUTURE);
    let messages =
        revision_commands(&changes).iter().map(OutboxMessage::of).collect::<Result<Vec<_>, _>>()?;
    commands::insert(connection, &messages).await?;
    let mut messages = Vec::new();
    for changed in &changes {
        if let Some(event) = notification_event(changed)? {
            messages.push(OutboxMessage::of(&event)?);
        }
    }
    Ok(Changed { messages, is_due_soon })
}

/// Groups the changes of notifications by notification.
fn items<'a>(new: &[&'a Incoming]) -> Items<'a> {
    let mut items = Items::new();
    for event in new {
        if let Effect::Notification { source, id, change } = &event.effect {
            let (_, changes) = items.entry(*id).or_insert_with(|| (*source, Vec::new()));
            changes.push((&event.event, change));
        }
    }
    items
}

/// Cancels occurrences that are no longer required, and creates those that are or makes them
/// pending again. Released occurrences and those with an outcome stay unchanged.
async fn change_occurrences(
    connection: &mut PgConnection,
    planned: &OccurrenceChanges,
    replaced: &[Uuid],
) -> Result<(), sqlx::Error> {
    if !replaced.is_empty() {
        let remaining = planned.remaining();
        occurrences::cancel(connection, replaced, &remaining, &planned.reasons).await?;
    }
    occurrences::create(connection, &planned.required).await?;
    occurrences::adjust(connection, &planned.kept).await
}
