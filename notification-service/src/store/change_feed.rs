//! A user's deliveries in the order in which they came to stand as they stand, for streams.
//!
//! # What tells the order
//!
//! The transaction that wrote a row as it is now is in the row already: its system column `xmin`.
//! It is exact whichever statement wrote the row, and it costs the ledger nothing. It has 32 bits
//! and is widened by the distance to the snapshot's; rows of a user's last days are never 2³¹
//! transactions apart. A page stops short of the oldest transaction that is still open, so that
//! none that commits late is passed over; one that somebody leaves open delays streams and loses
//! nothing.
//!
//! # What finds the rows
//!
//! An index of its own, on the user and the time of the end, was measured and refused: each
//! delivery would be written in one more place at random, whether anybody watches or not (40,000
//! deliveries on a table of a million, inserted and ended in batches of 500: about a tenth more
//! time, up to a third more log after a checkpoint). A notification from a trigger would wake every
//! stream all the time, and be taken by one transaction after another. `deliveries_by_user` is
//! there anyway. A stream therefore carries a *floor*: no delivery of its user below it can change
//! any more, for all of them were at their end, for every transaction to see, when the position was
//! taken. A look costs the rows above the floor, those of the last minutes and of what waits since
//! then (an e-mail that bounces later than that is shown as failed by the history, and not told to
//! streams): a few tenths of a millisecond, 3,000 a second on two connections. One delivery that
//! waits for days would hold the floor below everything that came after it, so a look goes through
//! no more than the newest [`MAX_ROWS`]: what changes of older ones is shown by the history alone.
//! Writers spend nothing on it: no column, no index, no trigger. (The ledger's fill factor does not
//! help verdicts, by the way: `next_attempt_at` and `state` belong to `deliveries_waiting`, so that
//! none of them is a HOT update, and each index is written again by each.)

use shared::db::StoredTime;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::history::{HistoryRow, deliveries, history_row};

/// Deliveries that one look goes through at the most: the newest at or above the floor.
pub const MAX_ROWS: i64 = 10_000;

/// Where a stream is: everything up to it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The transaction that wrote the last delivery seen as it was.
    pub xid: i64,
    /// The last delivery seen.
    pub id: Uuid,
}

/// A delivery, and where it stands in the order.
#[derive(Debug, Clone)]
pub struct Change {
    /// Where.
    pub position: Position,
    /// The delivery.
    pub delivery: HistoryRow,
}

/// What a look at a user's deliveries shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// The oldest transaction that is still open: every older one was seen by this look.
    pub horizon: i64,
    /// Whether a delivery came to a state after the position.
    pub has_changes: bool,
    /// The oldest delivery that may yet change, or whose change is not behind the horizon, among
    /// those that were looked at.
    pub oldest_open: Option<Uuid>,
    /// The revision of what the user has read.
    pub revision: i64,
}

/// Looks whether anything happened to a user's deliveries at or above `floor` after `position`.
///
/// # Errors
/// When the statement fails.
pub async fn look(
    executor: impl PgExecutor<'_>,
    user_id: &str,
    floor: Uuid,
    position: Position,
) -> Result<Look, sqlx::Error> {
    sqlx::query_as!(
        Look,
        r#"with snapshot as materialized (select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as xmin),
               recent as (
                   select it.id, it.state,
                       snapshot.xmin - ((snapshot.xmin - it.writer + 6442450944) % 4294967296 - 2147483648) as xid
                   from snapshot cross join (
                       select id, state, xmin::text::bigint as writer from deliveries
                       where user_id = $1 and id >= $2 order by id desc limit $5
                   ) as it
               )
           select snapshot.xmin as "horizon!",
               coalesce(bool_or(state <> 'pending' and (xid, id) > ($3, $4) and xid < xmin), false) as "has_changes!",
               (min(id::text) filter (where state in ('pending', 'deferred') or xid >= xmin))::uuid as oldest_open,
               coalesce((select revision from inboxes where user_id = $1), 0) as "revision!"
           from snapshot left join recent on true
           group by snapshot.xmin"#,
        user_id,
        floor,
        position.xid,
        position.id,
        MAX_ROWS,
    )
    .fetch_one(executor)
    .await
}

/// Deliveries of a user that came to a state after a position, in the order of the transactions
/// that wrote it.
///
/// # Errors
/// When the statement fails.
pub async fn after(
    executor: impl PgExecutor<'_>,
    user_id: &str,
    floor: Uuid,
    position: Position,
    limit: i64,
) -> Result<Vec<Change>, sqlx::Error> {
    let rows = deliveries!(
        "snapshot as materialized (select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as xmin),
         recent as (
             select it.*, snapshot.xmin - ((snapshot.xmin - it.writer + 6442450944) % 4294967296 - 2147483648) as xid
             from snapshot cross join (
                 select newest.*, newest.xmin::text::bigint as writer from deliveries as newest
                 where user_id = $1 and id >= $2 order by id desc limit $6
             ) as it
         ),
         scope as materialized (
             select recent.* from recent cross join snapshot
             where state <> 'pending' and (xid, id) > ($3, $4) and xid < snapshot.xmin
             order by xid, id limit $5
         )",
        "order by d.xid, d.id",
        user_id,
        floor,
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
