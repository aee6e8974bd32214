//! `POST /reminders/{id}` and `PATCH /reminders/{id}`.

use serde_json::{Value, json};

use crate::service::{Service, in_minutes, least, least_with, merged};

fn full() -> Value {
    json!({
        "date": "2126-05-01T08:00:00.000Z",
        "timeZone": "Europe/Berlin",
        "notifyOffsets": [5, 10],
        "channels": ["email", "push"],
        "title": "Dentist",
        "message": "Take the X-ray along.",
        "url": "https://example.com/",
        "data": {"a": "b"},
        "expiresAfterMinutes": 30,
        "priority": "high",
        "locale": "de"
    })
}

#[tokio::test]
async fn changes_only_given_fields() {
    let service = Service::start().await;
    let path = format!("/reminders/{}", service.make(&full()).await);
    let before = service.ada.get(&path).await.expect(200).body;

    for (fields, also) in [
        (
            json!({"notifyOffset": 7}),
            json!({"notifyOffsets": [7], "nextAt": "2126-05-01T07:53:00.000Z"}),
        ),
        (json!({"message": "Other"}), json!({})),
        (json!({"channels": ["push"]}), json!({"notifyType": "push"})),
        (json!({"notifyType": "email"}), json!({"channels": ["email"]})),
        (
            json!({"date": "2126-06-01T08:00:00.000Z"}),
            json!({"nextAt": "2126-06-01T07:50:00.000Z", "localDate": "2126-06-01T10:00:00"}),
        ),
        (json!({"priority": "normal", "locale": "en", "expiresAfterMinutes": 1}), json!({})),
    ] {
        let path = format!("/reminders/{}", service.make(&full()).await);
        let after = service.ada.patch(&path, &fields).await.expect(200).body;
        let own = json!({
            "id": after["id"],
            "createdAt": after["createdAt"],
            "updatedAt": after["updatedAt"],
            "version": 2
        });
        assert_eq!(after, merged(merged(merged(before.clone(), fields), also), own));
        assert_eq!(service.ada.get(&path).await.expect(200).body, after);
    }
}

#[tokio::test]
async fn changes_by_post_as_version_1() {
    let service = Service::start().await;
    let path = format!("/reminders/{}", service.make(&full()).await);

    let after = service.ada.post(&path, &json!({"title": "Doctor"})).await.expect(200).body;

    assert_eq!((&after["title"], &after["version"]), (&json!("Doctor"), &json!(2)));
    assert!(after["updatedAt"].as_str() >= after["createdAt"].as_str());
}

#[tokio::test]
async fn removes_optional_fields_by_null() {
    let service = Service::start().await;
    let path = format!("/reminders/{}", service.make(&full()).await);

    let fields =
        json!({"title": null, "url": null, "data": null, "locale": null, "recurrence": null});
    let after = service.ada.patch(&path, &fields).await.expect(200).body;

    let gone = json!({"title": null, "url": null, "data": {}, "locale": null});
    assert_eq!(merged(after.clone(), gone), after);
}

#[tokio::test]
async fn renames_past_reminder_but_refuses_past_date() {
    let service = Service::start().await;
    let id = service.make(&least()).await;
    let path = format!("/reminders/{id}");
    service.let_pass(&id).await;

    let renamed = service.ada.patch(&path, &json!({"title": "Done"})).await.expect(200).body;
    assert_eq!((&renamed["status"], &renamed["nextAt"]), (&json!("completed"), &json!(null)));
    let echoed = json!({
        "title": "Done again",
        "date": renamed["date"],
        "notifyOffset": 0,
        "timeZone": "UTC"
    });
    service.ada.patch(&path, &echoed).await.expect(200);

    for fields in [
        json!({"notifyOffset": 1}),
        json!({"date": in_minutes(-5)}),
        json!({"timeZone": "Asia/Tokyo"}),
    ] {
        let answer = service.ada.patch(&path, &fields).await.expect(422);
        assert_eq!(answer.reason(), Some("INVALID_DUEDATE"), "{fields}");
    }
    let moved = service.ada.patch(&path, &json!({"date": in_minutes(5)})).await.expect(200).body;
    assert_eq!(moved["status"], "scheduled");
}

#[tokio::test]
async fn serializes_concurrent_changes() {
    let service = Service::start().await;
    let path = format!("/reminders/{}", service.make(&least()).await);

    let changes = (0..8).map(|number| {
        let (client, path) = (service.ada.clone(), path.clone());
        tokio::spawn(async move {
            client.patch(&path, &json!({"title": format!("{number}")})).await.expect(200).body
        })
    });
    let mut versions = Vec::new();
    for change in changes.collect::<Vec<_>>() {
        versions.push(change.await.expect("an answer")["version"].as_i64());
    }

    versions.sort_unstable();
    assert_eq!(versions, (2..=9).map(Some).collect::<Vec<_>>());
}

#[tokio::test]
async fn refuses_change_of_another_users_reminder() {
    let service = Service::start().await;
    let path = format!("/reminders/{}", service.make(&least_with(json!({"title": "Mine"}))).await);
    let other = service.anonymous.as_user("bob", "bob@example.com");

    for answer in [
        other.patch(&path, &json!({"title": "His"})).await,
        other.post(&path, &json!({"title": "His"})).await,
    ] {
        assert_eq!(answer.expect(404).reason(), Some("MISSING_REMINDER"));
    }
    assert_eq!(service.ada.get(&path).await.expect(200).body["title"], "Mine");
}

#[tokio::test]
async fn refuses_change_to_email_without_address() {
    let service = Service::start().await;
    let path = format!("/reminders/{}", service.make(&least()).await);
    let nameless = service.anonymous.as_user("ada", "ada");

    nameless.patch(&path, &json!({"channels": ["email"]})).await.expect(400);
    nameless.patch(&path, &json!({"title": "Mine"})).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn applies_all_racing_changes_of_a_series() {
    let service = Service::start().await;
    let id = service.make(&least_with(json!({"recurrence": {"rrule": "FREQ=DAILY"}}))).await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..16 {
        let (ada, path) = (service.ada.clone(), format!("/reminders/{id}"));
        calls.spawn(async move {
            ada.patch(&path, &json!({"title": number.to_string()})).await.expect(200).body
        });
    }
    let mut versions: Vec<_> =
        calls.join_all().await.iter().map(|body| body["version"].as_i64()).collect();
    versions.sort_unstable();
    assert_eq!(versions, (2..18).map(Some).collect::<Vec<_>>(), "each change is one version");
}
