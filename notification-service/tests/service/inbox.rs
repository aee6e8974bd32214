//! Read marks: one for each occurrence.

use contract::Channel;
use serde_json::{Value, json};

use crate::test_service::{DueOccurrence, TestService};

/// Sends an e-mail to a user.
async fn send_email(service: &TestService, user: &str) -> DueOccurrence {
    let due = service.publish_due(user, &[Channel::Email]).await;
    service.wait_for_state(&due, Channel::Email, "sent").await;
    // The process's estimate of the database's clock may be ahead of it by milliseconds.
    let is_past =
        "select not exists (select from deliveries where finished_at >= clock_timestamp())";
    support::wait_until(crate::test_service::LIMIT, async || {
        sqlx::query_scalar::<_, bool>(is_past).fetch_one(&service.pool).await.expect("read")
    })
    .await;
    due
}

async fn unread(service: &TestService, user: &str) -> Value {
    service.user(user).get("/notifications/unread-count").await.expect(200).body
}

async fn deliveries(service: &TestService, user: &str) -> Vec<Value> {
    let body = service.user(user).get("/notifications").await.expect(200).body;
    body["notifications"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn counts_occurrence_once_on_all_channels() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    service.register_device("ada", "token-2").await;
    let due = service.publish_due("ada", &[Channel::Email, Channel::Push]).await;
    support::wait_until(crate::test_service::LIMIT, async || {
        service.count_in_state("sent").await == 3
    })
    .await;
    assert_eq!(unread(&service, "ada").await, json!({"unread": 1}));

    let path = format!("/notifications/{}/read", due.send.occurrence_id);
    let answer = service.user("ada").post(&path, &json!({})).await.expect(200).body;
    assert_eq!(
        (answer, unread(&service, "ada").await),
        (json!({"unread": 0}), json!({"unread": 0}))
    );
    let read = deliveries(&service, "ada").await;
    assert!(read[0]["readAt"].as_str().is_some_and(|time| time.ends_with('Z')), "{}", read[0]);
    assert!(read.iter().all(|mark| mark["readAt"] == read[0]["readAt"]), "{read:?}");
    let left = service.user("ada").get("/notifications?unread=true").await.expect(200).body;
    assert_eq!(left["notifications"], json!([]));
}

#[tokio::test]
async fn marks_occurrence_by_either_id_idempotently() {
    let service = TestService::start().await;
    let due = send_email(&service, "ada").await;
    let ada = service.user("ada");
    let (occurrence, id) =
        (due.send.occurrence_id.to_string(), deliveries(&service, "ada").await[0]["id"].clone());
    let id = id.as_str().expect("an id");

    ada.post(&format!("/notifications/{id}/read"), &json!({})).await.expect(200);
    let first = deliveries(&service, "ada").await[0]["readAt"].clone();
    ada.post(&format!("/notifications/{occurrence}/read"), &json!({})).await.expect(200);
    assert_eq!(
        deliveries(&service, "ada").await[0]["readAt"],
        first,
        "the time of the first mark stays"
    );
    for id in [id, &occurrence] {
        let answer =
            ada.post(&format!("/notifications/{id}/unread"), &json!({})).await.expect(200).body;
        assert_eq!(
            (answer, &deliveries(&service, "ada").await[0]["readAt"]),
            (json!({"unread": 1}), &json!(null))
        );
    }
}

#[tokio::test]
async fn hides_notifications_of_another_user() {
    let service = TestService::start().await;
    let due = send_email(&service, "ada").await;
    let id = deliveries(&service, "ada").await[0]["id"].as_str().expect("an id").to_owned();
    let nowhere = contract::new_id().simple().to_string();
    for id in [id, due.send.occurrence_id.to_string(), nowhere, "nonsense".to_owned()] {
        for mark in ["read", "unread"] {
            let answer = service
                .user("bob")
                .post(&format!("/notifications/{id}/{mark}"), &json!({}))
                .await
                .expect(404);
            assert_eq!(answer.reason(), Some("NOT_FOUND"));
        }
    }
    service.user("bob").post("/notifications/read", &json!({})).await.expect(200);
    assert_eq!(unread(&service, "ada").await, json!({"unread": 1}));
    assert_eq!(
        service.anonymous().get("/notifications/unread-count").await.expect(401).reason(),
        Some("UNAUTHENTICATED")
    );
}

#[tokio::test]
async fn marks_all_read_up_to_a_time() {
    let service = TestService::start().await;
    send_email(&service, "ada").await;
    send_email(&service, "ada").await;
    let shown = deliveries(&service, "ada").await;
    let newest =
        shown.iter().map(|sent| sent["finishedAt"].as_str().expect("a time")).max().expect("two");
    send_email(&service, "ada").await;

    let ada = service.user("ada");
    let answer = ada.post("/notifications/read", &json!({"upTo": newest})).await.expect(200).body;
    assert_eq!(answer, json!({"unread": 1}), "a time cut to milliseconds covers the exact one");
    let read: Vec<_> =
        deliveries(&service, "ada").await.iter().map(|sent| sent["readAt"].is_string()).collect();
    assert_eq!(read, [false, true, true]);
    let answer = ada
        .post("/notifications/read", &json!({"upTo": "9999-01-01T00:00:00Z"}))
        .await
        .expect(200)
        .body;
    assert_eq!(answer, json!({"unread": 0}));
    send_email(&service, "ada").await;
    assert_eq!(
        unread(&service, "ada").await,
        json!({"unread": 1}),
        "later occurrences stay unread"
    );
}

#[tokio::test]
async fn keeps_unread_mark_until_all_are_marked_again() {
    let service = TestService::start().await;
    let (first, second) = (send_email(&service, "ada").await, send_email(&service, "ada").await);
    let ada = service.user("ada");
    ada.post(&format!("/notifications/{}/read", first.send.occurrence_id), &json!({}))
        .await
        .expect(200);
    let read_at = deliveries(&service, "ada").await[1]["readAt"].clone();
    ada.post("/notifications/read", &json!({})).await.expect(200);
    assert_eq!(deliveries(&service, "ada").await[1]["readAt"], read_at, "earlier read times stay");

    let unread = format!("/notifications/{}/unread", second.send.occurrence_id);
    assert_eq!(ada.post(&unread, &json!({})).await.expect(200).body, json!({"unread": 1}));
    let page = ada.get("/notifications?unread=true").await.expect(200).body;
    assert_eq!(page["notifications"][0]["occurrenceId"], json!(second.send.occurrence_id));
    assert_eq!(
        ada.post("/notifications/read", &json!({})).await.expect(200).body,
        json!({"unread": 0})
    );
}

#[tokio::test]
async fn stores_no_reading_that_covers_nothing_new() {
    let service = TestService::start().await;
    send_email(&service, "ada").await;
    let kept = async || -> (i64, i64) {
        let kept =
            "select (select count(*) from inbox_readings), (select max(revision) from inboxes)";
        sqlx::query_as(kept).fetch_one(&service.pool).await.expect("counted")
    };
    for _ in 0..3 {
        service.user("ada").post("/notifications/read", &json!({})).await.expect(200);
    }
    assert_eq!(kept().await, (1, 1));
    send_email(&service, "ada").await;
    service.user("ada").post("/notifications/read", &json!({})).await.expect(200);
    assert_eq!(kept().await, (2, 2));
}

#[tokio::test]
async fn counts_no_occurrence_that_was_not_sent() {
    let service = TestService::start().await;
    let due = service.publish_due("ada", &[Channel::Push]).await;
    service.wait_for_state(&due, Channel::Push, "suppressed").await;
    assert_eq!(unread(&service, "ada").await, json!({"unread": 0}));
}

#[tokio::test]
async fn bounds_unread_count_and_reports_it() {
    let service = TestService::start().await;
    service.write_sent("ada", 2_001).await;
    assert_eq!(unread(&service, "ada").await, json!({"unread": 2_000, "orMore": true}));
    let answer = service.user("ada").post("/notifications/read", &json!({})).await.expect(200).body;
    assert_eq!(answer, json!({"unread": 0}));
    send_email(&service, "ada").await;
    assert_eq!(unread(&service, "ada").await, json!({"unread": 1}));
}

#[tokio::test]
async fn marks_once_for_idempotency_key() {
    let service = TestService::start().await;
    let due = send_email(&service, "ada").await;
    let (keyed, id) =
        (service.user("ada").with_header("Idempotency-Key", "k"), due.send.occurrence_id);
    let read = format!("/notifications/{id}/read");
    let first = keyed.post(&read, &json!({})).await.expect(200);
    service.user("ada").post(&format!("/notifications/{id}/unread"), &json!({})).await.expect(200);

    let again = keyed.post(&read, &json!({})).await.expect(200);
    assert_eq!((again.header("idempotent-replayed"), &again.body), (Some("true"), &first.body));
    assert_eq!(
        unread(&service, "ada").await,
        json!({"unread": 1}),
        "the repeated request does not mark it again"
    );
    let reused = keyed.post("/notifications/read", &json!({})).await.expect(422);
    assert_eq!(reused.reason(), Some("IDEMPOTENCY_KEY_REUSED"));
}

#[tokio::test]
async fn names_fault_of_malformed_body() {
    let service = TestService::start().await;
    for (body, named) in [(json!({"upTo": "yesterday"}), "upTo"), (json!({"until": null}), "until")]
    {
        let answer = service.user("ada").post("/notifications/read", &body).await.expect(400);
        assert!(
            answer.body["error"]["message"].as_str().is_some_and(|text| text.contains(named)),
            "{}",
            answer.body
        );
    }
    for time in ["0001-01-01T00:00:00Z", "-262143-01-01T00:00:00Z", "+262142-12-31T23:59:59Z"] {
        service.user("ada").post("/notifications/read", &json!({"upTo": time})).await.expect(200);
    }
}
