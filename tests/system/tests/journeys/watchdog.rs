//! Messages that are lost between the services: the watchdog settles the released occurrences, and
//! nothing is sent twice.

use std::time::Duration;

use bus::Settlement;
use contract::Envelope;
use support::wait_until;
use system::{Bus, LIMIT, Service, TestSuite, TestUser};

crate::on_both_buses!(
    settles_an_occurrence_when_its_message_is_lost,
    settles_an_occurrence_when_its_outcome_is_lost
);

/// Removes a message of a type from a queue.
async fn remove_message(suite: &TestSuite, variable: &str, queue: &str, event_type: &str) {
    let (bus, queue) = (suite.bus().await, suite.bus_name(variable, queue));
    wait_until(LIMIT, async || {
        let received =
            bus.receive(&queue, 10, Duration::from_secs(30), Duration::from_secs(1)).await;
        let received = received.map_err(|error| error.to_string())?;
        let types: Vec<_> =
            received.iter().filter_map(|message| Envelope::decode(message).ok()).collect();
        let is_lost = types.iter().any(|event| event.event_type.as_str() == event_type);
        let settled = received.into_iter().map(|message| (message, Settlement::Done)).collect();
        bus.settle(&queue, settled).await.map_err(|error| error.to_string())?;
        if is_lost { Ok(()) } else { Err(format!("{event_type} has not arrived")) }
    })
    .await;
}

/// Moves the releases into the past, so that their outcomes are overdue.
async fn let_outcomes_become_overdue(suite: &TestSuite) {
    let pool = suite.pool(Service::Events).await;
    let past = "update releases set released_at = now() - interval '2 hours'";
    sqlx::query(past).execute(&pool).await.expect("the releases are moved");
}

async fn ada(suite: &TestSuite) -> TestUser {
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    ada
}

async fn settles_an_occurrence_when_its_message_is_lost(bus: Bus) {
    let mut suite = TestSuite::start(bus).await;
    let ada = ada(&suite).await;
    suite.kill(Service::Notifications).await;
    let (reminder, _) = ada.create_reminder_due_in(1, &["push"], "Tablets").await;
    remove_message(&suite, "NOTIFICATION_QUEUE_URL", "notification-queue", "notification:send")
        .await;
    suite.wait_for_states(&reminder, &["released"]).await;
    suite.start_process(Service::Notifications).await;
    suite.wait_until_ready().await;
    let_outcomes_become_overdue(&suite).await;

    suite.wait_for_states(&reminder, &["sent"]).await;
    assert_eq!(suite.push_titles().len(), 1);
}

async fn settles_an_occurrence_when_its_outcome_is_lost(bus: Bus) {
    let mut suite = TestSuite::start(bus).await;
    let ada = ada(&suite).await;
    let (reminder, _) = ada.create_reminder_due_in(4, &["push"], "Tablets").await;
    suite.wait_for_states(&reminder, &["pending"]).await;
    suite.kill(Service::Events).await;
    remove_message(&suite, "EVENT_QUEUE_URL", "event-queue", "notification:sent").await;
    suite.start_process(Service::Events).await;
    suite.wait_until_ready().await;
    suite.wait_for_states(&reminder, &["released"]).await;
    let_outcomes_become_overdue(&suite).await;

    suite.wait_for_states(&reminder, &["sent"]).await;
    assert_eq!(suite.push_titles().len(), 1);
}
