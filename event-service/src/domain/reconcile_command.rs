//! Commands that ask notification-service about released occurrences without an outcome.

use chrono::{DateTime, Utc};
use contract::{
    ChangedOccurrence, Event, EventType, ItemId, MalformedId, NotifyContent, ReconcileData, Schema,
    SendData, Unknown, event_id_of,
};
use uuid::Uuid;

/// Released occurrence without an outcome, with its notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsettledOccurrence {
    /// Id of the occurrence.
    pub id: Uuid,
    /// Time at which the occurrence was due.
    pub due_at: DateTime<Utc>,
    /// Date of the instance.
    pub date: DateTime<Utc>,
    /// Time after which the occurrence is no longer sent.
    pub expires_at: DateTime<Utc>,
    /// `true` if that time has passed.
    pub expired: bool,
    /// Number of questions so far.
    pub asked: i32,
    /// Source of the notification.
    pub source: String,
    /// Item that the notification belongs to, as it is stored.
    pub item_id: String,
    /// User who is notified.
    pub user_id: String,
    /// E-mail address of the user, if it is known.
    pub user_email: Option<String>,
    /// Version of the item.
    pub version: i64,
    /// Time of that version.
    pub item_changed_at: DateTime<Utc>,
    /// Content as JSON; `None` if the notification is deleted.
    pub content: Option<String>,
    /// Occurrences with other texts as JSON, if there are any.
    pub changed_occurrences: Option<String>,
    /// Trace of the notification's newest version.
    pub traceparent: Option<String>,
    /// Time of the database.
    pub now: DateTime<Utc>,
}

/// Reason why this version cannot read a stored notification.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The id of the item is malformed.
    #[error("the stored id of the item is malformed")]
    ItemId(#[from] MalformedId),
    /// The content does not match.
    #[error("the stored content is unreadable")]
    Content(#[from] serde_json::Error),
}

/// Builds the command that asks about an occurrence. A repeated question has the same event id.
///
/// # Errors
/// [`Unreadable`]: a newer version wrote the notification.
pub fn reconcile_command(
    unsettled: &UnsettledOccurrence,
) -> Result<Event<ReconcileData>, Unreadable> {
    let item_id: ItemId = unsettled.item_id.parse()?;
    // An expired occurrence is not sent any more, whatever its content is.
    let content = unsettled
        .content
        .as_deref()
        .filter(|_| !unsettled.expired)
        .map(serde_json::from_str::<NotifyContent>);
    let changed = unsettled.changed_occurrences.as_deref().map(serde_json::from_str);
    let changed: Vec<ChangedOccurrence> = changed.transpose()?.unwrap_or_default();
    let send = content.transpose()?.map(|content| SendData {
        occurrence_id: unsettled.id.simple(),
        source: unsettled.source.clone(),
        item_id: item_id.clone(),
        due_at: unsettled.due_at,
        date: unsettled.date,
        expires_at: unsettled.expires_at,
        item_changed_at: Some(unsettled.item_changed_at),
        as_of: None,
        ended: None,
        content: content.of_occurrence(unsettled.date, &changed),
    });
    let otherwise =
        if unsettled.content.is_some() { Unknown::LostInTransit } else { Unknown::Cancelled };
    let event_type = EventType::NotificationReconcile;
    let data = ReconcileData {
        occurrence_id: unsettled.id.simple(),
        source: unsettled.source.clone(),
        due_at: unsettled.due_at,
        send,
        otherwise,
    };
    let id = format!("{}\n{event_type}\n{}", unsettled.id.simple(), unsettled.asked);
    Ok(Event {
        event_type,
        event_id: event_id_of(&id),
        occurred_at: unsettled.now,
        user_id: unsettled.user_id.clone(),
        user_email: unsettled.user_email.clone(),
        item_id,
        version: unsettled.version,
        schema: Schema::V2,
        traceparent: unsettled.traceparent.as_deref().and_then(|text| text.parse().ok()),
        data,
    })
}
