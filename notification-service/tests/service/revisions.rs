//! Revisions of released occurrences, which are applied in whatever order messages arrive.

use contract::{Channel, EventType, NotifyContent, Priority, Reason};
use support::wait_until;

use crate::test_service::{DueOccurrence, LIMIT, TestService};

pub(crate) const BOTH: [Channel; 2] = [Channel::Email, Channel::Push];

/// Returns the content of an occurrence with another text.
pub(crate) fn other(due: &DueOccurrence, channels: &[Channel]) -> NotifyContent {
    NotifyContent {
        message: "Feed the cat".to_owned(),
        channels: channels.to_vec(),
        ..due.send.content.clone()
    }
}

pub(crate) async fn count_revisions(service: &TestService) -> i64 {
    sqlx::query_scalar("select count(*) from revisions")
        .fetch_one(&service.pool)
        .await
        .expect("counted")
}

#[tokio::test]
async fn cancels_pending_delivery() {
    let service = TestService::start().await;
    service.register_device("ada", "unavailable-1").await;
    let retried = service.publish_due("ada", &[Channel::Push]).await;
    wait_until(LIMIT, async || {
        service.wait_for_state(&retried, Channel::Push, "pending").await.1 == 1
    })
    .await;
    service.start_quiet_hours("ada").await;
    let deferred = service.publish_due("ada", &[Channel::Push]).await;
    service.wait_for_state(&deferred, Channel::Push, "deferred").await;
    service
        .publish(&[
            retried.cancelled_for(4, Some(Reason::Acknowledged)),
            deferred.cancelled_for(4, Some(Reason::Snoozed)),
        ])
        .await;

    for (due, reason, attempts) in [(&retried, "ACKNOWLEDGED", 1), (&deferred, "SNOOZED", 0)] {
        assert_eq!(
            service.wait_for_state(due, Channel::Push, "suppressed").await,
            (Some(reason.to_owned()), attempts)
        );
        let published = service.wait_for_outcome(due, EventType::NotificationSuppressed).await;
        assert_eq!((published.reason.as_deref(), published.attempts), (Some(reason), attempts));
    }
    service.clear_preferences("ada").await;
    service.make_retries_due().await;
    assert_eq!(service.count_in_state("suppressed").await, 2);
}

#[tokio::test]
async fn completes_attempt_in_flight_when_cancelled() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    service.register_device("bob", "unavailable-1").await;
    service.set_provider_mode(|mode| mode.fcm.latency_ms = 1_500);
    let accepted = service.publish_due("ada", &[Channel::Push]).await;
    let refused = service.publish_due("bob", &[Channel::Push]).await;
    for due in [&accepted, &refused] {
        service.wait_for_state(due, Channel::Push, "pending").await;
        service.publish(&[due.cancelled(4)]).await;
    }

    assert_eq!(service.wait_for_state(&accepted, Channel::Push, "sent").await, (None, 1));
    assert_eq!(
        service.wait_for_state(&refused, Channel::Push, "suppressed").await,
        (Some("DELETED".to_owned()), 1)
    );
    let published = service.wait_for_outcome(&refused, EventType::NotificationSuppressed).await;
    assert_eq!((published.reason.as_deref(), published.attempts), (Some("DELETED"), 1));
}

#[tokio::test]
async fn sends_no_cancelled_delivery_of_dead_process() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    service.set_provider_mode(|mode| mode.fcm.down = true);
    let due = service.publish_due("ada", &[Channel::Push]).await;
    wait_until(LIMIT, async || service.wait_for_state(&due, Channel::Push, "pending").await.1 == 1)
        .await;
    // As if another process held the delivery, was to cancel it, and died.
    sqlx::query(
        "update deliveries set leased = true, withdrawn = 'SNOOZED', fence = 9,
        next_attempt_at = now()",
    )
    .execute(&service.pool)
    .await
    .expect("set");
    service.set_provider_mode(|_| {});

    assert_eq!(
        service.wait_for_state(&due, Channel::Push, "suppressed").await,
        (Some("SNOOZED".to_owned()), 1)
    );
    assert!(service.pushes("token-1").is_empty());
}

#[tokio::test]
async fn sends_nothing_when_cancelled_before_arrival() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    let due = DueOccurrence::now("ada", &BOTH);
    service.publish(&[due.cancelled(4)]).await;
    wait_until(LIMIT, async || count_revisions(&service).await == 1).await;
    service.publish(&[due.message()]).await;

    for channel in BOTH {
        assert_eq!(
            service.wait_for_state(&due, channel, "suppressed").await,
            (Some("DELETED".to_owned()), 0)
        );
    }
    let published = service.wait_for_outcome(&due, EventType::NotificationSuppressed).await;
    assert_eq!((published.deliveries, published.reason.as_deref()), (2, Some("DELETED")));
    assert!(service.sandbox.captured().is_empty());
}

/// Messages of earlier versions name no cause.
#[tokio::test]
async fn ends_as_cancelled_when_no_cause_is_named() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    service.start_quiet_hours("ada").await;
    let behind = service.publish_due("ada", &[Channel::Push]).await;
    service.wait_for_state(&behind, Channel::Push, "deferred").await;
    let ahead = DueOccurrence::now("ada", &[Channel::Push]);
    service.publish(&[behind.cancelled_for(4, None), ahead.cancelled_for(4, None)]).await;
    wait_until(LIMIT, async || count_revisions(&service).await == 1).await;
    // An earlier version does not write the column.
    sqlx::query("update revisions set reason = null").execute(&service.pool).await.expect("set");
    service.publish(&[ahead.message()]).await;

    for due in [&behind, &ahead] {
        assert_eq!(
            service.wait_for_state(due, Channel::Push, "suppressed").await,
            (Some("CANCELLED".to_owned()), 0)
        );
    }
}

#[tokio::test]
async fn sends_newest_version_of_pending_delivery() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    service.start_quiet_hours("ada").await;
    let due = service.publish_due("ada", &BOTH).await;
    service.wait_for_state(&due, Channel::Push, "deferred").await;
    service.publish(&[due.updated(5, other(&due, &[Channel::Push]))]).await;
    assert_eq!(
        service.wait_for_state(&due, Channel::Email, "suppressed").await.0.as_deref(),
        Some("EDITED")
    );
    service.clear_preferences("ada").await;

    service.wait_for_state(&due, Channel::Push, "sent").await;
    let pushes = service.pushes("token-1");
    assert_eq!(
        pushes[0].push().and_then(|push| push.body.clone()).as_deref(),
        Some("Feed the cat")
    );
    assert!(service.emails("ada@example.com").is_empty());
}

#[tokio::test]
async fn sends_changed_version_when_changed_on_arrival() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    let due = DueOccurrence::now("ada", &BOTH);
    service.publish(&[due.updated(4, other(&due, &[Channel::Push]))]).await;
    wait_until(LIMIT, async || count_revisions(&service).await == 1).await;
    service.publish(&[due.message()]).await;

    service.wait_for_state(&due, Channel::Push, "sent").await;
    let pushes = service.pushes("token-1");
    assert_eq!(
        pushes[0].push().and_then(|push| push.body.clone()).as_deref(),
        Some("Feed the cat")
    );
    assert_eq!(service.wait_for_outcome(&due, EventType::NotificationSent).await.deliveries, 1);
}

#[tokio::test]
async fn sends_deferred_delivery_when_it_becomes_urgent() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    service.start_quiet_hours("ada").await;
    let due = service.publish_due("ada", &BOTH).await;
    service.wait_for_state(&due, Channel::Push, "deferred").await;
    let urgent = NotifyContent { priority: Priority::High, ..other(&due, &BOTH) };
    service.publish(&[due.updated(4, urgent)]).await;

    for channel in BOTH {
        service.wait_for_state(&due, channel, "sent").await;
    }
}

#[tokio::test]
async fn ignores_version_that_is_not_newer() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    service.start_quiet_hours("ada").await;
    let due = service.publish_due("ada", &[Channel::Push]).await;
    service.wait_for_state(&due, Channel::Push, "deferred").await;
    service.publish(&[due.cancelled(2), due.updated(3, other(&due, &BOTH))]).await;
    service.wait_until_consumed().await;
    service.clear_preferences("ada").await;

    service.wait_for_state(&due, Channel::Push, "sent").await;
    let pushes = service.pushes("token-1");
    assert_eq!(pushes[0].push().and_then(|push| push.body.clone()).as_deref(), Some("Water them"));
    assert_eq!(count_revisions(&service).await, 0);
}

/// The message that requests an occurrence in the same version that cancels it was read while that
/// version was being applied.
#[tokio::test]
async fn prefers_cancellation_of_same_version() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    let ahead = DueOccurrence::now("ada", &BOTH);
    service.publish(&[ahead.updated(3, other(&ahead, &BOTH)), ahead.cancelled(3)]).await;
    wait_until(LIMIT, async || count_revisions(&service).await == 1).await;
    service.wait_until_consumed().await;
    service.publish(&[ahead.message()]).await;
    service.start_quiet_hours("ada").await;
    let behind = service.publish_due("ada", &BOTH).await;
    service.wait_for_state(&behind, Channel::Push, "deferred").await;
    service.publish(&[behind.cancelled(3)]).await;

    for (due, channel) in
        [&ahead, &behind].into_iter().flat_map(|due| BOTH.map(|channel| (due, channel)))
    {
        assert_eq!(
            service.wait_for_state(due, channel, "suppressed").await,
            (Some("DELETED".to_owned()), 0)
        );
    }
    service.clear_preferences("ada").await;
    assert!(service.sandbox.captured().is_empty());
}

#[tokio::test]
async fn applies_newest_version_in_any_order() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    service.start_quiet_hours("ada").await;
    let mut dues = Vec::new();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let due = DueOccurrence::now("ada", &BOTH);
        let messages =
            [due.message(), due.updated(4, other(&due, &[Channel::Push])), due.cancelled(5)];
        for message in order {
            service.publish(std::slice::from_ref(&messages[message])).await;
            service.wait_until_consumed().await;
        }
        dues.push(due);
    }
    for due in &dues {
        let states: Vec<(String, Option<String>)> = sqlx::query_as(
            "select state, reason from deliveries where occurrence_id = $1 and channel = 'push'",
        )
        .bind(due.id())
        .fetch_all(&service.pool)
        .await
        .expect("rows");
        assert_eq!(states, [("suppressed".to_owned(), Some("DELETED".to_owned()))]);
    }
    assert_eq!(service.count_in_state("deferred").await, 0, "the e-mails ended too");
    assert!(service.sandbox.captured().is_empty());
}

#[tokio::test]
async fn leaves_nothing_pending_when_shuffled() {
    let service = TestService::start().await;
    service.register_device("ada", "token-1").await;
    service.start_quiet_hours("ada").await;
    let dues: Vec<DueOccurrence> = (0..200)
        .map(|second| {
            DueOccurrence::at("ada", &BOTH, chrono::Utc::now() - chrono::TimeDelta::seconds(second))
        })
        .collect();
    let mut messages: Vec<_> =
        dues.iter().flat_map(|due| [due.message(), due.cancelled(4)]).collect();
    messages.extend(messages.clone());
    messages.sort_by_cached_key(|_| rand::random::<u64>());
    for part in messages.chunks(7) {
        service.publish(part).await;
    }
    service.wait_until_consumed().await;

    assert_eq!(
        (service.count_in_state("deferred").await, service.count_in_state("suppressed").await),
        (0, 400)
    );
}

#[tokio::test]
async fn dead_letters_unreadable_and_purges_old_revisions() {
    let mut service = TestService::start().await;
    let due = DueOccurrence::now("ada", &BOTH);
    let mut contentless = due.cancelled(4);
    contentless
        .attributes
        .insert("eventType".to_owned(), EventType::NotificationUpdate.as_str().to_owned());
    service.publish(&[contentless, due.cancelled(5)]).await;
    wait_until(LIMIT, async || count_revisions(&service).await == 1).await;
    let letters = wait_until(LIMIT, async || {
        let letters = service
            .bus
            .dead_letters("notification-queue", 10)
            .await
            .map_err(|error| error.to_string())?;
        if letters.is_empty() { Err("none".to_owned()) } else { Ok(letters) }
    })
    .await;
    assert_eq!(letters.len(), 1);
    service.stop().await;
    sqlx::query("update revisions set at = now() - interval '15 days'")
        .execute(&service.pool)
        .await
        .expect("aged");
    service.restart().await;

    wait_until(LIMIT, async || count_revisions(&service).await == 0).await;
}
