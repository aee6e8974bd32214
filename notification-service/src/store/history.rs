//! History of a user's deliveries, newest first: content, outcome, and the time at which the
//! occurrence was read.
//!
//! Every statement begins with a range of the index `deliveries_by_user` and no other, so that the
//! cost of a user's page depends on that user's rows only. A filter is applied within a window of
//! [`WINDOW`] rows, so that the cost is bounded if it matches none; the page is then shorter, and
//! its cursor points to the next window.

use chrono::{DateTime, Utc};
use contract::{Channel, DeliveryState, SendData};
use db::StoredTime;
use sqlx::PgPool;
use uuid::Uuid;

/// Most deliveries of a user that one statement reads.
pub const WINDOW: i64 = 2_000;

/// Delivery as its user may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// Id of the delivery; the cursor of the next page.
    pub id: Uuid,
    /// Occurrence.
    pub occurrence_id: Uuid,
    /// Source of the item.
    pub source: String,
    /// Item that it belongs to.
    pub item_id: String,
    /// Channel.
    pub channel: String,
    /// Device of a push; the nil UUID if there is none.
    pub device_id: Uuid,
    /// State.
    pub state: String,
    /// Reason code.
    pub reason: Option<String>,
    /// Number of attempts made.
    pub attempts: i32,
    /// Time at which it was due.
    pub due_at: DateTime<Utc>,
    /// Time at which the first attempt began.
    pub first_attempt_at: Option<DateTime<Utc>>,
    /// Time of the next attempt, while the delivery is pending or deferred.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// Time at which the delivery ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Time at which its occurrence was read; `None` while it is unread.
    pub read_at: Option<DateTime<Utc>>,
    /// Content; empty if this version of the service cannot read it.
    pub send: SendData,
}

/// Filter of a user's deliveries; each part that is set must match.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// State.
    pub state: Option<DeliveryState>,
    /// Channel.
    pub channel: Option<Channel>,
    /// Item.
    pub item_id: Option<String>,
    /// `true` matches deliveries whose occurrence arrived and was not read; `false` all others.
    pub unread: Option<bool>,
}

impl Filter {
    fn is_empty(&self) -> bool {
        self.state.is_none()
            && self.channel.is_none()
            && self.item_id.is_none()
            && self.unread.is_none()
    }
}

/// Page of a user's deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Rows, newest first.
    pub rows: Vec<HistoryRow>,
    /// Delivery below which the next page begins; `None` if there is no next page.
    pub next: Option<Uuid>,
}

/// Reads the deliveries that `$scope` selects (a list of common table expressions, the last of them
/// `scope`), in the order that `$rest` defines. `$1` is their user. The dispatch of each row is
/// looked up laterally: with a plain join, a filter on it could be planned as a scan of all users'
/// rows.
macro_rules! deliveries {
    ($scope:tt, $rest:tt, $($argument:expr),+ $(,)?) => {
        sqlx::query!(
            "with " + $scope +
            r#" select d.id as "id!", d.occurrence_id as "occurrence_id!", p.source as "source!", p.item_id as "item_id!",
                   d.channel as "channel!", d.device_id as "device_id!", d.state as "state!", d.reason as "reason?",
                   d.attempts as "attempts!", p.due_at as "due_at!: StoredTime", d.first_attempt_at as "first_attempt_at?: StoredTime",
                   case when d.state in ('pending', 'deferred') then d.next_attempt_at end as "next_attempt_at?: StoredTime",
                   d.finished_at as "finished_at?: StoredTime", seen.read_at as "read_at?", p.payload::text as "payload!",
                   p.expires_at as "expires_at!: StoredTime",
                   d.xid as "xid!"
               from scope as d
                   cross join lateral (
                       select source, item_id, due_at, expires_at, payload from dispatches as dispatch where dispatch.occurrence_id = d.occurrence_id limit 1
                   ) as p
                   left join inbox_marks as mark on mark.user_id = $1 and mark.occurrence_id = d.occurrence_id
                   cross join lateral (
                       select min(sibling.finished_at) as at from deliveries as sibling
                       where sibling.occurrence_id = d.occurrence_id and sibling.state = 'sent'
                   ) as arrived
                   cross join lateral (
                       select case when mark.occurrence_id is not null then mark.read_at else (
                           select reading.read_at from inbox_readings as reading
                           where reading.user_id = $1 and reading.up_to >= arrived.at order by reading.up_to limit 1
                       ) end as read_at
                   ) as seen "# + $rest,
            $($argument),+
        )
    };
}

macro_rules! history_row {
    ($row:expr) => {{
        let row = $row;
        let columns = $crate::store::payload::Columns {
            occurrence_id: row.occurrence_id,
            source: row.source.clone(),
            item_id: row.item_id.clone(),
            due_at: row.due_at,
            expires_at: row.expires_at,
        };
        let (send, _) = $crate::store::payload::send(&row.payload, columns);
        HistoryRow {
            id: row.id,
            occurrence_id: row.occurrence_id,
            source: row.source,
            item_id: row.item_id,
            channel: row.channel,
            device_id: row.device_id,
            state: row.state,
            reason: row.reason,
            attempts: row.attempts,
            due_at: row.due_at.nearest(),
            first_attempt_at: row.first_attempt_at.map(StoredTime::nearest),
            next_attempt_at: row.next_attempt_at.map(StoredTime::nearest),
            finished_at: row.finished_at.map(StoredTime::nearest),
            read_at: row.read_at,
            send,
        }
    }};
}

pub(super) use {deliveries, history_row};

/// Returns up to `limit` deliveries of a user that match the filter, older than `before`. One that
/// was released ahead of its due time is returned from then on.
///
/// A cursor is an id, and ids grow with the time at which rows are written: new rows come above
/// every cursor.
///
/// # Errors
/// If a statement fails.
pub async fn of_user(
    pool: &PgPool,
    user_id: &str,
    filter: &Filter,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Page, sqlx::Error> {
    let before = before.unwrap_or(Uuid::max());
    let window_end =
        if filter.is_empty() { None } else { window_end(pool, user_id, before).await? };
    // One row more than the page shows if there is a next page. With a filter the bound is the end
    // of the window: a number of rows would miss as many at that end as were written since.
    let scan = filter.is_empty().then_some(limit + 1);
    let mut rows = deliveries!(
        "scope as materialized (
             select delivery.*, 0::bigint as xid from deliveries as delivery
             where user_id = $1 and id < $2 and id >= $3 and ($4::text is null or state = $4) and ($5::text is null or channel = $5)
               and coalesce((select due_at from dispatches as own where own.occurrence_id = delivery.occurrence_id limit 1) <= now(), true)
             order by id desc limit $6
         )",
        "where ($7::text is null or p.item_id = $7)
           and ($8::bool is null or $8 = (arrived.at is not null and seen.read_at is null))
         order by d.id desc limit $9",
        user_id,
        before,
        window_end.unwrap_or(Uuid::nil()),
        filter.state.map(DeliveryState::as_str),
        filter.channel.map(Channel::as_str),
        scan,
        filter.item_id,
        filter.unread,
        limit + 1,
    )
    .fetch_all(pool)
    .await?;
    let has_more = rows.len() as i64 > limit;
    rows.truncate(usize::try_from(limit).unwrap_or_default());
    let next = if has_more { rows.last().map(|row| row.id) } else { window_end };
    Ok(Page { rows: rows.into_iter().map(|row| history_row!(row)).collect(), next })
}

/// Returns the oldest delivery of the window below `before`; `None` if the window reaches the
/// user's oldest delivery.
async fn window_end(
    pool: &PgPool,
    user_id: &str,
    before: Uuid,
) -> Result<Option<Uuid>, sqlx::Error> {
    let ids = sqlx::query_scalar!(
        "select id from deliveries where user_id = $1 and id < $2 order by id desc offset $3 limit 2",
        user_id,
        before,
        WINDOW - 1,
    )
    .fetch_all(pool)
    .await?;
    Ok(if ids.len() == 2 { ids.first().copied() } else { None })
}
