//! Second thoughts about what was released: in time they win, whatever order the queue brings them
//! in.

use std::collections::HashMap;

use serde_json::json;
use shared::contract::{Channel, EventType, NotifyContent, Priority};
use support::eventually;

use crate::test_service::{Due, LIMIT, Service};

pub(crate) const BOTH: [Channel; 2] = [Channel::Email, Channel::Push];

/// What an occurrence says, with another text.
pub(crate) fn other(due: &Due, channels: &[Channel]) -> NotifyContent {
    NotifyContent {
        message: "Feed the cat".to_owned(),
        channels: channels.to_vec(),
        ..due.send.content.clone()
    }
}

async fn remembered(service: &Service) -> i64 {
    sqlx::query_scalar("select count(*) from revisions")
        .fetch_one(&service.pool)
        .await
        .expect("counted")
}

#[tokio::test]
async fn cancels_pending_delivery() {
    let service = Service::start().await;
    service.device("ada", "unavailable-1").await;
    let retried = service.due("ada", &[Channel::Push]).await;
    eventually(LIMIT, async || service.ends(&retried, Channel::Push, "pending").await.1 == 1).await;
    service.night("ada").await;
    let deferred = service.due("ada", &[Channel::Push]).await;
    service.ends(&deferred, Channel::Push, "deferred").await;
    service.publish(&[retried.cancelled(4), deferred.cancelled(4)]).await;

    for (due, attempts) in [(&retried, 1), (&deferred, 0)] {
        assert_eq!(
            service.ends(due, Channel::Push, "suppressed").await,
            (Some("CANCELLED".to_owned()), attempts)
        );
        let told = service.outcome(due, EventType::NotificationSuppressed).await;
        assert_eq!((told.reason.as_deref(), told.attempts), (Some("CANCELLED"), attempts));
    }
    service.morning("ada").await;
    service.hurry().await;
    assert_eq!(service.count("suppressed").await, 2);
}

#[tokio::test]
async fn completes_attempt_in_flight_when_cancelled() {
    let service = Service::start().await;
    service.device("ada", "token-1").await;
    service.device("bob", "unavailable-1").await;
    service.mode(|mode| mode.fcm.latency_ms = 1_500);
    let accepted = service.due("ada", &[Channel::Push]).await;
    let refused = service.due("bob", &[Channel::Push]).await;
    for due in [&accepted, &refused] {
        service.ends(due, Channel::Push, "pending").await;
        service.publish(&[due.cancelled(4)]).await;
    }

    assert_eq!(service.ends(&accepted, Channel::Push, "sent").await, (None, 1));
    assert_eq!(
        service.ends(&refused, Channel::Push, "suppressed").await,
        (Some("CANCELLED".to_owned()), 1)
    );
    let told = service.outcome(&refused, EventType::NotificationSuppressed).await;
    assert_eq!((told.reason.as_deref(), told.attempts), (Some("CANCELLED"), 1));
}

#[tokio::test]
async fn sends_no_cancelled_delivery_of_dead_process() {
    let service = Service::start().await;
    service.device("ada", "token-1").await;
    service.mode(|mode| mode.fcm.down = true);
    let due = service.due("ada", &[Channel::Push]).await;
    eventually(LIMIT, async || service.ends(&due, Channel::Push, "pending").await.1 == 1).await;
    // As if another process held it, was told to end it, and died.
    sqlx::query("update deliveries set leased = true, withdrawn = 'CANCELLED', fence = 9, next_attempt_at = now()")
        .execute(&service.pool)
        .await
        .expect("set");
    service.mode(|_| {});

    assert_eq!(
        service.ends(&due, Channel::Push, "suppressed").await,
        (Some("CANCELLED".to_owned()), 1)
    );
    assert!(service.pushes("token-1").is_empty());
}

#[tokio::test]
async fn sends_nothing_when_cancelled_before_arrival() {
    let service = Service::start().await;
    service.device("ada", "token-1").await;
    let due = Due::now("ada", &BOTH);
    service.publish(&[due.cancelled(4)]).await;
    eventually(LIMIT, async || remembered(&service).await == 1).await;
    service.publish(&[due.message()]).await;

    for channel in BOTH {
        assert_eq!(
            service.ends(&due, channel, "suppressed").await,
            (Some("CANCELLED".to_owned()), 0)
        );
    }
    let told = service.outcome(&due, EventType::NotificationSuppressed).await;
    assert_eq!((told.deliveries, told.reason.as_deref()), (2, Some("CANCELLED")));
    assert!(service.sandbox.captured().is_empty());
}

#[tokio::test]
async fn sends_newest_version_of_pending_delivery() {
    let service = Service::start().await;
    service.device("ada", "token-1").await;
    service.night("ada").await;
    let due = service.due("ada", &BOTH).await;
    service.ends(&due, Channel::Push, "deferred").await;
    service.publish(&[due.updated(5, other(&due, &[Channel::Push]))]).await;
    assert_eq!(
        service.ends(&due, Channel::Email, "suppressed").await.0.as_deref(),
        Some("CANCELLED")
    );
    service.morning("ada").await;

    service.ends(&due, Channel::Push, "sent").await;
    let pushes = service.pushes("token-1");
    assert_eq!(
        pushes[0].push().and_then(|push| push.body.clone()).as_deref(),
        Some("Feed the cat")
    );
    assert!(service.emails("ada@example.com").is_empty());
}

#[tokio::test]
async fn sends_changed_version_when_changed_on_arrival() {
    let service = Service::start().await;
    service.device("ada", "token-1").await;
    let due = Due::now("ada", &BOTH);
    service.publish(&[due.updated(4, other(&due, &[Channel::Push]))]).await;
    eventually(LIMIT, async || remembered(&service).await == 1).await;
    service.publish(&[due.message()]).await;

    service.ends(&due, Channel::Push, "sent").await;
    let pushes = service.pushes("token-1");
    assert_eq!(
        pushes[0].push().and_then(|push| push.body.clone()).as_deref(),
        Some("Feed the cat")
    );
    assert_eq!(service.outcome(&due, EventType::NotificationSent).await.deliveries, 1);
}

#[tokio::test]
async fn sends_deferred_delivery_when_it_becomes_urgent() {
    let service = Service::start().await;
    service.device("ada", "token-1").await;
    service.night("ada").await;
    let due = service.due("ada", &BOTH).await;
    service.ends(&due, Channel::Push, "deferred").await;
    let urgent = NotifyContent { priority: Priority::High, ..other(&due, &BOTH) };
    service.publish(&[due.updated(4, urgent)]).await;

    for channel in BOTH {
        service.ends(&due, channel, "sent").await;
    }
}

#[tokio::test]
async fn ignores_version_that_is_not_newer() {
    let service = Service::start().await;
    service.device("ada", "token-1").await;
    service.night("ada").await;
    let due = service.due("ada", &[Channel::Push]).await;
    service.ends(&due, Channel::Push, "deferred").await;
    service.publish(&[due.cancelled(2), due.updated(3, other(&due, &BOTH))]).await;
    service.consumed().await;
    service.morning("ada").await;

    service.ends(&due, Channel::Push, "sent").await;
    let pushes = service.pushes("token-1");
    assert_eq!(pushes[0].push().and_then(|push| push.body.clone()).as_deref(), Some("Water them"));
    assert_eq!(remembered(&service).await, 0);
}

/// What asks for an occurrence in the name of the very version that cancels it was read while that
/// version was being applied.
#[tokio::test]
async fn cancellation_wins_over_its_own_version() {
    let service = Service::start().await;
    service.device("ada", "token-1").await;
    let ahead = Due::now("ada", &BOTH);
    service.publish(&[ahead.updated(3, other(&ahead, &BOTH)), ahead.cancelled(3)]).await;
    eventually(LIMIT, async || remembered(&service).await == 1).await;
    service.consumed().await;
    service.publish(&[ahead.message()]).await;
    service.night("ada").await;
    let behind = service.due("ada", &BOTH).await;
    service.ends(&behind, Channel::Push, "deferred").await;
    service.publish(&[behind.cancelled(3)]).await;

    for (due, channel) in
        [&ahead, &behind].into_iter().flat_map(|due| BOTH.map(|channel| (due, channel)))
    {
        assert_eq!(
            service.ends(due, channel, "suppressed").await,
            (Some("CANCELLED".to_owned()), 0)
        );
    }
    service.morning("ada").await;
    assert!(service.sandbox.captured().is_empty());
}

#[tokio::test]
async fn applies_newest_version_in_any_order() {
    let service = Service::start().await;
    service.device("ada", "token-1").await;
    service.night("ada").await;
    let mut dues = Vec::new();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let due = Due::now("ada", &BOTH);
        let messages =
            [due.message(), due.updated(4, other(&due, &[Channel::Push])), due.cancelled(5)];
        for message in order {
            service.publish(std::slice::from_ref(&messages[message])).await;
            service.consumed().await;
        }
        dues.push(due);
    }
    for due in &dues {
        let states: Vec<(String, Option<String>)> = sqlx::query_as(
            "select distinct state, reason from deliveries where occurrence_id = $1",
        )
        .bind(due.id())
        .fetch_all(&service.pool)
        .await
        .expect("rows");
        assert_eq!(states, [("suppressed".to_owned(), Some("CANCELLED".to_owned()))]);
    }
    assert!(service.sandbox.captured().is_empty());
}

#[tokio::test]
async fn leaves_nothing_pending_when_shuffled() {
    let service = Service::start().await;
    service.device("ada", "token-1").await;
    service.night("ada").await;
    let dues: Vec<Due> = (0..200)
        .map(|second| {
            Due::at("ada", &BOTH, chrono::Utc::now() - chrono::TimeDelta::seconds(second))
        })
        .collect();
    let mut messages: Vec<_> =
        dues.iter().flat_map(|due| [due.message(), due.cancelled(4)]).collect();
    messages.extend(messages.clone());
    messages.sort_by_cached_key(|_| rand::random::<u64>());
    for part in messages.chunks(7) {
        service.publish(part).await;
    }
    service.consumed().await;

    assert_eq!((service.count("deferred").await, service.count("suppressed").await), (0, 400));
}

#[tokio::test]
async fn dead_letters_unreadable_and_purges_old_revisions() {
    let mut service = Service::start().await;
    let due = Due::now("ada", &BOTH);
    let mut contentless = due.cancelled(4);
    contentless
        .attributes
        .insert("eventType".to_owned(), EventType::NotificationUpdate.as_str().to_owned());
    service.publish(&[contentless, due.cancelled(5)]).await;
    eventually(LIMIT, async || remembered(&service).await == 1).await;
    let letters = eventually(LIMIT, async || {
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
    service.run().await;

    eventually(LIMIT, async || remembered(&service).await == 0).await;
}

/// What was told of the ends of deliveries: how often of each, and the last state.
async fn ends_told(service: &Service) -> HashMap<(uuid::Uuid, Option<uuid::Uuid>), Vec<String>> {
    service.receive_facts().await;
    let mut told = HashMap::<_, Vec<String>>::new();
    for outcome in service.told().into_iter().filter_map(|fact| fact.outcome().ok()) {
        let key = (
            outcome.occurrence_id.into_uuid(),
            outcome.device_id.map(uuid::fmt::Simple::into_uuid),
        );
        told.entry(key).or_default().push(outcome.state.to_string());
    }
    told
}

#[tokio::test]
async fn publishes_one_outcome_when_changed_while_sent()
 {
    let service = Service::start_with(&[("PUSH_MAX_IN_FLIGHT", "8")]).await;
    for token in ["token-1", "token-2", "flaky-1-x"] {
        service.device("ada", token).await;
    }
    service.mode(|mode| mode.fcm.latency_ms = 15);
    let dues: Vec<Due> = (0..150)
        .map(|second| {
            Due::at(
                "ada",
                &[Channel::Push],
                chrono::Utc::now() - chrono::TimeDelta::seconds(second),
            )
        })
        .collect();
    for (round, part) in dues.chunks(10).enumerate() {
        service.publish(&part.iter().map(Due::message).collect::<Vec<_>>()).await;
        service
            .publish(&part.iter().step_by(3).map(|due| due.cancelled(4)).collect::<Vec<_>>())
            .await;
        let preferences = json!({"channels": {"push": round % 4 != 3}});
        service.user("ada").put("/preferences", &preferences).await.expect(200);
    }
    service.consumed().await;
    eventually(LIMIT, async || {
        service.hurry().await;
        let waiting = service.count("pending").await;
        if waiting == 0 { Ok(()) } else { Err(waiting) }
    })
    .await;

    let rows: Vec<(uuid::Uuid, uuid::Uuid, String)> =
        sqlx::query_as("select occurrence_id, device_id, state from deliveries")
            .fetch_all(&service.pool)
            .await
            .expect("rows");
    eventually(LIMIT, async || {
        let told = ends_told(&service).await;
        if told.len() == rows.len() { Ok(()) } else { Err((told.len(), rows.len())) }
    })
    .await;
    let told = ends_told(&service).await;
    for (occurrence, device, state) in &rows {
        let device = (!device.is_nil()).then_some(*device);
        assert_eq!(
            told[&(*occurrence, device)],
            std::slice::from_ref(state),
            "{occurrence} {device:?}"
        );
    }
    let accepted = ["token-1", "token-2", "flaky-1-x"]
        .map(|token| service.pushes(token).len())
        .iter()
        .sum::<usize>();
    let in_state = |state: &str| rows.iter().filter(|row| row.2 == state).count();
    assert_eq!(accepted, in_state("sent"), "what was accepted is what is sent");
    assert!(accepted > 0 && in_state("suppressed") > 0, "some were in time and some were not");
}
