//! `GET /notifications/stream`.

use std::time::{Duration, Instant};

use contract::Channel;
use notification_service::store::change_feed::{self, Position};
use serde_json::{Value, json};
use support::wait_until;
use uuid::Uuid;

use crate::test_service::{DueOccurrence, LIMIT, TestService};

/// Client of a stream, which reads it event by event.
struct Stream {
    response: reqwest::Response,
    text: String,
    /// Last received count of unread occurrences.
    unread: Value,
}

#[derive(Debug)]
struct StreamEvent {
    id: String,
    event: String,
    data: Value,
}

impl Stream {
    async fn open(service: &TestService, user: &str, last_event_id: Option<&str>) -> Self {
        let response = service.open_stream(user, last_event_id).await;
        assert_eq!(response.status(), 200);
        Self { response, text: String::new(), unread: Value::Null }
    }

    /// Returns the next event, `None` at the end of the stream.
    async fn next(&mut self) -> Option<StreamEvent> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                        .map(str::to_owned)
                };
                let received = field("id").zip(field("event")).zip(field("data"));
                self.text = rest.to_owned();
                if let Some(((id, event), data)) = received {
                    let received =
                        StreamEvent { id, event, data: serde_json::from_str(&data).expect("JSON") };
                    if received.event == "unread" {
                        self.unread = received.data["unread"].clone();
                    }
                    return Some(received);
                }
                continue;
            }
            let chunk = tokio::time::timeout(LIMIT, self.response.chunk())
                .await
                .expect("in time")
                .expect("bytes")?;
            self.text.push_str(&String::from_utf8_lossy(&chunk));
        }
    }

    /// Returns the next delivery. Other transactions of the server may delay a delivery, so that a
    /// count comes first.
    async fn delivery(&mut self) -> StreamEvent {
        loop {
            let received = self.next().await.expect("an event");
            if received.event == "delivery" {
                return received;
            }
        }
    }

    /// Waits for a count of unread occurrences, without a delivery before it.
    async fn wait_for_unread(&mut self, unread: i64) {
        while self.unread != json!(unread) {
            self.expect("unread").await;
        }
    }

    async fn expect(&mut self, event: &str) -> StreamEvent {
        let received = self.next().await.expect("an event");
        assert_eq!(received.event, event, "{received:?}");
        received
    }
}

async fn send_email(service: &TestService, user: &str) -> DueOccurrence {
    let due = service.publish_due(user, &[Channel::Email]).await;
    service.wait_for_state(&due, Channel::Email, "sent").await;
    due
}

#[tokio::test]
async fn streams_deliveries_as_listed_and_unread_count() {
    let service = TestService::start().await;
    let mut stream = Stream::open(&service, "ada", None).await;
    assert_eq!(stream.expect("unread").await.data, json!({"unread": 0}));
    send_email(&service, "bob").await;
    let due = send_email(&service, "ada").await;

    let received = stream.delivery().await.data;
    assert_eq!(received["occurrenceId"], json!(due.send.occurrence_id));
    assert_eq!(
        received,
        service.user("ada").get("/notifications?limit=1").await.body["notifications"][0]
    );
    stream.wait_for_unread(1).await;
    service.user("ada").post("/notifications/read", &json!({})).await.expect(200);
    assert_eq!(
        stream.expect("unread").await.data,
        json!({"unread": 0}),
        "the occurrence was read on another device"
    );
}

#[tokio::test]
async fn resumes_after_event_without_gap_or_repeat() {
    let mut service = TestService::start().await;
    let mut stream = Stream::open(&service, "ada", None).await;
    let start = stream.expect("unread").await.id;
    let before = [send_email(&service, "ada").await, send_email(&service, "ada").await];
    let first = stream.delivery().await;
    assert_eq!(first.data["occurrenceId"], json!(before[0].send.occurrence_id));
    drop(stream);
    service.stop().await;
    service.restart().await;
    let after = send_email(&service, "ada").await;

    for (id, expected) in
        [(&start, vec![&before[0], &before[1], &after]), (&first.id, vec![&before[1], &after])]
    {
        let mut stream = Stream::open(&service, "ada", Some(id)).await;
        for due in expected {
            assert_eq!(stream.delivery().await.data["occurrenceId"], json!(due.send.occurrence_id));
        }
        stream.wait_for_unread(3).await;
    }
}

#[tokio::test]
async fn streams_burst_once_over_many_connections() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    let mut stream = Stream::open(&service, "ada", None).await;
    let mut last = stream.expect("unread").await.id;
    let dues: Vec<DueOccurrence> = (0..250)
        .map(|second| {
            DueOccurrence::at(
                "ada",
                &[Channel::Push],
                chrono::Utc::now() - chrono::TimeDelta::seconds(second),
            )
        })
        .collect();
    service.publish(&dues.iter().map(DueOccurrence::message).collect::<Vec<_>>()).await;
    let mut received = Vec::new();
    while received.len() < 250 {
        let event = stream.next().await.expect("an event");
        last = event.id;
        if event.event == "delivery" {
            received.push(event.data["occurrenceId"].as_str().expect("an id").to_owned());
            if received.len() % 60 == 0 {
                stream = Stream::open(&service, "ada", Some(&last)).await;
            }
        }
    }
    let mut expected: Vec<_> = dues.iter().map(|due| due.send.occurrence_id.to_string()).collect();
    received.sort_unstable();
    expected.sort_unstable();
    assert_eq!(received, expected);
    let mut rest = Stream::open(&service, "ada", Some(&last)).await;
    assert_eq!(rest.expect("unread").await.data, json!({"unread": 250}), "and nothing again");
}

#[tokio::test]
async fn streams_each_state_of_old_delivery() {
    let service = TestService::start().await;
    let device = service.register_device("ada", "unavailable-1").await;
    let due = service.publish_due("ada", &[Channel::Push]).await;
    wait_until(LIMIT, async || service.wait_for_state(&due, Channel::Push, "pending").await.1 == 1)
        .await;
    service.age_deliveries().await;
    let mut stream = Stream::open(&service, "ada", None).await;
    stream.expect("unread").await;
    let set = async |state: &str| {
        let statement = "update deliveries set state = $1,
            next_attempt_at = now() + interval '1 h' where channel = 'push'";
        sqlx::query(statement)
            .bind(state)
            .execute(&service.pool)
            .await
            .expect("written as by another replica");
    };

    set("deferred").await;
    let received = stream.delivery().await;
    assert_eq!(
        (&received.data["state"], received.data["nextAttemptAt"].is_string()),
        (&json!("deferred"), true)
    );
    set("pending").await;
    service.user("ada").delete(&format!("/device/remove/{device}")).await.expect(200);
    service.make_retries_due().await;
    let failed = stream.delivery().await.data;
    assert_eq!((&failed["state"], &failed["reason"]), (&json!("failed"), &json!("DEVICE_GONE")));
    let mut resumed = Stream::open(&service, "ada", Some(&received.id)).await;
    assert_eq!(resumed.delivery().await.data, failed);
}

#[tokio::test]
async fn streams_delivery_that_commits_late() {
    let service = TestService::start().await;
    let (late, early) = (send_email(&service, "ada").await, send_email(&service, "ada").await);
    let nowhere = Position { xid: 0, id: Uuid::nil() };
    let start = wait_until(LIMIT, async || {
        let look =
            change_feed::look(&service.pool, "ada", Uuid::nil(), nowhere).await.expect("a look");
        if look.oldest_open.is_none() { Ok(look) } else { Err(look) }
    })
    .await;
    let position = Position { xid: start.horizon, id: Uuid::nil() };
    let touch = "update deliveries set attempts = attempts + 1 where occurrence_id = $1";
    let mut open = service.pool.begin().await.expect("a transaction");
    sqlx::query(touch).bind(late.id()).execute(&mut *open).await.expect("touched");
    sqlx::query(touch).bind(early.id()).execute(&service.pool).await.expect("touched");

    let look =
        change_feed::look(&service.pool, "ada", Uuid::nil(), position).await.expect("a look");
    assert!(!look.has_changes, "the earlier delivery is held back by the later commit");
    let ids = sqlx::query_scalar::<_, Uuid>("select id from deliveries where occurrence_id = $1")
        .bind(early.id());
    assert_eq!(
        look.oldest_open,
        Some(ids.fetch_one(&service.pool).await.expect("its id")),
        "and keeps the low-water mark"
    );
    open.commit().await.expect("committed");
    let received = wait_until(LIMIT, async || {
        let received = change_feed::after(&service.pool, "ada", Uuid::nil(), position, 10)
            .await
            .expect("changes");
        if received.len() == 2 { Ok(received) } else { Err(received) }
    })
    .await;
    assert_eq!(
        received.iter().map(|change| change.delivery.occurrence_id).collect::<Vec<_>>(),
        [late.id(), early.id()]
    );
}

#[tokio::test]
async fn searches_only_newest_deliveries() {
    let service = TestService::start().await;
    let insert = "insert into deliveries (occurrence_id, channel, device_id, id, user_id, state,
        next_attempt_at)
                  select gen_random_uuid(), 'push', gen_random_uuid(),
                      lpad(to_hex(place), 32, '0')::uuid, 'mallory',
                      case place when 1 then 'deferred' else 'sent' end,
                      case place when 1 then now() + interval '7 days' end
                  from generate_series(1, $1) as place";
    sqlx::query(insert).bind(change_feed::MAX_ROWS).execute(&service.pool).await.expect("written");
    let nowhere = Position { xid: 0, id: Uuid::nil() };
    let look = async || {
        change_feed::look(&service.pool, "mallory", Uuid::nil(), nowhere).await.expect("a look")
    };
    let seen = wait_until(LIMIT, async || Some(look().await).filter(|look| look.has_changes)).await;
    assert_eq!(seen.oldest_open, Some(Uuid::from_u128(1)), "all of them are searched");
    let one_more = "insert into deliveries (occurrence_id, channel, device_id, id, user_id, state)
                    values (gen_random_uuid(), 'push', gen_random_uuid(), gen_random_uuid(),
                        'mallory', 'sent')";
    sqlx::query(one_more).execute(&service.pool).await.expect("written");
    wait_until(LIMIT, async || look().await.oldest_open.is_none()).await;
}

#[tokio::test]
async fn limits_streams_of_user_to_ten() {
    let service = TestService::start().await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(Stream::open(&service, "ada", None).await);
    }
    let refused = service.open_stream("ada", None).await;
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    Stream::open(&service, "bob", None).await;
    streams.pop();
    wait_until(LIMIT, async || service.open_stream("ada", None).await.status() == 200).await;
}

#[tokio::test]
async fn ends_streams_on_drain() {
    let mut service = TestService::start().await;
    let mut stream = Stream::open(&service, "ada", None).await;
    stream.expect("unread").await;
    let started = Instant::now();
    service.stop().await;
    assert!(started.elapsed() < Duration::from_secs(10), "it waited {:?}", started.elapsed());
    assert!(stream.next().await.is_none(), "the stream has ended");
}

#[tokio::test]
async fn hides_deliveries_from_foreign_event_id() {
    let service = TestService::start().await;
    let mut stream = Stream::open(&service, "ada", None).await;
    let start = stream.expect("unread").await.id;
    send_email(&service, "ada").await;
    let mut of_bob = Stream::open(&service, "bob", Some(&start)).await;
    assert_eq!(of_bob.expect("unread").await.data, json!({"unread": 0}));
    assert_eq!(service.open_stream("bob", Some("nonsense")).await.status(), 400);
}

#[tokio::test]
async fn begins_now_when_event_id_predates_restore() {
    let service = TestService::start().await;
    send_email(&service, "ada").await;
    let ahead = format!("{}-{}-{}", i64::MAX, Uuid::nil().simple(), Uuid::nil().simple());
    let mut stream = Stream::open(&service, "ada", Some(&ahead)).await;
    let after = send_email(&service, "ada").await;
    while stream.delivery().await.data["occurrenceId"] != json!(after.send.occurrence_id) {}
}
