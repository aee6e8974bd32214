//! Failures of providers and of the database: nothing is lost, and other deliveries are not
//! delayed.

use std::time::Duration;

use contract::{Channel, EventType};
use serde_json::json;
use support::wait_until;

use crate::test_service::{DueOccurrence, LIMIT, TestService};

#[tokio::test]
async fn sends_after_outage_of_provider() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    service.set_provider_mode(|mode| (mode.fcm.status, mode.ses.down) = (Some(503), true));
    let due = service.publish_due("ada", &[Channel::Email, Channel::Push]).await;
    for channel in [Channel::Push, Channel::Email] {
        wait_until(LIMIT, async || match service.wait_for_state(&due, channel, "pending").await {
            (_, 1..) => Ok(()),
            other => Err(other),
        })
        .await;
    }
    service.set_provider_mode(|_| {});
    service.make_retries_due().await;

    assert!(service.wait_for_state(&due, Channel::Push, "sent").await.1 >= 2);
    assert!(service.wait_for_state(&due, Channel::Email, "sent").await.1 >= 2);
    assert_eq!((service.pushes("token-1").len(), service.emails("ada@example.com").len()), (1, 1));
}

#[tokio::test]
async fn retries_not_before_retry_after() {
    let service = TestService::start().await;
    service.register_device("ada", "flaky-1-x").await;
    let due = service.publish_due("ada", &[Channel::Push]).await;
    wait_until(LIMIT, async || service.wait_for_state(&due, Channel::Push, "pending").await.1 == 1)
        .await;

    let wait: f64 = sqlx::query_scalar(
        "select extract(epoch from next_attempt_at - first_attempt_at)::float8 from deliveries",
    )
    .fetch_one(&service.pool)
    .await
    .expect("a row");
    assert!(wait >= 10.0, "{wait}");
}

#[tokio::test]
async fn pauses_only_pushes_when_project_is_throttled() {
    let service = TestService::start().await;
    let users = ["ada", "bob", "cyd", "dan", "eve", "fay"];
    for user in users {
        service.register_device(user, &format!("token-{user}")).await;
    }
    service
        .set_provider_mode(|mode| (mode.fcm.status, mode.fcm.retry_after) = (Some(429), Some(3)));
    let mut dues = Vec::new();
    for user in users {
        dues.push(service.publish_due(user, &[Channel::Email, Channel::Push]).await);
    }
    wait_until(LIMIT, async || {
        service.metric("reminders_circuit_breaker_state", "push").await == 1.0
    })
    .await;
    for due in &dues {
        service.wait_for_state(due, Channel::Email, "sent").await;
    }
    service.set_provider_mode(|_| {});
    for due in &dues {
        service.wait_for_state(due, Channel::Push, "sent").await;
    }
    for user in users {
        let attempts = service.sandbox.attempts(&format!("token-{user}"));
        let sends: Vec<_> = attempts.into_iter().filter(|attempt| !attempt.validate_only).collect();
        for pair in sends.windows(2) {
            assert!(
                pair[1].at - pair[0].at >= chrono::TimeDelta::seconds(3),
                "{user} was called early"
            );
        }
    }
}

#[tokio::test]
async fn pauses_only_devices_that_are_refused_or_throttled() {
    let service = TestService::start().await;
    let bad = [
        "quota-after-3000-x",
        "quota-x",
        "third-party-x",
        "sender-mismatch-x",
        "quota-after-9300000000000000000-x",
    ];
    for (number, token) in bad.into_iter().enumerate() {
        for user in ["eve", "mal"] {
            service.register_device(user, &format!("{token}-{user}-{number}")).await;
        }
    }
    service.register_device("ada", "token-1").await;
    for user in ["eve", "mal"].repeat(5) {
        let mut due = DueOccurrence::now(user, &[Channel::Push]);
        due.send.expires_at = chrono::Utc::now() + chrono::TimeDelta::days(300);
        service.publish(&[due.message()]).await;
    }
    wait_until(LIMIT, async || service.count_attempted().await == 50).await;
    let due = service.publish_due("ada", &[Channel::Push]).await;
    service.wait_for_state(&due, Channel::Push, "sent").await;
    assert_eq!(service.metric("reminders_circuit_breaker_opened_total", "push").await, 0.0);
    assert_eq!(service.metric("reminders_push_platform_circuit_breaker_open", "").await, 0.0);
}

#[tokio::test]
async fn stops_dispatcher_when_account_is_refused() {
    let service = TestService::start().await;
    let id = service.register_device("ada", "token-1").await;
    service.set_provider_mode(|mode| mode.fcm.status = Some(403));
    let dues = [
        service.publish_due("ada", &[Channel::Email, Channel::Push]).await,
        service.publish_due("ada", &[Channel::Push]).await,
    ];
    wait_until(LIMIT, async || {
        service.metric("reminders_circuit_breaker_state", "push").await == 2.0
    })
    .await;

    service.wait_for_state(&dues[0], Channel::Email, "sent").await;
    for due in &dues {
        assert_eq!(
            service.wait_for_state(due, Channel::Push, "pending").await.1,
            0,
            "no attempt is counted"
        );
    }
    assert_eq!(
        service.user("ada").get("/device").await.body["devices"][0]["id"],
        json!(id),
        "no device is removed"
    );
    service.set_provider_mode(|_| {});
    for due in &dues {
        assert_eq!(service.wait_for_state(due, Channel::Push, "sent").await.1, 1);
    }
    wait_until(LIMIT, async || {
        service.metric("reminders_circuit_breaker_state", "push").await == 0.0
    })
    .await;
}

#[tokio::test]
async fn stops_only_platform_when_its_key_is_refused() {
    let service = TestService::start().await;
    let users = ["ada", "bob", "cyd", "dan", "eve"];
    for user in users {
        service.register_device_of_type(user, &format!("third-party-{user}"), "ios").await;
    }
    service.register_device("gus", "token-1").await;
    for user in users {
        service.publish_due(user, &[Channel::Push]).await;
    }
    wait_until(LIMIT, async || {
        service.metric("reminders_push_platform_circuit_breaker_open", "ios").await == 1.0
    })
    .await;
    service.register_device_of_type("fay", "third-party-fay", "ios").await;
    let held = service.publish_due("fay", &[Channel::Push]).await;
    let due = service.publish_due("gus", &[Channel::Push]).await;

    service.wait_for_state(&due, Channel::Push, "sent").await;
    assert_eq!(
        service.wait_for_state(&held, Channel::Push, "pending").await.1,
        0,
        "no attempt is counted"
    );
    assert_eq!(service.metric("reminders_circuit_breaker_state", "push").await, 0.0);
}

#[tokio::test]
async fn ends_with_reason_when_one_device_stays_refused() {
    let service = TestService::start().await;
    service.register_device("eve", "sender-mismatch-1").await;
    let due = service.publish_due("eve", &[Channel::Push]).await;
    wait_until(LIMIT, async || service.wait_for_state(&due, Channel::Push, "pending").await.1 == 1)
        .await;
    // The same five attempts, some time later. The device was registered again meanwhile, so that
    // no pause applies.
    sqlx::query(
        "update deliveries set first_attempt_at = now() - interval '3 hours', attempts = 5",
    )
    .execute(&service.pool)
    .await
    .expect("aged");
    service.register_device("eve", "sender-mismatch-1").await;
    service.make_retries_due().await;

    let outcome = service.wait_for_outcome(&due, EventType::NotificationFailed).await;
    assert_eq!((outcome.reason.as_deref(), outcome.attempts), (Some("SENDER_ID_MISMATCH"), 6));
}

#[tokio::test]
async fn sends_pushes_once_when_registrations_flood_provider() {
    let service = TestService::start_with(&[
        ("PUSH_MAX_IN_FLIGHT", "20"),
        ("DEVICE_CHECKS_MAX_IN_FLIGHT", "10"),
    ])
    .await;
    for number in 0..20 {
        service.register_device(&format!("owner-{number}"), &format!("token-{number}")).await;
    }
    service.set_provider_mode(|mode| mode.fcm.latency_ms = 3_000);
    let registrations = (0..60).map(|number| {
        let user = service.user(&format!("user-{number}"));
        async move {
            user.post(
                "/device/register",
                &json!({"fcmToken": format!("new-{number}"), "type": "web"}),
            )
            .await
        }
    });
    let registrations = futures::future::join_all(registrations);
    let dues: Vec<DueOccurrence> = (0..40)
        .map(|number| DueOccurrence::now(&format!("owner-{}", number % 20), &[Channel::Push]))
        .collect();
    let pushes = async {
        service.publish(&dues.iter().map(DueOccurrence::message).collect::<Vec<_>>()).await;
        wait_until(LIMIT, async || service.count_in_state("sent").await == 40).await;
    };
    let (answers, ()) = tokio::join!(registrations, pushes);

    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert!(refused.len() >= 40, "{} were refused at once", refused.len());
    assert!(answers.iter().all(|answer| matches!(answer.status, 201 | 503)));
    let pushed: Vec<usize> =
        (0..20).map(|number| service.pushes(&format!("token-{number}")).len()).collect();
    assert_eq!(pushed, [2; 20]);
}

#[tokio::test]
async fn suppresses_delivery_that_expires_in_outage() {
    let service = TestService::start().await;
    service.register_device("ada", "unavailable-1").await;
    let mut due = DueOccurrence::now("ada", &[Channel::Push]);
    due.send.expires_at = chrono::Utc::now() + chrono::TimeDelta::seconds(5);
    service.publish(&[due.message()]).await;

    let outcome = service.wait_for_outcome(&due, EventType::NotificationSuppressed).await;
    assert_eq!((outcome.reason.as_deref(), outcome.attempts), (Some("EXPIRED"), 1));
}

#[tokio::test]
async fn loses_nothing_when_database_connections_break() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    let dues: Vec<DueOccurrence> = (0..300)
        .map(|at| {
            DueOccurrence::at(
                "ada",
                &[Channel::Push],
                chrono::Utc::now() - chrono::TimeDelta::seconds(at),
            )
        })
        .collect();
    for part in dues.chunks(30) {
        service.publish(&part.iter().map(DueOccurrence::message).collect::<Vec<_>>()).await;
        sqlx::query(
            "select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and application_name = 'notification-service'",
        )
        .execute(&service.pool)
        .await
        .expect("broken");
    }
    // A broken connection during the commit may leave a lease behind, which expires after a minute.
    wait_until(Duration::from_secs(100), async || {
        let sent = service.count_in_state("sent").await;
        if sent == 300 { Ok(()) } else { Err(sent) }
    })
    .await;
    assert_eq!(service.pushes("token-1").len(), 300);
}

#[tokio::test]
async fn delivers_others_when_one_message_fails_batch() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    let fail = "create function fail() returns trigger language plpgsql as $$ begin
            if new.user_id = 'eve' then raise exception 'scripted' using errcode = '57014'; end if;
            return new;
        end $$;
        create trigger fail before insert on dispatches for each row execute function fail();";
    sqlx::raw_sql(fail).execute(&service.pool).await.expect("a trigger");
    let second = |number| chrono::Utc::now() - chrono::TimeDelta::seconds(number);
    let mut dues: Vec<DueOccurrence> =
        (0..40).map(|number| DueOccurrence::at("ada", &[Channel::Push], second(number))).collect();
    dues.insert(20, DueOccurrence::now("eve", &[Channel::Push]));

    service.publish(&dues.iter().map(DueOccurrence::message).collect::<Vec<_>>()).await;

    wait_until(LIMIT, async || {
        let sent = service.count_in_state("sent").await;
        if sent == 40 { Ok(()) } else { Err(sent) }
    })
    .await;
    let held = service.bus.depth("notification-queue").await.expect("a count");
    assert_eq!((held.visible + held.in_flight, held.delayed), (1, 0), "eve's message is retried");
    let dead = service.bus.dead_letters("notification-queue", 10).await.expect("dead letters");
    assert!(dead.is_empty(), "{dead:?}");
}

#[tokio::test]
async fn records_others_when_one_outcome_fails_batch() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    service.register_device("eve", "token-2").await;
    let fail = "create function fail() returns trigger language plpgsql as $$ begin
            if new.user_id = 'eve' and new.state = 'sent'
                then raise exception 'scripted' using errcode = '57014'; end if;
            return new;
        end $$;
        create trigger fail before update on deliveries for each row execute function fail();";
    sqlx::raw_sql(fail).execute(&service.pool).await.expect("a trigger");
    service.set_provider_mode(|mode| mode.fcm.latency_ms = 300);
    let second = |number| chrono::Utc::now() - chrono::TimeDelta::seconds(number);
    let mut dues: Vec<DueOccurrence> =
        (0..40).map(|number| DueOccurrence::at("ada", &[Channel::Push], second(number))).collect();
    dues.insert(20, DueOccurrence::now("eve", &[Channel::Push]));

    service.publish(&dues.iter().map(DueOccurrence::message).collect::<Vec<_>>()).await;

    wait_until(LIMIT, async || {
        let sent = service.count_in_state("sent").await;
        if sent == 40 { Ok(()) } else { Err(sent) }
    })
    .await;
    // Fails alone, while others are recorded.
    wait_until(LIMIT, async || {
        service.publish_due("ada", &[Channel::Push]).await;
        service.metric("reminders_outcomes_abandoned_total", "push").await >= 1.0
    })
    .await;
    wait_until(LIMIT, async || service.count_in_state("pending").await == 1).await;
    assert_eq!(service.pushes("token-2").len(), 1);
}
