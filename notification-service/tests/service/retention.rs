//! What is old is forgotten, and never what still waits.

use shared::contract::Channel;
use support::eventually;

use crate::test_service::{Due, LIMIT, Service};

async fn kept(service: &Service, due: &Due) -> (i64, i64) {
    sqlx::query_as(
        "select (select count(*) from dispatches where occurrence_id = $1), (select count(*) from deliveries where occurrence_id = $1)",
    )
    .bind(due.id())
    .fetch_one(&service.pool)
    .await
    .expect("counted")
}

#[tokio::test]
async fn purges_old_deliveries_unless_pending() {
    let mut service = Service::start_with(&[("RETENTION_DAYS", "2")]).await;
    let [old, recent] =
        [service.due("ada", &[Channel::Email]).await, service.due("ada", &[Channel::Email]).await];
    for due in [&old, &recent] {
        service.ends(due, Channel::Email, "sent").await;
    }
    service.night("ada").await;
    let waiting = service.due("ada", &[Channel::Email]).await;
    service.ends(&waiting, Channel::Email, "deferred").await;
    service.stop().await;
    for (due, hours) in [(&old, 49), (&recent, 47), (&waiting, 49)] {
        sqlx::query("update dispatches set received_at = now() - make_interval(hours => $2) where occurrence_id = $1")
            .bind(due.id())
            .bind(hours)
            .execute(&service.pool)
            .await
            .expect("aged");
    }
    service.run().await;

    eventually(LIMIT, async || kept(&service, &old).await == (0, 0)).await;
    assert_eq!((kept(&service, &recent).await, kept(&service, &waiting).await), ((1, 1), (1, 1)));
}
