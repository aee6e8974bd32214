//! Changes and deletions before the due time.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use support::wait_until;
use system::{Bus, LIMIT, TestSuite, TestUser, parse_time, rfc3339, truncate_to_seconds};

crate::on_both_buses!(
    delivers_edited_reminder_at_new_time,
    delivers_nothing_when_reminder_is_deleted,
    sends_nothing_to_removed_device,
    sends_nothing_again_when_title_changes_c2,
    sends_nothing_when_date_is_past_c4,
);

async fn delivers_edited_reminder_at_new_time(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "ios").await;
    let (id, _) = ada.create_reminder_due_in(600, &["push"], "Later").await;
    let sooner = Utc::now() + TimeDelta::seconds(3);
    let edited = ada
        .reminders
        .patch(&format!("/reminders/{id}"), &json!({"date": rfc3339(sooner), "title": "Sooner"}))
        .await
        .expect(200);
    assert_eq!((&edited.body["title"], &edited.body["version"]), (&json!("Sooner"), &json!(2)));

    ada.wait_for_deliveries("sent", 1).await;
    let captured = suite.sandbox.captured();
    assert_eq!(captured.len(), 1);
    assert_eq!(captured[0].push().and_then(|push| push.title.as_deref()), Some("Sooner"));
    assert!(captured[0].at.timestamp_millis() >= sooner.timestamp_millis());
}

async fn delivers_nothing_when_reminder_is_deleted(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    let (deleted, _) = ada.create_reminder_due_in(4, &["push", "email"], "Never").await;
    ada.create_reminder_due_in(6, &["push"], "Later").await;
    ada.reminders.delete(&format!("/reminders/{deleted}")).await.expect(200);
    let gone = ada.reminders.get(&format!("/reminders/{deleted}")).await.expect(404);
    assert_eq!(gone.reason(), Some("MISSING_REMINDER"));

    // The second reminder shows that the due time of the first has passed.
    ada.wait_for_deliveries("sent", 1).await;
    assert_eq!(suite.push_titles(), ["Later"]);
    assert!(suite.email_subjects(&ada.email).await.is_empty());
}

async fn sends_nothing_to_removed_device(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let (ada, bob) = (suite.user("ada"), suite.user("bob"));
    let device = ada.register_device("token-1", "android").await;
    ada.register_device("token-2", "web").await;
    let refused = bob.notifications.delete(&format!("/device/remove/{device}")).await.expect(422);
    assert_eq!(refused.reason(), Some("DEVICE_NOT_ASSOCIATED"));
    ada.notifications.delete(&format!("/device/remove/{device}")).await.expect(200);
    ada.create_reminder_due_in(2, &["push"], "Tablets").await;

    ada.wait_for_deliveries("sent", 1).await;
    let captured = suite.sandbox.captured();
    let tokens: Vec<_> =
        captured.iter().filter_map(|message| Some(message.push()?.token.as_str())).collect();
    assert_eq!(tokens, ["token-2"]);
}

/// Sends a last reminder: its push shows that all that was due before has been sent.
async fn send_last(suite: &TestSuite, ada: &TestUser) {
    ada.create_reminder_due_in(3, &["push"], "Last").await;
    wait_until(LIMIT, async || suite.push_titles().iter().any(|title| title == "Last")).await;
}

/// Case C2.
async fn sends_nothing_again_when_title_changes_c2(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    let date = rfc3339(truncate_to_seconds(Utc::now() + TimeDelta::seconds(4)));
    let body = |title: &str, more: Value| {
        let mut body =
            json!({"date": date, "title": title, "message": "now", "channels": ["push"]});
        body.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("one"));
        body
    };
    let single = ada.create_reminder(&body("Single", json!({}))).await;
    let every = json!({"recurrence": {"rrule": "FREQ=DAILY"}});
    let daily = ada.create_reminder(&body("Daily", every)).await;
    suite.wait_for_states(&single, &["sent"]).await;
    suite.wait_for_states(&daily, &["sent", "pending"]).await;

    for id in [&single, &daily] {
        for change in [json!({"title": "Changed"}), json!({"date": date})] {
            let answer = ada.reminders.patch(&format!("/reminders/{id}"), &change).await;
            let is_over = id == &single;
            assert!(answer.status == 200 || is_over && answer.status == 422, "{}", answer.body);
        }
    }
    send_last(&suite, &ada).await;
    let mut titles = suite.push_titles();
    titles.sort();
    assert_eq!(titles, ["Daily", "Last", "Single"]);
}

/// Case C4.
async fn sends_nothing_when_date_is_past_c4(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "ios").await;
    let now = truncate_to_seconds(Utc::now());
    let series = |date: chrono::DateTime<Utc>, rrule: String| {
        let rule = json!({"rrule": rrule});
        json!({"date": rfc3339(date), "message": "now", "channels": ["push"], "recurrence": rule})
    };
    let an_hour_ago = now - TimeDelta::hours(1);
    let body = series(an_hour_ago - TimeDelta::days(5), "FREQ=DAILY".to_owned());
    let daily = ada.create_reminder(&body).await;
    let reminder = ada.reminders.get(&format!("/reminders/{daily}")).await.expect(200).body;
    assert_eq!(parse_time(&reminder["nextAt"]), an_hour_ago + TimeDelta::days(1));

    let until = (now - TimeDelta::minutes(1)).format("%Y%m%dT%H%M%SZ");
    let over = series(an_hour_ago, format!("FREQ=MINUTELY;UNTIL={until}"));
    ada.reminders.post("/reminders", &over).await.expect(422);

    let (future, _) = ada.create_reminder_due_in(86_400, &["push"], "Future").await;
    let yesterday = json!({"date": rfc3339(now - TimeDelta::days(1))});
    let refused =
        ada.reminders.patch(&format!("/reminders/{future}"), &yesterday).await.expect(422);
    assert_eq!(refused.reason(), Some("INVALID_DUEDATE"));

    send_last(&suite, &ada).await;
    assert_eq!(suite.push_titles(), ["Last"]);
    suite.wait_for_states(&daily, &["pending"]).await;
}
