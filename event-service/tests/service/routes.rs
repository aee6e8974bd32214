//! The internal REST API, by the production builder.

use std::{collections::BTreeMap, time::Duration};

use bus::{Message, QueueSpec, Topology};
use contract::DeliveryState;
use event_service::{App, Config};
use serde_json::json;
use support::{http::Client, wait_until};
use tokio_util::sync::CancellationToken;

use crate::{
    fixture::{bus, created, hours, now, outcome},
    running::{LIMIT, running_service, wait_for_partitions},
};

#[tokio::test(flavor = "multi_thread")]
async fn shows_timeline_in_order() {
    let service = running_service().await;
    let date = now() + hours(1);
    service.publish(&[created("abc", 1, date, &[10, 0])]).await;
    let path = "/timeline/abc";
    wait_until(LIMIT, async || service.client.get(path).await.status == 200).await;
    service.publish(&[outcome("abc", date, DeliveryState::Sent, None, 1)]).await;
    let ended =
        async || service.get(path).await["notifications"][0]["occurrences"][1]["state"] == "sent";
    wait_until(LIMIT, ended).await;

    // Events are out of sight for a moment while they move from the default partition to the one
    // of their week, which the service creates as it starts.
    let timeline = wait_until(LIMIT, async || {
        let timeline = service.get(path).await;
        let steps = timeline["timeline"].as_array().expect("steps");
        let kinds: Vec<_> = steps.iter().map(|step| step["kind"].as_str()).collect();
        let expected = [Some("event"), Some("event"), Some("occurrence"), Some("occurrence")];
        if kinds == expected { Ok(timeline) } else { Err(timeline) }
    })
    .await;
    assert_eq!(timeline["timeline"][0]["event"]["type"], "reminder:created");
    assert_eq!(timeline["timeline"][3]["occurrence"]["state"], "sent");
    assert_eq!(service.client.get("/timeline/unknown").await.status, 404);
    service.stop().await;
}

/// Case P1.
#[tokio::test(flavor = "multi_thread")]
async fn refuses_texts_that_cannot_be_stored() {
    let service = running_service().await;
    for (path, status) in [
        ("/timeline/%FF", 404),
        ("/timeline/%00", 404),
        ("/users/%FF/export", 400),
        ("/users/%00/export", 400),
        ("/events?userId=a%00b", 400),
        ("/events?itemId=%00", 400),
        ("/events?cursor=%00", 400),
        ("/events/stream?type=%00", 400),
    ] {
        assert_eq!(service.client.get(path).await.status, status, "{path}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_statistics() {
    let service = running_service().await;
    service
        .publish(&[
            created("a", 1, now() - hours(0), &[0]),
            created("b", 1, now() + hours(2), &[0]),
        ])
        .await;
    let counted = async || service.get("/stats").await["eventsLastMinute"]["count"] == 2;
    wait_until(LIMIT, counted).await;
    let stats = service.get("/stats").await;
    assert_eq!((&stats["dueNow"]["count"], &stats["dueNow"]["orMore"]), (&json!(1), &json!(false)));
    assert!(stats["oldestDueAt"].is_string() && stats["nextDueAt"].is_string());
    assert!(stats["eventQueue"]["visible"].is_u64(), "{stats}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_and_redrives_dead_letters() {
    let service = running_service().await;
    let mut bad = created("a", 1, now() + hours(1), &[0]);
    bad.body = "{".to_owned();
    service.publish(&[bad]).await;
    let there = async || {
        service.get("/dead-letters").await["deadLetters"].as_array().map(Vec::len) == Some(1)
    };
    wait_until(LIMIT, there).await;
    let letters = service.get("/dead-letters?queue=event").await;
    assert!(
        letters["deadLetters"][0]["detail"].as_str().is_some_and(|detail| detail.contains("body")),
        "{letters}"
    );
    assert_eq!(letters["deadLetters"][0]["reason"], "UNREADABLE");

    let empty = service.client.try_send(reqwest::Method::POST, "/dead-letters/redrive", None).await;
    assert_eq!(empty.expect("an answer").status, 400);
    let moved =
        service.client.post("/dead-letters/redrive", &json!({"queue": "event", "max": 10})).await;
    assert_eq!((moved.status, moved.body["moved"].clone()), (200, json!(1)));
    // It is as unreadable as before.
    wait_until(LIMIT, there).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_and_redrives_dead_letters_of_ses_feedback() {
    let service = running_service().await;
    let bus = bus(service.database.url()).await;
    let queue = QueueSpec {
        queue: "ses-feedback-queue".to_owned(),
        max_receive_count: 3,
        subscriptions: Vec::new(),
    };
    bus.ensure(&Topology { topics: Vec::new(), queues: vec![queue] }).await.expect("a queue");
    let letter =
        Message { body: r#"{"notificationType": "Bounce"}"#.to_owned(), attributes: [].into() };
    bus.send("ses-feedback-queue-dlq", &[letter], Duration::ZERO).await.expect("a dead letter");

    let letters = service.get("/dead-letters?queue=feedback").await;
    assert_eq!(letters["deadLetters"].as_array().map(Vec::len), Some(1), "{letters}");
    let moved = service.client.post("/dead-letters/redrive", &json!({"queue": "feedback"})).await;
    assert_eq!((moved.status, moved.body["moved"].clone()), (200, json!(1)));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_long_series_and_many_events_whole() {
    let service = running_service().await;
    service
        .publish(&[
            created("series", 1, now() + hours(1), &[0]),
            created("other", 1, now() + hours(1), &[0]),
        ])
        .await;
    wait_until(LIMIT, async || service.client.get("/timeline/other").await.status == 200).await;
    let pool = service.database.pool().await;
    wait_for_partitions(&pool).await;
    let own = r#"update notifications set
        changed_occurrences = '[{"date": "2096-05-07T07:00:00Z", "message": "Own"}]'
        where item_id = 'series'"#;
    sqlx::query(own).execute(&pool).await.expect("changed");
    let made = "insert into occurrences (id, notification_id, due_at, state)
        select gen_random_uuid(), id, now() + n * interval '1 minute', 'sent' from notifications,
            generate_series(1, 650) as n
        where item_id = 'series'";
    sqlx::query(made).execute(&pool).await.expect("made");
    let made = "insert into events (occurred_at, event_id, event_type, item_id, user_id, version,
        data)
        select now() - n * interval '1 ms', gen_random_uuid(), 'device:registered', 'd', 'user-1',
            n, '{}' from generate_series(1, 230) as n";
    sqlx::query(made).execute(&pool).await.expect("made");

    let export = service.get("/users/user-1/export").await;

    let notifications = export["notifications"].as_array().expect("a list");
    let occurrences = |item| {
        let notification = notifications.iter().find(|notification| notification["itemId"] == item);
        notification.and_then(|notification| notification["occurrences"].as_array()).map(Vec::len)
    };
    assert_eq!((occurrences("series"), occurrences("other")), (Some(651), Some(1)));
    let texts = notifications.iter().map(|one| &one["changedOccurrences"][0]["message"]);
    assert_eq!(texts.filter(|text| **text == "Own").count(), 1);
    assert_eq!(export["events"].as_array().map(Vec::len), Some(232));
    assert_eq!(export["truncated"], false);
    let nobody = service.get("/users/nobody/export").await;
    assert_eq!(nobody, json!({"notifications": [], "events": [], "truncated": false}));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_occurrences_of_others_beside_long_series() {
    let service = running_service().await;
    service
        .publish(&[
            created("series", 1, now() + hours(1), &[0]),
            created("other", 1, now() + hours(1), &[0]),
        ])
        .await;
    wait_until(LIMIT, async || service.client.get("/timeline/other").await.status == 200).await;
    let made = "insert into occurrences (id, notification_id, due_at, state)
        select gen_random_uuid(), id, now() + interval '1 day' + n * interval '1 minute', 'sent'
            from notifications, generate_series(1, 10000) as n
        where item_id = 'series'";
    sqlx::query(made).execute(&service.database.pool().await).await.expect("made");

    let page = service.get("/notifications").await;

    let counts = page["notifications"].as_array().expect("a list").iter();
    let mut counts: Vec<_> =
        counts.map(|notification| notification["occurrences"].as_array().map(Vec::len)).collect();
    counts.sort_unstable();
    assert_eq!(counts, [Some(1), Some(100)]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_without_database_and_reports_it() {
    let env: BTreeMap<String, String> = [
        ("DATABASE_URL", "postgres://nobody@127.0.0.1:9/none"),
        ("BUS", "postgres"),
        ("BUS_DATABASE_URL", "postgres://nobody@127.0.0.1:9/none"),
        ("BIND_ADDRESS", "127.0.0.1"),
        ("PORT", "0"),
        ("ADMIN_PORT", "0"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let app = App::build(Config::read(&env).expect("complete")).await.expect("bound");
    let (client, admin) = (
        Client::new(format!("http://{}", app.rest_addr())),
        Client::new(format!("http://{}", app.admin_addr())),
    );
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(app.run(shutdown.clone()));
    assert_eq!(admin.get("/healthz").await.status, 200);
    let ready = admin.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.body["failing"]["database"].is_string());
    assert_eq!(client.get("/events").await.status, 503);
    assert_eq!(client.get("/openapi.json").await.status, 200);
    shutdown.cancel();
    task.await.expect("no panic").expect("drained");
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_overdue_occurrences() {
    let service = running_service().await;
    let made = "with made as (
            insert into notifications (id, source, item_id, user_id, version, state, date,
                notify_offsets, content, occurred_at)
            select gen_random_uuid(), 'reminder', 'a', 'user-1', 1, 'active', now(), '{0}', '{}',
                now() returning id
        )
        insert into occurrences (id, notification_id, due_at, date, expires_at)
        select gen_random_uuid(), id, now() - interval '90 seconds', now(),
            now() + interval '1 day' from made";
    sqlx::query(made).execute(&service.database.pool().await).await.expect("made");
    let overdue = async || {
        let metrics = service.admin.get("/metrics").await.body;
        let value = |name: &str| {
            let is_sample = |line: &&str| {
                line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
            };
            let line = metrics.as_str().unwrap_or_default().lines().find(is_sample)?;
            line.rsplit(' ').next()?.parse::<f64>().ok()
        };
        value("reminders_oldest_overdue_seconds").is_some_and(|age| age > 60.0)
            && value("reminders_backlog") == Some(1.0)
            && value("reminders_queue_messages").is_some()
            && value("reminders_database_connections").is_some()
    };
    wait_until(2 * LIMIT, overdue).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_applied_events() {
    let service = running_service().await;
    service.publish(&[created("a", 1, now() + hours(1), &[0])]).await;
    let counted = async || {
        service
            .admin
            .get("/metrics")
            .await
            .body
            .as_str()
            .is_some_and(|text| text.contains("reminders_events_applied_total"))
    };
    wait_until(LIMIT, counted).await;
    service.stop().await;
}
