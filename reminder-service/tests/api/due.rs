//! `GET /reminders` with `from` and `to`: reminders with an occurrence between the two.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use support::http::Client;

use crate::service::{Service, in_minutes, least_with};

async fn list(client: &Client, query: &str) -> Value {
    client.get(&format!("/reminders?{query}")).await.expect(200).body["reminders"].clone()
}

/// The names of the reminders on a page.
fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().expect("items");
    items.iter().map(|item| item["title"].as_str().expect("a title")).collect()
}

/// Creates a reminder with each name, in order; returns their ids.
async fn make_all(
    service: &Service,
    all: &[(&'static str, Value)],
) -> BTreeMap<&'static str, String> {
    let mut ids = BTreeMap::new();
    for (name, body) in all {
        let named = crate::service::merged(body.clone(), json!({"title": name}));
        ids.insert(*name, service.make(&least_with(named)).await);
    }
    ids
}

fn rule(date: &str, rrule: &str) -> Value {
    json!({"date": date, "recurrence": {"rrule": rrule}})
}

#[tokio::test]
async fn lists_reminders_with_occurrence_in_range() {
    let service = Service::start().await;
    let excluded = json!({"rrule": "FREQ=MONTHLY;COUNT=3", "exdates": ["2126-05-01"]});
    let listed = json!({
        "rrule": "FREQ=DAILY;COUNT=1",
        "rdates": ["2126-05-10T08:00:00Z", "1999-05-10T08:00:00Z"]
    });
    make_all(
        &service,
        &[
            ("birthday", rule("1965-05-06T08:00:00Z", "FREQ=YEARLY")),
            ("counted", rule("2126-04-01T08:00:00Z", "FREQ=DAILY;COUNT=30")),
            ("until", rule("2126-04-01T08:00:00Z", "FREQ=DAILY;UNTIL=21260430T080000Z")),
            ("gap", rule("2126-01-01T08:00:00Z", "FREQ=YEARLY")),
            ("excluded", json!({"date": "2126-04-01T08:00:00Z", "recurrence": excluded})),
            ("listed", json!({"date": "2126-08-01T08:00:00Z", "recurrence": listed})),
            ("later", rule("2126-05-31T08:00:00Z", "FREQ=DAILY")),
            ("single", json!({"date": "2126-05-31T23:59:59Z"})),
            ("offset", json!({"date": "2126-06-01T00:30:00Z", "notifyOffset": 60})),
        ],
    )
    .await;

    for (query, expected) in [
        // May 2126.
        (
            "from=2126-05-01T00:00:00Z&to=2126-06-01T00:00:00Z",
            vec!["single", "later", "listed", "birthday"],
        ),
        ("from=2126-06-01T00:00:00Z&to=2126-06-02T00:00:00Z", vec!["offset", "later", "excluded"]),
        ("from=2126-04-30T08:00:00Z&to=2126-05-01T00:00:00Z", vec!["until", "counted"]),
        ("from=1999-05-01T00:00:00Z&to=1999-06-01T00:00:00Z", vec!["listed", "birthday"]),
        ("to=1965-05-06T08:00:00.001Z", vec!["birthday"]),
        ("to=1965-05-06T08:00:00Z", vec![]),
        ("from=2126-08-01T08:00:00.001Z", vec!["later", "gap", "birthday"]),
        ("from=9999-01-01T00:00:00Z", vec!["later", "gap", "birthday"]),
        ("from=2126-05-02T00:00:00Z&to=2126-05-01T00:00:00Z", vec![]),
    ] {
        let found = list(&service.ada, query).await;
        assert_eq!(names(&found), expected, "{query}");
        assert_eq!(found["total"], json!(expected.len()), "{query}");
        let scheduled = list(&service.ada, &format!("{query}&status=scheduled")).await;
        assert_eq!(names(&scheduled), expected, "{query}");
        let completed = list(&service.ada, &format!("{query}&status=completed")).await;
        assert_eq!((names(&completed), &completed["total"]), (vec![], &json!(0)), "{query}");
    }
}

#[tokio::test]
async fn follows_moved_skipped_and_paused_occurrences() {
    let service = Service::start().await;
    let weekly = rule("2126-05-01T08:00:00Z", "FREQ=WEEKLY");
    let all = ["out", "in", "skipped", "paused"].map(|name| (name, weekly.clone()));
    let ids = make_all(&service, &all).await;
    let at = |name: &str, day: &str| {
        format!("/reminders/{}/occurrences/2126-05-{day}T08:00:00Z", ids[name])
    };
    let to = |day: &str| json!({"date": format!("2126-05-{day}T09:00:00Z")});
    service.ada.patch(&at("out", "08"), &to("10")).await.expect(200);
    service.ada.patch(&at("in", "08"), &to("06")).await.expect(200);
    service.ada.patch(&at("skipped", "08"), &json!({"skip": true})).await.expect(200);
    let pause = format!("/reminders/{}/pause", ids["paused"]);
    service.ada.post(&pause, &json!({})).await.expect(200);

    let day =
        |from: &str, to: &str| format!("from=2126-05-{from}T00:00:00Z&to=2126-05-{to}T00:00:00Z");
    let eighth = list(&service.ada, &day("08", "09")).await;
    assert_eq!(names(&eighth), ["paused"], "a pause changes no occurrence");
    assert_eq!(names(&list(&service.ada, &day("06", "07")).await), ["in"]);
    assert_eq!(names(&list(&service.ada, &day("10", "11")).await), ["out"]);
    let paused = list(&service.ada, &format!("{}&status=paused", day("01", "30"))).await;
    assert_eq!((names(&paused), &paused["total"]), (vec!["paused"], &json!(1)));
}

#[tokio::test]
async fn finds_acknowledged_occurrence_and_no_snooze() {
    let service = Service::start().await;
    let rule = json!({"rrule": "FREQ=DAILY;COUNT=1"});
    let body = json!({"date": in_minutes(60), "title": "done", "recurrence": rule});
    let id = service.make(&least_with(body)).await;
    let sql = "update reminders set date = date - interval '2 hours',
            last_at = last_at - interval '2 hours', created_at = created_at - interval '3 hours'
        where id = $1::text::uuid";
    sqlx::query(sql).bind(&id).execute(&service.database.pool().await).await.expect("moved");
    let path = format!("/reminders/{id}");
    let date = service.ada.get(&path).await.expect(200).body["date"].clone();
    let from_date = format!("from={}", date.as_str().expect("a time"));

    service.ada.post(&format!("{path}/acknowledge"), &json!({})).await.expect(200);
    assert_eq!(names(&list(&service.ada, &from_date).await), ["done"]);
    let snooze = json!({"until": in_minutes(600)});
    service.ada.post(&format!("{path}/snooze"), &snooze).await.expect(200);
    assert_eq!(names(&list(&service.ada, &from_date).await), ["done"]);
    let ahead = format!("from={}", in_minutes(30));
    assert_eq!(names(&list(&service.ada, &ahead).await), Vec::<&str>::new());
}

#[tokio::test]
async fn pages_through_filtered_reminders() {
    let service = Service::start().await;
    let mut expected = Vec::new();
    for number in 0..12 {
        // Of three, one does not recur, one recurs, and one is due in another month only.
        let body = match number % 3 {
            0 => json!({"date": "2126-05-10T08:00:00Z"}),
            1 => rule("2126-01-10T08:00:00Z", "FREQ=MONTHLY"),
            _ => rule("2126-01-31T08:00:00Z", "FREQ=YEARLY"),
        };
        let id = service.make(&least_with(body)).await;
        if number % 3 < 2 {
            expected.insert(0, id);
        }
    }
    let may = "from=2126-05-01T00:00:00Z&to=2126-06-01T00:00:00Z&limit=3";
    let ids = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().expect("items");
        items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
    };
    let (mut read, mut query) = (Vec::new(), may.to_owned());
    loop {
        let page = list(&service.ada, &query).await;
        assert_eq!(page["total"], json!(8));
        read.extend(ids(&page));
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        query = format!("{may}&cursor={cursor}");
        // A reminder that is created meanwhile moves nothing.
        let other = rule("2126-01-31T08:00:00Z", "FREQ=YEARLY");
        service.make(&least_with(other)).await;
    }
    assert_eq!(read, expected);
    for offset in [0, 2, 7, 8] {
        let page = list(&service.ada, &format!("{may}&offset={offset}")).await;
        let end = (offset + 3).min(8);
        assert_eq!((ids(&page), &page["total"]), (expected[offset..end].to_vec(), &json!(8)));
        assert_eq!(page["nextCursor"].is_null(), end == 8, "{offset}");
    }
}

#[tokio::test]
async fn lists_beside_user_whose_rules_rarely_fire() {
    let service = Service::start().await;
    let mallory = service.anonymous.as_user("mallory", "mallory@example.com");
    // Between 2124 and 2152 no such day is a Tuesday, so the searches pass many minutes.
    let body = least_with(rule(
        "2028-02-29T00:00:00Z",
        "FREQ=MINUTELY;INTERVAL=1439;BYMONTH=2;BYMONTHDAY=29;BYDAY=TU",
    ));
    let bodies = vec![body; 300];
    let answer = mallory.post("/reminders/bulk", &json!({"reminders": bodies})).await.expect(200);
    assert_eq!(answer.body["results"][299]["status"], json!(201), "{}", answer.body);
    let own = service.make(&least_with(rule("2126-05-01T08:00:00Z", "FREQ=DAILY"))).await;

    let range = "from=2125-01-01T00:00:00Z&to=2152-01-01T00:00:00Z";
    let hostile = format!("/reminders?{range}");
    let attack = async { futures::future::join_all((0..8).map(|_| mallory.get(&hostile))).await };
    let (answers, found) = tokio::join!(attack, list(&service.ada, range));

    assert_eq!((&found["items"][0]["id"], &found["total"]), (&json!(own), &json!(1)));
    for answer in answers {
        match answer.status {
            200 => assert_eq!(answer.body["reminders"]["total"], json!(0)),
            429 => assert!(answer.header("retry-after").is_some(), "{}", answer.body),
            other => panic!("{other}: {}", answer.body),
        }
    }
}
