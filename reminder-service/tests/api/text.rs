//! Texts that cannot be stored or seen: U+0000, lone surrogates and blank titles are refused with
//! a reason, in every field, path and query.

use serde_json::{Value, json};
use support::http::{Answer, Client};

use crate::service::{Service, least, least_with, merged};

const JSON: &str = "application/json";

fn refused(answer: Answer, case: &str) {
    assert!((400..500).contains(&answer.status), "{case}: {} {}", answer.status, answer.body);
    let reason = answer.reason().unwrap_or_default();
    assert!(!["", "UNKNOWN_REASON"].contains(&reason), "{case}: {}", answer.body);
}

/// A reminder with a text in every field that takes one.
fn full() -> Value {
    least_with(json!({
        "timeZone": "UTC", "isRecurring": true, "title": "Title", "url": "https://example.com/",
        "data": {"key": "value"}, "locale": "en", "channels": ["push"], "priority": "normal",
        "recurrence": {"rrule": "FREQ=DAILY", "exdates": ["2096-05-01"], "gap": "skip",
            "fold": "first"},
    }))
}

/// The body once for each text in it, and for each name of a field, with a character inserted.
fn each_text_with(body: &Value, inserted: &str) -> Vec<(String, String)> {
    let text = body.to_string();
    let ends = text.match_indices('"').map(|(at, _)| at).skip(1).step_by(2);
    ends.map(|end| {
        let start = text[..end].rfind('"').unwrap_or_default();
        (text[start..=end].to_owned(), format!("{}{inserted}{}", &text[..end], &text[end..]))
    })
    .collect()
}

async fn sends(client: &Client, path: &str, body: String) -> Answer {
    client.post_text(path, JSON, body).await
}

/// Case P1.
#[tokio::test]
async fn refuses_texts_that_cannot_be_stored() {
    let service = Service::start().await;
    let id = service.make(&least()).await;
    let keyed = service.ada.with_header("Idempotency-Key", "k1");
    for inserted in ["\\u0000", "\\ud800", "\\udc00", "\0"] {
        for (field, body) in each_text_with(&full(), inserted) {
            for path in ["/reminders", "/reminders/preview", &format!("/reminders/{id}")] {
                refused(sends(&service.ada, path, body.clone()).await, &format!("{path} {field}"));
                refused(sends(&keyed, path, body.clone()).await, &format!("{path} {field}, key"));
            }
            let bulk = sends(&service.ada, "/reminders/bulk", format!("[{body}]")).await;
            let case = format!("bulk {field}: {}", bulk.body);
            if bulk.status == 200 {
                let status = bulk.body["results"][0]["status"].as_i64();
                assert!(status.is_some_and(|status| (400..500).contains(&status)), "{case}");
            } else {
                refused(bulk, &case);
            }
        }
        for (path, body) in [
            ("snooze", format!(r#"{{"until":"2096-05-01T10:00:00Z{inserted}"}}"#)),
            ("acknowledge", format!(r#"{{"{inserted}":1}}"#)),
        ] {
            refused(sends(&service.ada, &format!("/reminders/{id}/{path}"), body).await, path);
        }
    }
    assert_eq!(service.count("reminders").await, 1);
}

/// Case P1.
#[tokio::test]
async fn refuses_paths_and_queries_that_cannot_be_stored() {
    let service = Service::start().await;
    let id = service.make(&least()).await;
    for text in ["%00", "%ED%A0%80", "%FF", "a%00b"] {
        for path in [
            format!("/reminders/{text}"),
            format!("/reminders/{id}{text}"),
            format!("/reminders/{text}/occurrences"),
            format!("/reminders?cursor={text}"),
            format!("/reminders?status={text}"),
            format!("/reminders?from={text}"),
            format!("/reminders?{text}=1"),
            format!("/reminders/{id}/occurrences?from={text}"),
            format!("/reminders/{id}/occurrences?limit={text}"),
        ] {
            refused(service.ada.get(&path).await, &path);
        }
        for path in [
            format!("/reminders/{text}/snooze"),
            format!("/reminders/import?timeZone={text}"),
            format!("/reminders/preview?from={text}"),
        ] {
            refused(service.ada.post(&path, &json!({"minutes": 5})).await, &path);
        }
        refused(service.ada.delete(&format!("/reminders/{text}")).await, text);
    }
}

/// Case P1.
#[tokio::test]
async fn imports_calendars_with_unstorable_characters() {
    let service = Service::start().await;
    let event = "UID:1\r\nDTSTART:20960507T090000Z\r\nSUMMARY:Tablets\r\nDESCRIPTION:Two\r\n\
                 RRULE:FREQ=WEEKLY\r\nEXDATE:20960514T090000Z\r\nURL:https://example.com/\r\n\
                 X-OTHER:1\r\nSEQUENCE:1\r\nSTATUS:CONFIRMED";
    let lines: Vec<&str> = event.lines().collect();
    for changed in 0..lines.len() {
        let (head, value) = lines[changed].split_once(':').expect("a property");
        for line in [format!("{head}:\0{value}\0"), format!("{head}\0:{value}")] {
            let mut lines = lines.clone();
            lines[changed] = &line;
            let file = format!(
                "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\n{}\r\nEND:VEVENT\r\n\
                 END:VCALENDAR\r\n",
                lines.join("\r\n")
            );
            let key = format!("{changed}-{}", line.len());
            for client in [&service.ada, &service.ada.with_header("Idempotency-Key", &key)] {
                let answer =
                    client.post_text("/reminders/import", "text/calendar", file.clone()).await;
                assert!(answer.status < 500, "{line:?}: {} {}", answer.status, answer.body);
            }
        }
    }
    service.make(&least()).await;
}

#[tokio::test]
async fn refuses_title_without_visible_character() {
    let service = Service::start().await;
    let id = service.make(&least()).await;
    for title in [" ", "\u{a0}\u{3000}", "\u{200b}", "\u{feff}", "\u{2800}"] {
        let body = json!({"title": title});
        for answer in [
            service.ada.post("/reminders", &merged(least(), body.clone())).await,
            service.ada.patch(&format!("/reminders/{id}"), &body).await,
        ] {
            let answer = answer.expect(400);
            assert_eq!(answer.body["error"]["details"][0]["field"], "title", "{title:?}");
        }
    }
    for title in ["", "\u{200b}a", "👨‍👩‍👧‍👦"] {
        service.make(&least_with(json!({"title": title}))).await;
    }
}

/// Case P2.
#[tokio::test]
async fn refuses_control_characters_in_each_text_p2() {
    let service = Service::start().await;
    for (field, text) in [
        ("message", json!({"message": "a\u{7}b\u{1b}[31mc\u{fffd}\u{ffff}"})),
        ("message", json!({"message": "a\u{7}b"})),
        ("message", json!({"message": "b\u{1b}[31mc"})),
        ("message", json!({"message": "c\u{ffff}"})),
        ("title", json!({"title": "a\u{8}b"})),
        ("data", json!({"data": {"key": "a\u{b}b"}})),
    ] {
        let body = least_with(merged(json!({"channels": ["email", "push"]}), text));
        let answer = service.ada.post("/reminders", &body).await.expect(400);
        assert_eq!(answer.body["error"]["details"][0]["field"], field, "{body}");
    }
    let id = service.make(&least_with(json!({"message": "a\u{fffd}\tb\nc"}))).await;
    let reminder = service.ada.get(&format!("/reminders/{id}")).await.expect(200).body;
    assert_eq!(reminder["message"], "a\u{fffd}\tb\nc");
}

/// Case I1.
#[tokio::test]
async fn keeps_users_apart_byte_by_byte() {
    let service = Service::start().await;
    let users = ["zoë", "zoe\u{308}", "zoe", "ZOË", "例え"];
    for (made, user) in users.iter().enumerate() {
        let client = service.anonymous.as_user(user, "zoe@example.com");
        for _ in 0..=made {
            client.post("/reminders", &least()).await.expect(201);
        }
    }
    for (made, user) in users.iter().enumerate() {
        let client = service.anonymous.as_user(user, "zoe@bücher.example");
        let total = client.get("/reminders").await.expect(200).body["reminders"]["total"].clone();
        assert_eq!(total, made + 1, "{user}");
        client.post("/reminders", &least_with(json!({"channels": ["email"]}))).await.expect(201);
        client.delete("/me").await.expect(200);
    }
    assert_eq!(service.count("reminders").await, 0);
}
