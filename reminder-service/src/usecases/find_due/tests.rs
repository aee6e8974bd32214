//! Searches among 300 daily reminders, each of which ends on another day.

use chrono::{DateTime, TimeDelta, Utc};
use support::postgres::{self, Database};

use super::*;
use crate::usecases::compute::all_permits;

const FREE: Bounds = Bounds { chunk: 10, slice: Duration::MAX, total: Duration::MAX };
const FIRST: Slice = Slice { before: None, offset: 0, limit: 10 };

/// The reminder of each number has as many occurrences, from the first day on.
async fn filled() -> (Database, PgPool) {
    let database = postgres::migrated("reminders_due", &store::MIGRATOR).await;
    let pool = database.pool().await;
    let sql = r#"insert into reminders (id, user_id, date, time_zone, notify_offsets, recurrence,
            channels, message, expires_after_minutes, priority, last_at)
        select ('00000000-0000-7000-8000-' || lpad(to_hex(number), 12, '0'))::uuid, 'ada', date,
            'UTC', '{0}', jsonb_build_object('rrule', 'FREQ=DAILY;COUNT=' || number, 'exdates',
            '[]'::jsonb, 'gap', 'shift', 'fold', 'first'), '{push}', 'Tablets', 60, 'normal',
            date + (number - 1) * interval '1 day'
        from generate_series(1, 300) as number,
            lateral (select '2126-01-01T08:00:00Z'::timestamptz as date) as start"#;
    sqlx::query(sql).execute(&pool).await.expect("written");
    (database, pool)
}

fn day(number: i64) -> DateTime<Utc> {
    let first = DateTime::parse_from_rfc3339("2126-01-01T00:00:00Z").expect("a time");
    first.to_utc() + TimeDelta::days(number)
}

fn days(from: i64, to: i64) -> DueRange {
    DueRange { from: Some(day(from)), to: Some(day(to)) }
}

fn id(number: u32) -> Uuid {
    format!("00000000-0000-7000-8000-{number:012x}").parse().expect("an id")
}

async fn find(pool: &PgPool, range: DueRange, slice: Slice) -> DueRecurring {
    find_within(pool, "ada", None, range, slice, FREE).await.expect("found")
}

async fn candidates(pool: &PgPool, range: DueRange) -> usize {
    let last_at = range.from.map(last_delivery_for);
    let choice = RecurringChoice { status: None, range, last_at };
    store::recurring(pool, "ada", choice, None, 1_000).await.expect("read").len()
}

#[tokio::test]
async fn counts_all_and_keeps_what_page_needs() {
    let (_database, pool) = filled().await;
    // On day 100 (from 0) those with more than 100 occurrences are due.
    let all = find(&pool, days(100, 101), FIRST).await;
    assert_eq!((all.total, all.for_page.len()), (200, 11));
    assert_eq!(all.for_page[0], id(300));

    let slice = Slice { before: Some(id(104)), ..FIRST };
    let last = find(&pool, days(100, 101), slice).await;
    assert_eq!((last.total, last.for_page), (200, vec![id(103), id(102), id(101)]));
    let deep = Slice { offset: 50, ..FIRST };
    assert_eq!(find(&pool, days(100, 101), deep).await.for_page.len(), 61);
    assert_eq!(find(&pool, days(101, 100), FIRST).await, DueRecurring::default());
}

#[tokio::test]
async fn reads_no_series_that_ended_or_begins_later() {
    let (_database, pool) = filled().await;
    assert_eq!(candidates(&pool, days(-50, -3)).await, 0);
    // Deliveries may be up to 28 days before the occurrence.
    assert_eq!(candidates(&pool, days(328, 329)).await, 0);
    assert_eq!(candidates(&pool, days(300, 301)).await, 28);
    assert_eq!(candidates(&pool, DueRange { from: None, to: Some(day(1)) }).await, 300);
}

#[tokio::test]
async fn reads_no_reminder_known_to_have_nothing() {
    let (_database, pool) = filled().await;
    let sql = "update reminders set nothing_before = date - interval '1 hour'";
    sqlx::query(sql).execute(&pool).await.expect("written");
    assert_eq!(candidates(&pool, days(-1, 0)).await, 0);
    assert_eq!(candidates(&pool, days(-1, 1)).await, 300);
    // It is about times ahead only, and a pause has none.
    let past = DateTime::<Utc>::UNIX_EPOCH;
    assert_eq!(candidates(&pool, DueRange { from: Some(past), to: Some(day(0)) }).await, 300);
    let sql = "update reminders set paused_at = now(), last_at = '-infinity',
        nothing_before = '9999-12-31'";
    sqlx::query(sql).execute(&pool).await.expect("written");
    assert_eq!(find(&pool, days(100, 101), FIRST).await.total, 200);
}

#[tokio::test]
async fn keeps_acknowledged_series() {
    let (_database, pool) = filled().await;
    let sql = "update reminders set acknowledged = last_at, last_at = 'epoch'";
    sqlx::query(sql).execute(&pool).await.expect("written");
    assert_eq!(find(&pool, days(100, 101), FIRST).await.total, 200);
}

#[tokio::test]
async fn refuses_search_when_work_is_used_up() {
    let (_database, pool) = filled().await;
    let used_up = Bounds { chunk: 10, slice: Duration::ZERO, total: Duration::ZERO };
    let found = find_within(&pool, "ada", None, days(0, 1), FIRST, used_up).await;
    assert!(matches!(found, Err(Error::TooCostly)), "{found:?}");
    // Without a rule to search there is nothing to refuse.
    let found = find_within(&pool, "bob", None, days(0, 1), FIRST, used_up).await;
    assert_eq!(found.expect("found"), DueRecurring::default());
}

#[tokio::test]
async fn waits_for_no_rule_when_nothing_recurs() {
    let (_database, pool) = filled().await;
    let permits = all_permits().await;
    let found = find_within(&pool, "bob", None, days(0, 1), FIRST, FREE).await;
    assert_eq!(found.expect("found"), DueRecurring::default());
    drop(permits);
}
