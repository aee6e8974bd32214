//! Several processes of each service, and restarts.

use std::collections::BTreeSet;

use serde_json::json;
use support::wait_until;
use system::{Bus, LIMIT, Service, TestSuite};

crate::on_both_buses!(
    sends_once_with_two_replicas,
    sends_after_outage_of_all_services,
    loses_nothing_when_services_are_drained,
    follows_edits_of_series_with_two_replicas,
);

const REMINDERS: usize = 60;

async fn sends_once_with_two_replicas(bus: Bus) {
    let suite = TestSuite::start_with_replicas(bus, 2).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    let mut created = BTreeSet::new();
    for number in 0..REMINDERS {
        let (id, _) = ada.create_reminder_due_in(8, &["push"], &format!("no. {number}")).await;
        created.insert(id);
    }
    assert_eq!(created.len(), REMINDERS);

    wait_until(LIMIT, async || arrived(&suite) == REMINDERS).await;
    ada.wait_for_deliveries("sent", REMINDERS).await;
    assert_eq!((suite.sandbox.captured().len(), suite.sandbox.stats().duplicates), (REMINDERS, 0));
}

/// Number of different reminders that arrived.
fn arrived(suite: &TestSuite) -> usize {
    suite.push_titles().into_iter().collect::<BTreeSet<_>>().len()
}

async fn sends_after_outage_of_all_services(bus: Bus) {
    let mut suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "web").await;
    for number in 0..10 {
        ada.create_reminder_due_in(2, &["push", "email"], &format!("no. {number}")).await;
    }
    for service in [Service::Scheduler, Service::Events, Service::Notifications, Service::Reminders]
    {
        suite.kill(service).await;
    }
    let due = chrono::Utc::now() + chrono::TimeDelta::seconds(3);
    wait_until(LIMIT, async || chrono::Utc::now() > due).await;
    assert!(suite.push_titles().is_empty(), "no service runs");

    for service in Service::ALL {
        suite.start_process(service).await;
    }
    suite.wait_until_ready().await;
    let ada = suite.user("ada");
    ada.wait_for_deliveries("sent", 20).await;
    assert_eq!(arrived(&suite), 10);
    assert_eq!(suite.email_subjects(&ada.email).await.len(), 10);
    assert_eq!(suite.sandbox.stats().duplicates, 0);
}

async fn loses_nothing_when_services_are_drained(bus: Bus) {
    let mut suite = TestSuite::start(bus).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "ios").await;
    for number in 0..REMINDERS {
        ada.create_reminder_due_in(2, &["push"], &format!("no. {number}")).await;
    }
    for service in [Service::Notifications, Service::Scheduler, Service::Events, Service::Reminders]
    {
        assert_eq!(suite.terminate(service).await, [Some(0)], "{}", service.binary());
        suite.start_process(service).await;
    }
    suite.wait_until_ready().await;
    suite.user("ada").wait_for_deliveries("sent", REMINDERS).await;
    assert_eq!((suite.sandbox.captured().len(), suite.sandbox.stats().duplicates), (REMINDERS, 0));
}

async fn follows_edits_of_series_with_two_replicas(bus: Bus) {
    let suite = TestSuite::start_with_replicas(bus, 2).await;
    let ada = suite.user("ada");
    ada.register_device("token-1", "android").await;
    let date = system::truncate_to_seconds(chrono::Utc::now() + chrono::TimeDelta::seconds(6));
    let mut created = Vec::new();
    for number in 0..20 {
        let body = json!({
            "date": system::rfc3339(date),
            "title": format!("no. {number}"),
            "message": "before the edit",
            "channels": ["push"],
            "recurrence": {"rrule": "FREQ=DAILY"},
        });
        let id = ada.create_reminder(&body).await;
        ada.update_reminder(&id, &json!({"message": "after the edit"})).await;
        created.push(id);
    }

    ada.wait_for_deliveries("sent", created.len()).await;
    let captured = suite.sandbox.captured();
    assert_eq!((captured.len(), suite.sandbox.stats().duplicates), (created.len(), 0));
    let mut pushes = captured.iter().filter_map(|message| message.push());
    assert!(pushes.all(|push| push.body.as_deref() == Some("after the edit")));
    for id in &created {
        let occurrences = suite.wait_for_states(id, &["sent", "pending"]).await;
        assert_eq!(system::parse_time(&occurrences[1]["dueAt"]), date + chrono::TimeDelta::days(1));
    }
}
