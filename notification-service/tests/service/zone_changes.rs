//! `GET /zone-changes`: the zones of users, for the reminders that follow them.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use support::{http::Client, wait_until};

use crate::test_service::{LIMIT, TestService, erasure_message};

const TOKEN: &str = "the-operators-of-the-test";

async fn set_zone(service: &TestService, user: &str, zone: &str) {
    service.user(user).put("/preferences", &json!({"timeZone": zone})).await.expect(200);
}

/// Returns the users and zones of an answer.
fn zones(answer: &Value) -> Vec<(&str, Option<&str>)> {
    let changes = answer["changes"].as_array().expect("a list").iter();
    changes
        .map(|change| (change["userId"].as_str().expect("a user"), change["timeZone"].as_str()))
        .collect()
}

async fn all(service: &TestService) -> Value {
    service.anonymous().get("/zone-changes").await.expect(200).body
}

/// Moves all changes into the past, so that the overlap does not list them again.
async fn let_pass(service: &TestService) {
    sqlx::query("update zone_changes set changed_at = changed_at - interval '1 hour'")
        .execute(&service.pool)
        .await
        .expect("moved");
}

#[tokio::test]
async fn lists_zones_in_order_of_their_changes() {
    let service = TestService::start().await;
    set_zone(&service, "ada", "Europe/Berlin").await;
    let quiet = json!({"start": "22:00", "end": "07:00", "timeZone": "Asia/Tokyo"});
    service.user("bob").put("/preferences", &json!({"quietHours": quiet})).await.expect(200);
    set_zone(&service, "ada", "America/New_York").await;

    let answer = all(&service).await;
    assert_eq!(zones(&answer), [("bob", Some("Asia/Tokyo")), ("ada", Some("America/New_York"))]);
    assert_eq!(
        (&answer["hasMore"], &answer["changes"][0]["email"]),
        (&json!(false), &json!("bob@example.com"))
    );

    service.user("ada").put("/preferences", &json!({})).await.expect(200);
    assert_eq!(zones(&all(&service).await), [("bob", Some("Asia/Tokyo")), ("ada", None)]);
}

#[tokio::test]
async fn records_no_change_when_zone_stays() {
    let service = TestService::start().await;
    set_zone(&service, "ada", "Europe/Berlin").await;
    let first = all(&service).await["changes"][0]["changedAt"].clone();
    let same = json!({"timeZone": "Europe/Berlin", "locale": "de"});
    service.user("ada").put("/preferences", &same).await.expect(200);
    assert_eq!(all(&service).await["changes"][0]["changedAt"], first);
}

#[tokio::test]
async fn lists_changes_of_last_minute_again() {
    let service = TestService::start().await;
    set_zone(&service, "ada", "Europe/Berlin").await;
    let_pass(&service).await;
    set_zone(&service, "bob", "Asia/Tokyo").await;

    let answer = all(&service).await;
    assert_eq!(zones(&answer).len(), 2);
    let next = answer["next"].as_str().expect("a cursor");
    let again = service.anonymous().get(&format!("/zone-changes?after={next}")).await.expect(200);
    assert_eq!(zones(&again.body), [("bob", Some("Asia/Tokyo"))]);
}

#[tokio::test]
async fn pages_through_changes_of_same_time() {
    let service = TestService::start().await;
    let users = ["ada.1", "ada.2", "ada.3"];
    for user in users {
        set_zone(&service, user, "Europe/Berlin").await;
    }
    sqlx::query("update zone_changes set changed_at = '2026-01-01T00:00:00.123456Z'")
        .execute(&service.pool)
        .await
        .expect("moved");
    let (mut found, mut after) = (Vec::new(), String::new());
    for has_more in [true, true, true, false] {
        let answer = service.anonymous().get(&format!("/zone-changes?limit=1{after}")).await;
        let answer = answer.expect(200).body;
        found.extend(zones(&answer).into_iter().map(|(user, _)| user.to_owned()));
        assert_eq!(answer["hasMore"], json!(has_more));
        after = format!("&after={}", answer["next"].as_str().expect("a cursor"));
    }
    assert_eq!(found, users);
}

#[tokio::test]
async fn names_faulty_parameters_of_zone_changes() {
    let service = TestService::start().await;
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("after=x", "after"),
        ("after=-1.ada", "after"),
        ("after=9223372036854775807.ada", "after"),
        ("other=1", "other"),
    ] {
        let answer = service.anonymous().get(&format!("/zone-changes?{query}")).await.expect(400);
        assert_eq!(answer.body["error"]["details"][0]["field"], field, "{query}");
    }
}

#[tokio::test]
async fn needs_token_of_operator_outside_of_local() {
    let variables = [("APP_ENV", "development"), ("OPERATOR_TOKEN", TOKEN)];
    let service = TestService::start_with(&variables).await;
    service.user("ada").get("/zone-changes").await.expect(401);
    let with =
        |token: &str| service.anonymous().with_header("Authorization", &format!("Bearer {token}"));
    with("another-token").get("/zone-changes").await.expect(401);
    with(TOKEN).get("/zone-changes").await.expect(200);
}

#[tokio::test]
async fn closes_zone_changes_when_no_token_is_set() {
    let service = TestService::start_with(&[("APP_ENV", "development")]).await;
    let client: Client = service.anonymous().with_header("Authorization", "Bearer some-token");
    let answer = client.get("/zone-changes").await.expect(401);
    let message = answer.body["error"]["message"].as_str().expect("a text").to_owned();
    assert!(message.contains("OPERATOR_TOKEN is not set"), "{message}");
}

#[tokio::test]
async fn exports_and_erases_change_of_zone() {
    let service = TestService::start().await;
    set_zone(&service, "ada", "Europe/Berlin").await;
    let change = service.user("ada").get("/me/export").await.expect(200).body["zoneChange"].clone();
    assert_eq!(
        (&change["timeZone"], &change["email"]),
        (&json!("Europe/Berlin"), &json!("ada@example.com"))
    );
    let changed_at: DateTime<Utc> =
        change["changedAt"].as_str().expect("a time").parse().expect("a time");
    assert!(Utc::now() - changed_at < TimeDelta::minutes(5));

    service.publish(&[erasure_message("ada", Utc::now())]).await;
    wait_until(LIMIT, async || zones(&all(&service).await).is_empty()).await;
    let empty = service.user("ada").get("/me/export").await.expect(200).body;
    assert_eq!(empty["zoneChange"], Value::Null);
}
