//! E-mail channel with the sandbox's SES.

use aws_config::SdkConfig;
use bus::settings::{AwsCredentials, AwsSettings, sdk_config};
use contract::Reason;
use notification_service::channels::email::{Email, Quota, Ses, Settings};
use notification_service::channels::outcome::Outcome;
use notification_service::channels::templates::Templates;
use sandbox::{Mode, Options, Sandbox, SesMode};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const SOURCE: &str = "Reminders <reminders@example.org>";

struct Mailbox {
    sandbox: Sandbox,
    ses: Arc<Ses>,
}

impl Mailbox {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let sandbox = Sandbox::start(Options::default()).await.unwrap();
        let sdk = sdk(sandbox.url()).await;
        let mut settings = Settings::new(SOURCE, templates());
        change(&mut settings);
        let ses = Arc::new(Ses::new(&sdk, settings).unwrap());
        Mailbox { sandbox, ses }
    }

    async fn mail(&self, to: &str) -> Outcome {
        self.ses.send(&email(to)).await
    }

    fn mode(&self, ses: SesMode) {
        self.sandbox.set_mode(Mode { ses, ..Mode::default() });
    }
}

fn templates() -> Arc<Templates> {
    Arc::new(Templates::built_in().unwrap())
}

async fn sdk(url: String) -> SdkConfig {
    let credentials = Some(AwsCredentials::fixed("test", "test"));
    sdk_config(&AwsSettings {
        region: "eu-west-1".into(),
        endpoint_url: Some(url),
        credentials,
        ..AwsSettings::default()
    })
    .await
}

fn email(to: &str) -> Email<'_> {
    Email {
        occurrence_id: Uuid::from_u128(7),
        to,
        title: Some("Water the plants"),
        message: "The ficus too.",
        url: Some("https://example.com/plants"),
        date: "2025-10-03T07:30:00Z".parse().unwrap(),
        time_zone: "Europe/Berlin".parse().expect("a zone"),
        locale: None,
    }
}

fn class_and_reason(outcome: &Outcome) -> (&'static str, &'static str) {
    (outcome.class(), outcome.reason().map_or("", Reason::as_str))
}

#[tokio::test]
async fn sends_email_of_built_in_template() {
    let mailbox =
        Mailbox::with(|settings| settings.configuration_set = Some("reminders".into())).await;
    let outcome = mailbox.mail("ada@example.com").await;
    let captured = mailbox.sandbox.captured().pop().unwrap();
    assert_eq!(outcome, Outcome::Sent { provider_id: captured.message_id.clone() });
    let email = captured.email().unwrap();
    assert_eq!(
        (email.to.as_slice(), &*email.subject),
        (&["ada@example.com".to_owned()][..], "Water the plants")
    );
    assert_eq!(email.configuration_set.as_deref(), Some("reminders"));
    assert!(
        email.text.as_ref().unwrap().contains("Friday, 3 October 2025 at 09:30 (Europe/Berlin)")
    );
    assert!(email.html.as_ref().unwrap().contains("https://example.com/plants"));
    assert_eq!(email.headers["Auto-Submitted"], "auto-generated");
}

#[tokio::test]
async fn classifies_refusals() {
    let mailbox = Mailbox::new().await;
    let cases = [
        ("reject@example.com", "rejected", "MESSAGE_REJECTED"),
        ("paused@example.com", "misconfigured", "ACCOUNT_SENDING_PAUSED"),
        ("config-paused@example.com", "misconfigured", "CONFIGURATION_SET_SENDING_PAUSED"),
        ("unverified@example.com", "misconfigured", "MAIL_FROM_DOMAIN_NOT_VERIFIED"),
        ("internal@example.com", "unavailable", "INTERNAL"),
        ("unavailable@example.com", "unavailable", "UNAVAILABLE"),
        ("daily-quota@example.com", "throttled", "DAILY_QUOTA_EXCEEDED"),
        ("throttle@example.com", "throttled", "SENDING_RATE_EXCEEDED"),
    ];
    for (to, class, reason) in cases {
        assert_eq!(class_and_reason(&mailbox.mail(to).await), (class, reason), "{to}");
        assert_eq!(mailbox.sandbox.attempts(to).len(), 1, "the SDK repeats nothing: {to}");
    }
}

#[tokio::test]
async fn rejects_malformed_address() {
    let mailbox = Mailbox::new().await;
    for to in [
        "",
        "ada",
        "ada@",
        "a@b@c",
        "ada@example.com\r\nBcc: eve@example.com",
        "ada lovelace@example.com",
    ] {
        assert_eq!(
            mailbox.mail(to).await,
            Outcome::Rejected { reason: Reason::InvalidAddress },
            "{to:?}"
        );
    }
    assert!(mailbox.sandbox.captured().is_empty());
}

#[tokio::test]
async fn writes_domain_in_a_labels() {
    let mailbox = Mailbox::new().await;
    let outcome = mailbox.mail("ada@bücher.example").await;
    assert!(matches!(outcome, Outcome::Sent { .. }), "{outcome:?}");
    let captured = mailbox.sandbox.captured();
    let email = captured.iter().find_map(|captured| captured.email()).expect("an e-mail");
    assert_eq!(email.to, ["ada@xn--bcher-kva.example"]);
}

#[tokio::test]
async fn rejects_local_part_beyond_ascii() {
    let mailbox = Mailbox::new().await;
    for to in ["zoë@example.com", "jesús.dan@bücher.example"] {
        let reason = Reason::LocalPartNotAscii;
        assert_eq!(mailbox.mail(to).await, Outcome::Rejected { reason }, "{to}");
    }
    assert!(mailbox.sandbox.captured().is_empty());
}

#[tokio::test]
async fn is_misconfigured_when_account_is_refused() {
    let mailbox = Mailbox::new().await;
    mailbox.mode(SesMode { status: Some(403), ..SesMode::default() });
    assert_eq!(
        class_and_reason(&mailbox.mail("ada@example.com").await),
        ("misconfigured", "ACCESS_DENIED")
    );
}

/// Starts a server with the same response to every request, which it counts; returns its URL.
async fn start_server(
    status: http::StatusCode,
    body: &'static str,
    requests: Arc<AtomicUsize>,
) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let respond = move || {
        requests.fetch_add(1, Ordering::SeqCst);
        std::future::ready((status, body))
    };
    tokio::spawn(axum::serve(listener, axum::Router::new().fallback(respond)).into_future());
    url
}

#[tokio::test]
async fn is_unavailable_when_response_is_not_from_ses() {
    let no_id = r#"<SendRawEmailResponse xmlns="http://ses.amazonaws.com/doc/2010-12-01/">
        <SendRawEmailResult/></SendRawEmailResponse>"#;
    let cases = [
        (200, "<html>all is well</html>", "unavailable"),
        (200, "", "unavailable"),
        (200, "{}", "unavailable"),
        (200, no_id, "unavailable"),
        (429, "<html>slow down</html>", "throttled"),
        (429, "", "throttled"),
        (500, "<html>sorry</html>", "unavailable"),
        (503, "", "unavailable"),
    ];
    for (status, body, class) in cases {
        let status = http::StatusCode::from_u16(status).unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let url = start_server(status, body, Arc::clone(&requests)).await;
        let ses = Ses::new(&sdk(url).await, Settings::new(SOURCE, templates())).unwrap();
        let outcome = ses.send(&email("ada@example.com")).await;
        assert_eq!(outcome.class(), class, "{status} {body:?}: {outcome:?}");
        assert_eq!(requests.load(Ordering::SeqCst), 1, "the SDK repeats nothing");
    }
}

#[tokio::test]
async fn times_out_when_provider_is_silent() {
    let mailbox =
        Mailbox::with(|settings| settings.attempt_timeout = Duration::from_millis(300)).await;
    mailbox.mode(SesMode { hang: true, ..SesMode::default() });
    let outcome = mailbox.mail("ada@example.com").await;
    let reason = Reason::Timeout;
    assert_eq!(outcome, Outcome::Unavailable { retry_after: None, reason, maybe_delivered: true });
}

#[tokio::test]
async fn is_maybe_delivered_only_after_connecting() {
    let mailbox = Mailbox::new().await;
    mailbox.mode(SesMode { down: true, ..SesMode::default() });
    let broken = mailbox.mail("ada@example.com").await;
    assert!(matches!(broken, Outcome::Unavailable { maybe_delivered: true, .. }), "{broken:?}");
    let Mailbox { sandbox, ses } = mailbox;
    sandbox.stop().await;
    let closed = ses.send(&email("ada@example.com")).await;
    let reason = Reason::ConnectFailed;
    assert_eq!(closed, Outcome::Unavailable { retry_after: None, reason, maybe_delivered: false });
}

#[tokio::test]
async fn is_misconfigured_without_credentials() {
    let mailbox = Mailbox::new().await;
    let mut without = sdk(mailbox.sandbox.url()).await.into_builder();
    without.set_credentials_provider(None);
    let ses = Ses::new(&without.build(), Settings::new(SOURCE, templates())).unwrap();
    assert_eq!(
        class_and_reason(&ses.send(&email("ada@example.com")).await),
        ("misconfigured", "NO_CREDENTIALS")
    );
}

#[tokio::test]
async fn fills_every_variable_of_stored_template() {
    let mailbox = Mailbox::with(|settings| settings.template = Some("reminder".into())).await;
    store_template(
        &mailbox,
        "{{title}}",
        "{{message}} {{url}} {{date}} {{time}} {{timeZone}} {{userEmail}}",
    )
    .await;
    assert_eq!(mailbox.mail("ada@example.com").await.class(), "sent");
    let captured = mailbox.sandbox.captured().pop().unwrap();
    let email = captured.email().unwrap();
    assert_eq!(email.subject, "Water the plants");
    let text = "The ficus too. https://example.com/plants Friday, 3 October 2025 09:30 \
        Europe/Berlin ada@example.com";
    assert_eq!(email.text.as_deref(), Some(text));
}

#[tokio::test]
async fn is_misconfigured_when_template_is_missing() {
    let mailbox = Mailbox::with(|settings| settings.template = Some("nowhere".into())).await;
    assert_eq!(
        class_and_reason(&mailbox.mail("ada@example.com").await),
        ("misconfigured", "TEMPLATE_DOES_NOT_EXIST")
    );
}

#[tokio::test]
async fn detects_template_that_ses_cannot_render() {
    let mailbox = Mailbox::with(|settings| settings.template = Some("reminder".into())).await;
    store_template(&mailbox, "{{title}}", "Hello {{firstName}}").await;
    let (watch, ses) = (CancellationToken::new(), Arc::clone(&mailbox.ses));
    let watching = tokio::spawn({
        let watch = watch.clone();
        async move { ses.watch_account(watch).await }
    });
    let start = Instant::now();
    while class_and_reason(&mailbox.mail("ada@example.com").await)
        != ("misconfigured", "TEMPLATE_VARIABLE_UNKNOWN")
    {
        assert!(start.elapsed() < Duration::from_secs(10), "the template is never looked at");
    }
    watch.cancel();
    watching.await.unwrap();
}

#[tokio::test]
async fn publishes_quota_of_account() {
    let mailbox = Mailbox::new().await;
    mailbox.mode(SesMode {
        max_send_rate: Some(200),
        max_24_hour_send: Some(5),
        ..SesMode::default()
    });
    mailbox.mail("ada@example.com").await;
    let watch = CancellationToken::new();
    let mut quota = mailbox.ses.quota();
    let (ses, stop) = (Arc::clone(&mailbox.ses), watch.clone());
    let watching = tokio::spawn(async move { ses.watch_account(stop).await });
    let read = tokio::time::timeout(Duration::from_secs(10), quota.wait_for(Option::is_some)).await;
    assert_eq!(*read.unwrap().unwrap(), Some(Quota { per_second: 200.0, day_left: Some(4) }));
    watch.cancel();
    watching.await.unwrap();
}

async fn store_template(mailbox: &Mailbox, subject: &str, text: &str) {
    let client = aws_sdk_ses::Client::new(&sdk(mailbox.sandbox.url()).await);
    let template = aws_sdk_ses::types::Template::builder()
        .template_name("reminder")
        .subject_part(subject)
        .text_part(text)
        .build()
        .unwrap();
    client.create_template().template(template).send().await.unwrap();
}
