//! Shutdown of a process.

use contract::Channel;
use support::wait_until;

use crate::test_service::{DueOccurrence, LIMIT, TestService};

#[tokio::test]
async fn completes_attempts_and_releases_rest_on_drain() {
    let mut service = TestService::start_with(&[("PUSH_MAX_IN_FLIGHT", "4")]).await;
    service.register_device("ada", "token-1").await;
    service.set_provider_mode(|mode| mode.fcm.latency_ms = 300);
    let dues: Vec<DueOccurrence> = (0..60)
        .map(|at| {
            DueOccurrence::at(
                "ada",
                &[Channel::Push],
                chrono::Utc::now() - chrono::TimeDelta::seconds(at),
            )
        })
        .collect();
    service.publish(&dues.iter().map(DueOccurrence::message).collect::<Vec<_>>()).await;
    wait_until(LIMIT, async || !service.pushes("token-1").is_empty()).await;
    service.stop().await;

    let leased: i64 =
        sqlx::query_scalar("select count(*) from deliveries where state = 'pending' and leased")
            .fetch_one(&service.pool)
            .await
            .expect("counted");
    assert_eq!(leased, 0, "no lease is left");
    assert_eq!(service.count_in_state("sent").await as usize, service.pushes("token-1").len());
    let outbox: i64 = sqlx::query_scalar("select count(*) from outbox")
        .fetch_one(&service.pool)
        .await
        .expect("counted");
    assert_eq!(outbox, 0, "all events are published");

    service.set_provider_mode(|_| {});
    service.restart().await;
    wait_until(LIMIT, async || service.count_in_state("sent").await == 60).await;
    assert_eq!(service.pushes("token-1").len(), 60);
}
