//! Query plans: every statement uses an index.

use reminder_service::store::MIGRATOR;

#[tokio::test]
async fn reads_no_growing_table_whole() {
    let database = support::postgres::migrated("reminders", &MIGRATOR).await;
    // One row, by which one process at a time follows the zones of users.
    let except = ["zone_feed:"];
    let reads = support::plans::whole_table_reads(database.url(), &except).await;
    assert!(reads.is_empty(), "{reads:#?}");
}
