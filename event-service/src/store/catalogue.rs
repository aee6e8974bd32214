//! Reads the catalogue by filter, newest first.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Store,
    page::{self, Page},
};

/// Filter of events.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Of this user.
    pub user_id: Option<String>,
    /// Of this item.
    pub item_id: Option<String>,
    /// Of this type.
    pub event_type: Option<String>,
    /// Not before.
    pub from: Option<DateTime<Utc>>,
    /// Before.
    pub to: Option<DateTime<Utc>>,
}

/// End of a page, from which the next page continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Time of the last event.
    pub occurred_at: DateTime<Utc>,
    /// Id of the last event.
    pub event_id: Uuid,
}

/// An event of the catalogue.
#[derive(Debug, Clone)]
pub struct EventRow {
    /// Time at which the event happened.
    pub occurred_at: DateTime<Utc>,
    /// Id of the event.
    pub event_id: Uuid,
    /// Type of the event.
    pub event_type: String,
    /// Item that the event concerns.
    pub item_id: String,
    /// User that the event concerns.
    pub user_id: String,
    /// The item's version.
    pub version: i64,
    /// `eventData`.
    pub data: serde_json::Value,
    /// Time at which event-service applied the event.
    pub received_at: DateTime<Utc>,
    /// The transaction that applied it.
    pub received_xid: i64,
}

impl Store {
    /// A page of events, newest first, of `limit` and of [`super::PAGE_BYTES`] at the most.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn events(
        &self,
        filter: &EventFilter,
        after: Option<Cursor>,
        limit: i64,
    ) -> Result<Page<EventRow>, sqlx::Error> {
        // Planned with its values each time (store.rs: SESSION), so that each combination of
        // filters finds its index.
        let found = sqlx::query_as!(
            EventRow,
            "select occurred_at, event_id, event_type, item_id, user_id, version, data,
                received_at, received_xid
             from events
             where ($1::text is null or user_id = $1) and ($2::text is null or item_id = $2)
                 and ($3::text is null or event_type = $3)
               and ($4::timestamptz is null or occurred_at >= $4)
                   and ($5::timestamptz is null or occurred_at < $5)
               and ($6::timestamptz is null or occurred_at <= $6)
               and ($6::timestamptz is null or (occurred_at, event_id) < ($6, $7::uuid))
             order by occurred_at desc, event_id desc limit $8",
            filter.user_id.as_deref(),
            filter.item_id.as_deref(),
            filter.event_type.as_deref(),
            filter.from,
            filter.to,
            after.map(|cursor| cursor.occurred_at),
            after.map(|cursor| cursor.event_id),
            limit,
        )
        .fetch(&self.pool);
        page::collect_page(found, limit, |row| page::bytes_of(&row.data)).await
    }
}
