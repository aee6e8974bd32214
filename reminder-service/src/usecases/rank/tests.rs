//! Rankings of 300 reminders, one due each day.

use chrono::TimeDelta;
use support::postgres::{self, Database};

use super::*;
use crate::{
    domain::reminder::{Agenda, Range},
    usecases::{Error, list_agenda::agenda_within},
};

const FREE: Bounds = Bounds { chunk: 10, slice: Duration::MAX, total: Duration::MAX };

async fn filled() -> (Database, PgPool) {
    let database = postgres::migrated("reminders_ranked", &store::MIGRATOR).await;
    let pool = database.pool().await;
    let sql = "insert into reminders (id, user_id, date, time_zone, notify_offsets, channels,
            message, expires_after_minutes, priority, last_at)
        select ('00000000-0000-7000-8000-' || lpad(to_hex(day), 12, '0'))::uuid, 'ada', date, 'UTC',
            '{0}', '{push}', 'Tablets', 60, 'normal', date
        from generate_series(1, 300) as day,
            lateral (select '2126-01-01T08:00:00Z'::timestamptz + day * interval '1 day' as date) as due";
    sqlx::query(sql).execute(&pool).await.expect("written");
    (database, pool)
}

fn day(number: i64) -> DateTime<Utc> {
    let first = DateTime::parse_from_rfc3339("2126-01-01T08:00:00Z").expect("a time");
    first.to_utc() + TimeDelta::days(number)
}

async fn read(pool: &PgPool, from: DateTime<Utc>) -> Ranked<Agenda> {
    let ranking = Agenda::new(Range { from, to: None, after: None }, 5);
    let considered = Considered { choice: Choice::default(), is_ahead: true };
    rank(pool, "ada", considered, ranking, FREE).await.expect("ranked")
}

#[tokio::test]
async fn reads_few_reminders_once_places_are_known() {
    let (_database, pool) = filled().await;
    assert!(read(&pool, day(1)).await.read >= 300, "no place is known");
    let sql = "select count(*) from reminders where nothing_before > now()";
    let known: i64 = sqlx::query_scalar(sql).fetch_one(&pool).await.expect("a count");
    assert_eq!(known, 300);

    let again = read(&pool, day(1)).await;

    assert!(again.read <= 30, "{} reminders were read", again.read);
    let times: Vec<_> =
        again.ranking.into_entries().iter().map(|entry| entry.position.at).collect();
    assert_eq!(times, [1, 2, 3, 4, 5].map(day));
}

#[tokio::test]
async fn reads_few_reminders_for_agenda_from_now() {
    let (_database, pool) = filled().await;
    let agenda = async |from| {
        let page = agenda_within(&pool, "ada", from, None, None, 5, FREE).await;
        page.expect("a page")
    };
    assert!(agenda(None).await.read >= 300, "no place is known");

    for from in [None, Some(day(0))] {
        let page = agenda(from).await;

        assert!(page.read <= 30, "{} reminders were read from {from:?}", page.read);
        assert_eq!(page.entries.len(), 5);
    }
}

#[tokio::test]
async fn answers_part_when_work_is_used_up() {
    let (_database, pool) = filled().await;
    let used_up = Bounds { chunk: 10, slice: Duration::ZERO, total: Duration::ZERO };
    let page = agenda_within(&pool, "ada", Some(day(1)), None, None, 5, used_up).await;
    assert!(matches!(page, Err(Error::TooCostly)), "no place is known");
    read(&pool, day(1)).await;

    let page =
        agenda_within(&pool, "ada", Some(day(0)), None, None, 5, used_up).await.expect("a part");
    assert_eq!(page.entries.len(), 0);
    let next = page.next.expect("another page");
    assert!(next.at > day(0) && next.at < day(1), "nothing is left out");
    let page = agenda_within(&pool, "ada", Some(day(0)), None, Some(next), 5, used_up).await;
    assert!(matches!(page, Err(Error::TooCostly)), "the same cursor would be endless");
}

#[tokio::test]
async fn computes_place_again_after_change() {
    let (_database, pool) = filled().await;
    read(&pool, day(1)).await;
    let candidates = store::candidates(&pool, "ada", store::FIRST_PLACE, Choice::default(), 1);
    let reminder = candidates.await.expect("read").remove(0).seen.value;
    let moved = (reminder.id, reminder.version + 1, day(1));
    store::store_places(&pool, &[moved]).await.expect("asked");
    let sql = "select count(*) from reminders where nothing_before = $1";
    let count: i64 = sqlx::query_scalar(sql).bind(day(1)).fetch_one(&pool).await.expect("a count");
    assert_eq!(count, 0, "the place of another version is not stored");
}
