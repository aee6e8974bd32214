//! Change feed of a user's deliveries, for streams: deliveries in the order of the transactions
//! that wrote their current state.
//!
//! # Order
//!
//! A row's system column `xmin` names the transaction that wrote the row as it is now. It is exact
//! whichever statement wrote the row, and costs the ledger nothing. It has 32 bits and is widened
//! by its distance to the snapshot; rows of a user's last days are never 2³¹ transactions apart. A
//! page ends before the oldest transaction that is still open, so that no transaction that commits
//! late is missed; a transaction that stays open delays streams and loses nothing.
//!
//! # Lookup
//!
//! Rows are found by the existing index `deliveries_by_user`. A stream carries a *low-water mark*:
//! the deliveries of its user below it cannot change any more, because all of them had an outcome,
//! visible to every transaction, when the position was taken. A look reads the rows at or above the
//! mark: those of the last minutes and those that are pending since (an e-mail that bounces later
//! is shown as failed by the history, but not by streams). It takes a few tenths of a millisecond;
//! two connections serve 3,000 a second. A delivery that is deferred for days would hold the mark
//! below everything that follows, so a look reads at most the newest [`MAX_ROWS`] rows: changes of
//! older ones are shown by the history only.
//!
//! Writers pay nothing: no column, no index, no trigger. An index on the user and the time of the
//! end was measured and rejected: 40,000 deliveries on a table of a million, inserted and ended in
//! batches of 500, took about a tenth more time, and up to a third more log after a checkpoint. A
//! notification from a trigger would wake every stream all the time, and serialize commits. (The
//! ledger's fill factor does not help either: `next_attempt_at` and `state` belong to the index
//! `deliveries_waiting`, so that no update of them is a HOT update.)

use db::StoredTime;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::history::{HistoryRow, deliveries, history_row};

/// Most deliveries that one look reads: the newest at or above the low-water mark.
pub const MAX_ROWS: i64 = 10_000;

/// Position of a stream: everything up to it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Transaction that wrote the last delivery sent.
    pub xid: i64,
    /// Last delivery sent.
    pub id: Uuid,
}

/// Delivery with its position in the feed.
#[derive(Debug, Clone)]
pub struct Change {
    /// Position in the feed.
    pub position: Position,
    /// Delivery.
    pub delivery: HistoryRow,
}

/// Result of a look at a user's deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Oldest transaction that is still open: this look saw every older one.
    pub horizon: i64,
    /// `true` if a delivery changed its state after the position.
    pub has_changes: bool,
    /// Oldest delivery that may still change, or whose change is not older than the horizon, among
    /// those that were read.
    pub oldest_open: Option<Uuid>,
    /// Revision of the user's read state.
    pub revision: i64,
}

/// Checks if any of a user's deliveries at or above the low-water mark changed after `position`.
///
/// # Errors
/// If the statement fails.
pub async fn look(
    executor: impl PgExecutor<'_>,
    user_id: &str,
    low_water_mark: Uuid,
    position: Position,
) -> Result<Look, sqlx::Error> {
    sqlx::query_as!(
        Look,
        r#"with snapshot as materialized (select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as xmin),
               recent as (
                   select latest.id, latest.state,
                       snapshot.xmin - ((snapshot.xmin - latest.writer + 6442450944) % 4294967296 - 2147483648) as xid
                   from snapshot cross join (
                       select id, state, xmin::text::bigint as writer from deliveries
                       where user_id = $1 and id >= $2 order by id desc limit $5
                   ) as latest
               )
           select snapshot.xmin as "horizon!",
               coalesce(bool_or(state <> 'pending' and (xid, id) > ($3, $4) and xid < xmin), false) as "has_changes!",
               (min(id::text) filter (where state in ('pending', 'deferred') or xid >= xmin))::uuid as oldest_open,
               coalesce((select revision from inboxes where user_id = $1), 0) as "revision!"
           from snapshot left join recent on true
           group by snapshot.xmin"#,
        user_id,
        low_water_mark,
        position.xid,
        position.id,
        MAX_ROWS,
    )
    .fetch_one(executor)
    .await
}

/// Returns the deliveries of a user that changed their state after a position, in the order of the
/// transactions that wrote it.
///
/// # Errors
/// If the statement fails.
pub async fn after(
    executor: impl PgExecutor<'_>,
    user_id: &str,
    low_water_mark: Uuid,
    position: Position,
    limit: i64,
) -> Result<Vec<Change>, sqlx::Error> {
    let rows = deliveries!(
        "snapshot as materialized (select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as xmin),
         recent as (
             select latest.*, snapshot.xmin - ((snapshot.xmin - latest.writer + 6442450944) % 4294967296 - 2147483648) as xid
             from snapshot cross join (
                 select newest.*, newest.xmin::text::bigint as writer from deliveries as newest
                 where user_id = $1 and id >= $2 order by id desc limit $6
             ) as latest
         ),
         scope as materialized (
             select recent.* from recent cross join snapshot
             where state <> 'pending' and (xid, id) > ($3, $4) and xid < snapshot.xmin
             order by xid, id limit $5
         )",
        "order by d.xid, d.id",
        user_id,
        low_water_mark,
        position.xid,
        position.id,
        limit,
        MAX_ROWS,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Change {
            position: Position { xid: row.xid, id: row.id },
            delivery: history_row!(row),
        })
        .collect())
}
