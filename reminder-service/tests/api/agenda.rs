//! `GET /occurrences`, and `GET /reminders?sort=nextAt`.

use std::collections::HashSet;

use serde_json::{Value, json};
use support::http::Client;

use crate::service::{Service, in_minutes, least_with};

const WEEK: &str = "/occurrences?from=2126-05-06T00:00:00Z&to=2126-05-13T00:00:00Z";

/// Reads all pages of a list by cursor; calls `between` after each page.
async fn pages(ada: &Client, path: &str, mut between: impl AsyncFnMut(&[Value])) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), None::<String>);
    for page in 0.. {
        assert!(page < 100, "the pages do not end");
        let cursor_of = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let body = ada.get(&format!("{path}{cursor_of}")).await.expect(200).body;
        let list = if path.starts_with("/occurrences") { &body } else { &body["reminders"] };
        let items = list.get("occurrences").or_else(|| list.get("items")).expect("a list");
        let items = items.as_array().expect("a list").clone();
        between(&items).await;
        all.extend(items);
        match list["nextCursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    all
}

fn times(occurrences: &[Value]) -> Vec<&str> {
    occurrences.iter().map(|occurrence| occurrence["at"].as_str().expect("a time")).collect()
}

#[tokio::test]
async fn lists_occurrences_of_all_reminders_in_order() {
    let service = Service::start().await;
    let dentist = service
        .make(&least_with(json!({
            "date": "2126-05-08T06:30:00.000Z", "title": "Dentist", "timeZone": "Europe/Berlin",
            "notifyOffsets": [0, 60], "channels": ["email", "push"]
        })))
        .await;
    let rule = json!({"rrule": "FREQ=DAILY", "exdates": ["2126-05-09"]});
    let tablets = service
        .make(&least_with(json!({
            "date": "2126-05-01T06:30:00Z", "recurrence": rule, "channels": ["push"]
        })))
        .await;
    service.make(&least_with(json!({"date": "2126-05-13T00:00:00Z"}))).await;
    let other = service.anonymous.as_user("bob", "bob@example.com");
    other
        .post("/reminders", &least_with(json!({"date": "2126-05-07T00:00:00Z"})))
        .await
        .expect(201);

    let week = service.ada.get(WEEK).await.expect(200).body;

    let occurrences = week["occurrences"].as_array().expect("a list");
    let day = |day: &str| format!("2126-05-{day}T06:30:00.000Z");
    let expected: Vec<_> = ["06", "07", "08", "08", "10", "11", "12"].map(day).into();
    assert_eq!(times(occurrences), expected);
    assert_eq!(week["nextCursor"], Value::Null);
    // At the same time, the reminder that was created first comes first.
    assert_eq!(
        occurrences[2],
        json!({
            "reminderId": dentist, "at": day("08"), "localAt": "2126-05-08T08:30:00",
            "snoozedFrom": null, "title": "Dentist",
            "deliveries": [
                {"deliverAt": "2126-05-08T05:30:00.000Z", "channel": "email"},
                {"deliverAt": "2126-05-08T05:30:00.000Z", "channel": "push"},
                {"deliverAt": day("08"), "channel": "email"},
                {"deliverAt": day("08"), "channel": "push"}
            ]
        })
    );
    assert_eq!(occurrences[3]["reminderId"], json!(tablets));
    let [from, to] = ["from=2126-05-08T06:30:00Z", "to=2126-05-12T06:30:00Z"];
    let part = service.ada.get(&format!("/occurrences?{from}&{to}")).await.expect(200).body;
    let part = part["occurrences"].as_array().expect("a list");
    assert_eq!(times(part), expected[2..6], "from is included, to is not");
}

#[tokio::test]
async fn lists_what_is_snoozed_at_its_new_time() {
    let service = Service::start().await;
    let id =
        service.make(&least_with(json!({"date": in_minutes(60), "notifyOffsets": [0, 30]}))).await;
    let sql = "update reminders set date = date - interval '45 minutes',
            last_at = last_at - interval '45 minutes', nothing_before = default,
            created_at = created_at - interval '45 minutes'
        where id = $1::text::uuid";
    sqlx::query(sql).bind(&id).execute(&service.database.pool().await).await.expect("it is moved");
    let path = format!("/reminders/{id}");
    let date = service.ada.get(&path).await.expect(200).body["date"].clone();
    let listed =
        async || service.ada.get("/occurrences").await.expect(200).body["occurrences"].clone();
    assert_eq!(listed().await[0]["at"], date);

    let until = in_minutes(600);
    service.ada.post(&format!("{path}/snooze"), &json!({"until": until})).await.expect(200);
    let snoozed = listed().await;
    let last = snoozed.as_array().expect("a list").last().expect("the snooze");
    assert_eq!((&last["at"], &last["snoozedFrom"]), (&json!(until), &date));
    assert_eq!(last["deliveries"], json!([{"deliverAt": until, "channel": "push"}]));

    service.ada.post(&format!("{path}/acknowledge"), &json!({})).await.expect(200);
    assert_eq!(listed().await, json!([]));
}

#[tokio::test]
async fn reads_each_occurrence_once_while_reminders_change() {
    let service = Service::start().await;
    let at_noon = least_with(json!({"date": "2126-05-07T12:00:00Z"}));
    let bodies: Vec<_> = (0..25).map(|_| at_noon.clone()).collect();
    service.ada.post("/reminders/bulk", &json!({"reminders": bodies})).await.expect(200);
    let daily = json!({"date": "2126-05-01T12:00:00Z", "recurrence": {"rrule": "FREQ=DAILY"}});
    let daily = service.make(&least_with(daily)).await;
    let before = service.ada.get(&format!("{WEEK}&limit=100")).await.expect(200).body;
    let before = before["occurrences"].as_array().expect("a list").clone();

    let read = pages(&service.ada, &format!("{WEEK}&limit=7"), async |page| {
        let last = page.last().and_then(|last| last["reminderId"].as_str()).expect("a reminder");
        if page.len() == 7 && last != daily {
            service.ada.delete(&format!("/reminders/{last}")).await.expect(200);
            service.make(&least_with(json!({"date": "2126-05-06T01:00:00Z"}))).await;
        }
    })
    .await;

    let key =
        |occurrence: &Value| (occurrence["at"].to_string(), occurrence["reminderId"].to_string());
    let unique: HashSet<_> = read.iter().map(key).collect();
    assert_eq!(unique.len(), read.len(), "none is repeated");
    let singles = |list: &[Value]| {
        let noon = |occurrence: &&Value| occurrence["at"] == "2126-05-07T12:00:00.000Z";
        list.iter().filter(noon).map(key).collect::<HashSet<_>>()
    };
    assert!(singles(&before).len() >= 25);
    assert!(singles(&before).is_subset(&unique), "none is left out");
}

#[tokio::test]
async fn lists_reminders_by_next_delivery() {
    let service = Service::start().await;
    let mut expected = Vec::new();
    for (date, offset, rrule) in [
        ("2126-05-09T00:00:00Z", 0, None),
        ("2126-05-09T00:00:00Z", 1_500, None),
        ("2126-05-01T00:00:00Z", 0, Some("FREQ=MONTHLY")),
        ("2126-05-09T00:00:00Z", 0, None),
    ] {
        let recurrence = rrule.map(|rrule| json!({"rrule": rrule}));
        let body = json!({"date": date, "notifyOffset": offset, "recurrence": recurrence});
        expected.push(service.make(&least_with(body)).await);
    }
    let past = service.make(&least_with(json!({}))).await;
    service.let_pass(&past).await;
    let order: Vec<_> = [2, 1, 0, 3].map(|index: usize| expected[index].clone()).into();
    let ids = |list: &[Value]| -> Vec<String> {
        list.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
    };
    for path in ["/reminders?sort=nextAt&limit=2", "/reminders?sort=nextAt&limit=100"] {
        let read = ids(&pages(&service.ada, path, async |_| {}).await);
        assert_eq!(read[..4], order);
        assert_eq!(read[4..], *std::slice::from_ref(&past), "without a delivery it comes last");
    }
    let scheduled = "/reminders?sort=nextAt&status=scheduled";
    let body = service.ada.get(scheduled).await.expect(200).body;
    assert_eq!(ids(body["reminders"]["items"].as_array().expect("a list")), order);
    assert_eq!(body["reminders"]["total"], json!(4));

    // A change moves it.
    let first = json!({"date": "2126-04-01T00:00:00Z"});
    service.ada.patch(&format!("/reminders/{}", expected[3]), &first).await.expect(200);
    let body = service.ada.get(scheduled).await.expect(200).body;
    assert_eq!(body["reminders"]["items"][0]["id"], json!(expected[3]));
}

#[tokio::test]
async fn names_faulty_parameters_of_agenda() {
    let service = Service::start().await;
    for (query, field) in [
        ("from=yesterday", "from"),
        ("to=2126-05-06", "to"),
        ("from=2126-05-06T00:00:00Z&to=2126-05-06T00:00:00Z", "to"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("cursor=x", "cursor"),
        ("offset=1", "offset"),
    ] {
        let error = service.ada.get(&format!("/occurrences?{query}")).await.expect(400).body;
        assert_eq!(error["error"]["details"][0]["field"], json!(field), "{query} {error}");
    }
    // Each field is named once, even if it contradicts two others.
    for query in ["sort=nextAt&offset=1", "cursor=x&offset=1", "sort=nextAt&cursor=x&offset=1"] {
        let error = service.ada.get(&format!("/reminders?{query}")).await.expect(400).body;
        let details = error["error"]["details"].as_array().expect("a list");
        let named = details.iter().filter(|fault| fault["field"] == "offset").count();
        assert_eq!(named, 1, "{query} {error}");
    }
    service.ada.get("/reminders?sort=createdAt").await.expect(400);
}
