//! Commands that tell notification-service about released or claimed occurrences whose notification
//! was changed or deleted: a delivery may still be pending there, for the end of quiet hours or of
//! a provider's outage, or be on its way there.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contract::{
    Envelope, Event, EventType, NotifyContent, Reason, RevisionData, Schema, bounds::MAX_REVISED,
    event_id_of,
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
        let kept = by_content(changed, kept);
        let parts = kept
            .iter()
            .flat_map(|(content, due)| due.chunks(MAX_REVISED).map(move |due| (content, due)));
        for (part, (content, due)) in parts.enumerate() {
            commands.push(command(changed, Revised::Content(content), due, part));
        }
        let mut by_reason = BTreeMap::<Reason, Vec<DateTime<Utc>>>::new();
        for due in cancelled {
            by_reason.entry(changed.cancellation_reason(due)).or_default().push(due);
        }
        let parts = by_reason
            .iter()
            .flat_map(|(reason, due)| due.chunks(MAX_REVISED).map(move |due| (*reason, due)));
        for (part, (reason, due)) in parts.enumerate() {
            commands.push(command(changed, Revised::Cancelled(reason), due, part));
        }
    }
    commands
}

/// Effect of a change on released occurrences.
#[derive(Clone, Copy)]
enum Revised<'a> {
    Content(&'a NotifyContent),
    Cancelled(Reason),
}

/// Groups occurrences by their content: those without other texts, and each of the others.
fn by_content(
    changed: &ChangedNotification<'_>,
    due: Vec<DateTime<Utc>>,
) -> Vec<(NotifyContent, Vec<DateTime<Utc>>)> {
    let Some(data) = changed.plan.data() else { return Vec::new() };
    let mut by_date = BTreeMap::<Option<DateTime<Utc>>, Vec<DateTime<Utc>>>::new();
    for due in due {
        let date = changed.date_of(due);
        let has_other_texts =
            data.changed_occurrences.iter().any(|changed| Some(changed.date) == date);
        by_date.entry(date.filter(|_| has_other_texts)).or_default().push(due);
    }
    let content = |date| match date {
        Some(date) => data.content.clone().of_occurrence(date, &data.changed_occurrences),
        None => data.content.clone(),
    };
    by_date.into_iter().map(|(date, due)| (content(date), due)).collect()
}

/// Builds the command for a part of the occurrences that fits into one message. They are cancelled
/// for a reason, or get new content.
fn command(
    changed: &ChangedNotification<'_>,
    revised: Revised<'_>,
    due: &[DateTime<Utc>],
    part: usize,
) -> Event<RevisionData> {
    let cause: &Envelope = changed.plan.event;
    let source = changed.source.as_str();
    let (event_type, content, reason) = match revised {
        Revised::Content(content) => (EventType::NotificationUpdate, Some(content.clone()), None),
        Revised::Cancelled(reason) => (EventType::NotificationDelete, None, Some(reason.into())),
    };
    let data = RevisionData {
        source: source.to_owned(),
        occurrences: due.iter().map(|due| changed.occurrence_id(*due).simple()).collect(),
        content,
        reason,
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
