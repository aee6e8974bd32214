//! A user who is erased is in no table any more, and stays away.

use serde_json::{Value, json};
use shared::{
    bus::Received,
    contract::{DeliveryState, EventType},
};
use sqlx::AssertSqlSafe;

use crate::fixture::{World, created, event, hours, minutes, now, outcome, received, world};

const USER: &str = "user-1";

fn erased(at: chrono::DateTime<chrono::Utc>) -> Received {
    received(&event(EventType::UserErased, "receipt-1", 1, at, json!({"receiptId": "receipt-1"})))
}

/// Every row of every table that names the user or the user's address; commands aside, of which one carries the erasure on.
async fn traces(world: &World) -> Vec<(String, Value)> {
    let tables = "select quote_ident(table_name) from information_schema.tables
        where table_schema = 'public' and table_type = 'BASE TABLE' and table_name not in ('_sqlx_migrations', 'commands')";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&world.pool).await.expect("tables");
    let mut found = Vec::new();
    for table in tables {
        let sql = format!("select to_jsonb(t) from {table} as t where t::text like '%{USER}%'");
        let rows: Vec<Value> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&world.pool).await.expect("rows");
        found.extend(rows.into_iter().map(|row| (table.clone(), row)));
    }
    found
}

#[tokio::test]
async fn an_erased_user_is_in_no_table_and_the_erasure_goes_on() {
    let world = world().await;
    let due = now() + hours(1);
    world.apply(&[created("a", 1, due, &[0, 10]), outcome("a", due, DeliveryState::Sent, None, 2)]).await;
    assert!(!traces(&world).await.is_empty());

    world.apply(&[erased(now())]).await;

    assert_eq!(traces(&world).await, []);
    assert_eq!(world.count("occurrences").await, 0);
    let onwards: Vec<(String, Value)> = sqlx::query_as("select attributes->>'eventType', body::jsonb from commands")
        .fetch_all(&world.pool)
        .await
        .expect("rows");
    assert_eq!(onwards.len(), 1);
    assert_eq!((onwards[0].0.as_str(), &onwards[0].1["userId"]), ("user:erased", &json!(USER)));
}

#[tokio::test]
async fn what_comes_late_is_not_kept_and_who_comes_back_is() {
    let world = world().await;
    let erased_at = now();
    let late = created("a", 1, erased_at + hours(1), &[0]);
    let late_outcome = outcome("a", erased_at - minutes(5), DeliveryState::Sent, None, 1);
    world.apply(&[erased(erased_at)]).await;
    let (before, after) = (erased_at - minutes(1), erased_at + minutes(1));
    let at = |time| {
        received(&event(EventType::ReminderCreated, "b", 1, time, crate::fixture::data(erased_at + hours(1), &[0])))
    };
    world.apply(&[at(before), late_outcome]).await;
    assert_eq!(traces(&world).await, []);
    drop(late);

    world.apply(&[at(after)]).await;
    assert!(world.notification("b").await.is_some());
    world.apply(&[erased(erased_at)]).await;
    assert!(world.notification("b").await.is_some(), "the same erasure again takes nothing of what came after it");
}

#[tokio::test]
async fn everything_of_a_batch_is_erased_whatever_its_order() {
    let world = world().await;
    let made = now() - minutes(1);
    let created =
        received(&event(EventType::ReminderCreated, "a", 1, made, crate::fixture::data(now() + hours(1), &[0])));
    world.apply(&[created.clone(), erased(now()), created]).await;
    assert_eq!(traces(&world).await, []);
}
