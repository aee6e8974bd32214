//! What comes more than once before its time: several offsets, several channels.

use chrono::{TimeDelta, Utc};
use serde_json::json;
use support::eventually;
use system::{Bus, House, LIMIT, time, whole_seconds, written};

crate::on_both_buses!(offsets_move_with_their_date_and_each_is_sent_once_on_each_channel);

async fn offsets_move_with_their_date_and_each_is_sent_once_on_each_channel(bus: Bus) {
    let house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "android").await;
    let body = json!({"date": written(Utc::now() + TimeDelta::hours(1)), "notifyOffsets": [0, 1], "title": "Train",
                      "message": "platform 4", "channels": ["push", "email"]});
    let id = ada.makes(&body).await;
    house.stands(&id, &["pending", "pending"]).await;
    let date = whole_seconds(Utc::now() + TimeDelta::seconds(64));
    assert_eq!(
        ada.edits(&id, &json!({"date": written(date)})).await["notifyOffsets"],
        json!([0, 1])
    );

    let occurrences = house.stands(&id, &["sent", "pending", "cancelled", "cancelled"]).await;
    assert_eq!(time(&occurrences[0]["dueAt"]), date - TimeDelta::minutes(1));
    assert_eq!((time(&occurrences[1]["dueAt"]), time(&occurrences[1]["date"])), (date, date));
    assert_eq!((&occurrences[0]["sent"], &occurrences[0]["deliveries"]), (&json!(2), &json!(2)));
    eventually(LIMIT, async || house.mailbox(&ada.email).await.len() == 1).await;
    assert_eq!(house.sandbox.captured().iter().filter(|it| it.push().is_some()).count(), 1);
    assert_eq!(house.sandbox.stats().duplicates, 0);
}
