//! What a user does with what has come.

use chrono::{TimeDelta, Utc};
use serde_json::json;
use system::{Bus, House, time, whole_seconds, written};

crate::on_both_buses!(
    a_snoozed_reminder_comes_once_more,
    an_acknowledged_reminder_comes_no_more,
    a_series_goes_on_whatever_is_done_with_one_of_it,
);

async fn a_snoozed_reminder_comes_once_more(bus: Bus) {
    let house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "android").await;
    let (id, _) = ada.is_reminded_in(3, &["push"], "Tablets").await;
    let snooze = format!("/reminders/{id}/snooze");
    let too_early = ada.reminders.post(&snooze, &json!({"minutes": 5})).await.expect(409);
    assert_eq!(too_early.reason(), Some("CONFLICT"));
    house.stands(&id, &["sent"]).await;
    let until = Utc::now() + TimeDelta::seconds(3);
    let snoozed = ada.reminders.post(&snooze, &json!({"until": written(until)})).await.expect(200).body;
    assert_eq!((snoozed["status"].as_str(), &snoozed["nextAt"]), (Some("scheduled"), &json!(written(until))));

    house.stands(&id, &["sent", "sent"]).await;
    ada.sees("sent", 2).await;
    let captured = house.sandbox.captured();
    assert_eq!((captured.len(), house.sandbox.stats().duplicates), (2, 0));
    for arrived in captured.iter().filter_map(|it| it.push()) {
        assert_eq!((arrived.title.as_deref(), arrived.body.as_deref()), (Some("Tablets"), Some("Tablets, please")));
    }
    assert!(captured[1].at.timestamp_millis() >= until.timestamp_millis());
    let after = ada.reminders.get(&format!("/reminders/{id}")).await.expect(200).body;
    assert_eq!((after["status"].as_str(), &after["nextAt"]), (Some("completed"), &json!(null)));
}

async fn an_acknowledged_reminder_comes_no_more(bus: Bus) {
    let house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "web").await;
    let date = Utc::now() + TimeDelta::seconds(63);
    let body = json!({"date": written(date), "notifyOffsets": [0, 1], "message": "now", "channels": ["push"]});
    let id = ada.makes(&body).await;
    house.stands(&id, &["sent", "pending"]).await;
    ada.reminders.post(&format!("/reminders/{id}/snooze"), &json!({"minutes": 30})).await.expect(200);
    let occurrences = house.stands(&id, &["sent", "pending", "pending"]).await;
    assert_eq!(occurrences[2]["date"], occurrences[1]["date"], "the same occurrence, once more");
    assert!(time(&occurrences[2]["dueAt"]) > date);

    let acknowledged = ada.reminders.post(&format!("/reminders/{id}/acknowledge"), &json!({})).await.expect(200).body;
    assert_eq!((acknowledged["status"].as_str(), &acknowledged["nextAt"]), (Some("completed"), &json!(null)));
    house.stands(&id, &["sent", "cancelled", "cancelled"]).await;
    assert_eq!(house.sandbox.captured().len(), 1);
}

async fn a_series_goes_on_whatever_is_done_with_one_of_it(bus: Bus) {
    let house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "ios").await;
    let date = written(whole_seconds(Utc::now() + TimeDelta::seconds(4)));
    let body = json!({"date": date, "title": "Plants", "message": "water them", "channels": ["push"],
                      "recurrence": {"rrule": "FREQ=HOURLY;COUNT=3"}});
    let id = ada.makes(&body).await;
    house.stands(&id, &["sent", "pending"]).await;
    let does = async |what: &str, body: serde_json::Value| {
        ada.reminders.post(&format!("/reminders/{id}/{what}"), &body).await.expect(200);
    };
    does("snooze", json!({"until": written(Utc::now() + TimeDelta::seconds(2))})).await;
    house.stands(&id, &["sent", "sent", "pending"]).await;
    ada.edits(&id, &json!({"title": "All plants"})).await;
    does("snooze", json!({"minutes": 30})).await;
    house.stands(&id, &["sent", "sent", "pending", "pending"]).await;
    does("acknowledge", json!({})).await;
    house.stands(&id, &["sent", "sent", "cancelled", "pending"]).await;

    let once = json!({"recurrence": null, "date": written(Utc::now() + TimeDelta::seconds(2))});
    assert_eq!(ada.edits(&id, &once).await["isRecurring"], false);
    house.stands(&id, &["sent", "sent", "sent", "cancelled", "cancelled"]).await;
    let titles: Vec<_> = house.sandbox.captured().iter().filter_map(|it| it.push()?.title.clone()).collect();
    assert_eq!(titles, ["Plants", "Plants", "All plants"]);
}
