//! What SES says after it accepted an e-mail, as it comes: more than once, early, and sometimes not
//! to be read.

use std::{sync::Arc, time::Duration};

use notification_service::{clock::DbClock, ses_bounces::SesFeedback};
use serde_json::{Value, json};
use shared::{
    bus::{DETAIL_ATTRIBUTE, Message, Receipt, Received, Settlement},
    consumer::{Handler, isolation::Isolation},
    contract::{Channel, DeliveryState, EventType},
    outbox::Relay,
};
use support::eventually;
use tokio_util::sync::CancellationToken;

use crate::test_service::{Due, LIMIT, Service};

const QUEUE: &str = "ses-feedback-queue";

macro_rules! fixture {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("../fixtures/ses/", $name, ".json")))
            .expect("JSON")
    };
}

/// What SES says of this e-mail.
fn about(mut said: Value, message_id: &str, address: &str) -> String {
    said["mail"]["messageId"] = json!(message_id);
    said["mail"]["destination"] = json!([address]);
    for list in ["/bounce/bouncedRecipients", "/complaint/complainedRecipients"] {
        if let Some(recipients) = said.pointer_mut(list) {
            recipients[0]["emailAddress"] = json!(address.to_uppercase());
        }
    }
    said.to_string()
}

/// As SNS envelops it.
fn enveloped(said: &str) -> String {
    json!({"Type": "Notification", "MessageId": "m", "Message": said, "Timestamp": "2026-03-05T07:30:05.000Z"})
        .to_string()
}

/// Sends a user an e-mail; what it delivers, and SES's id of it.
async fn mailed(service: &Service, user: &str) -> (Due, String) {
    let due = service.due(user, &[Channel::Email]).await;
    service.ends(&due, Channel::Email, "sent").await;
    let email = service.emails(&format!("{user}@example.com")).pop().expect("an e-mail");
    (due, email.message_id.clone())
}

/// Lets SES say this of an e-mail to ada, once raw and once in an envelope, and waits until it was
/// heard.
async fn told_twice(service: &Service, said: Value, message_id: &str, kind: &str) {
    let said = about(said, message_id, "ada@example.com");
    put(service, &[said.clone(), enveloped(&said)]).await;
    eventually(LIMIT, async || {
        let heard =
            service.metric("reminders_email_feedback_total", &format!("kind=\"{kind}\"")).await;
        if heard == 2.0 {
            Ok(())
        } else {
            Err(format!("heard {heard} times; {:?}", service.bus.depth(QUEUE).await))
        }
    })
    .await;
}

async fn put(service: &Service, bodies: &[String]) {
    let messages: Vec<_> =
        bodies.iter().map(|body| Message { body: body.clone(), attributes: [].into() }).collect();
    // Nothing of the service waits for this queue; it is made while the rest works already.
    eventually(LIMIT, async || service.bus.depth(QUEUE).await.is_ok()).await;
    let results =
        service.bus.send(QUEUE, &messages, Duration::ZERO).await.expect("the bus is there");
    results.into_iter().for_each(|result| result.expect("sent"));
}

/// How the next e-mail to ada ends, and why.
async fn next(service: &Service) -> (String, Option<String>) {
    let due = service.due("ada", &[Channel::Email]).await;
    eventually(LIMIT, async || {
        let row = sqlx::query_as(
            "select state, reason from deliveries where occurrence_id = $1 and state <> 'pending'",
        );
        row.bind(due.id()).fetch_optional(&service.pool).await.expect("asked")
    })
    .await
}

/// The reasons of the failures that were told so far; each is one of a delivery that was told as
/// sent before.
async fn failures(service: &Service) -> Vec<String> {
    service.receive_facts().await;
    let failed =
        service.told().into_iter().filter(|it| it.event_type == EventType::NotificationFailed);
    let failed = failed.map(|it| it.outcome().expect("an outcome"));
    failed
        .map(|it| {
            assert_eq!(
                (it.corrects, it.attempts, it.deliveries),
                (Some(DeliveryState::Sent), 1, 1)
            );
            it.reason.expect("a reason").to_string()
        })
        .collect()
}

fn suppressed() -> (String, Option<String>) {
    ("suppressed".to_owned(), Some("ADDRESS_SUPPRESSED".to_owned()))
}

#[tokio::test]
async fn fails_bounced_delivery_and_suppresses_address() {
    let service = Service::start().await;
    let (due, id) = mailed(&service, "ada").await;
    told_twice(&service, fixture!("bounce"), &id, "bounce").await;

    assert_eq!(service.ends(&due, Channel::Email, "failed").await, (Some("BOUNCED".to_owned()), 1));
    let told = service.outcome(&due, EventType::NotificationFailed).await;
    assert_eq!((told.provider_message_id, told.occurrence_id), (Some(id), due.send.occurrence_id));
    assert_eq!(next(&service).await, suppressed());
    service.fact(EventType::NotificationSuppressed, &next_item(&service).await).await;
    assert_eq!(failures(&service).await, ["BOUNCED"]);
    assert_eq!(service.emails("ada@example.com").len(), 1);
}

/// The item of what was suppressed last: once it was told, so was all before it.
async fn next_item(service: &Service) -> String {
    let item = "select item_id from dispatches join deliveries using (occurrence_id) where state = 'suppressed'";
    sqlx::query_scalar(item).fetch_one(&service.pool).await.expect("one")
}

#[tokio::test]
async fn keeps_delivery_and_suppresses_on_complaint() {
    let service = Service::start().await;
    let (due, id) = mailed(&service, "ada").await;
    told_twice(&service, fixture!("identity-complaint"), &id, "complaint").await;
    let bounced = about(fixture!("bounce"), "of-another", "ada@example.com");
    assert_eq!(handler(&service).handle(&[received(bounced, 9)]).await, [Settlement::Done]);

    service.ends(&due, Channel::Email, "sent").await;
    assert_eq!(next(&service).await, suppressed());
    let grounds: String = sqlx::query_scalar("select reason from suppressed_addresses")
        .fetch_one(&service.pool)
        .await
        .expect("one");
    assert_eq!((grounds.as_str(), failures(&service).await), ("complaint", vec![]));
}

#[tokio::test]
async fn fails_email_that_ses_did_not_send() {
    for (said, kind, reason) in [
        (fixture!("rendering-failure"), "rendering_failure", "RENDERING_FAILED"),
        (fixture!("reject"), "reject", "REJECTED_BY_PROVIDER"),
    ] {
        let service = Service::start().await;
        let (due, id) = mailed(&service, "ada").await;
        told_twice(&service, said, &id, kind).await;

        assert_eq!(
            service.ends(&due, Channel::Email, "failed").await,
            (Some(reason.to_owned()), 1)
        );
        service.outcome(&due, EventType::NotificationFailed).await;
        assert_eq!(next(&service).await, ("sent".to_owned(), None));
        assert_eq!(failures(&service).await, [reason]);
    }
}

#[tokio::test]
async fn counts_notices_without_effect() {
    let service = Service::start().await;
    let (due, id) = mailed(&service, "ada").await;
    told_twice(&service, fixture!("bounce-transient"), &id, "transient_bounce").await;
    told_twice(&service, fixture!("delivery-delay"), &id, "delivery_delay").await;

    service.ends(&due, Channel::Email, "sent").await;
    assert_eq!(next(&service).await, ("sent".to_owned(), None));
    assert_eq!(failures(&service).await, Vec::<String>::new());
}

#[tokio::test]
async fn dead_letters_unreadable_notice_only() {
    let service = Service::start().await;
    let (due, id) = mailed(&service, "ada").await;
    let bounce = about(fixture!("bounce"), &id, "ada@example.com");
    put(
        &service,
        &["{".to_owned(), enveloped("{}"), json!({"eventType": "New"}).to_string(), bounce],
    )
    .await;

    service.ends(&due, Channel::Email, "failed").await;
    let letters = eventually(LIMIT, async || {
        let letters =
            service.bus.dead_letters(QUEUE, 10).await.map_err(|error| error.to_string())?;
        if letters.len() == 2 { Ok(letters) } else { Err(format!("{letters:?}")) }
    })
    .await;
    let details: Vec<_> =
        letters.iter().map(|letter| letter.attributes[DETAIL_ATTRIBUTE].as_str()).collect();
    assert_eq!(details, ["it is no JSON", "eventType is missing or malformed"]);
}

#[tokio::test]
async fn retries_notice_that_precedes_its_email() {
    let service = Service::start().await;
    let (due, id) = mailed(&service, "ada").await;
    // As if the record of SES's answer were still on its way.
    let hide = "update deliveries set provider_message_id = null";
    sqlx::query(hide).execute(&service.pool).await.expect("hidden");
    let handler = handler(&service);
    let early =
        handler.handle(&[received(about(fixture!("bounce"), &id, "ada@example.com"), 1)]).await;
    assert!(matches!(&early[..], [Settlement::RetryAfter(after)] if !after.is_zero()), "{early:?}");
    assert_eq!(next(&service).await, suppressed(), "the address need not wait");
    let show = "update deliveries set provider_message_id = $1 where state = 'sent'";
    sqlx::query(show).bind(&id).execute(&service.pool).await.expect("shown");

    let again =
        handler.handle(&[received(about(fixture!("bounce"), &id, "ada@example.com"), 2)]).await;
    assert_eq!(again, [Settlement::Done]);
    service.ends(&due, Channel::Email, "failed").await;
    let strange = handler
        .handle(&[received(about(fixture!("bounce"), "of-another", "bob@example.com"), 9)])
        .await;
    assert_eq!(strange, [Settlement::Done], "somebody else sends from the same account");
}

/// A handler of our own, which messages are handed to directly.
fn handler(service: &Service) -> Feedback {
    let (_, handoff) =
        Relay::new(service.pool.clone(), service.bus.clone(), "event-topic".to_owned());
    let isolation = Isolation::new(Duration::MAX, CancellationToken::new());
    Feedback { pool: service.pool.clone(), clock: Arc::new(DbClock::default()), handoff, isolation }
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
