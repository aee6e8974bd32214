//! Limits of one user, and of one transaction.

use chrono::{TimeDelta, Utc};
use contract::{Channel, EventType};
use serde_json::json;

use crate::test_service::{DueOccurrence, LIMIT, TestService};

#[tokio::test]
async fn publishes_removal_of_evicted_device() {
    let service = TestService::start_with(&[("MAX_DEVICES_PER_USER", "2")]).await;
    let oldest = service.register_device("ada", "token-1").await;
    for token in ["token-2", "token-3"] {
        service.register_device("ada", token).await;
    }

    let fact = service.wait_for_event(EventType::DeviceRemoved, &oldest).await;
    assert_eq!((fact.user_id.as_str(), &fact.data["reason"]), ("ada", &json!("DEVICE_LIMIT")));
    let devices = service.user("ada").get("/device").await.body;
    assert_eq!(devices["devices"].as_array().map(Vec::len), Some(2), "{devices}");
    let due = service.publish_due("ada", &[Channel::Push]).await;
    service.wait_for_state(&due, Channel::Push, "sent").await;
    assert_eq!(service.wait_for_outcome(&due, EventType::NotificationSent).await.deliveries, 2);
}

#[tokio::test]
async fn sends_to_most_recent_devices_only() {
    let service = TestService::start().await;
    // A version without the limit left them behind.
    sqlx::query(
        "insert into devices (id, user_id, token, token_hash, type, last_seen_at)
         select gen_random_uuid(), 'ada', 'token-' || n, sha256(('token-' || n)::bytea),
             'android', now() - n * interval '1 hour'
         from generate_series(1, 301) as n",
    )
    .execute(&service.pool)
    .await
    .expect("301 devices");
    let due = service.publish_due("ada", &[Channel::Push]).await;
    support::wait_until(LIMIT, async || service.count_in_state("sent").await == 20).await;

    assert_eq!(service.wait_for_outcome(&due, EventType::NotificationSent).await.deliveries, 20);
    assert_eq!((service.pushes("token-20").len(), service.pushes("token-21").len()), (1, 0));
}

#[tokio::test]
async fn bounds_rows_of_one_transaction() {
    let service = TestService::start().await;
    for number in 0..20 {
        service.register_device("ada", &format!("token-{number}")).await;
    }
    service.start_quiet_hours("ada").await;
    let dues: Vec<DueOccurrence> = (0..150)
        .map(|second| {
            DueOccurrence::at("ada", &[Channel::Push], Utc::now() - TimeDelta::seconds(second))
        })
        .collect();
    service.publish(&dues.iter().map(DueOccurrence::message).collect::<Vec<_>>()).await;

    support::wait_until(LIMIT, async || service.count_in_state("deferred").await == 3_000).await;
    let most: i64 = sqlx::query_scalar(
        "select max(rows) from (select count(*) as rows from deliveries group by xmin::text) as it",
    )
    .fetch_one(&service.pool)
    .await
    .expect("counted");
    assert!(most <= 2_000, "{most} rows in one transaction");
}
