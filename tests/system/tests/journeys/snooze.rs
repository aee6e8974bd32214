//! What a user does with what has come.

use chrono::{DateTime, TimeDelta, Utc};
use sandbox::{FcmMode, Mode};
use serde_json::json;
use support::eventually;
use system::{Bus, House, LIMIT, Person, Service, time, whole_seconds, written};

crate::on_both_buses!(
    a_snoozed_reminder_comes_once_more,
    an_acknowledged_reminder_comes_no_more,
    a_series_goes_on_whatever_is_done_with_one_of_it,
    comes_once_at_snoozed_time_after_provider_outage,
    comes_once_at_snoozed_time_after_ledger_outage,
    comes_once_at_snoozed_time_after_bus_outage,
    acknowledged_during_outage_does_not_come,
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
    let snoozed =
        ada.reminders.post(&snooze, &json!({"until": written(until)})).await.expect(200).body;
    assert_eq!(
        (snoozed["status"].as_str(), &snoozed["nextAt"]),
        (Some("scheduled"), &json!(written(until)))
    );

    house.stands(&id, &["sent", "sent"]).await;
    ada.sees("sent", 2).await;
    let captured = house.sandbox.captured();
    assert_eq!((captured.len(), house.sandbox.stats().duplicates), (2, 0));
    for arrived in captured.iter().filter_map(|it| it.push()) {
        assert_eq!(
            (arrived.title.as_deref(), arrived.body.as_deref()),
            (Some("Tablets"), Some("Tablets, please"))
        );
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
    ada.reminders
        .post(&format!("/reminders/{id}/snooze"), &json!({"minutes": 30}))
        .await
        .expect(200);
    let occurrences = house.stands(&id, &["sent", "pending", "pending"]).await;
    assert_eq!(occurrences[2]["date"], occurrences[1]["date"], "the same occurrence, once more");
    assert!(time(&occurrences[2]["dueAt"]) > date);

    let acknowledged = ada
        .reminders
        .post(&format!("/reminders/{id}/acknowledge"), &json!({}))
        .await
        .expect(200)
        .body;
    assert_eq!(
        (acknowledged["status"].as_str(), &acknowledged["nextAt"]),
        (Some("completed"), &json!(null))
    );
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
    let titles: Vec<_> =
        house.sandbox.captured().iter().filter_map(|it| it.push()?.title.clone()).collect();
    assert_eq!(titles, ["Plants", "Plants", "All plants"]);
}

/// Waits until some occurrence is so in the database.
async fn occurrence_is(house: &House, condition: &'static str) {
    let pool = house.pool(Service::Events).await;
    let sql = format!("select exists (select from occurrences where {condition})");
    eventually(LIMIT, async || {
        let sql = sqlx::AssertSqlSafe(sql.clone());
        sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap_or(false)
    })
    .await;
    pool.close().await;
}

fn fcm_is_away(house: &House, is_away: bool) {
    let fcm = if is_away {
        FcmMode { status: Some(503), retry_after: Some(1), ..FcmMode::default() }
    } else {
        FcmMode::default()
    };
    house.sandbox.set_mode(Mode { fcm, ..Mode::default() });
}

/// Snoozes what is due for some seconds from now, and answers until when.
async fn snoozes(ada: &Person, id: &str, seconds: i64) -> DateTime<Utc> {
    let until = Utc::now() + TimeDelta::seconds(seconds);
    ada.reminders
        .post(&format!("/reminders/{id}/snooze"), &json!({"until": written(until)}))
        .await
        .expect(200);
    until
}

/// Waits until a snoozed reminder has come, and judges: nothing came before the snooze's time, and
/// one push after it.
async fn came_once(house: &House, ada: &Person, until: DateTime<Utc>) {
    ada.sees("sent", 1).await;
    // A later one shows that whatever else was to come has come.
    let (after, _) = ada.is_reminded_in(2, &["push"], "After it").await;
    house.stands(&after, &["sent"]).await;
    let captured = house.sandbox.captured();
    let titles: Vec<_> =
        captured.iter().filter_map(|captured| captured.push()?.title.clone()).collect();
    assert_eq!(titles, ["Tablets", "After it"]);
    assert!(
        captured[0].at.timestamp_millis() >= until.timestamp_millis(),
        "it came before its new time"
    );
}

async fn comes_once_at_snoozed_time_after_provider_outage(bus: Bus) {
    let house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "android").await;
    fcm_is_away(&house, true);
    let (id, _) = ada.is_reminded_in(2, &["push"], "Tablets").await;
    eventually(LIMIT, async || !house.sandbox.attempts("token-1").is_empty()).await;
    house.stands(&id, &["released"]).await;
    let until = snoozes(&ada, &id, 4).await;
    assert_eq!(ada.sees("suppressed", 1).await[0]["reason"], "CANCELLED");

    fcm_is_away(&house, false);
    came_once(&house, &ada, until).await;
    house.stands(&id, &["suppressed", "sent"]).await;
}

async fn comes_once_at_snoozed_time_after_ledger_outage(bus: Bus) {
    let mut house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "android").await;
    house.kill(Service::Notifications).await;
    let (id, _) = ada.is_reminded_in(2, &["push"], "Tablets").await;
    house.stands(&id, &["released"]).await;
    occurrence_is(&house, "state = 'released' and due_at < now() - interval '4 seconds'").await;
    let until = snoozes(&ada, &id, 12).await;
    house.stands(&id, &["released", "pending"]).await;

    house.add(Service::Notifications).await;
    house.ready().await;
    came_once(&house, &house.person("ada"), until).await;
    house.stands(&id, &["suppressed", "sent"]).await;
}

async fn comes_once_at_snoozed_time_after_bus_outage(bus: Bus) {
    let house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "android").await;
    let (id, _) = ada.is_reminded_in(3, &["push"], "Tablets").await;
    house.stands(&id, &["pending"]).await;
    house.bus_goes_away().await;
    occurrence_is(&house, "pending and fence > 0 and due_at < now() - interval '4 seconds'").await;
    // Neither the occurrence nor the snooze gets anywhere.
    let until = snoozes(&ada, &id, 25).await;

    house.bus_comes_back().await;
    came_once(&house, &ada, until).await;
    // Taken back before it was published, or at the ledger.
    occurrence_is(&house, "state = 'cancelled' or (state = 'suppressed' and reason = 'CANCELLED')")
        .await;
}

async fn acknowledged_during_outage_does_not_come(bus: Bus) {
    let house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "ios").await;
    fcm_is_away(&house, true);
    let (id, _) = ada.is_reminded_in(2, &["push"], "Never").await;
    eventually(LIMIT, async || !house.sandbox.attempts("token-1").is_empty()).await;
    house.stands(&id, &["released"]).await;
    ada.reminders.post(&format!("/reminders/{id}/acknowledge"), &json!({})).await.expect(200);
    ada.sees("suppressed", 1).await;
    fcm_is_away(&house, false);
    let (after, _) = ada.is_reminded_in(2, &["push"], "After it").await;
    house.stands(&after, &["sent"]).await;
    house.stands(&id, &["suppressed"]).await;
    let titles: Vec<_> = house
        .sandbox
        .captured()
        .iter()
        .filter_map(|captured| captured.push()?.title.clone())
        .collect();
    assert_eq!(titles, ["After it"]);
}
