//! History of a reminder: its events, its notifications and their occurrences.

use contract::ItemId;
use sqlx::PgPool;

use crate::{
    domain::identity::{Source, notification_id},
    store::{
        Page,
        catalogue::{self, EventFilter, EventRow},
        notifications::{self, NotificationRow, OccurrenceRow},
    },
};

/// Largest number of events that are read: the newest ones, fewer if they are large.
const EVENTS: i64 = 1_000;
/// Largest number of occurrences that are read of one notification: the newest ones.
const OCCURRENCES: i64 = 10_000;

/// Stored history of a reminder.
#[derive(Debug, Clone)]
pub struct Timeline {
    /// Events, newest first.
    pub events: Page<EventRow>,
    /// Notifications of every source that uses the reminder's id.
    pub notifications: Vec<NotificationRow>,
    /// Occurrences of the notifications, in order of time.
    pub occurrences: Vec<OccurrenceRow>,
}

/// Reads the history of a reminder; `None` if nothing of it is stored.
///
/// # Errors
/// If a query fails.
pub async fn read_timeline(
    pool: &PgPool,
    reminder_id: &ItemId,
) -> Result<Option<Timeline>, sqlx::Error> {
    let filter =
        EventFilter { item_id: Some(reminder_id.as_str().to_owned()), ..EventFilter::default() };
    let events = catalogue::events(pool, &filter, None, EVENTS).await?;
    let ids = Source::ALL.map(|source| notification_id(source, reminder_id));
    let notifications = notifications::by_ids(pool, &ids).await?;
    let occurrences = notifications::occurrences_of(pool, &ids, OCCURRENCES).await?;
    let is_unknown = events.rows.is_empty() && notifications.is_empty() && occurrences.is_empty();
    Ok((!is_unknown).then_some(Timeline { events, notifications, occurrences }))
}
