//! Purge of old deliveries, except for pending ones.

use contract::Channel;
use support::wait_until;

use crate::test_service::{DueOccurrence, LIMIT, TestService};

async fn count_rows(service: &TestService, due: &DueOccurrence) -> (i64, i64) {
    sqlx::query_as(
        "select (select count(*) from dispatches where occurrence_id = $1), (select count(*)
         from deliveries where occurrence_id = $1)",
    )
    .bind(due.id())
    .fetch_one(&service.pool)
    .await
    .expect("counted")
}

#[tokio::test]
async fn purges_old_deliveries_unless_pending() {
    let mut service = TestService::start_with(&[("RETENTION_DAYS", "2")]).await;
    let [old, recent] = [
        service.publish_due("ada", &[Channel::Email]).await,
        service.publish_due("ada", &[Channel::Email]).await,
    ];
    for due in [&old, &recent] {
        service.wait_for_state(due, Channel::Email, "sent").await;
    }
    service.start_quiet_hours("ada").await;
    let waiting = service.publish_due("ada", &[Channel::Email]).await;
    service.wait_for_state(&waiting, Channel::Email, "deferred").await;
    service.stop().await;
    for (due, hours) in [(&old, 49), (&recent, 47), (&waiting, 49)] {
        sqlx::query(
            "update dispatches set received_at = now() - make_interval(hours => $2)
            where occurrence_id = $1",
        )
        .bind(due.id())
        .bind(hours)
        .execute(&service.pool)
        .await
        .expect("aged");
    }
    service.restart().await;

    wait_until(LIMIT, async || count_rows(&service, &old).await == (0, 0)).await;
    assert_eq!(
        (count_rows(&service, &recent).await, count_rows(&service, &waiting).await),
        ((1, 1), (1, 1))
    );
}
