//! Cost of a claim: pages that it reads.

use serde_json::Value;
use sqlx::PgPool;

use crate::fixture::test_service;

/// Executes a claim with its plan, which must use the index; returns the number of pages read.
async fn pages(pool: &PgPool, not_before: &str) -> i64 {
    let explain = "explain (analyze, buffers, format json)
        with due as materialized (
            select id from occurrences
            where pending and due_at <= now() and due_at >= $1::text::timestamptz
              and lease_until <= now()
            order by due_at limit 500 for update skip locked
        )
        update occurrences set lease_until = now() + interval '1 second', fence = fence + 1 from due
        where occurrences.id = due.id
        returning occurrences.id";
    let plan: Value =
        sqlx::query_scalar(explain).bind(not_before).fetch_one(pool).await.expect("a plan");
    let text = plan.to_string();
    assert!(
        text.contains("occurrences_due")
            && !text.contains("Seq Scan")
            && !text.contains("\"Sort\""),
        "{text}"
    );
    let blocks = |kind: &str| plan[0]["Plan"][kind].as_i64().expect("a count");
    blocks("Shared Hit Blocks") + blocks("Shared Read Blocks")
}

#[tokio::test]
async fn reads_only_due_rows_when_claiming() {
    let service = test_service().await;
    service.make(100_000, "1 day").await;
    service.make(10, "-1 minute").await;
    // Before and after the planner knows the table.
    for prepare in ["select 1", "analyze occurrences, notifications"] {
        service.run(prepare).await;
        let read = pages(&service.pool, "-infinity").await;
        assert!(read < 1_000, "{read} pages for ten occurrences");
        service
            .run("update occurrences set lease_until = '-infinity' where lease_until > now()")
            .await;
    }
}

#[tokio::test]
async fn skips_dead_entries_with_hint() {
    let service = test_service().await;
    service.make(20_000, "-1 hour").await;
    service.make(10, "-1 minute").await;
    let mut reader = service.pool.begin().await.expect("begun");
    sqlx::query("set transaction isolation level repeatable read")
        .execute(&mut *reader)
        .await
        .expect("set");
    sqlx::query("select 1 from occurrences limit 1")
        .execute(&mut *reader)
        .await
        .expect("a snapshot");
    service
        .run(
            "update occurrences set state = 'released'
        where due_at < now() - interval '30 minutes'",
        )
        .await;

    let without = pages(&service.pool, "-infinity").await;
    service.run("update occurrences set lease_until = '-infinity' where lease_until > now()").await;
    let hint = (chrono::Utc::now() - chrono::TimeDelta::minutes(5)).to_rfc3339();
    let with = pages(&service.pool, &hint).await;
    reader.rollback().await.expect("ended");
    assert!(with < 300 && without > 5 * with, "{with} pages with the hint, {without} without");
}
