//! SES: all three forms of a send, each error, quota and templates.

use base64::{Engine, engine::general_purpose::STANDARD};
use lettre::message::{Message, MultiPart};
use serde_json::json;
use support::http::Client;

use crate::client::{Answer, Sender};

async fn send_to(sender: &Sender, recipient: &str) -> Answer {
    let form = [
        ("Action", "SendEmail"),
        ("Version", "2010-12-01"),
        ("Source", "reminders@example.com"),
        ("Destination.ToAddresses.member.1", recipient),
        ("Message.Subject.Data", "Tea"),
        ("Message.Body.Text.Data", "is ready"),
        ("Message.Body.Html.Data", "<p>is ready</p>"),
    ];
    sender.post_form("/", &form).await
}

fn element(answer: &Answer, name: &str) -> Option<String> {
    let after = answer.text.split_once(&format!("<{name}>"))?.1;
    Some(after.split_once(&format!("</{name}>"))?.0.to_owned())
}

#[tokio::test]
async fn captures_raw_mail_as_mailbox_would_show_it() {
    let sender = Sender::new().await;
    let mail = Message::builder()
        .from("Reminders <reminders@example.com>".parse().unwrap())
        .to("Ada <ada@example.com>".parse().unwrap())
        .subject("Tee für Ada ☕")
        .message_id(Some("<occurrence-1@example.com>".to_owned()))
        .multipart(MultiPart::alternative_plain_html("Grüße".to_owned(), "<p>Grüße</p>".to_owned()))
        .unwrap();
    let data = STANDARD.encode(mail.formatted());
    let form = [
        ("Action", "SendRawEmail"),
        ("RawMessage.Data", &data),
        ("Destinations.member.1", "ada@example.com"),
        ("ConfigurationSetName", "reminders"),
    ];

    let answers = [sender.post_form("/", &form).await, sender.post_form("/", &form).await];

    let captured = sender.sandbox.captured();
    assert_eq!(element(&answers[0], "MessageId"), Some(captured[0].message_id.clone()));
    let email = captured[0].email().unwrap();
    assert_eq!(
        (email.from.as_str(), email.to.as_slice()),
        ("reminders@example.com", ["ada@example.com".to_owned()].as_slice())
    );
    assert_eq!(email.subject, "Tee für Ada ☕");
    assert_eq!(email.text.as_deref().map(str::trim), Some("Grüße"));
    assert_eq!(email.html.as_deref().map(str::trim), Some("<p>Grüße</p>"));
    assert_eq!(email.headers["To"], "Ada <ada@example.com>");
    assert_eq!(email.configuration_set.as_deref(), Some("reminders"));
    assert_eq!(sender.sandbox.stats().duplicates, 1);
}

#[tokio::test]
async fn captures_simple_mail() {
    let sender = Sender::new().await;

    assert_eq!(send_to(&sender, "ada@example.com").await.status, 200);

    let captured = sender.sandbox.captured();
    let email = captured[0].email().unwrap();
    assert_eq!((email.subject.as_str(), email.text.as_deref()), ("Tea", Some("is ready")));
    assert_eq!(sender.sandbox.attempts("ada@example.com")[0].answer, "200");
}

#[tokio::test]
async fn answers_error_that_recipient_selects() {
    let sender = Sender::new().await;
    let cases = [
        ("throttle@example.com", 400, "Throttling", "Maximum sending rate exceeded."),
        ("daily-quota@example.com", 400, "Throttling", "Daily message quota exceeded."),
        ("reject@example.com", 400, "MessageRejected", "Email address is not verified."),
        ("paused@example.com", 400, "AccountSendingPausedException", "Email sending is disabled"),
        (
            "config-paused@example.com",
            400,
            "ConfigurationSetSendingPausedException",
            "Email sending is disabled",
        ),
        (
            "unverified@example.com",
            400,
            "MailFromDomainNotVerifiedException",
            "The MAIL FROM domain",
        ),
        ("internal@example.com", 500, "InternalFailure", "The request processing has failed"),
        ("unavailable@example.com", 503, "ServiceUnavailable", "The request has failed"),
    ];
    for (recipient, status, code, message) in cases {
        let answer = send_to(&sender, recipient).await;

        assert_eq!(answer.status, status, "{recipient}");
        assert_eq!(element(&answer, "Code").as_deref(), Some(code), "{recipient}");
        assert!(element(&answer, "Message").unwrap().starts_with(message), "{}", answer.text);
    }
    assert!(sender.sandbox.captured().is_empty());
}

#[tokio::test]
async fn throttles_flaky_recipient_given_times() {
    let sender = Sender::new().await;
    for status in [400, 400, 200] {
        assert_eq!(send_to(&sender, "flaky-2@example.com").await.status, status);
    }
}

#[tokio::test]
async fn refuses_every_mail_in_error_mode() {
    let sender = Sender::new().await;
    let mode =
        json!({"ses": {"status": 400, "code": "AccountSendingPausedException", "maxSendRate": 50}});
    Client::new(sender.sandbox.url()).put("/_sandbox/mode", &mode).await.expect(200);

    let answer = send_to(&sender, "ada@example.com").await;

    assert_eq!(element(&answer, "Code").as_deref(), Some("AccountSendingPausedException"));
    let quota = sender.post_form("/", &[("Action", "GetSendQuota")]).await;
    assert_eq!(element(&quota, "MaxSendRate").as_deref(), Some("50.0"));
}

#[tokio::test]
async fn stores_and_fills_in_template() {
    let sender = Sender::new().await;
    let create = [
        ("Action", "CreateTemplate"),
        ("Template.TemplateName", "reminder"),
        ("Template.SubjectPart", "{{title}}"),
        ("Template.HtmlPart", "<p>{{message}}</p>"),
    ];
    assert_eq!(sender.post_form("/", &create).await.status, 200);
    assert_eq!(
        element(&sender.post_form("/", &create).await, "Code").as_deref(),
        Some("AlreadyExists")
    );
    let get = [("Action", "GetTemplate"), ("TemplateName", "reminder")];
    let shown = sender.post_form("/", &get).await;
    assert_eq!(element(&shown, "HtmlPart").as_deref(), Some("&lt;p&gt;{{message}}&lt;/p&gt;"));

    assert_eq!(
        templated(&sender, "reminder", r#"{"title":"Tea","message":"is ready"}"#).await.status,
        200
    );
    assert_eq!(templated(&sender, "reminder", r#"{"title":"Tea"}"#).await.status, 200);

    let captured = sender.sandbox.captured();
    assert_eq!(captured.len(), 1);
    assert_eq!(captured[0].email().unwrap().html.as_deref(), Some("<p>is ready</p>"));
    assert_eq!(sender.sandbox.stats().rendering_failures, 1);
    let unknown = templated(&sender, "unknown", "{}").await;
    assert_eq!(element(&unknown, "Code").as_deref(), Some("TemplateDoesNotExist"));
}

async fn templated(sender: &Sender, template: &str, data: &str) -> Answer {
    let form = [
        ("Action", "SendTemplatedEmail"),
        ("Source", "reminders@example.com"),
        ("Destination.ToAddresses.member.1", "ada@example.com"),
        ("Template", template),
        ("TemplateData", data),
    ];
    sender.post_form("/", &form).await
}

#[tokio::test]
async fn refuses_wrong_requests() {
    let sender = Sender::new().await;
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[], "MissingAction"),
        (&[("Action", "SendPigeon")], "InvalidAction"),
        (&[("Action", "SendRawEmail")], "ValidationError"),
        (&[("Action", "SendRawEmail"), ("RawMessage.Data", "%%%")], "InvalidParameterValue"),
    ];
    for (form, code) in cases {
        let answer = sender.post_form("/", form).await;
        assert_eq!(
            (answer.status.as_u16(), element(&answer, "Code").as_deref()),
            (400, Some(code))
        );
    }
    let unsigned = sender
        .http
        .post(sender.sandbox.url())
        .form(&[("Action", "GetSendQuota")])
        .send()
        .await
        .unwrap();
    assert_eq!(unsigned.status(), 403);
}
