//! Local times without an offset, in requests and in answers.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use crate::service::{Service, least, wire};

const BERLIN: &str = "Europe/Berlin";

fn local(date: &str, more: Value) -> Value {
    crate::service::merged(json!({"date": date, "timeZone": BERLIN, "message": "Tablets"}), more)
}

fn shown(reminder: &Value) -> [&str; 3] {
    ["date", "localDate", "timeZone"].map(|field| reminder[field].as_str().unwrap_or_default())
}

#[tokio::test]
async fn creates_reminder_at_local_time() {
    let service = Service::start().await;
    for (date, instant, local_date) in [
        ("2096-07-01T10:00:00", "2096-07-01T08:00:00.000Z", "2096-07-01T10:00:00"),
        ("2096-07-01T10:00", "2096-07-01T08:00:00.000Z", "2096-07-01T10:00:00"),
        ("2096-12-01T10:00:00.25", "2096-12-01T09:00:00.250Z", "2096-12-01T10:00:00.250"),
        // The clock goes from two to three, and back from three to two.
        ("2096-03-25T02:30:00", "2096-03-25T01:30:00.000Z", "2096-03-25T03:30:00"),
        ("2096-10-28T02:30:00", "2096-10-28T00:30:00.000Z", "2096-10-28T02:30:00"),
    ] {
        let id = service.make(&local(date, json!({}))).await;
        let reminder = service.ada.get(&format!("/reminders/{id}")).await.expect(200).body;
        assert_eq!(shown(&reminder), [instant, local_date, BERLIN], "{date}");
    }
}

#[tokio::test]
async fn starts_rule_at_local_time() {
    let service = Service::start().await;
    let rule = |fold: &str| json!({"recurrence": {"rrule": "FREQ=DAILY;COUNT=2", "fold": fold}});
    for (date, fold, expected) in [
        (
            "2096-03-24T09:00:00",
            "first",
            [
                ["2096-03-24T08:00:00.000Z", "2096-03-24T09:00:00"],
                ["2096-03-25T07:00:00.000Z", "2096-03-25T09:00:00"],
            ],
        ),
        (
            "2096-10-28T02:30:00",
            "second",
            [
                ["2096-10-28T01:30:00.000Z", "2096-10-28T02:30:00"],
                ["2096-10-29T01:30:00.000Z", "2096-10-29T02:30:00"],
            ],
        ),
    ] {
        let answer = service.ada.post("/reminders/preview", &local(date, rule(fold))).await;
        let answer = answer.expect(200).body;
        let found = answer["occurrences"].as_array().expect("a list").iter();
        let found: Vec<_> = found.map(|found| json!([found["at"], found["localAt"]])).collect();
        assert_eq!(json!(found), json!(expected), "{date}");
    }
}

#[tokio::test]
async fn refuses_local_time_without_instant() {
    let service = Service::start().await;
    let daily = json!({"recurrence": {"rrule": "FREQ=DAILY"}});
    let path = format!("/reminders/{}", service.make(&local("2096-03-24T02:30", daily)).await);
    let in_gap = local("2096-03-25T02:30:00", json!({"recurrence": {"rrule": "FREQ=DAILY"}}));
    let without_zone = json!({"date": "2096-07-01T10:00:00", "message": "Tablets"});
    for (body, named) in [(in_gap, "must exist in Europe/Berlin"), (without_zone, "an offset")] {
        let entries = json!({"reminders": [least(), body]});
        let bulk = service.ada.post("/reminders/bulk", &entries).await.expect(200).body;
        let errors = [
            service.ada.post("/reminders", &body).await.expect(422).body,
            service.ada.post("/reminders/preview", &body).await.expect(422).body,
            bulk["results"][1].clone(),
        ];
        for error in errors {
            assert_eq!(error["error"]["reason"], "INVALID_DUEDATE", "{error}");
            assert_eq!(error["error"]["details"][0]["field"], "date", "{error}");
            assert!(error["error"]["message"].to_string().contains(named), "{error}");
        }
    }
    let answer = service.ada.patch(&path, &json!({"date": "2096-03-25T02:30"})).await.expect(422);
    assert_eq!(answer.reason(), Some("INVALID_DUEDATE"));
}

#[tokio::test]
async fn changes_local_date_in_zone_of_reminder() {
    let service = Service::start().await;
    let path = format!("/reminders/{}", service.make(&local("2096-07-01T10:00", json!({}))).await);
    for (change, expected) in [
        (
            json!({"date": "2096-12-01T09:30"}),
            ["2096-12-01T08:30:00.000Z", "2096-12-01T09:30:00", BERLIN],
        ),
        (
            json!({"date": "2096-12-01T09:30", "timeZone": "Asia/Tokyo"}),
            ["2096-12-01T00:30:00.000Z", "2096-12-01T09:30:00", "Asia/Tokyo"],
        ),
        (
            json!({"timeZone": "America/New_York"}),
            ["2096-12-01T14:30:00.000Z", "2096-12-01T09:30:00", "America/New_York"],
        ),
        (
            json!({"date": "2096-12-01T14:30:00Z", "timeZone": "Asia/Tokyo"}),
            ["2096-12-01T14:30:00.000Z", "2096-12-01T23:30:00", "Asia/Tokyo"],
        ),
    ] {
        let after = service.ada.patch(&path, &change).await.expect(200).body;
        assert_eq!(shown(&after), expected, "{change}");
        assert_eq!(after["nextAt"], expected[0], "{change}");
    }
}

#[tokio::test]
async fn keeps_wall_clock_of_series_when_zone_changes() {
    let service = Service::start().await;
    let rule = json!({"recurrence": {"rrule": "FREQ=DAILY"}});
    let path = format!("/reminders/{}", service.make(&local("2096-03-24T09:00", rule)).await);
    let zone = json!({"timeZone": "America/New_York"});
    service.ada.patch(&path, &zone).await.expect(200);
    let shown = service.ada.get(&format!("{path}/occurrences?limit=2")).await.expect(200).body;
    let at = |index: usize| {
        [&shown["occurrences"][index]["at"], &shown["occurrences"][index]["localAt"]]
    };
    assert_eq!(at(0), ["2096-03-24T13:00:00.000Z", "2096-03-24T09:00:00"]);
    assert_eq!(at(1), ["2096-03-25T13:00:00.000Z", "2096-03-25T09:00:00"]);
}

#[tokio::test]
async fn snoozes_until_local_time() {
    let service = Service::start().await;
    let zone = "Asia/Kathmandu";
    let id = service.make(&crate::service::least_with(json!({"timeZone": zone}))).await;
    let sql = "update reminders set date = date - interval '61 minutes',
                   last_at = last_at - interval '61 minutes',
                   created_at = created_at - interval '2 hours'
               where id = $1::text::uuid";
    sqlx::query(sql).bind(&id).execute(&service.database.pool().await).await.expect("it is moved");
    let until = Utc::now() + TimeDelta::hours(1);
    let local = recurrence::Zone::parse(zone).expect("a zone").wall_clock(until);
    let local = local.format("%Y-%m-%dT%H:%M:%S%.3f").to_string();

    let path = format!("/reminders/{id}/snooze");
    let answer = service.ada.post(&path, &json!({"until": local})).await.expect(200).body;

    assert_eq!(answer["nextAt"], wire(until));
}

/// Case R11.
#[tokio::test]
async fn knows_old_and_new_names_of_zones_r11() {
    let service = Service::start().await;
    for (zone, instant) in [
        ("Europe/Kyiv", "2096-07-02T06:00:00.000Z"),
        ("Europe/Kiev", "2096-07-02T06:00:00.000Z"),
        ("Asia/Kolkata", "2096-07-02T03:30:00.000Z"),
        ("Asia/Calcutta", "2096-07-02T03:30:00.000Z"),
        ("America/Argentina/Buenos_Aires", "2096-07-02T12:00:00.000Z"),
        ("America/Buenos_Aires", "2096-07-02T12:00:00.000Z"),
        ("US/Pacific", "2096-07-02T16:00:00.000Z"),
        ("America/Coyhaique", "2096-07-02T12:00:00.000Z"),
        ("Asia/Saigon", "2096-07-02T02:00:00.000Z"),
        ("Etc/GMT+5", "2096-07-02T14:00:00.000Z"),
    ] {
        let id = service.make(&local("2096-07-02T09:00:00", json!({"timeZone": zone}))).await;
        let reminder = service.ada.get(&format!("/reminders/{id}")).await.expect(200).body;
        assert_eq!(shown(&reminder), [instant, "2096-07-02T09:00:00", zone]);
        let series = json!({"timeZone": zone, "recurrence": {"rrule": "FREQ=DAILY"}});
        let body = local("2096-07-02T09:00:00", series);
        let answer = service.ada.post("/reminders/preview?limit=1", &body).await.expect(200).body;
        assert_eq!(answer["occurrences"][0]["at"], instant, "{zone}");
    }
}
