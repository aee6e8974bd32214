//! Providers and databases in trouble: nothing is lost, nobody else is held up.

use std::time::Duration;

use serde_json::json;
use shared::contract::{Channel, EventType};
use support::eventually;

use crate::harness::{Due, LIMIT, Service};

#[tokio::test]
async fn while_a_provider_is_away_its_messages_wait_and_then_go() {
    let service = Service::start().await;
    service.device("ada", "token-1").await;
    service.mode(|mode| (mode.fcm.status, mode.ses.down) = (Some(503), true));
    let due = service.due("ada", &[Channel::Email, Channel::Push]).await;
    for channel in [Channel::Push, Channel::Email] {
        eventually(LIMIT, async || match service.ends(&due, channel, "pending").await {
            (_, 1..) => Ok(()),
            other => Err(other),
        })
        .await;
    }
    service.mode(|_| {});
    service.hurry().await;

    assert!(service.ends(&due, Channel::Push, "sent").await.1 >= 2);
    assert!(service.ends(&due, Channel::Email, "sent").await.1 >= 2);
    assert_eq!((service.pushes("token-1").len(), service.emails("ada@example.com").len()), (1, 1));
}

#[tokio::test]
async fn a_retry_is_never_early() {
    let service = Service::start().await;
    service.device("ada", "flaky-1-x").await;
    let due = service.due("ada", &[Channel::Push]).await;
    eventually(LIMIT, async || service.ends(&due, Channel::Push, "pending").await.1 == 1).await;

    let wait: f64 =
        sqlx::query_scalar("select extract(epoch from next_attempt_at - first_attempt_at)::float8 from deliveries")
            .fetch_one(&service.pool)
            .await
            .expect("a row");
    assert!(wait >= 10.0, "{wait}");
}

#[tokio::test]
async fn a_throttle_pauses_the_pushes_and_not_the_mail() {
    let service = Service::start().await;
    service.device("ada", "token-1").await;
    service.device("bob", "quota-after-4-x").await;
    let throttled = service.due("bob", &[Channel::Push]).await;
    eventually(LIMIT, async || service.ends(&throttled, Channel::Push, "pending").await.1 == 1).await;
    let held = service.due("ada", &[Channel::Email, Channel::Push]).await;

    service.ends(&held, Channel::Email, "sent").await;
    assert!(service.pushes("token-1").is_empty(), "the lane of pushes is paused");
    service.ends(&held, Channel::Push, "sent").await;
    let refused = service
        .sandbox
        .attempts("quota-after-4-x")
        .into_iter()
        .find(|it| !it.validate_only)
        .expect("the throttled attempt")
        .at;
    assert!(service.pushes("token-1")[0].at - refused >= chrono::TimeDelta::seconds(4), "not called early");
}

#[tokio::test]
async fn a_refused_account_stops_the_lane_and_burns_nothing() {
    let service = Service::start().await;
    let id = service.device("ada", "token-1").await;
    service.mode(|mode| mode.fcm.status = Some(403));
    let dues = [service.due("ada", &[Channel::Email, Channel::Push]).await, service.due("ada", &[Channel::Push]).await];
    eventually(LIMIT, async || service.metric("lane_state", "push").await == 2.0).await;

    service.ends(&dues[0], Channel::Email, "sent").await;
    for due in &dues {
        assert_eq!(service.ends(due, Channel::Push, "pending").await.1, 0, "no attempt is counted");
    }
    assert_eq!(service.user("ada").get("/device").await.body["devices"][0]["id"], json!(id), "no device is removed");
    service.mode(|_| {});
    for due in &dues {
        assert_eq!(service.ends(due, Channel::Push, "sent").await.1, 1);
    }
    eventually(LIMIT, async || service.metric("lane_state", "push").await == 0.0).await;
}

#[tokio::test]
async fn one_token_of_another_project_does_not_hold_up_the_others_for_good() {
    let service = Service::start().await;
    service.device("eve", "sender-mismatch-1").await;
    service.device("ada", "token-1").await;
    service.due("eve", &[Channel::Push]).await;
    eventually(LIMIT, async || service.metric("lane_state", "push").await == 2.0).await;
    let due = service.due("ada", &[Channel::Push]).await;

    service.ends(&due, Channel::Push, "sent").await;
}

#[tokio::test]
async fn what_expires_while_its_provider_is_away_is_not_sent() {
    let service = Service::start().await;
    service.device("ada", "unavailable-1").await;
    let mut due = Due::now("ada", &[Channel::Push]);
    due.send.expires_at = chrono::Utc::now() + chrono::TimeDelta::seconds(5);
    service.publish(&[due.message()]).await;

    let outcome = service.outcome(&due, EventType::NotificationSuppressed).await;
    assert_eq!((outcome.reason.as_deref(), outcome.attempts), (Some("EXPIRED"), 1));
}

#[tokio::test]
async fn broken_connections_to_the_database_lose_and_double_nothing() {
    let service = Service::start().await;
    service.device("ada", "token-1").await;
    let dues: Vec<Due> = (0..300)
        .map(|at| Due::at("ada", &[Channel::Push], chrono::Utc::now() - chrono::TimeDelta::seconds(at)))
        .collect();
    for part in dues.chunks(30) {
        service.publish(&part.iter().map(Due::message).collect::<Vec<_>>()).await;
        sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'notification-service'")
            .execute(&service.pool)
            .await
            .expect("broken");
    }
    // A break in the very commit may leave a lease behind, which runs out after a minute.
    eventually(Duration::from_secs(100), async || {
        let sent = service.count("sent").await;
        if sent == 300 { Ok(()) } else { Err(sent) }
    })
    .await;
    assert_eq!(service.pushes("token-1").len(), 300);
}

#[tokio::test]
async fn delivers_the_others_when_one_message_fails_the_batch() {
    let service = Service::start().await;
    service.device("ada", "token-1").await;
    let fail = "create function fail() returns trigger language plpgsql as $$ begin
            if new.user_id = 'eve' then raise exception 'scripted' using errcode = '57014'; end if;
            return new;
        end $$;
        create trigger fail before insert on dispatches for each row execute function fail();";
    sqlx::raw_sql(fail).execute(&service.pool).await.expect("a trigger");
    let second = |number| chrono::Utc::now() - chrono::TimeDelta::seconds(number);
    let mut dues: Vec<Due> = (0..40).map(|number| Due::at("ada", &[Channel::Push], second(number))).collect();
    dues.insert(20, Due::now("eve", &[Channel::Push]));

    service.publish(&dues.iter().map(Due::message).collect::<Vec<_>>()).await;

    eventually(LIMIT, async || {
        let sent = service.count("sent").await;
        if sent == 40 { Ok(()) } else { Err(sent) }
    })
    .await;
    let held = service.bus.depth("notification-queue").await.expect("a count");
    assert_eq!((held.visible + held.in_flight, held.delayed), (1, 0), "eve's message is tried again");
    let dead = service.bus.dead_letters("notification-queue", 10).await.expect("dead letters");
    assert!(dead.is_empty(), "{dead:?}");
}
