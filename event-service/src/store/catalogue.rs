//! Reads the catalogue: by filter, newest first, and as it grows.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Store;

/// Which events.
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

/// Where a page ended: the next one goes on below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The last event's time.
    pub occurred_at: DateTime<Utc>,
    /// Its id.
    pub event_id: Uuid,
}

/// Where a stream is: everything up to it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamPosition {
    /// The transaction that wrote the last event seen.
    pub xid: i64,
    /// The last event seen.
    pub event_id: Uuid,
}

/// What was applied when a stream was opened: a snapshot of PostgreSQL's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied(String);

/// An event of the catalogue.
#[derive(Debug, Clone)]
pub struct EventRow {
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// Its identity.
    pub event_id: Uuid,
    /// What it tells or commands.
    pub event_type: String,
    /// The item it concerns.
    pub item_id: String,
    /// The user it concerns.
    pub user_id: String,
    /// The item's version.
    pub version: i64,
    /// `eventData`.
    pub data: serde_json::Value,
    /// When it was applied here.
    pub received_at: DateTime<Utc>,
    /// The transaction that applied it.
    pub received_xid: i64,
}

impl Store {
    /// A page of events, newest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn events(
        &self,
        filter: &EventFilter,
        after: Option<Cursor>,
        limit: i64,
    ) -> Result<Vec<EventRow>, sqlx::Error> {
        // Planned with its values each time (store.rs: SESSION), so that each combination of filters finds its index.
        sqlx::query_as!(
            EventRow,
            "select occurred_at, event_id, event_type, item_id, user_id, version, data, received_at, received_xid
             from events
             where ($1::text is null or user_id = $1) and ($2::text is null or item_id = $2) and ($3::text is null or event_type = $3)
               and ($4::timestamptz is null or occurred_at >= $4) and ($5::timestamptz is null or occurred_at < $5)
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
        .fetch_all(&self.pool)
        .await
    }

    /// The position from which a stream shows what is applied from now on, and the snapshot of what was applied already: while
    /// other transactions are open, some of that lies behind the position.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn stream_start(&self) -> Result<(StreamPosition, Applied), sqlx::Error> {
        let row = sqlx::query!(
            r#"select pg_snapshot_xmin(snapshot)::text::bigint as "xid!", snapshot::text as "snapshot!"
               from pg_current_snapshot() as snapshot"#
        )
        .fetch_one(&self.pool)
        .await?;
        Ok((StreamPosition { xid: row.xid, event_id: Uuid::nil() }, Applied(row.snapshot)))
    }

    /// Events that any replica applied after a position, in the order of their transactions. It stops short of the
    /// oldest transaction that is still open: none that commits late is passed over. What was `already` applied is left out.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn events_after(
        &self,
        filter: &EventFilter,
        position: StreamPosition,
        already: Option<&Applied>,
        limit: i64,
    ) -> Result<Vec<EventRow>, sqlx::Error> {
        sqlx::query_as!(
            EventRow,
            "select occurred_at, event_id, event_type, item_id, user_id, version, data, received_at, received_xid
             from events
             where received_xid >= $1 and (received_xid, event_id) > ($1, $2)
               and received_xid < (select pg_snapshot_xmin(pg_current_snapshot())::text::bigint)
               and ($3::text is null or user_id = $3) and ($4::text is null or item_id = $4) and ($5::text is null or event_type = $5)
               and ($7::text is null or not pg_visible_in_snapshot(received_xid::text::xid8, $7::text::pg_snapshot))
             order by received_xid, event_id limit $6",
            position.xid,
            position.event_id,
            filter.user_id.as_deref(),
            filter.item_id.as_deref(),
            filter.event_type.as_deref(),
            limit,
            already.map(|it| it.0.as_str()),
        )
        .fetch_all(&self.pool)
        .await
    }
}
