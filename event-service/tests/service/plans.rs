//! Every statement of event-service and of the scheduler finds its rows by an index.

use event_service::store::MIGRATOR;

/// Rows by which the planner sees that a table may be large.
const FILL: &str = "
    insert into notifications (id, source, item_id, user_id, version, state, date, notify_offsets,
        content, occurred_at)
        select md5(number::text)::uuid, 'reminder', 'item-' || number, 'user-' || number % 500, 1,
            'active', now(), '{10}',
            '{}', now()
        from generate_series(1, 5000) as number;
    insert into occurrences (id, notification_id, due_at, date, expires_at, state)
        select gen_random_uuid(), md5(number::text)::uuid, now(), now(), now(),
            (case when number % 20 = 0 then 'pending' when number % 20 = 1 then 'released'
                else 'sent' end)::occurrence_state
        from generate_series(1, 5000) as number;
    analyze notifications, occurrences";

#[tokio::test]
async fn scans_no_growing_table() {
    let database = support::postgres::migrated("events", &MIGRATOR).await;
    sqlx::raw_sql(FILL).execute(&database.pool().await).await.expect("filled");
    let except = [
        // One row.
        "scheduler_sleep:",
        // Erasures that are under way.
        "pending_erasures:",
        // What had no outcome for an hour is counted for an alarm.
        "unsettled: select (select count(*)",
        // An operator's list of what waits: the partial index of what is pending is read.
        "occurrences: select id, source, item_id, user_id, version, state::text as",
    ];
    let reads = support::plans::whole_table_reads(database.url(), &except).await;
    assert!(reads.is_empty(), "{reads:#?}");
}
