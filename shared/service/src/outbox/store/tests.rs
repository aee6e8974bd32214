use std::collections::BTreeMap;

use contract::new_id;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgPoolOptions};
use support::postgres::Database;

use super::*;

const LEASE: Duration = Duration::from_secs(30);

/// A database with an outbox, and one connection to it.
async fn outbox() -> (Database, PgPool) {
    let database = support::postgres::database("outbox_store").await;
    let pool = PgPoolOptions::new().max_connections(1).connect(database.url()).await.unwrap();
    sqlx::raw_sql(include_str!("../outbox.sql")).execute(&pool).await.unwrap();
    (database, pool)
}

fn everything() -> Claim {
    Claim { low: Uuid::nil(), high: Uuid::max(), rows: 500, bytes: 4 * 1024 * 1024, lease: LEASE }
}

fn message(bytes: usize) -> OutboxMessage {
    OutboxMessage {
        event_id: new_id(),
        message: Message { body: "x".repeat(bytes), attributes: BTreeMap::new() },
    }
}

/// Number of index entries of the outbox that were read so far, including those of dead rows.
async fn index_entries_read(pool: &PgPool) -> i64 {
    sqlx::query("select pg_stat_force_next_flush()").execute(pool).await.unwrap();
    let count = "select idx_tup_read from pg_stat_user_indexes where indexrelname = 'outbox_pkey'";
    sqlx::query_scalar(count).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn claims_rows_within_bytes() {
    let (_database, pool) = outbox().await;
    let messages: Vec<_> = (0..40).map(|_| message(250_000)).collect();
    insert(&pool, &messages, Duration::ZERO).await.unwrap();

    let claimed = claim(&pool, everything(), Users::Except(&[])).await.unwrap();

    assert_eq!(claimed.len(), 16);
    let huge = Claim { bytes: 10, ..everything() };
    assert_eq!(
        claim(&pool, huge, Users::Except(&[])).await.unwrap().len(),
        1,
        "a row that is larger than allowed is claimed alone"
    );
}

#[tokio::test]
async fn claims_row_with_attributes_of_any_kind() {
    let (_database, pool) = outbox().await;
    insert(&pool, &[message(1)], Duration::ZERO).await.unwrap();
    let rows = r#"insert into outbox select gen_random_uuid(), '{}', attributes, '-infinity'
        from unnest(array['{"version": 1}', '[1]', '5', 'null', '"a"']::jsonb[]) as attributes"#;
    sqlx::query(rows).execute(&pool).await.unwrap();

    assert_eq!(claim(&pool, everything(), Users::Except(&[])).await.unwrap().len(), 6);
}

#[tokio::test]
async fn skips_dead_rows_below_low_water_mark() {
    let (database, pool) = outbox().await;
    let mut holder = PgConnection::connect(database.url()).await.unwrap();
    let hold = "begin isolation level repeatable read; select count(*) from outbox";
    sqlx::raw_sql(hold).execute(&mut holder).await.unwrap();
    // Ids of UUID v7 of an hour ago, as a busy outbox has left them.
    let millis = "(extract(epoch from now() - interval '1 hour') * 1000)::bigint + number";
    let id = format!("lpad(to_hex({millis}), 12, '0') || '7000800000000000000000'");
    let dead = format!(
        "insert into outbox
            select substr({id}, 1, 32)::uuid, '{{}}', '{{}}', '-infinity'
            from generate_series(1, 20000) as number;
        delete from outbox"
    );
    sqlx::raw_sql(AssertSqlSafe(dead)).execute(&pool).await.unwrap();
    insert(&pool, &[message(1)], Duration::ZERO).await.unwrap();

    let before = index_entries_read(&pool).await;
    let (low, high) = super::super::recovery::recent().into_inner();
    assert_eq!(
        claim(&pool, Claim { low, high, ..everything() }, Users::Except(&[])).await.unwrap().len(),
        1
    );
    let recent = index_entries_read(&pool).await - before;
    claim(&pool, everything(), Users::Except(&[])).await.unwrap();
    let all = index_entries_read(&pool).await - before - recent;

    assert!(recent < 20, "{recent} entries were read");
    assert!(all >= 20_000, "the snapshot holds the dead rows: {all} entries were read");
}

#[tokio::test]
async fn claims_rows_of_other_users_or_of_one() {
    let (_database, pool) = outbox().await;
    let of = |user: &str| {
        let attributes = BTreeMap::from([("userId".to_owned(), user.to_owned())]);
        OutboxMessage { event_id: new_id(), message: Message { body: "{}".to_owned(), attributes } }
    };
    let messages: Vec<_> =
        ["mallory", "ada", "mallory", "grace"].map(of).into_iter().chain([message(1)]).collect();
    insert(&pool, &messages, Duration::ZERO).await.unwrap();

    let others = claim(&pool, everything(), Users::Except(&["mallory"])).await.unwrap();
    assert_eq!(others.len(), 3);
    assert!(others.iter().all(|row| row.user() != "mallory"));
    let one =
        claim(&pool, Claim { rows: 1, ..everything() }, Users::Only("mallory")).await.unwrap();
    assert_eq!((one.len(), one[0].event_id), (1, messages[0].event_id));
    assert_eq!(claim(&pool, everything(), Users::Except(&[])).await.unwrap().len(), 1);
}
