//! Reads the catalogue as it grows, in the order of the transactions that applied the events.
//!
//! Two bounded statements: a scan of the events that were applied after a position, whether they
//! pass the filter or not, and a read of those that pass, a few at a time. The position advances
//! with the scan, so a stream whose filter nothing passes reads nothing twice.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use super::catalogue::{EventFilter, EventRow};

/// Largest number of events that one scan passes over.
pub const SCAN_LIMIT: i64 = 1_000;

/// Position of a stream: every event up to it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamPosition {
    /// Transaction that wrote the last event read.
    pub xid: i64,
    /// Id of the last event read.
    pub event_id: Uuid,
}

/// Snapshot of PostgreSQL: the events that were applied when a stream was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedSnapshot {
    snapshot: String,
    /// First transaction that is not part of the snapshot, nor is any later one.
    pub until: i64,
}

/// An event that a scan found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundEvent {
    /// The position in the order.
    pub position: StreamPosition,
    /// Time of the event: with its id the key of the catalogue.
    pub occurred_at: DateTime<Utc>,
    /// `true` if the event passes the filter.
    pub passes: bool,
}

/// Returns the oldest transaction that is still open: every event of an earlier one is committed,
/// and none of them is missed by a reader that stops short of it.
///
/// # Errors
/// If the query fails.
pub async fn horizon(pool: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as "xid!""#)
        .fetch_one(pool)
        .await
}

/// Returns the position from which a stream shows events that are applied from now on, and the
/// snapshot of those that are applied already: while other transactions are open, some of these
/// lie behind the position.
///
/// # Errors
/// If the query fails.
pub async fn start(pool: &PgPool) -> Result<(StreamPosition, AppliedSnapshot), sqlx::Error> {
    let row = sqlx::query!(
        r#"select pg_snapshot_xmin(snapshot)::text::bigint as "xid!",
                   pg_snapshot_xmax(snapshot)::text::bigint as "until!",
                       snapshot::text as "snapshot!"
               from pg_current_snapshot() as snapshot"#
    )
    .fetch_one(pool)
    .await?;
    let position = StreamPosition { xid: row.xid, event_id: Uuid::nil() };
    Ok((position, AppliedSnapshot { snapshot: row.snapshot, until: row.until }))
}

/// Scans up to [`SCAN_LIMIT`] events after a position and before a horizon, in their order.
/// Events that were `already` applied do not pass.
///
/// # Errors
/// If the query fails.
pub async fn scan(
    pool: &PgPool,
    filter: &EventFilter,
    position: StreamPosition,
    horizon: i64,
    already: Option<&AppliedSnapshot>,
) -> Result<Vec<FoundEvent>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select occurred_at, event_id, received_xid,
                   ($4::text is null or user_id = $4) and ($5::text is null or item_id = $5)
                   and ($6::text is null or event_type = $6)
                   and ($7::text is null
                        or not pg_visible_in_snapshot(received_xid::text::xid8,
                            $7::text::pg_snapshot))
                   as "passes!"
               from events
               where received_xid >= $1 and (received_xid, event_id) > ($1, $2)
                   and received_xid < $3
               order by received_xid, event_id limit $8"#,
        position.xid,
        position.event_id,
        horizon,
        filter.user_id.as_deref(),
        filter.item_id.as_deref(),
        filter.event_type.as_deref(),
        already.map(|applied| applied.snapshot.as_str()),
        SCAN_LIMIT,
    )
    .fetch_all(pool)
    .await?;
    let found = rows.into_iter().map(|row| FoundEvent {
        position: StreamPosition { xid: row.received_xid, event_id: row.event_id },
        occurred_at: row.occurred_at,
        passes: row.passes,
    });
    Ok(found.collect())
}

/// Reads found events, in their order; one that was deleted meanwhile is left out.
///
/// # Errors
/// If the query fails.
pub async fn events_at(pool: &PgPool, found: &[FoundEvent]) -> Result<Vec<EventRow>, sqlx::Error> {
    let occurred: Vec<DateTime<Utc>> =
        found.iter().map(|events_at| events_at.occurred_at).collect();
    let ids: Vec<Uuid> = found.iter().map(|events_at| events_at.position.event_id).collect();
    sqlx::query_as!(
        EventRow,
        "select occurred_at, event_id, event_type, item_id, user_id, version, data, received_at,
                 received_xid
             from events
             where occurred_at = any($1) and event_id = any($2)
             order by received_xid, event_id",
        &occurred,
        &ids,
    )
    .fetch_all(pool)
    .await
}
