//! Errors of the bus.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use bus::{BusSettings, Error, Packing, Topology};

use super::test_bus::{LIMIT, LONG, TestBus, messages};

pub(super) async fn reports_missing_names_as_misconfigured(bus: &TestBus) {
    let (topic, queue) = (format!("{}-missing", bus.topic), format!("{}-missing", bus.everything));

    let published = bus.adapter.publish(&topic, &messages(2)).await;
    assert!(matches!(published, Err(Error::Misconfigured { .. })), "{published:?}");
    let sent = bus.adapter.send(&queue, &messages(2), Duration::ZERO).await;
    assert!(matches!(sent, Err(Error::Misconfigured { .. })), "{sent:?}");
    let received = bus.adapter.receive(&queue, 1, LONG, Duration::ZERO).await;
    assert!(matches!(received, Err(Error::Misconfigured { .. })), "{received:?}");
    let counted = bus.adapter.depth(&queue).await;
    assert!(matches!(counted, Err(Error::Misconfigured { .. })), "{counted:?}");
}

pub(super) async fn reports_unreachable_bus_as_unavailable(bus: &TestBus) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut settings = bus.settings.clone();
    match &mut settings {
        BusSettings::Aws(settings) => {
            settings.endpoint_url = Some(format!("http://127.0.0.1:{port}"))
        }
        BusSettings::Postgres(settings) => {
            settings.url = format!("postgres://someone@127.0.0.1:{port}/bus").into()
        }
    }
    let unreachable = bus::connect(&settings, &Packing::default()).await.unwrap();

    let begun = Instant::now();
    let batch = messages(20);
    let (published, ensured) =
        tokio::join!(unreachable.publish(&bus.topic, &batch), unreachable.ensure(&bus.topology));
    assert!(matches!(published, Err(Error::Unavailable { .. })), "{published:?}");
    assert!(matches!(ensured, Err(Error::Unavailable { .. })), "{ensured:?}");
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
}

pub(super) async fn ensures_topology_repeatedly(bus: &TestBus) {
    bus.publish(&messages(3)).await;
    bus.adapter.ensure(&bus.topology).await.unwrap();
    bus.adapter.ensure(&Topology::default()).await.unwrap();
    bus.drain(&bus.everything, 3).await;
}
