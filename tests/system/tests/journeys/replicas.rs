//! Several processes of each service, and processes that come and go.

use std::collections::BTreeSet;

use serde_json::json;
use support::eventually;
use system::{Bus, House, LIMIT, Service};

crate::on_both_buses!(
    two_of_each_send_everything_once,
    what_is_due_while_everything_is_down_is_sent_afterwards,
    draining_loses_nothing,
    two_of_each_follow_series_and_edits_alike,
);

const REMINDERS: usize = 60;

async fn two_of_each_send_everything_once(bus: Bus) {
    let house = House::with_replicas(bus, 2).await;
    let ada = house.person("ada");
    ada.registers("token-1", "android").await;
    let mut made = BTreeSet::new();
    for number in 0..REMINDERS {
        let (id, _) = ada.is_reminded_in(8, &["push"], &format!("no. {number}")).await;
        made.insert(id);
    }
    assert_eq!(made.len(), REMINDERS);

    eventually(LIMIT, async || arrived(&house).await == REMINDERS).await;
    ada.sees("sent", REMINDERS).await;
    assert_eq!((house.sandbox.captured().len(), house.sandbox.stats().duplicates), (REMINDERS, 0));
}

/// How many different reminders arrived.
async fn arrived(house: &House) -> usize {
    let captured = house.sandbox.captured();
    captured.iter().filter_map(|it| it.push()?.title.clone()).collect::<BTreeSet<_>>().len()
}

async fn what_is_due_while_everything_is_down_is_sent_afterwards(bus: Bus) {
    let mut house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "web").await;
    for number in 0..10 {
        ada.is_reminded_in(2, &["push", "email"], &format!("no. {number}")).await;
    }
    for service in [Service::Scheduler, Service::Events, Service::Notifications, Service::Reminders]
    {
        house.kill(service).await;
    }
    let due = chrono::Utc::now() + chrono::TimeDelta::seconds(3);
    eventually(LIMIT, async || chrono::Utc::now() > due).await;
    assert!(
        house.sandbox.captured().iter().all(|it| it.push().is_none()),
        "nothing was left to send it"
    );

    for service in Service::ALL {
        house.add(service).await;
    }
    house.ready().await;
    let ada = house.person("ada");
    ada.sees("sent", 20).await;
    assert_eq!(arrived(&house).await, 10);
    assert_eq!(house.mailbox(&ada.email).await.len(), 10);
    assert_eq!(house.sandbox.stats().duplicates, 0);
}

async fn draining_loses_nothing(bus: Bus) {
    let mut house = House::start(bus).await;
    let ada = house.person("ada");
    ada.registers("token-1", "ios").await;
    for number in 0..REMINDERS {
        ada.is_reminded_in(2, &["push"], &format!("no. {number}")).await;
    }
    for service in [Service::Notifications, Service::Scheduler, Service::Events, Service::Reminders]
    {
        assert_eq!(house.terminate(service).await, [Some(0)], "{}", service.binary());
        house.add(service).await;
    }
    house.ready().await;
    house.person("ada").sees("sent", REMINDERS).await;
    assert_eq!((house.sandbox.captured().len(), house.sandbox.stats().duplicates), (REMINDERS, 0));
}

async fn two_of_each_follow_series_and_edits_alike(bus: Bus) {
    let house = House::with_replicas(bus, 2).await;
    let ada = house.person("ada");
    ada.registers("token-1", "android").await;
    let date = system::whole_seconds(chrono::Utc::now() + chrono::TimeDelta::seconds(6));
    let mut made = Vec::new();
    for number in 0..20 {
        let body = json!({"date": system::written(date), "title": format!("no. {number}"), "message": "as it was",
                          "channels": ["push"], "recurrence": {"rrule": "FREQ=DAILY"}});
        let id = ada.makes(&body).await;
        ada.edits(&id, &json!({"message": "as it is"})).await;
        made.push(id);
    }

    ada.sees("sent", made.len()).await;
    let captured = house.sandbox.captured();
    assert_eq!((captured.len(), house.sandbox.stats().duplicates), (made.len(), 0));
    assert!(
        captured
            .iter()
            .filter_map(|it| it.push())
            .all(|push| push.body.as_deref() == Some("as it is"))
    );
    for id in &made {
        let occurrences = house.stands(id, &["sent", "pending"]).await;
        assert_eq!(system::time(&occurrences[1]["dueAt"]), date + chrono::TimeDelta::days(1));
    }
}
