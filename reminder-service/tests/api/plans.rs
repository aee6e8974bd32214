//! Query plans: every statement uses an index.

use reminder_service::store::MIGRATOR;

#[tokio::test]
async fn reads_no_growing_table_whole() {
    let database = support::postgres::migrated("reminders", &MIGRATOR).await;
    let reads = support::plans::whole_table_reads(database.url(), &[]).await;
    assert!(reads.is_empty(), "{reads:#?}");
}
