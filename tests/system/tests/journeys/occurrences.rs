//! Changes of single occurrences of recurring reminders.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use system::{Bus, TestSuite, TestUser, parse_time, rfc3339, truncate_to_seconds};

crate::on_both_buses!(
    delivers_restored_but_no_skipped_occurrence,
    delivers_changed_text_of_one_occurrence,
    delivers_moved_occurrence_and_split_series,
    delivers_nothing_of_pause,
);

/// Creates an hourly reminder that is due in `seconds`, and returns its id and its first due time.
async fn create_hourly(ada: &TestUser, seconds: i64, title: &str) -> (String, DateTime<Utc>) {
    let date = truncate_to_seconds(Utc::now() + TimeDelta::seconds(seconds));
    let body = json!({
        "date": rfc3339(date),
        "title": title,
        "message": format!("{title}, please"),
        "channels": ["push"],
        "recurrence": {"rrule": "FREQ=HOURLY"},
    });
    (ada.create_reminder(&body).await, date)
}

/// Changes an occurrence, and returns the reminder.
async fn change(ada: &TestUser, id: &str, at: DateTime<Utc>, change: &Value) -> Value {
    let path = format!("/reminders/{id}/occurrences/{}", rfc3339(at));
    ada.reminders.patch(&path, change).await.expect(200).body
}

async fn delivers_restored_but_no_skipped_occurrence(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    let (skipped, first) = create_hourly(&ada, 8, "Skipped").await;
    let (restored, second) = create_hourly(&ada, 10, "Restored").await;
    for (id, at) in [(&skipped, first), (&restored, second)] {
        suite.wait_for_states(id, &["pending"]).await;
        let next = change(&ada, id, at, &json!({"skip": true})).await["nextAt"].clone();
        assert_eq!(next, json!(rfc3339(at + TimeDelta::hours(1))));
        let occurrences = suite.wait_for_states(id, &["cancelled", "pending"]).await;
        assert_eq!(occurrences[0]["reason"], "EDITED");
    }
    let back = change(&ada, &restored, second, &json!({"skip": false})).await;
    assert_eq!((&back["nextAt"], &back["version"]), (&json!(rfc3339(second)), &json!(3)));

    suite.wait_for_states(&restored, &["sent", "pending"]).await;
    suite.wait_for_states(&skipped, &["cancelled", "pending"]).await;
    assert_eq!(suite.push_titles(), ["Restored"]);
}

async fn delivers_changed_text_of_one_occurrence(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "web").await;
    let (id, first) = create_hourly(&ada, 8, "Tablets").await;
    suite.wait_for_states(&id, &["pending"]).await;
    let texts = json!({"title": "Half a tablet", "message": "only today", "url": null});
    let changed = change(&ada, &id, first, &texts).await;
    assert_eq!(changed["title"], "Tablets");
    assert_eq!(changed["changedOccurrences"][0]["at"], json!(rfc3339(first)));
    let agenda = ada.reminders.get("/occurrences?limit=2").await.expect(200).body;
    let titles = [0, 1].map(|place| agenda["occurrences"][place]["title"].clone());
    assert_eq!(titles, [json!("Half a tablet"), json!("Tablets")]);

    suite.wait_for_states(&id, &["sent", "pending"]).await;
    assert_eq!(suite.push_titles(), ["Half a tablet"]);
    // A snooze delivers the same occurrence once more.
    ada.snooze_reminder(&id, 2).await;
    suite.wait_for_states(&id, &["sent", "sent", "pending"]).await;
    assert_eq!(suite.push_titles(), ["Half a tablet", "Half a tablet"]);
    let captured = suite.sandbox.captured();
    assert!(
        captured
            .iter()
            .filter_map(|message| message.push())
            .all(|push| { push.body.as_deref() == Some("only today") })
    );
}

async fn delivers_moved_occurrence_and_split_series(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "web").await;
    let soon = |seconds| truncate_to_seconds(Utc::now() + TimeDelta::seconds(seconds));
    let (moved, first) = create_hourly(&ada, 3_600, "Moved").await;
    let (series, begin) = create_hourly(&ada, 3_600, "Series").await;
    for id in [&moved, &series] {
        suite.wait_for_states(id, &["pending"]).await;
    }
    let date = soon(8);
    let answer = change(&ada, &moved, first, &json!({"date": rfc3339(date)})).await;
    assert_eq!(answer["nextAt"], json!(rfc3339(date)));
    let at = rfc3339(begin + TimeDelta::hours(1));
    let path = format!("/reminders/{series}/occurrences/{at}?scope=following");
    let following = json!({"date": rfc3339(soon(10)), "title": "Following"});
    let answer = ada.reminders.patch(&path, &following).await.expect(200).body;
    let created = answer["created"]["id"].as_str().expect("a new reminder").to_owned();

    suite.wait_for_states(&moved, &["sent", "cancelled", "pending"]).await;
    suite.wait_for_states(&created, &["sent", "pending"]).await;
    let occurrences = suite.wait_for_states(&series, &["pending"]).await;
    assert_eq!(parse_time(&occurrences[0]["dueAt"]), begin, "it is the last one");
    assert_eq!(suite.push_titles(), ["Moved", "Following"]);
}

/// Pauses or resumes a reminder, and returns it.
async fn call(ada: &TestUser, id: &str, call: &str) -> Value {
    ada.reminders.post(&format!("/reminders/{id}/{call}"), &json!({})).await.expect(200).body
}

async fn delivers_nothing_of_pause(bus: Bus) {
    let suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "ios").await;
    let (missed, first) = create_hourly(&ada, 8, "Missed").await;
    let (resumed, second) = create_hourly(&ada, 12, "Resumed").await;
    let date = rfc3339(first);
    let single =
        ada.create_reminder(&json!({"date": date, "message": "no", "channels": ["push"]})).await;
    for id in [&missed, &resumed, &single] {
        suite.wait_for_states(id, &["pending"]).await;
        let paused = call(&ada, id, "pause").await;
        assert_eq!((&paused["status"], &paused["nextAt"]), (&json!("paused"), &Value::Null));
        let occurrences = suite.wait_for_states(id, &["cancelled"]).await;
        assert_eq!(occurrences[0]["reason"], "PAUSED");
    }
    assert_eq!(call(&ada, &resumed, "resume").await["nextAt"], json!(rfc3339(second)));
    suite.wait_for_states(&resumed, &["sent", "pending"]).await;

    // The others were due before.
    let next = first + TimeDelta::hours(1);
    assert_eq!(call(&ada, &missed, "resume").await["nextAt"], json!(rfc3339(next)));
    assert_eq!(call(&ada, &single, "resume").await["status"], "completed");
    suite.wait_for_states(&missed, &["cancelled", "pending"]).await;
    suite.wait_for_event(&single, "reminder:updated").await;
    suite.wait_for_states(&single, &["cancelled"]).await;
    assert_eq!(suite.push_titles(), ["Resumed"]);
}
