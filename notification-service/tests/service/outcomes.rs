//! `GET /notifications/outcomes`.

use contract::{Channel, Reason};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::test_service::{DueOccurrence, TestService};

async fn outcomes(service: &TestService, user: &str, ids: &[Uuid]) -> Value {
    let ids: Vec<_> = ids.iter().map(|id| id.simple().to_string()).collect();
    let path = format!("/notifications/outcomes?occurrenceIds={}", ids.join(","));
    service.user(user).get(&path).await.expect(200).body["outcomes"].clone()
}

#[tokio::test]
async fn reads_one_outcome_for_all_deliveries() {
    let service = TestService::start().await;
    for token in ["token-1", "token-2"] {
        service.register_device("ada", token).await;
    }
    let sent = service.publish_due("ada", &[Channel::Email, Channel::Push]).await;
    service.wait_for_state(&sent, Channel::Push, "sent").await;
    let mut missed = DueOccurrence::now("ada", &[Channel::Push]);
    missed.send.expires_at = missed.send.due_at;
    missed.send.ended = Some(Reason::Missed.into());
    service.publish(&[missed.message()]).await;
    service.wait_for_state(&missed, Channel::Push, "suppressed").await;

    let found = outcomes(&service, "ada", &[missed.id(), Uuid::nil(), sent.id()]).await;

    let found = found.as_array().expect("a list");
    assert_eq!(found.len(), 2, "the unknown one is left out: {found:?}");
    let id = |due: &DueOccurrence| json!(due.id().simple().to_string());
    assert_eq!((&found[0]["occurrenceId"], &found[1]["occurrenceId"]), (&id(&missed), &id(&sent)));
    assert_eq!((&found[0]["state"], &found[0]["reason"]), (&json!("suppressed"), &json!("MISSED")));
    assert_eq!((&found[1]["state"], &found[1]["reason"]), (&json!("sent"), &Value::Null));
    assert!(found[1]["finishedAt"].as_str().is_some_and(|time| time.ends_with('Z')), "{found:?}");
}

#[tokio::test]
async fn shows_outcomes_of_caller_only() {
    let service = TestService::start().await;
    let adas = service.publish_due("ada", &[Channel::Push]).await;
    service.wait_for_state(&adas, Channel::Push, "suppressed").await;

    assert_eq!(outcomes(&service, "bob", &[adas.id()]).await, json!([]));
    let own = outcomes(&service, "ada", &[adas.id(), adas.id()]).await;
    assert_eq!(own.as_array().map(Vec::len), Some(1), "named twice, shown once: {own}");
    let path = format!("/notifications/outcomes?occurrenceIds={}", adas.id().simple());
    service.anonymous().get(&path).await.expect(401);
}

#[tokio::test]
async fn refuses_faulty_list_of_occurrences() {
    let service = TestService::start().await;
    let many = |count: usize| vec![Uuid::nil().simple().to_string(); count].join(",");
    let path = |ids: &str| format!("/notifications/outcomes?occurrenceIds={ids}");
    service.user("ada").get(&path(&many(100))).await.expect(200);
    for query in [path(""), path("1,2"), path(&many(101)), path(&format!("{},", many(1)))] {
        let error = service.user("ada").get(&query).await.expect(400).body;
        assert_eq!(error["error"]["details"][0]["field"], "occurrenceIds", "{query} {error}");
    }
    service.user("ada").get("/notifications/outcomes").await.expect(400);
}
