//! From the queue to the providers and back into the ledger, with each outcome once.

use chrono::{TimeDelta, Utc};
use contract::{Channel, EventType};
use serde_json::json;

use crate::test_service::{DueOccurrence, LIMIT, TestService};

#[tokio::test]
async fn sends_due_occurrence_to_devices_and_mailbox() {
    let service = TestService::start().await;
    let phone = service.register_device("ada", "token-1").await;
    service.register_device("ada", "token-2").await;
    let due = service.publish_due("ada", &[Channel::Email, Channel::Push]).await;

    for token in ["token-1", "token-2"] {
        let pushed = service
            .sandbox
            .wait_for(|captured| captured.push().is_some_and(|push| push.token == token), LIMIT)
            .await
            .expect("a push");
        let push = pushed.push().expect("a push");
        assert_eq!(
            (push.title.as_deref(), push.body.as_deref()),
            (Some("Plants"), Some("Water them"))
        );
        assert_eq!(push.collapse_key, Some(due.send.occurrence_id.to_string()));
    }
    service
        .sandbox
        .wait_for(
            |captured| captured.email().is_some_and(|email| email.to == ["ada@example.com"]),
            LIMIT,
        )
        .await
        .expect("an e-mail");
    service.wait_for_state(&due, Channel::Email, "sent").await;
    support::wait_until(LIMIT, async || service.count_in_state("sent").await == 3).await;
    support::wait_until(LIMIT, async || {
        service.receive_events().await;
        let outcomes: Vec<_> = service
            .received_events()
            .into_iter()
            .filter(|event| event.event_type == EventType::NotificationSent)
            .collect();
        let deliveries: Vec<_> =
            outcomes.iter().map(|event| event.outcome().expect("an outcome").deliveries).collect();
        if deliveries == [3, 3, 3] { Ok(()) } else { Err(deliveries) }
    })
    .await;
    let to_phone = service
        .received_events()
        .into_iter()
        .filter_map(|event| event.outcome().ok())
        .find(|outcome| outcome.device_id.is_some_and(|id| id.to_string() == phone));
    let to_phone = to_phone.expect("the phone's outcome");
    assert_eq!((to_phone.occurrence_id, to_phone.attempts), (due.send.occurrence_id, 1));
    assert!(to_phone.provider_message_id.is_some_and(|id| id.starts_with("projects/")));
}

#[tokio::test]
async fn writes_date_of_reminder_sent_a_day_ahead() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("push.body.txt"), "{{ when }}").expect("written");
    let service =
        TestService::start_with(&[("TEMPLATES_DIR", folder.path().to_str().expect("utf-8"))]).await;
    service.register_device("ada", "token-1").await;
    let mut due = DueOccurrence::now("ada", &[Channel::Email, Channel::Push]);
    due.send.date = "2031-03-05T08:30:00Z".parse().expect("a time");
    due.send.content.title = None;
    due.send.content.locale = Some("de".to_owned());
    service.publish(&[due.message()]).await;

    service.wait_for_state(&due, Channel::Email, "sent").await;
    service.wait_for_state(&due, Channel::Push, "sent").await;
    let when = "Mittwoch, 5. März 2031 um 09:30 (Europe/Berlin)";
    let (emails, pushes) = (service.emails("ada@example.com"), service.pushes("token-1"));
    let (email, push) = (emails[0].email().expect("an e-mail"), pushes[0].push().expect("a push"));
    assert_eq!((&*email.subject, push.title.as_deref()), ("Erinnerung", Some("Erinnerung")));
    assert!(email.text.as_ref().is_some_and(|text| text.contains(when)), "{:?}", email.text);
    assert_eq!(push.body.as_deref(), Some(when));
}

/// Case F2. As FCM does, the sandbox refuses a link that is not https.
#[tokio::test]
async fn sends_url_of_any_scheme_to_browser_f2() {
    let service = TestService::start().await;
    service.register_device_of_type("ada", "token-1", "web").await;
    for url in ["http://example.com/a", "HTTPS://EXAMPLE.com/b"] {
        let mut due = DueOccurrence::now("ada", &[Channel::Push]);
        due.send.content.url = Some(url.to_owned());
        service.publish(&[due.message()]).await;
        service.wait_for_state(&due, Channel::Push, "sent").await;
    }
    let pushes = service.pushes("token-1");
    let urls: Vec<_> =
        pushes.iter().filter_map(|message| message.push()?.data.get("url")).collect();
    assert_eq!(urls, ["http://example.com/a", "HTTPS://EXAMPLE.com/b"]);
}

#[tokio::test]
async fn sends_once_when_copies_are_shuffled() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    let dues: Vec<DueOccurrence> = (0..40)
        .map(|minute| {
            DueOccurrence::at(
                "ada",
                &[Channel::Email, Channel::Push],
                Utc::now() - TimeDelta::seconds(minute),
            )
        })
        .collect();
    let mut messages: Vec<_> =
        (0..5).flat_map(|_| dues.iter().map(DueOccurrence::message)).collect();
    messages.sort_by_cached_key(|_| rand::random::<u64>());
    for part in messages.chunks(30) {
        service.publish(part).await;
    }
    support::wait_until(LIMIT, async || service.count_in_state("sent").await == 80).await;
    service.wait_until_consumed().await;

    assert_eq!(
        (service.pushes("token-1").len(), service.emails("ada@example.com").len()),
        (40, 40)
    );
}

#[tokio::test]
async fn suppresses_delivery_without_an_address() {
    let service = TestService::start().await;
    sqlx::query(
        "insert into suppressed_addresses (address_hash, reason)
         values (sha256('bounced@example.com'), 'bounce')",
    )
    .execute(&service.pool)
    .await
    .expect("suppressed");
    let no_device = service.publish_due("ada", &[Channel::Push]).await;
    let bounced = service.publish_due("bounced", &[Channel::Email]).await;
    let no_address = DueOccurrence { email: None, ..DueOccurrence::now("ada", &[Channel::Email]) };
    let expired = DueOccurrence::at("ada", &[Channel::Email], Utc::now() - TimeDelta::hours(2));
    service.publish(&[no_address.message(), expired.message()]).await;

    for (due, reason) in [
        (no_device, "NO_DEVICE"),
        (bounced, "ADDRESS_SUPPRESSED"),
        (no_address, "NO_ADDRESS"),
        (expired, "EXPIRED"),
    ] {
        let outcome = service.wait_for_outcome(&due, EventType::NotificationSuppressed).await;
        assert_eq!(
            (outcome.reason.as_deref(), outcome.attempts, outcome.deliveries),
            (Some(reason), 0, 1)
        );
    }
    assert!(service.sandbox.captured().is_empty());
}

#[tokio::test]
async fn fails_delivery_and_tombstones_dead_token() {
    let service = TestService::start().await;
    let id = service.register_device("ada", "gone-1").await;
    let due = service.publish_due("ada", &[Channel::Push]).await;

    let outcome = service.wait_for_outcome(&due, EventType::NotificationFailed).await;
    assert_eq!((outcome.reason.as_deref(), outcome.attempts), (Some("UNREGISTERED"), 1));
    let fact = service.wait_for_event(EventType::DeviceInvalidated, &id).await;
    assert_eq!((fact.user_id.as_str(), &fact.data["reason"]), ("ada", &json!("UNREGISTERED")));
    assert_eq!(service.user("ada").get("/device").await.body["devices"], json!([]));
    assert_eq!(
        service.register_device("ada", "gone-1").await,
        id,
        "the tombstone becomes the device again"
    );
}

#[tokio::test]
async fn fails_invalid_message_and_keeps_device() {
    let service = TestService::start().await;
    let id = service.register_device("ada", "bad-payload-1").await;
    let due = service.publish_due("ada", &[Channel::Push]).await;
    let rejected = service.publish_due("reject", &[Channel::Email]).await;

    let outcome = service.wait_for_outcome(&due, EventType::NotificationFailed).await;
    assert_eq!((outcome.reason.as_deref(), outcome.attempts), (Some("INVALID_ARGUMENT"), 1));
    service.wait_for_outcome(&rejected, EventType::NotificationFailed).await;
    assert_eq!(service.user("ada").get("/device").await.body["devices"][0]["id"], json!(id));
}

#[tokio::test]
async fn dead_letters_unreadable_message_only() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    let due = DueOccurrence::now("ada", &[Channel::Push]);
    let mut broken = due.message();
    broken.body = "{".to_owned();
    let mut erased = due.message();
    erased.attributes.insert("eventType".to_owned(), EventType::UserErased.as_str().to_owned());
    let mut unstorable = DueOccurrence::now("ada", &[Channel::Push]);
    unstorable.send.date = "-100000-01-01T00:00:00Z".parse().expect("a time");
    unstorable.send.due_at = unstorable.send.date;
    service.publish(&[broken, erased, unstorable.message(), due.message()]).await;

    service.wait_for_state(&due, Channel::Push, "sent").await;
    let letters = support::wait_until(LIMIT, async || {
        let letters = service
            .bus
            .dead_letters("notification-queue", 10)
            .await
            .map_err(|error| error.to_string())?;
        if letters.len() == 3 { Ok(letters) } else { Err(format!("{letters:?}")) }
    })
    .await;
    assert!(
        letters.iter().all(|letter| letter.attributes.contains_key(bus::REASON_ATTRIBUTE)),
        "{letters:?}"
    );
}

#[tokio::test]
async fn resends_with_same_key_when_process_died() {
    let service = TestService::start().await;
    let device = service.register_device("ada", "token-1").await;
    let due = service.publish_due("ada", &[Channel::Push]).await;
    service.wait_for_state(&due, Channel::Push, "sent").await;
    // As if the process had died between FCM's response and its record, one lease ago.
    sqlx::query(
        "update deliveries set state = 'pending', fence = 7, attempts = 0,
        next_attempt_at = now() - interval '1 s', finished_at = null",
    )
    .execute(&service.pool)
    .await
    .expect("set back");

    support::wait_until(LIMIT, async || service.pushes("token-1").len() == 2).await;
    service.wait_for_state(&due, Channel::Push, "sent").await;
    let keys: Vec<_> = service
        .pushes("token-1")
        .iter()
        .filter_map(|captured| captured.push()?.collapse_key.clone())
        .collect();
    assert_eq!(keys, vec![due.send.occurrence_id.to_string(); 2]);
    assert!(!device.is_empty());
}

#[tokio::test]
async fn sends_no_retry_to_removed_device() {
    let service = TestService::start().await;
    let id = service.register_device("ada", "unavailable-1").await;
    let due = service.publish_due("ada", &[Channel::Push]).await;
    support::wait_until(LIMIT, async || {
        service.wait_for_state(&due, Channel::Push, "pending").await.1 == 1
    })
    .await;
    service.user("ada").delete(&format!("/device/remove/{id}")).await.expect(200);
    service.make_retries_due().await;

    let outcome = service.wait_for_outcome(&due, EventType::NotificationFailed).await;
    assert_eq!((outcome.reason.as_deref(), outcome.attempts), (Some("DEVICE_GONE"), 1));
}

#[tokio::test]
async fn sends_whole_burst() {
    let few = [
        ("PUSH_MAX_IN_FLIGHT", "16"),
        ("EMAIL_MAX_IN_FLIGHT", "4"),
        ("EMAIL_PER_USER_PER_MINUTE", "100000"),
    ];
    let service = TestService::start_with(&few).await;
    service.register_device("ada", "token-1").await;
    service.set_provider_mode(|mode| (mode.fcm.latency_ms, mode.ses.latency_ms) = (20, 10));
    let dues: Vec<DueOccurrence> = (0..600)
        .map(|second| {
            DueOccurrence::at(
                "ada",
                &[Channel::Email, Channel::Push],
                Utc::now() - TimeDelta::seconds(second),
            )
        })
        .collect();
    let messages: Vec<_> = dues.iter().map(DueOccurrence::message).collect();
    service.publish(&messages).await;

    support::wait_until(LIMIT * 4, async || {
        let sent = service.count_in_state("sent").await;
        if sent == 1_200 { Ok(()) } else { Err(sent) }
    })
    .await;
    assert_eq!(
        (service.pushes("token-1").len(), service.emails("ada@example.com").len()),
        (600, 600)
    );
}
