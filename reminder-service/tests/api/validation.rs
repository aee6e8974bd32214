//! Refusals: the status, the reason and the fields that are named.

use serde_json::{Value, json};

use support::http::Answer;

use crate::service::{Service, in_minutes, least, least_with};

/// Invalid fields, with the status and reason of the refusal, and the beginning of its message.
fn refused() -> Vec<(Value, u16, &'static str, &'static str)> {
    let bad = |fields, named| (fields, 400, "INVALID_REQUEST", named);
    let pairs =
        |count: usize| Value::Object((0..count).map(|n| (format!("k{n}"), json!("v"))).collect());
    vec![
        bad(json!({"date": null}), "date: "),
        bad(json!({"date": "tomorrow"}), "date: "),
        bad(json!({"date": "2126-05-01"}), "date: "),
        bad(json!({"date": "2126-05-01T08:00:00[Europe/Berlin]"}), "date: "),
        bad(json!({"date": 1}), "date: "),
        bad(json!({"date": "9999-12-31T23:59:59-01:00"}), "date: "),
        (json!({"date": in_minutes(-1)}), 422, "INVALID_DUEDATE", "date: "),
        (json!({"date": "0001-01-01T00:00:00Z"}), 422, "INVALID_DUEDATE", "date: "),
        (json!({"date": in_minutes(5), "notifyOffset": 10}), 422, "INVALID_DUEDATE", "date: "),
        (
            json!({"date": in_minutes(5), "notifyOffsets": [10, 20]}),
            422,
            "INVALID_DUEDATE",
            "date: ",
        ),
        bad(json!({"timeZone": "Europe/Atlantis"}), "timeZone: "),
        bad(json!({"timeZone": "+02:00"}), "timeZone: "),
        (json!({"isRecurring": true}), 422, "INVALID_RECURRENCE", "isRecurring: "),
        (
            json!({"recurrence": {"rrule": "DAILY"}}),
            422,
            "INVALID_RECURRENCE",
            "recurrence.rrule: ",
        ),
        bad(json!({"recurrence": {}}), "recurrence.rrule: "),
        bad(json!({"recurrence": ["FREQ=DAILY"]}), "recurrence: must be an object"),
        bad(json!({"isRecurring": "no"}), "isRecurring: "),
        bad(json!({"notifyOffset": -1}), "notifyOffset: "),
        bad(json!({"notifyOffset": 40_321}), "notifyOffset: "),
        bad(json!({"notifyOffset": 1.5}), "notifyOffset: "),
        bad(json!({"notifyOffset": "10"}), "notifyOffset: "),
        bad(
            json!({"notifyOffset": 99_999_999_999_i64}),
            "notifyOffset: must be between 0 and 40320",
        ),
        bad(json!({"notifyOffset": 1e300}), "notifyOffset: must be between 0 and 40320"),
        bad(
            json!({"notifyOffsets": [-99_999_999_999_i64]}),
            "notifyOffsets: must be between 0 and",
        ),
        bad(
            json!({"expiresAfterMinutes": 99_999_999_999_i64}),
            "expiresAfterMinutes: must be between",
        ),
        bad(json!({"notifyOffset": 1, "notifyOffsets": [1]}), "notifyOffset: "),
        bad(json!({"notifyOffsets": []}), "notifyOffsets: "),
        bad(json!({"notifyOffsets": [1, 2, 3, 4, 5, 6]}), "notifyOffsets: "),
        bad(json!({"notifyOffsets": [0, -1]}), "notifyOffsets: "),
        bad(json!({"notifyOffsets": [0, 1.5]}), "notifyOffsets[1]: "),
        bad(json!({"notifyType": "sms"}), "notifyType: "),
        bad(json!({"notifyType": "push", "channels": ["email"]}), "notifyType: "),
        bad(json!({"channels": []}), "channels: "),
        bad(json!({"channels": ["pigeon"]}), "channels[0]: "),
        bad(json!({"channels": "push"}), "channels: "),
        bad(json!({"title": "x".repeat(201)}), "title: "),
        bad(json!({"title": "two\r\nlines"}), "title: "),
        bad(json!({"title": 7}), "title: "),
        bad(json!({"message": ""}), "message: "),
        bad(json!({"message": "x".repeat(2_001)}), "message: "),
        bad(json!({"message": "a\u{0}b"}), "message: "),
        bad(json!({"message": "a\u{fffe}b"}), "message: "),
        bad(json!({"message": "a\u{ffff}b"}), "message: "),
        bad(json!({"message": "a\u{1b}[31mb"}), "message: "),
        bad(json!({"message": "a\r\nb"}), "message: "),
        bad(json!({"url": "javascript:alert(1)"}), "url: "),
        bad(json!({"url": "ftp://example.com"}), "url: "),
        bad(json!({"url": "/relative"}), "url: "),
        bad(json!({"url": "https://user:secret@example.com"}), "url: "),
        bad(json!({"url": "http://169.254.169.254/latest/meta-data"}), "url: "),
        bad(json!({"url": format!("https://example.com/{}", "x".repeat(2_048))}), "url: "),
        bad(json!({"data": pairs(21)}), "data: "),
        bad(json!({"data": {"k": "x".repeat(2_048)}}), "data: "),
        bad(json!({"data": {"": "v"}}), "data: "),
        bad(json!({"data": {"k": 1}}), "data.k: "),
        bad(json!({"data": {"k": "a\u{0}"}}), "data: "),
        bad(json!({"data": {"from": "v"}}), "data: "),
        bad(json!({"data": {"notification": "v"}}), "data: "),
        bad(json!({"data": {"message_type": "v"}}), "data: "),
        bad(json!({"data": {"google.x": "v"}}), "data: "),
        bad(json!({"data": {"gcm": "v"}}), "data: "),
        bad(
            json!({"recurrence": {
                "rrule": "FREQ=DAILY",
                "exdates": [format!("2126-05-02T10:00:00.{}", "0".repeat(30_000))]
            }}),
            "recurrence.exdates: ",
        ),
        bad(
            json!({"recurrence": {"rrule": "FREQ=DAILY", "rdates": ["0".repeat(41)]}}),
            "recurrence.rdates: ",
        ),
        bad(json!({"expiresAfterMinutes": 0}), "expiresAfterMinutes: "),
        bad(json!({"expiresAfterMinutes": 525_601}), "expiresAfterMinutes: "),
        bad(json!({"priority": "urgent"}), "priority: "),
        bad(json!({"locale": "en_US"}), "locale: "),
        bad(json!({"colour": "red"}), "colour: unknown field"),
        bad(json!({"id": "x"}), "id: unknown field"),
        bad(json!({"createdAt": in_minutes(1)}), "createdAt: "),
        bad(json!({"updatedAt": in_minutes(1)}), "updatedAt: "),
        bad(json!({"status": "completed"}), "status: "),
        bad(json!({"nextAt": in_minutes(1)}), "nextAt: "),
        bad(json!({"localDate": "2126-05-01T08:00:00"}), "localDate: "),
        bad(json!({"version": 2}), "version: "),
    ]
}

#[tokio::test]
async fn names_field_of_invalid_reminder() {
    let service = Service::start().await;
    for (fields, status, reason, named) in refused() {
        let answer = service.ada.post("/reminders", &least_with(fields.clone())).await;
        let message = answer.body["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(
            (answer.status, answer.reason()),
            (status, Some(reason)),
            "{fields}: {}",
            answer.body
        );
        assert!(message.starts_with(named), "{fields}: {message}");
        assert_eq!(answer.body["error"]["requestId"].as_str(), answer.header("x-request-id"));
    }
    assert_eq!((service.count("reminders").await, service.count("outbox").await), (0, 0));
}

#[tokio::test]
async fn names_field_of_invalid_change() {
    let service = Service::start().await;
    let path = format!("/reminders/{}", service.make(&least_with(json!({}))).await);
    for (fields, status, reason, named) in refused() {
        let answer = service.ada.patch(&path, &fields).await;
        let message = answer.body["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(
            (answer.status, answer.reason()),
            (status, Some(reason)),
            "{fields}: {}",
            answer.body
        );
        assert!(message.starts_with(named), "{fields}: {message}");
    }
    assert_eq!(service.ada.get(&path).await.expect(200).body["version"], 1);
}

#[tokio::test]
async fn refuses_bodies_of_wrong_type() {
    let service = Service::start().await;
    for (body, status, problem) in [
        (json!({}), 400, "date: is required"),
        (json!({"date": in_minutes(5)}), 400, "message: is required"),
        (json!([]), 400, "body: must be a JSON object"),
        (json!("text"), 400, "body: must be a JSON object"),
        (json!(null), 400, "body: must be a JSON object"),
        (json!({"message": "x".repeat(100_000)}), 413, "the body is too large"),
    ] {
        let answer = service.ada.post("/reminders", &body).await.expect(status);
        let message = answer.body["error"]["message"].as_str().unwrap_or_default();
        assert!(message.starts_with(problem), "{message}");
    }
}

#[tokio::test]
async fn names_every_fault_of_a_body_at_once() {
    let service = Service::start().await;
    let faulty = json!({
        "title": "two\nlines",
        "notifyOffset": -1,
        "timeZone": "Europe/Atlantis",
        "priority": 5,
        "colour": "red",
        "recurrence": {"rrule": "DAILY"},
    });
    let expected = [
        "colour",
        "date",
        "message",
        "notifyOffset",
        "priority",
        "recurrence.rrule",
        "timeZone",
        "title",
    ];
    let answer = service.ada.post("/reminders", &faulty).await.expect(400);
    let details = answer.body["error"]["details"].as_array().cloned().expect("details");
    let mut fields: Vec<_> =
        details.iter().map(|fault| fault["field"].as_str().unwrap_or_default()).collect();
    let first = format!("{}: {}", fields[0], details[0]["message"].as_str().unwrap_or_default());
    assert_eq!(answer.body["error"]["message"], first.as_str());
    fields.sort_unstable();
    assert_eq!(fields, expected);

    let path = format!("/reminders/{}", service.make(&least_with(json!({}))).await);
    let answer = service
        .ada
        .patch(&path, &json!({"title": 7, "notifyOffset": 1.5, "message": ""}))
        .await
        .expect(400);
    assert_eq!(
        answer.body["error"]["details"].as_array().map(Vec::len),
        Some(3),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn names_faulty_rule_with_other_faults_of_change() {
    let service = Service::start().await;
    let path = format!("/reminders/{}", service.make(&least()).await);
    let change = |rrule: &str| {
        let recurrence = json!({"rrule": rrule});
        json!({"title": 7, "isRecurring": false, "recurrence": recurrence})
    };
    for (rrule, expected) in [
        ("DAILY", &["title", "isRecurring", "recurrence.rrule"][..]),
        ("FREQ=DAILY", &["title", "isRecurring"]),
    ] {
        let answer = service.ada.patch(&path, &change(rrule)).await.expect(400);
        assert_eq!(fields(&answer), expected, "{}", answer.body);
    }
    let removed = json!({"isRecurring": true, "recurrence": null});
    let answer = service.ada.patch(&path, &removed).await.expect(422);
    assert_eq!(answer.reason(), Some("INVALID_RECURRENCE"));
}

#[tokio::test]
async fn names_faults_of_query_and_body_of_preview() {
    let service = Service::start().await;
    let body = json!({"date": "tomorrow", "title": 7});
    let answer = service.ada.post("/reminders/preview?limit=0&from=soon", &body).await.expect(400);
    assert_eq!(fields(&answer), ["limit", "from", "title", "date"], "{}", answer.body);
    let answer = service.ada.post("/reminders/preview?limit=0", &least()).await.expect(400);
    assert_eq!(fields(&answer), ["limit"], "{}", answer.body);
}

#[tokio::test]
async fn refuses_text_that_is_not_json() {
    let service = Service::start().await;
    let deep = format!("{{\"message\":{}", "[".repeat(50_000));
    for text in [
        "{",
        "not json",
        "{\"date\":\"a\"} trailing",
        "{\"message\":\"\u{1}\"}",
        "{\"message\":\"\\ud800\"}",
        &deep,
    ] {
        let request = support::http::plain()
            .post(format!("{}/reminders", service.base))
            .body(text.to_owned());
        let request = request
            .header("X-Authenticated-Userid", "ada")
            .header("X-Consumer-Username", "ada@example.com");
        assert_eq!(request.send().await.expect("an answer").status(), 400);
    }
}

#[tokio::test]
async fn refuses_change_without_fields() {
    let service = Service::start().await;
    let path = format!("/reminders/{}", service.make(&least_with(json!({}))).await);
    for fields in [
        json!({}),
        json!({"message": null}),
        json!({"notifyOffset": null}),
        json!({"channels": null}),
    ] {
        let answer = service.ada.patch(&path, &fields).await.expect(400);
        assert_eq!(answer.reason(), Some("INVALID_REQUEST"), "{fields}");
    }
}

/// The fields that an answer names, in their order.
fn fields(answer: &Answer) -> Vec<String> {
    let details = answer.body["error"]["details"].as_array().cloned().unwrap_or_default();
    details.iter().map(|fault| fault["field"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn names_faults_by_their_path() {
    let service = Service::start().await;
    let future = in_minutes(60);
    for (body, expected) in [
        (
            json!({"date": future, "message": "m", "notifyOffsets": [0, "x", 5, 1.5]}),
            &["notifyOffsets[1]", "notifyOffsets[3]"][..],
        ),
        (
            json!({"date": future, "message": "m", "data": {"a": 1, "b": "c", "d": []}}),
            &["data.a", "data.d"],
        ),
        (
            json!({"date": 5, "message": "m", "recurrence": {"exdates": [7], "every": "day"}}),
            &["date", "recurrence.every", "recurrence.exdates[0]", "recurrence.rrule"],
        ),
        (
            json!({"date": future, "message": "m", "notifyType": "push", "channels": ["pigeon"]}),
            &["channels[0]"],
        ),
        (json!({"date": in_minutes(-5), "message": "m", "isRecurring": true}), &["isRecurring"]),
        (json!({"date": in_minutes(-5), "message": "m"}), &["date"]),
    ] {
        for path in ["/reminders", "/reminders/preview"] {
            let answer = service.ada.post(path, &body).await;
            if answer.status == 200 {
                continue;
            }
            let mut named = fields(&answer);
            named.sort_unstable();
            assert_eq!(named, expected, "{path} {body}: {}", answer.body);
        }
    }
}

#[tokio::test]
async fn names_every_fault_of_a_snooze() {
    let service = Service::start().await;
    let path = format!("/reminders/{}/snooze", service.make(&least()).await);
    for (body, expected) in [
        (json!({"minutes": 0, "until": "soon"}), &["minutes", "until"][..]),
        (json!({"minutes": "5", "hours": 1}), &["hours", "minutes"]),
        (json!({}), &["minutes"]),
        (json!({"minutes": 5, "until": in_minutes(5)}), &["minutes"]),
    ] {
        let answer = service.ada.post(&path, &body).await.expect(400);
        let mut named = fields(&answer);
        named.sort_unstable();
        assert_eq!(named, expected, "{body}: {}", answer.body);
    }
    let answer = service.ada.post(&path, &json!({"until": in_minutes(-5)})).await;
    assert_eq!((answer.status, fields(&answer)), (422, vec!["until".to_owned()]));
}

#[tokio::test]
async fn names_every_fault_of_a_query() {
    let service = Service::start().await;
    for (query, expected) in [
        (
            "/reminders?limit=0&offset=x&from=soon&colour=red",
            &["colour", "from", "limit", "offset"][..],
        ),
        ("/reminders?status=lost&to=later&cursor=x", &["cursor", "status", "to"]),
        ("/reminders/0/occurrences?limit=101&from=soon", &["from", "limit"]),
    ] {
        let answer = service.ada.get(query).await.expect(400);
        let mut named = fields(&answer);
        named.sort_unstable();
        assert_eq!(named, expected, "{query}: {}", answer.body);
    }
}
