//! What a bus says when it cannot do what it is asked.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use shared::bus::{self, BusSettings, Error, Topology};

use super::test_bus::{LIMIT, LONG, Stage, messages};

pub(super) async fn what_is_not_there_is_misconfigured(stage: &Stage) {
    let (topic, queue) =
        (format!("{}-missing", stage.topic), format!("{}-missing", stage.everything));

    let published = stage.bus.publish(&topic, &messages(2)).await;
    assert!(matches!(published, Err(Error::Misconfigured { .. })), "{published:?}");
    let sent = stage.bus.send(&queue, &messages(2), Duration::ZERO).await;
    assert!(matches!(sent, Err(Error::Misconfigured { .. })), "{sent:?}");
    let received = stage.bus.receive(&queue, 1, LONG, Duration::ZERO).await;
    assert!(matches!(received, Err(Error::Misconfigured { .. })), "{received:?}");
    let counted = stage.bus.depth(&queue).await;
    assert!(matches!(counted, Err(Error::Misconfigured { .. })), "{counted:?}");
}

pub(super) async fn a_bus_that_is_away_is_unavailable(stage: &Stage) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut settings = stage.settings.clone();
    match &mut settings {
        BusSettings::Aws(settings) => {
            settings.endpoint_url = Some(format!("http://127.0.0.1:{port}"))
        }
        BusSettings::Postgres(settings) => {
            settings.url = format!("postgres://someone@127.0.0.1:{port}/bus").into()
        }
    }
    let away = bus::connect(&settings).await.unwrap();

    let begun = Instant::now();
    let batch = messages(20);
    let (published, ensured) =
        tokio::join!(away.publish(&stage.topic, &batch), away.ensure(&stage.topology));
    assert!(matches!(published, Err(Error::Unavailable { .. })), "{published:?}");
    assert!(matches!(ensured, Err(Error::Unavailable { .. })), "{ensured:?}");
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
}

pub(super) async fn ensuring_again_changes_nothing(stage: &Stage) {
    stage.publish(&messages(3)).await;
    stage.bus.ensure(&stage.topology).await.unwrap();
    stage.bus.ensure(&Topology::default()).await.unwrap();
    stage.drain(&stage.everything, 3).await;
}
