//! The event catalogue: adds events, and reads them by filter, newest first.

use chrono::{DateTime, Utc};
use contract::Envelope;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::page::{self, Page};

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

/// Returns a page of events, newest first, of at most `limit` events and [`super::PAGE_BYTES`].
///
/// # Errors
/// If the query fails.
pub async fn events(
    pool: &PgPool,
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
    .fetch(pool);
    page::collect_page(found, limit, |row| page::bytes_of(&row.data)).await
}

/// Adds events, which are in the order of their times and ids, to the catalogue. Returns time and
/// id of those that it did not contain.
///
/// # Errors
/// If the statement fails.
pub async fn insert(
    connection: &mut PgConnection,
    events: &[&Envelope],
) -> Result<Vec<(DateTime<Utc>, Uuid)>, sqlx::Error> {
    let occurred: Vec<DateTime<Utc>> = events.iter().map(|event| event.occurred_at).collect();
    let ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
    let types: Vec<&str> = events.iter().map(|event| event.event_type.as_str()).collect();
    let items: Vec<&str> = events.iter().map(|event| event.item_id.as_str()).collect();
    let users: Vec<&str> = events.iter().map(|event| event.user_id.as_str()).collect();
    let versions: Vec<i64> = events.iter().map(|event| event.version).collect();
    let data: Vec<serde_json::Value> = events.iter().map(|event| event.data.clone()).collect();
    let new = sqlx::query!(
        "insert into events (occurred_at, event_id, event_type, item_id, user_id, version, data)
         select * from unnest($1::timestamptz[], $2::uuid[], $3::text[], $4::text[], $5::text[],
             $6::bigint[], $7::jsonb[])
         on conflict (occurred_at, event_id) do nothing
         returning occurred_at, event_id",
        &occurred,
        &ids,
        &types as &[&str],
        &items as &[&str],
        &users as &[&str],
        &versions,
        &data,
    )
    .fetch_all(connection)
    .await?;
    Ok(new.into_iter().map(|row| (row.occurred_at, row.event_id)).collect())
}

/// Returns those of some events of items that the catalogue contains, whatever their time.
///
/// # Errors
/// If the query fails.
pub async fn known_among(
    connection: &mut PgConnection,
    items: &[&str],
    ids: &[Uuid],
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select event_id from events where item_id = any($1) and event_id = any($2)",
        items as &[&str],
        ids,
    )
    .fetch_all(connection)
    .await
}
