//! Preferences of users, and their effect on deliveries. Quiet hours are set around the current
//! time, because the database's clock decides.

use chrono::{TimeDelta, Utc};
use contract::{Channel, DeliveryState, EventType, Priority};
use serde_json::{Value, json};

use crate::test_service::{DueOccurrence, LIMIT, TestService};

const BOTH: [Channel; 2] = [Channel::Email, Channel::Push];

fn quiet(from_minutes: i64, to_minutes: i64) -> Value {
    let at = |minutes| (Utc::now() + TimeDelta::minutes(minutes)).format("%H:%M").to_string();
    json!({"start": at(from_minutes), "end": at(to_minutes)})
}

/// Registers a phone of the user and starts quiet hours.
async fn set_up_user_in_quiet_hours(service: &TestService) {
    service.register_device("ada", "token-1").await;
    service
        .user("ada")
        .put("/preferences", &json!({"quietHours": quiet(-60, 60)}))
        .await
        .expect(200);
}

/// Returns the next attempt of the deliveries of an occurrence.
async fn next_attempt_at(service: &TestService, due: &DueOccurrence) -> chrono::DateTime<Utc> {
    sqlx::query_scalar(
        "select next_attempt_at from deliveries where occurrence_id = $1 and channel = 'push'",
    )
    .bind(due.id())
    .fetch_one(&service.pool)
    .await
    .expect("a row")
}

#[tokio::test]
async fn replaces_all_preferences() {
    let service = TestService::start().await;
    let ada = service.user("ada");
    let defaults =
        json!({"channels": {"push": true, "email": true}, "quietHours": null, "locale": null});
    assert_eq!(ada.get("/preferences").await.expect(200).body, defaults);

    let wanted = json!({
        "channels": {"push": true, "email": false},
        "quietHours": {"start": "22:00", "end": "07:00", "timeZone": "Europe/Berlin"},
        "locale": "pt-BR",
    });
    assert_eq!(ada.put("/preferences", &wanted).await.expect(200).body, wanted);
    assert_eq!(ada.get("/preferences").await.body, wanted);
    assert_eq!(service.user("bob").get("/preferences").await.body, defaults);
    let utc = ada
        .put("/preferences", &json!({"quietHours": {"start": "00:00", "end": "23:59"}}))
        .await
        .expect(200)
        .body;
    assert_eq!(utc["quietHours"], json!({"start": "00:00", "end": "23:59", "timeZone": "UTC"}));
    assert_eq!(ada.put("/preferences", &json!({})).await.expect(200).body, defaults);
    assert_eq!(ada.get("/preferences").await.body, defaults);
}

#[tokio::test]
async fn keeps_zone_of_user_beside_that_of_quiet_hours() {
    let service = TestService::start().await;
    let ada = service.user("ada");
    let hours = json!({"start": "22:00", "end": "07:00"});
    let body = json!({"timeZone": "Asia/Calcutta", "quietHours": hours});
    let stored = ada.put("/preferences", &body).await.expect(200).body;
    assert_eq!(stored["timeZone"], "Asia/Calcutta");
    assert_eq!(stored["quietHours"]["timeZone"], "Asia/Calcutta");
    assert_eq!(ada.get("/preferences").await.expect(200).body, stored);

    let mut other = body;
    other["quietHours"]["timeZone"] = json!("Europe/Berlin");
    let stored = ada.put("/preferences", &other).await.expect(200).body;
    assert_eq!(stored["timeZone"], "Asia/Calcutta");
    assert_eq!(stored["quietHours"]["timeZone"], "Europe/Berlin");
    // A zone that is left out is removed, like all preferences.
    let stored = ada.put("/preferences", &json!({})).await.expect(200).body;
    assert_eq!(stored.get("timeZone"), None);
}

#[tokio::test]
async fn names_malformed_field_of_preferences() {
    let service = TestService::start().await;
    let hours =
        |start, end, zone| json!({"quietHours": {"start": start, "end": end, "timeZone": zone}});
    for (body, field) in [
        (json!({"colour": "red"}), "colour"),
        (json!({"channels": {"push": true, "fax": true}}), "fax"),
        (json!({"channels": {"push": "yes"}}), "channels.push"),
        (json!({"quietHours": {"start": "22:00"}}), "quietHours"),
        (hours("22:00", "24:00", "UTC"), "quietHours.end"),
        (hours("7:00", "22:00", "UTC"), "quietHours.start"),
        (hours("22:00", "22:00", "UTC"), "quietHours.end"),
        (hours("22:00", "07:00", "Berlin"), "quietHours.timeZone"),
        (json!({"timeZone": "Berlin"}), "timeZone: must be the name of an IANA"),
        (json!({"timeZone": "+02:00"}), "timeZone: must be the name of an IANA"),
        (json!({"timeZone": 1}), "timeZone"),
        (json!({"locale": "de_DE"}), "locale"),
        (json!({"channels": [false, false]}), "channels: must be an object"),
        (json!({"quietHours": ["22:00", "07:00"]}), "quietHours: must be an object"),
        (json!([]), "a JSON object"),
        (json!(null), "a JSON object"),
    ] {
        let answer = service.user("ada").put("/preferences", &body).await.expect(400);
        assert_eq!(answer.reason(), Some("INVALID_REQUEST"));
        assert!(
            answer.body["error"]["message"].as_str().is_some_and(|text| text.contains(field)),
            "{}",
            answer.body
        );
    }
    let empty = service
        .user("ada")
        .try_send(reqwest::Method::PUT, "/preferences", None)
        .await
        .expect("an answer");
    assert_eq!((empty.status, empty.reason()), (400, Some("INVALID_REQUEST")));
    service.anonymous().get("/preferences").await.expect(401);
    service.anonymous().put("/preferences", &json!({})).await.expect(401);
}

#[tokio::test]
async fn suppresses_only_channel_that_is_switched_off() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    service.register_device("ada", "token-2").await;
    service
        .user("ada")
        .put("/preferences", &json!({"channels": {"push": false}}))
        .await
        .expect(200);
    let due = service.publish_due("ada", &BOTH).await;

    service.wait_for_state(&due, Channel::Email, "sent").await;
    let outcome = service.wait_for_outcome(&due, EventType::NotificationSuppressed).await;
    let published =
        (outcome.channel, outcome.device_id, outcome.reason.as_deref(), outcome.deliveries);
    assert_eq!(published, (Some(Channel::Push), None, Some("OPTED_OUT"), 2));
    assert!(service.pushes("token-1").is_empty());
}

#[tokio::test]
async fn defers_every_channel_in_quiet_hours() {
    let service = TestService::start().await;
    set_up_user_in_quiet_hours(&service).await;
    let due = service.publish_due("ada", &BOTH).await;
    for channel in BOTH {
        assert_eq!(
            service.wait_for_state(&due, channel, "deferred").await,
            (Some("QUIET_HOURS".to_owned()), 0)
        );
    }
    let published = service.wait_for_outcome(&due, EventType::NotificationDeferred).await;
    let until = next_attempt_at(&service, &due).await;
    assert_eq!(
        (published.state, published.until, published.deliveries),
        (DeliveryState::Deferred, Some(until), 2)
    );
    assert!(service.sandbox.captured().is_empty(), "nothing is sent in quiet hours");

    // Quiet hours end in two seconds, and the dispatchers wake up by themselves.
    let morning = Utc::now() + TimeDelta::seconds(2);
    sqlx::query("update deliveries set next_attempt_at = $1")
        .bind(morning)
        .execute(&service.pool)
        .await
        .expect("moved");
    for channel in BOTH {
        service.wait_for_state(&due, channel, "sent").await;
    }
    let at = service.pushes("token-1")[0].at;
    assert!(at >= morning && at - morning < TimeDelta::seconds(1), "{at} for {morning}");
}

#[tokio::test]
async fn sends_high_priority_in_quiet_hours() {
    let service = TestService::start().await;
    set_up_user_in_quiet_hours(&service).await;
    let mut due = DueOccurrence::now("ada", &BOTH);
    due.send.content.priority = Priority::High;
    service.publish(&[due.message()]).await;

    for channel in BOTH {
        service.wait_for_state(&due, channel, "sent").await;
    }
}

#[tokio::test]
async fn expires_no_delivery_by_quiet_hours() {
    let service = TestService::start().await;
    set_up_user_in_quiet_hours(&service).await;
    let mut due = DueOccurrence::now("ada", &[Channel::Push]);
    due.send.expires_at = due.send.due_at + TimeDelta::minutes(5);
    service.publish(&[due.message()]).await;
    service.wait_for_state(&due, Channel::Push, "deferred").await;

    let kept: chrono::DateTime<Utc> = sqlx::query_scalar("select expires_at from dispatches")
        .fetch_one(&service.pool)
        .await
        .expect("a row");
    assert!(kept - next_attempt_at(&service, &due).await >= TimeDelta::minutes(5), "{kept}");
    // As if quiet hours were over: due 10 minutes ago, and expired 5 minutes ago.
    sqlx::query("update dispatches set due_at = due_at - interval '10 min'")
        .execute(&service.pool)
        .await
        .expect("moved");
    sqlx::query("update deliveries set next_attempt_at = now()")
        .execute(&service.pool)
        .await
        .expect("moved");
    service.wait_for_state(&due, Channel::Push, "sent").await;
}

#[tokio::test]
async fn moves_deferred_deliveries_to_new_quiet_hours() {
    let service = TestService::start().await;
    set_up_user_in_quiet_hours(&service).await;
    let due = service.publish_due("ada", &[Channel::Push]).await;
    service.wait_for_state(&due, Channel::Push, "deferred").await;
    let (first, expiry) = (next_attempt_at(&service, &due).await, expiry(&service).await);
    let an_hour_later = (first + TimeDelta::hours(1)).format("%H:%M").to_string();
    let longer = json!({"start": quiet(-60, 60)["start"], "end": an_hour_later});
    service.user("ada").put("/preferences", &json!({"quietHours": longer})).await.expect(200);

    let second = next_attempt_at(&service, &due).await;
    assert_eq!(
        (second - first, self::expiry(&service).await - expiry),
        (TimeDelta::hours(1), TimeDelta::hours(1))
    );
    let published = support::wait_until(LIMIT, async || {
        service.receive_events().await;
        let outcomes =
            service.received_events().into_iter().filter_map(|event| event.outcome().ok());
        let mut until: Vec<_> = outcomes.filter_map(|outcome| outcome.until).collect();
        until.sort_unstable();
        if until.len() == 2 { Ok(until) } else { Err(until) }
    })
    .await;
    assert_eq!(published, [first, second], "each deferral is published");
}

async fn expiry(service: &TestService) -> chrono::DateTime<Utc> {
    sqlx::query_scalar("select expires_at from dispatches")
        .fetch_one(&service.pool)
        .await
        .expect("a row")
}

#[tokio::test]
async fn sends_deferred_when_quiet_hours_are_removed() {
    let service = TestService::start().await;
    set_up_user_in_quiet_hours(&service).await;
    let due = service.publish_due("ada", &BOTH).await;
    service.wait_for_state(&due, Channel::Push, "deferred").await;
    service.user("ada").put("/preferences", &json!({})).await.expect(200);

    for channel in BOTH {
        service.wait_for_state(&due, channel, "sent").await;
    }
    assert_eq!((service.pushes("token-1").len(), service.emails("ada@example.com").len()), (1, 1));
}

#[tokio::test]
async fn suppresses_pending_of_channel_switched_off() {
    let service = TestService::start().await;
    service.register_device("ada", "unavailable-1").await;
    let retried = service.publish_due("ada", &[Channel::Push]).await;
    support::wait_until(LIMIT, async || {
        service.wait_for_state(&retried, Channel::Push, "pending").await.1 == 1
    })
    .await;
    set_up_user_in_quiet_hours(&service).await;
    let deferred = service.publish_due("ada", &BOTH).await;
    service.wait_for_state(&deferred, Channel::Push, "deferred").await;
    let off = json!({"channels": {"push": false}, "quietHours": quiet(-60, 60)});
    service.user("ada").put("/preferences", &off).await.expect(200);

    for due in [&retried, &deferred] {
        let (reason, _) = service.wait_for_state(due, Channel::Push, "suppressed").await;
        assert_eq!(reason.as_deref(), Some("OPTED_OUT"));
        let published = service.wait_for_outcome(due, EventType::NotificationSuppressed).await;
        assert_eq!(
            (published.channel, published.reason.as_deref()),
            (Some(Channel::Push), Some("OPTED_OUT"))
        );
    }
    service.wait_for_state(&deferred, Channel::Email, "deferred").await;
    assert!(service.pushes("token-1").is_empty());
}

#[tokio::test]
async fn completes_attempt_when_channel_is_switched_off() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    service.register_device("bob", "unavailable-1").await;
    service.set_provider_mode(|mode| mode.fcm.latency_ms = 1_500);
    let accepted = service.publish_due("ada", &[Channel::Push]).await;
    let refused = service.publish_due("bob", &[Channel::Push]).await;
    for (due, user) in [(&accepted, "ada"), (&refused, "bob")] {
        service.wait_for_state(due, Channel::Push, "pending").await;
        service
            .user(user)
            .put("/preferences", &json!({"channels": {"push": false}}))
            .await
            .expect(200);
    }

    assert_eq!(service.wait_for_state(&accepted, Channel::Push, "sent").await, (None, 1));
    let (reason, attempts) = service.wait_for_state(&refused, Channel::Push, "suppressed").await;
    assert_eq!((reason.as_deref(), attempts), (Some("OPTED_OUT"), 1), "no retry follows");
    let published = service.wait_for_outcome(&refused, EventType::NotificationSuppressed).await;
    assert_eq!((published.reason.as_deref(), published.attempts), (Some("OPTED_OUT"), 1));
}

#[tokio::test]
async fn writes_email_in_preferred_language() {
    let service = TestService::start().await;
    service.user("ada").put("/preferences", &json!({"locale": "pt-BR"})).await.expect(200);
    let due = service.publish_due("ada", &[Channel::Email]).await;
    service.wait_for_state(&due, Channel::Email, "sent").await;

    let locale: Option<String> = sqlx::query_scalar("select payload ->> 'locale' from dispatches")
        .fetch_one(&service.pool)
        .await
        .expect("a row");
    assert_eq!(locale.as_deref(), Some("pt-BR"));
}

#[tokio::test]
async fn collapses_series_deferred_by_quiet_hours() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    service.start_quiet_hours("ada").await;
    let first = DueOccurrence::now("ada", &[Channel::Push]);
    let series: Vec<DueOccurrence> =
        (0..60).map(|minute| first.again(Utc::now() - TimeDelta::minutes(minute))).collect();
    let other = DueOccurrence::now("ada", &[Channel::Push]);
    // In several batches, out of order.
    service.publish(&[series[30].message(), series[59].message(), other.message()]).await;
    service.wait_until_consumed().await;
    service.publish(&series.iter().rev().map(DueOccurrence::message).collect::<Vec<_>>()).await;
    service.wait_until_consumed().await;

    support::wait_until(LIMIT, async || service.count_in_state("suppressed").await == 59).await;
    assert_eq!(service.count_in_state("deferred").await, 2);
    assert_eq!(
        service.wait_for_state(&series[1], Channel::Push, "suppressed").await.0.as_deref(),
        Some("MISSED")
    );
    service.clear_preferences("ada").await;
    service.wait_for_state(&series[0], Channel::Push, "sent").await;
    service.wait_for_state(&other, Channel::Push, "sent").await;
    assert_eq!(service.pushes("token-1").len(), 2);
    support::wait_until(LIMIT, async || {
        service.receive_events().await;
        let published = service
            .received_events()
            .into_iter()
            .filter(|fact| fact.event_type == EventType::NotificationSuppressed)
            .count();
        if published == 59 { Ok(()) } else { Err(published) }
    })
    .await;
}

#[tokio::test]
async fn applies_preferences_to_large_backlog_in_parts() {
    let service = TestService::start().await;
    service.start_quiet_hours("ada").await;
    let dues: Vec<DueOccurrence> = (0..1_500)
        .map(|second| {
            DueOccurrence::at("ada", &[Channel::Email], Utc::now() - TimeDelta::seconds(second))
        })
        .collect();
    for part in dues.chunks(500) {
        service.publish(&part.iter().map(DueOccurrence::message).collect::<Vec<_>>()).await;
    }
    support::wait_until(LIMIT, async || service.count_in_state("deferred").await == 1_500).await;
    service
        .user("ada")
        .put("/preferences", &json!({"channels": {"email": false}}))
        .await
        .expect(200);

    assert_eq!(
        (service.count_in_state("suppressed").await, service.count_in_state("deferred").await),
        (1_500, 0)
    );
    let most: i64 = sqlx::query_scalar(
        "select max(rows) from (select count(*) as rows from deliveries group by xmin::text) as it",
    )
    .fetch_one(&service.pool)
    .await
    .expect("counted");
    assert!(most <= 1_000, "{most} rows in one transaction");
}
