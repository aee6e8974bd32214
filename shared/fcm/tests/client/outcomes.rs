//! Every row of the FCM error table, with the responses of the sandbox.

use crate::test_phone::{TestPhone, class_and_code, push_to};
use fcm::{Outcome, Platform};
use sandbox::{FcmMode, Mode, OAuthMode};
use std::time::Duration;

#[tokio::test]
async fn sends_push_to_every_platform() {
    let phone = TestPhone::new().await;
    for platform in [Platform::Android, Platform::Ios, Platform::Web] {
        let outcome = push_to(&phone.fcm, "works-1", platform).await;
        let captured = phone.sandbox.captured().pop().unwrap();
        assert_eq!(outcome, Outcome::Sent { name: captured.message_id.clone() });
        let push = captured.push().unwrap();
        assert_eq!(push.title.as_deref(), Some("Water the plants"));
        assert_eq!(push.link.as_deref(), Some("https://example.com/plants"));
        assert_eq!(push.collapse_key.as_ref().unwrap().len(), 32);
        assert_eq!(push.data["occurrenceId"], *push.collapse_key.as_ref().unwrap());
        assert_eq!((&*push.data["reminderId"], &*push.data["room"]), ("item-1", "kitchen"));
    }
}

#[tokio::test]
async fn classifies_refusals() {
    let phone = TestPhone::new().await;
    let cases = [
        ("unregistered-1", "gone", "UNREGISTERED"),
        ("turned-invalid-1", "gone", "INVALID_TOKEN"),
        ("bad-payload-1", "rejected", "INVALID_ARGUMENT"),
        ("sender-mismatch-1", "refused", "SENDER_ID_MISMATCH"),
        ("third-party-1", "refused", "THIRD_PARTY_AUTH_ERROR"),
        ("quota-1", "throttled", "QUOTA_EXCEEDED"),
        ("unavailable-1", "unavailable", "UNAVAILABLE"),
        ("internal-1", "unavailable", "INTERNAL"),
        ("html-502-1", "unavailable", "HTTP_502"),
    ];
    for (token, class, code) in cases {
        let outcome = phone.push(token).await;
        assert_eq!(class_and_code(&outcome), (class, code), "{token}");
    }
    assert_eq!(
        phone.sandbox.stats().oauth_refreshes,
        1,
        "no refusal of a message costs an access token"
    );
}

#[tokio::test]
async fn keeps_retry_after() {
    let phone = TestPhone::new().await;
    let seven = Some(Duration::from_secs(7));
    let quota = phone.push("quota-after-7-x").await;
    assert_eq!(quota, Outcome::Throttled { retry_after: seven, code: "QUOTA_EXCEEDED".into() });
    let unavailable = phone.push("unavailable-after-7-x").await;
    let code = "UNAVAILABLE".into();
    assert_eq!(
        unavailable,
        Outcome::Unavailable { retry_after: seven, code, maybe_delivered: true }
    );
}

#[tokio::test]
async fn times_out_when_acceptance_is_silent() {
    let phone =
        TestPhone::with(|settings| settings.request_timeout = Duration::from_millis(400)).await;
    let outcome = phone.push("timeout-after-accept-1").await;
    let code = "TIMEOUT".into();
    assert_eq!(outcome, Outcome::Unavailable { retry_after: None, code, maybe_delivered: true });
    assert_eq!(phone.sandbox.captured().len(), 1);
}

#[tokio::test]
async fn keeps_token_when_project_is_not_found() {
    let phone = TestPhone::new().await;
    phone.sandbox.set_mode(Mode {
        fcm: FcmMode { status: Some(404), ..FcmMode::default() },
        ..Mode::default()
    });
    assert_eq!(
        class_and_code(&phone.push("works-1").await),
        ("misconfigured", "ENDPOINT_NOT_FOUND")
    );
}

#[tokio::test]
async fn validates_token_without_message() {
    let phone = TestPhone::new().await;
    assert_eq!(phone.fcm.validate("works-1").await.class(), "sent");
    assert_eq!(phone.fcm.validate("invalid-token-1").await.class(), "gone");
    assert_eq!(phone.fcm.validate("unregistered-1").await.class(), "gone");
    assert!(phone.sandbox.captured().is_empty());
    assert!(phone.sandbox.attempts("works-1").iter().all(|attempt| attempt.validate_only));
}

#[tokio::test]
async fn reports_validation_that_fails() {
    let phone = TestPhone::new().await;
    phone.sandbox.set_mode(Mode {
        fcm: FcmMode { status: Some(503), ..FcmMode::default() },
        ..Mode::default()
    });
    assert_eq!(phone.fcm.validate("works-1").await.class(), "unavailable");
    phone.sandbox.set_mode(Mode {
        oauth: OAuthMode { status: Some(400), ..OAuthMode::default() },
        ..Mode::default()
    });
    phone.sandbox.revoke_tokens();
    assert_eq!(
        class_and_code(&phone.fcm.validate("works-1").await),
        ("misconfigured", "OAUTH_INVALID_GRANT")
    );
}

#[tokio::test]
async fn sends_nothing_when_deadline_is_too_close() {
    let phone = TestPhone::new().await;
    let outcome =
        phone.push_until("works-1", std::time::Instant::now() + Duration::from_secs(14)).await;
    let code = "DEADLINE_EXCEEDED".into();
    assert_eq!(outcome, Outcome::Unavailable { retry_after: None, code, maybe_delivered: false });
    assert!(phone.sandbox.captured().is_empty());
}
