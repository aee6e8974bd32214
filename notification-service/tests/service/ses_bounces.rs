//! Feedback of SES on accepted e-mails: repeated, early and unreadable messages.

use std::{sync::Arc, time::Duration};

use bus::{DETAIL_ATTRIBUTE, Message, Receipt, Received, Settlement};
use contract::{Channel, DeliveryState, EventType};
use notification_service::{
    clock::DbClock, consumer::ses_bounces::SesBounceHandler,
    usecases::apply_ses_bounces::ApplySesBounces,
};
use serde_json::{Value, json};
use service::{
    consumer::{Handler, isolation::Isolation},
    outbox::Relay,
};
use support::wait_until;
use tokio_util::sync::CancellationToken;

use crate::test_service::{DueOccurrence, LIMIT, TestService};

const QUEUE: &str = "ses-feedback-queue";

macro_rules! fixture {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("../fixtures/ses/", $name, ".json")))
            .expect("JSON")
    };
}

/// Returns feedback of SES about an e-mail.
fn feedback_about(mut message: Value, message_id: &str, address: &str) -> String {
    message["mail"]["messageId"] = json!(message_id);
    message["mail"]["destination"] = json!([address]);
    for list in ["/bounce/bouncedRecipients", "/complaint/complainedRecipients"] {
        if let Some(recipients) = message.pointer_mut(list) {
            recipients[0]["emailAddress"] = json!(address.to_uppercase());
        }
    }
    message.to_string()
}

/// Wraps a message in the envelope of SNS.
fn enveloped(message: &str) -> String {
    json!({"Type": "Notification", "MessageId": "m", "Message": message,
        "Timestamp": "2026-03-05T07:30:05.000Z"})
    .to_string()
}

/// Sends an e-mail to a user. Returns its occurrence, and SES's id.
async fn send_email(service: &TestService, user: &str) -> (DueOccurrence, String) {
    let due = service.publish_due(user, &[Channel::Email]).await;
    service.wait_for_state(&due, Channel::Email, "sent").await;
    let email = service.emails(&format!("{user}@example.com")).pop().expect("an e-mail");
    (due, email.message_id.clone())
}

/// Publishes feedback about an e-mail to ada, once raw and once in an envelope, and waits until
/// both are counted.
async fn publish_feedback_twice(
    service: &TestService,
    message: Value,
    message_id: &str,
    kind: &str,
) {
    let message = feedback_about(message, message_id, "ada@example.com");
    enqueue_feedback(service, &[message.clone(), enveloped(&message)]).await;
    wait_until(LIMIT, async || {
        let counted =
            service.metric("reminders_email_feedback_total", &format!("kind=\"{kind}\"")).await;
        if counted == 2.0 {
            Ok(())
        } else {
            Err(format!("counted {counted} times; {:?}", service.bus.depth(QUEUE).await))
        }
    })
    .await;
}

async fn enqueue_feedback(service: &TestService, bodies: &[String]) {
    let messages: Vec<_> =
        bodies.iter().map(|body| Message { body: body.clone(), attributes: [].into() }).collect();
    // The service does not wait for this queue, which is created while the rest already works.
    wait_until(LIMIT, async || service.bus.depth(QUEUE).await.is_ok()).await;
    let results =
        service.bus.send(QUEUE, &messages, Duration::ZERO).await.expect("the bus is there");
    results.into_iter().for_each(|result| result.expect("sent"));
}

/// Sends an e-mail to ada. Returns its final state and reason.
async fn send_next_email(service: &TestService) -> (String, Option<String>) {
    let due = service.publish_due("ada", &[Channel::Email]).await;
    wait_until(LIMIT, async || {
        let row = sqlx::query_as(
            "select state, reason from deliveries where occurrence_id = $1 and state <> 'pending'",
        );
        row.bind(due.id()).fetch_optional(&service.pool).await.expect("asked")
    })
    .await
}

/// Returns the reasons of all published failures. Each corrects a delivery that was published as
/// sent.
async fn failures(service: &TestService) -> Vec<String> {
    service.receive_events().await;
    let failed = service
        .received_events()
        .into_iter()
        .filter(|event| event.event_type == EventType::NotificationFailed);
    let failed = failed.map(|event| event.outcome().expect("an outcome"));
    failed
        .map(|outcome| {
            assert_eq!(
                (outcome.corrects, outcome.attempts, outcome.deliveries),
                (Some(DeliveryState::Sent), 1, 1)
            );
            outcome.reason.expect("a reason").to_string()
        })
        .collect()
}

fn suppressed() -> (String, Option<String>) {
    ("suppressed".to_owned(), Some("ADDRESS_SUPPRESSED".to_owned()))
}

#[tokio::test]
async fn fails_bounced_delivery_and_suppresses_address() {
    let service = TestService::start().await;
    let (due, id) = send_email(&service, "ada").await;
    publish_feedback_twice(&service, fixture!("bounce"), &id, "bounce").await;

    assert_eq!(
        service.wait_for_state(&due, Channel::Email, "failed").await,
        (Some("BOUNCED".to_owned()), 1)
    );
    let published = service.wait_for_outcome(&due, EventType::NotificationFailed).await;
    assert_eq!(
        (published.provider_message_id, published.occurrence_id),
        (Some(id), due.send.occurrence_id)
    );
    assert_eq!(send_next_email(&service).await, suppressed());
    service
        .wait_for_event(EventType::NotificationSuppressed, &last_suppressed_item(&service).await)
        .await;
    assert_eq!(failures(&service).await, ["BOUNCED"]);
    assert_eq!(service.emails("ada@example.com").len(), 1);
}

/// Returns the item that was suppressed last. Once its event is published, so are all earlier ones.
async fn last_suppressed_item(service: &TestService) -> String {
    let item = "select item_id from dispatches join deliveries using (occurrence_id)
        where state = 'suppressed'";
    sqlx::query_scalar(item).fetch_one(&service.pool).await.expect("one")
}

#[tokio::test]
async fn keeps_delivery_and_suppresses_on_complaint() {
    let service = TestService::start().await;
    let (due, id) = send_email(&service, "ada").await;
    publish_feedback_twice(&service, fixture!("identity-complaint"), &id, "complaint").await;
    let bounced = feedback_about(fixture!("bounce"), "of-another", "ada@example.com");
    assert_eq!(handler(&service).handle(&[received(bounced, 9)]).await, [Settlement::Done]);

    service.wait_for_state(&due, Channel::Email, "sent").await;
    assert_eq!(send_next_email(&service).await, suppressed());
    let cause: String = sqlx::query_scalar("select reason from suppressed_addresses")
        .fetch_one(&service.pool)
        .await
        .expect("one");
    assert_eq!((cause.as_str(), failures(&service).await), ("complaint", vec![]));
}

#[tokio::test]
async fn fails_email_that_ses_did_not_send() {
    for (message, kind, reason) in [
        (fixture!("rendering-failure"), "rendering_failure", "RENDERING_FAILED"),
        (fixture!("reject"), "reject", "REJECTED_BY_PROVIDER"),
    ] {
        let service = TestService::start().await;
        let (due, id) = send_email(&service, "ada").await;
        publish_feedback_twice(&service, message, &id, kind).await;

        assert_eq!(
            service.wait_for_state(&due, Channel::Email, "failed").await,
            (Some(reason.to_owned()), 1)
        );
        service.wait_for_outcome(&due, EventType::NotificationFailed).await;
        assert_eq!(send_next_email(&service).await, ("sent".to_owned(), None));
        assert_eq!(failures(&service).await, [reason]);
    }
}

#[tokio::test]
async fn counts_notices_without_effect() {
    let service = TestService::start().await;
    let (due, id) = send_email(&service, "ada").await;
    publish_feedback_twice(&service, fixture!("bounce-transient"), &id, "transient_bounce").await;
    publish_feedback_twice(&service, fixture!("delivery-delay"), &id, "delivery_delay").await;

    service.wait_for_state(&due, Channel::Email, "sent").await;
    assert_eq!(send_next_email(&service).await, ("sent".to_owned(), None));
    assert_eq!(failures(&service).await, Vec::<String>::new());
}

#[tokio::test]
async fn dead_letters_unreadable_notice_only() {
    let service = TestService::start().await;
    let (due, id) = send_email(&service, "ada").await;
    let bounce = feedback_about(fixture!("bounce"), &id, "ada@example.com");
    enqueue_feedback(
        &service,
        &["{".to_owned(), enveloped("{}"), json!({"eventType": "New"}).to_string(), bounce],
    )
    .await;

    service.wait_for_state(&due, Channel::Email, "failed").await;
    let letters = wait_until(LIMIT, async || {
        let letters =
            service.bus.dead_letters(QUEUE, 10).await.map_err(|error| error.to_string())?;
        if letters.len() == 2 { Ok(letters) } else { Err(format!("{letters:?}")) }
    })
    .await;
    let details: Vec<_> =
        letters.iter().map(|letter| letter.attributes[DETAIL_ATTRIBUTE].as_str()).collect();
    assert_eq!(details, ["the message is not JSON", "eventType is missing or malformed"]);
}

#[tokio::test]
async fn retries_notice_that_precedes_its_email() {
    let service = TestService::start().await;
    let (due, id) = send_email(&service, "ada").await;
    // As if SES's response had not been recorded yet.
    let hide = "update deliveries set provider_message_id = null";
    sqlx::query(hide).execute(&service.pool).await.expect("hidden");
    let handler = handler(&service);
    let early = handler
        .handle(&[received(feedback_about(fixture!("bounce"), &id, "ada@example.com"), 1)])
        .await;
    assert!(matches!(&early[..], [Settlement::RetryAfter(after)] if !after.is_zero()), "{early:?}");
    assert_eq!(
        send_next_email(&service).await,
        suppressed(),
        "the address is suppressed immediately"
    );
    let show = "update deliveries set provider_message_id = $1 where state = 'sent'";
    sqlx::query(show).bind(&id).execute(&service.pool).await.expect("shown");

    let again = handler
        .handle(&[received(feedback_about(fixture!("bounce"), &id, "ada@example.com"), 2)])
        .await;
    assert_eq!(again, [Settlement::Done]);
    service.wait_for_state(&due, Channel::Email, "failed").await;
    let foreign = handler
        .handle(&[received(feedback_about(fixture!("bounce"), "of-another", "bob@example.com"), 9)])
        .await;
    assert_eq!(foreign, [Settlement::Done], "the e-mail of another sender of the account");
}

/// Creates a separate handler, to which tests pass messages directly.
fn handler(service: &TestService) -> SesBounceHandler {
    let (_, relay_handle) =
        Relay::new(service.pool.clone(), service.bus.clone(), "event-topic".to_owned());
    let isolation = Isolation::new(Duration::MAX, CancellationToken::new());
    let apply = ApplySesBounces {
        pool: service.pool.clone(),
        clock: Arc::new(DbClock::default()),
        relay_handle,
    };
    SesBounceHandler { apply, isolation }
}

fn received(body: String, receive_count: u32) -> Received {
    Received {
        receipt: Receipt("receipt".to_owned()),
        message_id: "message".to_owned(),
        body,
        attributes: [].into(),
        receive_count,
        sent_at: chrono::Utc::now(),
    }
}
