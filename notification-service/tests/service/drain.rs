//! The end of a process.

use shared::contract::Channel;
use support::eventually;

use crate::test_service::{Due, LIMIT, Service};

#[tokio::test]
async fn completes_attempts_and_releases_rest_on_drain() {
    let mut service = Service::start_with(&[("PUSH_MAX_IN_FLIGHT", "4")]).await;
    service.device("ada", "token-1").await;
    service.mode(|mode| mode.fcm.latency_ms = 300);
    let dues: Vec<Due> = (0..60)
        .map(|at| {
            Due::at("ada", &[Channel::Push], chrono::Utc::now() - chrono::TimeDelta::seconds(at))
        })
        .collect();
    service.publish(&dues.iter().map(Due::message).collect::<Vec<_>>()).await;
    eventually(LIMIT, async || !service.pushes("token-1").is_empty()).await;
    service.stop().await;

    let leased: i64 =
        sqlx::query_scalar("select count(*) from deliveries where state = 'pending' and leased")
            .fetch_one(&service.pool)
            .await
            .expect("counted");
    assert_eq!(leased, 0, "no lease outlives the process");
    assert_eq!(service.count("sent").await as usize, service.pushes("token-1").len());
    let outbox: i64 = sqlx::query_scalar("select count(*) from outbox")
        .fetch_one(&service.pool)
        .await
        .expect("counted");
    assert_eq!(outbox, 0, "everything was told");

    service.mode(|_| {});
    service.run().await;
    eventually(LIMIT, async || service.count("sent").await == 60).await;
    assert_eq!(service.pushes("token-1").len(), 60);
}
