//! `GET /notifications`.

use chrono::Utc;
use contract::{Channel, EventType, Reason};
use serde_json::{Value, json};

use crate::test_service::{DueOccurrence, TestService};

#[tokio::test]
async fn lists_only_own_deliveries_with_outcomes() {
    let service = TestService::start().await;
    let device = service.register_device("ada", "token-1").await;
    let due = service.publish_due("ada", &[Channel::Push]).await;
    service.wait_for_state(&due, Channel::Push, "sent").await;

    let history = service.user("ada").get("/notifications").await.expect(200).body;
    let delivery = &history["notifications"][0];
    assert_eq!(delivery["occurrenceId"], json!(due.send.occurrence_id));
    assert_eq!(delivery["itemId"], json!(due.send.item_id));
    assert_eq!((&delivery["deviceId"], &delivery["channel"]), (&json!(device), &json!("push")));
    assert_eq!((&delivery["state"], &delivery["attempts"]), (&json!("sent"), &json!(1)));
    assert_eq!(
        (&delivery["title"], &delivery["message"]),
        (&json!("Plants"), &json!("Water them"))
    );
    assert_eq!(
        (&delivery["url"], &delivery["data"]),
        (&json!("https://example.com/plants"), &json!({}))
    );
    assert_eq!((&delivery["date"], &delivery["readAt"]), (&delivery["dueAt"], &json!(null)));
    assert!(delivery["finishedAt"].as_str().is_some_and(|time| time.ends_with('Z')));
    assert_eq!(
        service.user("bob").get("/notifications").await.body,
        json!({"notifications": [], "nextCursor": null})
    );
}

#[tokio::test]
async fn lists_occurrence_that_ended_unsent() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    let mut missed = DueOccurrence::now("ada", &[Channel::Email, Channel::Push]);
    missed.send.expires_at = missed.send.due_at;
    missed.send.ended = Some(Reason::Missed.into());
    for _ in 0..2 {
        service.publish(&[missed.message()]).await;
        service.wait_for_state(&missed, Channel::Push, "suppressed").await;
    }
    let later = service.publish_due("ada", &[Channel::Push]).await;
    service.wait_for_state(&later, Channel::Push, "sent").await;

    let history = service.user("ada").get("/notifications?state=suppressed").await.expect(200).body;
    let deliveries = history["notifications"].as_array().expect("a list");
    assert_eq!(deliveries.len(), 2, "one on each channel: {deliveries:#?}");
    for delivery in deliveries {
        assert_eq!((&delivery["reason"], &delivery["title"]), (&json!("MISSED"), &json!("Plants")));
    }
    service.wait_for_outcome(&later, EventType::NotificationSent).await;
    let outcomes = service.received_events();
    let item = missed.send.item_id.as_str();
    assert!(outcomes.iter().all(|event| event.item_id.as_str() != item), "the scheduler has told");
    let unread = service.user("ada").get("/notifications/unread-count").await.expect(200).body;
    assert_eq!(unread, json!({"unread": 1}));
}

#[tokio::test]
async fn pages_through_each_delivery_once() {
    let service = TestService::start().await;
    for _ in 0..5 {
        let due = service.publish_due("ada", &[Channel::Push]).await;
        service.wait_for_state(&due, Channel::Push, "suppressed").await;
    }
    let (mut seen, mut path) = (Vec::new(), "/notifications?limit=2".to_owned());
    loop {
        let page = service.user("ada").get(&path).await.expect(200).body;
        seen.extend(
            page["notifications"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|delivery| delivery["id"].as_str().expect("an id").to_owned()),
        );
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("/notifications?limit=2&cursor={cursor}");
    }
    let mut newest_first = seen.clone();
    newest_first.sort_unstable_by(|a, b| b.cmp(a));
    newest_first.dedup();
    assert_eq!((seen.len(), &seen), (5, &newest_first));
}

/// Case P5.
#[tokio::test]
async fn pages_through_deliveries_of_one_second_p5() {
    let service = TestService::start().await;
    let now = Utc::now();
    let dues: Vec<_> = (0..9).map(|_| DueOccurrence::at("ada", &[Channel::Push], now)).collect();
    service.publish(&dues.iter().map(DueOccurrence::message).collect::<Vec<_>>()).await;
    for due in &dues {
        service.wait_for_state(due, Channel::Push, "suppressed").await;
    }
    let (mut seen, mut path) = (Vec::new(), "/notifications?limit=4".to_owned());
    loop {
        let page = service.user("ada").get(&path).await.expect(200).body;
        seen.extend(occurrences(&page).into_iter().map(str::to_owned));
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("/notifications?limit=4&cursor={cursor}");
    }
    let mut published: Vec<_> = dues.iter().map(|due| due.id().simple().to_string()).collect();
    seen.sort_unstable();
    published.sort_unstable();
    assert_eq!(seen, published);
}

#[tokio::test]
async fn keeps_cursor_stable_when_deliveries_are_added() {
    let service = TestService::start().await;
    let sent = async || {
        let due = service.publish_due("ada", &[Channel::Push]).await;
        service.wait_for_state(&due, Channel::Push, "suppressed").await;
        due.id().simple().to_string()
    };
    let older = [sent().await, sent().await, sent().await];
    let first = service.user("ada").get("/notifications?limit=1").await.expect(200).body;
    sent().await;
    let path =
        format!("/notifications?limit=5&cursor={}", first["nextCursor"].as_str().expect("more"));
    let rest = service.user("ada").get(&path).await.expect(200).body;
    assert_eq!(occurrences(&first), [older[2].as_str()]);
    assert_eq!(
        (occurrences(&rest), &rest["nextCursor"]),
        (vec![older[1].as_str(), &older[0]], &json!(null))
    );
}

#[tokio::test]
async fn filters_own_deliveries() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    let both = service.publish_due("ada", &[Channel::Email, Channel::Push]).await;
    let none = DueOccurrence { email: None, ..DueOccurrence::now("ada", &[Channel::Email]) };
    service.publish(&[none.message()]).await;
    let bobs = service.publish_due("bob", &[Channel::Email]).await;
    for (due, channel, state) in [
        (&both, Channel::Email, "sent"),
        (&both, Channel::Push, "sent"),
        (&none, Channel::Email, "suppressed"),
        (&bobs, Channel::Email, "sent"),
    ] {
        service.wait_for_state(due, channel, state).await;
    }

    let (both, none) = (both.send, none.send);
    let of_both = format!("itemId={}", both.item_id.as_str());
    for (query, expected) in [
        ("state=sent", vec![both.occurrence_id; 2]),
        ("state=suppressed&limit=1", vec![none.occurrence_id]),
        ("channel=push", vec![both.occurrence_id]),
        (of_both.as_str(), vec![both.occurrence_id; 2]),
        (&format!("{of_both}&channel=email&state=sent&unread=true"), vec![both.occurrence_id]),
        ("unread=true", vec![both.occurrence_id; 2]),
        ("unread=false", vec![none.occurrence_id]),
        ("state=failed", vec![]),
        (&format!("itemId={}", bobs.send.item_id.as_str()), vec![]),
    ] {
        let page =
            service.user("ada").get(&format!("/notifications?{query}")).await.expect(200).body;
        let expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
        assert_eq!(
            (occurrences(&page), &page["nextCursor"]),
            (expected.iter().map(String::as_str).collect(), &json!(null)),
            "{query}"
        );
    }
}

#[tokio::test]
async fn pages_on_when_filter_matches_few() {
    let service = TestService::start().await;
    let oldest = service.publish_due("ada", &[Channel::Push]).await;
    service.wait_for_state(&oldest, Channel::Push, "suppressed").await;
    service.age_deliveries().await;
    service.write_sent("ada", 2_500).await;

    let path = "/notifications?state=suppressed";
    let first = service.user("ada").get(path).await.expect(200).body;
    assert_eq!(first["notifications"], json!([]), "it looks through 2,000 and no more");
    let path = format!("{path}&cursor={}", first["nextCursor"].as_str().expect("more"));
    let second = service.user("ada").get(&path).await.expect(200).body;
    assert_eq!(occurrences(&second), [oldest.send.occurrence_id.to_string()]);
    assert_eq!(second["nextCursor"], json!(null));
}

fn occurrences(page: &Value) -> Vec<&str> {
    let deliveries = page["notifications"].as_array().expect("a list");
    deliveries.iter().map(|delivery| delivery["occurrenceId"].as_str().expect("an id")).collect()
}

#[tokio::test]
async fn names_malformed_parameter() {
    let service = TestService::start().await;
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("cursor=nonsense", "cursor"),
        ("page=2", "page"),
        ("state=lost", "state"),
        ("channel=pigeon", "channel"),
        ("itemId=a%20b", "itemId"),
        ("unread=maybe", "unread"),
    ] {
        let answer = service.user("ada").get(&format!("/notifications?{query}")).await.expect(400);
        assert!(
            answer.body["error"]["message"].as_str().is_some_and(|text| text.contains(field)),
            "{}",
            answer.body
        );
    }
}
