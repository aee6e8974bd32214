//! Messages that are lost between the services: the watchdog settles what was released, and nothing
//! is sent twice.

use std::time::Duration;

use shared::{bus::Settlement, contract::Envelope};
use support::eventually;
use system::{Bus, House, LIMIT, Person, Service};

crate::on_both_buses!(
    settles_an_occurrence_when_its_message_is_lost,
    settles_an_occurrence_when_its_outcome_is_lost
);

/// Takes a message of a type out of a queue, as nobody of the suite would.
async fn lose(house: &House, variable: &str, queue: &str, event_type: &str) {
    let (bus, queue) = (house.bus().await, house.named(variable, queue));
    eventually(LIMIT, async || {
        let received =
            bus.receive(&queue, 10, Duration::from_secs(30), Duration::from_secs(1)).await;
        let received = received.map_err(|error| error.to_string())?;
        let types: Vec<_> =
            received.iter().filter_map(|message| Envelope::decode(message).ok()).collect();
        let is_lost = types.iter().any(|event| event.event_type.as_str() == event_type);
        let settled = received.into_iter().map(|message| (message, Settlement::Done)).collect();
        bus.settle(&queue, settled).await.map_err(|error| error.to_string())?;
        if is_lost { Ok(()) } else { Err(format!("{event_type} is awaited")) }
    })
    .await;
}

/// Lets the hour in which outcomes are expected be over.
async fn let_an_hour_pass(house: &House) {
    let pool = house.pool(Service::Events).await;
    let past = "update releases set released_at = now() - interval '2 hours'";
    sqlx::query(past).execute(&pool).await.expect("an hour passes");
}

async fn ada(house: &House) -> Person {
    let ada = house.person("ada");
    ada.registers("token-1", "android").await;
    ada
}

fn pushes(house: &House) -> usize {
    house.sandbox.captured().iter().filter(|captured| captured.push().is_some()).count()
}

async fn settles_an_occurrence_when_its_message_is_lost(bus: Bus) {
    let mut house = House::start(bus).await;
    let ada = ada(&house).await;
    house.kill(Service::Notifications).await;
    let (reminder, _) = ada.is_reminded_in(1, &["push"], "Tablets").await;
    lose(&house, "NOTIFICATION_QUEUE_URL", "notification-queue", "notification:send").await;
    house.stands(&reminder, &["released"]).await;
    house.add(Service::Notifications).await;
    house.ready().await;
    let_an_hour_pass(&house).await;

    house.stands(&reminder, &["sent"]).await;
    assert_eq!(pushes(&house), 1);
}

async fn settles_an_occurrence_when_its_outcome_is_lost(bus: Bus) {
    let mut house = House::start(bus).await;
    let ada = ada(&house).await;
    let (reminder, _) = ada.is_reminded_in(4, &["push"], "Tablets").await;
    house.stands(&reminder, &["pending"]).await;
    house.kill(Service::Events).await;
    lose(&house, "EVENT_QUEUE_URL", "event-queue", "notification:sent").await;
    house.add(Service::Events).await;
    house.ready().await;
    house.stands(&reminder, &["released"]).await;
    let_an_hour_pass(&house).await;

    house.stands(&reminder, &["sent"]).await;
    assert_eq!(pushes(&house), 1);
}
