//! Pages of the internal REST API: bounded by their bytes, a few made at once.

use serde_json::Value;
use support::wait_until;
use tokio::task::JoinSet;

use crate::{
    fixture::{created, deleted, hours, now},
    running::{LIMIT, running_service, wait_for_partitions},
};

#[tokio::test(flavor = "multi_thread")]
async fn ends_page_of_large_content_by_bytes() {
    let service = running_service().await;
    let pool = service.database.pool().await;
    wait_for_partitions(&pool).await;
    // 300 edits of one reminder and as many reminders, of 40 KiB each.
    for sql in [
        "insert into events (occurred_at, event_id, event_type, item_id, user_id, version, data)
         select now() - n * interval '1 second', gen_random_uuid(), 'reminder:updated', 'large',
             'user-1', n,
             jsonb_build_object('message', repeat(md5(n::text), 1280))
         from generate_series(1, 300) as n",
        "insert into notifications (id, source, item_id, user_id, version, state, date,
            notify_offsets, content, occurred_at)
         select gen_random_uuid(), 'reminder', 'item-' || n, 'user-1', 1, 'active', now(), '{0}',
             jsonb_build_object('message', repeat(md5(n::text), 1280)), now()
         from generate_series(1, 300) as n",
    ] {
        sqlx::query(sql).execute(&pool).await.expect("made");
    }
    for (path, list) in
        [("/events?limit=500", "events"), ("/notifications?limit=500", "notifications")]
    {
        let (mut shown, mut cursor) = (0, String::new());
        loop {
            let page = service.get(&format!("{path}{cursor}")).await;
            let entries = page[list].as_array().expect("a list").len();
            assert!((1..150).contains(&entries), "{path} shows {entries}");
            shown += entries;
            let Some(next) = page["nextCursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(shown, 300, "{path}");
    }
    let timeline = service.get("/timeline/large").await;
    assert_eq!(timeline["truncated"], true);
    assert!(timeline["timeline"].as_array().is_some_and(|steps| (1..150).contains(&steps.len())));
    assert_eq!(
        timeline["timeline"][0]["event"]["version"].as_i64().map(|version| version > 1),
        Some(true)
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_events_and_notifications_by_filter() {
    let service = running_service().await;
    let messages: Vec<_> = (0..5)
        .map(|index| created(&format!("item-{index}"), 1, now() + hours(index + 1), &[0]))
        .collect();
    service.publish(&messages).await;
    service.publish(&[deleted("item-9", 1)]).await;
    let total = async || service.get("/events").await["events"].as_array().map(Vec::len) == Some(6);
    wait_until(LIMIT, total).await;

    let first = service.get("/events?userId=user-1&type=reminder:created&limit=3").await;
    let cursor = first["nextCursor"].as_str().expect("more").to_owned();
    let second = service
        .get(&format!("/events?userId=user-1&type=reminder:created&limit=3&cursor={cursor}"))
        .await;
    assert_eq!(
        (first["events"].as_array().map(Vec::len), second["events"].as_array().map(Vec::len)),
        (Some(3), Some(2))
    );
    assert_eq!(second["nextCursor"], Value::Null);
    assert_eq!(service.get("/events?itemId=item-3").await["events"][0]["itemId"], "item-3");

    let before = (now() + hours(3)).to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let due = service.get(&format!("/notifications?state=pending&dueBefore={before}")).await;
    assert_eq!(
        due["notifications"].as_array().map(Vec::len),
        Some(3),
        "those due within one, two and three hours"
    );
    let tombstones = service.get("/notifications?state=deleted").await;
    assert_eq!(tombstones["notifications"][0]["itemId"], "item-9");
    for bad in [
        "/events?limit=0",
        "/events?cursor=x",
        "/events?who=me",
        "/notifications?state=lost",
        "/dead-letters?queue=other",
    ] {
        assert_eq!(service.client.get(bad).await.status, 400, "{bad}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leaves_connections_to_others_while_listing() {
    let service = running_service().await;
    let pool = service.database.pool().await;
    wait_for_partitions(&pool).await;
    let mut lock = pool.begin().await.expect("a transaction");
    sqlx::query("lock table events in access exclusive mode")
        .execute(&mut *lock)
        .await
        .expect("locked");

    let mut pages = JoinSet::new();
    for _ in 0..6 {
        let client = service.client.clone();
        pages.spawn(async move { client.get("/timeline/unknown").await.status });
    }
    let waiting =
        "select count(*) from pg_locks where relation = 'events'::regclass and not granted";
    wait_until(LIMIT, async || {
        sqlx::query_scalar::<_, i64>(waiting).fetch_one(&pool).await.is_ok_and(|count| count >= 2)
    })
    .await;
    assert_eq!(service.client.get("/audit").await.status, 200);

    lock.rollback().await.expect("rolled back");
    assert_eq!(pages.join_all().await, [404; 6], "each has its turn");
    service.stop().await;
}
