//! Texts that cannot be stored or seen: U+0000, lone surrogates and blank names are refused with a
//! reason, in every field, path and query; addresses beyond ASCII end with a reason.

use contract::Channel;
use serde_json::{Value, json};
use support::http::Answer;

use crate::test_service::{DueOccurrence, TestService};

fn refused(answer: Answer, case: &str) {
    assert!((400..500).contains(&answer.status), "{case}: {} {}", answer.status, answer.body);
    let reason = answer.reason().unwrap_or_default();
    assert!(!["", "UNKNOWN_REASON"].contains(&reason), "{case}: {}", answer.body);
}

/// The body once for each text in it, and for each name of a field, with a character inserted.
fn each_text_with(body: &Value, inserted: &str) -> Vec<String> {
    let text = body.to_string();
    let ends = text.match_indices('"').map(|(at, _)| at).skip(1).step_by(2);
    ends.map(|end| format!("{}{inserted}{}", &text[..end], &text[end..])).collect()
}

/// Case P1.
#[tokio::test]
async fn refuses_texts_that_cannot_be_stored() {
    let service = TestService::start().await;
    let ada = service.user("ada").with_header("Idempotency-Key", "k1");
    let device = json!({"fcmToken": "token-1", "type": "web", "name": "Browser"});
    let read = json!({"upTo": "2026-05-01T00:00:00Z"});
    for inserted in ["\\u0000", "\\ud800", "\0"] {
        for (path, body) in [("/device/register", &device), ("/notifications/read", &read)] {
            for body in each_text_with(body, inserted) {
                refused(ada.post_text(path, "application/json", body.clone()).await, &body);
            }
        }
    }
    for preferences in [
        json!({"locale": "en\0"}),
        json!({"channels": {"push\0": true}}),
        json!({"quietHours": {"start": "22:00\0", "end": "07:00", "timeZone": "UTC"}}),
        json!({"quietHours": {"start": "22:00", "end": "07:00", "timeZone": "UTC\0"}}),
    ] {
        refused(ada.put("/preferences", &preferences).await, &preferences.to_string());
    }
    service.register_device("ada", "token-2").await;
}

/// Case P1.
#[tokio::test]
async fn refuses_paths_and_queries_that_cannot_be_stored() {
    let service = TestService::start().await;
    let ada = service.user("ada");
    for text in ["%00", "%ED%A0%80", "%FF", "a%00b"] {
        for path in [
            format!("/notifications?cursor={text}"),
            format!("/notifications?state={text}"),
            format!("/notifications?{text}=1"),
        ] {
            refused(ada.get(&path).await, &path);
        }
        for path in [format!("/notifications/{text}/read"), format!("/notifications/{text}/unread")]
        {
            refused(ada.post(&path, &json!({})).await, &path);
        }
        refused(ada.delete(&format!("/device/remove/{text}")).await, text);
    }
}

#[tokio::test]
async fn refuses_name_without_visible_character() {
    let service = TestService::start().await;
    let ada = service.user("ada");
    for name in [" ", "\u{a0}\u{3000}", "\u{200b}", "\u{feff}"] {
        let body = json!({"fcmToken": "token-1", "type": "web", "name": name});
        let answer = ada.post("/device/register", &body).await.expect(400);
        assert_eq!(answer.body["error"]["details"][0]["field"], "name", "{name:?}");
    }
}

#[tokio::test]
async fn fails_only_email_when_local_part_is_not_ascii() {
    let service = TestService::start().await;
    service.register_device("zoë", "token-1").await;
    let zoe = service.publish_due("zoë", &[Channel::Email, Channel::Push]).await;
    let ada = service.publish_due("ada", &[Channel::Email]).await;

    service.wait_for_state(&zoe, Channel::Push, "sent").await;
    service.wait_for_state(&ada, Channel::Email, "sent").await;
    service.wait_for_state(&zoe, Channel::Email, "failed").await;
    let history = service.user("zoë").get("/notifications").await.expect(200).body.to_string();
    assert!(history.contains("LOCAL_PART_NOT_ASCII"), "{history}");
    let mails = service.sandbox.captured();
    let mut mails = mails.iter().filter_map(|captured| captured.email());
    assert!(mails.all(|email| email.to == ["ada@example.com"]));
}

/// Case M2.
#[tokio::test]
async fn fails_only_email_when_address_is_not_ascii_m2() {
    let service = TestService::start().await;
    service.register_device("jesús", "token-1").await;
    let address = Some("jesús.dan@example.com".to_owned());
    let channels = [Channel::Email, Channel::Push];
    let jesus = DueOccurrence { email: address, ..DueOccurrence::now("jesús", &channels) };
    service.publish(&[jesus.message()]).await;
    let ada = service.publish_due("ada", &[Channel::Email]).await;

    service.wait_for_state(&jesus, Channel::Push, "sent").await;
    let (reason, _) = service.wait_for_state(&jesus, Channel::Email, "failed").await;
    assert_eq!(reason.as_deref(), Some("LOCAL_PART_NOT_ASCII"));
    service.wait_for_state(&ada, Channel::Email, "sent").await;
    let captured = service.sandbox.captured();
    let mails: Vec<_> = captured.iter().filter_map(|captured| captured.email()).collect();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].to, ["ada@example.com"]);
}
