//! A user's deliveries, newest first: what they said, what became of them, and when their
//! occurrence was read.
//!
//! Every statement begins with a range of `deliveries_by_user`, and with nothing but it: a user's
//! page costs what that user's own rows cost. A filter is looked for in a window of [`WINDOW`] of
//! them, so that one that lets nothing through ends as well; the page is then shorter and the
//! cursor leads on.

use chrono::{DateTime, Utc};
use shared::{
    contract::{Channel, DeliveryState, SendData},
    db::StoredTime,
};
use sqlx::PgPool;
use uuid::Uuid;

/// Deliveries of a user that one statement looks through at the most.
pub const WINDOW: i64 = 2_000;

/// One delivery as its user may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// The delivery's id; the place to go on from.
    pub id: Uuid,
    /// The occurrence.
    pub occurrence_id: Uuid,
    /// Who asked for it.
    pub source: String,
    /// The item it belongs to.
    pub item_id: String,
    /// The channel.
    pub channel: String,
    /// The device of a push; the nil UUID where there is none.
    pub device_id: Uuid,
    /// How it stands.
    pub state: String,
    /// Why.
    pub reason: Option<String>,
    /// How often it was tried.
    pub attempts: i32,
    /// The time of delivery that was asked for.
    pub due_at: DateTime<Utc>,
    /// When the first attempt began.
    pub first_attempt_at: Option<DateTime<Utc>>,
    /// When it is tried again, while it waits.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When it came to its end.
    pub finished_at: Option<DateTime<Utc>>,
    /// When its occurrence was read; none while it is unread.
    pub read_at: Option<DateTime<Utc>>,
    /// The content; empty if this version cannot read it.
    pub send: SendData,
}

/// Which of a user's deliveries.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In this state.
    pub state: Option<DeliveryState>,
    /// On this channel.
    pub channel: Option<Channel>,
    /// Of this item.
    pub item_id: Option<String>,
    /// Whose occurrence arrived and was not read; or, when false, all others.
    pub unread: Option<bool>,
}

impl Filter {
    fn lets_all_through(&self) -> bool {
        self.state.is_none()
            && self.channel.is_none()
            && self.item_id.is_none()
            && self.unread.is_none()
    }
}

/// A part of a user's deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Newest first.
    pub rows: Vec<HistoryRow>,
    /// Where the next part begins: below this one. None when there is none.
    pub next: Option<Uuid>,
}

/// Reads the deliveries that `$scope` chooses (a list of common table expressions, the last of them
/// `scope`), in the order that `$rest` says. `$1` is their user. A dispatch is looked up for each
/// row: as a plain join, a filter on it could be planned as a walk through everybody's.
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
                       select source, item_id, due_at, expires_at, payload from dispatches as it where it.occurrence_id = d.occurrence_id limit 1
                   ) as p
                   left join inbox_marks as mark on mark.user_id = $1 and mark.occurrence_id = d.occurrence_id
                   cross join lateral (
                       select min(it.finished_at) as at from deliveries as it
                       where it.occurrence_id = d.occurrence_id and it.state = 'sent'
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

/// Up to `limit` deliveries of a user that the filter lets through, older than the one named by
/// `before`.
///
/// A cursor is an id, and ids grow with the time at which deliveries are made: new ones come above
/// every cursor.
///
/// # Errors
/// When a statement fails.
pub async fn of_user(
    pool: &PgPool,
    user_id: &str,
    filter: &Filter,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Page, sqlx::Error> {
    let before = before.unwrap_or(Uuid::max());
    let window_end =
        if filter.lets_all_through() { None } else { window_end(pool, user_id, before).await? };
    // One more than is given tells whether there are more. With a filter the window's end is the
    // bound: a number would, were something new to come now, leave out as much at that end.
    let scan = filter.lets_all_through().then_some(limit + 1);
    let mut rows = deliveries!(
        "scope as materialized (
             select it.*, 0::bigint as xid from deliveries as it
             where user_id = $1 and id < $2 and id >= $3 and ($4::text is null or state = $4) and ($5::text is null or channel = $5)
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

/// The oldest delivery of the window below `before`; none when the window reaches the user's oldest
/// one.
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
