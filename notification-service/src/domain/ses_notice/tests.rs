use proptest::prelude::*;
use serde_json::json;

use super::*;

const ID: &str = "0102019c5d7e41a2-6f0c3b52-1d7a-4c88-9b0e-52a6c1f0d3e7-000000";

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../tests/fixtures/ses/", $name, ".json"))
    };
}

/// Wraps a message as SNS does for a queue without raw delivery.
fn enveloped(message: &str) -> String {
    let outer = json!({"Type": "Notification", "MessageId": "2b1f7d3c-8e54-5a0b-9c6d-1f2e3a4b5c6d",
        "TopicArn": "arn:aws:sns:eu-west-1:000000000000:ses-feedback",
        "Subject": "Amazon SES Email Event Notification",
        "Message": message, "Timestamp": "2026-03-05T07:30:05.000Z",
        "SignatureVersion": "1", "Signature": "c2lnbmF0dXJl",
        "SigningCertURL": "https://sns.example.com/certificate.pem",
        "UnsubscribeURL": "https://sns.example.com/unsubscribe"});
    outer.to_string()
}

fn changed(fixture: &str, pointer: &str, value: Value) -> String {
    let mut said: Value = serde_json::from_str(fixture).expect("JSON");
    *said.pointer_mut(pointer).expect("it is there") = value;
    said.to_string()
}

/// Returns the reason of the correction, and the causes of the suppressions.
fn effects(notice: &Notice) -> (Option<Reason>, Vec<SuppressionCause>) {
    let is_ours = |correction: &Correction| correction.provider_message_id == ID;
    assert!(notice.correction.iter().all(is_ours), "{notice:?}");
    let of_ada =
        |suppression: &Suppression| suppression.digest == address_digest("ada@example.com");
    assert!(notice.suppressions.iter().all(of_ada), "{notice:?}");
    let causes = notice.suppressions.iter().map(|suppression| suppression.cause).collect();
    (notice.correction.as_ref().map(|correction| correction.reason), causes)
}

#[test]
fn parses_every_kind_raw_and_enveloped() {
    let (bounced, complained) = (vec![SuppressionCause::Bounce], vec![SuppressionCause::Complaint]);
    let cases = [
        (fixture!("bounce"), Kind::Bounce, Some(Reason::Bounced), bounced.clone()),
        (fixture!("identity-bounce"), Kind::Bounce, Some(Reason::Bounced), bounced),
        (fixture!("bounce-transient"), Kind::TransientBounce, None, vec![]),
        (fixture!("complaint"), Kind::Complaint, None, complained.clone()),
        (fixture!("identity-complaint"), Kind::Complaint, None, complained),
        (
            fixture!("rendering-failure"),
            Kind::RenderingFailure,
            Some(Reason::RenderingFailed),
            vec![],
        ),
        (fixture!("reject"), Kind::Reject, Some(Reason::RejectedByProvider), vec![]),
        (fixture!("delivery"), Kind::Delivery, None, vec![]),
        (fixture!("identity-delivery"), Kind::Delivery, None, vec![]),
        (fixture!("delivery-delay"), Kind::DeliveryDelay, None, vec![]),
        (fixture!("send"), Kind::Send, None, vec![]),
        (fixture!("open"), Kind::Other, None, vec![]),
    ];
    for (text, kind, reason, cause) in cases {
        for text in [text.to_owned(), enveloped(text)] {
            let notice = Notice::read(&text).expect("readable");
            assert_eq!((notice.kind, effects(&notice)), (kind, (reason, cause.clone())), "{text}");
        }
    }
}

#[test]
fn ignores_greetings_and_unknown_kinds() {
    let greeting = "Successfully validated SNS topic for Amazon SES event publishing.";
    let subscribed =
        json!({"notificationType": "AmazonSnsSubscriptionSucceeded", "message": "subscribed"})
            .to_string();
    let new = json!({"eventType": "Teleported", "mail": null}).to_string();
    for text in [greeting.to_owned(), enveloped(greeting), subscribed, new] {
        assert_eq!(Notice::read(&text), Ok(Notice::without_effect(Kind::Other)), "{text}");
    }
}

#[test]
fn suppresses_nothing_when_reader_says_not_spam() {
    let text =
        changed(fixture!("complaint"), "/complaint/complaintFeedbackType", json!("not-spam"));
    assert_eq!(Notice::read(&text), Ok(Notice::without_effect(Kind::NotSpam)));
}

#[test]
fn corrects_delivery_that_ses_did_not_send() {
    let text = changed(
        fixture!("complaint"),
        "/complaint/complaintSubType",
        json!("OnAccountSuppressionList"),
    );
    let notice = Notice::read(&text).expect("readable");
    assert_eq!(
        effects(&notice),
        (Some(Reason::RejectedByProvider), vec![SuppressionCause::Complaint])
    );
}

#[test]
fn suppresses_forwarding_address_and_its_target() {
    let text = changed(
        fixture!("bounce"),
        "/bounce/bouncedRecipients/0/emailAddress",
        json!("Other <other@example.org>"),
    );
    let digests: BTreeSet<_> = Notice::read(&text)
        .expect("readable")
        .suppressions
        .into_iter()
        .map(|suppression| suppression.digest)
        .collect();
    assert_eq!(digests, ["ada@example.com", "other@example.org"].map(address_digest).into());
}

#[test]
fn names_fault_without_quoting_message() {
    let bounce = fixture!("bounce");
    let nobody = changed(bounce, "/bounce/bouncedRecipients", json!([]));
    let cases = [
        ("s3cret".to_owned(), Unreadable::NoJson),
        (enveloped("{s3cret"), Unreadable::NoJson),
        (enveloped(&enveloped(bounce)), Unreadable::Field("eventType")),
        (json!({"mail": "s3cret"}).to_string(), Unreadable::Field("eventType")),
        (changed(bounce, "/bounce", json!("s3cret")), Unreadable::Field("bounce.bounceType")),
        (changed(bounce, "/mail/messageId", json!("")), Unreadable::Field("mail.messageId")),
        (changed(bounce, "/mail/messageId", json!("a\u{0}")), Unreadable::Field("mail.messageId")),
        (
            changed(bounce, "/bounce/bouncedRecipients", json!("s3cret")),
            Unreadable::Field("bounce.bouncedRecipients"),
        ),
        (
            changed(&nobody, "/mail/destination", json!(["a@example.com", "b@example.com"])),
            Unreadable::Field("bounce.bouncedRecipients"),
        ),
    ];
    for (text, expected) in cases {
        let error = Notice::read(&text).expect_err(&text);
        assert_eq!(error, expected, "{text}");
        assert!(!error.to_string().contains("s3cret"));
    }
}

/// Generates JSON of any shape with many of the names that are parsed.
fn anything() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        "[a-zA-Z@<>. ]{0,12}",
        prop::sample::select(vec![
            "Bounce",
            "Complaint",
            "Reject",
            "Rendering Failure",
            "Permanent"
        ])
        .prop_map(str::to_owned),
    ];
    let name = prop::sample::select(vec![
        "eventType",
        "notificationType",
        "Message",
        "mail",
        "messageId",
        "destination",
        "bounce",
        "bounceType",
        "bouncedRecipients",
        "complaint",
        "complainedRecipients",
        "emailAddress",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        word.prop_map(Value::from)
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn parses_or_rejects_any_message(said in anything(), text in any::<String>()) {
        for text in [said.to_string(), enveloped(&said.to_string()), text] {
            if let Ok(Notice { correction: Some(correction), .. }) = Notice::read(&text) {
                prop_assert!((1..=MAX_ID).contains(&correction.provider_message_id.len()));
            }
        }
    }

    #[test]
    fn rejects_truncated_message(end in 0..fixture!("bounce").trim_end().len()) {
        let text = fixture!("bounce");
        prop_assert_eq!(Notice::read(&text[..end]), Err(Unreadable::NoJson));
    }
}
