//! Every statement finds its rows by an index.

use notification_service::store::MIGRATOR;

/// Rows that make the planner treat tables as large.
const FILL: &str = "
    insert into devices (id, user_id, token, token_hash, type, invalidated_at)
        select gen_random_uuid(), 'user-' || number % 500, 'token-' || number,
            sha256(number::text::bytea), 'web',
            case when number % 10 = 0 then now() end
        from generate_series(1, 5000) as number;
    analyze devices";

#[tokio::test]
async fn reads_no_growing_table_whole() {
    let database = support::postgres::migrated("notification", &MIGRATOR).await;
    sqlx::raw_sql(FILL).execute(&database.pool().await).await.expect("filled");
    // Small tables: a row for each channel, and devices and recalls of the last two minutes.
    let exceptions = ["send_budgets:", "departed_devices:", "recalls:"];
    let reads = support::plans::whole_table_reads(database.url(), &exceptions).await;
    assert!(reads.is_empty(), "{reads:#?}");
}
