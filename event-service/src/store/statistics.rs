//! Figures of the whole database, at a cost that does not grow with it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::PgPool;

/// Count at which counting stops.
pub const COUNTED: i64 = 10_000;

/// A count that stops at [`COUNTED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub i64);

/// Figures of the whole database.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// Occurrences by state, as the last ANALYZE estimated them.
    pub occurrences: BTreeMap<String, i64>,
    /// Notifications, estimated.
    pub notifications: i64,
    /// Events in the catalogue, estimated.
    pub events: i64,
    /// Occurrences whose time has come and that no scheduler released yet.
    pub due_now: Count,
    /// The time of the first of them.
    pub oldest_due_at: Option<DateTime<Utc>>,
    /// The time of the next that is not due.
    pub next_due_at: Option<DateTime<Utc>>,
    /// Events of the last minute.
    pub events_last_minute: Count,
    /// Messages in the outbox.
    pub outbox: Count,
}

/// Reads the figures. Estimates come from the planner's statistics, counts from the head of an
/// index.
///
/// # Errors
/// If the query fails.
pub async fn read(pool: &PgPool) -> Result<Statistics, sqlx::Error> {
    let states = sqlx::query!(
        r#"select state as "state!", (frequency * greatest(reltuples, 0))::bigint as "estimate!"
               from pg_stats
               join pg_class on pg_class.oid = 'occurrences'::regclass,
               unnest(most_common_vals::text::text[], most_common_freqs) as common (state,
                   frequency)
               where schemaname = current_schema and tablename = 'occurrences'
                   and attname = 'state'"#
    )
    .fetch_all(pool)
    .await?;
    let row = sqlx::query!(
        r#"select
                (select greatest(reltuples, 0)::bigint from pg_class
                    where oid = 'notifications'::regclass) as "notifications!",
                (select sum(greatest(reltuples, 0))::bigint from pg_class
                    join pg_inherits on inhrelid = oid
                    where inhparent = 'events'::regclass) as "events!",
                (select count(*) from (select from occurrences where pending and due_at <= now()
                    limit $1) as due) as "due_now!",
                (select due_at from occurrences where pending and due_at <= now() order by due_at
                    limit 1) as oldest_due_at,
                (select due_at from occurrences where pending and due_at > now() order by due_at
                    limit 1) as next_due_at,
                (select count(*) from (select from events
                    where occurred_at > now() - interval '1 minute' and occurred_at <= now()
                    limit $1) as recent)
                    as "events_last_minute!",
                (select count(*) from (select from outbox where parked_reason is null
                    limit $1) as waiting) as "outbox!""#,
        COUNTED,
    )
    .fetch_one(pool)
    .await?;
    Ok(Statistics {
        occurrences: states.into_iter().map(|row| (row.state, row.estimate)).collect(),
        notifications: row.notifications,
        events: row.events,
        due_now: Count(row.due_now),
        oldest_due_at: row.oldest_due_at,
        next_due_at: row.next_due_at,
        events_last_minute: Count(row.events_last_minute),
        outbox: Count(row.outbox),
    })
}
